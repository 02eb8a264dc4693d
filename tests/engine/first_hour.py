"""The operator guide's first hour against the local exchange in memory: `python -m tests.engine.first_hour [SEED]`.

A simulated market of an hour, primed by a journal of the day before, on a loop of virtual time: dry run, shadow after
18 minutes, canary after 38, no override anywhere; at the end the checklist, how far each signal might go, a verified
replay. Exit 1 if a promotion is refused, a box fails, a signal went too far or the replay differs. Latencies are those
of the machine it runs on.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from config.schema import Core
from engine.app import App
from engine.core.control import Command
from engine.core.effects import MinuteRows, Released
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from engine.core.release import Reach, Release
from engine.io.checklist import Box, first_hour
from engine.io.session_reader import SessionReader
from engine.io.verified import Verified, write_verified
from replay.exchange import CALM, Exchange, VirtualClock, VirtualLoop, simulated
from replay.recording import record
from replay.simulate import Market, simulate
from replay.simulate.market import FIRST_MINUTE_NS
from replay.verify import replayed, verify
from tests.engine.test_app import World, settings

MINUTES, EARLIER_MINUTES, ACTIVITY = 61, 230, 0.3
STEPS = ((18, "shadow"), (38, "canary"))  # minute of the hour, mode


class Hour(World):
    """One market of an hour, and the journal of a market like it, a day before."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder / "session", 1)
        self.exchange = Exchange(simulated(Market(seed=seed, minutes=MINUTES, activity=ACTIVITY), "hyperliquid"), CALM)
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop, self.exchange.now_ns)
        day_before_ns = FIRST_MINUTE_NS - 24 * 60 * NS_PER_MINUTE
        market = Market(seed=seed, minutes=EARLIER_MINUTES, activity=ACTIVITY, first_minute_ns=day_before_ns)
        self.earlier = folder / "earlier"
        record(self.earlier, simulate(market), origin="simulated", core=Core())


def walk(hour: Hour) -> list[str]:
    """What went wrong."""
    wrong: list[str] = []

    async def story() -> None:
        app = hour.app(settings(), earlier=hour.earlier)
        running = asyncio.create_task(app.run(hour.at(60, 20)))
        for minute, mode in STEPS:
            await asyncio.sleep((hour.at(minute, 25) - hour.clock.now_ns()) / NS_PER_S)
            prove(app, hour.folder)
            answer = await app.commands.obey(Command("mode", [mode], "walker"))
            print(f"minute {minute}: {answer['sentence']}")
            if not answer["done"]:
                wrong.append(answer["sentence"])
        await asyncio.sleep((hour.at(60, 10) - hour.clock.now_ns()) / NS_PER_S)
        wrong.extend(f"{box.box}: {box.measured}" for box in shown(app) if box.verdict == "fail")
        await running

    hour.play(story)
    wrong += went_too_far(hour)
    with SessionReader(hour.folder) as reader:
        verdict = verify(reader, replayed(reader))
    print(verdict.sentence())
    return [*wrong, *([verdict.sentence()] if verdict.difference else [])]


def went_too_far(hour: Hour) -> list[str]:
    """Signals by how far they might go when they came, printed; those beyond their mode or the canary's list."""
    release, reaches, wrong = Release(), Counter[str](), list[str]()
    for effect in hour.kept.effects:
        if isinstance(effect, Released):
            release = effect.release
        found = effect.found if isinstance(effect, MinuteRows) else None
        for signal in found.signals if found else ():
            reach, why = release.reach(signal)
            reaches[f"{reach.name.lower()} {f'({why})' if why else ''}".strip()] += 1
            is_canary = signal.symbol in ("BTC", "ETH") and signal.signal_class == "spike"
            late = signal.exchange_ts * NS_PER_MS > hour.at(STEPS[-1][0], 25)
            if reach is Reach.OUTSIDE and not (is_canary and late):
                wrong.append(f"{signal.symbol} {signal.detector} went outside")
    print(f"signals: {', '.join(f'{name} {count}' for name, count in reaches.items()) or 'none'}")
    return wrong


def prove(app: App, session: Path) -> None:
    """As `conveyor verify` does it beside a running engine."""
    assert app.session is not None
    app.session.store.drain()
    with SessionReader(session) as reader:
        verdict = verify(reader, replayed(reader), is_running=True)
    assert verdict.difference is None, verdict.sentence()
    write_verified(session, Verified(verdict.last_link, verdict.chain, verdict.last_exchange_ts, False))


def shown(app: App) -> list[Box]:
    """The checklist of the running engine, printed."""
    assert app.session is not None
    app.session.store.drain()
    boxes = first_hour(app.fitness.evidence())
    marks: dict[Any, str] = {"pass": "[x]", "fail": "[!]", "unknown": "[ ]"}
    for box in boxes:
        print(f"  {marks[box.verdict]} {box.when:>5}  {box.box}: {box.measured}")
    return boxes


def main(folder: Path, seed: int) -> int:
    began = time.monotonic()
    wrong = walk(Hour(folder, seed))
    told = f"went wrong: {'; '.join(wrong)}" if wrong else "the first hour was walked"
    print(f"{told}, {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        sys.exit(main(Path(made), int(sys.argv[1]) if sys.argv[1:] else 3))
