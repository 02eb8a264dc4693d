"""The ladder of domain 1.7: how pressed the process is, from journaled load samples alone.

A level is reached when its threshold has been exceeded for a while, and left, one level at a time, when the process has
stood below a part of it for longer. So it follows a surge within seconds and does not swing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from config.schema import Load as Settings
from engine.core.control import Load
from engine.core.layouts import FINALIZE_CLOSES
from engine.core.minutes import NS_PER_S


class LoadLevel(IntEnum):
    """What is shed: nothing; detectors of the lower fifth; of the tail; depth, step by step; all but a few symbols."""

    CALM = 0
    SLOW = 1
    BEHIND = 2
    LAGGING = 3
    EMERGENCY = 4

    def __str__(self) -> str:
        return self.name.lower()


def take(loaded: Any, sample: Load, recv_ns: int, settings: Settings) -> None:
    """Take in a sample: the level, and how many steps of depth are left out, as they are from here on."""
    if sample.finalize_ms > 0:
        loaded["finalize_ms"][int(loaded["closes"]) % FINALIZE_CLOSES] = sample.finalize_ms
        loaded["closes"] += 1
    level = int(loaded["level"])
    reached, needed = LoadLevel.CALM, LoadLevel.CALM
    for rung in LoadLevel:
        if rung == LoadLevel.CALM:
            continue
        if not _exceeds(rung, loaded, sample, settings, 100):
            loaded["above_ns"][rung] = -1
        elif loaded["above_ns"][rung] < 0:
            loaded["above_ns"][rung] = recv_ns
        rise_s = settings.emergency_rise_s if rung == LoadLevel.EMERGENCY else settings.rise_s
        since_ns = int(loaded["above_ns"][rung])
        if since_ns >= 0 and recv_ns - since_ns >= rise_s * NS_PER_S:
            reached = rung
        if _exceeds(rung, loaded, sample, settings, settings.relief_pct):
            needed = rung
    if needed >= level:
        loaded["relief_ns"] = -1
    elif loaded["relief_ns"] < 0:
        loaded["relief_ns"] = recv_ns
    if reached > level:
        loaded["level"], loaded["relief_ns"] = reached, -1
    elif loaded["relief_ns"] >= 0 and recv_ns - loaded["relief_ns"] >= settings.calm_s * NS_PER_S:
        loaded["level"], loaded["relief_ns"] = level - 1, recv_ns
    _step(loaded, recv_ns, settings)


def _exceeds(rung: LoadLevel, loaded: Any, sample: Load, settings: Settings, share_pct: int) -> bool:
    """Whether a sample is beyond this share of a level's threshold."""
    newest_ms = int(loaded["finalize_ms"][(int(loaded["closes"]) - 1) % FINALIZE_CLOSES]) if loaded["closes"] else 0
    if rung == LoadLevel.SLOW:
        return 100 * finalize_p95_ms(loaded) > share_pct * settings.slow_ms
    if rung == LoadLevel.BEHIND:
        return 100 * newest_ms > share_pct * settings.behind_ms
    if rung == LoadLevel.LAGGING:
        return 100 * sample.lag_ms > share_pct * settings.lagging_ms
    full = sample.cpu_pct > settings.emergency_cpu_pct or sample.memory_pct > settings.emergency_memory_pct
    return full and 100 * max(sample.lag_ms, newest_ms) > share_pct * settings.emergency_ms


def finalize_p95_ms(loaded: Any) -> int:
    """The nearest-rank p95 of bar_finalize_ms over the closes that are remembered; 0 before the first."""
    count = min(int(loaded["closes"]), FINALIZE_CLOSES)
    if not count:
        return 0
    return int(sorted(loaded["finalize_ms"][:count].tolist())[(95 * count + 99) // 100 - 1])


def _step(loaded: Any, recv_ns: int, settings: Settings) -> None:
    """Depth is left out in steps while the process lags, and taken back as slowly as the level falls."""
    steps, waited_ns = int(loaded["steps"]), recv_ns - int(loaded["stepped_ns"])
    if loaded["level"] >= LoadLevel.LAGGING:
        up = steps == 0 or (
            loaded["above_ns"][LoadLevel.LAGGING] >= 0 and waited_ns >= settings.shed_again_s * NS_PER_S
        )
        if up and steps * settings.shed_pct < 100:
            loaded["steps"], loaded["stepped_ns"] = steps + 1, recv_ns
    elif steps and waited_ns >= settings.calm_s * NS_PER_S:
        loaded["steps"], loaded["stepped_ns"] = steps - 1, recv_ns


def shed_count(loaded: Any, symbols: int, settings: Settings) -> int:
    """Of how many of a venue's symbols depth is left out, by the load or by an operator."""
    share_pct = min(100, int(loaded["steps"]) * settings.shed_pct)
    return min(symbols, max(int(loaded["operator_shed"]), (symbols * share_pct + 99) // 100))


def fifth(symbols: int) -> int:
    """Rounded up: of how many symbols detectors are spared."""
    return (symbols + 4) // 5


def in_emergency(loaded: Any) -> bool:
    """Whether only a few symbols are carried, by the load or by an operator."""
    return bool(loaded["operator_emergency"]) or loaded["level"] == LoadLevel.EMERGENCY
