"""docs/first_hour.md, walked: its own commands over real sockets, faster and no longer than until a signal has left.

What depends on how fast this machine is right now may refuse a promotion: then it is passed over, in words. Nothing
else may.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from engine.cli import cli
from engine.commands.replay import compile_kernels

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/first_hour.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [
    command for block in BLOCKS for line in block.splitlines() if line.startswith("conveyor ")
    for command in line.split(" && ")
]  # fmt: skip
FASTER = "40x"
PATIENT = {"watermark_ms = 4000": "watermark_ms = 8000", "grace_ms = 8000": "grace_ms = 16000"}  # as many ms of ours
OF_THE_MACHINE = ("latency: ", "first hour: ", "quality: ")
PATIENCE_S = 240.0  # a limit, never a wait


def the(beginning: str) -> list[str]:
    """The arguments of the page's one command that begins so."""
    found = sorted({command for command in COMMANDS if command.startswith(f"conveyor {beginning}")})
    assert len(found) == 1, found
    return shlex.split(found[0])[1:]


def until(what: str, look: Callable[[], Any]) -> Any:
    """What `look` returns as soon as it is something."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"never came: {what}")


class Folder:
    """An empty folder with a prompt."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.processes: list[subprocess.Popen[str]] = []
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    def say(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """A command that ends. code: how; None: however."""
        done = subprocess.run(
            [sys.executable, "-m", "engine.cli", *arguments], cwd=self.path, env=self.environment, text=True,
            capture_output=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def begin(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """A command that goes on; what it says goes to files."""
        with (self.path / f"{name}.out").open("w") as out, (self.path / f"{name}.err").open("w") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "engine.cli", *arguments], cwd=self.path, env=self.environment, stdout=out,
                stderr=err, text=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def said(self, name: str) -> str:
        return (self.path / name).read_text()

    def status(self) -> Any:
        told = self.say("status", "--json", code=None)
        return json.loads(told.stdout)["status"] if told.returncode == 0 else None


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    compile_kernels()
    made = Folder(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_is_one(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "history").mkdir()
    (tmp_path / "sessions/hour/journal").mkdir(parents=True)
    arguments, verb = shlex.split(command)[1:], cli
    while isinstance(verb, click.Group):
        verb = verb.commands[arguments.pop(0)]  # type: ignore[assignment]
    verb.make_context(command, arguments)  # a wrong option, choice or file is an exception


def promoted(folder: Folder, mode: list[str]) -> None:
    """verify && ctl mode, as the page has it, and once more as long as only rows are missing."""

    def lacking() -> list[str]:
        folder.say(*the("verify"))
        asked = folder.say(*mode, code=None)
        return [line.strip() for line in asked.stderr.splitlines() if line.startswith("  ")] or ["nothing"]

    def look() -> list[str]:
        unmet = lacking()
        return [] if any("rows in the last hour, 30 tell" in one for one in unmet) else unmet

    unmet = until(" ".join(mode), look)
    if unmet != ["nothing"]:
        assert all(one.startswith(OF_THE_MACHINE) for one in unmet), unmet
        folder.say(*mode, "--override", "a slow machine")


@pytest.mark.slow
def test_the_first_hour_from_dry_run_to_canary_and_its_proof(folder: Folder):
    receiver = folder.begin("receive", "signals", "receive", "--port", "0", "--json")
    hook = until("the receiver", lambda: re.search(r"webhook_url=(\S+)", folder.said("receive.err")))[1]
    folder.say(*the("simulate"))
    files = "\n".join(block for block in BLOCKS if ".toml" in block and "conveyor run" not in block)
    subprocess.run(["bash", "-e", "-c", f"conveyor() {{ :; }}\n{files}"], cwd=folder.path, check=True)

    exchange = the("exchange")
    exchange[exchange.index("--speed") + 1] = FASTER
    folder.begin("exchange", *exchange, "--port", "0")
    port = until("the exchange", lambda: re.search(r"time.source=http://127.0.0.1:(\d+)", folder.said("exchange.out")))
    settings = (folder.path / "settings.toml").read_text().replace("127.0.0.1:9090", f"127.0.0.1:{port[1]}")
    for own, more in {**PATIENT, "http://127.0.0.1:9191/": hook}.items():
        assert own in settings
        settings = settings.replace(own, more)
    (folder.path / "settings.toml").write_text(settings)
    folder.say(*the("config validate"))

    engine = folder.begin("run", *the("run"))
    until("a minute", lambda: (told := folder.status()) and told["minutes"]["closed"])
    refused = folder.say(*the("ctl mode canary"), code=1).stderr
    assert "  step: the mode is dry-run, shadow comes before canary\n  " in refused
    assert "  replay: none of this session; run `conveyor verify` on it\n" in refused
    assert folder.status()["minutes"]["closed"]  # nobody was disturbed

    promoted(folder, the("ctl mode shadow"))
    promoted(folder, the("ctl mode canary"))
    until("a signal outside", lambda: folder.said("receive.out"))
    boxes = json.loads(folder.say(*the("checklist"), "--json", code=None).stdout)["boxes"]
    assert [box["verdict"] for box in boxes if "published as canaries" in box["box"]] == ["pass"]
    assert "outside" in folder.say(*the("signals tail")).stdout
    assert "published" in folder.say(*the("sql")).stdout

    engine.kill()
    engine.wait()
    engine = folder.begin("again", *the("run"))
    mode = until("the engine again", lambda: (told := folder.status()) and told["release"]["mode"])
    assert mode == "dry-run"  # as the command says; never more than before
    assert "--prime is left aside" in folder.said("again.err")
    folder.say(*the("ctl mode canary"), "--override", "drill 7")
    events = [json.loads(line) for line in folder.said("sessions/hour/events.jsonl").splitlines()]
    (drill,) = (event["detail"] for event in events if event["detail"].get("override") == "drill 7")
    assert drill["who"]
    assert any(one.startswith("step: ") for one in drill["unmet"])

    assert folder.say(*the("ctl stop")).stdout == "the engine has stopped\n"
    assert engine.wait(PATIENCE_S) == 0
    assert "replay verified" in folder.say(*the("verify")).stdout
    folder.say(*the("replay"))
    assert "no difference" in folder.say(*the("diff")).stdout

    receiver.send_signal(signal.SIGINT)
    assert receiver.wait(PATIENCE_S) == 0
    came = [json.loads(line) for line in folder.said("receive.out").splitlines()]
    assert {one["payload"]["symbol"] for one in came} <= {"BTC", "ETH"}
    assert {one["payload"]["event"]["class"] for one in came} == {"spike"}
    assert len({one["id"] for one in came}) == len(came)
    outbox = b"".join(path.read_bytes() for path in sorted((folder.path / "sessions/hour").glob("signals/*.jsonl")))
    left = {line["id"] for line in map(json.loads, outbox.splitlines()) if line["reach"] == "outside"}
    assert {one["id"] for one in came} <= left
