"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any


@cache
def _trim() -> Any:
    """glibc's own; None where there is another C library."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> None:
    """Let the C library return pages of freed memory, which it otherwise keeps for as long as the process lives.

    After each checkpoint DuckDB frees what it buffered, in pieces between others: unreturned it was 1.3 MB an hour.
    """
    if trim := _trim():
        trim(0)
