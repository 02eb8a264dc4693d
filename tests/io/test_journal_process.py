"""The journal on a real disk: a real limit, locks, threads and modes; for real kills see tests/replay/test_chaos.py."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from engine.core.errors import JournalError
from engine.core.records import iterate
from engine.io.journal_reader import JournalReader
from engine.io.journal_writer import JournalWriter, journal_header

HEADER = {"origin": "simulated"}
ROOT = Path(__file__).parents[2]

# Writes until the limit on file sizes stops it, lifts the limit, and goes on.
LIMITED = """
import resource, sys
from engine.io.journal_writer import JournalFull, JournalWriter
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
writer = JournalWriter(sys.argv[1], header={"origin": "simulated"})
try:
    for seq in range(5_000):
        writer.append(5, seq % 7, seq * 1000, b"%d " % seq * (seq % 40))
        if seq % 100 == 99:
            acknowledged = writer.commit()
except JournalFull as error:
    print(error)
print("full", acknowledged, writer.durable_seq)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
for seq in range(seq + 1, 5_000):
    writer.append(5, seq % 7, seq * 1000, b"%d " % seq * (seq % 40))
writer.close()
"""


def child(program: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def assert_records(folder: Path) -> int:
    """Every record is the one the child programs write; returns the last seq."""
    seq = -1
    for batch in JournalReader(folder).batches():
        for one in iterate(batch):
            seq += 1
            assert (one.seq, one.source, one.recv_ns) == (seq, seq % 7, seq * 1000)
            assert one.payload == b"%d " % seq * (seq % 40)
    return seq


def test_a_limit_on_file_sizes_is_a_full_disk(tmp_path: Path) -> None:
    process = child(LIMITED, tmp_path / "journal")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0

    sentence, figures = output.splitlines()
    assert "File too large; free space" in sentence
    _, acknowledged, durable = figures.split()
    assert 99 <= int(acknowledged) == int(durable) < 4_999
    assert assert_records(tmp_path / "journal") == 4_999


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    with JournalWriter(folder, header=HEADER):
        with pytest.raises(JournalError, match="stop the other writer"):
            JournalWriter(folder, header=HEADER)
        other = subprocess.run(
            [sys.executable, "-m", "replay.chaos.victim", "journal", str(folder)], cwd=ROOT,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert other.returncode == 1
        assert "stop the other writer" in other.stderr
    JournalWriter(folder, header=HEADER).close()


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder, mask = tmp_path / "journal", os.umask(0)
    try:
        writer = JournalWriter(folder, header=HEADER, segment_bytes=100)
        for seq in range(20):
            writer.append(5, 0, seq, bytes(50))
            writer.commit()
    finally:
        os.umask(mask)
    modes = set()
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # the writer's thread gives the segment it prepared its name
            modes.add(stat.S_IMODE(path.stat().st_mode))
    writer.close()
    modes.update(stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir())

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert modes == {0o600}


def test_append_commit_and_read_at_the_same_time(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "journal", header=HEADER, segment_bytes=50_000, block_bytes=2_000)
    writer.append(5, 0, 0, b"")
    writer.commit()
    done = threading.Event()
    failures: list[BaseException] = []

    def commits() -> None:
        try:
            while not done.is_set():
                writer.commit()
                time.sleep(0.001)
        except BaseException as error:
            failures.append(error)

    committer = threading.Thread(target=commits)
    committer.start()
    reads = 0
    for seq in range(1, 20_000):
        writer.append(5, seq % 7, seq * 1000, b"%d " % seq * (seq % 40))
        if seq % 2_000 == 0:
            durable = writer.durable_seq
            assert assert_records(tmp_path / "journal") >= durable
            reads += 1
    done.set()
    committer.join()
    writer.close()

    assert not failures
    assert reads == 9
    assert assert_records(tmp_path / "journal") == 19_999
    assert all(segment.sealed for segment in JournalReader(tmp_path / "journal").check().info.segments)


def test_the_header_tells_where_records_come_from(tmp_path: Path) -> None:
    with JournalWriter(tmp_path / "journal", header=journal_header("imported", "c0ffee")) as writer:
        writer.append(8, 0, 0, b"")
    header = JournalReader(tmp_path / "journal").header

    assert header["origin"] == "imported"
    assert header["config_digest"] == "c0ffee"
    assert set(header["versions"]) == {"python", "numpy", "numba", "conveyor"}
    assert len(header["schema_digest"]) == len(header["kernel_digest"]) == 64
    assert header["cpu"]
    assert (header["first_seq"], header["previous_crc"]) == (0, 0)


def test_reading_opens_no_file_for_longer_than_a_call(tmp_path: Path) -> None:
    with JournalWriter(tmp_path / "journal", header=HEADER, segment_bytes=500) as writer:
        for seq in range(50):
            writer.append(5, seq % 7, seq * 1000, b"%d " % seq * (seq % 40))
    before = len(os.listdir("/proc/self/fd"))
    reader = JournalReader(tmp_path / "journal")
    reader.check()
    for _ in reader.batches(from_seq=20):
        pass
    next(reader.batches()).nbytes  # noqa: B018
    assert len(os.listdir("/proc/self/fd")) == before
