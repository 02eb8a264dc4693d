"""`conveyor version`: what is installed, for a bug report."""

from __future__ import annotations

import platform
from importlib import metadata

import click

from engine.commands import terminal

LIBRARIES = ("numpy", "numba", "llvmlite", "orjson", "duckdb", "pyarrow", "pydantic", "zstandard")


def installed(distribution: str) -> str:
    """Version of an installed distribution; `not installed` when Conveyor runs from a bare source tree."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


@click.command(cls=terminal.Verb)
@terminal.json_option
def version(as_json: bool) -> None:
    """Print the versions of Conveyor, Python and the libraries."""
    found = {"conveyor": installed("conveyor"), "python": platform.python_version()}
    found |= {name: installed(name) for name in LIBRARIES}
    if as_json:
        terminal.emit({"versions": found, "platform": platform.platform()})
    else:
        terminal.table(["name", "version"], found.items())
