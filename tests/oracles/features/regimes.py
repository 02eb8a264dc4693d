"""What a market row owes to the rows before it: z of breadth, percentiles, regimes (docs/features.md, Market context).

Row t is judged by the market rows up to t-2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

from tests.oracles.features import Minute, Number, mean
from tests.oracles.features.market import Market, Symbols, eligible, those
from tests.oracles.features.windows import held, rank

MONTH_VALUES = 8_640  # every fifth minute of 30 days
DAY_VALUES = 288
HALF_LIFE_MINUTES = 1_440
MOMENTS_MIN = 200
DEVIATION_MIN = 0.01
MOMENTS = ("breadth_m_1", "share_above_ma_50", "share_above_ma_200", "new_high_low_m_60")

Told = tuple[Number, str]  # percentile, or null and the reason


class Moments:
    """Mean and variance that forget (West 1979)."""

    def __init__(self) -> None:
        self.count, self.mean, self.variance = 0, 0.0, 0.0

    def z(self, x: Number) -> Number:
        if x is None or self.count < MOMENTS_MIN:
            return None
        return (x - self.mean) / max(sqrt(self.variance), DEVIATION_MIN)

    def fold(self, x: float) -> None:
        step = max(1 - 2 ** (-1 / HALF_LIFE_MINUTES), 1 / (self.count + 1))
        away = x - self.mean
        self.mean += step * away
        self.variance = (1 - step) * (self.variance + step * away * away)
        self.count += 1


def z_of_breadth(rows: Mapping[int, Market]) -> dict[int, Market]:
    found: dict[int, Market] = {t: {} for t in rows}
    for name in MOMENTS:
        moments = Moments()
        waiting: list[tuple[int, float]] = []
        for t in sorted(rows):
            while waiting and waiting[0][0] <= t - 2:
                moments.fold(waiting.pop(0)[1])
            value = rows[t][name]
            found[t][f"z_{name}"] = moments.z(value)
            if value is not None:
                waiting.append((t, value))
    for row in found.values():
        four = those(row.values())
        row["breadth_composite"] = mean(four) if len(four) == len(MOMENTS) else None
    return found


def windows_of(rows: Mapping[int, Market], name: str) -> dict[int, list[float]]:
    """Minute -> what the 30 days before it hold: of minutes whose label is a whole multiple of 5 minutes."""
    lattice = sorted(rows)
    values = [rows[t][name] if (t + 1) % 5 == 0 else None for t in lattice]
    return dict(zip(lattice, held([Minute(t) for t in lattice], values, MONTH_VALUES), strict=True))


def percentile(value: Number, held_values: Sequence[float]) -> Told:
    if value is None:
        return None, "few_symbols"
    if len(held_values) < DAY_VALUES:
        return None, "few_minutes"
    return 100 * rank(held_values, value), "none"


def depth(p: float) -> tuple[int, float]:
    """Which of the four classes, and how deep in it."""
    if p < 20:
        return 0, (20 - p) / 20
    if p < 80:
        return 1, min(p - 20, 80 - p) / 30
    return (2, min(p - 80, 95 - p) / 7.5) if p <= 95 else (3, (p - 95) / 5)


def regime_of(name: str, told: Told, classes: Sequence[str]) -> Market:
    p, reason = told
    number, confidence = (None, None) if p is None else depth(p)
    return {
        f"{name}_percentile": p,
        f"{name}_regime": None if number is None else classes[number],
        f"{name}_confidence": confidence,
        f"{name}_reason": reason,
    }


def liquidity(volume: Told, spread: Told) -> Told:
    reasons = (volume[1], spread[1])
    for reason in ("few_symbols", "few_minutes"):
        if reason in reasons:
            return None, reason
    assert volume[0] is not None
    assert spread[0] is not None
    return (volume[0] + (100 - spread[0])) / 2, "none"


def going(adx: float, slope: float) -> str:
    if adx > 20 and slope != 0:
        return "up" if slope > 0 else "down"
    return "sideways"


def trend(symbols: Symbols, t: int, universe_rev: int, leader: str | None) -> Market:
    if leader is None:
        return {"trend_regime": None, "trend_confidence": None, "trend_reason": "no_leader"}
    known = {name: symbols[name].known[t] for name in eligible(symbols, t, universe_rev)}
    classes = {
        name: going(adx, slope)
        for name, one in known.items()
        if (adx := one["adx_14"]) is not None and (slope := one["hma_100_slope"]) is not None
    }
    if leader not in classes:
        return {"trend_regime": None, "trend_confidence": None, "trend_reason": "no_input"}
    same = sum(1 for one in classes.values() if one == classes[leader])
    return {"trend_regime": classes[leader], "trend_confidence": same / len(classes), "trend_reason": "none"}


def all_in_all(row: Market, leader_adx: Number) -> Market:
    reason = row["volatility_reason"] if row["volatility_reason"] != "none" else row["trend_reason"]
    if reason != "none":
        return {"market_regime": None, "market_confidence": None, "market_reason": reason}
    p = row["volatility_percentile"]
    assert leader_adx is not None
    if row["volatility_regime"] in ("high", "extreme"):
        regime, confidence = "volatile", (p - 80) / 20
    elif row["trend_regime"] in ("up", "down") and leader_adx > 25:
        regime, confidence = "trending", row["trend_confidence"]
    else:
        regime, confidence = "normal", (80 - p) / 80
    return {"market_regime": regime, "market_confidence": confidence, "market_reason": "none"}


def session(t: int) -> str:
    hour = t // 60 % 24
    return "asia" if hour < 7 else "europe" if hour < 13 else "overlap" if hour < 16 else "us"


def regimes(symbols: Symbols, rows: Mapping[int, Market]) -> dict[int, Market]:
    """All columns of the market row that look back; `rows` as market.markets gives them."""
    found = z_of_breadth(rows)
    held_rv, held_volume, held_spread = (
        windows_of(rows, name) for name in ("market_rv_h_1", "market_volume_h_1", "market_spread_bp")
    )
    for t, row in rows.items():
        volatility = percentile(row["market_rv_h_1"], held_rv[t])
        volume = percentile(row["market_volume_h_1"], held_volume[t])
        spread = percentile(row["market_spread_bp"], held_spread[t])
        told = found[t]
        told |= regime_of("volatility", volatility, ("low", "medium", "high", "extreme"))
        told |= regime_of("liquidity", liquidity(volume, spread), ("low", "normal", "high", "extreme"))
        leader = row["leader"]
        told |= trend(symbols, t, row["universe_rev"], leader)
        told |= all_in_all(told, None if leader is None else symbols[leader].known[t]["adx_14"])
        told["session"] = session(t)
    return found
