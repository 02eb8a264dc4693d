"""The universe against the naive rules, over generated sessions: volumes, lists, outages, commands, restarts."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.belts import Belt, Minute, first_rows, wanted_of
from tests.engine.running import M, core
from tests.oracles.universe import Row, Told, Universe

NAMES = ("ADA", "BTC", "DOGE", "ETH", "LINK", "SOL", "XRP", "ZEC")
ROOM = 7  # for rows; there are eight names
RULES: dict[str, Any] = {
    "base_symbols": 3, "volume_lookback_minutes": 4, "interest_lookback_minutes": 3, "volume_weight_pct": 70,
    "entry_margin_ranks": 1, "exit_margin_ranks": 1, "entry_minutes": 2, "exit_minutes": 2, "freeze_minutes": 2,
    "dwell_minutes": 4, "churn_hourly_max": 3, "stale_minutes": 3, "dead_volume_quote": 2_000, "dead_pause_minutes": 5,
    "hot_symbols_max": 2, "hot_ttl_minutes": 3, "hot_ttl_severity_s": 18, "emergency_symbols": 2,
}  # fmt: skip

amounts = st.sampled_from((1, 2, 3, 5, 8, 13, 40))
lists = st.dictionaries(
    st.sampled_from(NAMES),
    st.tuples(st.sampled_from((0, 1_000, 50_000, 144_000, 700_000)), st.none() | st.sampled_from((1, 5, 9))),
)
some = st.lists(st.sampled_from(NAMES), max_size=2, unique=True)
rarely = st.integers(0, 9)
of_symbols = [(verb, name) for verb in ("pin", "unpin", "hot", "unhot") for name in NAMES]
of_severity = [("hot", name, severity) for name in NAMES for severity in ("0", "100")]
of_all = 4 * [("shed", "1"), ("shed", "2"), ("stop-shed",), ("emergency-top5",), ("resume",), ("resume",)]
commands = st.sampled_from([*of_symbols, *of_severity, *of_all])


@st.composite
def minutes(draw: st.DrawFn) -> Minute:
    return Minute(
        volumes=dict(zip(NAMES, draw(st.lists(amounts, min_size=8, max_size=8)), strict=True)),
        interests={name: draw(amounts) for name in draw(some)},
        silent=draw(some) if draw(rarely) > 6 else (),
        back=draw(some) if draw(rarely) > 6 else (),
        outage=draw(rarely) == 9,
        listed=draw(lists) if draw(rarely) > 6 else None,
        command=draw(commands) if draw(rarely) > 4 else (),
    )


sessions = st.tuples(st.lists(minutes(), min_size=12, max_size=40), st.sampled_from(((), ("ETH",), ("XRP", "ZEC"))))


def play(session: list[Minute], carried: tuple[str, ...], base: int, cut: int = 0, restarts: bool = False) -> Belt:
    """Play a session into a conveyor and into the oracle, and compare after every minute."""
    rules = RULES | {"base_symbols": base}
    belt = Belt(core(universe=rules, limits={"symbols_max": ROOM}), carried, refused=("LINK",), cut=cut)
    oracle = Universe(rules, ROOM)
    closes = 0
    for number, minute in enumerate(session):
        if restarts:
            belt.restart()
        effects = belt.play(minute)
        oracle.adopt(belt.carried)  # subscribed before anything else of the minute
        found_rows = first_rows(effects)
        for closed in range(closes, belt.closes):  # a venue that carries nothing closes minutes without rows
            rows = found_rows.get(closed, {})
            columns = ("is_in_universe", "is_hot", "universe_rev", "tier")
            for name, row in rows.items():
                expected = (name in oracle.in_universe, name in oracle.hot, oracle.revision)
                found = tuple(row[column] for column in columns)
                assert found == (*expected, oracle.tiers.get(name, "none")), f"{name} in minute {closed}"
            oracle.close(M + closed, {name: plain(row) for name, row in rows.items()})
        closes = belt.closes
        if minute.listed is not None:
            listed = {name: (float(v), None if oi is None else 100.0 * oi) for name, (v, oi) in minute.listed.items()}
            oracle.take_list(M + number, listed)
        if minute.command:
            obey(oracle, M + number, *minute.command)
        told = [Told(w.revision, w.symbols, w.without_depth) for w in wanted_of(belt.effects)]
        assert told == oracle.told, f"minute {number}: {told[-2:]} instead of {oracle.told[-2:]}"
    return belt


def plain(row: dict[str, Any]) -> Row:
    both = row["oi_close"] is not None and row["mid_close"] is not None
    interest = row["oi_close"] * float(row["mid_close"]) if both else None
    return Row(float(row["quote_volume"]), interest, row["dq_status"] == "stale")


def obey(oracle: Universe, next_minute: int, command: str, *arguments: str) -> None:
    """An operator's command, where the engine would not refuse it."""
    if command in ("pin", "unpin", "hot", "unhot"):
        name = arguments[0]
        one = oracle.symbols.get(name)
        listed = any(other.listed for other in oracle.symbols.values())
        if listed and (one is None or (one.listed is None and name not in oracle.instruments)):
            return
        chosen = {n for n, other in oracle.symbols.items() if other.base or other.pinned or other.hot_until}
        full = name not in oracle.instruments and len(oracle.instruments | chosen | {name}) > ROOM
        if command == "pin" and not full:
            oracle.pin([name])
        elif command == "hot" and not full:
            oracle.heat(next_minute, name, int(arguments[1]) if len(arguments) > 1 else 70)
        elif command == "unpin" and one and one.pinned:
            oracle.unpin(next_minute, [name])
        elif command == "unhot" and one and one.hot_until is not None:
            oracle.unheat(name)
    elif command == "shed" or command == "stop-shed":
        oracle.ask_shed(int(arguments[0]) if arguments else 0)
    elif command == "emergency-top5" or oracle.emergency:
        oracle.switch_emergency(command == "emergency-top5")


USUAL = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def test_every_revision_and_every_row_is_what_the_rules_say():
    reasons: Counter[str] = Counter()

    @USUAL
    @given(sessions, st.sampled_from((0, 2, 3, 3, 3, 4)))
    def sessions_agree(session: tuple[list[Minute], tuple[str, ...]], base: int) -> None:
        minutes_of, carried = session
        belt = play(minutes_of, carried, base)
        reasons.update(reason for wanted in wanted_of(belt.effects) for reason in wanted.reason.split(", "))

    sessions_agree()  # type: ignore[call-arg]
    expected = {"seed", "entry", "exit", "dead", "hot", "hot_expired", "hot_evicted", "pin", "unpin", "unhot"}
    assert expected | {"emergency-top5", "resume"} <= set(reasons), reasons


@settings(USUAL, max_examples=12)
@given(sessions)
def test_restarts_and_batches_change_nothing(session):
    whole = play(*session, 3)
    for other in (play(*session, 3, cut=7), play(*session, 3, restarts=True)):
        assert other.conveyor.chain == whole.conveyor.chain
        assert _same(other.effects, whole.effects)
        assert other.conveyor.wanted == whole.conveyor.wanted


def _same(one: list[Any], other: list[Any]) -> bool:
    """Effects are equal; rows are arrays and are compared by the chain."""
    return [repr(e) for e in one if not hasattr(e, "rows")] == [repr(e) for e in other if not hasattr(e, "rows")]
