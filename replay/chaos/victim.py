"""A process that is to be killed: `python -m replay.chaos.victim journal FOLDER` or `... replay JOURNAL SESSION SPEED`.

It says on stdout what it has done, a line for everything that must never be lost. What is not needed is not imported:
most of its life shall be work.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from threading import Timer
from typing import Any

SEGMENT_BYTES, BLOCK_BYTES = 50_000, 5_000
INSIDE = ("seal", "save", "store")


def record_of(seq: int) -> tuple[int, int, int, bytes]:
    """kind, source, recv_ns and payload of the victim's record number `seq`."""
    return 5, seq % 7, seq * 1000, b"%d " % seq * (seq % 40)


def write_journal(folder: Path, seed: int) -> None:
    """Append and commit for ever, from where the journal stands; every line is the seq that is durable."""
    from engine.io.journal_writer import JournalWriter

    random = Random(seed)
    writer = JournalWriter(folder, header={"origin": "simulated"}, segment_bytes=SEGMENT_BYTES, block_bytes=BLOCK_BYTES)
    print(writer.durable_seq, flush=True)
    following = writer.durable_seq + 1
    while True:
        for seq in range(following, following + random.randrange(1, 50)):
            given = writer.append(*record_of(seq))
            assert given == seq, f"record {seq} was given seq {given}"
        following = seq + 1
        print(writer.commit(), flush=True)


def replay(journal: Path, session: Path, speed: float) -> None:
    """A replay with a state snapshot after every link; one line when it begins, one when the session is complete."""
    from engine.commands.replay import replay_into

    print("begun", flush=True)
    replay_into(journal, session, speed=speed, state_every=1)
    print("complete", flush=True)


def die_inside(place: str, number: int, after_s: float) -> None:
    """SIGKILL to this process, `after_s` after the `number`th sealing, saving of a state, or transaction of the store
    has begun."""

    def doomed(function: Callable[..., Any]) -> Callable[..., Any]:
        left = number

        def entered(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                timer = Timer(after_s, os.kill, (os.getpid(), signal.SIGKILL))
                timer.daemon = True
                timer.start()
            return function(*arguments, **named)

        return entered

    if place == "seal":
        from engine.io import journal_writer

        journal_writer.seal = doomed(journal_writer.seal)
    elif place == "save":
        from engine.io.states import StateFolder

        StateFolder.save = doomed(StateFolder.save)  # type: ignore[method-assign]
    else:
        from engine.io.store import Store

        Store._insert = doomed(Store._insert)  # type: ignore[method-assign]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("journal", "replay"))
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--inside", choices=INSIDE)
    parser.add_argument("--number", type=int, default=1)
    parser.add_argument("--after-s", type=float, default=0.0)
    parser.add_argument("--planted", default="")
    parser.add_argument("--file-bytes-max", type=int)
    given = parser.parse_args(arguments)
    if given.planted:
        from replay.chaos.plants import plant

        plant(given.planted)
    if given.file_bytes_max:
        resource.setrlimit(resource.RLIMIT_FSIZE, (given.file_bytes_max, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    if given.inside:
        die_inside(given.inside, given.number, given.after_s)
    if given.what == "journal":
        write_journal(given.paths[0], given.seed)
    else:
        replay(given.paths[0], given.paths[1], given.speed)


if __name__ == "__main__":
    main()
