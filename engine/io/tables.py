"""The store's tables, generated from the row table: DDL with a comment on every column."""

from __future__ import annotations

import hashlib

import pyarrow as pa

from engine.core.schema import COLUMNS, SCHEMA_DIGEST
from engine.io.columns import DECIMAL, DIGEST_FIELDS, FIELDS, Field

TABLES = ("features_snapshot", "feature_revisions", "digests")

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
_KEY = ("venue", "symbol", "tf", "exchange_ts")
_COMMENTS = {
    "feature_revisions": "every revision of every minute row, in the order of the digest chain; append-only",
    "digests": "the digest chain: one line per closed minute of a venue, or later revision of it; append-only",
    "features_snapshot": "the newest revision of every minute row, with the user guide's names as aliases",
}


def quoted(text: str) -> str:
    """An SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _table(name: str, fields: tuple[Field, ...]) -> list[str]:
    columns = ",\n  ".join(f'"{field.name}" {_SQL[field.arrow]}' for field in fields)
    return [f"CREATE TABLE {name} (\n  {columns}\n)", f"COMMENT ON TABLE {name} IS {quoted(_COMMENTS[name])}"]


def _columns(relation: str, fields: tuple[Field, ...]) -> list[str]:
    return [f'COMMENT ON COLUMN {relation}."{field.name}" IS {quoted(field.comment)}' for field in fields]


def snapshot_view() -> str:
    """The newest revision per key. A join, not a window: a filter on the key reaches both sides of it."""
    columns = ", ".join(f'r."{field.name}"' for field in FIELDS)
    aliases = ", ".join(f'r."{name}" AS "{alias}"' for alias, name in ALIASES.items())
    key = ", ".join(_KEY)
    return (
        f"CREATE VIEW features_snapshot AS SELECT {columns}, {aliases} FROM feature_revisions AS r "
        f"JOIN (SELECT {key}, max(rev) AS rev FROM feature_revisions GROUP BY {key}) AS newest USING ({key}, rev)"
    )


def ddl() -> list[str]:
    """Statements that make an empty store, one each."""
    by_name = {field.name: field for field in FIELDS}
    aliases = tuple(Field(alias, by_name[name].arrow, f"alias of {name}") for alias, name in ALIASES.items())
    return [
        *_table("feature_revisions", FIELDS),
        *_columns("feature_revisions", FIELDS),
        *_table("digests", DIGEST_FIELDS),
        *_columns("digests", DIGEST_FIELDS),
        snapshot_view(),
        f"COMMENT ON VIEW features_snapshot IS {quoted(_COMMENTS['features_snapshot'])}",
        *_columns("features_snapshot", FIELDS + aliases),
        "CREATE TABLE store_facts (name VARCHAR, value VARCHAR)",
        f"COMMENT ON TABLE store_facts IS {quoted('what this file was made for: see layout_digest')}",
        f"INSERT INTO store_facts VALUES ('schema_digest', '{SCHEMA_DIGEST}'), ('layout_digest', '{LAYOUT_DIGEST}')",
    ]


LAYOUT_DIGEST = hashlib.sha256(
    repr(
        [[(f.name, str(f.arrow), f.comment) for f in fields] for fields in (FIELDS, DIGEST_FIELDS)] + [snapshot_view()]
    ).encode()
).hexdigest()
