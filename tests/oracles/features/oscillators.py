"""Oscillators: RSI, MACD, Bollinger bands, Stochastic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import sqrt

from tests.oracles.features import Columns, Minute, Number, full_enough, mean, total, usable, whole
from tests.oracles.features.trend import (
    Bars,
    Extremes,
    closes_of,
    extremes,
    over_runs,
    ranges_of,
    wilder,
)

NULL: Columns = dict.fromkeys(
    (
        "rsi_14", "rsi_21", "rsi_50", "macd_line", "macd_signal", "macd_histogram", "bb_middle_20", "bb_upper_20",
        "bb_lower_20", "bb_position_20", "bb_width_20", "stoch_k_14", "stoch_d_14",
    )
)  # fmt: skip


def oscillators(minutes: Sequence[Minute]) -> list[Columns]:
    """All oscillator columns; inputs: high, low, close."""
    rows = usable(minutes)
    closes, ranges = closes_of(rows), ranges_of(rows)
    stochastics = {t: k for t in rows if (k := stochastic(closes.get(t), extremes(ranges, t, 14))) is not None}
    by_run = {
        "rsi_14": over_runs(rows, lambda bars: rsi(bars, 14)),
        "rsi_21": over_runs(rows, lambda bars: rsi(bars, 21)),
        "rsi_50": over_runs(rows, lambda bars: rsi(bars, 50)),
        "macd_line": over_runs(rows, macd_line),
        "macd_signal": over_runs(rows, macd_signal),
    }
    return [
        {
            **{column: values.get(t) for column, values in by_run.items()},
            "macd_histogram": difference(by_run["macd_line"].get(t), by_run["macd_signal"].get(t)),
            **bands(closes, t),
            "stoch_k_14": stochastics.get(t),
            "stoch_d_14": None if (three := whole(stochastics, t, 3)) is None else mean(three),
        }
        if (t := minute.minute) in rows
        else NULL
        for minute in minutes
    ]


# --- recursions: one value a bar of a run ----------------------------------------------------------------------------


def rsi(bars: Bars, n: int) -> list[Number]:
    moves = [new - old for (_, _, old), (_, _, new) in pairwise(bars)]
    gains = wilder([max(move, 0.0) for move in moves], n)
    losses = wilder([max(-move, 0.0) for move in moves], n)
    return [None, *(strength(gain, loss) for gain, loss in zip(gains, losses, strict=True))]


def strength(gain: Number, loss: Number) -> Number:
    if gain is None or loss is None:
        return None
    return 100 * gain / (gain + loss) if gain + loss else 50.0


def ema(values: Sequence[float], n: int) -> list[Number]:
    """Of the first n their mean, then each value at weight 2 / (n + 1)."""
    found: list[Number] = []
    for count, value in enumerate(values, 1):
        before = found[-1] if found else None
        if before is not None:
            found.append(before + 2 / (n + 1) * (value - before))
        else:
            found.append(mean(values[:n]) if count == n else None)
    return found


def macd_line(bars: Bars) -> list[Number]:
    closes = [close for _, _, close in bars]
    return [difference(fast, slow) for fast, slow in zip(ema(closes, 12), ema(closes, 26), strict=True)]


def macd_signal(bars: Bars) -> list[Number]:
    lines = [line for line in macd_line(bars) if line is not None]
    return [None] * (len(bars) - len(lines)) + ema(lines, 9)


def difference(left: Number, right: Number) -> Number:
    return None if left is None or right is None else left - right


# --- windows ---------------------------------------------------------------------------------------------------------


def bands(closes: Mapping[int, float], t: int) -> Columns:
    present = full_enough(closes, t, 20)
    if present is None:
        return {column: None for column in NULL if column.startswith("bb_")}
    middle, deviation = mean(present), population_deviation(present)
    upper, lower = middle + 2 * deviation, middle - 2 * deviation
    return {
        "bb_middle_20": middle,
        "bb_upper_20": upper,
        "bb_lower_20": lower,
        "bb_position_20": (closes[t] - lower) / (upper - lower) if deviation and t in closes else None,
        "bb_width_20": (upper - lower) / middle,
    }


def population_deviation(values: Sequence[float]) -> float:
    """Mean first, then squares; exactly 0 where all values are equal, however their mean is rounded."""
    if min(values) == max(values):
        return 0.0
    middle = mean(values)
    return sqrt(total([(value - middle) ** 2 for value in values]) / len(values))


def stochastic(close: Number, walls: Extremes | None) -> Number:
    """%K: where the close stands between the extremes of its window, itself among them."""
    if close is None or walls is None or walls[0] == walls[1]:
        return None
    highest, lowest = walls
    return 100 * (close - lowest) / (highest - lowest)
