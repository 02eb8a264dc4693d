"""Every module of a venue stands in its explicit table: one that is only imported is found."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.rooms import ROOT

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
