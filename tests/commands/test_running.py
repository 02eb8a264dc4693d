"""`run` and `record` as a shell sees them: what cannot start says so in one sentence and leaves nothing behind."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import click
import pytest
from click.testing import CliRunner

from config.schema import Venues
from engine.cli import cli
from engine.commands import chaos, data, exchange, markets, prove, recording, running, terminal
from engine.core.detector import STAGES
from engine.core.release import Reach
from engine.io.tables import TABLES
from engine.modes import MODES, live_mode, most
from engine.tape.venues import VENUES as DIALECTS
from replay.exchange.protocols import PROTOCOLS
from replay.prove.plants import PLANTS
from replay.scenarios.catalogue import CATALOGUE
from replay.simulate.market import VENUES as SIMULATED


def conveyor(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def here(port: int, scheme: str = "http") -> tuple[str, ...]:
    return ("--set", f"venues.hyperliquid.rest_url={scheme}://127.0.0.1:{port}",
            "--set", f"venues.hyperliquid.ws_url=ws://127.0.0.1:{port}/ws")  # fmt: skip


@contextmanager
def listener(answer: bytes) -> Iterator[int]:
    """A port that answers whoever connects with these bytes, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.recv(4096)
                    client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_what_verbs_say_before_slow_imports_is_what_these_have():
    assert data.TABLES == TABLES
    assert sorted(recording.VENUES) == sorted(dialect.venue for dialect in DIALECTS)
    assert markets.VENUES == SIMULATED
    assert tuple(PROTOCOLS) == exchange.VENUES
    assert tuple(PLANTS) == prove.PLANTS
    assert [fault.number for fault in CATALOGUE] == [*range(1, chaos.FAULTS + 1)]


def test_the_verbs_know_the_modes_and_venues_that_there_are():
    assert tuple(mode.name for mode in MODES) == running.MODES
    assert tuple(Venues.model_fields) == running.VENUES
    assert {mode.name for mode in MODES if not mode.refusal} == set(STAGES)
    assert [most(mode.name) for mode in MODES] == [
        Reach.LOG, Reach.INTERNAL, Reach.OUTSIDE, Reach.OUTSIDE, Reach.LOG
    ]  # fmt: skip
    assert live_mode("canary").most is Reach.OUTSIDE


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--mode", "replay", "--venue", "hyperliquid", "--symbols", "BTC"], "conveyor replay JOURNAL"),
        (["--set", "run.mode=replay", "--venue", "hyperliquid", "--symbols", "BTC"], "mode replay: a journal is"),
        (["--mode", "prod", "--venue", "hyperliquid", "--symbols", "BTC"], "'prod' is not one of 'dry-run', 'shadow'"),
        ([], "no venue is enabled; name one"),
        (["--venue", "hyperliquid"], "venues.hyperliquid.symbols is empty"),
        (["--symbols", "BTC"], "--symbols needs --venue"),
        (["--venue", "kraken", "--symbols", "BTC"], "'kraken' is not one of 'hyperliquid'"),
        (["--venue", "hyperliquid", "--symbols", "BTC", "--for", "soon"], "no time such as 90s, 15m, 1h or 2d"),
        (["--venue", "hyperliquid", "--symbols", "BTC", "--for", "0m"], "no time such as"),
    ],
)
def test_a_wrong_call_is_refused_with_a_sentence(arguments: list[str], sentence: str, tmp_path: Path):
    code, out, err = conveyor("run", *arguments, "--out", str(tmp_path / "s"))

    assert (code, out) == (2, "")
    assert sentence in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["run", "record"])
def test_a_venue_that_cannot_be_reached(verb: str, tmp_path: Path):
    arguments = ["--venue", "hyperliquid", "--symbols", "BTC", "--out", str(tmp_path / "s"), *here(closed_port())]

    code, out, err = conveyor(verb, *arguments)

    assert (code, out) == (3, "")
    assert err.splitlines()[-1].startswith("error: hyperliquid does not tell what it lists")
    assert list(tmp_path.iterdir()) == []


def test_what_answers_without_tls_or_with_nonsense(tmp_path: Path):
    arguments = ["run", "--venue", "hyperliquid", "--symbols", "BTC", "--out", str(tmp_path / "s")]
    with listener(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") as port:
        plain = conveyor(*arguments, *here(port))
        secure = conveyor(*arguments, *here(port, "https"))
        clock = conveyor(*arguments, "--set", f"time.source=http://127.0.0.1:{port}")

    assert (plain[0], secure[0], clock[0]) == (2, 3, 3)
    assert "something that is no listing" in plain[2]
    assert "does not tell what it lists" in secure[2]
    assert "expected venue_ns and speed" in clock[2]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86_400)])
def test_spans(text: str, seconds: float):
    assert terminal.Span().convert(text, None, None) == seconds


class Gone:
    """stdout or stderr as they are when the other end of their pipe was closed."""

    def write(self, text: str | bytes) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    def flush(self) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    def isatty(self) -> bool:
        return False


class Asked:
    """What signals are told to."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def stop(self, reason: str) -> None:
        self.reasons.append(reason)


def test_a_run_whose_notes_nobody_reads_any_more_still_obeys_a_signal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Gone())
    app = Asked()

    async def signalled() -> None:
        running._obey_signals(cast(Any, app))
        os.kill(os.getpid(), signal.SIGTERM)
        while not app.reasons:
            await asyncio.sleep(0)

    asyncio.run(signalled())
    assert app.reasons == ["SIGTERM"]


def test_minutes_that_nobody_looks_at_any_more_do_not_end_the_run(monkeypatch, capsys):
    shown: list[Any] = []

    class Table:
        def perform(self, effects: Any) -> None:
            shown.append(effects)
            click.echo("a minute")

        def close(self) -> None:
            """Nothing."""

    watched = running.Watched(Table())
    monkeypatch.setattr(sys, "stdout", Gone())
    watched.perform([])
    watched.perform([])
    assert len(shown) == 1
    assert capsys.readouterr().err == "minutes are no longer shown: Broken pipe; the run goes on\n"
