"""A journal made of records: its epoch, its ticks, its limits, and that it is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.schema import Core
from engine.core.errors import ConfigError, FeedError
from engine.core.records import RecordKind
from engine.io.journal_reader import JournalReader
from replay.recording import Message, record, sized
from tests.io.journals import records_in

START_NS = 1_700_000_000_000_000_000  # a multiple of 200 ms
FRAME, TICK, CONFIG = int(RecordKind.FRAME), int(RecordKind.TICK), int(RecordKind.CONFIG)
MS = 1_000_000


def frames(*offsets_ms: float) -> list[Message]:
    return [(START_NS + int(ms * MS), 1, FRAME, b"%d" % i) for i, ms in enumerate(offsets_ms)]


def shape(folder: Path) -> list[tuple[str, float]]:
    """(kind, ms after the start) of each record."""
    return [(RecordKind(one.kind).name, (one.recv_ns - START_NS) / MS) for one in records_in(folder)]


def test_a_tick_stands_before_what_came_at_or_after_it_and_none_after_the_last_record(tmp_path):
    record(tmp_path / "j", frames(10, 199, 200, 650), origin="imported", core=Core())

    assert shape(tmp_path / "j") == [
        ("CONFIG", 10), ("FRAME", 10), ("FRAME", 199), ("TICK", 200), ("FRAME", 200), ("TICK", 400), ("TICK", 600),
        ("FRAME", 650),
    ]  # fmt: skip


def test_the_journal_begins_with_the_epoch_and_says_where_it_comes_from(tmp_path):
    core = Core()
    summary = record(tmp_path / "j", frames(0, 1), origin="simulated", core=core)

    records = records_in(tmp_path / "j")
    assert [one.seq for one in records] == list(range(4))
    assert (records[0].kind, records[0].source, records[0].payload) == (CONFIG, 0, core.encode())
    header = JournalReader(tmp_path / "j").header
    assert header["origin"] == "simulated"
    assert header["config_digest"] == summary.core.digest()
    assert (summary.records, summary.kinds) == (4, {"CONFIG": 1, "FRAME": 2, "TICK": 1})


def test_a_receive_time_that_runs_backwards_is_set_to_the_newest_and_counted(tmp_path):
    summary = record(tmp_path / "j", frames(100, 50, 101, 99, 102), origin="imported", core=Core())

    assert summary.clamped == 2
    assert [ms for kind, ms in shape(tmp_path / "j") if kind == "FRAME"] == [100, 100, 101, 101, 102]


def test_limits_are_raised_to_what_comes_and_never_lowered(tmp_path):
    assert sized(Core(), 3, 1) == Core()
    assert sized(Core(), 65, 32).limits.symbols_max == 80
    assert sized(Core(), 65, 32).limits.connections_max == 40
    with pytest.raises(ConfigError, match="several journals"):
        sized(Core(), 1025, 1)

    instruments = [(START_NS, 0, int(RecordKind.INSTRUMENT), b"{}")] * 70
    summary = record(tmp_path / "j", [*instruments, *frames(1)], origin="simulated", core=Core())

    assert summary.core.limits.symbols_max == 80
    assert Core.decode(records_in(tmp_path / "j")[0].payload) == summary.core
    assert summary.kinds["INSTRUMENT"] == 70


def test_a_clock_that_jumps_by_more_than_a_week_is_refused_instead_of_filled_with_ticks(tmp_path):
    with pytest.raises(FeedError, match="seven days"):
        record(tmp_path / "j", frames(0, 8 * 86_400_000), origin="imported", core=Core())

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError("the source broke"), KeyboardInterrupt()])
def test_a_journal_is_there_whole_or_not_at_all(tmp_path, error):
    def breaking():
        yield from frames(*range(0, 5000, 10))
        raise error

    with pytest.raises(type(error)):
        record(tmp_path / "j", breaking(), origin="imported", core=Core())

    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_into_a_folder_that_holds_something(tmp_path):
    record(tmp_path / "new" / "j", frames(0), origin="imported", core=Core())
    before = records_in(tmp_path / "new" / "j")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="already holds a journal"):
        record(tmp_path / "new" / "j", frames(1), origin="imported", core=Core())
    with pytest.raises(ConfigError, match="is not a folder"):
        record(tmp_path / "file", frames(1), origin="imported", core=Core())
    record(tmp_path / "empty", frames(1), origin="imported", core=Core())

    assert records_in(tmp_path / "new" / "j") == before
    assert len(records_in(tmp_path / "empty")) == 2


def test_nothing_to_record_is_an_error(tmp_path):
    with pytest.raises(FeedError, match="nothing to record"):
        record(tmp_path / "j", [], origin="imported", core=Core())


def test_progress_tells_every_record_once(tmp_path):
    told: list[int] = []
    summary = record(tmp_path / "j", frames(*range(0, 1000, 7)), origin="imported", core=Core(), progress=told.append)

    assert sum(told) == summary.records
