"""What is removed from a session's folder and when, and what the disk is said to hold."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from config.folder import Retention as Limits
from engine.io.disk import OS_DISK
from engine.io.health import indicators
from engine.io.journal_reader import JournalReader
from engine.io.journal_writer import JournalWriter
from engine.io.pruning import kept_segments, key_frames, read_pruned
from engine.io.retention import MIB, Retention
from engine.io.states import StateFolder
from tests.io.journals import HEADER, append

TERABYTE = 10**12
LAST_NS = 59 * 20 * 10**9  # receive time of the journal's last record; they are 20 s apart


class Machine:
    """A session with a journal of 60 records in small segments, on a disk whose space is what a test says."""

    def __init__(self, folder: Path) -> None:
        self.session, self.journal = folder, folder / "journal"
        self.free, self.now_ns, self.now_s = TERABYTE // 2, LAST_NS, 0.0
        self.told: list[tuple[str, dict[str, str]]] = []
        self.held: list[bool] = []
        self.forgotten: list[int] = []
        with JournalWriter(self.journal, header=HEADER, segment_bytes=1_000, block_bytes=300, seal_behind=False) as w:
            for first in range(0, 60, 3):
                append(w, first, first + 2)
                w.commit()
        self.names = kept_segments(OS_DISK, self.journal)
        self.sizes = [(self.journal / name).stat().st_size for name in self.names]
        assert len(self.names) >= 4

    def state(self, seq: int) -> None:
        StateFolder(self.session / "state").save(seq, b"state")

    def keeper(self, **limits: Any) -> Retention:
        return Retention(
            self.session, self.journal, Limits(**limits), now_ns=lambda: self.now_ns,
            forget_rows=self.forgotten.append, hold_store=self.held.append,
            report=lambda kind, detail: self.told.append((kind, detail)),
            space=lambda _: (TERABYTE, self.free), monotonic_s=lambda: self.now_s,
        )  # fmt: skip

    @property
    def left(self) -> list[str]:
        return kept_segments(OS_DISK, self.journal)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr("engine.io.retention.KEY_FRAME_BYTES", (0, 0))
    monkeypatch.setattr("engine.io.retention.GIB", 1 << 20)  # so that a small journal is over a cap of 0.001
    (tmp_path / "session").mkdir()
    return Machine(tmp_path / "session")


def test_below_the_cap_nothing_is_removed_and_a_key_frame_is_kept(machine: Machine):
    machine.state(30)
    use = machine.keeper().look()

    assert machine.left == machine.names
    assert key_frames(OS_DISK, machine.journal) == [30]
    assert (use.state, use.removed_bytes, use.trouble) == ("green", 0, "")
    assert use.journal_bytes == sum(machine.sizes) + len(b"state")


def test_over_the_cap_the_oldest_segments_go_as_far_as_a_key_frame_stands_in_for_them(machine: Machine):
    machine.state(30)
    use = machine.keeper(journal_gib_max=0.001).look()

    begin = max(int(name[:20]) for name in machine.names if int(name[:20]) <= 31)
    pruned = read_pruned(OS_DISK, machine.journal)
    assert pruned is not None
    assert (pruned.first_seq, pruned.state_seq) == (begin, 30)
    assert machine.left == [name for name in machine.names if int(name[:20]) >= begin]
    assert use.removed_bytes == sum(machine.sizes) - (use.journal_bytes - len(b"state"))
    assert [kind for kind, _ in machine.told] == ["journal_pruned"]


def test_no_more_goes_than_the_cap_asks_for(machine: Machine):
    keeper = machine.keeper()
    for name in machine.names[1:]:
        machine.state(int(name[:20]) - 1)  # a key frame between any two segments
        keeper.look()
    limit = sum(machine.sizes) + 5 * len(machine.names[1:]) - machine.sizes[0] - 2  # one segment is not enough
    machine.keeper(journal_gib_max=limit / MIB).look()

    assert machine.left == machine.names[2:]
    assert JournalReader(machine.journal).check().info.records == 60 - int(machine.names[2][:20])


def test_what_no_state_stands_in_for_is_never_removed_however_full_the_disk(machine: Machine):
    machine.free = 0
    use = machine.keeper(journal_gib_max=0.001).look()

    assert machine.left == machine.names
    assert use.state == "red"


def test_the_last_segment_stays_even_if_a_state_stands_behind_it(machine: Machine):
    machine.state(59)
    machine.free = 0
    machine.keeper(journal_gib_max=0.001).look()

    assert machine.left == machine.names[-1:]


def test_a_short_disk_takes_more_than_the_cap(machine: Machine):
    machine.state(30)
    machine.free = 5 * MIB - 1
    assert machine.keeper(amber_free_gib=5, amber_free_pct=0).look().state == "amber"

    assert machine.left != machine.names
    assert "disk_amber" in [kind for kind, _ in machine.told]


def test_a_share_of_the_disk_counts_too(machine: Machine):
    machine.free = TERABYTE // 10 - 1
    assert machine.keeper().look().state == "amber"
    machine.free += 2
    assert machine.keeper().look().state == "green"


def test_at_the_very_end_the_store_waits_and_goes_on_when_there_is_room(machine: Machine):
    keeper = machine.keeper(amber_free_pct=0)
    for machine.free in (9 * MIB, MIB - 1, MIB - 2, 9 * MIB):
        keeper.look()

    assert machine.held == [True, False]
    assert [kind for kind, _ in machine.told] == ["disk_red", "disk_green"]


def test_age_alone_removes_too(machine: Machine):
    keeper = machine.keeper()
    for name in machine.names[1:]:
        machine.state(int(name[:20]) - 1)
        keeper.look()
    third_ns = int(machine.names[2][:20]) * 20 * 10**9  # first record of the third segment
    day_ns = 86_400 * 10**9
    machine.now_ns = third_ns + day_ns
    machine.keeper(journal_days_max=1).look()

    assert machine.left == machine.names[2:]


def test_rows_are_forgotten_once_a_day(machine: Machine):
    machine.now_ns = 100 * 86_400 * 10**9
    keeper = machine.keeper(store_days_max=90)
    for machine.now_s in (0.0, 60.0, 86_399.0, 86_401.0):
        keeper.look()

    assert machine.forgotten == [10 * 86_400 * 1000] * 2


def test_old_logs_go_by_size_and_age_but_none_that_may_still_be_written(machine: Machine):
    logs = machine.session / "logs"
    logs.mkdir()
    day_s = 86_400
    for name, days, nbytes in (("a", 40, 10), ("b", 3, MIB), ("c", 2, MIB), ("d", 0, 3 * MIB)):
        (logs / name).write_bytes(bytes(nbytes))
        os.utime(logs / name, (0, time.time() - days * day_s))
    use = machine.keeper(logs_days_max=30, logs_mib_max=4).look()

    assert sorted(path.name for path in logs.iterdir()) == ["c", "d"]
    assert (use.logs_bytes, use.removed_bytes) == (4 * MIB, MIB + 10)


def test_days_left_follow_from_the_measured_growth(machine: Machine):
    keeper = machine.keeper()
    first = keeper.look()
    assert (first.growth_bytes_per_day, first.days_left) == (None, None)
    (machine.session / "store.duckdb").write_bytes(bytes(1000 * 100))
    machine.now_s = 3600.0
    use = keeper.look()

    assert use.growth_bytes_per_day == pytest.approx(24 * 100_000)
    assert use.days_left == pytest.approx(machine.free / 2_400_000)
    assert use.facts()["days_left"] == use.days_left


def test_what_is_removed_does_not_count_as_shrinking(machine: Machine):
    machine.state(30)
    keeper = machine.keeper(journal_gib_max=0.001)
    keeper.look()
    machine.now_s = 3600.0

    assert keeper.look().growth_bytes_per_day == 0


def test_a_crash_while_pruning_is_finished_by_the_next_process(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    machine.state(30)
    monkeypatch.setattr("engine.io.pruning.sweep", lambda disk, folder: None)  # the process ends before it
    machine.keeper(journal_gib_max=0.001).look()
    monkeypatch.undo()
    assert sorted(path.name for path in machine.journal.glob("*.seg")) == machine.names
    records = JournalReader(machine.journal).check().info.records

    machine.keeper().look()

    assert [path.name for path in sorted(machine.journal.glob("*.seg"))] == machine.left != machine.names
    assert JournalReader(machine.journal).check().info.records == records


def test_a_folder_that_cannot_be_read_is_trouble_and_no_exception(machine: Machine):
    (machine.journal / "pruned.json").write_bytes(b"{")
    use = machine.keeper().look()

    assert use.state == "amber"
    (told,) = [one for one in indicators({"disk": use.facts()}) if one.name == "disk"]
    assert "pruned.json" in told.words
    assert "pruned.json" in machine.told[-1][1]["error"]


def test_a_disk_that_cannot_be_measured_is_trouble_and_no_exception(machine: Machine):
    keeper = machine.keeper()
    free_bytes = keeper.look().free_bytes
    ask, keeper._space = keeper._space, dead
    use = keeper.look()
    assert (use.state, use.free_bytes) == ("amber", free_bytes)
    assert "Input/output error" in use.trouble

    keeper._space = ask
    assert (keeper.look().state, [kind for kind, _ in machine.told]) == ("green", ["disk_amber", "disk_green"])


def dead(folder: Path) -> tuple[int, int]:
    raise OSError(errno.EIO, os.strerror(errno.EIO), str(folder))
