"""15m and 1h bars (docs/features.md, Roll-ups), each from its own minutes, looked at again for every bar.

Volumes and quantities are decimals as somebody would type them, so their sums are taken without rounding and rounded
once; means and roots are plain floats, the oldest first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import log, sqrt
from typing import Any

from tests.oracles.features import Columns, Minute, Number, needed, total
from tests.oracles.features.baselines import SCALES_MIN, Baseline, logarithm, signed_root
from tests.oracles.features.oscillators import rsi
from tests.oracles.features.positioning import OI_STALE_MS, interest
from tests.oracles.features.trend import Bars, adx, true_ranges, wilder

MINUTES = {"15m": 15, "1h": 60}
HALF_LIFE_BARS = {"15m": 672, "1h": 720}
RESTART_BARS = 4
SUMS = ("base_volume", "quote_volume", "taker_buy_base_volume", "taker_buy_quote_volume")
COUNTS = ("trade_count", "quote_count", "book_count")
SUMS_OR_NULL = ("liquidation_count", "liquidation_buy_base", "liquidation_sell_base", "ofi")
HIGHEST = ("mid_high", "spread_max", "trade_size_max", "oi_max")
LOWEST = ("mid_low", "oi_min")
FIRST = ("mid_open", "oi_open")
LAST = ("mid_close", "oi_close", "oi_staleness_ms", "mark_price", "index_price", "funding_rate", "funding_rate_hour")
QUOTED = ("spread_mean", "spread_bp_mean", "obi_top1_mean")
BOOKED = ("obi_top5_mean", "obi_top20_mean", "depth_top20_mean")
BASELINES = ("vol", "ret_abs", "oi_roc", "spread", "basis")

Bar = dict[str, Any]  # column -> number, text, set of reasons or None


@dataclass
class RowMinute(Minute):
    """A Minute with the columns that only roll-ups read."""

    ohlc_source: str = "none"  # trade, mid, none
    reasons: frozenset[str] = frozenset()
    taker_buy_base_volume: float = 0.0
    trade_size_max: Number = None
    book_count: int = 0
    mid_high: Number = None
    mid_low: Number = None
    spread_max: Number = None
    obi_top20_mean: Number = None
    depth_top20_mean: Number = None
    oi_open: Number = None
    oi_min: Number = None
    oi_max: Number = None
    funding_rate: Number = None
    quote_ns: int = 0
    book_ns: int = 0


def rollups(minutes: Sequence[RowMinute], tf: str, oi_stale_ms: int = OI_STALE_MS) -> list[Bar]:
    """The bars of one symbol, ascending; `bar` is the number B of its block, `minute` that of its last minute."""
    n = MINUTES[tf]
    by_minute = {row.minute: row for row in minutes}
    bars = {block: plain(by_minute, block, n) for block in sorted({row.minute // n for row in minutes})}
    for block, bar in bars.items():
        bar |= against(bar, bars.get(block - 1), oi_stale_ms)
    for block, values in indicators(bars).items():
        bars[block] |= values
    for bar, normalised in zip(bars.values(), baselines(list(bars.values()), HALF_LIFE_BARS[tf]), strict=True):
        bar |= normalised
    return list(bars.values())


# --- one block alone --------------------------------------------------------------------------------------------------


def exact(value: float) -> Fraction:
    """The decimal that was typed."""
    return Fraction(repr(value))


def present(rows: Sequence[RowMinute], column: str) -> list[Any]:
    return [value for row in rows if (value := getattr(row, column)) is not None]


def plain(by_minute: Mapping[int, RowMinute], block: int, n: int) -> Bar:
    """Everything that needs no bar before it."""
    lattice = range(block * n, block * n + n)
    rows = [by_minute[t] for t in lattice if t in by_minute]
    last = by_minute.get(lattice[-1])
    sums = {column: sum((exact(getattr(row, column)) for row in rows), Fraction(0)) for column in SUMS}
    buy, volume = sums["taker_buy_quote_volume"], sums["quote_volume"]
    bar: Bar = {"bar": block, "minute": lattice[-1], **candle(rows), **quality(rows, n)}
    bar |= {column: float(value) for column, value in sums.items()}
    bar |= {column: sum(getattr(row, column) for row in rows) for column in COUNTS}
    for column in SUMS_OR_NULL:
        found = present(rows, column)
        bar[column] = float(sum((exact(value) for value in found), Fraction(0))) if found else None
    bar |= {column: max(present(rows, column), default=None) for column in HIGHEST}
    bar |= {column: min(present(rows, column), default=None) for column in LOWEST}
    bar |= {column: next(iter(present(rows, column)), None) for column in FIRST}
    bar |= {column: None if last is None else getattr(last, column) for column in LAST}
    bar |= {column: weighted(rows, column, "quote_ns") for column in QUOTED}
    bar |= {column: weighted(rows, column, "book_ns") for column in BOOKED}
    bar["taker_sell_quote_volume"] = float(volume - buy)
    bar["cvd_delta"] = float(2 * buy - volume)
    bar["signed_flow_ratio"] = bar["cvd_delta"] / bar["quote_volume"] if volume else None
    bar["vwap"] = vwap(rows, sums)
    bar["basis_bp"] = basis_bp(bar["mark_price"], bar["index_price"])
    bar["rv"] = realised(by_minute, lattice)
    return bar


def candle(rows: Sequence[RowMinute]) -> Bar:
    """Of the minutes with trades; where there are none, of those with mids."""
    sources = [row.ohlc_source for row in rows]
    source = "trade" if "trade" in sources else "mid" if "mid" in sources else "none"
    if source == "none":
        return {"ohlc_source": source, "open": None, "high": None, "low": None, "close": None}
    chosen = [row for row in rows if row.ohlc_source == source]
    return {
        "ohlc_source": source,
        "open": chosen[0].open,
        "high": max(present(chosen, "high")),
        "low": min(present(chosen, "low")),
        "close": chosen[-1].close,
    }


def quality(rows: Sequence[RowMinute], n: int) -> Bar:
    good = sum(1 for row in rows if row.status == "ok")
    bad = n - good
    return {
        "minutes_present": len(rows),
        "minutes_ok": good,
        "dq_reasons": frozenset(reason for row in rows for reason in row.reasons),
        "dq_status": "stale" if 10 * bad > 3 * n else "partial" if 10 * bad > n else "ok",
    }


def weighted(rows: Sequence[RowMinute], column: str, weight: str) -> Number:
    """Mean of a time-weighted mean: each minute weighs what it was weighted with."""
    known = [row for row in rows if getattr(row, column) is not None]
    weights = total([getattr(row, weight) for row in known])
    return total([getattr(row, column) * getattr(row, weight) for row in known]) / weights if weights else None


def vwap(rows: Sequence[RowMinute], sums: Mapping[str, Fraction]) -> Number:
    if not sums["base_volume"]:
        return None
    if not any(row.inverse for row in rows):
        return float(sums["quote_volume"] / sums["base_volume"])
    known = [(row.vwap, row.base_volume) for row in rows if row.vwap is not None]
    return total([price * base for price, base in known]) / total([base for _, base in known]) if known else None


def basis_bp(mark: Number, index: Number) -> Number:
    return None if mark is None or index is None or index <= 0 else 1e4 * (mark - index) / index


def realised(by_minute: Mapping[int, RowMinute], lattice: Sequence[int]) -> Number:
    """Of the minutes of the block, the first one against the last one of the block before."""
    mids = {t: row.mid_close for t, row in by_minute.items() if row.mid_close is not None}
    moves = [log(mids[t]) - log(mids[t - 1]) for t in lattice if t in mids and t - 1 in mids]
    n = len(lattice)
    return sqrt(n / len(moves) * total([move**2 for move in moves])) if len(moves) >= needed(n) else None


# --- one bar after the other ------------------------------------------------------------------------------------------


def against(bar: Bar, before: Bar | None, oi_stale_ms: int) -> Bar:
    """What compares a bar with the one before it."""
    old = before or {"mid_close": None, "oi_close": None, "oi_staleness_ms": None}
    mid, mid_before = bar["mid_close"], old["mid_close"]
    ret = None if mid is None or mid_before is None else mid / mid_before - 1
    oi, oi_before = fresh_interest(bar, oi_stale_ms), fresh_interest(old, oi_stale_ms)
    known = oi is not None and oi_before is not None and oi_before > 0
    return {
        "ret": ret,
        "ret_abs": None if ret is None else abs(ret),
        "oi_roc": (oi - oi_before) / oi_before if known else None,
    }


def fresh_interest(bar: Bar, oi_stale_ms: int) -> Any:
    return interest(Minute(0, oi_close=bar["oi_close"], oi_staleness_ms=bar["oi_staleness_ms"]), oi_stale_ms)


def indicators(bars: Mapping[int, Bar]) -> dict[int, Columns]:
    """rsi_14, atr_14 and adx_14 over the bars that are not stale, in runs without more than four bars between."""
    usable = [block for block, bar in bars.items() if bar["dq_status"] != "stale" and bar["close"] is not None]
    found: dict[int, Columns] = {block: dict.fromkeys(("rsi_14", "atr_14", "adx_14")) for block in bars}
    run: list[int] = []
    for block in usable:
        if run and block - run[-1] - 1 > RESTART_BARS:
            run = []
        run.append(block)
        series = [(bars[one]["high"], bars[one]["low"], bars[one]["close"]) for one in run]
        found[block] = {"rsi_14": rsi(series, 14)[-1], "atr_14": atr(series)[-1], "adx_14": adx(series, 14)[-1]}
    return found


def atr(series: Bars) -> list[Number]:
    return [None, *wilder(true_ranges(series), 14)]


def baselines(bars: Sequence[Bar], half_life: int) -> list[Columns]:
    """z, location and scale of each bar; a bar teaches when the symbol's next one is made."""
    take: dict[str, Callable[[Bar], Number]] = {
        "vol": lambda bar: log(1 + bar["quote_volume"]),
        "ret_abs": lambda bar: None if bar["ret_abs"] is None else log(bar["ret_abs"] + 1e-6),
        "oi_roc": lambda bar: signed_root(bar["oi_roc"]),
        "spread": lambda bar: logarithm(bar["spread_bp_mean"]),
        "basis": lambda bar: bar["basis_bp"],
    }
    rows: list[Columns] = [{} for _ in bars]
    for name in BASELINES:
        baseline = Baseline(half_life, SCALES_MIN[name])
        for bar, row in zip(bars, rows, strict=True):
            value = take[name](bar)
            warm = baseline.is_there()
            row[f"z_{name}"] = baseline.z(value) if warm and value is not None else None
            row[f"b_mean_{name}"] = baseline.mean if warm else None
            row[f"b_scale_{name}"] = baseline.scale if warm else None
            if value is not None and bar["dq_status"] == "ok":
                baseline.fold(value)
    return rows
