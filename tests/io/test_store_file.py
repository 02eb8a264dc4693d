"""The file of a store: private, compact, begun anew where it is damaged, and no larger in memory than it has to be."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from bench.live.soak import heap_bytes
from engine.core.effects import MinuteRows
from engine.io import store as store_module
from engine.io.columns import digests_to_arrow
from engine.io.database import Appender, connect, forget_blocks, prepare
from engine.io.store import Store
from tests.io.hand_minutes import some_minutes
from tests.io.stores import QUICK, Told, links, until, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.duckdb"


# --- modes and room ---------------------------------------------------------------------------------------------------


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


def test_a_batch_with_the_same_columns_in_other_types_of_arrow_is_appended_as_well(path: Path):
    connection = connect(path)
    assert prepare(connection)
    appender, (first, second) = Appender(connection), map(digests_to_arrow, [[one] for one in some_minutes(2)])
    appender.append({"digests": first})
    wider = pa.schema([f.with_type(pa.large_string()) if f.type == pa.string() else f for f in second.schema])
    assert wider != first.schema
    appender.append({"digests": second.cast(wider)})
    appender.append({"digests": first})
    links = connection.execute("SELECT link FROM digests ORDER BY link").fetchall()
    connection.close()

    assert links == [(0,), (0,), (1,)]


# --- checkpoints, and blocks that are let go --------------------------------------------------------------------------


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

    until(lambda: not path.with_name("store.duckdb.wal").exists() and path.stat().st_size > 100_000)
    store.close()


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
    assert after[0] < 1_000_000 < before[0]
    assert connection.execute("SELECT current_setting('memory_limit')").fetchone() == ("122.0 MiB",)
    assert connection.execute("SELECT sum(c7) FROM wide").fetchone() == total


@pytest.mark.skipif(heap_bytes() == 0, reason="only glibc tells what it has given out")
def test_queries_leave_nothing_in_memory_once_blocks_are_let_go(path: Path):
    connection = connect(path, "128MB", confined=True, locked=False)
    connection.execute("CREATE TABLE t AS SELECT range % 50 AS a, random() AS b FROM range(10000)")
    connection.execute("CHECKPOINT")
    asked, given_out = "SELECT a, max(b) FROM t JOIN (SELECT DISTINCT a FROM t) USING (a) GROUP BY a", []
    for _ in range(4):
        for _ in range(40):
            connection.execute(asked).fetchall()
        connection.execute("INSERT INTO t SELECT 1, 1.0")
        forget_blocks(connection, "128MB")
        given_out.append(heap_bytes())

    assert given_out[-1] - given_out[1] < 100_000  # it was three times that


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


# --- damaged, of another layout, removed ------------------------------------------------------------------------------


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
