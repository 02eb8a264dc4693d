"""`conveyor exchange` as a shell sees it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request

import pytest
from click.testing import CliRunner

from engine.commands.exchange import exchange

PATIENCE_S = 120.0


def test_it_serves_until_it_is_told_to_stop():
    command = [sys.executable, "-m", "engine.cli", "exchange", "--port", "0", "--speed", "10x", "--market", "none"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        settings = dict(line.removeprefix("--set ").strip().split("=") for line in lines[1:])
        assert list(settings) == ["venues.hyperliquid.ws_url", "venues.hyperliquid.rest_url", "time.source"]
        with urllib.request.urlopen(settings["time.source"] + "/clock", timeout=PATIENCE_S) as answer:
            assert json.load(answer)["speed"] == 10.0
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "trades kept, 0 faults struck" in errors
    assert "Traceback" not in errors


def test_it_stops_by_itself_after_its_time():
    command = [sys.executable, "-m", "engine.cli", "exchange", "--port", "0", "--speed", "60x", "--for", "30s"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0
    assert "serving 3 symbols" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--speed", "fast"], "'fast' is no factor of real time such as 60x"),
        (["--for", "10"], "'10' is no time such as 90s, 15m, 1h or 2d"),
        (["--venue", "nasdaq"], "'nasdaq' is not one of"),
        (["--symbols", "2"], "2 is not in the range"),
        (["--faults", "nowhere.toml"], "does not exist"),
    ],
)
def test_wrong_options_are_told(arguments, told):
    result = CliRunner().invoke(exchange, arguments)
    assert result.exit_code == 2
    assert told in result.output


def test_a_wrong_plan_or_script_is_one_sentence(tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text('[[fault]]\nkind = "drop"\nsymbols = ["XYZ"]')
    for arguments, told in (
        (["--faults", str(plan)], "symbol 'XYZ' is not on hyperliquid"),
        (["--market", "nowhere.toml"], "no such file"),
    ):
        command = [sys.executable, "-m", "engine.cli", "exchange", "--port", "0", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 2
        assert told in done.stderr
        assert "Traceback" not in done.stderr
