"""All questions that are asked of a play when it is over: its rows, its journal, its process, its times."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from engine.conveyor import Conveyor
from engine.core.effects import Link, MinuteRows
from engine.core.minutes import NS_PER_S, minute_of
from engine.core.records import iterate
from engine.core.schema import Status
from engine.io.journal_reader import JournalReader
from engine.io.session_reader import SessionReader
from replay.scenarios.heard import Heard, most_in_a_minute
from replay.scenarios.hits import hits_of
from replay.scenarios.judge import Finding, Verdict, judge_rows
from replay.scenarios.oracle import Hit, Oracle, Trade
from replay.scenarios.scenario import Outcome

if TYPE_CHECKING:
    from replay.scenarios.play import Stage, WitnessedExchange

BROKEN_LINK = ("half_open", "disconnect", "silent_stream", "maintenance", "huge")  # has to be noticed
OUTAGES = (
    "disconnect", "half_open", "refuse", "maintenance", "rest_down", "rest_429", "rest_slow", "snapshot_race",
)  # fmt: skip
CLOCK_KINDS = ("clock_offset", "clock_step")
UNREADABLE_KINDS = ("corrupt", "schema_drift", "absurd_price")
TROUBLE_EVENTS = ("conveyor_stopped", "feed_crashed")


class Judgement:
    """All questions that are asked of a play when it is over."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.scenario = stage, stage.scenario
        self.rows: dict[int, Link] = {}
        self.findings: list[Finding] = []
        self.heard = Heard()

    def outcome(self) -> Outcome:
        stage = self.stage
        outcome = Outcome(self.scenario, stage.plan, findings=self.findings)
        self._processes()
        self._same_in_all_lives()
        self._session()
        self._replay()
        for exchange in stage.exchanges:
            hits = (
                *(hit for hit in stage.host_hits if hit.venue == exchange.venue),
                *hits_of(exchange.venue, exchange.plan, exchange.truth.hits, stage.first_ns),
            )
            verdict = self._venue(exchange, hits)
            self.findings += verdict.findings
            outcome.rows += verdict.rows
            outcome.ok += verdict.ok
            outcome.marked.update(verdict.marked)
            outcome.hits += hits
            self._times(exchange.venue, hits, outcome)
        assert stage.world is not None
        outcome.attempts_a_minute = most_in_a_minute(stage.world.connects_ns)
        outcome.stopped_s = stage.stopped_s
        for watch in stage.watches:
            outcome.books_compared += watch.compared
            self.findings += watch.findings
        self._bites(outcome)
        return outcome

    def _tell(self, kind: str, sentence: str) -> None:
        self.findings.append(Finding(kind, self.scenario.venue, "", -1, sentence))

    def _processes(self) -> None:
        for sentence in self.stage.process:
            self._tell("process", sentence)
        for collector in self.stage.lives:
            if collector.early:
                self._tell("process", f"{collector.early} effects left before their cause was durable")
            for event in collector.events:
                if event.kind in TROUBLE_EVENTS:
                    self._tell("process", f"{event.kind}: {event.detail}")
        for seconds in self.stage.stopped_s:
            if seconds > 3.0:
                self._tell("process", f"stopping took {seconds:.1f} s")

    def _same_in_all_lives(self) -> None:
        """A restart computes again what was there; it must be the same link by link."""
        for collector in self.stage.lives:
            for rows in collector.rows:
                before = self.rows.setdefault(rows.link, rows)
                if before.chain != rows.chain:
                    self._tell("digest", f"link {rows.link} is another one after a restart")
                    return
        if sorted(self.rows) != list(range(len(self.rows))):
            self._tell("digest", "links are missing in the chain")

    def _session(self) -> None:
        """The session folder, where one was kept: its chain is that of the rows, whatever became of its store."""
        folder = self.stage.session
        if folder is None:
            return
        told = [line.chain for line in SessionReader(folder).digests()]
        if told != [self.rows[link].chain for link in sorted(self.rows)]:
            self._tell("digest", "digests.jsonl is not the chain of the rows that left")

    def _replay(self) -> None:
        """A fresh conveyor over the journal: the same chain, link by link."""
        conveyor = Conveyor()
        link = -1
        for batch in JournalReader(self.stage.journal).batches(from_seq=0):
            self.heard.listen(iterate(batch))
            for effect in conveyor.handle(batch):
                if isinstance(effect, Link):
                    link = effect.link
                    live = self.rows.get(link)
                    if live is None or live.chain != effect.chain:
                        found = "missing in" if live is None else "another one than"
                        self._tell("digest", f"link {link} of the replay is {found} the live session")
                        return
        if link + 1 != len(self.rows):
            self._tell("digest", f"the live session has {len(self.rows)} links, its replay {link + 1}")

    def _venue(self, exchange: WitnessedExchange, hits: tuple[Hit, ...]) -> Verdict:
        stage = self.stage
        symbols = stage.symbols[exchange.venue]
        trades = [Trade(*row) for row in exchange.truth.trades()]
        oracle = Oracle(exchange.venue, symbols, exchange.venue != "hyperliquid", trades, hits, exchange.quotes)
        kinds = {hit.kind for hit in hits}
        last = self.scenario.minutes - (1 if kinds & set(CLOCK_KINDS) else 0)
        first = minute_of(stage.first_ns)
        delisted = {symbol for hit in hits if hit.kind == "delist" for symbol in hit.symbols}
        recv_ns_of = None if kinds & set(CLOCK_KINDS) else self.heard.recv_ns.__getitem__
        minutes = [one for _, one in sorted(self.rows.items()) if isinstance(one, MinuteRows)]
        verdict = judge_rows(
            oracle, minutes, range(first, first + last), recv_ns_of,
            may_be_absent=lambda symbol, minute: symbol in delisted,
        )  # fmt: skip
        kinds_of_bytes = {hit.kind for hit in hits if hit.kind in UNREADABLE_KINDS}
        if not kinds_of_bytes:
            self._sums(verdict)
        return verdict

    def _sums(self, verdict: Verdict) -> None:
        """An ok row holds every trade that the journal holds, each once; what is left of received is accounted for."""
        for (symbol, minute), said in verdict.newest.items():
            if said.status is Status.OK:
                spent = sum(said.counts[name] for name in ("late_dropped", "duplicate", "rejected"))
                told = said.counts["received"] - spent
                heard = len(self.heard.ids[symbol, minute])
                if told != heard:
                    sentence = f"{told} trade messages are in the bar, {heard} that differ are in the journal"
                    self.findings.append(Finding("sums", said.venue, symbol, minute, sentence))

    def _times(self, venue: str, hits: tuple[Hit, ...], outcome: Outcome) -> None:
        symbols = self.stage.symbols[venue]
        for hit in hits:
            if hit.kind in BROKEN_LINK:
                noticed_ns = self.heard.noticed_ns(venue, hit.begin_ns)
                if noticed_ns is not None and noticed_ns - hit.begin_ns < 120 * NS_PER_S:
                    outcome.noticed_s.append((noticed_ns - hit.begin_ns) / NS_PER_S)
        for begin_ns, end_ns in _outages(hits):
            noticed_ns = self.heard.noticed_ns(venue, begin_ns) or begin_ns
            again_ns = self.heard.valid_again_ns(venue, symbols, noticed_ns)
            if again_ns is not None:
                outcome.recovered_s.append(max(0, again_ns - max(end_ns, noticed_ns)) / NS_PER_S)

    def _bites(self, outcome: Outcome) -> None:
        """A fault that did nothing proves nothing."""
        done = {hit.kind for hit in outcome.hits} - {"start", "end"}
        asked = {entry.kind for entry in self.stage.plan.fault} | {strike.kind for strike in self.stage.host_faults}
        if asked and not done:
            self._tell("process", f"the faults {', '.join(sorted(asked))} did nothing")


def _outages(hits: Iterable[Hit]) -> list[tuple[int, int]]:
    """Begin and end of the times in which the venue could not be used, those that overlap or nearly so as one."""
    found: list[tuple[int, int]] = []
    for hit in sorted((hit for hit in hits if hit.kind in OUTAGES), key=lambda hit: hit.begin_ns):
        if found and hit.begin_ns <= found[-1][1] + NS_PER_S:
            found[-1] = found[-1][0], max(found[-1][1], hit.end_ns)
        else:
            found.append((hit.begin_ns, hit.end_ns))
    return found
