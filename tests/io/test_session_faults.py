"""What chaos found in the session's files, each in its smallest form."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from engine.io.disk import OsDisk
from engine.io.outputs import LineFile
from engine.io.session import SessionWriter
from engine.io.session_reader import SessionReader
from engine.io.states import StateFolder
from replay.chaos.disk import MemoryDisk
from tests.io.hand_minutes import some_minutes

PATH = Path("folder/lines.jsonl")


def test_half_a_line_left_by_a_failed_write_is_cut_before_the_next() -> None:
    disk = MemoryDisk(how=errno.EIO)
    lines = LineFile(disk, PATH)
    disk.only, disk.fail_at, disk.calls = "write", 1, 0
    lines.append(b'{"n":1}')

    assert not lines.flush()
    assert disk.entries[PATH].data == b'{"n"'
    lines.append(b'{"n":2}')

    assert lines.close()
    assert disk.entries[PATH].data == b'{"n":1}\n{"n":2}\n'


def test_a_disk_that_takes_nothing_does_not_hold_up_the_engine() -> None:
    disk = MemoryDisk(how="short")
    lines = LineFile(disk, PATH)
    disk.write = lambda handle, data: 0  # type: ignore[method-assign]
    lines.append(b"1")

    assert not lines.flush()
    assert "No space left on device" in lines.error


def test_lines_behind_the_first_that_is_no_json_are_cut() -> None:
    for spoilt in (b"\0" * 40, b'{"n":\0\0\0\0\n{"n":4}\n', b"\x93garbage\n", b'{"n":3'):
        disk = MemoryDisk()
        lines = LineFile(disk, PATH)
        disk.entries[PATH].data += b'{"n":1}\n{"n":2}\n' + spoilt
        lines = LineFile(disk, PATH)

        assert lines.lines == [b'{"n":1}', b'{"n":2}']
        assert disk.entries[PATH].data == b'{"n":1}\n{"n":2}\n'


def test_a_failed_sync_is_not_forgotten_when_the_next_one_succeeds() -> None:
    disk = MemoryDisk(how=errno.EIO)
    lines = LineFile(disk, PATH)
    lines.append(b"1")
    disk.only, disk.fail_at, disk.calls = "fdatasync", 1, 0

    assert not lines.sync()
    assert not lines.sync()
    assert not lines.close()


def test_forgotten_states_stay_forgotten_and_so_do_their_drafts() -> None:
    disk, folder = MemoryDisk(seed=1), Path("folder")
    states = StateFolder(folder, disk)
    for seq in (1, 2):
        states.save(seq, b"state")
    disk.close(disk.create(folder / f"{3:020d}.state.tmp"))

    states.clear()
    disk.cut_power()

    assert disk.entries == {}


def test_links_of_which_the_store_lost_the_rows_are_fed_again(tmp_path: Path) -> None:
    folder, minutes = tmp_path / "session", some_minutes(6)
    for lost in ("nothing", "all"):
        writer = SessionWriter(folder, origin="replay", overwrite=True)
        writer.perform(minutes[:4])
        writer.store.drain()
        assert writer.links_behind == 4
        writer.close(complete=False)
        if lost == "all":
            (folder / "store.duckdb").unlink()

        writer = SessionWriter(folder, origin="replay")
        assert writer.links_behind == (0 if lost == "all" else 4)
        writer.perform(minutes[writer.links_behind :])
        writer.close()

        with SessionReader(folder) as session:
            assert session.manifest["store"]["missing_links"] == 0
            assert session.row_count() == 18


def test_a_store_set_aside_and_filled_again_needs_no_rebuild(tmp_path: Path) -> None:
    folder, minutes = tmp_path / "session", some_minutes(4)
    writer = SessionWriter(folder, origin="replay")
    writer.perform(minutes)
    writer.close(complete=False)
    (folder / "store.duckdb").write_bytes(b"no database" * 1000)

    with SessionWriter(folder, origin="replay") as writer:
        writer.perform(minutes)

    stored = SessionReader(folder).manifest["store"]
    assert (stored["missing_links"], stored["rebuild"]) == (0, "")


class NoState(OsDisk):
    """No room for a state snapshot."""

    def write(self, handle: int, data: bytes | memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_state_without_room_leaves_no_draft_and_names_the_file(tmp_path: Path) -> None:
    states = StateFolder(tmp_path / "state", NoState())
    with pytest.raises(OSError, match=rf"No space left on device: '.*{1:020d}\.state'"):
        states.save(1, b"state")
    assert list((tmp_path / "state").iterdir()) == []
