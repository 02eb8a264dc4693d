"""Real servers on loopback ports, begun and killed by tests; a test skips where their program is not installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

PATIENCE_S = 10.0


def free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


def needed(program: str, package: str) -> str:
    """Path of the program; skips the test if it, or its Python client, is not there."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"no {program} on the PATH; it is a package of Debian and of most systems")
    if find_spec(package) is None:
        pytest.skip(f"its client is not installed: pip install conveyor[{package}]")
    return path


class Server:
    """One process, that listens on `port` when `start` returns. Killed, it may be started again on the same data."""

    def __init__(self, command: list[str], port: int, folder: Path) -> None:
        self._command, self.port, self._folder = command, port, folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self._process.poll() is None, f"{self._command[0]} ended at once"
                assert time.monotonic() < until, f"{self._command[0]} does not listen"
                time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def redis_server(folder: Path) -> Server:
    port = free_port()
    path = needed("redis-server", "redis")
    told = ["--port", str(port), "--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    return Server([path, *told, "--dir", str(folder)], port, folder)


def nats_server(folder: Path) -> Server:
    port = free_port()
    path = needed("nats-server", "nats")
    return Server([path, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "js")], port, folder)
