"""Minute arithmetic. Time is int64 nanoseconds UTC everywhere; a minute is its index since the epoch.

Minute `m` covers [m * 60 s, (m + 1) * 60 s); its label, `exchange_ts`, is its close: (m + 1) * 60 s.
"""

from __future__ import annotations

from datetime import UTC, datetime

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_S
MS_PER_MINUTE = 60_000
MINUTES_PER_DAY = 1440
TIME_MS_MAX = (2**63 - 1) // NS_PER_MS  # in the year 2262; a later time does not fit nanoseconds


def minute_of(time_ns: int) -> int:
    """Index of the minute that contains `time_ns`."""
    return time_ns // NS_PER_MINUTE


def close_ms(minute: int) -> int:
    """The label `exchange_ts` of a minute: its close in milliseconds UTC."""
    return (minute + 1) * MS_PER_MINUTE


def label(minute: int) -> str:
    """The close of a minute for people: `2024-08-08 23:56`."""
    return datetime.fromtimestamp(close_ms(minute) // 1000, UTC).strftime("%Y-%m-%d %H:%M")
