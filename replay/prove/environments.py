"""The table of environments: each changes one thing that must not change a bit."""

from __future__ import annotations

import locale
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import orjson

from engine.core.errors import ConfigError
from replay.prove.child import WHOLE_SEGMENTS

BASE = {"PYTHONHASHSEED": "0"}  # of every child, so that each environment differs from the first in one thing
INTERPRETED_RECORDS = 15_000  # of each journal: some minutes of a simulated market, some ten seconds of work
COMMA_LOCALES = ("de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pt_BR", "pl_PL", "ru_RU")


@dataclass(frozen=True, slots=True)
class Kernels:
    """Compiled kernels that environments share. numba's cache knows the processor's name but not the level of
    optimisation, so whatever changes code generation has a cache of its own; "" is the user's own.
    kept: False if numba cannot keep them, so that each process compiles for itself."""

    name: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    kept: bool = True


OWN = Kernels()
GENERIC = Kernels("generic", {"NUMBA_CPU_NAME": "generic"})
HASWELL = Kernels("haswell", {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"})
UNOPTIMISED = Kernels("opt-0", {"NUMBA_OPT": "0"}, kept=False)  # constants stay addresses, which a cache cannot hold
INTERPRETED = Kernels("interpreted", {"NUMBA_DISABLE_JIT": "1"}, kept=False)


def always() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Environment:
    """One line of the proof.

    variables: of the process, besides BASE and those of its kernels. prefix: a command that runs the interpreter.
    options: of the interpreter. job: fields of child.Job. records_max: of each journal, 0 for all; for what is too slow
    for the whole. missing: why it cannot run on this machine and what would help; "" if it can. python: an interpreter
    other than this one.
    """

    name: str
    changes: str
    variables: Mapping[str, str] = field(default_factory=dict)
    kernels: Kernels = OWN
    prefix: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    job: Mapping[str, int | bool] = field(default_factory=dict)
    records_max: int = 0
    missing: Callable[[], str] = always
    python: str = ""
    quick: bool = False


# What this machine has -----------------------------------------------------------------------------------------------


def x86() -> str:
    if platform.machine() in ("x86_64", "AMD64"):
        return ""
    return f"needs an x86-64 processor, this is {platform.machine()}"


def processor_with(*features: str) -> Callable[[], str]:
    """features: as LLVM calls them."""

    def missing() -> str:
        found = llvm.get_host_cpu_features()
        absent = [name for name in features if not found.get(name)]
        return x86() or (f"this processor has no {', '.join(absent)}" if absent else "")

    return missing


def numpy_features() -> list[str]:
    """Instruction sets numpy has a second form for and found here; the names differ from release to release."""
    found: list[str] = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])  # type: ignore[index,call-overload]
    return found


def needs_numpy_features() -> str:
    return "" if numpy_features() else "numpy found no instruction set here that could be disabled"


def glibc() -> str:
    if platform.libc_ver()[0] != "glibc":
        return "the C library is not glibc"
    return processor_with("avx2", "fma")()


def emulator() -> str:
    if not Path("/proc/self/exe").exists():
        return "emulation of one process needs Linux"
    return x86() or ("" if shutil.which("qemu-x86_64") else "qemu-x86_64 is not installed: apt install qemu-user")


@cache
def comma_locale() -> str:
    """A locale of this machine that writes 1,5; "" if none is installed."""
    before = locale.setlocale(locale.LC_NUMERIC)
    try:
        for name in COMMA_LOCALES:
            with suppress(locale.Error):
                return locale.setlocale(locale.LC_NUMERIC, f"{name}.UTF-8")
        return ""
    finally:
        locale.setlocale(locale.LC_NUMERIC, before)


def needs_comma_locale() -> str:
    return "" if comma_locale() else "no locale with a decimal comma: localedef -i de_DE -f UTF-8 de_DE.UTF-8"


# The table -----------------------------------------------------------------------------------------------------------

WITHOUT_FMA = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2,-AVX512F"}
ONE_THREAD = {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
TWO_THREADS = dict.fromkeys(ONE_THREAD, "2")
NO_FEATURES = {"NPY_DISABLE_CPU_FEATURES": " ".join(numpy_features())}
NO_WIDEST = {"NPY_DISABLE_CPU_FEATURES": " ".join(numpy_features()[1:])}

# OpenBLAS goes by the model's number, takes the emulated processor for a Haswell, and its product for the facts dies.
BLAS_WITHOUT_AVX2 = {"OPENBLAS_CORETYPE": "Sandybridge"}

ENVIRONMENTS: tuple[Environment, ...] = (
    Environment("host", "nothing: this machine as it is, hash seed 0", quick=True),
    Environment("generic", "kernels for the least x86-64: no AVX, no FMA", kernels=GENERIC, missing=x86, quick=True),
    Environment("haswell", "kernels for AVX2 and FMA, no AVX-512", kernels=HASWELL,
                missing=processor_with("avx2", "fma")),
    Environment("opt-0", "kernels not optimised", kernels=UNOPTIMISED),
    Environment("interpreted", "no compiler: kernels as plain Python", kernels=INTERPRETED,
                records_max=INTERPRETED_RECORDS),
    Environment("numpy-least", "numpy without its wider instruction sets", NO_FEATURES, missing=needs_numpy_features,
                quick=True),
    Environment("numpy-lower", "numpy without its widest instruction sets", NO_WIDEST, missing=needs_numpy_features),
    Environment("glibc", "the C library without FMA and AVX2", WITHOUT_FMA, missing=glibc, quick=True),
    Environment("blas", "BLAS for an old processor", {"OPENBLAS_CORETYPE": "Prescott"}, missing=x86),
    Environment("threads-1", "one thread", ONE_THREAD),
    Environment("threads-2", "two threads", TWO_THREADS),
    Environment("hash-1", "hash seed 1", {"PYTHONHASHSEED": "1"}),
    Environment("hash-77", "hash seed 77", {"PYTHONHASHSEED": "77"}, quick=True),
    Environment("hash-most", "hash seed 4294967295", {"PYTHONHASHSEED": "4294967295"}),
    Environment("hash-random", "a random hash seed", {"PYTHONHASHSEED": "random"}),
    Environment("tokyo", "time zone Asia/Tokyo", {"TZ": "Asia/Tokyo"}, quick=True),
    Environment("st-johns", "time zone America/St_Johns", {"TZ": "America/St_Johns"}),
    Environment("locale-c", "locale C, no UTF-8 mode", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
                job={"speak_locale": True}),
    Environment("locale-comma", "a locale with a decimal comma", {"LC_ALL": comma_locale()}, job={"speak_locale": True},
                missing=needs_comma_locale),
    Environment("optimize", "python -OO: no assertions", options=("-OO",)),
    Environment("dev-mode", "python -X dev", options=("-X", "dev")),
    Environment("no-collection", "garbage collection off", job={"collector": False}),
    Environment("records-1", "one record at a time", job={"records": 1}),
    Environment("records-7", "batches of seven records", job={"records": 7}, quick=True),
    Environment("segments", "batches of whole segments", job={"records": WHOLE_SEGMENTS}),
    Environment("restarts", "state saved and restored at every third link", job={"restart_links": 3}, quick=True),
    Environment("qemu-haswell", "an emulated Haswell", kernels=GENERIC, prefix=("qemu-x86_64", "-cpu", "Haswell"),
                missing=emulator),
    Environment("qemu-ivybridge", "an emulated Ivy Bridge: no AVX2, no FMA", BLAS_WITHOUT_AVX2, kernels=GENERIC,
                prefix=("qemu-x86_64", "-cpu", "IvyBridge"), missing=emulator),
)  # fmt: skip

VERSIONS = """
import importlib.metadata as found, json, platform
print(json.dumps([platform.python_version(), *map(found.version, ("numpy", "numba"))]))
"""


def other_python(interpreter: str) -> Environment:
    """The environment of another interpreter, which must have the project's dependencies. Raises ConfigError."""
    try:
        done = subprocess.run([interpreter, "-c", VERSIONS], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(
            f"--python {interpreter}: cannot be run, or lacks numpy and numba ({error}); name the interpreter of an "
            "environment into which requirements.lock was installed"
        ) from None
    python, numpy, numba = orjson.loads(done.stdout)
    name = f"python-{python}-numpy-{numpy}-numba-{numba}"
    return Environment(
        name, f"Python {python}, numpy {numpy}, numba {numba}", kernels=Kernels(name), python=interpreter
    )


NO_OTHER_PYTHON = Environment(
    "other-python", "another Python, numpy or numba",
    missing=lambda: "none was named: --python PATH, once for each environment made with requirements.lock",
)  # fmt: skip


def chosen(names: str, pythons: tuple[str, ...] = ()) -> tuple[Environment, ...]:
    """names: all, quick, or some names of the table with commas between; the first one of the table is always in."""
    others = tuple(map(other_python, pythons))
    if names == "all":
        return ENVIRONMENTS + (others or (NO_OTHER_PYTHON,))
    if names == "quick":
        return tuple(environment for environment in ENVIRONMENTS if environment.quick) + others
    wanted = names.split(",")
    known = {environment.name for environment in ENVIRONMENTS}
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(f"no environment {', '.join(unknown)}; there are all, quick, {', '.join(sorted(known))}")
    first, *rest = ENVIRONMENTS
    return (first, *(environment for environment in rest if environment.name in wanted), *others)
