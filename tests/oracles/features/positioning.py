"""Positioning: open interest, basis, liquidations, funding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.oracles.features import Columns, Minute, Number, full_enough, mean, series, total, usable, whole

NULL: Columns = dict.fromkeys(
    (
        "oi_delta_m_5", "oi_roc_m_5", "oi_quote", "basis_bp", "basis_bp_m_5", "liq_count_m_5", "liq_notional_m_5",
        "time_to_next_funding_s",
    )
)  # fmt: skip
OI_STALE_MS = 20_000
SECONDS_PER_DAY = 86_400


def positioning(minutes: Sequence[Minute], oi_stale_ms: int = OI_STALE_MS) -> list[Columns]:
    """All positioning columns; inputs: oi_close, oi_staleness_ms, mark_price, index_price, mid_close, liquidation_*."""
    rows = usable(minutes)
    interests = series(rows, lambda minute: interest(minute, oi_stale_ms))
    bases = series(rows, basis_bp)
    counts = series(rows, lambda minute: minute.liquidation_count)
    notionals = series(rows, liquidated)
    return [
        {
            "oi_delta_m_5": change(interests, t),
            "oi_roc_m_5": rate_of_change(interests, t),
            "oi_quote": oi_quote(interests.get(t), rows[t]),
            "basis_bp": bases.get(t),
            "basis_bp_m_5": None if (five := full_enough(bases, t, 5)) is None else mean(five),
            "liq_count_m_5": None if (five := whole(counts, t, 5)) is None else total(five),
            "liq_notional_m_5": None if (five := whole(notionals, t, 5)) is None else total(five),
            "time_to_next_funding_s": to_next_funding_s(rows[t]),
        }
        if (t := minute.minute) in rows
        else NULL
        for minute in minutes
    ]


def interest(minute: Minute, oi_stale_ms: int) -> Number:
    """oi: open interest that is fresh enough."""
    is_stale = minute.oi_staleness_ms is None or minute.oi_staleness_ms > oi_stale_ms
    return None if is_stale else minute.oi_close


def change(interests: Mapping[int, float], t: int) -> Number:
    return interests[t] - interests[t - 5] if t in interests and t - 5 in interests else None


def rate_of_change(interests: Mapping[int, float], t: int) -> Number:
    difference = change(interests, t)
    return difference / interests[t - 5] if difference is not None and interests[t - 5] > 0 else None


def oi_quote(oi: Number, minute: Minute) -> Number:
    if oi is None:
        return None
    if minute.inverse:
        return oi * minute.contract_size
    return None if minute.mark_price is None else oi * minute.mark_price


def basis_bp(minute: Minute) -> Number:
    if minute.mark_price is None or minute.index_price is None or minute.index_price <= 0:
        return None
    return 1e4 * (minute.mark_price - minute.index_price) / minute.index_price


def liquidated(minute: Minute) -> Number:
    """Quote value of what was liquidated in the minute."""
    if minute.liquidation_buy_base is None or minute.liquidation_sell_base is None:
        return None
    base = minute.liquidation_buy_base + minute.liquidation_sell_base
    if minute.inverse:
        return base * minute.contract_size
    return None if minute.mid_close is None else base * minute.mid_close


def to_next_funding_s(minute: Minute) -> Number:
    """Whole seconds from the close of the minute; a funding at the close itself is past."""
    if minute.funding_interval_h is None:
        return None
    interval_s = minute.funding_interval_h * 3_600
    close_s = (minute.minute + 1) * 60 % SECONDS_PER_DAY
    return float(interval_s - close_s % interval_s)
