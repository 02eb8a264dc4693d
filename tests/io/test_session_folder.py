"""The session folder: what stands in it, who may write into it, and how a cut one is continued."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

from engine.core.effects import Effect, Event, MinuteRows, SnapshotNeeded
from engine.core.errors import ConfigError, InvariantError
from engine.io.columns import rows_to_arrow
from engine.io.disk import OsDisk
from engine.io.session import SessionIncompleteError, SessionWriter, rebuild_store
from engine.io.session_reader import SessionReader
from tests.io.hand_minutes import chained, some_journal, some_minutes, some_rows

ROOT = Path(__file__).resolve().parents[2]
START = 1_723_161_600_000_000_000


def effects_of(minutes: list[MinuteRows]) -> list[Effect]:
    """Each minute with an event before it."""
    return [
        effect
        for minute in minutes
        for effect in (Event(minute.cause_seq, START, "closed", minute.venue, "", {"link": minute.link}), minute)
    ]


def write(folder: Path, minutes: list[MinuteRows], complete: bool = True, **options: Any) -> None:
    writer = SessionWriter(folder, origin="replay", now_ns=lambda: START, **options)
    writer.perform(effects_of(minutes))
    writer.close(complete)


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (folder / name).read_bytes().splitlines()]


def test_a_session_holds_manifest_digests_events_store_and_logs(tmp_path: Path):
    minutes, folder = some_minutes(8), tmp_path / "session"
    journal = some_journal(tmp_path / "journal", minutes)

    write(folder, minutes, journal=journal, config_digest="c0")

    assert sorted(path.name for path in folder.iterdir()) == [
        "config_history.jsonl", "digests.jsonl", "events.jsonl", "logs", "manifest.json", "store.duckdb",
    ]  # fmt: skip
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    assert manifest["format"] == 1
    assert (manifest["complete"], manifest["chain"], manifest["config_digest"]) == (True, minutes[-1].chain, "c0")
    counts = manifest["counts"]
    assert (counts["links"], counts["minutes"], counts["rows"], counts["events"]) == (8, 6, 24, 8)
    assert sum(counts["revisions"].values()) == 24
    assert manifest["journal"]["relative"] == "../journal"
    assert manifest["store"] == {"links": 8, "missing_links": 0, "errors": 0, "last_error": "", "rebuild": ""}
    assert manifest["started"] == manifest["ended"] == "2024-08-09T00:00:00.000Z"
    assert set(manifest["versions"]) == {"python", "numpy", "numba", "duckdb", "pyarrow", "conveyor"}
    assert SessionReader(folder).origin == "simulated"
    assert SessionReader(folder).journal().resolve() == journal


def test_everything_in_the_folder_is_private(tmp_path: Path):
    write(tmp_path / "session", some_minutes(2))

    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "session").iterdir()}
    assert modes.pop("logs") == 0o700
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "session").stat().st_mode & 0o777 == 0o700


def test_digest_lines_count_revisions_and_states(tmp_path: Path):
    minutes = some_minutes(4)
    write(tmp_path / "session", minutes)

    found = list(SessionReader(tmp_path / "session").digests())

    assert [line.rev for line in found] == [0, 0, 0, 1]
    assert [line.chain for line in found] == [minute.chain for minute in minutes]
    assert [line.stages for line in found] == [minute.digests for minute in minutes]
    assert all(sum(line.status.values()) == line.symbols == 3 for line in found)
    assert found[0].label == "2024-08-08 23:57"


def test_snapshot_requests_stand_among_the_events(tmp_path: Path):
    writer = SessionWriter(tmp_path / "session", origin="live")
    writer.perform([SnapshotNeeded(5, "binance_usdm", "BTCUSDT", "gap")])
    writer.close()

    found = lines(tmp_path / "session", "events.jsonl")
    assert [(line["cause_seq"], line["kind"], line["symbol"], line["detail"]) for line in found] == [
        (5, "snapshot_needed", "BTCUSDT", {"reason": "gap"})
    ]


def test_a_complete_session_is_not_written_again_unless_told(tmp_path: Path):
    folder = tmp_path / "session"
    write(folder, some_minutes(4))

    with pytest.raises(ConfigError, match="complete session; give a new folder, or replay with --force"):
        SessionWriter(folder, origin="replay")
    write(folder, some_minutes(2), overwrite=True)

    assert SessionReader(folder).manifest["counts"]["links"] == 2
    assert len(lines(folder, "events.jsonl")) == 2


def test_a_cut_session_is_continued_to_the_same_bytes(tmp_path: Path):
    minutes = some_minutes(9)
    write(tmp_path / "whole", minutes)

    write(tmp_path / "cut", minutes[:5], complete=False)
    with open(tmp_path / "cut" / "digests.jsonl", "ab") as file:
        file.write(b'{"link":5,"venu')
    write(tmp_path / "cut", minutes)

    for name in ("digests.jsonl", "events.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    manifests = [SessionReader(tmp_path / name).manifest for name in ("whole", "cut")]
    assert manifests[0] == manifests[1]
    with SessionReader(tmp_path / "cut") as cut, SessionReader(tmp_path / "whole") as whole:
        assert cut.rows(0, 8).equals(whole.rows(0, 8))


def test_a_cut_session_may_be_continued_from_its_last_link(tmp_path: Path):
    minutes = some_minutes(6)
    write(tmp_path / "session", minutes[:4], complete=False)

    write(tmp_path / "session", minutes[3:])

    assert [line.rev for line in SessionReader(tmp_path / "session").digests()] == [0, 0, 0, 1, 0, 0]


def test_another_runs_minutes_are_refused(tmp_path: Path):
    write(tmp_path / "session", some_minutes(3), complete=False)
    writer = SessionWriter(tmp_path / "session", origin="replay")

    with pytest.raises(InvariantError, match=r"link 0 \(binance_usdm, 2024-08-08 23:57\) has chain .* another run"):
        writer.perform(some_minutes(3, seed=8))
    writer.close(complete=False)


def test_a_link_may_not_be_left_out(tmp_path: Path):
    writer = SessionWriter(tmp_path / "session", origin="replay")

    with pytest.raises(InvariantError, match="link 2 follows link -1"):
        writer.perform([chained(2, some_rows(1, seed=1))])
    writer.close(complete=False)


def test_another_journal_or_configuration_is_refused(tmp_path: Path):
    minutes = some_minutes(2)
    one, two = (some_journal(tmp_path / name, minutes, name) for name in ("simulated", "imported"))
    write(tmp_path / "session", minutes, complete=False, journal=one, config_digest="c0")

    with pytest.raises(ConfigError, match="unfinished session of the journal"):
        SessionWriter(tmp_path / "session", origin="replay", journal=two, config_digest="c0")
    with pytest.raises(ConfigError, match="config_digest"):
        SessionWriter(tmp_path / "session", origin="replay", journal=one, config_digest="c1")


def test_two_writers_never_share_a_folder(tmp_path: Path):
    writer = SessionWriter(tmp_path / "session", origin="replay")

    with pytest.raises(ConfigError, match="being written by another process"):
        SessionWriter(tmp_path / "session", origin="replay")
    writer.close()


def test_an_exception_leaves_the_session_incomplete(tmp_path: Path):
    def cut_short() -> None:
        with SessionWriter(tmp_path / "session", origin="replay") as writer:
            writer.perform(some_minutes(1))
            raise KeyError

    with pytest.raises(KeyError):
        cut_short()

    manifest = SessionReader(tmp_path / "session").manifest
    assert (manifest["complete"], manifest["counts"]["links"]) == (False, 1)


KILLED = """
import sys, time
from pathlib import Path
from engine.io.session import SessionWriter
from tests.io.hand_minutes import some_minutes
minutes = some_minutes(200)
writer = SessionWriter(Path(sys.argv[1]), origin="replay")
for minute in minutes:
    writer.perform([minute])
    print(minute.link, flush=True)
    time.sleep(0.004)
"""


def test_a_killed_writer_leaves_a_session_that_can_be_continued(tmp_path: Path):
    folder, minutes = tmp_path / "session", some_minutes(200)
    for link in (20, 90):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=-1, text=True, cwd=ROOT)
        assert process.stdout is not None
        assert any(int(line) == link for line in process.stdout)
        process.kill()
        process.communicate()

    cut = [line.chain for line in SessionReader(folder).digests()]
    with SessionWriter(folder, origin="replay") as writer:
        writer.perform(minutes)

    assert cut == [minute.chain for minute in minutes[: len(cut)]]
    assert 91 <= len(cut) < 200
    assert [line.chain for line in SessionReader(folder).digests()] == [minute.chain for minute in minutes]
    with SessionReader(folder) as session:
        assert session.rows(0, 199).equals(
            pa.Table.from_batches([rows_to_arrow(minutes)]).cast(session.rows(0, 0).schema)
        )


class FullDisk(OsDisk):
    """Takes half of each write, and nothing while full."""

    full = False

    def write(self, handle: int, data: bytes | memoryview) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(handle, data[: len(data) // 2 + 1])


def test_a_full_disk_delays_lines_and_tears_none(tmp_path: Path):
    disk, minutes = FullDisk(), some_minutes(6)
    writer = SessionWriter(tmp_path / "session", origin="replay", disk=disk)
    for minute in minutes:
        disk.full = minute.link in (2, 3)
        writer.perform([minute])
    writer.close()

    assert [line.chain for line in SessionReader(tmp_path / "session").digests()] == [
        minute.chain for minute in minutes
    ]


def test_a_disk_that_stays_full_is_told_at_the_end(tmp_path: Path):
    disk = FullDisk()
    writer = SessionWriter(tmp_path / "session", origin="replay", disk=disk)
    disk.full = True
    writer.perform(some_minutes(2))

    with pytest.raises(
        SessionIncompleteError, match="No space left on device; free space on the disk, then replay again"
    ):
        writer.close()
    assert SessionReader(tmp_path / "session").complete is False


def test_a_damaged_store_is_told_among_the_events_and_rebuilt(tmp_path: Path):
    minutes, folder = some_minutes(6), tmp_path / "session"
    write(folder, minutes[:4], complete=False)
    (folder / "store.duckdb").write_bytes(b"no database" * 1000)
    write(folder, minutes[3:])
    kinds = [line["kind"] for line in lines(folder, "events.jsonl")]
    stored = SessionReader(folder).manifest["store"]

    status = rebuild_store(folder, lambda: effects_of(minutes))

    assert kinds.count("store_set_aside") == 1
    assert stored["missing_links"] == 3
    assert "conveyor store rebuild" in stored["rebuild"]
    assert (status.links_written, status.rows_written) == (6, 18)
    with SessionReader(folder) as session:
        assert session.row_count() == 18
        assert session.manifest["store"]["missing_links"] == 0


def test_a_store_that_lost_its_end_is_told(tmp_path: Path):
    minutes, folder = some_minutes(6), tmp_path / "session"
    write(folder, minutes[:4], complete=False)
    (folder / "store.duckdb").unlink()

    write(folder, minutes)

    found = [line for line in lines(folder, "events.jsonl") if line["kind"] == "store_behind"]
    assert [line["detail"]["links_expected"] for line in found] == ["4"]
    assert SessionReader(folder).manifest["store"]["missing_links"] == 0


def test_a_rebuild_from_another_journal_changes_nothing(tmp_path: Path):
    minutes, folder = some_minutes(4), tmp_path / "session"
    write(folder, minutes)
    before = (folder / "store.duckdb").read_bytes()

    with pytest.raises(InvariantError, match="link 0"):
        rebuild_store(folder, lambda: some_minutes(4, seed=9))
    with pytest.raises(SessionIncompleteError, match="2 links are missing; the journal ends before them"):
        rebuild_store(folder, lambda: minutes[:2])

    assert (folder / "store.duckdb").read_bytes() == before


def test_a_journal_may_move_with_its_session(tmp_path: Path):
    minutes = some_minutes(2)
    (tmp_path / "here").mkdir()
    some_journal(tmp_path / "here" / "journal", minutes)
    write(tmp_path / "here" / "session", minutes, journal=tmp_path / "here" / "journal")

    (tmp_path / "here").rename(tmp_path / "there")

    assert SessionReader(tmp_path / "there" / "session").journal().resolve() == tmp_path / "there" / "journal"
    (tmp_path / "there" / "journal").rename(tmp_path / "gone")
    with pytest.raises(ConfigError, match="put the journal back"):
        SessionReader(tmp_path / "there" / "session").journal()


def test_a_folder_that_is_no_session_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"has no manifest.json; give the folder of a session"):
        SessionReader(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b'{"format": 99}')
    with pytest.raises(ConfigError, match="format 99"):
        SessionReader(tmp_path)


def test_a_session_killed_before_its_manifest_was_written_begins_anew(tmp_path: Path):
    (tmp_path / "session").mkdir()
    (tmp_path / "session" / "digests.jsonl").touch()

    with SessionWriter(tmp_path / "session", origin="replay") as writer:
        assert writer.chain == ""

    (tmp_path / "session" / "manifest.json").unlink()
    (tmp_path / "session" / "digests.jsonl").write_text('{"link": 0}\n')
    with pytest.raises(ConfigError, match=r"has no manifest\.json beside digests\.jsonl"):
        SessionWriter(tmp_path / "session", origin="replay")
