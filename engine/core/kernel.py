"""The one way to compile a kernel.

Every kernel has the same flags: no fastmath, no parallel, so that the bits do not depend on the machine. Each room has
an on-disk cache of its own, named by a digest of its sources and the core's, because numba itself notices a change only
in the file of the compiled function and would go on using a stale helper from another file. Stages never import each
other, so nothing else can be in a kernel of theirs, and a change in one room leaves the others compiled.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba

ROOT = Path(__file__).resolve().parents[2]
# Core and stages: the only rooms that may hold a kernel or a constant that one freezes.
KERNEL_ROOMS = (
    "engine/core", "engine/tape", "engine/bars", "engine/quality", "engine/universe", "engine/features",
    "engine/context", "engine/rollups", "engine/trading", "engine/signals", "detectors", "dsi",
)  # fmt: skip


def source_digest(rooms: tuple[str, ...] = KERNEL_ROOMS) -> str:
    """SHA-256 over every source file of these rooms that may hold a kernel, in sorted order."""
    digest = hashlib.sha256()
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


SOURCE_DIGEST = source_digest()
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "conveyor" / "kernels" / "rooms"
SETTINGS: Any = numba.config
SETTINGS.CACHE_DIR = str(CACHE)


@cache
def cache_name(room: str) -> str:
    """Folder of a room's kernels under numba's cache, such as `engine.tape-` and 16 hex digits."""
    return f"{room.replace('/', '.')}-{source_digest(('engine/core', room))[:16]}"


def _room_of(module: str) -> str | None:
    path = module.replace(".", "/")
    return next((room for room in KERNEL_ROOMS if path == room or path.startswith(f"{room}/")), None)


# numba hands a function to code generation, which rewrites it in place, and afterwards inlines the rewritten form into
# its callers. One of these rewrites makes the offset of `base + offset` look like the pointer; a caller for which the
# offset becomes 0 then seems to read through null and loses the read, silently. Without that rewrite the bits are right
# at every level of optimisation; tests/core/test_kernel.py holds the smallest function that shows it.
llvm.set_option("", "-addr-sink-using-gep=false")

# _nrt=False: no reference counting. Kernels allocate nothing, and counting cost five times the work itself.
# Nobody calls a kernel from C: wrappers for that were a twelfth of the time of compiling.
JIT: Any = numba.njit
FLAGS: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}
KERNELS: list[Any] = []  # every compiled function, in import order; a test walks it and asserts the flags


def _machine_digest() -> str:
    """What else numba compiles for: place of the sources, versions, processor, settings that change the code."""
    settings = [str(getattr(numba.config, name)) for name in ("CPU_NAME", "CPU_FEATURES", "OPT", "DISABLE_JIT")]
    parts = [str(ROOT), numba.__version__, sys.version, llvm.get_host_cpu_name(), *settings]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


WARM_MARK = CACHE / f"warm-{SOURCE_DIGEST[:16]}-{_machine_digest()[:16]}"  # stands once every kernel has been compiled


def is_warm() -> bool:
    """Whether kernels of these sources were compiled before on this machine."""
    return WARM_MARK.exists()


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function of plain arrays and scalars: `out` last, no allocation, fixed order, never raises."""
    room, folder = _room_of(function.__module__), SETTINGS.CACHE_DIR
    if room:
        SETTINGS.CACHE_DIR = os.path.join(folder, cache_name(room))  # numba reads it while it decorates
    try:
        compiled = JIT(cache=True, nogil=True, **FLAGS)(function)
    finally:
        SETTINGS.CACHE_DIR = folder
    KERNELS.append(compiled)
    return compiled


def inlined(function: Callable[..., Any]) -> Any:
    """A helper that is compiled into each kernel that calls it; for what runs once per event."""
    compiled = JIT(forceinline=True, **FLAGS)(function)
    KERNELS.append(compiled)
    return compiled
