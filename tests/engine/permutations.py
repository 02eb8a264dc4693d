"""What must not matter: the order of arrival inside the watermark, repetition, the batches, a restart.

`python -m tests.engine.permutations N` puts N generated sessions to every question below; the tests put a few. A case
that fails is shrunk by Hypothesis and printed as the call that repeats it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from engine import snapshot
from engine.conveyor import Conveyor
from engine.core.effects import Effect, Link
from engine.core.records import Record, RecordKind
from tests.engine.moves import DELAY_MS_MAX, Move
from tests.engine.running import Row, Run, batches, core, run
from tests.engine.sessions import (
    BINANCE,
    KINDS,
    PERMUTED,
    SENT,
    TRADE_CHANNELS,
    Session,
    Told,
    at_ns,
    in_order,
    told,
)

OF_TRADES = (
    "ohlc_source", "open", "high", "low", "close", "base_volume", "quote_volume", "taker_buy_base_volume",
    "taker_buy_quote_volume", "trade_count", "vwap", "trade_size_mean", "trade_size_std", "trade_size_max",
    "late_merged", "late_dropped",
)  # fmt: skip
COUNTS = ("received", "duplicate", "rejected")  # equal as well, as long as nothing is sent twice
# Observed at the record that closes the minute: of two frames of one instant, one may come before it and one behind.
OF_THE_CLOSE = ("book_age_ms", "book_staleness_ms", "clock_skew_ms", "close_wait_ms", "dq_status", "dq_reasons")
SECOND_CONNECTION = 3


def cases(count: int) -> settings:
    """Always the same cases, so that a failure seen once is seen by everybody."""
    return settings(
        max_examples=count, deadline=None, derandomize=True, database=None, print_blob=False,
        phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def sessions(kinds: Sequence[str] = KINDS, most: int = 14) -> st.SearchStrategy[Session]:
    """Sessions of up to `most` moves, simple ones first."""
    move = st.builds(
        Move, st.sampled_from(kinds), st.integers(0, 1), st.integers(0, 1), st.integers(0, 900),
        st.integers(0, DELAY_MS_MAX), st.integers(9_900, 10_100), st.integers(1, 5_000), st.booleans(),
    )  # fmt: skip
    return st.builds(
        Session,
        st.lists(move, min_size=1, max_size=most),
        st.sampled_from(BINANCE),
        st.sampled_from(TRADE_CHANNELS),
    )


places = st.lists(st.integers(0, 10**6), min_size=1, max_size=4)  # taken modulo what there is to choose from


# --- what is compared -------------------------------------------------------------------------------------------------


def trade_columns(result: Run, names: Sequence[str] = OF_TRADES) -> dict[Any, list[Row]]:
    """(venue, symbol, minute) -> trade columns of its revisions, without those that repeat the one before.

    Where no trade counted, prices are of the quotes and are left out.
    """
    found: dict[Any, list[Row]] = {}
    for key, rows in result.rows().items():
        shown: list[Row] = []
        for row in rows:
            kept = {name: row[name] for name in names if row["trade_count"] or name not in OF_TRADES[:5]}
            if not shown or shown[-1] != kept:
                shown.append(kept)
        found[key] = shown
    return found


def values(result: Run, left_out: Sequence[str] = ()) -> dict[Any, list[Row]]:
    """(venue, symbol, minute) -> every revision without where it stands in the session."""
    return {
        key: [{name: row[name] for name in row if name not in {"link", "seq", *left_out}} for row in rows]
        for key, rows in result.rows().items()
    }


def plain(effects: Sequence[Effect]) -> list[tuple[Any, ...]]:
    """Effects that can be compared: rows of minutes and bars as their bytes."""
    return [
        (e.link, e.cause_seq, e.venue, e.minute, e.revision, e.symbols, e.scales, e.rows.tobytes(), e.digests, e.chain)
        if isinstance(e, Link)
        else (e,)
        for e in effects
    ]


# --- the questions ----------------------------------------------------------------------------------------------------


def other_times(sent: Told, delays: Sequence[int]) -> list[Record]:
    """Every trade frame received at another time of its room."""
    records = []
    for number, record in enumerate(sent.records):
        if record.seq in sent.rooms:
            first, last = sent.rooms[record.seq]
            delay = delays[number % len(delays)] % (last - first + 1)
            record = replace(record, recv_ns=at_ns(first + delay))
        records.append(record)
    return records


def arrival(count: int) -> Callable[[], None]:
    @cases(count)
    @given(session=sessions(PERMUTED), delays=places)
    def check(session: Session, delays: list[int]) -> None:
        sent = told(session)
        one, other = run(sent.records), run(in_order(other_times(sent, delays)))
        names = OF_TRADES + COUNTS
        assert trade_columns(one, names) == trade_columns(other, names)

    return check


def repetition(count: int) -> Callable[[], None]:
    @cases(count)
    @given(session=sessions(PERMUTED), delays=places, which=places)
    def check(session: Session, delays: list[int], which: list[int]) -> None:
        sent = told(session)
        records = other_times(sent, delays)
        frames = sorted(sent.rooms)
        for place in which if frames else ():
            seq = frames[place % len(frames)]
            records.append(replace(sent.records[seq], recv_ns=at_ns(sent.rooms[seq].last)))
        one, other = run(sent.records), run(in_order(records))
        assert trade_columns(one) == trade_columns(other)

    return check


def second_connection(count: int) -> Callable[[], None]:
    """Another connection of a venue hears the same trades; either of the two may be the first to hear one."""

    @cases(count)
    @given(session=sessions(PERMUTED), delays=places, venue=st.integers(0, 1))
    def check(session: Session, delays: list[int], venue: int) -> None:
        sent = told(session)
        one = run(sent.records)
        records = other_times(sent, delays)
        for record in sent.records:
            trades = record.kind == RecordKind.FRAME and (b'"p":' in record.payload or b'"trades"' in record.payload)
            session_control = record.kind in (RecordKind.CONNECTION, RecordKind.SUBSCRIPTION)
            if record.source == venue + 1 and (trades or session_control):
                records.append(replace(record, source=SECOND_CONNECTION))
        other = run(in_order(records))
        assert trade_columns(one) == trade_columns(other)

    return check


def partition(count: int) -> Callable[[], None]:
    @cases(count)
    @given(session=sessions(), cuts=places)
    def check(session: Session, cuts: list[int]) -> None:
        records = told(session).records
        whole = run(records)
        single = run(records, cuts=range(len(records))) if cuts[0] % 8 == 0 else whole
        split = run(records, cuts=[cut % len(records) for cut in cuts])
        assert plain(whole.effects) == plain(split.effects) == plain(single.effects)

    return check


def restart(count: int) -> Callable[[], None]:
    @cases(count)
    @given(session=sessions(), stops=places)
    def check(session: Session, stops: list[int]) -> None:
        records = told(session).records
        whole = run(records)
        conveyor, effects = Conveyor(), []
        settings_record = Record(-1, records[0].recv_ns, 0, RecordKind.CONFIG, core().encode())
        for batch in batches([settings_record, *records], [stop % len(records) + 1 for stop in stops]):
            effects += conveyor.handle(batch)
            conveyor = snapshot.restore(snapshot.decode(snapshot.encode(snapshot.take(conveyor))))
        assert plain(whole.effects) == plain(effects)
        assert conveyor.chain == whole.chain

    return check


def instants(records: Sequence[Record]) -> Iterator[tuple[int, list[Record]]]:
    """(receive time, records of it)."""
    for recv_ns, group in groupby(records, lambda record: record.recv_ns):
        yield recv_ns, list(group)


def on_a_grid(sent: Told) -> list[Record]:
    """Frames of one or more symbols received at the next full 100 ms, so that many share an instant."""
    grid_ns = at_ns(100) - at_ns(0)
    return [
        replace(record, recv_ns=-(-record.recv_ns // grid_ns) * grid_ns) if record.seq in sent.symbols_of else record
        for record in sent.records
    ]


def symbols_of_one_instant(count: int) -> Callable[[], None]:
    """Frames of different symbols at one receive time, in any order that keeps each symbol's own.

    Where no minute closes at that time every column is equal: a frame touches its symbol's books, ticks and sums, and
    of its connection only maxima, minima and counts. Where one does, a frame may come before or behind the record that
    closes: it still takes effect at its own time, but the columns of OF_THE_CLOSE look at the moment itself.
    """

    @cases(count)
    @given(session=sessions(PERMUTED), close_too=st.booleans(), turns=places)
    def check(session: Session, close_too: bool, turns: list[int]) -> None:
        sent = told(session)
        records = sorted(on_a_grid(sent), key=lambda record: record.recv_ns)
        symbols = {id(record): sent.symbols_of.get(record.seq, ()) for record in records}
        one = run([replace(record, seq=n) for n, record in enumerate(records)])
        closing = {records[link.cause_seq].recv_ns for link in one.links}
        turned: list[Record] = []
        for number, (recv_ns, group) in enumerate(instants(records)):
            turn = turns[number % len(turns)]
            if recv_ns not in closing or close_too:
                for single, part in groupby(group, lambda record: len(symbols[id(record)]) == 1):
                    some = list(part)
                    turned += sorted(some, key=lambda r: (symbols[id(r)][0] * 7 + turn) % 11) if single else some
            else:
                turned += group
        other = run([replace(record, seq=n) for n, record in enumerate(turned)])
        left_out = OF_THE_CLOSE if close_too else ()
        assert values(one, left_out) == values(other, left_out)

    return check


def venues_of_one_instant(count: int) -> Callable[[], None]:
    """Frames of two venues at one receive time: nothing of a venue depends on the other, so every bit is equal."""

    @cases(count)
    @given(session=sessions(), turns=places)
    def check(session: Session, turns: list[int]) -> None:
        sent = told(session)
        records = sorted(on_a_grid(sent), key=lambda record: record.recv_ns)
        turned: list[Record] = []
        for number, (_, group) in enumerate(instants(records)):
            turn = turns[number % len(turns)] % 2
            for frames, part in groupby(group, lambda record: record.kind == RecordKind.FRAME):
                some = list(part)
                turned += sorted(some, key=lambda record: record.source * (1 - 2 * turn)) if frames else some
        one, other = (run([replace(r, seq=n) for n, r in enumerate(some)]) for some in (records, turned))
        for venue in (session.binance, "hyperliquid"):
            first, second = (
                [
                    (x.minute, x.revision, x.symbols, x.rows.tobytes(), x.digests)
                    for x in result.links
                    if x.venue == venue
                ]
                for result in (one, other)
            )
            assert first == second

    return check


def conservation(count: int) -> Callable[[], None]:
    """received = in the bar + late + duplicate + rejected in every row, and over the session every message once."""

    @cases(count)
    @given(session=sessions(SENT))
    def check(session: Session) -> None:
        sent = told(session)
        result = run(sent.records)
        found = dict.fromkeys(sent.sent, 0)
        for (venue, _, _), rows in result.rows().items():
            for row in rows:
                assert row["received"] == messages(row) + row["late_dropped"] + row["duplicate"] + row["rejected"]
            found[venue] += rows[-1]["received"]
        remembered = {(key[0], key[1], (key[2] + 1) * 60_000) for key in result.rows()}
        for event in result.events:
            if (
                event.kind == "late_trades"
                and (event.venue, event.symbol, event.detail["exchange_ts"]) not in remembered
            ):
                found[event.venue] += event.detail["count"]  # of a minute that never had a row
        assert found == sent.sent

    return check


def messages(row: Row) -> int:
    """Trade messages in a bar; an aggTrade message may count several trades."""
    return round(float(row["base_volume"]) / row["trade_size_mean"]) if row["trade_count"] else 0


QUESTIONS: dict[str, Callable[[int], Callable[[], None]]] = {
    "arrival": arrival,
    "repetition": repetition,
    "second_connection": second_connection,
    "partition": partition,
    "restart": restart,
    "symbols_of_one_instant": symbols_of_one_instant,
    "venues_of_one_instant": venues_of_one_instant,
    "conservation": conservation,
}


def main(arguments: Sequence[str]) -> None:
    count = int(arguments[0])
    for name in arguments[1:] or QUESTIONS:
        began = time.monotonic()
        QUESTIONS[name](count)()
        print(f"{name:24} {count:,} sessions, every one as it must be, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
