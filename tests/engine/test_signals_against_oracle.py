"""The stage `signals` against the naive rules, over made-up readings of two venues: every gate, and what is learned."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.detector import CLASSES
from engine.core.signal_columns import Stop
from tests.engine.judging import Bench, Reading, Values, line

M = 28_000_000
Y, Z = "binance_usdm", "hyperliquid"
SYMBOLS = [(Y, "SOL"), (Z, "BTC"), (Y, "ADA"), (Y, "XRP"), (Z, "ADA"), (Y, "BTC"), (Z, "SOL")]  # not by name
TABLE = [
    line("volume", cooldown_s=300, tiers=(("top", 3.2), ("tail", 3.8))),
    line("price", threshold=2.5, cooldown_s=900),
    line("interest", threshold=2.0, weights=(0.9, 0.6, 0.3, 0.58), half_life_s=7),
    line("spread", "shift", threshold=2.0, cooldown_s=300, half_life_s=300),
    line("basis", "shift", threshold=2.5, cooldown_s=61, tiers=(("mid", 2.2),)),
    line("basket", "synchrony", threshold=1.0, cooldown_s=0, half_life_s=86_400),
    line("turn", "rotation", threshold=0.5, cooldown_s=900, half_life_s=900),
    line("candle", "pattern", threshold=1.5, is_core=False),
]
SETTINGS: dict[str, Any] = {
    "minute_signals_max": 6,
    "rearm_pct": 70,
    "escalation_pct": 115,
    "detectors": {
        "price": {"stopped_in": ("extreme", "low"), "threshold_tail": 3.1},
        "basis": {"threshold": 2.6, "threshold_top": 2.0},
        "basket": {"cooldown_s": 1_200},
        "candle": {"enabled": True, "half_life_s": 60},
        "turn": {"enabled": False},
    },
    "classes": {"spike": {"symbol_signals_max": 1, "primary_max": 4.0, "secondary_max": 1.5}, "shift": {"offset": 2.5}},
}
# Of the threshold; around it and around 70 % of it.
SHARES = (None, -1.0, 0.0, 0.5, 0.699999, 0.7, 0.8, 0.999999, 1.0, 1.0, 1.000001, 1.2, 1.5, 2.0, 4.0)


def settings(classes: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """SETTINGS with others: a class that is named keeps the defaults of what is not said of it."""
    given = SETTINGS["classes"] | (classes or {})
    base = {"spike": {"offset": 2.3, "steepness": 0.6, "severity_min": 50}, "shift": {"steepness": 0.55}}
    return SETTINGS | {"classes": {name: base.get(name, {}) | told for name, told in given.items()}} | more


def random_finding(random: Random, threshold: float) -> Values:
    share = random.choice(SHARES) if random.random() < 0.5 else random.uniform(0.0, 3.0)
    size = None if share is None else share * threshold
    return {
        "measure": size,
        "is_met": int(random.random() < 0.9),
        "is_allowed": int(random.random() < 0.9),
        "primary": random.choice((size, size, random.gauss(2.0, 3.0), None)),
        "secondary": random.choice((random.gauss(0.5, 2.0), random.gauss(0.5, 2.0), 0.0, None)),
        "direction": random.choice((-1, 0, 1)),
    }


def random_row(random: Random) -> Values:
    def rarely(value: Any, *others: Any) -> Any:
        return random.choice(others) if random.random() < 0.06 else value

    return {
        "dq_status": rarely("ok", "partial", "stale"),
        "tier": random.choice(("none", "top", "mid", "tail")),
        "is_in_universe": rarely(1, 0),
        "is_hot": random.randrange(2),
        "is_warming_up": rarely(0, 1, None),
        "illiquidity_hit": rarely(0, 1, None),
        "illiquidity_penalty": random.choice((0, 0, 1, None)),
    }


def random_reading(random: Random, bench: Bench, venue: str, minute: int) -> Reading:
    names = [name for of, name in SYMBOLS if of == venue and random.random() < 0.9]
    share = random.choice((None, 0.0, random.random()))
    return Reading(
        venue, minute, {name: random_row(random) for name in names},
        {name: {one.id: random_finding(random, one.threshold) for one in bench.pack.table} for name in names},
        {"volatility_regime": random.choice((None, "low", "medium", "high", "extreme")), "shock_share": share},
    )  # fmt: skip


def play(bench: Bench, random: Random, minutes: int) -> Counter[str]:
    """Reasons, and how many candidates had each. One venue is now and then some minutes behind the other."""
    reasons: Counter[str] = Counter()
    waiting: list[tuple[str, int]] = []
    minute = M
    for _ in range(minutes):
        minute += random.choice((1, 1, 1, 2, 9))
        due, waiting = [*waiting, (Y, minute)], []
        if random.random() < 0.2:
            waiting.append((Z, minute))
        else:
            due.append((Z, minute))
        for venue, one in due:
            for _revision in range(random.choice((1, 1, 2, 3))):
                reading = random_reading(random, bench, venue, one)
                if random.random() < 0.04:
                    bench.forget_what_was_read()
                reasons.update(candidate.reason for candidate in bench.both(reading))
    return reasons


@pytest.mark.parametrize("seed", range(4))
def test_long_sessions_of_two_venues_meet_every_gate(seed: int) -> None:
    bench = Bench(TABLE, SYMBOLS, **settings())
    reasons = play(bench, Random(seed), minutes=400)
    met = {stop.name.lower() for stop in Stop} - {"veto"}
    assert reasons.keys() == met
    assert min(reasons.values()) >= 3, reasons


@pytest.mark.parametrize("room", [1, 2, 3])
def test_minutes_with_hardly_any_places(room: int) -> None:
    few = {name: {"symbol_signals_max": 1, "severity_min": 0} for name in CLASSES}
    random = Random(room)
    bench = Bench(TABLE, SYMBOLS, **settings(few, minute_signals_max=room))
    reasons = play(bench, random, minutes=150)
    assert reasons["budget_global"] > reasons["published"] > 100


# Short sessions, drawn so that what fails is small --------------------------------------------------------------------

sizes = st.sampled_from((None, 0.0, 1.0, 2.09, 2.1, 2.9, 3.0, 3.1, 4.0, 6.0, 9.0))
findings = st.fixed_dictionaries(
    {
        "measure": sizes, "is_met": st.sampled_from((1, 1, 1, 0)), "is_allowed": st.sampled_from((1, 1, 1, 0)),
        "primary": sizes, "secondary": st.sampled_from((None, -1.0, 0.0, 2.0)), "direction": st.just(1),
    }
)  # fmt: skip
rows = st.fixed_dictionaries(
    {
        "dq_status": st.sampled_from(("ok", "ok", "ok", "partial", "stale")), "tier": st.sampled_from(("mid", "tail")),
        "is_in_universe": st.sampled_from((1, 1, 0)), "is_hot": st.sampled_from((0, 1)),
        "is_warming_up": st.sampled_from((0, 0, 0, 1, None)), "illiquidity_hit": st.sampled_from((0, 0, 0, 1, None)),
        "illiquidity_penalty": st.sampled_from((0, 1, None)),
    }
)  # fmt: skip
markets = st.fixed_dictionaries(
    {"volatility_regime": st.sampled_from((None, "low", "high")), "shock_share": st.sampled_from((None, 0.0, 0.5))}
)
SMALL = [line("one", tiers=(("tail", 4.0),)), line("two", cooldown_s=600), line("three", "shift", half_life_s=60)]
waits = st.sampled_from((0, 1, 1, 1, 3))
steps = st.lists(st.tuples(waits, st.dictionaries(st.sampled_from("AB"), rows), markets), max_size=8)


@given(
    steps, st.data(), st.sampled_from((1, 2, 800)), st.sampled_from((0, 70, 100)), st.sampled_from((100, 130)),
    st.sampled_from((0, 60, 80)),
)  # fmt: skip
def test_short_sessions(
    steps: list[tuple[int, dict[str, Values], Values]], data: st.DataObject, room: int, rearm: int, escalation: int,
    severity_min: int,
) -> None:  # fmt: skip
    few = {name: {"symbol_signals_max": 1, "severity_min": severity_min} for name in CLASSES}
    bench = Bench(
        SMALL, [(Y, "B"), (Y, "A")], classes=few, minute_signals_max=room, rearm_pct=rearm, escalation_pct=escalation,
        detectors={"three": {"stopped_in": ("high",)}},
    )  # fmt: skip
    minute = M
    for wait, told, market in steps:
        minute += wait
        found = {name: {one.id: data.draw(findings) for one in SMALL} for name in told}
        bench.both(Reading(Y, minute, told, found, market))
