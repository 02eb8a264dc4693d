"""Bars of 15 minutes and an hour against the oracle, over made-up rows with nulls, gaps and every status."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from engine.conveyor import Conveyor
from engine.core.rollup_columns import ROLLUP, ROLLUP_COLUMNS
from engine.core.schema import CODES, NULL, ROW, Form, OhlcSource, Reason, Status
from engine.core.wide import as_int, from_int
from engine.rollups import stage
from tests.engine.running import Row, core, values
from tests.oracles.features import agree
from tests.oracles.features.rollups import MINUTES, RowMinute, rollups

FIRST = 28_000_020  # the first minute of an hour
SCALES = (2, 3)  # of prices and of quantities
PRICES = ("open", "high", "low", "close", "mid_open", "mid_high", "mid_low", "mid_close", "spread_max")
BASES = ("trade_size_max", "ofi", "liquidation_buy_base", "liquidation_sell_base")
OI_STALE_MS = 20_000


def made(draw: np.random.Generator, symbols: int) -> np.ndarray:
    """Rows of one minute; each null with a chance of its own, sums that belong together consistent."""
    rows = np.zeros(symbols, ROW)
    for row in rows:
        for name in ROW.names or ():
            row[name] = np.nan if ROW[name].kind == "f" else 0 if name in CODES else NULL
        row["base_volume"] = draw.integers(0, 90_000) * draw.integers(0, 2)
        row["taker_buy_base_volume"] = draw.integers(0, row["base_volume"] + 1)
        price = int(draw.integers(90_000, 110_000))
        for name in ("", "taker_buy_"):
            hi, lo = from_int(int(row[f"{name}base_volume"]) * price)
            row[f"{name}quote_volume_hi"], row[f"{name}quote_volume_lo"] = hi, lo
        row["ohlc_source"] = int(OhlcSource.TRADE) if row["base_volume"] else int(draw.integers(0, 2)) * 2
        row["vwap"] = price / 100 if row["base_volume"] else np.nan
        if row["ohlc_source"]:
            for name in ("open", "high", "low", "close"):
                row[name] = draw.integers(900_000, 1_100_000)
        if draw.random() < 0.9:
            row["quote_ns"] = draw.integers(1, 60 * 10**9)
            for name in ("mid_open", "mid_high", "mid_low", "mid_close", "spread_max"):
                row[name] = draw.integers(900_000, 1_100_000)
            for name in ("spread_mean", "spread_bp_mean", "obi_top1_mean"):
                row[name] = draw.random()
            if draw.random() < 0.1:
                row["mid_close"] = NULL
        else:
            row["quote_ns"] = 0
        row["book_ns"] = draw.integers(1, 60 * 10**9) if draw.random() < 0.8 else 0
        if row["book_ns"]:
            for name in ("obi_top5_mean", "obi_top20_mean", "depth_top20_mean"):
                row[name] = draw.random()
        for name in ("trade_count", "quote_count", "book_count"):
            row[name] = draw.integers(0, 1_000)
        for name in ("ofi", "trade_size_max", "liquidation_count", "liquidation_buy_base", "liquidation_sell_base"):
            if draw.random() < 0.7:
                row[name] = draw.integers(-500, 500) if name == "ofi" else draw.integers(0, 500)
        for name in ("oi_open", "oi_close", "oi_min", "oi_max", "mark_price", "index_price", "funding_rate",
                     "funding_rate_hour"):  # fmt: skip
            if draw.random() < 0.7:
                row[name] = draw.integers(0, 1_000) / 8
        row["oi_staleness_ms"] = NULL if np.isnan(row["oi_close"]) else draw.integers(0, 30_000)
        row["dq_status"] = draw.choice([0, 0, 0, 0, 0, 0, 1, 2])
        row["dq_reasons"] = int(Reason.GAP) * (row["dq_status"] == 2) | int(Reason.EDGE) * (row["dq_status"] == 1)
    return rows


def as_minute(minute: int, row: Row, inverse: bool) -> RowMinute:
    told: dict[str, Any] = {field.name: row[field.name] for field in fields(RowMinute) if field.name in row}
    told = {name: float(value) if isinstance(value, Decimal) else value for name, value in told.items()}
    reasons = frozenset(row["dq_reasons"])
    return RowMinute(**told | {"minute": minute, "status": row["dq_status"], "reasons": reasons, "inverse": inverse})


def bar_values(bar: np.void) -> Row:
    out: Row = {}
    for column in ROLLUP_COLUMNS:
        name, form = column.name, column.form
        if form is Form.QUOTE:
            out[name] = float(Decimal(as_int(bar[f"{name}_hi"], bar[f"{name}_lo"])).scaleb(-sum(SCALES)))
        elif form is Form.STATUS:
            out[name] = CODES[name](int(bar[name])).name.lower()
        elif form is Form.REASONS:
            out[name] = frozenset(reason.name.lower() for reason in Reason if reason & int(bar[name]) and reason.name)
        elif form is Form.REAL:
            out[name] = None if np.isnan(bar[name]) else float(bar[name])
        elif bar[name] == NULL:
            out[name] = None
        else:
            scale = {Form.PRICE: SCALES[0] + 1, Form.BASE: SCALES[1]}.get(form, 0)
            out[name] = float(Decimal(int(bar[name])).scaleb(-scale)) if scale else int(bar[name])
    return out


class Market:
    """A conveyor without a venue whose history is filled by hand, and the same minutes for the oracle."""

    def __init__(self, seed: int, symbols: int = 3, calm: bool = False) -> None:
        self.calm = calm
        self.conveyor = Conveyor()
        self.conveyor.configure(core(limits={"history_minutes": 256}))
        assert self.conveyor.state is not None
        self.state, self.draw = self.conveyor.state, np.random.default_rng(seed)
        self.members = np.arange(symbols)
        table = self.state.tape.symbols
        table["venue"][self.members] = 0
        table["price_decimals"], table["quantity_decimals"] = SCALES
        table["inverse"][0], table["contract_size"][0] = 1, 100
        self.told: dict[int, list[RowMinute]] = {symbol: [] for symbol in range(symbols)}

    def minute(self, minute: int) -> None:
        """A minute that some symbols have a row of."""
        there = self.members[self.draw.random(len(self.members)) < (0.995 if self.calm else 0.85)]
        rows = made(self.draw, len(there))
        if self.calm:
            lowered = self.draw.random(len(there)) < 0.05
            rows["dq_status"], rows["dq_reasons"] = lowered, int(Reason.EDGE) * lowered
        self.state.remember(minute, there, rows)
        self.state.tape.venues["open_minute"][0] = minute + 1
        for symbol, row in zip(there.tolist(), rows, strict=True):
            self.told[symbol].append(as_minute(minute, values(row, *SCALES), inverse=symbol == 0))

    def bars(self, minute: int) -> dict[tuple[int, str, int], np.void]:
        """What ends with a minute, by symbol, timeframe and last minute; remembered as the conveyor does."""
        found: dict[tuple[int, str, int], np.void] = {}
        for frame in stage.due(self.state, minute):
            members = stage.close(self.state, 0, frame, minute, OI_STALE_MS)
            rows = self.state.rollups.draft[members]
            frame.ring.put(minute // frame.minutes, members, rows)
            found |= {(s, frame.name, minute): row for s, row in zip(members.tolist(), rows, strict=True)}
        return found


# A bar is seldom ok, and 200 have to be: in the long market every minute is there, and most are ok.
@pytest.mark.parametrize(("seed", "count"), [(0, 200), (1, 200), (2, 200), (3, 200), (4, 4_500)])
def test_every_column_of_a_bar_is_that_of_the_oracle(seed, count):
    market = Market(seed, calm=count > 1_000)
    found: dict[tuple[int, str, int], np.void] = {}
    for minute in range(FIRST - 7, FIRST + count):
        market.minute(minute)
        found |= market.bars(minute)

    expected = {
        (symbol, tf, bar["minute"]): bar
        for symbol, minutes in market.told.items() for tf in ("15m", "1h") for bar in rollups(minutes, tf)
        if bar["minute"] < FIRST + count
    }  # fmt: skip
    assert set(found) == set(expected)
    for key, bar in found.items():
        symbol, tf, last = key
        block = [minute for minute in market.told[symbol] if last - MINUTES[tf] < minute.minute <= last]
        expected[key] |= {name: sum(getattr(minute, name) for minute in block) for name in ("quote_ns", "book_ns")}
        for column, value in bar_values(bar).items():
            other = expected[key][column]
            same = agree(value, other, column) if isinstance(value, float) else value == other
            assert same, (key, column, value, other)
    assert any(not np.isnan(bar["z_vol"]) for bar in found.values()) == market.calm


def test_bars_appear_with_each_timeframe_once_its_last_minute_is_there():
    market = Market(1)
    for minute in range(FIRST, FIRST + 60):
        market.minute(minute)
    ends = {frame.name: [m - FIRST for m in range(FIRST, FIRST + 60) if frame in stage.due(market.state, m)]
            for frame in market.state.rollups.frames}  # fmt: skip
    assert ends == {"15m": [14, 29, 44, 59], "1h": [59]}


def test_a_timeframe_that_the_ring_cannot_hold_is_left_out():
    conveyor = Conveyor()
    conveyor.configure(core(limits={"history_minutes": 32}))
    assert conveyor.state is not None
    assert [frame.name for frame in conveyor.state.rollups.frames] == ["15m"]


def lowered(market: Market, minute: int, symbol: int) -> list[tuple[str, int, list[int]]]:
    """A minute of a symbol becomes stale; the bars that are other ones by it."""
    row = market.state.history.at(minute, np.array([symbol]))
    row["dq_status"], row["dq_reasons"] = int(Status.STALE), int(Reason.LATE_TRADES)
    market.state.remember(minute, np.array([symbol]), row)
    judged = stage.judge(market.state, 0, np.array([symbol]), minute)
    return [(frame.name, last, members.tolist()) for frame, last, members in judged]


def test_a_minute_lowered_later_changes_the_quality_of_its_bars_and_nothing_else():
    market = Market(2, symbols=2)
    for minute in range(FIRST, FIRST + 60):
        there = made(market.draw, 2)
        there["dq_status"] = there["dq_reasons"] = 0
        market.state.remember(minute, market.members, there)
        market.state.tape.venues["open_minute"][0] = minute + 1
        market.bars(minute)
    hour = market.state.rollups.frames[1].ring
    before = hour.at(FIRST // 60, market.members)

    assert lowered(market, FIRST + 20, 1) == [("15m", FIRST + 29, [1]), ("1h", FIRST + 59, [1])]

    after = market.state.rollups.draft[1]
    changed = {name for name in ROLLUP.names or () if after[name].tobytes() != before[1][name].tobytes()}
    assert changed == {"minutes_ok", "dq_reasons"}
    assert after["minutes_ok"] == 59
    assert after["dq_status"] == int(Status.OK), "one minute of sixty"
    assert lowered(market, FIRST + 70, 1) == [], "no bar yet"


def test_a_block_that_is_half_forgotten_keeps_its_quality():
    market = Market(3, symbols=1)
    for minute in range(FIRST, FIRST + 300):
        there = made(market.draw, 1)
        there["dq_status"] = 0
        market.state.remember(minute, market.members, there)
        market.state.tape.venues["open_minute"][0] = minute + 1
        market.bars(minute)
    assert [name for name, *_ in lowered(market, FIRST + 50, 0)] == ["15m"], "the hour's first minutes are gone"
