"""A row's numbers as values for people: exact, NULL where there is nothing, in DuckDB as in Arrow."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from decimal import Context, Decimal
from typing import Any

import duckdb
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.effects import MarketRow
from engine.core.market import MARKET, MARKET_COLUMNS
from engine.core.minutes import close_ms
from engine.core.schema import CODES, COLUMNS, NULL, ROW, Form, Reason, reason_names
from engine.io.candidates import CANDIDATES, SIGNALS
from engine.io.columns import (
    ARROW_SCHEMA,
    BARS,
    DIGEST_FIELDS,
    FIELDS,
    MINUTES,
    OutOfRangeError,
    digests_to_arrow,
    rows_to_arrow,
    scale_up,
)
from engine.io.markets import MARKETS
from engine.io.tables import ALIASES, TABLES, TOLD, ddl, links_to_arrow
from tests.io.hand_minutes import FIRST_MINUTE, chained, some_bars, some_minutes, some_rows

EXACT = Context(prec=60)


def exact(mantissa: int, decimals: int) -> Decimal:
    return EXACT.scaleb(Decimal(mantissa), -decimals)


def expected_cell(row: np.void, name: str, form: Form, price_decimals: int, quantity_decimals: int) -> Any:
    """What a cell is, told once more in plain Python."""
    if form is Form.QUOTE:
        mantissa = (int(row[f"{name}_hi"]) << 64) + int(row[f"{name}_lo"]) % 2**64
        return exact(mantissa, price_decimals + quantity_decimals)
    value = row[name].item()
    if value == NULL or value != value:
        return None
    if form is Form.PRICE:
        return exact(value, price_decimals + 1)
    if form is Form.BASE:
        return exact(value, quantity_decimals)
    if form is Form.STATUS:
        return CODES[name](value).name.lower()
    return reason_names(value) if form is Form.REASONS else value


def empty_store() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for statement in ddl():
        connection.execute(statement)
    return connection


def stored(minute: Any) -> list[dict[str, Any]]:
    connection = empty_store()
    incoming = rows_to_arrow([minute])  # found by DuckDB under its name
    connection.execute("INSERT INTO feature_revisions SELECT * FROM incoming")
    assert incoming.num_rows
    return connection.sql("FROM feature_revisions").to_arrow_table().to_pylist()


def test_every_column_arrives_in_duckdb_exactly():
    minute = replace(chained(5, some_rows(4, seed=1)), scales=((0, 0), (8, 8), (2, 3), (1, 5)))

    found = stored(replace(minute, revision=2))

    for row, scales, symbol, record in zip(minute.rows, minute.scales, minute.symbols, found, strict=True):
        assert (record["venue"], record["symbol"], record["tf"]) == ("binance_usdm", symbol, "1m")
        assert (record["exchange_ts"], record["rev"], record["link"]) == (close_ms(minute.minute), 2, 5)
        assert record["timestamp"].timestamp() * 1000 == close_ms(minute.minute)
        for column in COLUMNS:
            assert record[column.name] == expected_cell(row, column.name, column.form, *scales), column.name
        assert record["dq_reason_bits"] == row["dq_reasons"]


def test_every_null_arrives_as_null():
    rows = some_rows(3, seed=2)
    for name in ROW.names:
        if not name.endswith("_lo"):
            rows[name][1] = math.nan if ROW[name].kind == "f" else NULL

    found = stored(chained(0, rows))

    values = {field.name for field in FIELDS if field.stage}
    assert {name for name in values if found[1][name] is None} == values
    assert all(found[row][name] is not None for row in (0, 2) for name in values)


def test_a_negative_zero_is_stored_as_zero():
    rows = some_rows(1, seed=3)
    rows["vwap"] = -0.0

    found = stored(chained(0, rows))

    assert math.copysign(1, found[0]["vwap"]) == 1


def test_reasons_are_names_with_the_lowest_bit_first():
    rows = some_rows(3, seed=4)
    rows["dq_reasons"] = [0, Reason.GAP | Reason.EDGE | Reason.NO_TRADES, 1 << 40]

    found = stored(chained(0, rows))

    assert [record["dq_reasons"] for record in found] == [[], ["edge", "gap", "no_trades"], ["bit_40"]]


@given(st.lists(st.tuples(st.integers(-(2**127), 2**127 - 1), st.integers(0, 16)), min_size=1, max_size=20))
def test_a_128_bit_number_is_scaled_exactly_or_refused(numbers: list[tuple[int, int]]):
    high = np.array([mantissa >> 64 for mantissa, _ in numbers], np.int64)
    low = np.array([mantissa % 2**64 for mantissa, _ in numbers], np.uint64)
    factor = np.array([10**exponent for _, exponent in numbers], np.uint64)

    words, overflow = scale_up(high, low, factor)

    for (mantissa, exponent), (product_low, product_high), refused in zip(numbers, words, overflow, strict=True):
        product = mantissa * 10**exponent
        assert refused == (abs(product) >= 10**38)
        if not refused:
            assert (int(product_high) << 64 | int(product_low)) == product % 2**128


INT64 = st.integers(NULL + 1, 2**63 - 1)


@given(
    scales=st.tuples(st.integers(0, 8), st.integers(0, 8)),
    price=INT64, base=INT64, quote=st.integers(-(10**22) + 1, 10**22 - 1), quote_small=st.integers(-(2**70), 2**70),
)  # fmt: skip
def test_any_mantissa_at_any_scale_becomes_the_same_decimal(
    scales: tuple[int, int], price: int, base: int, quote: int, quote_small: int
):
    rows = np.zeros(2, ROW)
    rows["open"], rows["ofi"] = price, base
    for row, mantissa in enumerate((quote, quote_small)):
        rows["quote_volume_hi"][row] = mantissa >> 64
        rows["quote_volume_lo"][row] = np.uint64(mantissa % 2**64).astype(np.int64)

    found = rows_to_arrow([replace(chained(0, rows), scales=(scales, scales))])

    assert found["open"][0].as_py() == exact(price, scales[0] + 1)
    assert found["ofi"][0].as_py() == exact(base, scales[1])
    assert found["quote_volume"].to_pylist() == [exact(quote, sum(scales)), exact(quote_small, sum(scales))]


def test_a_number_too_large_for_the_column_is_refused_by_name():
    rows = some_rows(3, seed=5)
    rows["taker_buy_quote_volume_hi"][2] = 2**60

    with pytest.raises(
        OutOfRangeError, match=r"taker_buy_quote_volume of S2USDT is \d+ \* 10\^-5, expected at most 22"
    ):
        rows_to_arrow([chained(0, rows)])


def test_a_code_without_a_name_is_refused_by_name():
    rows = some_rows(2, seed=6)
    rows["close_reason"][1] = 9

    with pytest.raises(OutOfRangeError, match="close_reason of S1USDT is 9, expected a code from 0 to 1"):
        rows_to_arrow([chained(0, rows)])


def test_several_minutes_give_the_rows_of_each_one_after_the_other():
    minutes = some_minutes(4, symbols=2)

    together = rows_to_arrow(minutes)

    alone = [row for minute in minutes for row in rows_to_arrow([minute]).to_pylist()]
    assert together.to_pylist() == alone
    together.validate(full=True)


def test_a_minute_without_symbols_has_no_rows():
    assert rows_to_arrow([chained(0, np.zeros(0, ROW))]).num_rows == 0


def test_a_digest_line_holds_every_stage():
    minute = chained(3, some_rows(2, seed=8))

    line = digests_to_arrow([replace(minute, revision=1)]).to_pylist()[0]

    assert orjson.loads(line.pop("stages")) == minute.digests
    assert line == {
        "link": 3, "venue": "binance_usdm", "exchange_ts": close_ms(FIRST_MINUTE + 3), "rev": 1, "symbols": 2,
        "cause_seq": 30, "chain": minute.chain,
    }  # fmt: skip


def test_every_column_of_every_table_tells_unit_null_rule_and_source():
    sql = "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal"
    found = empty_store().sql(f"{sql} AND table_name <> 'store_facts'").fetchall()

    comments = {(table, column): comment for table, column, comment in found}
    minutes, bars = MINUTES.fields, BARS.fields
    only = {field.name for field in bars} - {field.name for field in minutes}
    for table, column in comments:
        comment = comments[table, column]
        if column in ALIASES:
            assert comment.startswith("alias of ")
        else:
            assert len(comment.split("; ")) >= 3, (table, column)
            assert "null: " in comment
            assert "source: " in comment
    assert {table for table, _ in comments} == set(TABLES)
    views = 2 * (len(bars) + len(TOLD)) + len(minutes) + len(only) + len(ALIASES) + len(TOLD)
    plain = len(DIGEST_FIELDS) + len(CANDIDATES.fields) + len(SIGNALS.fields)
    assert len(comments) == len(minutes) + len(bars) + 2 * len(MARKETS.fields) + plain + views


def test_an_alias_is_the_column_it_names():
    connection = empty_store()
    incoming = rows_to_arrow([chained(0, some_rows(3, seed=9))])
    connection.execute("INSERT INTO feature_revisions SELECT * FROM incoming")

    found = connection.sql("FROM features_snapshot").to_arrow_table()

    assert incoming.num_rows == found.num_rows
    for alias, name in ALIASES.items():
        assert found[name].equals(found[alias])


def test_the_newest_revision_of_each_bar_stands_below_the_minutes():
    connection = empty_store()
    links = [chained(0, some_rows(2, seed=1)), some_bars(1, "15m", 2), some_bars(2, "15m", 2, revision=1)]
    links.append(some_bars(3, "1h", 2))
    for table, batch in links_to_arrow(links).items():
        connection.register("incoming", batch)
        connection.execute(f"INSERT INTO {table} SELECT * FROM incoming")

    query = "SELECT tf, rev, link, symbol, trade_count, minutes_ok, is_hot IS NULL FROM features_snapshot"
    found = connection.sql(f"{query} ORDER BY link, symbol").fetchall()

    def told(link, tf):
        return [
            (tf, link.revision, link.link, symbol, row["trade_count"], row["minutes_ok"] if tf != "1m" else None,
             tf != "1m")
            for symbol, row in zip(link.symbols, link.rows, strict=True)
        ]  # fmt: skip

    assert found == told(links[0], "1m") + told(links[2], "15m") + told(links[3], "1h")
    assert connection.sql("SELECT DISTINCT link FROM features_15m").fetchall() == [(2,)]
    assert connection.sql("SELECT DISTINCT link FROM features_1h").fetchall() == [(3,)]


def test_the_market_of_a_minute_has_names_and_words_where_the_engine_has_numbers():
    row = np.zeros((), MARKET)
    for column in MARKET_COLUMNS:
        row[column.name] = 2.5 if column.form is Form.REAL else 1
    row["rs_top"], row["leader"] = [7, 4, NULL, NULL, NULL], 4
    row["lead_score"], row["trend_regime"] = np.nan, NULL
    minute = replace(chained(0, some_rows(2, seed=1)), market=MarketRow(row, {1: "A", 4: "BTC", 7: "ETH"}))
    connection = empty_store()
    for table, batch in links_to_arrow([minute, chained(1, some_rows(1, seed=2))]).items():
        connection.register("incoming", batch)
        connection.execute(f"INSERT INTO {table} SELECT * FROM incoming")

    (found,) = connection.sql("FROM market_snapshot").to_arrow_table().to_pylist()

    assert (found["venue"], found["exchange_ts"], found["link"]) == (minute.venue, close_ms(FIRST_MINUTE), 0)
    assert (found["rs_top"], found["rs_bottom"], found["leader"]) == (["ETH", "BTC"], ["A"] * 5, "BTC")
    assert (found["lead_score"], found["trend_regime"]) == (None, None)
    assert (found["dq_status"], found["volatility_regime"], found["session"]) == ("partial", "medium", "europe")
    assert (found["eligible_count"], found["breadth_m_1"]) == (1, 2.5)


def test_an_asset_has_the_same_number_in_every_file_and_timeframe():
    connection = empty_store()
    links = [chained(0, some_rows(2, seed=1)), some_bars(1, "15m", 2)]
    for table, batch in links_to_arrow(links).items():
        connection.register("incoming", batch)
        connection.execute(f"INSERT INTO {table} SELECT * FROM incoming")

    found = set(connection.sql("SELECT symbol, asset_uid FROM features_snapshot").fetchall())

    names = ("S0USDT", "S1USDT")
    assert found == {
        (name, int(hashlib.sha256(f"binance_usdm:{name}".encode()).hexdigest()[:13], 16)) for name in names
    }


def test_no_table_has_an_index():
    connection = empty_store()

    assert connection.sql("SELECT * FROM duckdb_indexes()").fetchall() == []
    names = connection.sql("SELECT name FROM pragma_table_info('feature_revisions')").fetchall()
    assert ARROW_SCHEMA.names == [name for (name,) in names]
