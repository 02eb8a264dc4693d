"""Every setting, declared once: name with its unit, type, range, default and one sentence.

`Core` is all that the deterministic core may read. It is journaled whole, as the configuration epoch, so that a replay
runs with the settings of the recording; nothing in the other sections may change a bit of the result.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from config.bus import Bus
from config.errors import ConfigError
from config.folder import Journal, Retention, State, Store
from config.publish import Publish
from config.section import Canonical, Names, Section, require
from config.signals import Signals


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise PydanticCustomError("power_of_two", "is not a power of two")
    return value


PowerOfTwo = Annotated[int, AfterValidator(_power_of_two)]


class Run(Section):
    """What this process is started for."""

    mode: Literal["dry-run", "shadow", "canary", "production", "replay"] = Field(
        "dry-run", description="Run mode: what the process is started for; each has a profile of its name."
    )


class Limits(Section):
    """Sizes of everything that is allocated at the start; reaching one is a counted drop, never a resize."""

    venues_max: int = Field(4, ge=1, le=16, description="Venues of one engine.")
    connections_max: int = Field(
        32, ge=1, le=63, description="Connections over all venues; a symbol knows its own as bits of a word."
    )
    symbols_max: int = Field(64, ge=1, le=4096, description="Symbols over all venues.")
    book_window_ticks: PowerOfTwo = Field(
        16_384,
        ge=1024,
        le=1_048_576,
        description="Prices around the mid that each side of a book keeps in its dense window.",
    )
    book_spill_levels: int = Field(
        16_384, ge=256, le=1_048_576, description="Levels outside the dense window that each side of a book keeps."
    )
    pending_diffs: int = Field(
        16_384, ge=16, le=1_048_576, description="Depth updates held while a book waits for its snapshot."
    )
    pending_levels: int = Field(
        262_144, ge=256, le=16_777_216, description="Price levels in the depth updates held while a book waits."
    )
    ticks_per_batch: int = Field(
        8192, ge=1024, le=1_048_576, description="Trade ticks, and quote ticks, buffered between tape and bars."
    )
    levels_per_frame: int = Field(
        8192, ge=64, le=131_072, description="Price levels read from one frame; a longer frame is rejected and counted."
    )
    dedupe_ids: PowerOfTwo = Field(
        8192, ge=256, le=1_048_576, description="Newest trade ids remembered per symbol to recognise duplicates."
    )
    detectors_max: int = Field(64, ge=1, le=512, description="Detectors of the table.")
    history_minutes: PowerOfTwo = Field(256, ge=16, le=4096, description="Closed minutes kept in the rings.")
    candidates_max: int = Field(
        2048, ge=1, le=16_384, description="Symbols over all venues, carried or not, that the universe chooses from."
    )


class Closing(Section):
    """When a minute closes, and how long it may still be revised."""

    watermark_ms: int = Field(
        1500, ge=100, le=10_000, description="Wait after the minute boundary before the clock closes the minute."
    )
    grace_ms: int = Field(
        3000, ge=100, le=30_000, description="Time after the boundary within which late trades make a new revision."
    )
    lateness_start_ms: int = Field(
        500, ge=0, le=10_000, description="Lateness allowed to a connection before its disorder was measured."
    )
    lateness_min_ms: int = Field(50, ge=0, le=10_000, description="Least lateness allowed to a connection.")
    lateness_max_ms: int = Field(1500, ge=0, le=10_000, description="Largest lateness allowed to a connection.")
    connect_settle_ms: int = Field(
        5000, ge=0, le=60_000, description="Time after a connect whose backfill does not count towards the lateness."
    )
    future_ms_max: int = Field(
        5000, ge=100, le=60_000, description="Largest lead of an event time over its receive time that is believed."
    )

    @model_validator(mode="after")
    def _order(self) -> Self:
        require(
            self.grace_ms >= self.watermark_ms,
            ["core.closing.grace_ms", "core.closing.watermark_ms"],
            "grace_ms >= watermark_ms",
        )
        require(
            self.lateness_min_ms <= self.lateness_start_ms <= self.lateness_max_ms,
            ["core.closing.lateness_start_ms", "core.closing.lateness_min_ms", "core.closing.lateness_max_ms"],
            "lateness_min_ms <= lateness_start_ms <= lateness_max_ms",
        )
        return self


class Quality(Section):
    """From where on a minute is no longer trusted."""

    book_slow_ms: int = Field(
        1500,
        ge=1,
        le=60_000,
        description="Age of the last proof that a book is current from which on it is noted as slow.",
    )
    book_stale_ms: int = Field(
        3000,
        ge=1,
        le=60_000,
        description="Age of the last proof that a book is current from which on the minute is stale.",
    )
    oi_stale_ms: int = Field(
        20_000,
        ge=1000,
        le=600_000,
        description="Age of the last open-interest sample from which on the minute is partial.",
    )
    return_max: float = Field(
        0.20, gt=0, le=10, description="Largest believed move of the mid from one minute to the next, as a fraction."
    )
    skew_step_ms_max: int = Field(
        1000, ge=1, le=60_000, description="Largest change of a venue's clock offset that leaves the minute trusted."
    )

    @model_validator(mode="after")
    def _order(self) -> Self:
        require(
            self.book_slow_ms < self.book_stale_ms,
            ["core.quality.book_slow_ms", "core.quality.book_stale_ms"],
            "book_slow_ms < book_stale_ms",
        )
        return self


class Universe(Section):
    """Which symbols are carried, venue by venue."""

    base_symbols: int = Field(
        0, ge=0, le=500, description="Symbols of each venue that are chosen by rank; 0: only pins and the hotlist."
    )
    pins: Names = Field((), description="Symbols that never leave, as VENUE:SYMBOL.")
    quote_suffixes: Names = Field(
        ("USDT",), description="Endings of a symbol that may be chosen, at venues whose symbols name the quote asset."
    )
    volume_lookback_minutes: int = Field(60, ge=1, le=1440, description="Minutes of dollar volume that are ranked.")
    interest_lookback_minutes: int = Field(60, ge=1, le=1440, description="Minutes of open interest that are ranked.")
    volume_weight_pct: int = Field(
        70, ge=0, le=100, description="Weight of the rank by volume; the rank by open interest has the rest."
    )
    entry_margin_ranks: int = Field(3, ge=0, le=100, description="A symbol enters at rank base_symbols less this.")
    exit_margin_ranks: int = Field(5, ge=0, le=100, description="It leaves beyond rank base_symbols plus this.")
    entry_minutes: int = Field(3, ge=1, le=60, description="Minutes in a row that a rank has to last for an entry.")
    exit_minutes: int = Field(5, ge=1, le=60, description="Minutes in a row that a rank has to last for an exit.")
    freeze_minutes: int = Field(5, ge=0, le=60, description="Minutes without entries and exits after one of them.")
    dwell_minutes: int = Field(30, ge=0, le=1440, description="Minutes a symbol stays before its rank can expel it.")
    churn_hourly_max: int = Field(
        5, ge=1, le=100, description="Entries and exits in an hour; the rest wait for it to end."
    )
    stale_minutes: int = Field(10, ge=1, le=60, description="Stale minutes in a row after which a dead symbol leaves.")
    dead_volume_quote: int = Field(
        10_000, ge=0, le=1_000_000_000, description="Volume over the lookback below which a stale symbol is dead."
    )
    dead_pause_minutes: int = Field(60, ge=0, le=1440, description="Minutes a dead symbol is not chosen again.")
    hot_symbols_max: int = Field(10, ge=1, le=100, description="Symbols on the hotlist of a venue.")
    hot_ttl_minutes: int = Field(15, ge=1, le=1440, description="Minutes on the hotlist at severity 0.")
    hot_ttl_severity_s: int = Field(18, ge=0, le=600, description="Time on the hotlist for each point of severity.")
    coverage_min_pct: int = Field(
        95, ge=0, le=100, description="Share of a venue's daily volume below which a larger base_symbols is proposed."
    )
    emergency_symbols: int = Field(5, ge=1, le=100, description="Symbols of each venue carried in an emergency.")

    @model_validator(mode="after")
    def _order(self) -> Self:
        require(
            self.base_symbols == 0 or self.base_symbols > self.entry_margin_ranks,
            ["core.universe.base_symbols", "core.universe.entry_margin_ranks"],
            "base_symbols = 0 or base_symbols > entry_margin_ranks",
        )
        for pin in self.pins:
            require(all(pin.partition(":")), ["core.universe.pins"], f"VENUE:SYMBOL, found {pin!r}")
        return self


class Load(Section):
    """From where on work is shed, judged by the journaled load samples."""

    slow_ms: int = Field(300, ge=1, le=60_000, description="p95 of bar_finalize_ms, last 20 closes, that is `slow`.")
    behind_ms: int = Field(500, ge=1, le=60_000, description="bar_finalize_ms of the newest close that is `behind`.")
    lagging_ms: int = Field(2000, ge=10, le=60_000, description="Age of the oldest waiting record that is `lagging`.")
    emergency_ms: int = Field(
        1000, ge=10, le=60_000, description="Latency that is an `emergency` while processor or memory are full."
    )
    emergency_cpu_pct: int = Field(90, ge=1, le=100, description="Processor use, of one core, that is full.")
    emergency_memory_pct: int = Field(90, ge=1, le=100, description="Memory use, of the machine, that is full.")
    relief_pct: int = Field(80, ge=1, le=100, description="Share of a threshold in ms below which it is left again.")
    rise_s: int = Field(3, ge=0, le=600, description="Time a threshold is exceeded before the level rises.")
    emergency_rise_s: int = Field(10, ge=0, le=600, description="The same for an emergency.")
    calm_s: int = Field(60, ge=1, le=3600, description="Time of relief before the level falls by one.")
    shed_pct: int = Field(20, ge=1, le=100, description="Share of a venue's symbols whose depth is left out at a time.")
    shed_again_s: int = Field(30, ge=1, le=3600, description="Time of lagging after which as many again follow.")


class Features(Section):
    """How the columns of a minute are computed."""

    hour_factors: bool = Field(
        False, description="Whether what an hour of the day adds is taken off a value before it is normalised."
    )


class Core(Canonical):
    """Everything the deterministic core may read; journaled whole as the configuration epoch."""

    limits: Limits = Field(Limits(), description="Sizes of everything that is allocated at the start.")
    closing: Closing = Field(Closing(), description="When a minute closes, and how long it may still be revised.")
    quality: Quality = Field(Quality(), description="From where on a minute is no longer trusted.")
    universe: Universe = Field(Universe(), description="Which symbols are carried, venue by venue.")
    load: Load = Field(Load(), description="From where on work is shed, judged by the journaled load samples.")
    features: Features = Field(Features(), description="How the columns of a minute are computed.")
    signals: Signals = Field(Signals(), description="The detector pack: what is looked for, and what becomes of it.")

    @model_validator(mode="after")
    def _remember(self) -> Self:
        universe, minutes = self.universe, self.limits.history_minutes
        require(
            universe.base_symbols == 0
            or max(universe.volume_lookback_minutes, universe.interest_lookback_minutes) <= minutes,
            [
                "core.universe.volume_lookback_minutes", "core.universe.interest_lookback_minutes",
                "core.limits.history_minutes",
            ],
            "volume_lookback_minutes, interest_lookback_minutes <= history_minutes",
        )  # fmt: skip
        return self

    @classmethod
    def decode(cls, payload: bytes) -> Core:
        """The settings of a journal's configuration epoch.

        Raises ConfigError if a key is missing, unknown or out of range: a default filled in here would not be the value
        the recording ran with.
        """
        try:
            written = orjson.loads(payload)
            core = cls.model_validate(written)
        except (orjson.JSONDecodeError, ValidationError) as error:
            raise ConfigError(
                "configuration epoch of the journal: expected the core settings of this version, "
                f"found {_summary(error)}; read the journal with the version of Conveyor that wrote it"
            ) from error
        missing = sorted(set(_leaves(core.model_dump())) - set(_leaves(written)))
        if missing:
            raise ConfigError(
                f"configuration epoch of the journal: expected every core setting, missing {', '.join(missing)}; "
                "read the journal with the version of Conveyor that wrote it"
            )
        return core


class Metrics(Section):
    """Figures for Prometheus. They are always at `GET /metrics` of the session's control socket."""

    port: int = Field(0, ge=0, le=65_535, description="Port of 127.0.0.1 that serves /metrics as well; 0: none.")


class Venue(Section):
    """One exchange: what is carried from it and where it is reached."""

    enabled: bool = Field(False, description="Whether this venue is connected to.")
    symbols: Names = Field((), description="Symbols that are always carried, as the venue writes them.")
    channels: Names = Field((), description="Channels of each symbol; empty: the venue's usual ones.")
    connections_each: int = Field(1, ge=1, le=2, description="Connections with the same streams; 2 survive one loss.")
    ws_url: str = Field("", description="WebSocket address; empty: the venue's own.")
    rest_url: str = Field("", description="REST address; empty: the venue's own.")


class Venues(Section):
    """The exchanges."""

    hyperliquid: Venue = Field(Venue(), description="Hyperliquid perpetuals.")
    binance_usdm: Venue = Field(Venue(), description="Binance USD-M futures.")
    binance_spot: Venue = Field(Venue(), description="Binance spot.")


class Feeds(Section):
    """How connections are kept alive."""

    transport: Literal["websockets"] = Field("websockets", description="Library behind the sockets.")
    coalesce_ms: float = Field(0.0, ge=0, le=50, description="Time for which socket reads are collected; 0: none.")
    connect_timeout_s: float = Field(10.0, ge=0.05, le=60, description="Time a connect may take.")
    ping_every_s: float = Field(2.0, ge=0.05, le=60, description="Time between two pings of the protocol.")
    ping_timeout_s: float = Field(1.0, ge=0.05, le=60, description="Time a pong may take.")
    silence_s: float = Field(3.0, ge=0.05, le=60, description="Time without any frame that makes a connection suspect.")
    backoff_min_s: float = Field(0.5, ge=0.05, le=60, description="Largest wait before the second attempt to connect.")
    backoff_max_s: float = Field(30.0, ge=0.05, le=600, description="Largest wait before any attempt to connect.")
    overlap_s: float = Field(
        10.0, ge=1, le=120, description="Time for which a connection and its planned successor both live."
    )
    rest_timeout_s: float = Field(5.0, ge=0.05, le=60, description="Time a REST request may take.")


class Time(Section):
    """Which clock the process lives by."""

    source: str = Field("host", description="`host`, or the address of a local exchange whose clock is followed.")
    step_ms_max: int = Field(250, ge=1, le=60_000, description="Largest step of the host's clock that is not told.")


class Config(Section):
    """All settings of one process."""

    run: Run = Field(Run(), description="What this process is started for.")
    core: Core = Field(Core(), description="Everything the deterministic core may read; journaled whole.")
    journal: Journal = Field(Journal(), description="How records are kept on disk.")
    store: Store = Field(Store(), description="The DuckDB projection of the closed minutes.")
    state: State = Field(State(), description="Snapshots of the engine's state.")
    retention: Retention = Field(Retention(), description="What is removed from a session's folder, and when.")
    metrics: Metrics = Field(Metrics(), description="Figures for Prometheus.")
    publish: Publish = Field(Publish(), description="Sinks of signals, and how patient each of them is.")
    bus: Bus = Field(Bus(), description="Modules in other processes.")
    venues: Venues = Field(Venues(), description="The exchanges.")
    feeds: Feeds = Field(Feeds(), description="How connections are kept alive.")
    time: Time = Field(Time(), description="Which clock the process lives by.")


def _leaves(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value of a nested mapping."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _leaves(value, f"{prefix}.{name}" if prefix else name)
    return found


def _summary(error: orjson.JSONDecodeError | ValidationError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'the whole'}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        )
    return f"no JSON ({error})"
