"""What a plan does to an exchange, and when. Edits of single frames are in edits.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.core.errors import ConfigError
from engine.core.minutes import NS_PER_MS, NS_PER_S
from replay.exchange import edits, plan
from replay.exchange.book import Ladder
from replay.exchange.limits import RefusedError
from replay.exchange.session import Session
from replay.exchange.source import Diff, Sent
from replay.exchange.truth import Aggregate, Hit, Trade

if TYPE_CHECKING:
    from replay.exchange.exchange import Exchange

MASK = (1 << 64) - 1
TRADE_CHANNELS, QUOTE_CHANNELS = ("trade", "aggTrade", "trades"), ("bookTicker", "bbo")
# Hit each connection's copy of a frame by itself, as a network would; others hit the frame wherever it goes.
TRANSPORT = (plan.Drop, plan.Duplicate, plan.Reorder, plan.Delay, plan.Corrupt)
BOOK_REQUESTS = ("depth", "l2Book")
Entry = tuple[int, Any]  # place in the plan, fault


def mix(*numbers: int) -> int:
    """64 bits that depend on all numbers: the finaliser of SplitMix64, once a number."""
    state = 0x9E3779B97F4A7C15
    for number in numbers:
        state = (state + number * 0xBF58476D1CE4E5B9) & MASK
        state = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & MASK
        state = ((state ^ state >> 27) * 0x94D049BB133111EB) & MASK
        state ^= state >> 31
    return state


class Faults:
    """All faults of a plan at one exchange. What they do is told in truth.hits.

    frames, slow: whether any fault of that family is active, so that a calm exchange pays nothing.
    """

    def __init__(self, exchange: Exchange, told: plan.Plan) -> None:
        self.exchange, self.plan = exchange, told
        self.active: list[Entry] = []
        self.frames: list[Entry] = []
        self.slow: list[Entry] = []
        self.clock_ns = 0  # by which the venue's clock is wrong
        self.delisted: set[int] = set()
        self.bursts: list[Entry] = []
        self.frozen: dict[int, Ladder] = {}
        self.serial = 0  # of the frames so far
        # What a burst has added to ids, or a delisting taken away, by symbol.
        self.trade_ids = [0] * len(exchange.instruments)
        self.aggregate_ids = [0] * len(exchange.instruments)
        self.busy = False  # whether `happens` has anything to do
        first_ns = exchange.first_minute_ns
        for place, fault in enumerate(told.fault):
            self._check(place, fault)
            entry = place, fault
            begin_ns = fault.begin_ns(first_ns)
            if isinstance(fault, plan.Maintenance) and fault.notice_s:
                exchange.at(begin_ns - round(fault.notice_s * NS_PER_S), self._notice)
            exchange.at(begin_ns, partial(self._begin, entry))
            if isinstance(fault, plan.Lasting) and fault.for_s < plan.FOREVER_S:
                exchange.at(fault.end_ns(first_ns), partial(self._end, entry))

    def _check(self, place: int, fault: Any) -> None:
        """Names have to exist on this venue. Raises ConfigError."""
        exchange, head = self.exchange, f"plan, fault {place + 1}, {fault.kind}"
        for symbol in getattr(fault, "symbols", []):
            if symbol not in exchange.places:
                known = ", ".join(list(exchange.places)[:8])
                raise ConfigError(f"{head}: symbol {symbol!r} is not on {exchange.venue}, which has {known}")
        channels = exchange.protocol.channels
        for channel in getattr(fault, "channels", []):
            if channel not in channels:
                raise ConfigError(
                    f"{head}: channel {channel!r} is not on {exchange.venue}, expected {', '.join(channels)}"
                )
        if isinstance(fault, plan.WrongSequence | plan.SnapshotRace) and "depth" not in channels:
            raise ConfigError(f"{head}: {exchange.venue} sends whole books, there is no sequence to break")

    # Begin and end

    def _begin(self, entry: Entry) -> None:
        _, fault = entry
        exchange = self.exchange
        if isinstance(fault, plan.Lasting):
            self.active.append(entry)
        if not isinstance(fault, plan.OnFrames | plan.SilentStream | plan.Disconnect | plan.HalfOpen | plan.Huge):
            self.hit(entry, "begin", symbols=tuple(getattr(fault, "symbols", ())))
        if isinstance(fault, plan.Disconnect):
            for session in self._sessions(fault):
                self.hit(entry, fault.how, session)
                if fault.how == "close":
                    session.end(fault.code, "going away")
                else:
                    session.cut()
        elif isinstance(fault, plan.HalfOpen):
            for session in self._sessions(fault):
                self.hit(entry, "mute", session)
                session.mute = True
        elif isinstance(fault, plan.Huge):
            for session in self._sessions(fault):
                self.hit(entry, f"{fault.mib:g} MiB", session)
                session.say(exchange.protocol.huge(session, int(fault.mib * (1 << 20))))
        elif isinstance(fault, plan.Maintenance):
            for session in list(exchange.sessions.values()):
                self.hit(entry, "close", session)
                session.end(1001, "maintenance")
        elif isinstance(fault, plan.SnapshotRace) and fault.how == "old":
            self.frozen = {symbol: exchange.ladders[symbol].copy() for symbol in self._symbols(fault)}
        elif isinstance(fault, plan.ClockStep | plan.ClockOffset):
            self.clock_ns += fault.offset_ms * NS_PER_MS
        self._sort()

    def _end(self, entry: Entry) -> None:
        _, fault = entry
        self.active.remove(entry)
        if not isinstance(fault, plan.OnFrames | plan.SilentStream):
            self.hit(entry, "end", symbols=tuple(getattr(fault, "symbols", ())))
        if isinstance(fault, plan.ClockOffset):
            self.clock_ns -= fault.offset_ms * NS_PER_MS
        self._sort()

    def _sort(self) -> None:
        """Active faults by what they act on."""
        self.frames = [entry for entry in self.active if isinstance(entry[1], plan.OnStreams)]
        self.slow = [entry for entry in self.active if isinstance(entry[1], plan.Slow)]
        self.bursts = [entry for entry in self.active if isinstance(entry[1], plan.Burst)]
        delists = [fault for _, fault in self.active if isinstance(fault, plan.Delist)]
        self.delisted = {symbol for fault in delists for symbol in self._symbols(fault)}
        ids = any(self.trade_ids) or any(self.aggregate_ids)
        self.busy = bool(self.bursts or self.delisted or self.clock_ns or ids)

    def _notice(self) -> None:
        for session in list(self.exchange.sessions.values()):
            self.exchange.protocol.shut_down(session)

    def _sessions(self, fault: Any) -> list[Session]:
        return [one for one in self.exchange.sessions.values() if fault.connection in (None, one.number)]

    def _symbols(self, fault: Any) -> list[int]:
        return [self.exchange.places[name] for name in fault.symbols] or list(range(len(self.exchange.instruments)))

    def hit(self, entry: Entry, what: str, session: Session | None = None, symbols: tuple[str, ...] = ()) -> None:
        number = -1 if session is None else session.number
        self.exchange.truth.hits.append(Hit(self.exchange.now_ns, entry[0], entry[1].kind, what, number, symbols))

    # What the venue does

    def happens(self, sent: Sent) -> Iterator[Sent]:
        """What becomes of something that happens on the venue; all of it is truth."""
        symbol, facts = sent.symbol, sent.facts
        if symbol in self.delisted:
            # Nothing of it is told, and what is not traded is not counted.
            if isinstance(facts, Trade):
                self.trade_ids[symbol] -= 1
            elif isinstance(facts, Aggregate):
                self.aggregate_ids[symbol] -= 1
            elif isinstance(facts, Diff):
                self.exchange.ladders[symbol].apply(facts)
            return
        sent = self._renumbered(self._retimed(sent))
        yield sent
        copies = sum(
            fault.times - 1
            for _, fault in self.bursts
            if symbol in self._symbols(fault) and self._bursts(fault, sent.channel)
        )
        for copy in range(1, copies + 1):
            yield from self._again(sent, copy)

    @staticmethod
    def _bursts(fault: plan.Burst, channel: str) -> bool:
        family = TRADE_CHANNELS if channel in TRADE_CHANNELS else QUOTE_CHANNELS
        return channel in family and (not fault.channels or any(name in family for name in fault.channels))

    def _again(self, sent: Sent, copy: int) -> Iterator[Sent]:
        """Once more. New trades of Binance come behind a whole aggregate, so that its ids stay neighbours."""
        symbol, facts = sent.symbol, sent.facts
        if sent.channel == "trades":
            more = tuple(self.exchange.source.another(symbol, trade, copy) for trade in facts)
            yield Sent(sent.at_ns, "trades", symbol, more)
        elif isinstance(facts, Aggregate):
            self.trade_ids[symbol] += 1
            self.aggregate_ids[symbol] += 1
            number = facts.last + copy
            trade = Trade(number, facts.price, facts.quantity, facts.buy, facts.ms, number, number)
            yield Sent(sent.at_ns, "trade", symbol, trade)
            one = facts._replace(id=facts.id + copy, first=number, last=number)
            yield Sent(sent.at_ns, "aggTrade", symbol, one)
        elif sent.channel in QUOTE_CHANNELS:
            yield sent

    def _renumbered(self, sent: Sent) -> Sent:
        facts, more = sent.facts, self.trade_ids[sent.symbol]
        if isinstance(facts, Trade) and more:
            return replace(sent, facts=facts._replace(id=facts.id + more), text=b"")
        if isinstance(facts, Aggregate) and (more or self.aggregate_ids[sent.symbol]):
            number = facts.id + self.aggregate_ids[sent.symbol]
            told = facts._replace(id=number, first=facts.first + more, last=facts.last + more)
            return replace(sent, facts=told, text=b"")
        return sent

    def _retimed(self, sent: Sent) -> Sent:
        """As a venue prints it whose clock is wrong."""
        if not self.clock_ns:
            return sent
        at_ns, ms, facts = sent.at_ns + self.clock_ns, self.clock_ns // NS_PER_MS, sent.facts
        if sent.channel == "trades":
            moved = tuple(trade._replace(ms=trade.ms + ms) for trade in facts)
            return replace(sent, at_ns=at_ns, facts=moved, text=b"")
        if hasattr(facts, "ms"):
            return replace(sent, at_ns=at_ns, facts=facts._replace(ms=facts.ms + ms), text=b"")
        return replace(sent, at_ns=at_ns, text=edits.retimed(self.exchange.text(sent), ms))

    # Frames on their way

    def frame(self, session: Session, payload: bytes, sent: Sent) -> None:
        """A frame of a stream to one connection, through all faults that hit it, in the order of the plan."""
        copies = [(0, payload)]  # (delay in ns, payload)
        for entry in self.frames:
            if copies and self._meets(entry, session, sent):
                copies = self._hit_frame(entry, session, sent, copies)
        for delay_ns, copy in copies:
            if delay_ns:
                self.exchange.at(self.exchange.now_ns + delay_ns, partial(self._late, session, copy))
            else:
                self.exchange.emit(session, copy)

    def _late(self, session: Session, payload: bytes) -> None:
        if not session.over and not session.mute:
            self.exchange.emit(session, payload)

    def _meets(self, entry: Entry, session: Session, sent: Sent) -> bool:
        _, fault = entry
        name = self.exchange.instruments[sent.symbol].symbol
        if fault.connection not in (None, session.number) or (fault.symbols and name not in fault.symbols):
            return False
        if sent.channel not in edits.EDITED.get(fault.kind, (sent.channel,)):
            return False
        if fault.channels and sent.channel not in fault.channels:
            return False
        if isinstance(fault, plan.SilentStream):
            began_ns = fault.begin_ns(self.exchange.first_minute_ns)
            return not fault.heals or session.since[sent.channel, sent.symbol] < began_ns
        return self._dice(entry, session, sent) < fault.probability * (MASK + 1)

    def _dice(self, entry: Entry, session: Session, sent: Sent) -> int:
        """Chance without a state: what one fault decides changes nothing for another."""
        number = session.number if isinstance(entry[1], TRANSPORT) else 0
        return mix(self.plan.seed, entry[0], self.serial, number)

    def _hit_frame(
        self, entry: Entry, session: Session, sent: Sent, copies: list[tuple[int, bytes]]
    ) -> list[tuple[int, bytes]]:
        _, fault = entry
        self.hit(entry, sent.channel, session, (self.exchange.instruments[sent.symbol].symbol,))
        if isinstance(fault, plan.SilentStream | plan.Drop):
            return []
        if isinstance(fault, plan.WrongSequence) and fault.how == "missing":
            return []
        if isinstance(fault, plan.Duplicate):
            step_ns = round(fault.delay_ms * NS_PER_MS)
            return [(delay + step_ns * time, one) for time in range(fault.times + 1) for delay, one in copies]
        if isinstance(fault, plan.Delay):
            return [(delay + round(fault.delay_ms * NS_PER_MS), one) for delay, one in copies]
        dice = mix(self._dice(entry, session, sent))
        if isinstance(fault, plan.Reorder):
            late_ns = 1 + dice % round(fault.delay_ms * NS_PER_MS)
            return [(delay + late_ns, one) for delay, one in copies]
        return [(delay, self._edit(fault, sent, one, dice)) for delay, one in copies]

    def _edit(self, fault: Any, sent: Sent, payload: bytes, dice: int) -> bytes:
        if isinstance(fault, plan.Corrupt):
            return edits.corrupt(payload, fault, dice)
        if isinstance(fault, plan.SchemaDrift):
            return edits.drift(payload, sent.channel, fault)
        if isinstance(fault, plan.CrossedBook):
            return edits.crossed(payload, sent.channel, self.exchange.ladders[sent.symbol], fault)
        if isinstance(fault, plan.AbsurdPrice):
            return edits.absurd(payload, sent.channel, fault)
        return edits.wrong_ids(payload)

    def line(self, session: Session, nbytes: int) -> int:
        """When something said now has passed the connection's line."""
        now_ns = self.exchange.now_ns
        for _, fault in self.slow:
            if fault.connection in (None, session.number):
                if fault.bytes_per_s:
                    session.free_ns = max(now_ns, session.free_ns) + nbytes * NS_PER_S // fault.bytes_per_s
                return max(now_ns, session.free_ns) + round(fault.latency_ms * NS_PER_MS)
        return now_ns

    # Handshakes and requests

    def connect(self, number: int) -> bool:
        """Whether a new connection is dead from the start. Raises RefusedError."""
        dead = False
        for entry in self.active:
            _, fault = entry
            if isinstance(fault, plan.Maintenance) or (isinstance(fault, plan.Refuse) and fault.how == "connect"):
                raise RefusedError(503, drop=True)
            if isinstance(fault, plan.Refuse):
                limited = fault.status in (418, 429)
                raise RefusedError(fault.status, headers={"Retry-After": str(fault.retry_after_s)} if limited else None)
            if isinstance(fault, plan.HalfOpen) and fault.accepts and fault.connection in (None, number):
                dead = True
        return dead

    def request(self, name: str, symbol: str) -> float:
        """Seconds by which the answer is late. Raises RefusedError."""
        late_ms = 0.0
        for _, fault in self.active:
            if isinstance(fault, plan.Maintenance):
                raise RefusedError(503, drop=True)
            if isinstance(fault, plan.SnapshotRace):
                if fault.how == "late" and name in BOOK_REQUESTS and (not fault.symbols or symbol in fault.symbols):
                    late_ms += fault.delay_ms
            elif isinstance(fault, plan.OnRequests) and (not fault.requests or name in fault.requests):
                if isinstance(fault, plan.RestDown):
                    raise RefusedError(503, drop=True)
                if isinstance(fault, plan.Rest429):
                    body = b'{"code":-1003,"msg":"Too many requests."}'
                    raise RefusedError(fault.status, body, {"Retry-After": str(fault.retry_after_s)})
                if isinstance(fault, plan.RestSlow):
                    late_ms += fault.delay_ms
        return late_ms / 1e3

    def ladder(self, symbol: int) -> Ladder:
        """The book that a request is answered with."""
        for _, fault in self.active:
            if isinstance(fault, plan.SnapshotRace) and fault.how == "old" and symbol in self.frozen:
                return self.frozen[symbol]
        return self.exchange.ladders[symbol]
