"""What a process sees of the environment it was put into: an environment that changes no fact proves little.

The fingerprints say more than settings do: they are digests of what the C library, numpy and BLAS answer here, none of
which the engine may use. Where one of them changes and the engine's digest does not, a rule of the engine was at work.
"""

from __future__ import annotations

import gc
import hashlib
import locale
import math
import platform
import sys
import time

import numba
import numpy as np
from llvmlite import binding as llvm

EXPONENTS = 20_000  # about three in ten thousand differ between two forms of the C library's exp
SIZE = 200  # of the matrices; smaller ones are not cut into blocks


def facts() -> dict[str, str]:
    """Name of a fact -> what it is here."""
    settings = numba.config
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "interpreter flags": f"optimize {sys.flags.optimize}, dev mode {sys.flags.dev_mode}",
        "kernels for": _target(),
        "threads": str(settings.NUMBA_NUM_THREADS),  # type: ignore[attr-defined]
        "text hashes": str(hash("conveyor")),
        "order of a set": _digest(" ".join({f"symbol {number}" for number in range(100)}).encode()),
        "time zone": time.strftime("%Z %z", time.localtime(0)),
        "encoding": locale.getpreferredencoding(False),
        "decimal point": str(locale.localeconv()["decimal_point"]),
        "garbage collection": "on" if gc.isenabled() else "off",
        "processor": llvm.get_host_cpu_name(),
        "libm's exp": _digest(np.array([math.exp(-number / 997) for number in range(EXPONENTS)]).tobytes()),
        "numpy's exp": _digest(np.exp(-np.arange(EXPONENTS) / 997).tobytes()),
        "BLAS product": _blas(),
    }


def _target() -> str:
    settings = numba.config
    if settings.DISABLE_JIT:  # type: ignore[attr-defined]
        return "no processor: interpreted"
    return f"{settings.CPU_NAME or 'this processor'}, O{int(settings.OPT)}"  # type: ignore[attr-defined]


def _blas() -> str:
    numbers = np.sqrt(np.arange(SIZE * SIZE, dtype=np.float64)).reshape(SIZE, SIZE)
    return _digest((numbers @ numbers.T).tobytes())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]
