"""The exchange itself, without sockets and without a clock: it is told the time and says what it sends."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from engine.core.ports import LOCAL_EXCHANGE
from replay.exchange.book import Ladder
from replay.exchange.faults import Faults
from replay.exchange.limits import RULES, Gate, RefusedError, Rules
from replay.exchange.plan import CALM, Plan
from replay.exchange.protocols import PROTOCOLS, Protocol
from replay.exchange.session import Key, Peer, Session
from replay.exchange.source import Book, Diff, Sent, Source
from replay.exchange.truth import Truth

CANDLE_EVERY_NS = NS_PER_S
CANDLE_LATE_NS = 60 * NS_PER_MS  # behind the full second, so that every trade of a minute has been sent at its close
FINALS_MAX = 3  # candles that end at once when the venue's clock is set forward
HOUSEKEEPING_NS = NS_PER_S


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer to a request. delay_s: venue time until it is sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    delay_s: float = 0.0


class Exchange:
    """One venue. Every call tells the venue's time in ns UTC, which never runs backwards.

    truth: what really happened. keep_minutes: of the truth; 0: all. minutes: of the source, if somebody
    makes them ahead. Same source, plan and calls give the same bytes.
    """

    def __init__(
        self,
        source: Source,
        plan: Plan = CALM,
        *,
        rules: Rules | None = None,
        keep_minutes: int = 0,
        minutes: Iterator[list[Sent]] | None = None,
    ) -> None:
        self.source, self.venue, self.instruments = source, source.venue, source.instruments
        self.rules = rules or RULES[self.venue]
        self.truth = Truth(self.instruments)
        self.places = {instrument.symbol: place for place, instrument in enumerate(self.instruments)}
        self.ladders = [Ladder() for _ in self.instruments]
        self.latest: dict[Key, Sent] = {}  # the newest of every channel and symbol
        self.sessions: dict[int, Session] = {}
        self.listeners: dict[Key, dict[Session, bytes]] = {}
        self.gates: dict[str, Gate] = {}
        self.now_ns, self.first_minute_ns = source.start_ns, source.first_minute_ns
        self.keep_minutes = keep_minutes
        self.protocol: Protocol = PROTOCOLS[self.venue](self)
        self._minutes = minutes or source.minutes()
        self._ready: list[Sent] = []
        self._place = 0
        self._over = False
        self._minute = source.start_ns // NS_PER_MINUTE  # the newest candles that were printed
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._entries = self._connects = 0
        first_s = (source.start_ns - CANDLE_LATE_NS) // CANDLE_EVERY_NS + 1
        self.at(first_s * CANDLE_EVERY_NS + CANDLE_LATE_NS, self._candles)
        self.at(source.start_ns + HOUSEKEEPING_NS, self._keep_house)
        self.faults = Faults(self, plan)
        self.advance(source.start_ns)

    # Time

    def at(self, at_ns: int, action: Callable[[], None]) -> None:
        """Do something at a time; at equal times in the order in which it was asked for."""
        self._entries += 1
        heapq.heappush(self._agenda, (at_ns, self._entries, action))

    def next_ns(self) -> int:
        """When `advance` has something to do."""
        sent = self._peek()
        planned_ns = self._agenda[0][0]
        return planned_ns if sent is None else min(planned_ns, sent.at_ns)

    def advance(self, now_ns: int) -> None:
        """Do everything that is due."""
        while True:
            sent = self._peek()
            planned_ns = self._agenda[0][0]
            if sent is not None and sent.at_ns <= planned_ns:
                if sent.at_ns > now_ns:
                    break
                self._place += 1
                self.now_ns = max(self.now_ns, sent.at_ns)
                self.happen(sent)
            elif planned_ns <= now_ns:
                self.now_ns = max(self.now_ns, planned_ns)
                heapq.heappop(self._agenda)[2]()
            else:
                break
        self.now_ns = max(self.now_ns, now_ns)

    def _peek(self) -> Sent | None:
        while self._place == len(self._ready) and not self._over:
            ready = next(self._minutes, None)
            self._over, self._ready, self._place = ready is None, ready or [], 0
        return self._ready[self._place] if self._place < len(self._ready) else None

    # What the venue does

    def happen(self, sent: Sent) -> None:
        """Something happens on the venue."""
        if self.faults.busy:
            for one in self.faults.happens(sent):
                self._tell(one)
        else:
            self._tell(sent)

    def _tell(self, sent: Sent) -> None:
        """It becomes truth, and whoever listens is told."""
        facts = sent.facts
        record = self.truth.records[sent.symbol]
        if sent.channel == "trade":
            record.add(facts)
        elif sent.channel == "trades":
            for trade in facts:
                record.add(trade)
        elif sent.channel == "aggTrade":
            record.aggregates.append(facts)
        elif isinstance(facts, Diff):
            self.ladders[sent.symbol].apply(facts)
        elif isinstance(facts, Book):
            self.ladders[sent.symbol].begin(facts)
        else:
            self.latest[sent.channel, sent.symbol] = sent
        if self.listeners.get((sent.channel, sent.symbol)):
            self._publish(sent, self.text(sent))

    def _publish(self, sent: Sent, text: bytes) -> None:
        """A frame to all that listen."""
        self.faults.serial += 1
        for session, name in list(self.listeners[sent.channel, sent.symbol].items()):
            if session.mute:
                continue
            payload = self.protocol.wrap(name, text)
            if self.faults.frames:
                self.faults.frame(session, payload, sent)
            else:
                self.emit(session, payload)

    def emit(self, session: Session, payload: bytes) -> None:
        """A message on one connection's line."""
        if self.faults.slow or session.out_ns > self.now_ns:
            self.later(session, partial(session.peer.frame, payload), len(payload))
        else:
            session.peer.frame(payload)

    def later(self, session: Session, action: Callable[[], None], nbytes: int) -> None:
        """Something on one connection's line: nothing overtakes what is on its way already."""
        session.out_ns = max(session.out_ns, self.faults.line(session, nbytes))
        if session.out_ns > self.now_ns:
            self.at(session.out_ns, lambda: None if session.over or session.mute else action())
        else:
            action()

    def text(self, sent: Sent) -> bytes:
        if not sent.text:
            sent.text = self.source.text(sent)
        return sent.text

    def _candles(self) -> None:
        """Print candles that have changed; once a minute of the venue's clock is over, its final ones."""
        self.at(self.now_ns + CANDLE_EVERY_NS, self._candles)
        told_ns = self.venue_ns() - CANDLE_LATE_NS
        minute = told_ns // NS_PER_MINUTE
        before, self._minute = self._minute, minute
        for symbol, record in enumerate(self.truth.records):
            if record.close == 0 or not self.traded(symbol):
                continue
            for over in range(max(before, minute - FINALS_MAX, record.begun), minute):
                self._candle(symbol, over, True)
            if minute >= record.begun:
                self._candle(symbol, minute, False)
        if minute > before and self.keep_minutes:
            for record in self.truth.records:
                record.forget((minute - self.keep_minutes) * NS_PER_MINUTE // NS_PER_MS)

    def _candle(self, symbol: int, minute: int, final: bool) -> None:
        candle = self.truth.records[symbol].candle(minute)
        if candle.changed or final:
            candle.changed = False
            channel = self.protocol.candle_channel
            if self.listeners.get((channel, symbol)):
                text = self.protocol.candle(symbol, candle, final)
                self._publish(Sent(self.now_ns, channel, symbol, candle), text)

    def _keep_house(self) -> None:
        """Close what is too old or has been silent too long, ping the rest."""
        self.at(self.now_ns + HOUSEKEEPING_NS, self._keep_house)
        rules = self.rules
        for session in list(self.sessions.values()):
            if session.mute:
                continue
            age_ns = self.now_ns - session.opened_ns
            if rules.lifetime_s and age_ns >= rules.lifetime_s * NS_PER_S:
                session.end(1001, "lifetime of a connection is over")
            elif rules.idle_s and session.idle(self.now_ns, rules.idle_s):
                session.end(1000, "Inactive")
            elif rules.ping_every_s:
                if self.now_ns - session.ponged_ns >= (rules.ping_every_s + rules.pong_s) * NS_PER_S:
                    session.end(1008, "Pong timeout")
                elif age_ns // NS_PER_S % int(rules.ping_every_s) == 0 and age_ns >= NS_PER_S:
                    session.peer.ping()

    # What clients do

    def connect(self, target: str, peer: Peer, now_ns: int, address: str = "client") -> Session:
        """A handshake for a path with its query. Raises RefusedError."""
        self.advance(now_ns)
        dead = self.faults.connect(self._connects)
        self.gate(address).connect(now_ns)
        session = Session(self, self._connects, peer, now_ns)
        streams = self.protocol.open(session, target)
        session.mute = dead
        self._connects += 1
        self.sessions[session.number] = session
        self.protocol.greet(session, streams)
        return session

    def request(self, method: str, target: str, body: bytes, now_ns: int, address: str = "client") -> Reply:
        """A REST request. Raises RefusedError with drop set if there is no answer at all."""
        self.advance(now_ns)
        try:
            reply = self.protocol.request(self.gate(address), method, target, body)
        except RefusedError as refusal:
            if refusal.drop:
                raise
            reply = Reply(refusal.status, {"content-type": "application/json", **refusal.headers}, refusal.body)
        return replace(reply, headers={**reply.headers, LOCAL_EXCHANGE: "local"})

    def venue_ns(self) -> int:
        """The venue's own clock."""
        return self.now_ns + self.faults.clock_ns

    def venue_ms(self) -> int:
        """The same, as the venue prints it."""
        return self.venue_ns() // NS_PER_MS

    def traded(self, symbol: int) -> bool:
        """Whether the symbol is listed now."""
        return symbol not in self.faults.delisted

    def gate(self, address: str) -> Gate:
        gate = self.gates.get(address)
        if gate is None:
            gate = self.gates[address] = Gate(self.rules)
        return gate

    def subscribe(self, session: Session, key: Key, name: bytes) -> None:
        session.streams[key] = name
        session.since[key] = self.now_ns
        self.listeners.setdefault(key, {})[session] = name

    def unsubscribe(self, session: Session, key: Key) -> None:
        session.streams.pop(key, None)
        self.listeners.get(key, {}).pop(session, None)

    def forget(self, session: Session) -> None:
        """A connection is over, whoever ended it."""
        session.over = True
        for key in list(session.streams):
            self.unsubscribe(session, key)
        self.sessions.pop(session.number, None)
