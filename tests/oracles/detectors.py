"""docs/detectors.md in plain Python: what each detector of the core catalogue finds, over dicts and lists.

Nothing here was taken from a detector. A row is {column: value}, None for null; `Seen` is what a detector may look at,
of one venue's minute. A finding is a dict as well; where its measure is None the rest says nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
Number = float | None


@dataclass
class Seen:
    """rows: symbol -> minute -> row, as far as it is remembered; bars: symbol -> last minute of a 15m bar -> bar.

    symbols: of the venue, by name; sectors: symbol -> sector, symbols without one are not in it. market: minute -> row.
    """

    minute: int
    rows: dict[Any, dict[int, Row]]
    market: dict[int, Row]
    bars: dict[Any, dict[int, Row]]
    symbols: list[Any]
    sectors: dict[Any, Any]

    def row(self, symbol: Any, minutes_before: int = 0) -> Row | None:
        return self.rows[symbol].get(self.minute - minutes_before)


@dataclass
class Found:
    measure: Number = None
    is_met: bool = True
    is_allowed: bool = True
    primary: Number = None
    secondary: Number = None
    direction: int = 0


Oracle = Callable[[Seen, Any], Found]
NOTHING = Found()
ORACLES: dict[str, Oracle] = {}


def of(*names: str) -> Callable[[Oracle], Oracle]:
    def put(oracle: Oracle) -> Oracle:
        ORACLES.update(dict.fromkeys(names, oracle))
        return oracle

    return put


# Nulls: what has one in it is null, what must hold does not hold ------------------------------------------------------


def told(*values: Any) -> bool:
    return all(value is not None for value in values)


def times(value: Number, factor: float) -> Number:
    return None if value is None else value * factor


def size(value: Number) -> Number:
    return None if value is None else abs(value)


def holds(value: Number, test: Callable[[float], bool]) -> bool:
    return value is not None and test(value)


def sign(value: Number) -> int:
    return 0 if value is None else (value > 0) - (value < 0)


def in_sigma_of_five_minutes(row: Row, value: Number) -> Number:
    scale = row["b_scale_ret_m_1"]
    return value / (scale * math.sqrt(5)) if told(value, scale) and scale > 0 else None


def is_fresh(row: Row) -> bool:
    return holds(row["oi_staleness_ms"], lambda age_ms: age_ms <= 20_000)


# Spikes ---------------------------------------------------------------------------------------------------------------


@of("spike_vol_v1")
def volume(seen: Seen, symbol: Any) -> Found:
    row = seen.rows[symbol][seen.minute]
    traded = holds(row["trade_count"], lambda count: count >= 5)
    return Found(row["z_vol_m_1"], True, traded, row["z_vol_m_1"], row["z_ret_abs_m_1"], sign(row["ret_m_1"]))


@of("spike_price_up_v1")
def price_up(seen: Seen, symbol: Any) -> Found:
    row = seen.rows[symbol][seen.minute]
    return Found(row["z_ret_abs_m_1"], sign(row["ret_m_1"]) == 1, True, row["z_ret_abs_m_1"], row["z_vol_m_1"], 1)


@of("spike_price_down_v1")
def price_down(seen: Seen, symbol: Any) -> Found:
    row = seen.rows[symbol][seen.minute]
    return Found(row["z_ret_abs_m_1"], sign(row["ret_m_1"]) == -1, True, row["z_ret_abs_m_1"], row["z_vol_m_1"], -1)


@of("combo_price_vol_up_v1")
def price_and_volume(seen: Seen, symbol: Any) -> Found:
    row = seen.rows[symbol][seen.minute]
    is_met = sign(row["ret_m_1"]) == 1 and holds(row["z_ret_abs_m_1"], lambda z: z >= 1.5)
    traded = holds(row["trade_count"], lambda count: count >= 5)
    return Found(row["z_vol_m_1"], is_met, traded, row["z_ret_abs_m_1"], row["z_vol_m_1"], 1)


@of("spike_oi_up_v1")
def interest_up(seen: Seen, symbol: Any) -> Found:
    row = seen.rows[symbol][seen.minute]
    is_met = holds(row["oi_roc_m_5"], lambda change: change >= 0.015)
    secondary = in_sigma_of_five_minutes(row, size(row["ret_m_5"]))
    return Found(row["z_oi_roc_m_5"], is_met, is_fresh(row), row["z_oi_roc_m_5"], secondary, sign(row["ret_m_5"]))


@of("spike_oi_down_v1")
def interest_down(seen: Seen, symbol: Any) -> Found:
    row = seen.rows[symbol][seen.minute]
    z = times(row["z_oi_roc_m_5"], -1)
    is_met = holds(row["oi_roc_m_5"], lambda change: change <= -0.015)
    return Found(z, is_met, is_fresh(row), z, in_sigma_of_five_minutes(row, size(row["ret_m_5"])), 0)


@of("spike_liq_v1")
def liquidations(seen: Seen, symbol: Any) -> Found:
    row = seen.rows[symbol][seen.minute]
    direction = sign(row["ret_m_5"])
    if row["liquidation_count"] is not None:
        count = row["liq_count_m_5"]
        primary = None if count is None else 2 * math.sqrt(count)
        return Found(count, True, True, primary, row["z_ret_abs_m_1"], direction)
    if not told(row["z_ret_abs_m_1"], row["z_spread_p95_m_1"], row["z_oi_roc_m_5"]):
        return NOTHING
    left = row["z_ret_abs_m_1"] + row["z_spread_p95_m_1"] + max(0.0, -row["z_oi_roc_m_5"])
    is_met = holds(row["oi_roc_m_5"], lambda change: change < 0)
    return Found(left / 2, is_met, True, left / math.sqrt(3), row["z_ret_abs_m_1"], direction)


def usual_volatility(seen: Seen, symbol: Any, minutes: int) -> Number:
    """Root mean square of rv_m_1 of so many minutes before; None if one of them is null or has no row."""
    earlier = [seen.row(symbol, back) for back in range(minutes, 0, -1)]
    values: list[Any] = [None if row is None else row.get("rv_m_1") for row in earlier]
    return math.sqrt(sum(value * value for value in values) / minutes) if told(*values) else None


@of("spike_burst_v1")
def burst(seen: Seen, symbol: Any) -> Found:
    row = seen.rows[symbol][seen.minute]
    measure, usual = size(row["drift_burst_m_1"]), usual_volatility(seen, symbol, 3)
    is_far = False
    if usual is not None and told(row["mid_high"], row["mid_low"], row["mid_close"]):
        is_far = float(row["mid_high"] - row["mid_low"]) / float(row["mid_close"]) >= 2 * usual
    moved = holds(row["oi_roc_m_5"], lambda change: abs(change) >= 0.01)
    secondary = size(row["z_oi_roc_m_5"]) if moved else None
    return Found(measure, is_far, True, measure, secondary, sign(row["drift_burst_m_1"]))


@of("spike_absorbed_v1")
def absorbed(seen: Seen, symbol: Any) -> Found:
    row, usual = seen.rows[symbol][seen.minute], usual_volatility(seen, symbol, 5)
    ratio, share_bid, volatility = row["signed_flow_ratio_m_1"], row["obi_top1_mean"], row["rv_m_1"]
    if usual is None or not told(ratio, share_bid, volatility) or usual <= 0 or volatility <= 0:
        return NOTHING
    counts = [seen.rows[symbol][seen.minute - back]["trade_count"] for back in (5, 4, 3, 2, 1)]
    orders = abs(ratio) * row["trade_count"] / (sum(counts) / 5 + 30)
    against = 1 - share_bid if ratio > 0 else share_bid
    measure = orders * (2 * against) * math.sqrt(usual / volatility)
    return Found(measure, primary=measure)


@of("spike_print_v1")
def print_off_the_book(seen: Seen, symbol: Any) -> Found:
    """Prices are exact, as mantissas or decimals, and so are their differences; the rest is float64."""
    row, usual = seen.rows[symbol][seen.minute], usual_volatility(seen, symbol, 3)
    prices = [row[name] for name in ("high", "mid_high", "mid_low", "low", "mid_close")]
    if usual is None or not told(*prices, row["spread_bp_mean"]) or usual <= 0:
        return NOTHING
    high, mid_high, mid_low, low, mid_close = prices
    above, below = high - mid_high, mid_low - low
    beyond = float(max(above, below)) / float(mid_close) - row["spread_bp_mean"] / 20_000
    measure = beyond / (usual / math.sqrt(60))
    return Found(measure, primary=measure, direction=sign(above - below))


# Shifts ---------------------------------------------------------------------------------------------------------------


@of("shift_spread_v1")
def spread(seen: Seen, symbol: Any) -> Found:
    row = seen.rows[symbol][seen.minute]
    return Found(row["z_spread_m_1"], primary=row["z_spread_m_1"], secondary=row["z_spread_p95_m_1"])


@of("shift_basis_v1")
def basis(seen: Seen, symbol: Any) -> Found:
    row = seen.rows[symbol][seen.minute]
    z = size(row["z_basis_m_5"])
    return Found(z, primary=z, secondary=row["z_oi_roc_m_5"])


@of("shift_funding_v1")
def funding(seen: Seen, symbol: Any) -> Found:
    row, before = seen.rows[symbol][seen.minute], seen.row(symbol, 60)
    if before is None or not told(row["funding_rate_hour"], before["funding_rate_hour"]):
        return NOTHING
    measure = abs(row["funding_rate_hour"] - before["funding_rate_hour"]) / 0.001
    return Found(measure, primary=2.5 * measure)


# Quadrants ------------------------------------------------------------------------------------------------------------


def quadrant(name: str, price: int, interest: int, direction: int) -> None:
    def find(seen: Seen, symbol: Any) -> Found:
        row = seen.rows[symbol][seen.minute]
        if not told(row["ret_m_5"], row["oi_roc_m_5"]):
            return NOTHING
        measure = min(price * row["ret_m_5"] / 0.003, interest * row["oi_roc_m_5"] / 0.01)
        primary = in_sigma_of_five_minutes(row, size(row["ret_m_5"]))
        return Found(measure, True, is_fresh(row), primary, size(row["z_oi_roc_m_5"]), direction)

    ORACLES[name] = find


quadrant("quad_uu_v1", 1, 1, 1)
quadrant("quad_ud_v1", 1, -1, 0)
quadrant("quad_du_v1", -1, 1, -1)
quadrant("quad_dd_v1", -1, -1, 0)


# Divergences ----------------------------------------------------------------------------------------------------------


@of("div_cvd_v1")
def up_against_flow(seen: Seen, symbol: Any) -> Found:
    row = seen.rows[symbol][seen.minute]
    z = times(row["z_cvd_m_5"], -1)
    is_met = holds(row["ret_m_5"], lambda change: change >= 0.003)
    return Found(z, is_met, True, in_sigma_of_five_minutes(row, row["ret_m_5"]), z, -1)


@of("div_flat_cvd_v1")
def flat_against_flow(seen: Seen, symbol: Any) -> Found:
    row = seen.rows[symbol][seen.minute]
    z = size(row["z_cvd_slope_m_5"])
    is_met = holds(row["ret_m_5"], lambda change: abs(change) <= 0.001)
    return Found(z, is_met, True, z, None, sign(row["cvd_slope_m_5"]))


@of("div_premium_v1")
def premium(seen: Seen, symbol: Any) -> Found:
    row = seen.rows[symbol][seen.minute]
    is_met = holds(row["oi_roc_m_5"], lambda change: change <= 0)
    return Found(row["z_basis_m_5"], is_met, is_fresh(row), row["z_basis_m_5"], None, -1)


# Many symbols ---------------------------------------------------------------------------------------------------------


@of("sync_basket_v1")
def basket(seen: Seen, symbol: Any) -> Found:
    market = seen.market[seen.minute]
    if market["leader"] != symbol or not told(market["shock_count"], market["eligible_count"]):
        return NOTHING
    measure = market["shock_count"] / max(4, math.ceil(0.15 * market["eligible_count"]))
    return Found(measure, True, market["dq_status"] == "ok", 2 * math.sqrt(market["shock_count"]))


def strengths(seen: Seen, symbol: Any, bars: list[int]) -> list[float] | None:
    """RS of a symbol in some bars, named by their last minutes; None if it has not all of them."""
    found = []
    for last in bars:
        bar = seen.bars[symbol].get(last)
        if bar is None or not told(bar["ret"], bar["z_ret_abs"], bar["z_vol"]):
            return None
        interest = 0.0
        if told(bar["oi_roc"], bar["z_oi_roc"]):
            interest = 0.2 * sign(bar["oi_roc"]) * min(abs(bar["z_oi_roc"]), 3.0)
        found.append(0.5 * bar["z_ret_abs"] * sign(bar["ret"]) + 0.3 * bar["z_vol"] + interest)
    return found


@of("rot_leader_v1")
def leader_cools(seen: Seen, symbol: Any) -> Found:
    t, leader = seen.minute, seen.market[seen.minute]["leader"]
    if t % 15 or leader != symbol:
        return NOTHING
    bars = [t - 31, t - 16, t - 1]
    theirs = [strengths(seen, one, bars) for one in seen.symbols if one != leader]
    whole = [one for one in theirs if one is not None]
    own = [seen.bars[leader].get(last) for last in bars]
    if len(whole) < 5 or not all(bar is not None and told(bar["z_vol"], bar["ret"]) for bar in own):
        return NOTHING
    m = [statistics.median(one[place] for one in whole) for place in range(3)]
    volumes, returns = ([bar[name] for bar in own if bar is not None] for name in ("z_vol", "ret"))
    is_met = m[0] < m[1] < m[2] and volumes[0] > volumes[1] > volumes[2] and returns[0] > returns[1] > returns[2]
    return Found(m[2] - m[0], is_met, True, volumes[0] - volumes[2], 2 * (m[2] - m[0]))


@of("rot_sector_v1")
def sector_leads(seen: Seen, symbol: Any) -> Found:
    t = seen.minute
    if t % 15:
        return NOTHING
    of_sector: dict[Any, dict[Any, list[float]]] = {}
    for one in seen.symbols:
        both = strengths(seen, one, [t - 16, t - 1])
        if both is not None and one in seen.sectors:
            of_sector.setdefault(seen.sectors[one], {})[one] = both
    whole = {sector: of_sector[sector] for sector in sorted(of_sector) if len(of_sector[sector]) >= 3}
    if len(whole) < 3:
        return NOTHING
    before, now = (
        {sector: statistics.median(both[place] for both in mine.values()) for sector, mine in whole.items()}
        for place in (0, 1)
    )
    first, second = sorted(now, key=lambda sector: -now[sector])[:2]
    old = max(before, key=lambda sector: before[sector])
    if max(whole[first], key=lambda one: whole[first][one][1]) != symbol:
        return NOTHING
    primary, secondary = 2 * (now[first] - before[first]), 2 * (before[old] - now[old])
    return Found(now[first] - now[second], old not in (first, second), True, primary, secondary)
