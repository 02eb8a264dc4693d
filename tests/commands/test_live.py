"""The engine as a process of its own, against a local exchange in another, over real sockets on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.commands.demo import exchange
from engine.commands.replay import compile_kernels
from engine.io.control_client import NoAnswerError, NotRunningError, engine_in
from engine.io.session_reader import SessionReader
from replay.verify import replayed, verify

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120  # a limit, never a wait


@pytest.fixture(scope="module")
def venue() -> Iterator[tuple[str, ...]]:
    """Arguments that lead an engine to the exchange, whose time runs sixty times as fast."""
    compile_kernels()
    with exchange("hyperliquid", 7, 3, 60) as sets:
        yield tuple(argument for assignment in sets for argument in ("--set", assignment))


def conveyor(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "engine.cli", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(session: Path, venue: tuple[str, ...], *arguments: str) -> subprocess.Popen[str]:
    return conveyor(
        "run", "--venue", "hyperliquid", "--symbols", "BTC,ETH", "--out", str(session), "--json", *venue, *arguments
    )


def status_when(session: Path, process: subprocess.Popen[str], holds: Callable[[Any], bool]) -> Any:
    """The status of a running engine as soon as it says so."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        try:
            found = engine_in(session).status()
            if holds(found):
                return found
        except (NotRunningError, NoAnswerError, OSError, ValueError):
            pass
        except Exception:
            if session.is_dir():
                raise
        time.sleep(0.02)
    raise AssertionError(f"the engine never came so far: {process.poll()}")


def proven(session: Path) -> str:
    with SessionReader(session) as reader:
        assert reader.complete
        verdict = verify(reader, replayed(reader))
    assert verdict.difference is None, verdict.sentence()
    return verdict.chain


def test_a_session_is_run_stopped_continued_and_proven(venue, tmp_path):
    session = tmp_path / "session"
    first = run(session, venue)
    found = status_when(session, first, lambda status: status["minutes"]["closed"] >= 2)
    assert [one["symbol"] for one in found["symbols"]] == ["BTC", "ETH"]
    assert [link["state"] for link in found["connections"]] == ["up"]

    second = run(session, venue)
    _, refused = second.communicate(timeout=PATIENCE_S)
    assert second.returncode in (1, 2)
    assert "stop the other" in refused or "engine is running" in refused

    first.send_signal(signal.SIGTERM)
    out, err = first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 0, err
    summary = json.loads(out)
    assert summary["counts"]["minutes"] >= 2
    assert proven(session) == summary["chain"]
    assert not (session / "control.sock").exists()

    third = run(session, venue, "--for", "2m")
    out, err = third.communicate(timeout=PATIENCE_S)
    assert third.returncode == 0, err
    assert json.loads(out)["counts"]["minutes"] > summary["counts"]["minutes"]
    assert proven(session) == json.loads(out)["chain"]


def test_a_killed_engine_goes_on_where_it_was(venue, tmp_path):
    session = tmp_path / "session"
    first = run(session, venue)
    status_when(session, first, lambda status: status["minutes"]["closed"] >= 1)
    first.kill()
    first.communicate(timeout=PATIENCE_S)
    second = run(session, venue, "--for", "90s")
    out, err = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0, err
    assert json.loads(out)["counts"]["minutes"] >= 2
    assert proven(session) == json.loads(out)["chain"]


def test_a_recording_is_replayed_into_minutes(venue, tmp_path):
    session = tmp_path / "recorded"
    recorded = conveyor(
        "record", "--venue", "hyperliquid", "--symbols", "BTC", "--out", str(session), "--for", "150s", "--json", *venue
    )
    out, err = recorded.communicate(timeout=PATIENCE_S)
    assert recorded.returncode == 0, err
    assert sorted(os.listdir(session)) == ["journal"]
    again = conveyor("replay", json.loads(out)["journal"], "--out", str(tmp_path / "session"), "--json")
    out, err = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 0, err
    assert json.loads(out)["counts"]["minutes"] >= 2


def test_a_folder_that_cannot_be_written(venue, tmp_path):
    (tmp_path / "file").write_text("x")
    refused = run(tmp_path / "file/session", venue)
    out, err = refused.communicate(timeout=PATIENCE_S)
    assert (refused.returncode, out) == (1, "")
    assert "Not a directory" in err.splitlines()[-1]


def test_the_demo_proves_itself(tmp_path):
    demo = conveyor("demo", "--minutes", "2", "--out", str(tmp_path / "demo"))
    out, err = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0, err
    assert "replay verified: " in out
    assert out.startswith("LOCAL EXCHANGE, simulated market")
