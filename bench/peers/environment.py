"""An environment per peer, made on demand from its lock under the user's cache folder and kept there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from config.errors import ConveyorError

HERE = Path(__file__).resolve().parent
STAMP = "made-from"  # written last: an environment without it was not finished


class PeerUnavailableError(ConveyorError):
    """This peer cannot be measured here; its rows say why, the other rows stand."""

    def __init__(self, peer: str, reason: str) -> None:
        self.peer, self.reason = peer, reason
        super().__init__(f"peer not available: {peer}: {reason}")


def folder_of(peer: str) -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "conveyor" / "peers" / peer


def python_of(peer: str) -> Path:
    """The interpreter of the peer's environment, which is made if it is not there or its lock has changed."""
    lock, folder = HERE / f"{peer}.lock", folder_of(peer)
    python, wanted = folder / "bin" / "python", _stamp(lock)
    stamp = folder / STAMP
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and python.exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for command in _commands(folder, python, lock):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise PeerUnavailableError(peer, str(error)) from error
        if done.returncode:
            said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            reason = said[-1] if said else f"{command[0]} ended with {done.returncode}"
            raise PeerUnavailableError(peer, f"its packages could not be installed (is there a network?): {reason}")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _stamp(lock: Path) -> str:
    return f"{hashlib.sha256(lock.read_bytes()).hexdigest()} Python {sys.version.split()[0]}\n"


def _commands(folder: Path, python: Path, lock: Path) -> list[list[str]]:
    """uv where it is, venv and pip otherwise; nothing but what the lock's hashes allow."""
    uv = shutil.which("uv")
    if uv:
        return [
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(lock)],
        ]
    return [
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock)],
    ]
