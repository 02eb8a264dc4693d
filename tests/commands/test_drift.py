"""`conveyor drift`: the figures of a query that DuckDB runs over rows that can be checked by head."""

from __future__ import annotations

import duckdb
import pytest

from engine.commands.drift import COLUMNS, HEADING, MS_PER_DAY, lines_of, query_of, shown

NEWEST_MS = 1_700_000_040_000


def table(rows: list[tuple[str, str, int, str, float | None]]) -> duckdb.DuckDBPyConnection:
    """Rows of (symbol, tf, age in ms, status, z of volume); every other z is null."""
    connection = duckdb.connect()
    others = ", ".join(f"{name} DOUBLE" for name in COLUMNS)
    connection.execute(
        "CREATE TABLE features_snapshot "
        f"(venue TEXT, symbol TEXT, tf TEXT, exchange_ts BIGINT, dq_status TEXT, {others})"
    )
    for symbol, tf, age_ms, status, z in rows:
        connection.execute(
            "INSERT INTO features_snapshot BY NAME SELECT 'hyperliquid' AS venue, ? AS symbol, ? AS tf, "
            "? AS exchange_ts, ? AS dq_status, ? AS z_vol_m_1",
            [symbol, tf, NEWEST_MS - age_ms, status, z],
        )
    return connection


ROWS = [
    ("BTC", "1m", 0, "ok", 1.0),
    ("BTC", "1m", 60_000, "ok", -1.0),
    ("BTC", "1m", 120_000, "partial", 50.0),
    ("BTC", "15m", 0, "ok", 50.0),
    ("BTC", "1m", MS_PER_DAY, "ok", 3.0),
    ("ETH", "1m", 0, "ok", 2.0),
    ("ETH", "1m", 60_000, "ok", None),
]


@pytest.mark.parametrize(
    ("days", "symbols", "expected"),
    [
        (1, True, {"BTC": (2, 0.0, 1.0, True), "ETH": (1, 2.0, 0.0, False)}),
        (7, True, {"BTC": (3, 1.0, (8 / 3) ** 0.5, False), "ETH": (1, 2.0, 0.0, False)}),
        (1, False, {"*": (3, 2 / 3, (14 / 9) ** 0.5, False)}),
    ],
)
def test_ok_minutes_of_the_span_alone_count(days, symbols, expected):
    answer = table(ROWS).execute(query_of(days, symbols))
    names = [column[0] for column in answer.description or ()]
    lines = [line for row in answer.fetchall() for line in lines_of(dict(zip(names, row, strict=True)), "x")]
    assert {line["column"] for line in lines} == {"z_vol_m_1"}
    told = {line["symbol"]: (line["values"], line["mean"], line["deviation"], line["kept"]) for line in lines}
    assert told == {
        symbol: (values, pytest.approx(mean), pytest.approx(deviation), kept)
        for symbol, (values, mean, deviation, kept) in expected.items()
    }


def test_a_week_that_holds_no_more_than_the_day_is_not_shown_and_few_values_are_no_drift():
    told = [
        ("V", "BTC", "z_vol_m_1", "1d", 999, 0.5, 1.0, False),
        ("V", "BTC", "z_vol_m_1", "7d", 999, 0.5, 1.0, False),
        ("V", "BTC", "z_ret_m_1", "1d", 1000, 0.5, 1.0, False),
        ("V", "BTC", "z_ret_m_1", "7d", 1001, 0.1, 1.0, True),
    ]
    rows = shown([dict(zip(HEADING, line, strict=True)) for line in told])
    assert [(row[2], row[3], row[-1]) for row in rows] == [
        ("z_vol_m_1", "1d", "few"), ("z_ret_m_1", "1d", "drifts"), ("z_ret_m_1", "7d", ""),
    ]  # fmt: skip
