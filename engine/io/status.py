"""What a running engine tells of itself: one plain dict, so that a page, a metric and a check read the same figures.

`App.status()` makes it, the control socket serves it as JSON. A section the process cannot tell is left out, a figure
that was not measured is None; neither is ever guessed. Times are ns UTC of the run's clock (`process.now_ns`).
Quantiles are over the last hour of this process, unless they say otherwise.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

HEALTH_WINDOW_MINUTES = 60  # of closed minutes, behind every share and quantile here


class Quantiles(TypedDict):
    """count: how many values; without any, the others are None."""

    count: int
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class Process(TypedDict):
    """time_source: `host`, or the address of the exchange whose clock is followed; speed: of that clock."""

    state: Literal["starting", "running", "stopping"]
    mode: str
    origin: Literal["live", "simulated"]
    session: str
    pid: int
    version: str
    started_ns: int
    now_ns: int
    time_source: str
    speed: float


class Minutes(TypedDict):
    """The last hour. ok, partial, stale: rows by their newest revision; reasons: rows that carry one, by name. cut:
    rows that only the start or the end of a symbol's recording made partial, so no fault of the data.

    close_to_row_ms: minute boundary to durable row, with the wait. bar_finalize_ms: close decision to durable row.
    ingest_lag_ms: receive to hand-over to the conveyor, the worst of each minute.
    """

    closed: int
    rows: int
    ok: int
    partial: int
    stale: int
    cut: int
    reasons: dict[str, int]
    last_close_ns: int | None
    close_to_row_ms: Quantiles
    bar_finalize_ms: Quantiles
    ingest_lag_ms: Quantiles


class SymbolMinute(TypedDict):
    """The newest row of a symbol. exchange_ts: ms, its close."""

    venue: str
    symbol: str
    exchange_ts: int
    status: Literal["ok", "partial", "stale"]
    reasons: list[str]
    trade_count: int
    book_staleness_ms: int | None
    oi_staleness_ms: int | None
    is_warming_up: bool


class Clock(TypedDict):
    """host_offset_ms: the run's clock less the host's. venue_offset_ms: least receive time less event time."""

    host_offset_ms: float
    slew_ppm: float
    steps: int
    venue_offset_ms: dict[str, float]


class Link(TypedDict):
    """One connection. state: `waiting` for its next attempt. silent: streams nothing comes on, as `trades BTC`.

    reason: why it last went down, or cannot come up; empty if it never did.
    """

    venue: str
    id: int
    state: Literal["up", "connecting", "waiting", "closed"]
    since_ns: int
    last_frame_ns: int | None
    frames: int
    bytes: int
    reconnects: int
    streams: int
    silent: list[str]
    reason: str


class Rest(TypedDict):
    venue: str
    weight_used: int
    weight_limit: int
    queued: int
    failed: int
    banned_until_ns: int | None


class Journal(TypedDict):
    """lag_ms: age of the oldest received record that was not handed over. full_since_ns: no room on the disk since.

    commit_ms, durable_ms: of the newest 6,000 commits, what one took, and the age of its oldest record by then: from
    receipt to durable.
    """

    folder: str
    durable_seq: int
    records: int
    bytes: int
    waiting_bytes: int
    lag_ms: float
    clamped: int
    commit_ms: Quantiles
    durable_ms: Quantiles
    full_since_ns: int | None


class Store(TypedDict):
    """As engine.io.store.StoreStatus."""

    last_link: int
    queued_rows: int
    dropped_rows: int
    errors: int
    trouble: str
    rebuild: str
    write_ms: float


class Disk(TypedDict):
    """As engine.io.retention.DiskUse.facts(). days_left: until the disk is full at the measured rate, if nothing is
    removed; None: not measured yet, or not growing. trouble: what could not be looked at or removed; empty: all was."""

    state: Literal["green", "amber", "red"]
    free_bytes: int
    total_bytes: int
    journal_bytes: int
    journal_bytes_max: int
    store_bytes: int
    logs_bytes: int
    growth_bytes_per_day: float | None
    days_left: float | None
    removed_bytes: int
    trouble: str


class Load(TypedDict):
    """level: of the core's ladder. cpu_pct: of one core; memory_pct: of the machine. stalls: of the loop, > 100 ms."""

    level: str
    cpu_pct: float
    memory_pct: float
    rss_bytes: int
    loop_lag_ms: Quantiles
    stalls: int


class Universe(TypedDict):
    """Of one venue: what is carried, and why."""

    venue: str
    revision: int
    symbols: list[str]
    without_depth: list[str]
    parked: list[str]
    reason: str


class Runs(TypedDict):
    """A detector that runs. stage: how far its signals may go at most."""

    id: str
    signal_class: str
    stage: str


class Release(TypedDict):
    """How far signals may go now. asked: for what the process was started. killed: switches that are off, `all` or
    detectors. emits: core.signals.emit.

    next: the mode above, empty at the top. unmet: what it lacks for `target`, as of measured_ns (None: never looked
    at); unknown: boxes of the first hour before it that nothing could tell of. budgets: signals of a symbol in one
    minute, by class.
    """

    mode: str
    asked: str
    since_ns: int
    killed: list[str]
    emits: bool
    next: str
    target: str
    unmet: list[str]
    unknown: int
    measured_ns: int | None
    budgets: dict[str, int]
    detectors: list[Runs]


class Pack(TypedDict):
    """The detector pack that was asked for last. from_ts: ms, label of the first minute under it; None: of every one.

    version, config_hash: as in `conveyor config history`, and the hash in every signal.
    """

    version: str
    config_hash: str
    from_ts: int | None


class Sink(TypedDict):
    """One way out of the outbox. failed: attempts. held: may no longer go so far. waiting: lines behind its cursor.

    oldest_s: age of the first of them. latency_ms: durable in the outbox to acknowledged. trouble: of the last attempt,
    empty while it works. The stream has `consumers` as well, and counts in `failed` those it cut off for slowness.
    """

    name: str
    is_outside: bool
    delivered: int
    failed: int
    dead: int
    held: int
    waiting: int
    oldest_s: float | None
    latency_ms: Quantiles
    trouble: str


class Publish(TypedDict):
    """signals: that ever came into the outbox. outside: whether anything exists that can send out of the process."""

    signals: int
    outside: bool
    trouble: str
    sinks: list[Sink]


class Judged(TypedDict):
    """Detectors in the last hour. reasons: candidates by what became of them, `published` among them; classes: signals
    by class; severity: of the signals. quarantined: detectors that failed and are not asked again in this session."""

    reasons: dict[str, int]
    classes: dict[str, int]
    severity: Quantiles
    quarantined: list[str]


class Delivered(TypedDict):
    """What became of messages. delivery_pct, latency_ms: of five minutes, with the colour of each. pending: now; the
    other counts are of the whole session."""

    pending: int
    delivered: int
    failed: int
    expired: int
    delivery_pct: float | None
    delivery: str
    latency_ms: Quantiles
    latency: str


class Module(Delivered):
    """One receiver of messages."""

    name: str


class BusLink(TypedDict):
    """The way to modules in other processes. came: messages they said; refused: what they may not say. Since the way
    was opened."""

    came: int
    refused: int
    trouble: str


class Bus(Delivered):
    """Module bus. said: messages by type, since the session began. link: None where it does not exist."""

    said: dict[str, int]
    modules: list[Module]
    link: BusLink | None
    trouble: str


class Status(TypedDict, total=False):
    """Everything. events: the newest ones last, as lines of events.jsonl."""

    process: Process
    release: Release
    pack: Pack
    minutes: Minutes
    symbols: list[SymbolMinute]
    clock: Clock
    connections: list[Link]
    rest: list[Rest]
    journal: Journal
    store: Store
    disk: Disk
    load: Load
    universe: list[Universe]
    judged: Judged
    publish: Publish
    bus: Bus
    events: list[dict[str, Any]]


class MinuteLatency(TypedDict):
    """A line of logs/minutes.jsonl, one for each first close of a venue's minute. exchange_ts: ms, the close."""

    venue: str
    exchange_ts: int
    link: int
    rows: int
    close_to_row_ms: float
    bar_finalize_ms: float
    ingest_lag_ms: float


def quantiles(values: list[float]) -> Quantiles:
    """By nearest rank."""
    if not values:
        return {"count": 0, "p50": None, "p95": None, "p99": None, "max": None}
    ordered = sorted(values)
    count = len(ordered)
    p50, p95, p99 = (ordered[-(-count * percent // 100) - 1] for percent in (50, 95, 99))
    return {"count": count, "p50": p50, "p95": p95, "p99": p99, "max": ordered[-1]}
