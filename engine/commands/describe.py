"""`describe`: the tables the engine is generated from, as a user reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from engine.commands import terminal

if TYPE_CHECKING:
    from engine.core.column import Column


@click.command(cls=terminal.Verb)
@click.option("--features", "what", flag_value="features", help="Columns of minutes, bars and the market.")
@click.option("--family", help="With --features: one family of columns, with null rules and inputs.")
@click.option("--column", "name", help="With --features: all that is known of one column, or of an alias.")
@click.option("--state", "what", flag_value="state", help="Arrays of the engine with shapes and bytes.")
@click.option("--journal", "what", flag_value="journal", help="Record kinds and the layout of a record.")
@click.option("--reasons", "what", flag_value="reasons", help="Reasons of a data-quality status.")
@terminal.settings_options("replay")
@terminal.json_option
def describe(
    what: str | None, family: str | None, name: str | None, profile: str, files: tuple[str, ...],
    sets: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Describe what the engine keeps and writes; generated from its tables."""
    what = "features" if what is None and (family or name) else what
    if what is None:
        raise click.UsageError("say what to describe: --features, --state, --journal or --reasons")
    if what == "state":
        columns, rows, note = _state(terminal.settings(profile, files, sets).config.core.limits)
    elif what == "features":
        columns, rows, note = _features(family, name, as_json)
    else:
        columns, rows, note = {"journal": _journal, "reasons": _reasons}[what]()
    if as_json:
        terminal.emit({what: [dict(zip(columns, row, strict=True)) for row in rows], "note": note})
        return
    terminal.table(columns, rows)
    terminal.note(note)


Described = tuple[list[str], list[list[Any]], str]  # headings, rows, a note

RULES = {  # of families that do not have a heading of their own name in docs/features.md
    "bars": "minute.md", "quality": "minute.md", "membership": "universe.md",
    "levels": "features.md, Levels and events",
    "candles": "features.md, Levels and events", "windows": "features.md, Trend, Windows",
    "flags": "features.md, Flags and guards", "strength": "features.md, Market context",
    "market": "features.md, Market context", "rollups": "features.md, Roll-ups",
}  # fmt: skip
PARTS = ("column", "family", "unit", "window", "form", "stage", "inputs", "null", "source", "aliases")


def _features(family: str | None, name: str | None, as_json: bool) -> Described:
    """As wide as a terminal: of every column its formula, of a family null rules and inputs too, of one column all."""
    from engine.core.schema import COLUMNS, ROW, SCHEMA_DIGEST

    lines = [dict(zip(PARTS, _parts(family, column), strict=True)) for family, column in _declared()]
    shown: tuple[str, ...] = ("family", "column", "unit", "window", "source")
    note = f"{len(COLUMNS)} columns, {ROW.itemsize} bytes a row in memory, schema {SCHEMA_DIGEST[:16]}"
    if family:
        families = ", ".join(dict.fromkeys(line["family"] for line in lines))
        lines = [line for line in lines if line["family"] == family]
        if not lines:
            raise click.UsageError(f"no family {family!r}; there are {families}")
        shown = ("column", "unit", "window", "inputs", "null", "source")
        note = f"exact rules: {rule_of(family)}\nother families: {families}"
    elif name:
        lines = [line for line in lines if name == line["column"] or name in line["aliases"].split()]
        if not lines:
            raise click.UsageError(f"no column {name!r}; `conveyor describe --features` lists them")
        if not as_json:
            return _upright(lines)
    shown = PARTS if as_json else shown
    return list(shown), [[line[part] for part in shown] for line in lines], note


def _upright(lines: list[dict[str, str]]) -> Described:
    """One column, or the few that share an alias, beside each other: a row for each part that any of them has."""
    told = [part for part in PARTS[1:] if any(line[part] for line in lines)]
    rows = [[part, *(line[part] for line in lines)] for part in told]
    rules = " and ".join(dict.fromkeys(rule_of(line["family"]) for line in lines))
    return ["column", *(line["column"] for line in lines)], rows, f"the exact rule: {rules}"


def rule_of(family: str) -> str:
    """Where the exact rules of a family stand: a page of docs, and the heading in it."""
    page, _, heading = RULES.get(family.partition("/")[0], f"features.md, {family.capitalize()}").partition(", ")
    return f"docs/{page}, {heading}" if heading else f"docs/{page}"


def _declared() -> Iterator[tuple[str, Column]]:
    """Every column of minutes, of the market and of bars, with the family it is listed under."""
    from engine.core.market import MARKET_COLUMNS
    from engine.core.rollup_columns import ROLLUP_COLUMNS
    from engine.core.schema import COLUMNS

    yield from ((column.family, column) for column in COLUMNS)
    yield from ((f"market/{column.family}", column) for column in MARKET_COLUMNS)
    yield from (("rollups", column) for column in ROLLUP_COLUMNS)


def _parts(family: str, of: Column) -> tuple[str, ...]:
    inputs, aliases = " ".join(of.inputs), " ".join(of.aliases)
    return of.name, family, of.unit, of.window, of.form.value, of.stage, inputs, of.null, of.source, aliases


def _state(limits: Any) -> Described:
    from engine.core.layouts import LAYOUTS
    from engine.core.state import EngineState
    from engine.tape.template import compile_dialects
    from engine.tape.venues import VENUES

    dialects = [(d.head, d.names, d.templates) for d in VENUES]
    arrays = EngineState(limits, compile_dialects(dialects)).arrays()
    rows = [[name, "x".join(map(str, a.shape)), a.dtype.itemsize, a.nbytes, _fields(a)] for name, a in arrays.items()]
    total = sum(array.nbytes for array in arrays.values())
    note = (
        f"{len(rows)} arrays, {total / 2**20:,.1f} MiB reserved for {limits.symbols_max} symbols (pages are used as "
        f"they are touched), {len(LAYOUTS)} record layouts"
    )
    return ["array", "shape", "item bytes", "bytes", "fields"], rows, note


def _fields(array: Any) -> str:
    return " ".join(array.dtype.names or ())


def _journal() -> Described:
    from engine.core.records import HEADER, HEADER_BYTES, RecordKind

    meaning = {
        RecordKind.CONFIG: "canonical JSON of the core settings; later ones: a line feed, JSON of who and why",
        RecordKind.INSTRUMENT: "JSON of an instrument: venue, symbol, scales",
        RecordKind.CONNECTION: "JSON venue, state up or down, reason; source = connection",
        RecordKind.SUBSCRIPTION: "JSON venue, channels; replaces the connection's earlier list",
        RecordKind.FRAME: "raw bytes of one WebSocket message; source = connection",
        RecordKind.REST: "request and symbol, a line feed, the raw body; source = connection",
        RecordKind.REST_ERROR: "request and symbol, a line feed, what went wrong",
        RecordKind.TICK: "empty: the journaled clock, at least five a second; source 0",
        RecordKind.STREAM: "JSON venue, channel, symbol, state silent, back or refused; source = connection",
        RecordKind.HOST: "JSON kind, detail: what the process noticed about itself or its machine; source 0",
        RecordKind.LOAD: "JSON sample of lag, waiting bytes, finalize time, processor, memory, once a second; source 0",
        RecordKind.OPERATOR: "JSON command, arguments, who, unmet, override; source 0",
        RecordKind.PRIME: "JSON venue, symbol, scales, layout, newest_ms, journal, line feed, learned state; source 0",
        RecordKind.MESSAGE: "canonical JSON of one message that a module said (docs/delivery.md); source 0",
    }
    rows = [[int(kind), kind.name.lower(), meaning[kind]] for kind in RecordKind]
    fields = ", ".join(f"{name} {HEADER[name].str}" for name in HEADER.names or ())
    return ["kind", "name", "payload"], rows, f"header of {HEADER_BYTES} bytes: {fields}; payload padded to 8 bytes"


def _reasons() -> Described:
    from engine.core.schema import MEANINGS, PARTIAL_REASONS, STALE_REASONS, Reason

    rows = []
    for reason in Reason:
        effect = "stale" if reason & STALE_REASONS else "partial" if reason & PARTIAL_REASONS else "information"
        rows.append([(reason.name or "").lower(), int(reason).bit_length() - 1, effect, MEANINGS[reason]])
    return ["reason", "bit", "effect", "meaning"], rows, "the status is the worst effect of a minute's reasons"
