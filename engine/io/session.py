"""The SESSION folder, written: manifest, digest chain, events, store. docs/session.md shows the layout."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson

from engine.core.effects import ConfigVersion, Effect, Event, Link, SnapshotNeeded
from engine.core.errors import ConfigError, ConveyorError, InvariantError
from engine.core.minutes import label
from engine.core.schema import TIMEFRAME, Status
from engine.io.bus.ledger import DEAD, MESSAGES
from engine.io.config_history import HISTORY, line_of
from engine.io.database import log_of
from engine.io.digest_line import digest_line, timeframe_of
from engine.io.disk import OS_DISK, Disk, read_all
from engine.io.manifest import JournalReference, instant, journal_reference, provenance
from engine.io.outputs import LineFile, write_whole
from engine.io.store import REBUILD, Store, StoreLimits, StoreStatus

MANIFEST, DIGESTS, EVENTS, STORE, LOGS = "manifest.json", "digests.jsonl", "events.jsonl", "store.duckdb", "logs"
# The manifest last: it says whose the others are.
_OWN_FILES = (DIGESTS, EVENTS, HISTORY, STORE, f"{STORE}.wal", MESSAGES, DEAD, MANIFEST)


class SessionIncompleteError(ConveyorError):
    """Something that belongs into the session folder could not be written."""


class SessionWriter:
    """Performs effects into a folder. A folder whose session was cut short is continued: links and events that are
    there are compared or skipped, so the journal may be fed again from its beginning or from any later snapshot.

    origin: live, imported, simulated or replay. journal: folder of the journal, if there is one. config_digest: SHA-256
    hex of the configuration epoch. overwrite: start anew in a folder that holds a session. goes_on: the journal may
    grow later, as that of a live run; a complete session is then continued too, also under other settings. first_link:
    where a new session begins, if the beginning of its journal was removed. stored: as the store's.
    Raises ConfigError for a folder that must not be written, InvariantError for a link unlike the one on disk.
    """

    def __init__(
        self,
        folder: Path,
        *,
        origin: str,
        journal: Path | None = None,
        config_digest: str = "",
        overwrite: bool = False,
        goes_on: bool = False,
        first_link: int = 0,
        limits: StoreLimits | None = None,
        stored: Callable[[int], None] | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        disk: Disk = OS_DISK,
    ) -> None:
        self.folder, self._disk, self._now_ns = folder, disk, now_ns
        reference = journal_reference(journal, folder) if journal else None
        self._lock = _claim(folder, disk)
        store: Store | None = None
        try:
            self._manifest = provenance(origin, reference, config_digest) | {"first_link": first_link}
            self._begin(reference, overwrite, goes_on)
            self._digests = LineFile(disk, folder / DIGESTS)
            self._events = LineFile(disk, folder / EVENTS)
            self._history = LineFile(disk, folder / HISTORY)
            self._chains: list[str] = []
            self._counts: dict[str, Any] = {"links": 0, "minutes": 0, "rows": 0, "revisions": {}, "events": 0}
            self._counts["revisions"] = {status.name.lower(): 0 for status in Status}
            self._read_back()
            self.store = store = Store(folder / STORE, limits, self._store_event, stored, self.first_link)
            self._compare_store()
            self._save_manifest(complete=False, ended=None)
        except BaseException:
            if store is not None:
                store.close()
            disk.close(self._lock)
            raise

    @property
    def chain(self) -> str:
        """Chain value of the last link; empty before the first."""
        return self._chains[-1] if self._chains else ""

    @property
    def first_link(self) -> int:
        """Where the chain in this folder begins; 0 unless the journal's beginning had been removed."""
        return int(self._manifest["first_link"])

    @property
    def links(self) -> int:
        """The link that comes next."""
        return self.first_link + len(self._chains)

    @property
    def counts(self) -> dict[str, Any]:
        """links, minutes, rows, revisions by status, events: the manifest's counts so far."""
        return self._counts

    @property
    def links_behind(self) -> int:
        """Links whose records need not be fed again: every line and every row of them is here. A state snapshot that
        stands behind more would leave a hole."""
        status = self.store.status
        return min(self.links, self.first_link if status.holes else status.last_link + 1)

    def sync(self) -> bool:
        """Make digests, events and history durable; False if the disk refused a part. To be done before a snapshot,
        which says that nothing before it needs to be computed again."""
        whole = self._digests.sync()
        whole = self._history.sync() and whole
        return self._events.sync() and whole

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Link):
                self._minute(effect)
            elif isinstance(effect, Event):
                self._event(effect.cause_seq, effect.at_ns, effect.kind, effect.venue, effect.symbol, effect.detail)
            elif isinstance(effect, SnapshotNeeded):
                detail = {"reason": effect.reason}
                self._event(effect.cause_seq, None, "snapshot_needed", effect.venue, effect.symbol, detail)
            elif isinstance(effect, ConfigVersion):
                self._version(effect)
        self._digests.flush()
        self._events.flush()

    def close(self, complete: bool = True) -> None:
        """End the session. complete: everything that was to come has come.

        Raises SessionIncompleteError if the disk refused a part of the digests, events or manifest; a store that misses
        rows is told in the manifest, not raised.
        """
        store = self.store.close()
        try:
            whole = self._digests.close()
            whole = self._events.close() and whole
            whole = self._history.close() and whole
            reason = self._digests.error or self._events.error or self._history.error
            try:
                self._save_manifest(complete and whole, self._now_ns(), store)
            except OSError as error:
                whole, reason = False, f"{MANIFEST}: {error.strerror or error}"
        finally:
            self._disk.close(self._lock)
        if not whole:
            raise SessionIncompleteError(f"{self.folder}: {reason}; free space on the disk, then replay again")

    def __enter__(self) -> SessionWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(complete=kind is None)

    def _minute(self, minute: Link) -> None:
        known, first = self.links, self.first_link
        if minute.link > known:
            raise InvariantError(
                f"link {minute.link} follows link {known - 1} in {self.folder / DIGESTS}; feed earlier records first"
            )
        if minute.link < first:
            return
        if minute.link < known:
            there = self._chains[minute.link - first]
            if there != minute.chain:
                raise InvariantError(
                    f"link {minute.link} ({minute.venue}, {label(minute.minute)}) has chain {minute.chain[:16]}, but "
                    f"{self.folder / DIGESTS} has {there[:16]}, of another run; give a new folder"
                )
            self.store.put(minute)
            return
        line = digest_line(minute)
        self._digests.append(orjson.dumps(line))
        self._count(line)
        self.store.put(minute)

    def _count(self, line: dict[str, Any]) -> None:
        self._chains.append(line["chain"])
        self._counts["links"] += 1
        self._counts["minutes"] += line["rev"] == 0 and timeframe_of(line["stages"]) == TIMEFRAME
        self._counts["rows"] += line["symbols"]
        for status, count in line["status"].items():
            self._counts["revisions"][status] += count

    def _event(
        self, cause_seq: int | None, at_ns: int | None, kind: str, venue: str, symbol: str, detail: dict[str, Any]
    ) -> None:
        """cause_seq is None for what did not come from the conveyor and so is no part of a replay."""
        line = orjson.dumps(
            {"cause_seq": cause_seq, "at_ns": at_ns, "kind": kind, "venue": venue, "symbol": symbol, "detail": detail},
            default=str,
            option=orjson.OPT_SERIALIZE_NUMPY,
        )
        if cause_seq is not None and line in self._recorded_events:
            return
        self._counts["events"] += 1
        self._events.append(line)

    def _version(self, version: ConfigVersion) -> None:
        """A version that is there already was fed again."""
        if version.number in self._versions:
            return
        self._versions.add(version.number)
        self._history.append(orjson.dumps(line_of(version)))
        self._history.flush()

    def _store_event(self, kind: str, detail: dict[str, str]) -> None:
        """Called from the store's thread."""
        self._event(None, self._now_ns(), kind, "", "", detail)
        self._events.flush()

    def _begin(self, reference: JournalReference | None, overwrite: bool, goes_on: bool) -> None:
        """Refuse, clear or continue what is in the folder."""
        self._manifest["started"] = instant(self._now_ns())
        os.makedirs(self.folder / LOGS, 0o700, exist_ok=True)
        there = self._disk.list(self.folder)
        if overwrite:
            for name in _OWN_FILES:
                if name in there:
                    self._disk.unlink(self.folder / name)
            return
        if MANIFEST not in there:
            # An empty one is of a start that was cut short.
            if DIGESTS in there and read_all(self._disk, self.folder / DIGESTS):
                raise ConfigError(
                    f"{self.folder} has no {MANIFEST} beside {DIGESTS}; restore it, or replay with --force"
                )
            return
        old = orjson.loads(read_all(self._disk, self.folder / MANIFEST))
        if old["complete"] and not goes_on:
            raise ConfigError(f"{self.folder} holds a complete session; give a new folder, or replay with --force")
        was = (old["journal"] or {}).get("header_sha256")
        if reference and was and was != reference.header_sha256:
            raise ConfigError(
                f"{self.folder} is an unfinished session of the journal {old['journal']['path']}; give a new folder"
            )
        for name in ("schema_digest",) if goes_on else ("schema_digest", "config_digest"):
            if old[name] != self._manifest[name]:
                raise ConfigError(
                    f"{self.folder} is an unfinished session with {name} {old[name][:16] or 'none'}, this run has "
                    f"{self._manifest[name][:16] or 'none'}; give a new folder, or replay with --force to start anew"
                )
        self._manifest["started"], self._manifest["first_link"] = old["started"], old.get("first_link", 0)

    def _read_back(self) -> None:
        """Take up where the lines on disk end."""
        for number, text in enumerate(self._digests.lines):
            line = orjson.loads(text)
            if line["link"] != self.first_link + number:
                raise ConfigError(f"{self._digests.path} line {number + 1} is link {line['link']}; restore it")
            self._count(line)
        self._recorded_events = set(self._events.lines)
        self._counts["events"] = len(self._events.lines)
        self._versions = {int(orjson.loads(text)["number"]) for text in self._history.lines}
        self._digests.lines, self._events.lines, self._history.lines = [], [], []

    def _compare_store(self) -> None:
        """A write-ahead log cut short opens without a word: the digests say what should be there."""
        status, expected = self.store.status, self.links
        if not status.rebuild and not status.trouble and status.last_link + 1 - status.holes < expected:
            detail = {"links_expected": str(expected), "links_found": str(status.last_link + 1 - status.holes)}
            self._store_event("store_behind", detail | {"action": f"records fed again fill it; if none are, {REBUILD}"})

    def _save_manifest(self, complete: bool, ended: int | None, store: StoreStatus | None = None) -> None:
        status = store or self.store.status
        facts = {"complete": complete, "ended": instant(ended) if ended else None, "counts": self._counts}
        facts |= {"chain": self.chain, "store": stored_facts(status, self.links)}
        write_whole(self._disk, self.folder / MANIFEST, _document(self._manifest | facts))


def stored_facts(status: StoreStatus, links: int) -> dict[str, Any]:
    """The manifest's words on the store. links: of the whole chain."""
    found = status.last_link + 1 - status.holes
    return {
        "links": found,
        "missing_links": max(links - found, 0),
        "errors": status.errors,
        "last_error": status.last_error,
        "rebuild": status.rebuild if found < links else "",  # fed again, it may have got everything after all
    }


def _document(manifest: dict[str, Any]) -> bytes:
    return orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _claim(folder: Path, disk: Disk) -> int:
    """Create the folder if need be and lock it, so that one process at a time writes into it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    disk.make_folder(folder)
    os.chmod(folder, 0o700)
    try:
        return disk.lock(folder)
    except BlockingIOError:
        raise ConfigError(f"{folder} is being written by another process; wait, or give another folder") from None


def rebuild_store(
    folder: Path, effects: Callable[[], Iterable[Effect]], disk: Disk = OS_DISK, first_link: int = 0
) -> StoreStatus:
    """Write a new store.duckdb from recomputed effects and put it in the old one's place, which may be lost or damaged.

    effects: replays the session's journal; if its beginning was removed from first_link on, where the new store begins.
    Every link must have the chain value that digests.jsonl has.
    Raises InvariantError for one that has not, SessionIncompleteError if not every row was written; the old file stays.
    """
    lock = _claim(folder, disk)
    try:
        content = (folder / DIGESTS).read_bytes()
        lines = [orjson.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]
        lines = [line for line in lines if line["link"] >= first_link]
        draft = folder / f"{STORE}.rebuild"
        for path in (draft, log_of(draft)):
            path.unlink(missing_ok=True)
        store = Store(draft, first_link=first_link)
        done = 0
        try:
            for effect in effects():
                if not isinstance(effect, Link) or done == len(lines):
                    continue
                if effect.chain != lines[done]["chain"]:
                    raise InvariantError(
                        f"link {effect.link} ({effect.venue}, {label(effect.minute)}) has chain {effect.chain[:16]}, "
                        f"{DIGESTS} has {lines[done]['chain'][:16]}; run `conveyor verify` to see what differs"
                    )
                store.put(effect)
                done += 1
        finally:
            status = store.close()
        if done < len(lines) or status.missing_links or status.trouble:
            missing = len(lines) - done + status.missing_links
            reason = status.last_error or "the journal ends before them"
            raise SessionIncompleteError(f"{draft.name}: {missing} links are missing; {reason}")
        _put_in_place(disk, draft, folder / STORE)
        manifest = orjson.loads((folder / MANIFEST).read_bytes())
        manifest["store"] = stored_facts(status, first_link + len(lines))
        write_whole(disk, folder / MANIFEST, _document(manifest))
        return status
    finally:
        disk.close(lock)


def _put_in_place(disk: Disk, draft: Path, path: Path) -> None:
    """The new store under its name. The old one's log is moved first, for it must never be applied to another file, and
    moved back if the old store stays."""
    log, aside = log_of(path), log_of(path.with_name(f"{path.name}.replaced"))
    had_log = log.exists()
    if had_log:
        disk.rename(log, aside)
    try:
        disk.rename(draft, path)
    except OSError:
        if had_log:
            disk.rename(aside, log)
        raise
    disk.fsync_dir(path.parent)
    aside.unlink(missing_ok=True)
