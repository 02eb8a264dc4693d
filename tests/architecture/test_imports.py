"""Imports flow one way: the rule over the project, and over a planted violation for each of its parts."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.ban_list import called
from tests.architecture.rooms import MAY_IMPORT, PACKAGES, modules, room_of


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
