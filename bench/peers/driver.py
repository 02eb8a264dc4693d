"""The parent's end of a driver: a process of its own, one line in, one line of JSON out, on the core we use."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from bench.peers.environment import HERE, PeerUnavailableError, python_of

TITLES = {"nautilus": "nautilus_trader", "hftbacktest": "hftbacktest", "websockets": "websockets"}
ANSWER_S_MAX = 300.0  # without an answer for so long the peer is given up


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this thread, and the processes it starts, on one core, so that both measure on the same one."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Driver:
    """A running driver. `version` is the peer's own; `once()` is one pass over the work.

    Whatever goes wrong with the process is a PeerUnavailableError that ends with what it said last on stderr.
    """

    def __init__(self, peer: str, arguments: Sequence[str], command: Sequence[str] | None = None) -> None:
        self.peer, self.title = peer, TITLES.get(peer, peer)
        told = command or [str(python_of(peer)), "-I", str(HERE / f"{peer}.py")]
        self._process = subprocess.Popen(
            [*told, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._said: list[bytes] = []
        self._listener = threading.Thread(target=self._listen, name=f"{peer}-stderr", daemon=True)
        self._listener.start()
        self.ready = self._answer()
        self.version = str(self.ready["version"])

    def once(self, bars: Path | None = None) -> dict[str, Any]:
        """One pass; its answer. bars: where the driver writes what it found."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{bars or ''}\n".encode())
            self._process.stdin.flush()
        except OSError:
            raise self._unavailable() from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        watch = threading.Timer(ANSWER_S_MAX, self._process.kill)
        watch.start()
        line = self._process.stdout.readline()
        watch.cancel()
        try:
            answer: dict[str, Any] = orjson.loads(line)
        except orjson.JSONDecodeError:
            self._process.kill()
            raise self._unavailable() from None
        return answer

    def _listen(self) -> None:
        """Keep the end of what the driver says on stderr, so that its pipe never fills."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._said = [*self._said[-19:], line]

    def _unavailable(self) -> PeerUnavailableError:
        code = self._process.wait()
        self._listener.join(5.0)
        said = b"".join(self._said).decode("utf-8", "replace").strip().splitlines()
        return PeerUnavailableError(self.peer, f"its driver ended with {code}: {said[-1] if said else 'no word'}")

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(10.0)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._listener.join(5.0)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()
