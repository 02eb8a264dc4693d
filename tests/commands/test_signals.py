"""`conveyor signals tail`: the newest lines of the outbox, and those that come."""

from __future__ import annotations

import asyncio
import os
import signal as signals
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from engine.cli import cli
from engine.commands.signals import files_of, lines_of, newest
from engine.core.effects import Signal
from engine.core.release import Reach
from engine.io.clock import AnchoredClock
from engine.io.disk import OS_DISK
from engine.io.line_log import LineLog
from engine.io.publish.entry import Entry, decode, encode
from engine.io.publish.outbox import Outbox
from engine.io.publish.sink import SinkDownError
from engine.io.publish.webhook import Webhook
from tests.io.publish.made import BEGUN_NS, minute, minutes, signal

ROOT = Path(__file__).resolve().parents[2]


def reaches(signal: Signal) -> tuple[Reach, str]:
    return (Reach.INTERNAL, "canary") if signal.symbol == "SOL" else (Reach.OUTSIDE, "")


def session(folder: Path) -> Outbox:
    """Three minutes of four signals, a file each."""
    outbox = Outbox(folder, AnchoredClock(BEGUN_NS), reaches, file_bytes=500)
    for one in minutes(3, 4):
        outbox.perform([one])
        assert outbox.sync()
    assert len(files_of(folder / "signals")) == 3
    return outbox


def test_the_newest_signals_are_told_with_their_reach_and_why(tmp_path: Path):
    session(tmp_path).close()

    said = CliRunner().invoke(cli, ["signals", "tail", str(tmp_path), "--lines", "2"])

    assert said.exit_code == 0
    assert said.output.splitlines() == [
        "11-14 22:16  hyperliquid:SOL          vol_spike                  ▲ ███████░░░  70  internal (canary)",
        "11-14 22:16  hyperliquid:BTC          vol_spike                  ▲ ███████░░░  70  outside",
    ]


def test_an_outbox_without_a_signal_is_told_so(tmp_path: Path):
    Outbox(tmp_path, AnchoredClock(BEGUN_NS), reaches).close()

    said = CliRunner().invoke(cli, ["signals", "tail", str(tmp_path)])

    assert (said.exit_code, said.stdout, said.stderr) == (0, "", "no signal has come into this outbox yet\n")


def test_of_a_replayed_session_it_says_where_the_signals_are(tmp_path: Path):
    (tmp_path / "manifest.json").write_text("{}")

    said = CliRunner().invoke(cli, ["signals", "tail", str(tmp_path)])

    assert said.exit_code == 2
    assert f'conveyor sql {tmp_path} "SELECT * FROM signals"' in str(said.output)


def test_as_json_the_lines_are_those_of_the_file(tmp_path: Path):
    session(tmp_path).close()

    said = CliRunner().invoke(cli, ["signals", "tail", str(tmp_path), "--json"])

    assert said.stdout_bytes == b"".join(path.read_bytes() for _, path in files_of(tmp_path / "signals"))


def test_a_folder_without_an_outbox_is_told_so(tmp_path: Path):
    said = CliRunner().invoke(cli, ["signals", "tail", str(tmp_path)])

    assert said.exit_code == 2
    assert "has no outbox signals; give the folder of a live session" in said.output


def test_any_number_of_lines_is_found_from_the_end_also_over_many_readings(tmp_path: Path):
    log = LineLog(OS_DISK, tmp_path / "lines", file_bytes=600_000)
    for n in range(2000):
        log.append(b'"%d %s"' % (n, b"x" * 1000))
        if n % 100 == 0:
            log.sync()
    log.close()
    assert len(files_of(tmp_path / "lines")) == 4
    for count in (0, 1, 7, 400, 601, 1999, 2000, 5000):
        found = [line for _, line in lines_of(tmp_path / "lines", newest(tmp_path / "lines", count), follow=False)]
        assert [int(line[1:].split(b" ")[0]) for line in found] == list(range(max(2000 - count, 0), 2000))


def test_what_is_removed_while_it_is_read_is_passed_over(tmp_path: Path):
    outbox = session(tmp_path)
    begin = newest(tmp_path / "signals", 12)
    outbox.log.forget()

    found = [line for _, line in lines_of(tmp_path / "signals", begin, follow=False)]
    assert [orjson.loads(line)["number"] for line in found] == list(range(4, 12))


def test_it_follows_what_comes_and_waits_for_whole_lines(tmp_path: Path):
    outbox = session(tmp_path)
    asked = ["signals", "tail", str(tmp_path), "--lines", "1", "--follow", "--json"]
    command = [sys.executable, "-m", "engine.cli", *asked]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert process.stdout is not None
        assert orjson.loads(process.stdout.readline())["id"] == "s000203"
        outbox.perform([minute(3, [signal(300), signal(301)])])
        assert outbox.sync()
        assert [orjson.loads(process.stdout.readline())["id"] for _ in range(2)] == ["s000300", "s000301"]
    finally:
        process.kill()
        process.wait()
        outbox.close()


PAYLOAD = {
    "detector_id": "spike_burst_v1", "signal": -0.83, "symbol": "ETH", "venue": "hyperliquid",
    "event": {
        "debounce_key": "hyperliquid:ETH:spike:1m", "emitted_at": 1_700_000_160_000, "severity": 83,
        "exchange_ts": 1_700_000_160_000,
    },
}  # fmt: skip


def test_what_a_webhook_gets_is_printed_once():
    command = [sys.executable, "-m", "engine.cli", "signals", "receive", "--port", "0", "--secret-env", "HOOK"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "HOOK": "a secret"}
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stderr.readline().partition("publish.webhook_url=")[2].split()[0]
        one = signal(0)
        entry = decode(0, encode(0, 0, 0, 0, replace(one, payload=orjson.dumps(PAYLOAD)), Reach.OUTSIDE, "", 0))
        asyncio.run(post(url, entry, b"a secret"))
        with pytest.raises(SinkDownError, match="signature"):
            asyncio.run(post(url, entry, b""))
        process.send_signal(signals.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert out == "11-14 22:16  hyperliquid:ETH          spike_burst_v1             ▼ ████████░░  83\n"
    assert (process.returncode, err) == (0, "")


async def post(url: str, entry: Entry, secret: bytes) -> None:
    hook = Webhook(url, secret)
    try:
        for _ in range(2):
            await hook.send([entry], BEGUN_NS)
    finally:
        await hook.close()


def test_a_secret_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HOOK", raising=False)
    said = CliRunner().invoke(cli, ["signals", "receive", "--port", "0", "--secret-env", "HOOK"])
    assert said.exit_code == 2
    assert "the environment variable HOOK is empty" in said.output
