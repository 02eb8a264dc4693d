"""The store's tables, generated from the tables of columns: DDL with a comment on every column."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pyarrow as pa

from engine.core.effects import Link, MinuteRows
from engine.core.rollup_columns import TIMEFRAMES
from engine.core.schema import COLUMNS, SCHEMA_DIGEST
from engine.io.candidates import CANDIDATES, SIGNALS, found_to_arrow
from engine.io.columns import (
    BARS,
    DECIMAL,
    DIGEST_FIELDS,
    FIELDS,
    MINUTES,
    Field,
    Table,
    digests_to_arrow,
    layout_of,
    rows_to_arrow,
)
from engine.io.markets import MARKETS, markets_to_arrow

TABLES = (
    "features_snapshot", "features_15m", "features_1h", "market_snapshot",
    "candidates", "signals", "feature_revisions", "rollup_revisions", "market_revisions", "digests",
)  # fmt: skip

# Alias -> the product's name: one quantity has one name, others are aliases in the view.
ALIASES = {alias: column.name for column in COLUMNS for alias in column.aliases}

_SQL = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
    pa.list_(pa.string()): "VARCHAR[]",
    DECIMAL: f"DECIMAL({DECIMAL.precision},{DECIMAL.scale})",
}
FEATURE_PACK, PACK_REV = "conveyor", 1  # the revision is raised when a formula of a released column changes
_KEY = ("venue", "symbol", "tf", "exchange_ts")
_ASSET = "CAST('0x' || substr(sha256(r.venue || ':' || r.symbol), 1, 13) AS BIGINT)"
# What only the views have: name, expression, type, comment.
_TOLD: tuple[tuple[str, str, pa.DataType, str], ...] = (
    ("asset_uid", _ASSET, pa.int64(), "id; null: never; source: 52 bits of SHA-256 of venue:symbol, in every file"),
    ("source", "'ws'", pa.string(), "ws; null: never; source: always the venue's stream, no row is made of candles"),
    ("feature_pack", f"'{FEATURE_PACK}'", pa.string(), "name; null: never; source: the columns of this program"),
    ("pack_rev", f"CAST({PACK_REV} AS BIGINT)", pa.int64(), "count; null: never; source: raised with a formula"),
)  # fmt: skip
TOLD = tuple(Field(name, arrow, comment) for name, _, arrow, comment in _TOLD)
BAR_ONLY = tuple(field for field in BARS.fields if field.name not in {other.name for other in FIELDS})
_COMMENTS = {
    "feature_revisions": "every revision of every minute row, in the order of the digest chain; append-only",
    "rollup_revisions": "every revision of every bar of 15m and 1h, in the order of the digest chain; append-only",
    "candidates": "every trigger of a detector in every reading of a minute, and what became of it; append-only",
    "signals": "the candidates that became signals, with what was said of them; append-only",
    "digests": "the digest chain: a line per closed minute or bar of a venue, or later revision; append-only",
    "features_snapshot": "the newest revision of every minute and bar, with the user guide's names as aliases",
    "market_revisions": "every revision of the market of each venue and minute, in the order of the chain; append-only",
    "market_snapshot": "the newest revision of the market of each venue and minute",
    "features_15m": "the newest revision of every bar of 15 minutes",
    "features_1h": "the newest revision of every bar of an hour",
}  # fmt: skip


def links_to_arrow(links: Sequence[Link]) -> dict[str, pa.RecordBatch]:
    """What some links add to each table. Raises OutOfRangeError."""
    found = {}
    for layout in (MINUTES, BARS):
        of_table = [link for link in links if layout_of(link) is layout]
        if of_table:
            found[layout.table] = rows_to_arrow(of_table)
    told = [link for link in links if isinstance(link, MinuteRows) and link.market is not None]
    if told:
        found[MARKETS.table] = markets_to_arrow(told)
    found |= found_to_arrow([link for link in links if isinstance(link, MinuteRows)])
    return found | {"digests": digests_to_arrow(links)}


def quoted(text: str) -> str:
    """An SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _table(name: str, fields: tuple[Field, ...]) -> list[str]:
    columns = ",\n  ".join(f'"{field.name}" {_SQL[field.arrow]}' for field in fields)
    return [f"CREATE TABLE {name} (\n  {columns}\n)", f"COMMENT ON TABLE {name} IS {quoted(_COMMENTS[name])}"]


def _columns(relation: str, fields: tuple[Field, ...]) -> list[str]:
    return [f'COMMENT ON COLUMN {relation}."{field.name}" IS {quoted(field.comment)}' for field in fields]


def _newest(of: Table, more: list[str], only: str = "") -> str:
    """The newest revision per key, and more expressions. A join, not a window: a filter on the key reaches both sides
    of it.
    """
    columns = ", ".join([f'r."{field.name}"' for field in of.fields] + more)
    key, where = ", ".join(n for n in _KEY if n in of.stage_of), f" WHERE tf = {quoted(only)}" if only else ""
    return (
        f"SELECT {columns} FROM {of.table} AS r "
        f"JOIN (SELECT {key}, max(rev) AS rev FROM {of.table}{where} GROUP BY {key}) AS newest USING ({key}, rev)"
    )


def views() -> dict[str, str]:
    """Name -> query of each view."""
    told = [f'{expression} AS "{name}"' for name, expression, *_ in _TOLD]
    aliases = [f'r."{name}" AS "{alias}"' for alias, name in ALIASES.items()]
    found = {f"features_{tf}": _newest(BARS, told, only=tf) for tf, _ in TIMEFRAMES}
    found["features_snapshot"] = f"{_newest(MINUTES, aliases + told)} UNION ALL BY NAME {_newest(BARS, told)}"
    return found | {"market_snapshot": _newest(MARKETS, [])}


def _view(name: str, query: str, fields: tuple[Field, ...]) -> list[str]:
    made = [f"CREATE VIEW {name} AS {query}", f"COMMENT ON VIEW {name} IS {quoted(_COMMENTS[name])}"]
    return made + _columns(name, fields)


def ddl() -> list[str]:
    """Statements that make an empty store, one each."""
    by_name = {field.name: field for field in FIELDS}
    aliases = tuple(Field(alias, by_name[name].arrow, f"alias of {name}") for alias, name in ALIASES.items())
    queries = views()
    statements = []
    for name, fields in _TABLES.items():
        statements += _table(name, fields) + _columns(name, fields)
    statements += _view("features_snapshot", queries["features_snapshot"], FIELDS + aliases + TOLD + BAR_ONLY)
    for tf, _ in TIMEFRAMES:
        statements += _view(f"features_{tf}", queries[f"features_{tf}"], BARS.fields + TOLD)
    statements += _view("market_snapshot", queries["market_snapshot"], MARKETS.fields)
    return [
        *statements,
        "CREATE TABLE store_facts (name VARCHAR, value VARCHAR)",
        f"COMMENT ON TABLE store_facts IS {quoted('what this file was made for: see layout_digest')}",
        f"INSERT INTO store_facts VALUES ('schema_digest', '{SCHEMA_DIGEST}'), ('layout_digest', '{LAYOUT_DIGEST}')",
    ]


REVISIONS: tuple[Table, ...] = (MINUTES, BARS, MARKETS, CANDIDATES, SIGNALS)
_TABLES = {of.table: of.fields for of in REVISIONS} | {"digests": DIGEST_FIELDS}
LAYOUT_DIGEST = hashlib.sha256(
    repr([[(f.name, str(f.arrow), f.comment) for f in fields] for fields in _TABLES.values()] + [views()]).encode()
).hexdigest()
