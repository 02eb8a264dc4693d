"""`conveyor signals tail`: the newest lines of the outbox, and those that come."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson
from click.testing import CliRunner

from engine.cli import cli
from engine.commands.signals import lines_of, newest
from engine.core.effects import Signal
from engine.core.release import Reach
from engine.io.clock import AnchoredClock
from engine.io.publish.outbox import Outbox
from tests.io.publish.made import BEGUN_NS, minute, minutes, signal


def reaches(signal: Signal) -> tuple[Reach, str]:
    return (Reach.INTERNAL, "canary") if signal.symbol == "SOL" else (Reach.OUTSIDE, "")


def session(folder: Path) -> Outbox:
    outbox = Outbox(folder, AnchoredClock(BEGUN_NS), reaches)
    outbox.perform(minutes(3, 4))
    assert outbox.sync()
    return outbox


def test_the_newest_signals_are_told_with_their_reach_and_why(tmp_path: Path):
    session(tmp_path).close()

    said = CliRunner().invoke(cli, ["signals", "tail", str(tmp_path), "--lines", "2"])

    assert said.exit_code == 0
    assert said.output.splitlines() == [
        "11-14 22:16  hyperliquid:SOL          vol_spike                  ▲ ███████░░░  70  internal (canary)",
        "11-14 22:16  hyperliquid:BTC          vol_spike                  ▲ ███████░░░  70  outside",
    ]


def test_of_a_replayed_session_it_says_where_the_signals_are(tmp_path: Path):
    (tmp_path / "manifest.json").write_text("{}")

    said = CliRunner().invoke(cli, ["signals", "tail", str(tmp_path)])

    assert said.exit_code == 2
    assert f'conveyor sql {tmp_path} "SELECT * FROM signals"' in str(said.output)


def test_as_json_the_lines_are_those_of_the_file(tmp_path: Path):
    session(tmp_path).close()

    said = CliRunner().invoke(cli, ["signals", "tail", str(tmp_path), "--json"])

    assert said.stdout_bytes == (tmp_path / "signals.jsonl").read_bytes()


def test_a_folder_without_an_outbox_is_told_so(tmp_path: Path):
    said = CliRunner().invoke(cli, ["signals", "tail", str(tmp_path)])

    assert said.exit_code == 2
    assert "has no signals.jsonl; give the folder of a live session" in said.output


def test_any_number_of_lines_is_found_from_the_end_also_over_many_readings(tmp_path: Path):
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"%d%s\n" % (n, b"x" * 1000) for n in range(2000)))
    with path.open("rb") as file:
        for count in (0, 1, 7, 400, 1999, 2000, 5000):
            found = [line for _, line in lines_of(file, newest(file, count), follow=False)]
            assert [int(line.split(b"x")[0]) for line in found] == list(range(max(2000 - count, 0), 2000))


def test_it_follows_what_comes_and_waits_for_whole_lines(tmp_path: Path):
    outbox = session(tmp_path)
    asked = ["signals", "tail", str(tmp_path), "--lines", "1", "--follow", "--json"]
    command = [sys.executable, "-m", "engine.cli", *asked]
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"})
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
