"""What a store cannot write waits, or is dropped and counted; it tells so, and never raises into its caller."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from engine.io.database import Appender
from engine.io.store import Store
from tests.io.hand_minutes import some_minutes
from tests.io.stores import QUICK, Told, links, until, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.duckdb"


HOLDER = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline()"


def test_rows_wait_while_another_process_holds_the_file(path: Path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=-1, stdout=-1, text=True)
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    store = Store(path, QUICK)
    for minute in some_minutes(3):
        store.put(minute)
    held = store.status

    holder.communicate("\n")
    assert store.drain(10)
    status = store.close()

    assert "open in another process" in held.trouble
    assert "wait until the replay" in held.trouble
    assert held.queued_links == 3
    assert (status.missing_links, status.trouble, status.rebuild) == (0, "", "")
    assert links(path) == [0, 1, 2]


def test_closing_while_the_file_is_held_tells_what_is_missing(path: Path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=-1, stdout=-1, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"

    status = write(path, some_minutes(3))
    holder.communicate("\n")

    assert status.closed
    assert status.missing_links == 3
    assert "open in another process" in status.last_error


def test_rows_wait_while_the_folder_of_the_file_is_gone(tmp_path: Path):
    folder = tmp_path / "session"
    folder.mkdir()
    first, *rest = some_minutes(3)
    store = Store(folder / "store.duckdb", QUICK)
    store.put(first)
    assert store.drain(10)

    folder.rename(tmp_path / "away")
    folder.write_bytes(b"no folder any more")
    for minute in rest:
        store.put(minute)
    until(lambda: store.status.errors >= 2)
    held = store.status
    folder.unlink()
    (tmp_path / "away").rename(folder)

    assert store.drain(10)
    status = store.close()
    assert held.trouble
    assert (status.closed, status.missing_links, status.trouble) == (True, 0, "")
    assert links(folder / "store.duckdb") == [0, 1, 2]


def failing(monkeypatch: pytest.MonkeyPatch, fails: Callable[[], bool]) -> None:
    """Appends fail as on a full disk as long as `fails` says so."""
    append = Appender.append

    def attempt(*args: Any) -> None:
        if fails():
            raise duckdb.FatalException("FATAL Error: Failed to write: No space left on device")
        append(*args)

    monkeypatch.setattr(Appender, "append", attempt)


def test_a_full_disk_delays_rows_and_loses_none(path: Path, monkeypatch: pytest.MonkeyPatch):
    full, told = [True], Told()
    failing(monkeypatch, lambda: full[0])
    store = Store(path, QUICK, told)
    for minute in some_minutes(5):
        store.put(minute)
    until(lambda: store.status.errors > 2)
    waiting = store.status

    full[0] = False
    status = store.close()

    assert "No space left" in waiting.trouble
    assert waiting.queued_links == 5
    assert told.kinds == ["store_trouble", "store_recovered"]
    assert status.missing_links == 0
    assert links(path) == list(range(5))


def test_rows_wait_while_the_store_is_held_and_are_written_afterwards(path: Path):
    told = Told()
    minutes = some_minutes(4)
    store = Store(path, QUICK, told)
    store.put(minutes[0])
    assert store.drain()
    store.hold(True)
    until(lambda: bool(store.status.trouble))
    for minute in minutes[1:]:
        store.put(minute)

    assert not store.drain(timeout_s=0.2)
    assert store.status.queued_links == 3
    store.hold(False)
    assert store.drain()
    until(lambda: not store.status.trouble)

    assert store.close().last_link == 3
    assert told.kinds == ["store_trouble", "store_recovered"]


def test_a_store_that_is_held_is_written_when_it_closes(path: Path):
    store = Store(path, QUICK)
    store.hold(True)
    for minute in some_minutes(3):
        store.put(minute)

    assert store.close().last_link == 2


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted(path: Path, monkeypatch: pytest.MonkeyPatch):
    told = Told()
    failing(monkeypatch, lambda: True)
    store = Store(path, replace(QUICK, queue_rows=7, wait=False), told)
    for minute in some_minutes(5, symbols=3):
        store.put(minute)

    status = store.close()

    assert (status.queued_links, status.dropped_links, status.dropped_rows, status.first_dropped_link) == (2, 3, 9, 2)
    assert status.missing_links == 5
    assert "link 2 was dropped; run `conveyor store rebuild`" in status.rebuild
    assert "store_dropped" in told.kinds


def test_a_replay_waits_for_a_slow_disk_instead_of_dropping(path: Path):
    store = Store(path, replace(QUICK, queue_rows=6, wait=True))
    for minute in some_minutes(40):
        store.put(minute)
    status = store.close()

    assert (status.dropped_links, status.links_written) == (0, 40)


def test_one_value_out_of_range_costs_one_minute_only(path: Path):
    minutes = some_minutes(5)
    minutes[2].rows["quote_volume_hi"][1] = 2**60

    status = write(path, minutes)

    assert (status.dropped_links, status.first_dropped_link) == (1, 2)
    assert "quote_volume of S1USDT" in status.last_error
    assert links(path) == [0, 1, 3, 4]


def test_a_store_that_is_closed_takes_nothing_more(path: Path):
    store = Store(path, QUICK)
    store.close()

    store.put(some_minutes(1)[0])

    assert store.status.dropped_links == 1
