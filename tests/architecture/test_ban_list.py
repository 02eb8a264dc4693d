"""The ban list over the project, and over a planted line for each of its rules: it cannot pass by being blind."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numba
import pytest

from tests.architecture.ban_list import EXCEPTIONS, PURE, ban_violations, kernels_with_wrong_flags
from tests.architecture.rooms import ROOT, STAGES, modules, room_of


def pure_files() -> list[Path]:
    return [path for module, path in modules() if room_of(module) in PURE]


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


def test_no_kernel_is_compiled_with_fastmath_or_parallel():
    importlib.import_module("engine.conveyor")  # which imports every stage
    from engine.core.kernel import KERNELS

    assert KERNELS
    assert kernels_with_wrong_flags(KERNELS) == []


@pytest.mark.parametrize("flags", [{"fastmath": True}, {"fastmath": {"contract"}}, {"parallel": True}])
def test_a_kernel_with_a_wrong_flag_is_found(flags: dict[str, Any]):
    def planted(x):
        return x

    assert len(kernels_with_wrong_flags([numba.njit(**flags)(planted), numba.njit(planted)])) == 1
