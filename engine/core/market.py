"""The market row: one of each venue and minute, declared once; docs/features.md, Market context, has the exact rules.

A line: name, unit, window, what it is made of, null rule, formula. `few` in a null rule is fewer than ELIGIBLE_MIN
symbols that have the value.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from engine.core.column import Column, Form
from engine.core.schema import Status

ELIGIBLE_MIN = 5
LISTED = 5  # symbols of rs_top and of rs_bottom


class Exclusion(IntEnum):
    """Why a symbol is not counted in the market: the first that is true."""

    NONE = 0
    UNIVERSE = 1
    OUTLIER = 2
    STALE = 3
    PARTIAL = 4
    WARMING_UP = 5
    ILLIQUID = 6


class Volatility(IntEnum):
    """Where the market's volatility stands among that of 30 days."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2
    EXTREME = 3


class Liquidity(IntEnum):
    """Where the market's volume and tightness stand among those of 30 days."""

    LOW = 0
    NORMAL = 1
    HIGH = 2
    EXTREME = 3


class Trend(IntEnum):
    """Where the leader is going."""

    SIDEWAYS = 0
    UP = 1
    DOWN = 2


class Session(IntEnum):
    """Whose hours these are."""

    ASIA = 0
    EUROPE = 1
    OVERLAP = 2
    US = 3


class Market(IntEnum):
    """What the market is doing, all in all."""

    NORMAL = 0
    TRENDING = 1
    VOLATILE = 2


class Untold(IntEnum):
    """Why a regime is null."""

    NONE = 0
    FEW_SYMBOLS = 1
    FEW_MINUTES = 2
    NO_LEADER = 3
    NO_INPUT = 4


class _Line:
    """Makes the columns of one family and form. over: inputs of all of them."""

    def __init__(self, family: str, form: Form, over: str = "is_eligible ") -> None:
        self.family, self.form, self.over = family, form, over

    def __call__(self, name: str, unit: str, window: str, inputs: str, null: str, source: str) -> Column:
        of = tuple((self.over + inputs).split())
        return Column(name, self.form, unit, "context", null, source, self.family, window, of)


count, members = _Line("eligible", Form.INTEGER, ""), _Line("eligible", Form.STATUS, "")
strength, named = _Line("strength", Form.REAL), _Line("strength", Form.SYMBOL)
shocks, shock_share = _Line("shocks", Form.INTEGER), _Line("shocks", Form.REAL)
middle, breadth, correlation = _Line("middle", Form.REAL), _Line("breadth", Form.REAL), _Line("correlation", Form.REAL)
regime, regime_class = _Line("regimes", Form.REAL), _Line("regimes", Form.STATUS)
of_all, clock = _Line("middle", Form.REAL, ""), _Line("regimes", Form.STATUS, "")  # eligible or not
CHOSEN = "universe_rev is_in_universe is_hot"
BELIEVED = f"{CHOSEN} dq_reasons"
JUDGED = f"{BELIEVED} dq_status"
FEW = "few symbols have it"
MOMENTS = "fewer than 200 values before, or its input null"
UNTOLD = "cannot be told: its _reason"
SPIKES = "is_vol_spike_m_1 is_price_spike_up_m_1 is_price_spike_down_m_1 is_oi_spike_up_m_5 is_oi_spike_down_m_5"
REASONS = "none|few_symbols|few_minutes|no_leader|no_input"
CLASSES = "low|normal|high|extreme"

MARKET_COLUMNS: tuple[Column, ...] = (
    count("symbol_count", "count", "1m", "", "never", "symbols that have a row"),
    count("eligible_count", "count", "1m", "is_eligible", "never", "symbols that are counted in what follows"),
    count("excluded_count", "count", "1m", "is_eligible", "never", "symbol_count - eligible_count"),
    count("excluded_universe", "count", "1m", CHOSEN, "never", "neither in the universe nor hot"),
    count("excluded_outlier", "count", "1m", BELIEVED, "never", "of the rest: reason return_outlier, the 20 % guard"),
    count("excluded_stale", "count", "1m", JUDGED, "never", "of the rest: stale"),
    count("excluded_partial", "count", "1m", JUDGED, "never", "of the rest: partial"),
    count("excluded_warming_up", "count", "1m", f"{JUDGED} is_warming_up", "never", "of the rest: warming up"),
    count("excluded_illiquid", "count", "1m", f"{JUDGED} is_warming_up illiquidity_hit", "never", "of the rest: illiquidity_hit is 1 or null"),
    members("dq_status", "ok|partial|stale", "1m", "is_eligible", "never", "partial if fewer than 5 are eligible, else ok"),
    count("universe_rev", "count", "1m", "universe_rev", "never", "that of its rows"),
    named("rs_top", "symbol", "5m", "rs_score_m_5", "beyond the last symbol", "the five largest rs_score_m_5, largest first"),
    named("rs_bottom", "symbol", "5m", "rs_score_m_5", "beyond the last symbol", "the five smallest, smallest first"),
    named("leader", "symbol", "5m", "ret_m_5 z_vol_m_1 oi_roc_m_5 rs_score_m_5", "no candidate moves, and BTC is not eligible", "largest lead of BTC, ETH and the first tenth by rs_score_m_5; below 1e-9: BTC"),
    strength("lead_score", "1", "5m", "leader ret_m_5 z_vol_m_1 oi_roc_m_5", "no leader", "its |ret_m_5| max(z_vol, 0) (1 + 0.5 max(0, sign(ret_m_5) sign(oi_roc)))"),
    strength("dominance_share", "1", "5m", "leader quote_volume", "no leader, or no volume", "its quote volume / that of all"),
    shocks("shock_count", "count", "1m", SPIKES, "never", "symbols with a spike flag; stands in for events of the last 5 s"),
    shock_share("shock_share", "1", "1m", SPIKES, "none is eligible", "shock_count / eligible_count"),
    middle("market_return_m_1", "1", "1m", "mid_close", FEW, "median of r"),
    middle("return_dispersion_m_5", "1", "5m", "ret_m_5", FEW, "population deviation of ret_m_5"),
    middle("vol_dispersion_m_5", "sigma", "1m", "z_vol_m_1", FEW, "population deviation of z_vol_m_1"),
    middle("z_vol_mean", "sigma", "1m", "z_vol_m_1", FEW, "mean of z_vol_m_1"),
    middle("market_rv_h_1", "1", "60m", "rv_h_1", FEW, "median of rv_h_1"),
    middle("market_spread_bp", "bp", "1m", "spread_bp_mean", FEW, "median of spread_bp_mean"),
    of_all("market_volume_h_1", "quote", "60m", f"{CHOSEN} quote_volume", FEW, "sum over all in the universe or hot, eligible or not"),
    middle("min_time_to_next_funding_s", "s", "1m", "time_to_next_funding_s", "none has it", "the least"),
    breadth("breadth_m_1", "1", "1m", "ret_m_1", FEW, "(advancing - declining) / all"),
    breadth("breadth_m_5", "1", "5m", "ret_m_5", FEW, "(advancing - declining) / all"),
    breadth("share_above_ma_50", "1", "50m", "close ma_50", FEW, "share with C > ma_50"),
    breadth("share_above_ma_200", "1", "200m", "close ma_200", FEW, "share with C > ma_200"),
    breadth("new_high_low_m_60", "1", "60m before", "is_breakout is_breakbelow", FEW, "(new highs - new lows) / all"),
    breadth("z_breadth_m_1", "sigma", "half-life 1 d", "breadth_m_1", MOMENTS, "against its exponential mean and deviation (West 1979)"),
    breadth("z_share_above_ma_50", "sigma", "half-life 1 d", "share_above_ma_50", MOMENTS, "likewise"),
    breadth("z_share_above_ma_200", "sigma", "half-life 1 d", "share_above_ma_200", MOMENTS, "likewise"),
    breadth("z_new_high_low_m_60", "sigma", "half-life 1 d", "new_high_low_m_60", MOMENTS, "likewise"),
    breadth("breadth_prediction", "1", "walk-forward", "breadth_m_1 market_return_m_1 return_dispersion_m_5 z_vol_mean", "not fitted yet, or an input of t-1 null", "breadth_m_1 by ridge on the market row of t-1"),
    breadth("breadth_prediction_std", "1", "half-life 1 d", "breadth_m_1", "fewer than 30 errors before", "scale of its errors before t"),
    breadth("z_breadth_residual", "sigma", "walk-forward", "breadth_m_1 breadth_prediction", "either null, or fewer than 10 eligible", "(breadth_m_1 - breadth_prediction) / breadth_prediction_std"),
    breadth("breadth_composite", "sigma", "half-life 1 d", "z_breadth_m_1 z_share_above_ma_50 z_share_above_ma_200 z_new_high_low_m_60", "any null", "mean of the four"),
    _Line("correlation", Form.INTEGER)("correlation_count", "count", "60m", "mid_close", "never", "symbols with 42 of 60 r that are not all equal"),
    correlation("correlation_m_60", "1", "60m", "mid_close", FEW, "mean correlation of r over all pairs"),
    correlation("first_factor_share_m_60", "1", "60m", "mid_close", FEW, "largest eigenvalue of the correlation matrix / symbols"),
    regime("volatility_percentile", "1 of 100", "30 d", "market_rv_h_1", UNTOLD, "100 rank of market_rv_h_1"),
    regime_class("volatility_regime", "low|medium|high|extreme", "30 d", "volatility_percentile", UNTOLD, "bounds 20, 80, 95"),
    regime("volatility_confidence", "0..1", "30 d", "volatility_percentile", UNTOLD, "how deep in its class the percentile lies"),
    regime_class("volatility_reason", REASONS, "30 d", "market_rv_h_1", "never", "why it is null"),
    regime("liquidity_percentile", "1 of 100", "30 d", "market_volume_h_1 market_spread_bp", UNTOLD, "mean of 100 rank of volume and 100 - 100 rank of spread"),
    regime_class("liquidity_regime", CLASSES, "30 d", "liquidity_percentile", UNTOLD, "bounds 20, 80, 95"),
    regime("liquidity_confidence", "0..1", "30 d", "liquidity_percentile", UNTOLD, "how deep in its class the percentile lies"),
    regime_class("liquidity_reason", REASONS, "30 d", "market_volume_h_1 market_spread_bp", "never", "why it is null"),
    regime_class("trend_regime", "sideways|up|down", "110m", "leader hma_100_slope adx_14", UNTOLD, "the leader's adx_14 > 20 and the sign of its slope"),
    regime("trend_confidence", "0..1", "110m", "leader hma_100_slope adx_14", UNTOLD, "share of the symbols that are of the same class"),
    regime_class("trend_reason", REASONS, "110m", "leader hma_100_slope adx_14", "never", "why it is null"),
    regime_class("market_regime", "normal|trending|volatile", "30 d", "volatility_regime trend_regime adx_14", UNTOLD, "volatile if volatility is high or extreme; else trending if up or down and adx_14 > 25; else normal"),
    regime("market_confidence", "0..1", "30 d", "volatility_percentile trend_confidence", UNTOLD, "volatile (p - 80)/20, trending trend_confidence, normal (80 - p)/80"),
    regime_class("market_reason", REASONS, "30 d", "volatility_reason trend_reason", "never", "why it is null"),
    clock("session", "asia|europe|overlap|us", "1m", "", "never", "hour UTC of the open: 0-6, 7-12, 13-15, 16-23"),
)  # fmt: skip
MARKET_CODES: dict[str, type[IntEnum]] = {
    "dq_status": Status,
    "volatility_regime": Volatility,
    "liquidity_regime": Liquidity,
    "trend_regime": Trend,
    "market_regime": Market,
    "session": Session,
    **dict.fromkeys(("volatility_reason", "liquidity_reason", "trend_reason", "market_reason"), Untold),
}
LENGTHS = {"rs_top": LISTED, "rs_bottom": LISTED}  # columns that hold several symbols
# A symbol stands as its index, NULL for none; MarketRow.names has the names.
MARKET = np.dtype(
    [
        (column.name, "<f8" if column.form is Form.REAL else "<i8", (LENGTHS[column.name],))
        if column.name in LENGTHS
        else (column.name, "<f8" if column.form is Form.REAL else "<i8")
        for column in MARKET_COLUMNS
    ]
)


def _reals() -> np.ndarray:
    """Places, among the words of a market row, of those that hold a float64."""
    words = [column.form is Form.REAL for column in MARKET_COLUMNS for _ in range(LENGTHS.get(column.name, 1))]
    return np.flatnonzero(np.array(words))


MARKET_REALS = _reals()
