"""The operator guide's latency budgets as pass and fail; what is not built yet is neither."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from bench.durable import store
from bench.features import WHOLE as WHOLE_MINUTE
from bench.features import one_minute
from bench.harness import ResultDiffersError, Row, jitter, no_collection, now_ns, row
from bench.material import Material, Message, records_of, simulated, sized
from bench.signals import WHOLE as WHOLE_SIGNALS
from bench.signals import one_minute as judged_minute
from bench.table import Goal, Line, read
from config.schema import Core
from engine.conveyor import Conveyor
from engine.core.effects import MinuteRows
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from engine.core.records import Record, batch_of, encode
from engine.io.journal_writer import JournalWriter, journal_header
from engine.io.store import Store

SYMBOLS = (35, 50)  # the guide's universe, and the one the other figures use
GROUP_NS = 10 * NS_PER_MS  # of one commit of the journal
SUSTAINED = "belt: the market's rate, sustained"


@dataclass(frozen=True, slots=True)
class NotBuilt:
    """A budget whose stage does not exist yet."""

    what: str
    budget: str


def _built() -> Iterator[Goal]:
    for symbols in SYMBOLS:
        on, reads = f"synthetic {symbols} symbols", r"store: close decision to durable row"
        for take, most in (("p95", 300.0), ("p99", 500.0)):
            what = f"bar finalize: close decision to durable row, {symbols} symbols, {take}"
            yield Goal(what, reads, on, take, most, unit="ms")
        what = f"market context: features, baselines and market of a minute, {symbols} symbols, p95"
        yield Goal(what, WHOLE_MINUTE, on, "p95", 50.0, unit="ms")
        what = f"detectors, gates and payloads of a minute, {symbols} symbols, p95"
        yield Goal(what, WHOLE_SIGNALS, on, "p95", 150.0, unit="ms")
        what = f"sustained rate over the market's mean rate, {symbols} symbols"
        yield Goal(what, SUSTAINED, f"simulated binance_usdm {symbols} symbols", "p50", 5.0, unit="x", more=True)


BUDGETS: tuple[Goal, ...] = tuple(_built())
NOT_BUILT = (
    NotBuilt("DSI, per asset", "≤ 10 ms"),
    NotBuilt("trading plan", "≤ 100 ms"),
    NotBuilt("message delivery between modules", "≤ 50 ms"),
    NotBuilt("end to end, close to bus, p95", "≤ 450 ms"),
    NotBuilt("end to end, close to bus, p99", "≤ 800 ms"),
)


def steps(minutes: int) -> Iterator[tuple[str, Callable[[], Iterator[Row]]]]:
    """minutes: closes per universe."""
    yield "jitter", lambda: iter([jitter("before")])
    for symbols in SYMBOLS:
        yield f"bar finalize of {symbols} symbols", partial(store, symbols, minutes)
        yield f"features of {symbols} symbols", partial(one_minute, symbols, minutes)
        yield f"signals of {symbols} symbols", partial(judged_minute, symbols, minutes)
        yield f"sustained rate of {symbols} symbols", partial(sustained, symbols)
    yield "jitter", lambda: iter([jitter("after")])


def judged(rows: list[Row]) -> list[Line]:
    """Every budget with its verdict, `met` or `short`; those that are not built come last."""
    lines = read(rows, BUDGETS)
    for one in NOT_BUILT:
        lines.append(Line(one.what, "", None, "", "", None, None, False, f"not built yet ({one.budget})"))
    return lines


def sustained(symbols: int, minutes: int = 2, group_ns: int = GROUP_NS) -> Iterator[Row]:
    """The whole belt as fast as it goes: journal with a commit per 10 ms of market, conveyor, store.

    A sample is one minute of market: its own 60 s over the time it took, the store's last commit included.
    """
    material = simulated("binance_usdm", symbols, minutes)
    with tempfile.TemporaryDirectory(prefix="conveyor-bench-") as folder:
        taken, chain, rows = _carry(material, Path(folder), group_ns)
    if rows < symbols * (minutes - 1):
        raise ResultDiffersError(f"{SUSTAINED}: {rows} rows of {symbols} symbols in {minutes} minutes; report it")
    frames = len(material.frames)
    yield row(
        SUSTAINED, f"{material.on} {symbols} symbols", frames, "x", [NS_PER_MINUTE / ns for ns in taken[:minutes]],
        rate=frames / sum(taken) * 1e6, rate_unit="k frames/s", digest=chain,
    )  # fmt: skip


def _carry(material: Material, folder: Path, group_ns: int) -> tuple[list[int], str, int]:
    """ns that each minute of market took; the chain, and how many rows the store has."""
    core = sized(material.symbols, connections_max=Core().limits.connections_max)
    conveyor, store, taken = Conveyor(), Store(folder / "store.duckdb"), []
    with JournalWriter(folder / "journal", header=journal_header("simulated", "")) as journal, no_collection():
        groups = _groups(material.messages, core, group_ns)
        for _, minute in groupby(groups, key=lambda group: group[0].recv_ns // NS_PER_MINUTE):
            prepared = list(minute)
            begun = now_ns()
            for group in prepared:
                for one in group:
                    journal.append(one.kind, one.source, one.recv_ns, one.payload)
                journal.commit()
                for effect in conveyor.handle(batch_of(b"".join(map(encode, group)))):
                    if isinstance(effect, MinuteRows):
                        store.put(effect)
            store.drain()
            taken.append(now_ns() - begun)
    status = store.close()
    return taken, conveyor.chain, status.rows_written


def _groups(messages: list[Message], core: Core, group_ns: int) -> Iterator[list[Record]]:
    for _, group in groupby(records_of(messages, core), key=lambda record: record.recv_ns // group_ns):
        yield list(group)
