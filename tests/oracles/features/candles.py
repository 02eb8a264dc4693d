"""Candles: shapes of one body or two, and whether the volume is above the usual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.oracles.features import Columns, Minute, Number, flag, full_enough, mean, series, usable

NULL: Columns = dict.fromkeys(("is_doji", "is_hammer", "is_engulfing_up", "is_engulfing_down", "is_volume_confirmed"))


def candles(minutes: Sequence[Minute]) -> list[Columns]:
    """All candle columns; inputs: open, high, low, close, quote_volume."""
    rows = usable(minutes)
    volumes = series(rows, lambda minute: minute.quote_volume)
    return [
        {
            "is_doji": is_doji(rows[t]),
            "is_hammer": is_hammer(rows[t]),
            "is_engulfing_up": engulfing(rows.get(t - 1), rows[t], 1.0),
            "is_engulfing_down": engulfing(rows.get(t - 1), rows[t], -1.0),
            "is_volume_confirmed": is_volume_confirmed(volumes, t),
        }
        if (t := minute.minute) in rows
        else NULL
        for minute in minutes
    ]


def is_doji(row: Minute) -> Number:
    if row.open is None or row.high is None or row.low is None or row.close is None:
        return None
    return flag(row.high > row.low and abs(row.close - row.open) < 0.1 * (row.high - row.low))


def is_hammer(row: Minute) -> Number:
    if row.open is None or row.high is None or row.low is None or row.close is None:
        return None
    body = abs(row.close - row.open)
    lower_wick = min(row.open, row.close) - row.low
    upper_wick = row.high - max(row.open, row.close)
    return flag(body > 0 and lower_wick > 2 * body and upper_wick < body)


def engulfing(before: Minute | None, row: Minute, sign: float) -> Number:
    """sign 1: a falling body inside a rising one; -1: mirrored, so prices count downwards."""
    if before is None or before.open is None or before.close is None or row.open is None or row.close is None:
        return None
    opened, closed = sign * row.open, sign * row.close
    opened_before, closed_before = sign * before.open, sign * before.close
    return flag(
        closed_before < opened_before
        and closed > opened
        and opened <= closed_before
        and closed >= opened_before
        and abs(closed - opened) > abs(closed_before - opened_before)
    )


def is_volume_confirmed(volumes: Mapping[int, float], t: int) -> Number:
    before = full_enough(volumes, t - 1, 20)
    return None if before is None else flag(volumes[t] > 1.5 * mean(before))
