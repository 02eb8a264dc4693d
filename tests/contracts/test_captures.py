"""Recorded frames through every stage and into DuckDB: no NaN that is stored as a number, nothing infinite."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest

from engine.core.effects import MinuteRows
from engine.core.market import MARKET_COLUMNS
from engine.core.schema import COLUMNS, Form
from engine.io.tables import ddl, links_to_arrow
from tests.engine.running import run
from tests.oracles.captures import WITH_MINUTES, capture, recorded


@pytest.mark.captures
@recorded
@pytest.mark.parametrize("name", WITH_MINUTES)
def test_a_capture_stores_numbers_and_nulls_only(name: str) -> None:
    links = run(capture(name)).links
    assert links
    store = duckdb.connect()
    for statement in ddl():
        store.execute(statement)
    for table, incoming in links_to_arrow(links).items():
        assert incoming.num_rows >= 1
        store.execute(f"INSERT INTO {table} SELECT * FROM incoming")
    rows = np.concatenate([link.rows for link in links if isinstance(link, MinuteRows)])
    for table, columns in (("feature_revisions", COLUMNS), ("market_revisions", MARKET_COLUMNS)):
        for column in (column for column in columns if column.form is Form.REAL):
            odd = f'SELECT count(*) FROM {table} WHERE isnan("{column.name}") OR isinf("{column.name}")'
            assert store.execute(odd).fetchone() == (0,), column.name
            if table == "feature_revisions":
                told = store.execute(f'SELECT count("{column.name}") FROM {table}').fetchone()
                assert told == (int((~np.isnan(rows[column.name])).sum()),), column.name
