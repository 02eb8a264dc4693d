"""`conveyor plot`: what is drawn, what is shaded, and what is said of a name that is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from engine.commands.plot import Drawing, columns_named, plot, query_of

CLOSE_MS = 1_700_000_040_000


def rows(minutes: list[int], status: list[str], **columns: list[float | None]) -> pa.Table:
    return pa.table({
        "venue": ["hyperliquid"] * len(minutes),
        "exchange_ts": [CLOSE_MS + 60_000 * minute for minute in minutes],
        "dq_status": status,
        "dq_reasons": [[] if one == "ok" else ["book_gap"] for one in status],
    } | columns)  # fmt: skip


def drawing(table: pa.Table, *names: str) -> Drawing:
    return Drawing(table, columns_named(list(names)), "BTC on hyperliquid, 1m bars, simulated market", 60)


def bands(axis: Any) -> list[tuple[float, float]]:
    """Minutes from the first close at which each shaded band begins and ends."""
    first = axis.lines[0].get_xdata(orig=False)[0]
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axis.patches]
    return [tuple(round((edge - first) * 1440) for edge in span) for span in spans]  # type: ignore[misc]


def test_minutes_that_are_not_ok_are_shaded_and_a_missing_one_breaks_the_line():
    table = rows([0, 1, 2, 4], ["ok", "partial", "partial", "ok"], close=[1.0, 2.0, None, 4.0])
    made = drawing(table, "close")
    (axis,) = made.figure().axes
    (line,) = axis.lines
    assert np.array_equal(line.get_ydata(), [1.0, 2.0, np.nan, np.nan, 4.0], equal_nan=True)
    assert bands(axis) == [(0, 2), (2, 3)]  # two partial minutes up to their closes, then the one without a row
    assert dict(made.statuses) == {"ok": 2, "partial": 2, "no row": 1}
    assert "2 partial" in made._note()
    assert "book_gap 2" in made._note()


def test_columns_of_one_unit_share_a_panel():
    table = rows([0, 1], ["ok", "ok"], close=[1.0, 2.0], ma_50=[1.0, 1.5], z_vol_m_1=[0.1, 3.0], is_doji=[0.0, 1.0])
    panels = drawing(table, "close", "ma_50", "z_vol_m_1", "is_doji").figure().axes
    assert [len(axis.lines) for axis in panels] == [2, 2, 0]  # sigma has its zero; flags are marks
    assert [axis.get_ylabel() for axis in panels] == ["quote/base", "sigma", ""]


def test_a_column_that_is_null_throughout_says_so():
    (axis,) = drawing(rows([0, 1], ["ok", "ok"], vpin=[None, None]), "vpin").figure().axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["vpin (null here)"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
def test_every_kind_of_file_is_written(tmp_path: Path, suffix: str):
    out = tmp_path / f"picture{suffix}"
    drawing(rows([0, 1], ["ok", "stale"], close=[1.0, 2.0]), "close").save(out)
    begin = {".png": b"\x89PNG", ".svg": b"<?xml", ".html": b"<!doctype html>"}[suffix]
    assert out.read_bytes().startswith(begin)
    if suffix == ".html":
        assert "simulated market" in out.read_text()
        assert "last trade by (event time, venue order)" in out.read_text()


def test_every_wrong_name_is_told_at_once_with_what_was_perhaps_meant():
    wrong = CliRunner().invoke(plot, ["--symbol", "BTC", "--columns", "z_vol,closse,dq_status"])
    assert wrong.exit_code == 2
    assert "z_vol is no column" in wrong.output
    assert "z_vol_m_1" in wrong.output
    assert "closse is no column" in wrong.output
    assert "dq_status is not a number" in wrong.output


def test_an_alias_is_drawn_under_the_name_it_was_asked_for():
    assert columns_named(["v_total_m_1"])["v_total_m_1"].name == "quote_volume"


def test_a_span_counts_back_from_the_newest_row():
    assert "- 21600000" in query_of("", "BTC", ["close"], "6h", "1m")
    wrong = CliRunner().invoke(plot, ["--symbol", "BTC", "--columns", "close", "--last", "6"])
    assert "'6' is no span; write 90m, 6h or 2d" in wrong.output
