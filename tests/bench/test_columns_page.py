"""The page of columns is generated, so it cannot be wrong about them."""

from __future__ import annotations

from bench.columns_page import PAGE, SHOWN, families_with_pictures, page
from engine.core.schema import COLUMNS


def test_the_committed_page_is_the_one_that_the_tables_make():
    assert PAGE.read_text(encoding="utf-8") == page(families_with_pictures())


def test_pictures_show_columns_that_there_are():
    names = {column.name for column in COLUMNS}
    assert {name for shown in SHOWN.values() for name in shown} <= names
