"""What a symbol's past has taught, as bytes: taken out of one engine, laid into another that begins.

Baselines, long windows and nothing else: they outlast a gap of any length. Recursions and the ring of inputs do not,
and warm up by themselves; what names other symbols (leaders) means nothing elsewhere.
"""

from __future__ import annotations

import hashlib

import numpy as np

from engine.core.errors import ConfigError
from engine.core.feature_state import Features
from engine.features.windows import sort_anew

PRIMED = ("long_counts", "long_values", "baselines", "seeds", "hours")  # of Features, in the order of the bytes


def layout(own: Features) -> str:
    """Digest of what these bytes mean."""
    arrays = [(name, getattr(own, name)) for name in PRIMED]
    told = repr([(name, array.dtype.descr, array.shape[1:]) for name, array in arrays])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def newest_minute(own: Features, symbol: int) -> int:
    """The newest minute that the baselines of a symbol were asked about; -1: none."""
    return int(own.baselines["minute"][symbol].max())


def lift(own: Features, symbol: int) -> bytes:
    """What a symbol has learned."""
    return b"".join(getattr(own, name)[symbol].tobytes() for name in PRIMED)


def lay(own: Features, symbol: int, content: bytes) -> None:
    """The way back, into a symbol that has learned nothing. Raises ConfigError if the bytes are too many or too few."""
    parts = [getattr(own, name)[symbol] for name in PRIMED]
    if len(content) != sum_of_bytes(parts):
        raise ConfigError(f"prime record: {len(content)} bytes of state, expected {sum_of_bytes(parts)}")
    begin = 0
    for part in parts:
        end = begin + part.nbytes
        part[...] = np.frombuffer(content[begin:end], part.dtype).reshape(part.shape)
        begin = end
    one = slice(symbol, symbol + 1)
    sort_anew(own.long_values[one], own.long_counts[one], own.long_sorted[one])


def sum_of_bytes(parts: list[np.ndarray]) -> int:
    return int(np.sum([part.nbytes for part in parts]))
