"""What the conveyor asks the ends to do. Effects are values; performing them is the runner's business."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.core.release import Release


@dataclass(frozen=True, slots=True)
class MarketRow:
    """The market of one venue in one minute.

    row: engine.core.market.MARKET, shape (), a copy. names: of the symbols whose index stands in it.
    """

    row: np.ndarray
    names: dict[int, str]


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal: what would be published in every mode.

    key: venue:symbol:class:1m, the debounce key. detector: its id. stage: how far it may go at most, one of
    engine.core.detector.STAGES. exchange_ts: close of its minute in ms. payload: canonical JSON, as
    docs/schema/signal.json says.
    """

    id: str
    venue: str
    symbol: str
    key: str
    detector: str
    signal_class: str
    stage: str
    exchange_ts: int
    severity: int
    direction: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """What detectors found in one reading of a venue's minute, and what became of it.

    rows: engine.core.signal_columns.CANDIDATE (n,), a copy, by symbol and place in the table. symbols, detectors,
    classes: name of each row's; into: of the detector it was coalesced into, "" for none. signals: of the rows whose
    reason is PUBLISHED, in the same order. config_hash: of the pack.
    """

    rows: np.ndarray
    symbols: tuple[str, ...]
    detectors: tuple[str, ...]
    classes: tuple[str, ...]
    into: tuple[str, ...]
    signals: tuple[Signal, ...]
    config_hash: str


@dataclass(frozen=True, slots=True)
class MinuteRows:
    """One closed minute of one venue, or one later revision of it.

    link: position in the digest chain, counted from 0; every effect of this kind adds one link.
    cause_seq: the record that caused it; nothing leaves the process before the journal is durable up to here.
    minute: index of the minute; its label is minutes.close_ms(minute).
    symbols: names, in the order of `rows`; rows: engine.core.schema.ROW, a copy. revision 0 is the first close.
    digests: SHA-256 hex per stage; chain: SHA-256 hex over the previous chain value and this link.
    market: as these rows leave it; None behind grace, when a status is lowered and the market row stays as it is.
    found: what detectors found in these rows; None if they did not look.
    """

    link: int
    cause_seq: int
    venue: str
    minute: int
    symbols: tuple[str, ...]
    scales: tuple[tuple[int, int], ...]  # (price_decimals, quantity_decimals) per symbol
    rows: np.ndarray
    digests: dict[str, str]
    chain: str
    revision: int = 0
    market: MarketRow | None = None
    found: Found | None = None


@dataclass(frozen=True, slots=True)
class RollupRows:
    """The bars of one block of one venue, or a later revision of some of them; a link of the same chain.

    As MinuteRows. tf: the timeframe; minute: the last one of the block; rows: engine.core.rollup_columns.ROLLUP.
    """

    link: int
    cause_seq: int
    venue: str
    tf: str
    minute: int
    symbols: tuple[str, ...]
    scales: tuple[tuple[int, int], ...]
    rows: np.ndarray
    digests: dict[str, str]
    chain: str
    revision: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotNeeded:
    """A book cannot be trusted: fetch a depth snapshot and journal it."""

    cause_seq: int
    venue: str
    symbol: str
    reason: str


@dataclass(frozen=True, slots=True)
class BackfillNeeded:
    """Trades may be missing: fetch them by REST and journal the answers. Trades seen already are told by id.

    from_ns, to_ns: venue time in which they lie. after_id: the newest trade id known before the gap; -1: none, or ids
    that do not count.
    """

    cause_seq: int
    venue: str
    symbol: str
    from_ns: int
    to_ns: int
    after_id: int


@dataclass(frozen=True, slots=True)
class CandleNeeded:
    """A minute can only be believed again if the venue's own candle says the same: fetch it and journal it."""

    cause_seq: int
    venue: str
    symbol: str
    minute: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """The symbols of a venue that are to be carried from now on, and of which depth is to be left out to save load."""

    cause_seq: int
    venue: str
    revision: int
    symbols: tuple[str, ...]
    without_depth: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Released:
    """From here on this decides what may leave; see docs/modes.md. Every start has one, and every change of it."""

    cause_seq: int
    release: Release


@dataclass(frozen=True, slots=True)
class Event:
    """Something a person would want to read in the session's event log."""

    cause_seq: int
    at_ns: int
    kind: str
    venue: str
    symbol: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heard:
    """A module said something: hand it to the bus. message: as it was journaled; nothing in the core reads it yet."""

    cause_seq: int
    at_ns: int
    message: bytes


@dataclass(frozen=True, slots=True)
class ConfigVersion:
    """A version of the settings: the first, or one that they were changed to.

    number: 0 for the first, then one more each. version: vMAJOR.MINOR.PATCH. from_minute: first minute that is judged
    under its pack; -1: every one. who, why, of: engine.core.control.Change. config_hash: of the pack.
    changes: (dotted key, old value, new value), None: not set. pack: canonical JSON of core.signals, whole.
    """

    cause_seq: int
    at_ns: int
    number: int
    version: str
    from_minute: int
    who: str
    why: str
    of: str
    config_hash: str
    changes: tuple[tuple[str, Any, Any], ...]
    pack: bytes


Link = MinuteRows | RollupRows  # what adds a link to the chain
Effect = Link | SnapshotNeeded | BackfillNeeded | CandleNeeded | Wanted | Released | ConfigVersion | Heard | Event
