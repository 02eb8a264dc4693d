"""A loop that stands still is noticed, with the line it stands at; garbage waits until it is asked for."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

from engine.io.probes import STALL_S, Garbage, StallProbe, Usage, memory_pct, resident_bytes


def the_long_call() -> None:
    """Holds the loop until well after a stall is one, however slow the machine."""
    until = time.monotonic() + 4 * STALL_S
    while time.monotonic() < until:
        time.sleep(0.01)


def test_a_stall_is_told_with_its_place_and_its_stack(tmp_path: Path):
    told: list[tuple[float, str]] = []

    async def story() -> None:
        probe = StallProbe(lambda late_ms, where: told.append((late_ms, where)), tmp_path)
        probe.start()
        the_long_call()
        while not told:
            await asyncio.sleep(0.01)
        probe.stop()
        assert probe.stalls == len(told)
        assert max(probe.lags_ms) > STALL_S * 1000

    asyncio.run(story())
    assert told[0][0] > STALL_S * 1000
    stack = (tmp_path / "stalls.txt").read_text()
    assert "the loop stands still" in stack
    assert "in the_long_call" in stack
    assert "test_probes.py" in told[0][1]
    assert (tmp_path / "stalls.txt").stat().st_mode & 0o777 == 0o600


def test_a_loop_that_lives_tells_nothing():
    told: list[str] = []

    async def story() -> None:
        probe = StallProbe(lambda late_ms, where: told.append(where))
        probe.start()
        probe._beat_at = time.monotonic() + 3600  # no beat is due
        await asyncio.sleep(0)
        probe.stop()

    asyncio.run(story())
    assert told == []


def test_cycles_are_collected_when_it_is_asked_for():
    class Node:
        other: Node

    dropped: list[str] = []

    def cycle(name: str) -> None:
        one, two = Node(), Node()
        one.other, two.other = two, one
        one.__class__.__del__ = lambda self: dropped.append(name)  # type: ignore[attr-defined]

    Garbage.start()
    try:
        cycle("first")
        assert not gc.isenabled()
        assert dropped == []
        Garbage.collect()
        assert dropped == ["first", "first"]
    finally:
        Garbage.stop()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_usage_is_of_this_process_and_machine():
    cpu_pct, used_pct = Usage().sample()
    assert cpu_pct >= 0
    assert 0 <= used_pct <= 100
    assert 0 <= memory_pct() <= 100
    assert resident_bytes() > 10 << 20
