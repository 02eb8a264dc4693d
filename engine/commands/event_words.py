"""What happened, in words of one line: for the table of a run, and for the page of a status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.core.minutes import NS_PER_MS, NS_PER_S

DIGEST_LENGTH, DIGEST_SHOWN = 64, 12  # letters of SHA-256 in hex
LEFT_OUT = {"fault"}  # for programs: the reason says it in words
EMPTY: tuple[Any, ...] = ("", None, (), [], {})


def sentence(kind: str, venue: str, symbol: str, detail: Mapping[str, Any]) -> str:
    """`connection_down hyperliquid: connection 1, reason closed by the venue`; of a command what was typed."""
    told = {name: value for name, value in detail.items() if name not in LEFT_OUT and value not in EMPTY}
    if "reason" in told:
        told.pop("unmet", None)  # the reason of a refusal lists them
    arguments = told.pop("arguments", [])
    typed = [str(told.pop("command", "")), *map(str, arguments)]
    whose = " ".join(filter(None, (venue, symbol, *typed)))
    said = ", ".join(_said(name, value) for name, value in told.items())
    return f"{kind} {whose}".rstrip() + (f": {said}" if said else "")


def clock(time_ns: int) -> str:
    """`14:22:05`, UTC."""
    second = time_ns // NS_PER_S % 86_400
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def _said(name: str, value: Any) -> str:
    """A name and its value; times of day instead of their numbers."""
    if name.endswith("_ns") and isinstance(value, int):
        return f"{name.removesuffix('_ns')} {clock(value)}.{value // NS_PER_MS % 1000:03}"
    if name in ("exchange_ts", "newest_ms", "from_ts") and isinstance(value, int):
        return f"minute ending {clock(value * NS_PER_MS)[:5]}"
    if isinstance(value, Mapping):
        return f"{name} {' '.join(f'{key} {one}' for key, one in value.items())}"
    if isinstance(value, list | tuple):
        ones = [str(one) for one in value]
        return f"{name} {('; ' if any(' ' in one for one in ones) else ' ').join(ones)}"
    text = str(value)
    return f"{name} {text[:DIGEST_SHOWN] if _is_digest(text) else text}"


def _is_digest(text: str) -> bool:
    return len(text) == DIGEST_LENGTH and not set(text) - set("0123456789abcdef")
