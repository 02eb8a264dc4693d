"""The store survives what happens to its file, tells what it could not write, and never raises into its caller."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from engine.core.effects import MinuteRows
from engine.core.minutes import close_ms
from engine.io import store as store_module
from engine.io.columns import digests_to_arrow
from engine.io.database import Appender, connect, forget_blocks, prepare
from engine.io.store import Store, StoreLimits, StoreStatus
from tests.io.hand_minutes import some_minutes

QUICK = StoreLimits(retry_s_min=0.01, retry_s_max=0.05, idle_s=0.02, patience_s=0.2)


class Told:
    """The reports of a store."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.details: list[dict[str, str]] = []

    def __call__(self, kind: str, detail: dict[str, str]) -> None:
        self.kinds.append(kind)
        self.details.append(detail)


def write(path: Path, minutes: Sequence[MinuteRows], told: Told | None = None) -> StoreStatus:
    store = Store(path, QUICK, told)
    for minute in minutes:
        store.put(minute)
    return store.close()


def ask(path: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def links(path: Path) -> list[int]:
    return [link for (link,) in ask(path, "SELECT link FROM digests ORDER BY link")]


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


def test_all_files_are_private(path: Path):
    store = Store(path, QUICK)
    store.put(some_minutes(1)[0])
    assert store.drain()

    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    store.close()

    assert modes == {"store.duckdb": 0o600, "store.duckdb.wal": 0o600}


def test_the_log_begun_after_a_checkpoint_is_private_too(path: Path):
    store = Store(path, replace(QUICK, checkpoint_rows=5))
    for minute in some_minutes(3, symbols=3):  # the second one is followed by a checkpoint
        store.put(minute)
        assert store.drain()
    log = path.with_name("store.duckdb.wal")

    mode, compact = log.stat().st_mode & 0o777, path.stat().st_size > 100_000
    store.close()

    assert (mode, compact) == (0o600, True)


def test_a_digest_line_takes_the_same_room_in_the_log_however_many_went_before(path: Path):
    connection = connect(path)
    assert prepare(connection)
    appender, log, sizes = Appender(connection), path.with_name("store.duckdb.wal"), []
    for minute in some_minutes(60):
        appender.append({"digests": digests_to_arrow([minute])})
        sizes.append(log.stat().st_size)
    connection.close()

    taken = [after - before for before, after in pairwise(sizes)]

    assert max(taken) - min(taken) < 64


def test_closing_leaves_one_compact_file(path: Path):
    write(path, some_minutes(20))

    assert [file.name for file in path.parent.iterdir()] == ["store.duckdb"]


def test_a_checkpoint_is_made_after_enough_rows(path: Path):
    store = Store(path, replace(QUICK, checkpoint_rows=5))
    for minute in some_minutes(4):
        store.put(minute)
        assert store.drain()
    grown = path.stat().st_size
    store.close()

    assert grown > 100_000


def test_a_checkpoint_is_made_in_a_quiet_moment(path: Path):
    store = Store(path, replace(QUICK, checkpoint_s=0.0))
    store.put(some_minutes(1)[0])

    quiet = wait_for(lambda: not path.with_name("store.duckdb.wal").exists() and path.stat().st_size > 100_000)
    store.close()

    assert quiet


def flip_a_bit_of_the_log(path: Path, minutes: Sequence[MinuteRows]) -> None:
    """What a crash leaves, file and write-ahead log, with one bit of the log wrong."""
    begun = Store(path.with_name("begun"), QUICK)
    for minute in minutes:
        begun.put(minute)
    assert begun.drain()
    path.write_bytes(begun.path.read_bytes())
    log = bytearray(begun.path.with_name("begun.wal").read_bytes())
    begun.close()
    log[len(log) // 2] ^= 1
    path.with_name("store.duckdb.wal").write_bytes(log)


@pytest.mark.parametrize("damage", ["garbage", "header", "log"])
def test_a_damaged_file_is_set_aside_and_an_empty_one_begins(path: Path, damage: str):
    minutes = some_minutes(6)
    write(path, minutes[:3])
    if damage == "garbage":
        path.write_bytes(b"no database" * 1000)
    elif damage == "header":
        with open(path, "r+b") as file:
            file.seek(4096)
            file.write(bytes(64))
            file.seek(8192)
            file.write(bytes(64))
    else:
        flip_a_bit_of_the_log(path, minutes[:3])
    told = Told()

    status = write(path, minutes[3:], told)

    assert told.kinds == ["store_set_aside"]
    assert "store.duckdb.corrupt-1" in status.rebuild
    assert "conveyor store rebuild" in status.rebuild
    assert path.with_name("store.duckdb.corrupt-1").exists()
    assert links(path) == [3, 4, 5]


def test_a_second_damaged_file_gets_the_next_number(path: Path):
    for _ in range(2):
        path.write_bytes(b"no database" * 1000)
        write(path, [])

    assert {file.name for file in path.parent.iterdir()} == {"store.duckdb"} | {
        f"store.duckdb.corrupt-{n}" for n in (1, 2)
    }


def test_a_file_of_another_layout_is_set_aside(path: Path):
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE feature_revisions (a INTEGER)")
    told = Told()

    write(path, some_minutes(1), told)

    assert told.kinds == ["store_set_aside"]
    assert path.with_name("store.duckdb.other-layout-1").exists()
    assert links(path) == [0]


def test_a_removed_file_is_noticed_and_begun_anew(path: Path):
    minutes, told = some_minutes(4), Told()
    store = Store(path, QUICK, told)
    store.put(minutes[0])
    assert store.drain()

    path.unlink()
    for minute in minutes[1:]:
        store.put(minute)
    status = store.close()

    assert told.kinds == ["store_lost", "store_trouble", "store_recovered"]
    assert "rebuild" in status.rebuild
    assert status.missing_links == 0
    assert links(path) == [1, 2, 3]


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


def failing(monkeypatch: pytest.MonkeyPatch, fails: Callable[[], bool]) -> None:
    """Appends fail as on a full disk as long as `fails` says so."""
    append = Appender.append

    def attempt(*args: Any) -> None:
        if fails():
            raise duckdb.FatalException("FATAL Error: Failed to write: No space left on device")
        append(*args)

    monkeypatch.setattr(Appender, "append", attempt)


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    import time

    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_a_full_disk_delays_rows_and_loses_none(path: Path, monkeypatch: pytest.MonkeyPatch):
    full, told = [True], Told()
    failing(monkeypatch, lambda: full[0])
    store = Store(path, QUICK, told)
    for minute in some_minutes(5):
        store.put(minute)
    assert wait_for(lambda: store.status.errors > 2)
    waiting = store.status

    full[0] = False
    status = store.close()

    assert "No space left" in waiting.trouble
    assert waiting.queued_links == 5
    assert told.kinds == ["store_trouble", "store_recovered"]
    assert status.missing_links == 0
    assert links(path) == list(range(5))


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
    status_of = Store(path, replace(QUICK, queue_rows=6, wait=True))
    for minute in some_minutes(40):
        status_of.put(minute)
    status = status_of.close()

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


def test_blocks_that_stand_in_the_file_are_let_go_and_read_again_when_they_are_asked_for(path: Path):
    connection = connect(path, "128MB", confined=True, locked=False)
    columns = ", ".join(f"random() AS c{number}" for number in range(16))
    connection.execute(f"CREATE TABLE wide AS SELECT {columns} FROM range(200000)")
    connection.execute("CHECKPOINT")
    total = connection.execute("SELECT sum(c7) FROM wide").fetchone()
    held = "SELECT sum(memory_usage_bytes) FROM duckdb_memory()"
    before = connection.execute(held).fetchone()

    forget_blocks(connection, "128MB")

    after = connection.execute(held).fetchone()
    assert before
    assert after
    assert after[0] <= 16_000_000 < before[0]
    assert connection.execute("SELECT current_setting('memory_limit')").fetchone() == ("122.0 MiB",)
    assert connection.execute("SELECT sum(c7) FROM wide").fetchone() == total


@pytest.mark.parametrize("is_read", [False, True])
def test_blocks_are_let_go_behind_a_checkpoint_unless_somebody_reads(path: Path, monkeypatch, is_read: bool):
    let_go: list[str] = []
    monkeypatch.setattr(store_module, "forget_blocks", lambda connection, limit: let_go.append(limit))
    monkeypatch.setattr(store_module, "give_back", lambda: let_go.append("checkpoint"))
    store = Store(path, replace(QUICK, checkpoint_s=0.0))
    with store.reader() if is_read else nullcontext():
        store.put(some_minutes(1, symbols=2)[0])
        until(lambda: "checkpoint" in let_go)
    first = let_go[: let_go.index("checkpoint")]
    store.close()
    assert first == ([] if is_read else [QUICK.memory_limit])


def test_a_store_may_begin_at_a_later_link(path: Path):
    minutes = some_minutes(8, symbols=2)
    store = Store(path, QUICK, first_link=3)
    for minute in minutes[3:]:
        store.put(minute)

    status = store.close()
    assert (status.holes, status.last_link) == (0, 7)
    assert write(path, minutes[3:]).links_skipped == 5


def ask_open(store: Store, sql: str) -> list[Any]:
    with store.reader() as connection:
        return connection.execute(sql).fetchall()


def until(holds: Callable[[], bool]) -> None:
    """Wait for the store's thread."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)
