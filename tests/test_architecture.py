"""Rules of docs/architecture.md that a reader of one file cannot see: import arrows, the ban list, the explicit tables.

Every rule is a function from source text to violations. It is run over the project, and over a planted violation for
each of its parts, so that it cannot pass by being blind.
"""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("config", "engine", "detectors", "dsi", "replay", "bench")

# Rooms and arrows -----------------------------------------------------------------------------------------------------

STAGES = {
    "engine.tape", "engine.bars", "engine.quality", "engine.universe", "engine.features", "engine.context",
    "engine.rollups", "engine.trading", "engine.signals", "engine.modules", "detectors", "dsi",
}  # fmt: skip
ENDS = {"engine.io", "engine.api", "engine.execution"}
BELOW_STAGES = {"config", "engine.core"}
BELOW_CONVEYOR = BELOW_STAGES | STAGES
BELOW_CLOSING = BELOW_CONVEYOR | {"engine.recovery", "engine.witness"}
BELOW_SNAPSHOT = BELOW_CLOSING | {"engine.closing", "engine.conveyor"}
BELOW_RUNNER = BELOW_SNAPSHOT | {"engine.snapshot", "engine.warm"} | ENDS
BELOW_APP = BELOW_RUNNER | {"engine.runner", "engine.modes"}
BELOW_CLI = BELOW_APP | {"engine.app"}
EVERYTHING = BELOW_CLI | {"engine.cli", "engine.commands", "replay", "bench"}

# Room -> rooms it may import besides itself. A module in no room fails the test: a new file says where it lives.
MAY_IMPORT: dict[str, set[str]] = {
    "config": set(),
    "engine.core": {"config"},
    **dict.fromkeys(STAGES, BELOW_STAGES),
    **dict.fromkeys(ENDS, BELOW_STAGES),
    "engine.recovery": BELOW_CONVEYOR,
    "engine.witness": BELOW_CONVEYOR,
    "engine.closing": BELOW_CLOSING,
    "engine.conveyor": BELOW_CLOSING | {"engine.closing"},
    "engine.snapshot": BELOW_SNAPSHOT,
    "engine.warm": BELOW_SNAPSHOT | {"engine.snapshot"},
    "engine.runner": BELOW_RUNNER,
    "engine.modes": BELOW_RUNNER | {"engine.runner"},
    "engine.app": BELOW_APP,
    "engine.commands": BELOW_CLI | {"replay", "bench"},  # the verbs of engine.cli, one family a file
    "engine.cli": BELOW_CLI | {"engine.commands", "replay", "bench"},
    "replay": EVERYTHING,
    "bench": EVERYTHING,
}


def room_of(module: str) -> str | None:
    """The room a module lives in: the longest known prefix of its name."""
    parts = module.split(".")
    names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if name in MAY_IMPORT), None)


def imported(module: str, source: str, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a module imports, wherever the import stands and however it is written."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".") if is_package else module.split(".")[:-1]
                kept = parents[: len(parents) - node.level + 1]
                base = ".".join([*kept, base] if base else kept)
            yield from ((node.lineno, f"{base}.{name.name}") for name in node.names)
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "importlib.import_module", "__import__"}:
            for argument in node.args[:1]:
                yield node.lineno, str(argument.value) if isinstance(argument, ast.Constant) else "an unknown module"


def import_violations(module: str, source: str, is_package: bool = False) -> list[str]:
    """Imports against the arrows."""
    room = room_of(module)
    if module == "engine" and is_package:
        return [f"{module}:{line} imports {name}" for line, name in imported(module, source, is_package)
                if name.split(".")[0] in PACKAGES]  # fmt: skip
    if room is None:
        return [f"{module} lives in no room of the architecture"]
    found = []
    for line, name in imported(module, source, is_package):
        if name.split(".")[0] not in (*PACKAGES, "tests"):
            continue
        target = room_of(name)
        if target != room and target not in MAY_IMPORT[room]:
            found.append(f"{module}:{line} imports {name}, which {room} may not")
    return found


# The ban list ---------------------------------------------------------------------------------------------------------

PURE = {"engine.core", "engine.recovery", "engine.witness", "engine.closing", *STAGES}

MODULES_BANNED = {
    "time", "random", "uuid", "secrets", "asyncio", "logging", "structlog", "socket", "ssl", "select", "threading",
    "multiprocessing", "concurrent", "subprocess", "signal", "tempfile", "importlib", "numpy.random", "numpy.linalg",
    "numpy.fft",
}  # fmt: skip
# sqrt, rounding, classification and whole numbers are exact; all else in `math` differs between C libraries.
MATH_ALLOWED = {
    "sqrt", "floor", "ceil", "trunc", "fabs", "copysign", "isnan", "isinf", "isfinite", "isqrt", "gcd", "lcm", "comb",
    "factorial", "frexp", "ldexp", "inf", "nan", "pi", "e",
}  # fmt: skip
NUMPY_BANNED = {
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "logaddexp", "power", "float_power", "pow", "cbrt", "sin",
    "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "arctan2", "arcsinh", "arccosh", "arctanh",
    "hypot", "dot", "vdot", "vecdot", "inner", "matmul", "tensordot", "einsum", "corrcoef", "cov", "correlate",
    "convolve", "polyfit", "linalg", "fft", "random",
}  # fmt: skip
METHODS_BANNED = {
    "now": "a wall clock", "utcnow": "a wall clock", "today": "a wall clock", "dot": "BLAS", "read_text": "a file",
    "read_bytes": "a file", "write_text": "a file", "write_bytes": "a file", "open": "a file",
}  # fmt: skip
BUILTINS_BANNED = {
    "open": "a file", "input": "a terminal", "sum": "an order of summation that is not written down",
    "hash": "a hash that differs from process to process", "id": "an address",
}  # fmt: skip
ENVIRONMENT = {"environ", "getenv", "urandom", "getpid"}
COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "prange"}
ORDERED_BY_ITERATION = {"list", "tuple", "enumerate", "iter", "map", "filter", "zip", "array", "fromiter", "join"}

# (file, rule) -> why it may. A line that nothing needs any more fails the test.
EXCEPTIONS = {
    ("engine/core/kernel.py", "a file"): "reads every kernel source once, at import, to name the compilation cache",
    ("engine/core/kernel.py", "the environment"): "the place of the compilation cache; no result depends on it",
    ("engine/core/kernel.py", "a compiler flag or decorator"): "the one place where kernels are compiled",
    ("engine/core/words.py", "the builtin sum()"): "adds single bits of a Python integer; exact in any order",
}


def dotted(node: ast.expr) -> str:
    """`np.linalg.norm` of an attribute chain; `?` for what is no plain name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def called(node: ast.Call) -> str:
    return dotted(node.func)


class BanList(ast.NodeVisitor):
    """Collects (line, rule, what) for everything in a module that could make two runs differ."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[tuple[int, str, str]] = []
        self.aliases: dict[str, str] = {}  # local name -> full name, for whatever was imported
        self.defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        self.sets: set[str] = set()  # names that hold a set somewhere in the module
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    self.aliases[name.asname or name.name.split(".")[0]] = (
                        name.name if name.asname else name.name.split(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                for name in node.names:
                    self.aliases[name.asname or name.name] = f"{node.module}.{name.name}"
            elif isinstance(node, ast.Assign) and self.is_set(node.value):
                self.sets |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and node.value and self.is_set(node.value):
                self.sets |= {dotted(node.target)}
        self.visit(tree)

    def add(self, node: ast.AST, rule: str, what: str) -> None:
        self.found.append((getattr(node, "lineno", 0), rule, what))

    def is_set(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Set | ast.SetComp):
            return True
        if isinstance(node, ast.Call):
            return called(node) in {"set", "frozenset"}
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
            return self.is_set(node.left) or self.is_set(node.right)
        return isinstance(node, ast.Name) and node.id in self.sets

    def full_name(self, node: ast.expr) -> str:
        """Name with import aliases resolved: `np.exp` -> `numpy.exp`."""
        head, _, rest = dotted(node).partition(".")
        head = self.aliases.get(head, head)
        return f"{head}.{rest}" if rest else head

    def check_name(self, node: ast.AST, name: str) -> None:
        package, _, rest = name.partition(".")
        leaf = rest.split(".")[0]
        if any(name == banned or name.startswith(f"{banned}.") for banned in MODULES_BANNED):
            self.add(node, "a banned module", name)
        elif leaf in NUMPY_BANNED if package == "numpy" else package == "math" and leaf and leaf not in MATH_ALLOWED:
            self.add(node, "a function that is not portable", name)
        elif package == "numba" and name.split(".")[-1] in COMPILERS:
            self.add(node, "a compiler flag or decorator", name)
        elif package == "os" and leaf in ENVIRONMENT:
            self.add(node, "the environment", name)
        elif rest == "*":
            self.add(node, "a banned module", f"everything from {package}")

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            self.check_name(node, name.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if not node.level:
            for name in node.names:
                self.check_name(node, f"{node.module}.{name.name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self.full_name(node)
        if name.split(".")[0] in {"math", "numpy", "numba", "os"}:
            self.check_name(node, name)
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = self.full_name(node.func)
        leaf = name.split(".")[-1]
        if isinstance(node.func, ast.Name) and node.func.id not in self.defined:
            if node.func.id in BUILTINS_BANNED and node.func.id not in self.aliases:
                rule = "a file" if node.func.id == "open" else f"the builtin {node.func.id}()"
                self.add(node, rule, BUILTINS_BANNED[node.func.id])
            if node.func.id == "pow" and "pow" not in self.aliases:
                self.add(node, "a function that is not portable", "pow()")
        if isinstance(node.func, ast.Attribute) and leaf in METHODS_BANNED and not name.startswith("numpy."):
            rule = METHODS_BANNED[leaf]
            self.add(node, rule, f".{leaf}()")
        if leaf in ORDERED_BY_ITERATION or dotted(node.func).endswith("?.join"):
            for argument in node.args:
                self.check_order(argument)
        for keyword in node.keywords:
            if keyword.arg in {"fastmath", "parallel"}:
                self.add(node, "a compiler flag or decorator", f"{keyword.arg}=")
        self.generic_visit(node)

    def check_order(self, node: ast.expr) -> None:
        if self.is_set(node):
            self.add(node, "iteration over a set", "use sorted(...) or a dict")

    def visit_For(self, node: ast.For) -> None:
        self.check_order(node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self.check_order(node.iter)
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        self.check_order(node.value)
        self.generic_visit(node)

    def check_operator(self, node: ast.AST, operator: ast.operator, left: ast.expr, right: ast.expr) -> None:
        if isinstance(operator, ast.MatMult):
            self.add(node, "BLAS", "@")
        if isinstance(operator, ast.Pow) and not is_integer(right) and not is_integer(left):
            self.add(node, "a function that is not portable", "** with an exponent that is no integer literal")
        if isinstance(operator, ast.Pow) and isinstance(right, ast.Constant) and isinstance(right.value, float):
            self.add(node, "a function that is not portable", "** with a real exponent")

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.check_operator(node, node.op, node.left, node.right)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.check_operator(node, node.op, node.target, node.value)
        self.generic_visit(node)


def is_integer(node: ast.expr) -> bool:
    """An integer literal, perhaps negative. With an integer base, as in 10**decimals, any whole exponent is exact."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and type(node.value) is int


def ban_violations(path: str, source: str, used: set[tuple[str, str]] | None = None) -> list[str]:
    """What a pure module may not do. used: collects the exceptions that were needed."""
    found = []
    for line, rule, what in BanList(ast.parse(source)).found:
        if (path, rule) in EXCEPTIONS:
            if used is not None:
                used.add((path, rule))
        else:
            found.append(f"{path}:{line} {rule}: {what}")
    return found


# The table of venues --------------------------------------------------------------------------------------------------

SHARED_VENUE_MODULES = {"__init__", "binance"}


def venues_not_in_table(table_source: str, modules: set[str]) -> set[str]:
    """Venue modules that the expression assigned to VENUES does not mention, by import, name or string."""
    tree = ast.parse(table_source)
    origin = {
        name.asname or name.name: {*(node.module or "").split("."), name.name}
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    mentioned: set[str] = set()
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if not any(isinstance(target, ast.Name) and target.id == "VENUES" for target in targets) or value is None:
            continue
        for part in ast.walk(value):
            if isinstance(part, ast.Name):
                mentioned |= origin.get(part.id, set())
            elif isinstance(part, ast.Attribute):
                mentioned.add(part.attr)
            elif isinstance(part, ast.Constant):
                mentioned.add(str(part.value))
    return modules - SHARED_VENUE_MODULES - mentioned


# Kernels --------------------------------------------------------------------------------------------------------------


def kernels_with_wrong_flags(kernels: list[object]) -> list[str]:
    """Kernels compiled with fastmath or parallel, whose bits depend on the machine."""
    wrong = []
    for kernel in kernels:
        options = kernel.targetoptions  # type: ignore[attr-defined]
        if options.get("fastmath", False) or options.get("parallel", False):
            wrong.append(f"{kernel.py_func.__module__}.{kernel.py_func.__qualname__}")  # type: ignore[attr-defined]
    return wrong


# The tests ------------------------------------------------------------------------------------------------------------


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def pure_files() -> list[Path]:
    return [path for module, path in modules() if room_of(module) in PURE]


def test_imports_flow_one_way():
    found = [
        violation
        for module, path in modules()
        for violation in import_violations(module, path.read_text(), path.name == "__init__.py")
    ]

    assert found == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("config.load", "from engine.core import errors"),
        ("engine.core.state", "import engine.tape.book"),
        ("engine.core.state", "from engine import conveyor"),
        ("engine.core.state", "def late():\n    from engine.io import disk"),
        ("engine.tape.stage", "from engine.bars.trades import fold"),
        ("engine.bars.stage", "from ..tape import book"),
        ("engine.quality.stage", "from engine.io.disk import Disk"),
        ("detectors.squeeze", "from dsi.fusion import fuse"),
        ("engine.io.store", "from engine.quality import stage"),
        ("engine.io.store", "from engine.runner import Runner"),
        ("engine.io.store", "import importlib\nimportlib.import_module('engine.tape')"),
        ("engine.conveyor", "from engine.io.journal import Writer"),
        ("engine.runner", "from engine.app import start"),
        ("engine.app", "from replay.verify import verify"),
        ("engine.app", "from engine.cli import main"),
        ("engine.runner", "import bench"),
        ("engine.core.state", "from tests.oracles import naive"),
        ("engine.miscellaneous", "x = 1"),
    ],
)
def test_an_import_against_the_arrows_is_found(module: str, source: str):
    assert len(import_violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("engine.core.errors", "from config.errors import ConfigError"),
        ("engine.tape.stage", "from engine.tape import book\nfrom engine.core.schema import ROW\nimport numpy"),
        ("engine.tape.stage", "from . import book\nfrom .book import Book\nfrom ..core import schema"),
        ("engine.runner", "from engine.io.store import Store\nfrom engine.conveyor import Conveyor"),
        ("engine.commands.replay", "from replay.verify import verify\nfrom engine.app import start"),
        ("replay.verify", "from engine.app import start\nfrom bench import report"),
    ],
)
def test_an_import_along_the_arrows_is_allowed(module: str, source: str):
    assert import_violations(module, source) == []


def test_core_and_stages_hold_nothing_that_makes_two_runs_differ():
    found = [
        violation
        for path in pure_files()
        for violation in ban_violations(path.relative_to(ROOT).as_posix(), path.read_text())
    ]

    assert found == []


def test_the_ban_list_looks_at_core_and_every_stage_there_is():
    rooms = {room_of(module) for module, path in modules() if path in pure_files()}

    assert "engine.core" in rooms
    assert rooms - {"engine.core", "engine.recovery", "engine.witness", "engine.closing"} == {
        room for room in STAGES if any((ROOT / room.replace(".", "/")).rglob("*.py"))
    }


def test_every_exception_to_the_ban_list_is_still_needed():
    used: set[tuple[str, str]] = set()

    for path in pure_files():
        ban_violations(path.relative_to(ROOT).as_posix(), path.read_text(), used)

    assert used == set(EXCEPTIONS)


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from time import monotonic",
        "import random",
        "import uuid",
        "import secrets",
        "import asyncio",
        "import logging",
        "import socket",
        "import threading",
        "import concurrent.futures",
        "import os\nos.environ['A']",
        "import os\nos.getenv('A')",
        "from os import environ",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.utcnow()",
        "from datetime import date\ndate.today()",
        "open('f')",
        "path.read_bytes()",
        "path.open()",
        *(f"import math\nmath.{name}(x)" for name in ("exp", "log", "log1p", "expm1", "pow", "tanh", "sin", "hypot")),
        "from math import exp",
        "from math import *",
        "import math as m\nm.log(x)",
        *(f"import numpy as np\nnp.{name}(x)" for name in ("exp", "log", "power", "tanh", "dot", "matmul", "einsum")),
        "import numpy as np\nnp.corrcoef(x)",
        "import numpy as np\nnp.linalg.norm(x)",
        "import numpy\nnumpy.random.default_rng(1)",
        "from numpy import exp",
        "from numpy import linalg",
        "a.dot(b)",
        "a @ b",
        "a @= b",
        "sum(x)",
        "pow(x, y)",
        "hash(x)",
        "id(x)",
        "for x in {1, 2}: pass",
        "for x in set(y): pass",
        "for x in frozenset(y): pass",
        "for x in set(y) | z: pass",
        "[x for x in {1, 2}]",
        "list(set(y))",
        "','.join({'a', 'b'})",
        "[*set(y)]",
        "NAMES = {'a', 'b'}\nfor name in NAMES: pass",
        "f(fastmath=True)",
        "f(parallel=True)",
        "from numba import prange",
        "import numba\nnumba.prange(3)",
        "from numba import njit",
        "import numba as nb\n@nb.njit\ndef f(): pass",
        "x ** 0.5",
        "x ** -0.5",
        "2 ** 0.5",
        "x ** y",
        "x **= 1.5",
        "def f():\n    if x:\n        return [g(h(sum(y)))]",
    ],
)
def test_a_banned_line_is_found(source: str):
    assert len(ban_violations("engine/core/planted.py", source)) >= 1


@pytest.mark.parametrize(
    "source",
    [
        "import math\nmath.sqrt(x) + math.floor(y)",
        "import numpy as np\nnp.sqrt(x)\nnp.zeros(3)\nnp.searchsorted(a, b)",
        "from engine.core.detmath import exp, log, pow\nexp(x) + log(y) + pow(x, y)",
        "def pow(x, y): pass\npow(1, 2)",
        "x ** 2 + x ** -1 + 10 ** decimals",
        "for x in sorted({1, 2}): pass",
        "x in {1, 2}",
        "for x in {'a': 1}: pass",
        "from datetime import UTC, datetime\ndatetime.fromtimestamp(0, UTC)",
        "import os\nos.path.join('a', 'b')",
    ],
)
def test_an_exact_line_is_allowed(source: str):
    assert ban_violations("engine/core/planted.py", source) == []


def test_an_exception_holds_for_its_file_only():
    source = "import os\nos.environ['A']"

    assert ban_violations("engine/core/kernel.py", source) == []
    assert ban_violations("engine/core/state.py", source) != []


def test_every_venue_module_stands_in_the_table():
    table = ROOT / "engine/tape/venues/__init__.py"
    assert venues_not_in_table(table.read_text(), {path.stem for path in table.parent.glob("*.py")}) == set()


def test_every_end_of_a_venue_stands_in_the_table_of_ends():
    from engine.io.venues import ENDS

    files = {path.stem for path in (ROOT / "engine/io/venues").glob("*.py")}
    assert files - SHARED_VENUE_MODULES - {"end"} == set(ENDS)


@pytest.mark.parametrize(
    "table",
    [
        "from engine.tape.venues import hyperliquid\nVENUES = (hyperliquid.VENUE,)",
        "from engine.tape.venues.hyperliquid import VENUE as HYPERLIQUID\nVENUES = {'x': HYPERLIQUID}",
        "VENUES: tuple[str, ...] = ('hyperliquid',)",
    ],
)
def test_a_venue_that_is_only_imported_is_not_in_the_table(table: str):
    planted = "from engine.tape.venues import kraken\n" + table

    assert venues_not_in_table(planted, {"__init__", "binance", "hyperliquid", "kraken"}) == {"kraken"}


def test_no_kernel_is_compiled_with_fastmath_or_parallel():
    if (ROOT / "engine/conveyor.py").exists():
        importlib.import_module("engine.conveyor")  # which imports every stage
    from engine.core.kernel import KERNELS

    assert kernels_with_wrong_flags(KERNELS) == []


@pytest.mark.parametrize("flags", [{"fastmath": True}, {"fastmath": {"contract"}}, {"parallel": True}])
def test_a_kernel_with_a_wrong_flag_is_found(flags: dict[str, Any]):
    def planted(x):
        return x

    assert len(kernels_with_wrong_flags([numba.njit(**flags)(planted), numba.njit(planted)])) == 1


# The lock -------------------------------------------------------------------------------------------------------------


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_violations(lock: str, wanted: list[str]) -> list[str]:
    """Entries without an exact version or a hash, addresses, and requirements that are not in the lock."""
    found = [f"address: {line}" for line in lock.splitlines() if "://" in line or "index-url" in line.split("#")[0]]
    entries = re.split(r"\n(?=[A-Za-z0-9])", "\n" + re.sub(r"(?m)^#.*\n", "", lock))[1:]
    pinned = {canonical(entry.split("==")[0]) for entry in entries if re.match(r"^[A-Za-z0-9._-]+==[^\s;]+", entry)}
    found += [f"no exact version: {entry.splitlines()[0]}" for entry in entries if "==" not in entry.split(";")[0]]
    found += [f"no hash: {entry.splitlines()[0]}" for entry in entries if "--hash=sha256:" not in entry]
    names = [canonical(re.match(r"[A-Za-z0-9._-]+", requirement)[0]) for requirement in wanted]  # type: ignore[index]
    return found + [f"not in the lock: {name}" for name in names if name not in pinned]


def test_the_lock_pins_every_requirement_with_hashes_and_names_no_host():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]

    assert lock_violations((ROOT / "requirements.lock").read_text(), wanted) == []


def test_a_wrong_lock_is_found():
    good = "# note\nnumpy==2.4.6 \\\n    --hash=sha256:00\n"

    assert lock_violations(good, ["numpy>=2"]) == []
    assert len(lock_violations(good, ["numpy>=2", "numba"])) == 1
    assert len(lock_violations(good + "click==8.0\n", [])) == 1
    assert len(lock_violations(good + "click>=8 \\\n    --hash=sha256:00\n", [])) == 1
    assert len(lock_violations("--index-url https://example.org\n" + good, [])) == 1
