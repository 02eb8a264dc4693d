"""What a store is allowed, and what it tells of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How much may wait, how long, and when the file is made compact.

    queue_rows: rows that may wait. wait: a full queue makes `put` wait instead of dropping (never live), in trouble no
    longer than patience_s. checkpoint_rows: most rows written since the last checkpoint. checkpoint_s: after that long
    another one is made, as soon as nothing was written for idle_s.
    """

    queue_rows: int = 200_000
    wait: bool = True
    patience_s: float = 30.0
    retry_s_min: float = 0.2
    retry_s_max: float = 5.0
    checkpoint_rows: int = 25_000  # reached only by what is faster than the market: live the clock comes first
    checkpoint_s: float = 600.0
    idle_s: float = 5.0
    memory_limit: str = "128MB"  # DuckDB keeps what it wrote up to here; at 1GB it grew by 2 MiB an hour of 50 symbols


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What the store has done and what it could not do.

    last_link: greatest link in the file, -1 if none. dropped: links that never will be written by this process, with
    their rows; the first of them is named. trouble: why rows are waiting now; empty if they are not. rebuild: why
    `conveyor store rebuild` is needed; empty if it is not.
    """

    path: Path
    last_link: int = -1
    holes: int = 0
    links_written: int = 0
    rows_written: int = 0
    links_skipped: int = 0
    queued_links: int = 0
    queued_rows: int = 0
    dropped_links: int = 0
    dropped_rows: int = 0
    first_dropped_link: int = -1
    errors: int = 0
    last_error: str = ""
    trouble: str = ""
    rebuild: str = ""
    write_ms: float = 0.0
    closed: bool = False

    @property
    def missing_links(self) -> int:
        """Links given to this store that are not in the file."""
        return self.queued_links + self.dropped_links
