"""Victims without the wait for their imports: a process that has everything in memory forks them, one after the other.

`python -m replay.chaos.nursery` reads a line of JSON per victim and answers with the exit code when it is gone. Forking
is safe because this process has one thread, which is checked before each. What is forked is as mortal as any process:
it has its own file handles, locks and threads.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from replay.chaos import victim

ROOT = Path(__file__).resolve().parents[2]


class Nursery:
    """The other end: starts the process above, and asks it for victims. replays: with the conveyor in memory."""

    def __init__(self, replays: bool) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *(["replay"] if replays else [])],
            cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def live(self, arguments: list[str], out: Path, err: Path, after_s: float) -> int:
        """The exit code of a victim that was killed after so long, unless it had ended by then."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"arguments": arguments, "out": str(out), "err": str(err), "after_s": after_s}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def environment() -> dict[str, str]:
    """Of a victim: the sources of this tree, and no thread that an import starts."""
    threads = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
    return {**os.environ, "PYTHONPATH": str(ROOT), **threads}


def deliver(order: dict[str, Any]) -> int:
    """Fork a victim, wait, kill it; returns its exit code, negative for the signal it died of."""
    if len(os.listdir("/proc/self/task")) != 1:
        sys.exit("the nursery has more than one thread, so it must not fork")
    pid = os.fork()
    if pid == 0:
        become(order)
    handle = os.pidfd_open(pid)
    ended, _, _ = select.select([handle], [], [], order["after_s"])
    if not ended:
        os.kill(pid, signal.SIGKILL)
    os.close(handle)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def become(order: dict[str, Any]) -> NoReturn:
    """The child: a victim whose streams are files."""
    status = 1
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(order["out"], flags, 0o600), 1)
        os.dup2(os.open(order["err"], flags, 0o600), 2)
        victim.main(order["arguments"])
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def main() -> None:
    import engine.io.journal_writer

    if sys.argv[1:] == ["replay"]:
        import engine.commands.replay
        import engine.io.session
        import engine.io.states  # noqa: F401
        from engine.warm import warm

        warm()
    for line in sys.stdin:
        print(deliver(json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
