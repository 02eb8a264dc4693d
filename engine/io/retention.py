"""The disk a session lives on: what it holds, how fast that grows, what is removed so that it never fills.

A size cap and an age for the journal, an age for rows, both for logs. (For signals too, which engine/app/beside.py
removes.) Of the journal only what a key frame stands in for is removed (engine/io/pruning.py), so a replay of the rest
is always possible. Where the disk itself gets short, more of the journal goes than the cap asks for; at the very end
the store has to wait, and only the journal writes.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from config.folder import Retention as Limits
from engine.core.errors import JournalError
from engine.io import status
from engine.io.disk import OS_DISK, Disk, read_all
from engine.io.journal_reader import SegmentFile
from engine.io.pruning import keep_key_frame, kept_segments, key_frames, prune, removable, size_of, state_name, sweep
from engine.io.session import LOGS, STORE
from engine.io.states import SUFFIX

GIB, MIB = 1 << 30, 1 << 20
DAY_S = 86_400.0
KEY_FRAMES = 32  # about so many stand over a full journal, so pruning takes away a thirty-second of it at a time
KEY_FRAME_BYTES = MIB // 4, GIB  # of journal between two of them, least and most
RATE_S = 600.0, DAY_S  # a growth is told from that long a measurement on; older samples are forgotten
LOG_IN_USE_S = 3600.0  # a log written to within it may still be open


@dataclass(frozen=True, slots=True)
class DiskUse:
    """One look. removed_bytes: by this process. trouble: what could not be looked at or removed, or empty."""

    state: Literal["green", "amber", "red"]
    free_bytes: int
    total_bytes: int
    journal_bytes: int
    journal_bytes_max: int
    store_bytes: int
    logs_bytes: int
    growth_bytes_per_day: float | None
    removed_bytes: int
    trouble: str = ""

    @property
    def days_left(self) -> float | None:
        """Until the disk is full at the measured rate, if nothing is removed."""
        growth = self.growth_bytes_per_day
        return self.free_bytes / growth if growth and growth > 0 else None

    def facts(self) -> status.Disk:
        return {
            "state": self.state,
            "free_bytes": self.free_bytes,
            "total_bytes": self.total_bytes,
            "journal_bytes": self.journal_bytes,
            "journal_bytes_max": self.journal_bytes_max,
            "store_bytes": self.store_bytes,
            "logs_bytes": self.logs_bytes,
            "growth_bytes_per_day": self.growth_bytes_per_day,
            "days_left": self.days_left,
            "removed_bytes": self.removed_bytes,
            "trouble": self.trouble,
        }


UNKNOWN = DiskUse("amber", 0, 0, 0, 0, 0, 0, None, 0)  # a disk that was never looked at with success


class Retention:
    """`look` is to be called about once a minute, from one thread that is not the event loop's.

    now_ns: UTC of the run's clock, by which ages are judged. forget_rows: told the close (ms UTC) before which rows
    may go. hold_store: told whether the store must wait because the disk is nearly full. report(kind, detail): what a
    person should read: journal_pruned, disk_amber, disk_red, disk_green. removed_bytes: in this process; whoever
    removes something beside it, between two looks, adds to it.
    """

    def __init__(
        self, session: Path, journal: Path, limits: Limits, *, now_ns: Callable[[], int],
        forget_rows: Callable[[int], None] | None = None, hold_store: Callable[[bool], None] | None = None,
        report: Callable[[str, dict[str, str]], None] | None = None, disk: Disk = OS_DISK,
        space: Callable[[Path], tuple[int, int]] | None = None, monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._session, self._journal, self._limits, self._disk = session, journal, limits, disk
        self._now_ns, self._monotonic_s, self._space = now_ns, monotonic_s, space or _space
        self._forget_rows = forget_rows or (lambda _before_ms: None)
        self._hold_store = hold_store or (lambda _hold: None)
        self._report = report or (lambda _kind, _detail: None)
        self._samples: deque[tuple[float, int]] = deque()  # (s, bytes produced so far)
        self.removed_bytes = self._removed_journal_bytes = 0
        self._forgotten_s = -DAY_S
        self._swept = False
        self.use: DiskUse | None = None  # of the last look

    def look(self) -> DiskUse:
        """Measure, keep a key frame, remove what is over. Never raises for the disk: `trouble` says what is wrong."""
        trouble = ""
        try:
            self._tidy()
        except (OSError, JournalError) as error:
            trouble = str(error)
        try:
            use = self._measure(trouble)
        except OSError as error:
            known = self.use or UNKNOWN
            use = replace(known, state="red" if known.state == "red" else "amber", trouble=trouble or str(error))
        before, self.use = self.use.state if self.use else "green", use
        if use.state != before:
            self._hold_store(use.state == "red")
            detail = {"free_bytes": str(use.free_bytes), "total_bytes": str(use.total_bytes)}
            self._report(f"disk_{use.state}", detail | ({"error": use.trouble} if use.trouble else {}))
        return use

    # What is removed.

    def _tidy(self) -> None:
        if not self._swept:
            sweep(self._disk, self._journal)
            self._swept = True
        self._keep_key_frame()
        self._prune_journal()
        self._prune_logs()
        if self._monotonic_s() - self._forgotten_s >= DAY_S:
            self._forgotten_s = self._monotonic_s()
            self._forget_rows(self._now_ns() // 1_000_000 - int(self._limits.store_days_max * DAY_S * 1000))

    def _keep_key_frame(self) -> None:
        """The newest state of the session, if enough journal came since the last key frame."""
        states = self._disk.list(self._session / "state") if (self._session / "state").is_dir() else []
        seqs = [int(name[:20]) for name in states if name.endswith(SUFFIX) and name[:20].isdigit()]
        newest = max(key_frames(self._disk, self._journal), default=-1)
        if not seqs or max(seqs) <= newest:
            return
        since = sum(size for first_seq, size in self._segments() if first_seq > newest)
        least, most = KEY_FRAME_BYTES
        if since >= min(max(self._journal_bytes_max() / KEY_FRAMES, least), most):
            content = read_all(self._disk, self._session / "state" / state_name(max(seqs)))
            keep_key_frame(self._disk, self._journal, max(seqs), content)

    def _prune_journal(self) -> None:
        total, free = self._space(self._journal)
        used = self._journal_bytes()
        over = max(used - self._journal_bytes_max(), self._amber_bytes(total) - free, 0)
        old_ns = self._now_ns() - int(self._limits.journal_days_max * DAY_S * 1e9)
        chosen, nbytes = None, 0
        for seq, segments in removable(self._disk, self._journal):
            if nbytes >= over and not self._all_older(segments[-1], old_ns):
                break
            chosen = seq, segments
            nbytes = sum(size_of(self._disk, self._journal / name) for name in segments)
        if chosen:
            seq, segments = chosen
            removed = prune(self._disk, self._journal, seq, segments)
            self.removed_bytes += removed
            self._removed_journal_bytes += removed
            detail = {"segments": str(len(segments)), "bytes": str(removed), "replay_begins_behind_seq": str(seq)}
            self._report("journal_pruned", detail)

    def _all_older(self, name: str, than_ns: int) -> bool:
        """Whether a sealed segment, and so those before it, was received before that time."""
        with SegmentFile(self._disk, self._journal / name) as segment:
            return segment.footer is not None and segment.footer.greatest_recv_ns < than_ns

    def _prune_logs(self) -> None:
        """Oldest first; never one that may still be written."""
        files = sorted(self._files(self._session / LOGS), key=lambda path: path.stat().st_mtime)
        total, now_s = sum(path.stat().st_size for path in files), time.time()
        for path in files:
            facts = path.stat()
            age_s = now_s - facts.st_mtime
            wanted = total > self._limits.logs_mib_max * MIB or age_s > self._limits.logs_days_max * DAY_S
            if wanted and age_s > LOG_IN_USE_S:
                path.unlink()
                total -= facts.st_size
                self.removed_bytes += facts.st_size

    # What there is.

    def _measure(self, trouble: str) -> DiskUse:
        total, free = self._space(self._journal)
        journal_bytes = 0
        try:
            journal_bytes = self._journal_bytes()
        except (OSError, JournalError) as error:
            trouble = trouble or str(error)
        store_bytes = sum(map(_size, self._session.glob(f"{STORE}*")))
        logs_bytes = sum(map(_size, self._files(self._session / LOGS)))
        growth = self._growth(journal_bytes + self._removed_journal_bytes + store_bytes + logs_bytes)
        state: Literal["green", "amber", "red"] = "green"
        if free < self._amber_bytes(total) or trouble:
            state = "amber"
        if free < self._limits.red_free_gib * GIB:
            state = "red"
        return DiskUse(
            state, free, total, journal_bytes, self._journal_bytes_max(), store_bytes, logs_bytes, growth,
            self.removed_bytes, trouble,
        )  # fmt: skip

    def _growth(self, produced: int) -> float | None:
        """Bytes a day. A segment counts as it lies there: first plain, then sealed; over a few of them it evens out."""
        now_s = self._monotonic_s()
        least, most = RATE_S
        self._samples.append((now_s, produced))
        while now_s - self._samples[0][0] > most:
            self._samples.popleft()
        begun_s, before = self._samples[0]
        return (produced - before) / (now_s - begun_s) * DAY_S if now_s - begun_s >= least else None

    def _segments(self) -> list[tuple[int, int]]:
        """First seq and size of each segment."""
        names = kept_segments(self._disk, self._journal)
        return [(int(name[:20]), size_of(self._disk, self._journal / name)) for name in names]

    def _journal_bytes(self) -> int:
        frames = key_frames(self._disk, self._journal)
        states = sum(size_of(self._disk, self._journal / state_name(seq)) for seq in frames)
        return states + sum(size for _, size in self._segments())

    def _journal_bytes_max(self) -> int:
        return int(self._limits.journal_gib_max * GIB)

    def _amber_bytes(self, total: int) -> int:
        return int(max(self._limits.amber_free_gib * GIB, self._limits.amber_free_pct / 100 * total))

    def _files(self, folder: Path) -> list[Path]:
        return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def _size(path: Path) -> int:
    """Of a file; 0 once it is gone, as DuckDB's log is behind each checkpoint."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _space(folder: Path) -> tuple[int, int]:
    """Bytes in all and bytes free of the disk a folder is on."""
    found = shutil.disk_usage(folder)
    return found.total, found.free
