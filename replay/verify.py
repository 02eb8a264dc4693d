"""The proof: a session's journal goes through a new conveyor; every digest and every stored cell must come again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import duckdb
import pyarrow as pa

from engine.core.effects import Effect, Link
from engine.core.errors import ConveyorError
from engine.core.records import RecordBatch
from engine.core.schema import TIMEFRAME
from engine.io.columns import layout_of, rows_to_arrow
from engine.io.database import StoreUnavailableError, first_line
from engine.io.digest_line import DigestLine, digest_line
from engine.io.session_reader import SessionReader
from engine.io.tables import REVISIONS, ddl, links_to_arrow
from replay.difference import ROWS_AT_ONCE, Difference, digest_difference, explain, row_difference, stored_rows

NAMES = ("session", "replay")
LINKS_MAX = 1 << 62  # more than there are
VIEW_SQL = "SELECT sql FROM duckdb_views() WHERE NOT internal ORDER BY view_name"


class Recomputes(Protocol):
    """The conveyor, as far as the proof needs it."""

    def handle(self, batch: RecordBatch) -> list[Effect]: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """minutes: first closes; links: those and their later revisions; rows: of all links. difference: None if proven.

    links_before: links of the session that could not be compared, because their part of the journal was removed.
    links_without_rows: compared by their digests only, because the store's rows of them were removed for their age, or
    an engine has the store. last_link, last_exchange_ts: the newest one that was compared, -1 and 0 without any.
    """

    minutes: int
    links: int
    rows: int
    chain: str
    difference: Difference | None
    links_before: int = 0
    links_without_rows: int = 0
    last_link: int = -1
    last_exchange_ts: int = 0

    def sentence(self) -> str:
        if self.difference:
            return f"replay differs: {self.difference.sentence()}"
        told = f"replay verified: {self.minutes} minutes, {self.rows} rows, digest {self.chain}"
        if self.links_before:
            told += f"; the {self.links_before} links before them were not compared, their journal was removed"
        if self.links_without_rows:
            told += f"; of {self.links_without_rows} links only the digest: their rows are not in the store"
        return told


def replayed(
    session: SessionReader, conveyor: Recomputes | None = None, advance: Callable[[float], None] | None = None
) -> Iterator[Effect]:
    """The effects of the session's journal, computed anew, from its key frame on if its beginning was removed.

    advance: told the bytes of each batch that is done.
    """
    from engine.io.journal_reader import JournalReader
    from engine.runner import beginning

    journal, seq = JournalReader(session.journal()), -1
    if conveyor is None:
        conveyor, seq = beginning(journal)
    for batch in journal.batches(seq + 1):
        yield from conveyor.handle(batch)
        if advance:
            advance(batch.nbytes)


def first_link_of(session: SessionReader) -> int:
    """Where a replay of the session's journal begins to close minutes."""
    from engine.io.journal_reader import JournalReader
    from engine.runner import beginning

    journal = JournalReader(session.journal())
    return beginning(journal)[0].link if journal.pruned else 0


def verify(session: SessionReader, effects: Iterable[Effect], first_link: int = 0, is_running: bool = False) -> Verdict:
    """Compare recomputed effects with what a session holds; stops at the first difference.

    The digests are compared link by link, the rows of the store cell by cell, some links at a time. Of a session that
    was cut short everything it holds is compared. first_link: of the effects; what the session has before is not.
    is_running: an engine has the store and goes on writing: digests are compared, as far as both sides go.
    """
    proof = _Proof(session, first_link, is_running)
    found = proof.run(effects)
    found = replace(found, names=NAMES) if found else None
    return Verdict(
        proof.minutes, proof.links, proof.rows, proof.chain, found, proof.before, proof.without_rows, *proof.last
    )


class _Proof:
    def __init__(self, session: SessionReader, first_link: int, is_running: bool) -> None:
        self.session, self.first_link, self.is_running = session, first_link, is_running
        self.first_stored = first_link  # the first link whose rows are compared
        self.before = self.without_rows = 0
        self.minutes = self.links = self.rows = 0
        self.chain = ""
        self.last = -1, 0  # link and label
        self._waiting: list[Link] = []  # digests equal, rows not compared yet
        self._digests: list[pa.RecordBatch] = []
        self._stored = 0  # rows compared
        self._last_stored = -1

    def run(self, effects: Iterable[Effect]) -> Difference | None:
        recorded = self._recorded()
        for effect in effects:
            if not isinstance(effect, Link) or effect.link < self.session.first_link:
                continue
            line = DigestLine(**digest_line(effect))
            there = next(recorded, None)
            if there is None:
                if found := self._compare_rows():
                    return found
                if self.session.complete and not self.is_running:
                    at = Difference("length", line.link, line.venue, line.exchange_ts, line.rev)
                    return replace(at, note="the session ends before this link, the replay goes on")
                return self._compare_ends()
            if found := digest_difference(there, line):
                return self._compare_rows() or (found if self.is_running else self._explain(found, effect))
            self.links, self.minutes = self.links + 1, self.minutes + (line.rev == 0 and line.tf == TIMEFRAME)
            self.rows, self.chain = self.rows + line.symbols, line.chain
            self.last = line.link, line.exchange_ts
            if self._expects_rows(effect.link):
                self._waiting.append(effect)
            if sum(len(minute.rows) for minute in self._waiting) >= ROWS_AT_ONCE and (found := self._compare_rows()):
                return found
        if found := self._compare_rows():
            return found
        if not self.is_running and (there := next(recorded, None)):
            at = Difference("length", there.link, there.venue, there.exchange_ts, there.rev)
            return replace(at, note="the replay ends before this link, the session goes on")
        return self._compare_ends()

    def _recorded(self) -> Iterator[DigestLine]:
        """The session's links that can be compared. Counts what is before them: the store may hold its rows as well."""
        with suppress(duckdb.Error, ConveyorError):  # the comparison will tell why
            stored = LINKS_MAX if self.is_running else self.session.first_stored_link()
            self.first_stored = max(self.first_link, stored)
        for line in self.session.digests():
            if line.link >= self.first_link:
                self.without_rows += line.link < self.first_stored
                yield line
                continue
            self.before += 1

    def _expects_rows(self, link: int) -> bool:
        """Whether the store must have this link: always, but for what was removed from it for its age, and for the end
        of a session that was cut short."""
        if link < self.first_stored:
            return False
        if self.session.complete:
            return True
        if self._last_stored < 0:
            try:
                self._last_stored = self.session.last_stored_link()
            except (duckdb.Error, ConveyorError):
                return True  # the comparison will tell why
        return link <= self._last_stored

    def _compare_rows(self) -> Difference | None:
        if not self._waiting:
            return None
        minutes, self._waiting = self._waiting, []
        expected = links_to_arrow(minutes)
        self._digests.append(expected.pop("digests"))
        self._stored += sum(batch.num_rows for batch in expected.values())
        for of in REVISIONS:
            there = stored_rows(self.session, minutes[0].link, minutes[-1].link, of)
            if isinstance(there, Difference):
                return there
            mine = pa.Table.from_batches([expected[of.table]] if of.table in expected else [], of.arrow)
            if found := row_difference(there, mine, of):
                return replace(found, note="the digests are equal: the store was changed or is incomplete")
        return None

    def _explain(self, found: Difference, effect: Link) -> Difference:
        layout = layout_of(effect)
        there = stored_rows(self.session, effect.link, effect.link, layout)
        if isinstance(there, Difference):
            return replace(found, note=there.note)
        return explain(found, there, pa.Table.from_batches([rows_to_arrow([effect])]), layout)

    def _compare_ends(self) -> Difference | None:
        """What no link could show: rows of no link, the digests' table, the view, the manifest."""
        if self.is_running:
            return None
        if found := self._store_difference():
            return found
        if self.session.complete and self.session.manifest["chain"] != self.chain:
            there = str(self.session.manifest["chain"])
            return Difference("digest", column="chain", a=there[:16], b=self.chain[:16], note="in manifest.json")
        return None

    def _store_difference(self) -> Difference | None:
        try:
            view = self.session.query(VIEW_SQL)
            rows = self.session.row_count(self.first_stored)
            digests = self.session.stored_digests(self.first_stored)
        except StoreUnavailableError:
            raise  # somebody else has it open: that is no difference
        except (duckdb.Error, ConveyorError) as error:
            return Difference("store", note=first_line(error))
        if rows != self._stored:
            return Difference("store", a=f"{rows} rows", b=f"{self._stored} rows", note="rows that belong to no link")
        if self._digests:
            expected = pa.Table.from_batches(self._digests)
            if digests.num_rows != expected.num_rows:
                counts = f"{digests.num_rows} links", f"{expected.num_rows} links"
                return Difference("store", a=counts[0], b=counts[1], note="in the table digests")
            for mine, other in zip(digests.to_pylist(), expected.to_pylist(), strict=True):
                for name, value in other.items():
                    if mine.get(name) != value:
                        at = Difference("store", other["link"], other["venue"], other["exchange_ts"], other["rev"])
                        return replace(
                            at, column=name, a=str(mine.get(name)), b=str(value), note="in the table digests"
                        )
        found = [_squeezed(sql) for sql in view.column("sql").to_pylist()]
        if found != [_squeezed(sql) for sql in _views_as_kept()]:
            return Difference("store", note="a view (features_snapshot or another) is not the one this program makes")
        return None


def _views_as_kept() -> list[str]:
    """The text of every view as DuckDB keeps it, which is not as it was written."""
    with duckdb.connect() as connection:
        for statement in ddl():
            connection.execute(statement)
        return [str(sql) for sql in connection.sql(VIEW_SQL).to_arrow_table()["sql"].to_pylist()]


def _squeezed(sql: str) -> str:
    return " ".join(sql.split())
