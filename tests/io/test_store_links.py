"""Links of a store: each is written once, holes are filled, the newest revision is shown, the oldest are forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.core.minutes import close_ms
from engine.io.store import Store
from tests.io.hand_minutes import some_minutes
from tests.io.stores import QUICK, ask, links, until, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.duckdb"


def test_the_snapshot_is_the_newest_revision_of_every_minute(path: Path):
    minutes = some_minutes(8, symbols=2)  # links 3 and 7 revise the minutes of links 2 and 6

    write(path, minutes)

    assert [rev for (rev,) in ask(path, "SELECT rev FROM digests ORDER BY link")] == [0, 0, 0, 1, 0, 0, 0, 1]
    assert ask(path, "SELECT count(*) FROM feature_revisions") == [(16,)]
    found = ask(path, "SELECT exchange_ts, symbol, rev, link FROM features_snapshot ORDER BY ALL")
    assert [link for _, symbol, _, link in found if symbol == "S0USDT"] == [0, 1, 3, 4, 5, 7]
    assert len(found) == 12


def test_rows_can_be_asked_for_by_the_guides_timestamp(path: Path):
    write(path, some_minutes(2, symbols=1))

    found = ask(path, "SELECT count(*) FROM features_snapshot WHERE timestamp > TIMESTAMPTZ '2024-08-08 23:57:30+00'")

    assert found == [(1,)]


def test_feeding_the_same_minutes_again_writes_nothing_twice(path: Path):
    minutes = some_minutes(10)
    write(path, minutes[:6])

    status = write(path, minutes)

    assert (status.links_skipped, status.links_written, status.last_link) == (6, 4, 9)
    assert links(path) == list(range(10))
    assert ask(path, "SELECT count(*), count(DISTINCT (symbol, link)) FROM feature_revisions") == [(30, 30)]


def test_feeding_again_fills_the_holes_of_a_file(path: Path):
    minutes = some_minutes(10)
    write(path, [minute for minute in minutes if minute.link not in (2, 5)])

    status = write(path, minutes)

    assert (status.holes, status.links_written) == (0, 2)
    assert links(path) == list(range(10))


def ask_open(store: Store, sql: str) -> list[Any]:
    with store.reader() as connection:
        return connection.execute(sql).fetchall()


def test_the_first_links_are_forgotten_by_age_and_are_no_holes(path: Path):
    minutes = some_minutes(8, symbols=2)
    store = Store(path, QUICK)
    for minute in minutes:
        store.put(minute)
    assert store.drain()
    store.forget_before(close_ms(minutes[4].minute))
    until(lambda: ask_open(store, "SELECT min(link) FROM feature_revisions") == [(4,)])
    store.forget_before(0)
    until(lambda: store._forget_ms is None)

    store.close()
    assert ask(path, "SELECT value FROM store_facts WHERE name = 'first_link'") == [("4",)]
    assert ask(path, "SELECT count(*), min(link) FROM feature_revisions") == [(8, 4)]
    assert links(path) == [4, 5, 6, 7]
    again = write(path, minutes)
    assert (again.links_skipped, again.holes, again.last_link) == (8, 0, 7)
    assert ask(path, "SELECT count(*) FROM feature_revisions") == [(8,)]


def test_a_store_may_begin_at_a_later_link(path: Path):
    minutes = some_minutes(8, symbols=2)
    store = Store(path, QUICK, first_link=3)
    for minute in minutes[3:]:
        store.put(minute)

    status = store.close()
    assert (status.holes, status.last_link) == (0, 7)
    assert write(path, minutes[3:]).links_skipped == 5
