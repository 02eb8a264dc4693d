"""Three planted faults, each of a kind that makes two machines differ: the proof must catch them, or it proves nothing.

A fault is planted in the child, from outside: the engine has no hook for it. `plant` runs before any stage is imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

FAST_MODULES = ("engine.bars.quotes", "engine.bars.depths")  # time-weighted means: products added up as real numbers
MAP_STEPS = 2_000


@dataclass(frozen=True, slots=True)
class Plant:
    """what: the fault in a sentence. caught_by: names of environments that show it."""

    what: str
    caught_by: tuple[str, ...]
    plant: Callable[[], None]


def plant_fastmath() -> None:
    """The kernels of the time-weighted means may be rewritten by the compiler: a / b * c becomes a * c / b.

    Only these are compiled anew, into a cache of their own; numba reads the place of the cache when it decorates.
    A processor with fused multiply-add gives the bits of one without: the products that are added up are exact. What
    differs is the compiler at work: without optimisation, or without a compiler, nothing is rewritten.
    """
    from engine.core import kernel

    settings: Any = numba.config
    strict = kernel.JIT

    def jit(**flags: Any) -> Callable[[Callable[..., Any]], Any]:
        def decorate(function: Callable[..., Any]) -> Any:
            if function.__module__ not in FAST_MODULES:
                return strict(**flags)(function)
            cache = settings.CACHE_DIR
            settings.CACHE_DIR = f"{cache}-fastmath"
            try:
                return strict(**flags, fastmath=True)(function)
            finally:
                settings.CACHE_DIR = cache

        return decorate

    kernel.JIT = jit


def _bar_stage() -> Any:
    """The module that calls the kernels, to have one of them replaced."""
    from engine.bars import stage

    return stage


def plant_libm() -> None:
    """The mean spread goes through the C library's exp, which has one form with and one without fused multiply-add.

    The two differ in the last bit of about three results in ten thousand. The map is chaotic, so one such bit grows
    until every digit of the cell is another one: a short journal is enough to see it.
    """
    stage = _bar_stage()

    @numba.njit(error_model="numpy")
    def through_libm(members: Any, rows: Any) -> None:
        for i in range(members.shape[0]):
            row = rows[members[i]]
            if row.spread_bp_mean > 0.0:
                value = row.spread_bp_mean / (1.0 + row.spread_bp_mean)
                for _ in range(MAP_STEPS):
                    value *= math.exp(3.0 * (1.0 - value))
                row.spread_bp_mean = value

    write_rows = stage.write_rows

    def write(members: Any, *others: Any) -> Any:
        answer = write_rows(members, *others)
        through_libm(members, others[-1])
        return answer

    stage.write_rows = write


def plant_set() -> None:
    """The mean spread is multiplied by a sum of reals over a set of texts, which come in the order of their hashes."""
    stage = _bar_stage()

    write_rows = stage.write_rows

    def write(members: Any, minute: int, *others: Any) -> Any:
        answer = write_rows(members, minute, *others)
        flows = {f"flow {n}": (1.0 if n % 2 else -1.0) / (n + minute % 60) for n in range(1, 2_000)}
        total = 0.0
        for name in set(flows):
            total += flows[name]
        others[-1]["spread_bp_mean"][np.asarray(members)] *= total
        return answer

    stage.write_rows = write


PLANTS = {
    "fastmath": Plant(
        "kernels of the time-weighted means compiled with fastmath", ("opt-0", "interpreted"), plant_fastmath
    ),
    "libm": Plant("a column passed through the C library's exp", ("glibc", "qemu-ivybridge"), plant_libm),
    "set": Plant("a sum of reals over a set of texts enters a column", ("hash-1", "hash-77", "hash-random"), plant_set),
}
