"""The minute row, declared once.

A column is one line below: its name, how it is kept, unit, when it is null, and where the definition comes from. The
array the stages write, the DuckDB column and its comment, the docs and `conveyor describe` all come from this table.
The columns of the stages `features` and `context` are in feature_columns.py. A change of any line changes SCHEMA_DIGEST.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum, IntFlag

import numpy as np

from engine.core.column import Column as Column
from engine.core.column import Form as Form
from engine.core.feature_columns import FEATURE_COLUMNS

NULL = -(2**63)  # the null of every integer column; NaN is the null of every real one


class Status(IntEnum):
    """Whether a minute may be trusted."""

    OK = 0
    PARTIAL = 1
    STALE = 2


class CloseReason(IntEnum):
    """What closed the minute: the watermark of every voting connection, or the clock."""

    EVENT = 0
    TIMEOUT = 1


class Tier(IntEnum):
    """Where a symbol of the universe stands by volume."""

    NONE = 0
    TOP = 1
    MID = 2
    TAIL = 3


class OhlcSource(IntEnum):
    """Where open, high, low and close come from."""

    NONE = 0
    TRADE = 1
    MID = 2


class Reason(IntFlag):
    """Why a minute has its status, or what a reader should know of it. Append-only; meanings in MEANINGS."""

    EDGE = 1 << 0
    GAP = 1 << 1
    DISCONNECTED = 1 << 2
    UNCONFIRMED = 1 << 3
    BOOK_GAP = 1 << 4
    BOOK_STALE = 1 << 5
    NO_DATA = 1 << 6
    PRICE_SANITY = 1 << 7
    RETURN_OUTLIER = 1 << 8
    SKEW = 1 << 9
    OI_STALE = 1 << 10
    L2_STALE = 1 << 11
    LATE_TRADES = 1 << 12
    REJECTED = 1 << 13
    MALFORMED = 1 << 14
    CANDLE_MISMATCH = 1 << 15
    OVERFLOW = 1 << 16
    NO_TRADES = 1 << 17
    BOOK_SLOW = 1 << 18
    RECOVERED = 1 << 19
    FEED_ABSENT = 1 << 20


MEANINGS: dict[Reason, str] = {
    Reason.EDGE: "the recording of this symbol began or ended inside the minute",
    Reason.GAP: "trades may be missing: nobody carried them for a part of the minute, or an id is missing",
    Reason.DISCONNECTED: "no live connection carried this symbol at any time of the minute",
    Reason.UNCONFIRMED: "closed by timeout, and nothing proved the connection alive after the boundary",
    Reason.BOOK_GAP: "the book missed an update, or was exhausted, or nobody carried quotes or book for a part of the minute",
    Reason.BOOK_STALE: "no proof that the book is current within 3,000 ms of the close",
    Reason.NO_DATA: "neither a trade nor a quote in force",
    Reason.PRICE_SANITY: "low <= open, close <= high does not hold",
    Reason.RETURN_OUTLIER: "the mid moved more than 20 % against the minute before, or a price was not believed",
    Reason.SKEW: "the venue's clock offset is unknown or moved more than 1 s",
    Reason.OI_STALE: "open interest is configured and older than 20 s",
    Reason.L2_STALE: "depth is configured and there is no book in step with the venue",
    Reason.LATE_TRADES: "trades of this minute came after grace and are only in the ledger",
    Reason.REJECTED: "a trade, or a frame that may have held one, could not be read",
    Reason.MALFORMED: "a frame of this connection could not be read, and it held no trade",
    Reason.CANDLE_MISMATCH: "the venue's own closed candle differs from this row",
    Reason.OVERFLOW: "a limit of the state was reached and something was not counted",
    Reason.NO_TRADES: "a quiet minute; prices are mids",
    Reason.BOOK_SLOW: "book staleness between 1,500 and 3,000 ms",
    Reason.RECOVERED: "late trades within grace were merged, or the venue's own candle disproved a loss",
    Reason.FEED_ABSENT: "an optional channel (open interest, mark price, depth) is not configured; its columns are null",
}
STALE_REASONS = (
    Reason.GAP | Reason.DISCONNECTED | Reason.BOOK_STALE | Reason.NO_DATA | Reason.PRICE_SANITY | Reason.RETURN_OUTLIER
    | Reason.LATE_TRADES | Reason.REJECTED | Reason.CANDLE_MISMATCH | Reason.OVERFLOW
)  # fmt: skip
PARTIAL_REASONS = (
    Reason.EDGE | Reason.UNCONFIRMED | Reason.BOOK_GAP | Reason.SKEW | Reason.OI_STALE | Reason.L2_STALE
    | Reason.MALFORMED
)  # fmt: skip


def _bars(name: str, form: Form, unit: str, null: str, source: str, *aliases: str) -> Column:
    return Column(name, form, unit, "bars", null, source, "bars", aliases=aliases)


def _quality(name: str, form: Form, unit: str, null: str, source: str) -> Column:
    return Column(name, form, unit, "quality", null, source, "quality")


def _universe(name: str, form: Form, unit: str, source: str) -> Column:
    return Column(name, form, unit, "universe", "never", source, "membership")


NO_PRICE = "no trade in the minute and no quote in force"
NO_TRADE = "no trade in the minute"
NO_QUOTE = "no quote in force during the minute"
NO_DEPTH = "depth not configured, or no book in step during the minute"
NO_OI = "open interest not configured or never seen"

COLUMNS: tuple[Column, ...] = (
    _bars("open", Form.PRICE, "quote/base", NO_PRICE, "first trade by (event time, venue order); else first mid"),
    _bars("high", Form.PRICE, "quote/base", NO_PRICE, "largest trade price; else largest mid"),
    _bars("low", Form.PRICE, "quote/base", NO_PRICE, "smallest trade price; else smallest mid"),
    _bars("close", Form.PRICE, "quote/base", NO_PRICE, "last trade by (event time, venue order); else last mid"),
    _bars("base_volume", Form.BASE, "venue quantity unit", "never", "sum of q"),
    _bars("quote_volume", Form.QUOTE, "quote", "never", "sum of p*q; inverse contracts: contract_size * sum of q", "v_total_m_1"),
    _bars("taker_buy_base_volume", Form.BASE, "venue quantity unit", "never", "sum of q over buyer-initiated trades"),
    _bars("taker_buy_quote_volume", Form.QUOTE, "quote", "never", "quote_volume over buyer-initiated trades", "v_buy_m_1"),
    _bars("trade_count", Form.INTEGER, "count", "never", "number of venue trades (aggTrade: last id - first id + 1)", "trade_count_m_1"),
    _bars("ohlc_source", Form.STATUS, "trade|mid|none", "never", "which of trades or mids gave open, high, low, close"),
    _bars("vwap", Form.REAL, "quote/base", NO_TRADE, "sum of p*q / sum of q", "vwap_m_1"),
    _bars("trade_size_mean", Form.REAL, "venue quantity unit", NO_TRADE, "base_volume / number of trade messages"),
    _bars("trade_size_std", Form.REAL, "venue quantity unit", NO_TRADE, "population standard deviation of q over trade messages"),
    _bars("trade_size_max", Form.BASE, "venue quantity unit", NO_TRADE, "largest q of one trade message"),
    _bars("mid_open", Form.PRICE, "quote/base", NO_QUOTE, "mid in force at the open of the minute, else the first one"),
    _bars("mid_high", Form.PRICE, "quote/base", NO_QUOTE, "largest mid in force"),
    _bars("mid_low", Form.PRICE, "quote/base", NO_QUOTE, "smallest mid in force"),
    _bars("mid_close", Form.PRICE, "quote/base", NO_QUOTE, "mid in force at the close"),
    _bars("mid_path_points", Form.INTEGER, "count", "never", "seconds of the 1 s previous-tick grid (1..60) that have a mid"),
    _bars("microprice_close", Form.REAL, "quote/base", NO_QUOTE, "(A*b + B*a)/(a + b) of the quote in force at the close", "microprice"),
    _bars("spread_mean", Form.REAL, "quote/base", NO_QUOTE, "time-weighted mean of A - B", "spread_mean_m_1"),
    _bars("spread_bp_mean", Form.REAL, "bp", NO_QUOTE, "time-weighted mean of 1e4 (A - B)/mid", "spread_bp_mean_m_1"),
    _bars("spread_max", Form.PRICE, "quote/base", NO_QUOTE, "largest A - B in force"),
    _bars("obi_top1_mean", Form.REAL, "1", NO_QUOTE, "time-weighted mean of b/(a + b) at the best prices"),
    _bars("obi_top5_mean", Form.REAL, "1", NO_DEPTH, "time-weighted mean of b/(a + b), quantities of the best 5 levels", "obi_top5_mean_m_1"),
    _bars("obi_top20_mean", Form.REAL, "1", NO_DEPTH, "time-weighted mean of b/(a + b), quantities of the best 20 levels"),
    _bars("depth_top20_mean", Form.REAL, "venue quantity unit", NO_DEPTH, "time-weighted mean of b + a over the best 20 levels"),
    _bars("ofi", Form.BASE, "venue quantity unit", "fewer than 2 quotes", "order-flow imbalance of Cont, Kukanov & Stoikov 2014", "ofi_m_1"),
    _bars("quote_count", Form.INTEGER, "count", "never", "best-bid-and-offer updates"),
    _bars("book_count", Form.INTEGER, "count", "never", "depth updates applied"),
    _bars("book_age_ms", Form.INTEGER, "ms", "no book message ever", "close - newest book message of any kind"),
    _bars("book_staleness_ms", Form.INTEGER, "ms", "no book message ever", "close - newest proof that the book is current"),
    _bars("oi_open", Form.REAL, "venue quantity unit", NO_OI, "first open-interest sample of the minute"),
    _bars("oi_close", Form.REAL, "venue quantity unit", NO_OI, "newest open-interest sample"),
    _bars("oi_min", Form.REAL, "venue quantity unit", NO_OI, "smallest open-interest sample of the minute"),
    _bars("oi_max", Form.REAL, "venue quantity unit", NO_OI, "largest open-interest sample of the minute"),
    _bars("oi_staleness_ms", Form.INTEGER, "ms", NO_OI, "close - newest open-interest sample"),
    _bars("mark_price", Form.REAL, "quote/base", "channel not configured or never seen", "newest mark price"),
    _bars("index_price", Form.REAL, "quote/base", "channel not configured or never seen", "newest index (oracle) price"),
    _bars("funding_rate", Form.REAL, "1 per funding interval", "channel not configured or never seen", "newest funding rate as sent"),
    _bars("liquidation_count", Form.INTEGER, "count", "channel not configured", "forced orders seen"),
    _bars("liquidation_buy_base", Form.BASE, "venue quantity unit", "channel not configured", "filled quantity of forced buys"),
    _bars("liquidation_sell_base", Form.BASE, "venue quantity unit", "channel not configured", "filled quantity of forced sells"),
    _bars("received", Form.INTEGER, "count", "never", "trade messages of this minute seen; = in bar + late_dropped + duplicate + rejected"),
    _bars("late_merged", Form.INTEGER, "count", "never", "trades merged after the first close, within grace"),
    _bars("late_dropped", Form.INTEGER, "count", "never", "trades that came after grace and are in the ledger only"),
    _bars("duplicate", Form.INTEGER, "count", "never", "trades seen before by id"),
    _bars("rejected", Form.INTEGER, "count", "never", "trades in no candle (insurance fund, ADL) or unreadable"),
    _bars("clock_skew_ms", Form.INTEGER, "ms", "never measured", "least receive time - event time, this minute and the last"),
    _bars("lateness_ms", Form.INTEGER, "ms", "never", "allowed lateness of the watermark when the minute closed"),
    _bars("close_wait_ms", Form.INTEGER, "ms", "never", "receive time of the record that closed it - boundary - clock skew"),
    _bars("close_reason", Form.STATUS, "event|timeout", "never", "what closed the minute"),
    _quality("dq_status", Form.STATUS, "ok|partial|stale", "never", "stale if any stale reason, else partial if any partial one"),
    _quality("dq_reasons", Form.REASONS, "bits", "never", "set of Reason"),
    _universe("is_in_universe", Form.INTEGER, "0|1", "carried as a pin or by rank, as the minute closed"),
    _universe("is_hot", Form.INTEGER, "0|1", "carried as one of the hotlist, as the minute closed"),
    _universe("universe_rev", Form.INTEGER, "count", "revision of the venue's universe, as the minute closed"),
    _universe("tier", Form.STATUS, "top|mid|tail|none", "tenth by volume of what is carried, at the close before: first, last, between"),
    _bars("funding_rate_hour", Form.REAL, "1/h", "as funding_rate, or no funding interval", "funding_rate / hours between two fundings", "funding_h_1"),
    _bars("quote_ns", Form.INTEGER, "ns", "never", "time of the minute in which a quote was in force"),
    _bars("book_ns", Form.INTEGER, "ns", "never", "time of the minute in which a book was in force"),
    *FEATURE_COLUMNS,
)  # fmt: skip

TIMEFRAME = "1m"


def _fields(column: Column) -> list[tuple[str, str]]:
    if column.form is Form.QUOTE:
        return [(f"{column.name}_hi", "<i8"), (f"{column.name}_lo", "<i8")]
    return [(column.name, "<f8" if column.form is Form.REAL else "<i8")]


ROW = np.dtype([field for column in COLUMNS for field in _fields(column)])
ROW_FIELDS: dict[str, tuple[str, ...]] = {  # stage -> its fields of ROW, in order
    stage: tuple(name for column in COLUMNS if column.stage == stage for name, _ in _fields(column))
    for stage in ("bars", "quality", "universe", "features", "context")
}
SCHEMA_DIGEST = hashlib.sha256(
    repr([(c.name, c.form.value, c.unit, c.stage, c.null, c.source, c.window, c.inputs) for c in COLUMNS]).encode()
).hexdigest()


def reason_names(bits: int) -> list[str]:
    """Names of the reasons set in `bits`, lowest bit first."""
    return [reason.name.lower() for reason in Reason if bits & reason and reason.name]


CODES: dict[str, type[IntEnum]] = {
    "ohlc_source": OhlcSource,
    "close_reason": CloseReason,
    "dq_status": Status,
    "tier": Tier,
}
