"""Flow: signed volume, its sums since midnight, price impact, and the imbalance of equal-volume buckets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from tests.oracles.features import (
    MINUTES_PER_DAY,
    MINUTES_PER_HOUR,
    Columns,
    Minute,
    Number,
    day_of,
    mean,
    slope,
    total,
    usable,
    whole,
    window,
)
from tests.oracles.features.price import mids_of, simple_return

NULL: Columns = dict.fromkeys(
    (
        "taker_sell_quote_volume", "cvd_delta_m_1", "cvd_level", "cvd_slope_m_5", "signed_flow_ratio_m_1",
        "avg_trade_quote", "vwap_session", "vwap_dev_bp", "kyle_lambda_m_15", "amihud_m_15", "vpin",
    )
)  # fmt: skip
IMPACT_MINUTES_MIN = 10
BUCKETS = 50
BUCKET_IN_MEAN_MINUTES = 28.8  # a fiftieth of a day
SIZE_FROM_MINUTES, SIZE_MINUTES_MIN = 240, 60
FULL = Fraction(1, 10**9)  # a bucket with no more than this part of its size free is full


def flow(minutes: Sequence[Minute]) -> list[Columns]:
    """All flow columns; inputs: quote_volume, taker_buy_quote_volume, base_volume, vwap, trade_count, mid_close."""
    rows = usable(minutes)
    mids = mids_of(rows)
    deltas = {t: delta(row) for t, row in rows.items()}
    volumes = {t: row.quote_volume for t, row in rows.items()}
    returns = {t: found for t in rows if (found := simple_return(mids, t, 1)) is not None}
    illiquidity = {t: abs(returns[t]) / volumes[t] for t in returns if volumes[t] > 0}
    anchors = {t: vwap_session(rows, t) for t in rows}
    vpins = vpin(rows)
    return [
        {
            "taker_sell_quote_volume": sell(rows[t]),
            "cvd_delta_m_1": deltas[t],
            "cvd_level": total([deltas[u] for u in since_midnight(rows, t)]),
            "cvd_slope_m_5": cvd_slope(deltas, t),
            "signed_flow_ratio_m_1": deltas[t] / volumes[t] if volumes[t] else None,
            "avg_trade_quote": volumes[t] / rows[t].trade_count if rows[t].trade_count else None,
            "vwap_session": anchors[t],
            "vwap_dev_bp": deviation_bp(rows[t].mid_close, anchors[t]),
            "kyle_lambda_m_15": kyle_lambda(returns, deltas, t),
            "amihud_m_15": amihud(illiquidity, t),
            "vpin": vpins[t],
        }
        if (t := minute.minute) in rows
        else NULL
        for minute in minutes
    ]


def exact(number: float) -> Fraction:
    """The decimal number that a person typed."""
    return Fraction(repr(number))


def sell(row: Minute) -> float:
    return float(exact(row.quote_volume) - exact(row.taker_buy_quote_volume))


def delta(row: Minute) -> float:
    """D: buy - sell, rounded once."""
    return float(2 * exact(row.taker_buy_quote_volume) - exact(row.quote_volume))


def since_midnight(rows: Mapping[int, Minute], t: int) -> list[int]:
    """The usable minutes of the UTC day of t, up to t."""
    return [u for u in range(day_of(t) * MINUTES_PER_DAY, t + 1) if u in rows]


def cvd_slope(deltas: Mapping[int, float], t: int) -> Number:
    """Slope of the five running sums on the minute."""
    five = whole(deltas, t, 5)
    if five is None:
        return None
    return slope([0.0, 1.0, 2.0, 3.0, 4.0], [total(five[: count + 1]) for count in range(5)])


def vwap_session(rows: Mapping[int, Minute], t: int) -> Number:
    traded = [(row.vwap, row.base_volume) for u in since_midnight(rows, t) if (row := rows[u]).vwap is not None]
    if not traded:
        return None
    return total([vwap * base for vwap, base in traded if vwap is not None]) / total([base for _, base in traded])


def deviation_bp(mid: Number, anchor: Number) -> Number:
    return None if mid is None or anchor is None else 1e4 * (mid - anchor) / anchor


def kyle_lambda(returns: Mapping[int, float], deltas: Mapping[int, float], t: int) -> Number:
    held = [u for u in range(t - 14, t + 1) if u in returns and u in deltas]
    if len(held) < IMPACT_MINUTES_MIN:
        return None
    return slope([deltas[u] for u in held], [returns[u] for u in held])


def amihud(illiquidity: Mapping[int, float], t: int) -> Number:
    held = window(illiquidity, t, 15)
    return mean(held) if len(held) >= IMPACT_MINUTES_MIN else None


# --- vpin ------------------------------------------------------------------------------------------------------------

Volumes = tuple[Fraction, Fraction]  # bought and sold


def vpin(rows: Mapping[int, Minute]) -> dict[int, Number]:
    """Usable minute -> mean imbalance of the newest 50 full buckets. Buckets are exact; their size is a float."""
    volumes = {t: row.quote_volume for t, row in rows.items()}
    imbalances: list[float] = []  # of the full buckets, in order
    size: Number = None
    bucket = (Fraction(0), Fraction(0))  # the running one
    found: dict[int, Number] = {}
    for t in sorted(rows):
        if is_first_of_hour(rows, t):
            size = bucket_size(volumes, t) or size
        if size is not None:
            bucket, filled = pour(bucket, Fraction(size), bought_and_sold(rows[t]))
            imbalances = [*imbalances, *filled][-BUCKETS:]
        found[t] = mean(imbalances) if len(imbalances) == BUCKETS else None
    return found


def is_first_of_hour(rows: Mapping[int, Minute], t: int) -> bool:
    return not any(u in rows for u in range(t - t % MINUTES_PER_HOUR, t))


def bucket_size(volumes: Mapping[int, float], t: int) -> Number:
    before = window(volumes, t - 1, SIZE_FROM_MINUTES)
    return BUCKET_IN_MEAN_MINUTES * mean(before) if len(before) >= SIZE_MINUTES_MIN else None


def bought_and_sold(row: Minute) -> Volumes:
    bought = exact(row.taker_buy_quote_volume)
    return bought, exact(row.quote_volume) - bought


def pour(bucket: Volumes, size: Fraction, minute: Volumes) -> tuple[Volumes, list[float]]:
    """A minute into buckets, its buys and sells in equal proportion: the running bucket, and imbalances of full ones.

    Of the full ones that hold nothing but this minute, the newest 50 are enough.
    """
    bought, sold = bucket
    full = []
    volume = left = minute[0] + minute[1]
    while left > 0:
        if bought + sold == 0:
            left -= max(0, left // size - BUCKETS) * size
        poured = min(left, max(Fraction(0), size - bought - sold))
        left -= poured
        bought += poured / volume * minute[0]
        sold += poured / volume * minute[1]
        if size - bought - sold <= FULL * size:
            full.append(float(abs(bought - sold) / (bought + sold)))
            bought = sold = Fraction(0)
    return (bought, sold), full
