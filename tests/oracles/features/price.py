"""Price: returns, realised volatility and the drift inside a minute, minute by minute over whole windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import copysign, log, pi, sqrt

from tests.oracles.features import Columns, Minute, Number, full_enough, series, total, usable

NULL: Columns = dict.fromkeys(
    (
        "ret_s_30", "ret_m_1", "ret_m_5", "ret_m_15", "ret_abs_m_1", "rv_m_1", "drift_burst_m_1", "atr_proxy_m_1",
        "rv_m_15", "rv_h_1", "bpv_m_15", "jump_m_15",
    )
)  # fmt: skip
PAIRS_MIN = 10
DRIFT_WINDOWS_S = (10, 20, 30, 60)


def price(minutes: Sequence[Minute]) -> list[Columns]:
    """All price columns; inputs: high, low, mid_open, mid_close, mids."""
    rows = usable(minutes)
    mids = mids_of(rows)
    logs = log_returns(mids)
    return [_row(rows[minute.minute], mids, logs) if minute.minute in rows else NULL for minute in minutes]


def mids_of(rows: Mapping[int, Minute]) -> dict[int, float]:
    return series(rows, lambda minute: minute.mid_close)


def log_returns(mids: Mapping[int, float]) -> dict[int, float]:
    """r_t, where both mids are there."""
    return {t: log(mid) - log(mids[t - 1]) for t, mid in mids.items() if t - 1 in mids}


def simple_return(mids: Mapping[int, float], t: int, k: int) -> Number:
    if t not in mids or t - k not in mids:
        return None
    return mids[t] / mids[t - k] - 1


def realised(path: Sequence[Number]) -> Number:
    """Root of the summed squares of log moves between neighbours of the path, nulls left out."""
    points = [point for point in path if point is not None]
    if len(points) < 2:
        return None
    return sqrt(total([(log(new) - log(old)) ** 2 for old, new in pairwise(points)]))


def drift_burst(path: Sequence[Number]) -> Number:
    """The largest S_w of the path, g_0 to g_60, with the sign of its D_w; 0 where none is above 0."""
    volatility = realised(path)
    if volatility is None or volatility == 0:
        return None
    logs = [None if point is None else log(point) for point in path]
    best = 0.0
    for window_s in DRIFT_WINDOWS_S:
        drift = furthest_drift(logs, window_s)
        score = abs(drift) / (volatility * sqrt(window_s / 60)) - sqrt(log(60 / window_s) / 2)
        if score > abs(best):
            best = copysign(score, drift)
    return best


def furthest_drift(logs: Sequence[Number], window_s: int) -> float:
    """D_w: the largest move in size from a point to the one `window_s` later, the first of equals; none: 0.

    A move from one mid to another and a move back are equal in size to the last bit.
    """
    moves = [new - old for old, new in zip(logs, logs[window_s:], strict=False) if old is not None and new is not None]
    return max(moves, key=abs, default=0.0)


def realised_of_minutes(logs: Mapping[int, float], t: int, n: int) -> Number:
    """Root of the summed squares of r over n minutes, scaled up to n where some are missing."""
    present = full_enough(logs, t, n)
    if present is None:
        return None
    return sqrt(n / len(present) * total([r**2 for r in present]))


def bipower(logs: Mapping[int, float], t: int, n: int) -> Number:
    """pi/2 of the summed products of neighbouring |r|, scaled up to n."""
    pairs = [(logs[u], logs[u - 1]) for u in range(t - n + 2, t + 1) if u in logs and u - 1 in logs]
    if len(pairs) < PAIRS_MIN:
        return None
    return pi / 2 * n / len(pairs) * total([abs(new) * abs(old) for new, old in pairs])


def _row(row: Minute, mids: Mapping[int, float], logs: Mapping[int, float]) -> Columns:
    t, mid = row.minute, row.mid_close
    half = row.mids[29]  # g_30
    ret_1 = simple_return(mids, t, 1)
    rv_15, bpv_15 = realised_of_minutes(logs, t, 15), bipower(logs, t, 15)
    return {
        "ret_s_30": None if mid is None or half is None else mid / half - 1,
        "ret_m_1": ret_1,
        "ret_m_5": simple_return(mids, t, 5),
        "ret_m_15": simple_return(mids, t, 15),
        "ret_abs_m_1": None if ret_1 is None else abs(ret_1),
        "rv_m_1": realised([row.mid_open, *row.mids]),
        "drift_burst_m_1": drift_burst([row.mid_open, *row.mids]),
        "atr_proxy_m_1": None if row.high is None or row.low is None or mid is None else (row.high - row.low) / mid,
        "rv_m_15": rv_15,
        "rv_h_1": realised_of_minutes(logs, t, 60),
        "bpv_m_15": bpv_15,
        "jump_m_15": None if rv_15 is None or bpv_15 is None else max(0.0, rv_15**2 - bpv_15),
    }
