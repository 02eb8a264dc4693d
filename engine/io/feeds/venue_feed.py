"""One venue: its lines, which symbols they carry, its requests, and what is parked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from config.schema import Config, Venue
from engine.core.control import StreamTurn
from engine.core.effects import BackfillNeeded, CandleNeeded, SnapshotNeeded, Wanted
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.core.ports import Clock, Http, Transport
from engine.core.records import RecordKind
from engine.io.feeds.connection import Append, Connection, World
from engine.io.feeds.line import Line
from engine.io.feeds.pace import Allowance
from engine.io.feeds.rest import Need, Rest
from engine.io.venues.end import Answer, Listed, VenueEnd

PARK_S = 3600.0  # for which a refused symbol is left alone
CANDLE_AFTER_S = 0.2  # behind the end of its minute before a candle is asked for
CANDLE_AGAIN_S = 0.5
CANDLE_ATTEMPTS = 8
BACKFILL_ATTEMPTS = 6
BACKFILL_PAGES_MAX = 50
SNAPSHOT_WAIT_S = 2.0  # for the first message of a book's stream, without which a snapshot would come too early
LOOK_S = 0.25
TOTALS_EVERY_S = 60.0


class VenueFeed:
    """next_ids: of one more line. listed: (venue, symbol) -> how it is listed, or None."""

    def __init__(
        self,
        end: VenueEnd,
        settings: Venue,
        config: Config,
        next_ids: Callable[[], tuple[int, int] | None],
        listed: Callable[[str, str], Listed | None],
        *,
        append: Append,
        clock: Clock,
        transport: Transport,
        http: Http,
        rng: random.Random,
        on_crash: Callable[[Exception], None],
    ) -> None:
        self.end, self.channels = end, list(settings.channels or end.usual)
        self.rest_url = (settings.rest_url or end.rest_url).rstrip("/")
        self._append, self._clock, self._on_crash = append, clock, on_crash
        self._next_ids, self._listed, self._copies = next_ids, listed, settings.connections_each
        limits = end.limits
        shared = Allowance(limits.messages, limits.messages_s, clock) if limits.shared else None
        connects = Allowance(limits.connects, limits.connects_s, clock)
        url = settings.ws_url or end.ws_url
        self._world = World(end, url, append, clock, transport, rng, config.feeds, connects, shared)
        self.rest = Rest(
            end, self.rest_url, self._rest_source,
            append=append, clock=clock, http=http, rng=rng, timeout_s=config.feeds.rest_timeout_s,
        )  # fmt: skip
        self._groups: list[list[Line]] = []  # lines with the same streams
        self._group_of: dict[str, int] = {}  # symbol -> its group
        self._without_depth: frozenset[str] = frozenset()
        self._told: set[str] = set()  # symbols whose instrument was journaled
        self._parked: dict[str, int] = {}  # symbol -> until when
        self._early_books: dict[str, int] = {}  # symbol -> when its snapshot is asked for at the latest
        self._tasks: list[asyncio.Task[None]] = []
        self._totals = False
        self._paused = False

    # Life ----------------------------------------------------------------------------------------------------------

    def start(self, symbols: Iterable[str], without_depth: Iterable[str]) -> None:
        """Connect and carry these symbols, whose instruments are journaled."""
        self._told |= set(symbols)
        self.carry(symbols, without_depth)
        self.rest.start()
        self._tasks = [asyncio.ensure_future(task) for task in (self._look_after(), self._poll())]
        for task in self._tasks:
            task.add_done_callback(self._report)

    async def stop(self, reason: str) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(line.stop(reason) for line in self._lines()))
        await self.rest.stop()

    def pause(self, on: bool) -> None:
        self._paused = on
        for line in self._lines():
            line.pause(on)

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._on_crash(error)

    def _lines(self) -> list[Line]:
        return [line for group in self._groups for line in group]

    def _connections(self) -> list[Connection]:
        return [connection for line in self._lines() for connection in line.connections]

    def _rest_source(self) -> int:
        """A connection that the core knows to be of this venue."""
        up = [connection.source for connection in self._connections() if connection.up_ns >= 0]
        return up[0] if up else 0

    # What is carried -----------------------------------------------------------------------------------------------

    def carry(self, symbols: Iterable[str], without_depth: Iterable[str] = ()) -> None:
        """Spread these symbols over lines. A symbol keeps its line; a line that is full gets a neighbour."""
        self._without_depth = frozenset(without_depth)
        wanted = [symbol for symbol in symbols if symbol not in self._parked and self._tell_instrument(symbol)]
        kept = set(wanted)
        self._group_of = {symbol: group for symbol, group in self._group_of.items() if symbol in kept}
        room = max(1, self.end.limits.streams // max(1, len(self.channels)))
        for symbol in wanted:
            if symbol not in self._group_of:
                group = self._group_with_room(room)
                if group is None:
                    self._host("connections_full", {"venue": self.end.venue, "symbol": symbol})
                    continue
                self._group_of[symbol] = group
        for number, lines in enumerate(self._groups):
            streams = [
                (channel, symbol)
                for symbol in wanted
                if self._group_of.get(symbol) == number
                for channel in self.channels
                if not (symbol in self._without_depth and channel in self.end.depth_channels)
            ]
            for line in lines:
                line.carry(streams)

    def _group_with_room(self, room: int) -> int | None:
        taken = list(self._group_of.values())
        for number in range(len(self._groups)):
            if taken.count(number) < room:
                return number
        lines = []
        for _ in range(self._copies):
            ids = self._next_ids()
            if ids is None:
                break
            line = Line(self._world, ids, self._on_answer, self._on_crash)
            line.pause(self._paused)
            line.start()
            lines.append(line)
        if not lines:
            return None
        self._groups.append(lines)
        return len(self._groups) - 1

    def _tell_instrument(self, symbol: str) -> bool:
        """Journal a symbol's instrument before anything is subscribed; False if the venue has no such symbol."""
        if symbol in self._told:
            return True
        listed = self._listed(self.end.venue, symbol)
        if listed is None or not listed.trading:
            self._host("symbol_not_listed", {"venue": self.end.venue, "symbol": symbol})
            return False
        self._told.add(symbol)
        self._append(int(RecordKind.INSTRUMENT), 0, self.end.instrument(symbol, listed).encode())
        return True

    def _host(self, kind: str, detail: dict[str, int | float | str]) -> None:
        self._append(int(RecordKind.HOST), 0, orjson.dumps({"kind": kind, "detail": detail}))

    # What the venue says of itself ---------------------------------------------------------------------------------

    def _on_answer(self, connection: Connection, answer: Answer) -> None:
        if answer.kind == "closing":
            for line in self._lines():
                if connection in line.connections:
                    line.move()
        elif answer.kind == "refused":
            for channel, symbol in answer.streams:
                self._refuse(connection, channel, symbol, answer.reason)

    def _refuse(self, connection: Connection, channel: str, symbol: str, reason: str) -> None:
        """Park a symbol that the venue does not carry; all others go on as they were."""
        turn = StreamTurn(self.end.venue, channel, symbol, "refused", connection.last_frame_ns, reason)
        self._tell_stream(connection, turn)
        self._parked[symbol] = self._clock.now_ns() + int(PARK_S * NS_PER_S)
        self.carry([name for name in self._group_of if name != symbol], self._without_depth)

    def _tell_stream(self, connection: Connection, turn: StreamTurn) -> None:
        self._append(int(RecordKind.STREAM), connection.source, orjson.dumps(turn))

    def parked_symbols(self) -> list[str]:
        return sorted(self._parked)

    def links(self) -> list[dict[str, Any]]:
        """As engine.io.status.Link."""
        return [
            {
                "venue": self.end.venue,
                "id": connection.source,
                "state": connection.state,
                "since_ns": connection.since_ns,
                "last_frame_ns": connection.last_frame_ns or None,
                "frames": connection.frames,
                "bytes": connection.bytes,
                "reconnects": connection.reconnects,
                "streams": len(connection.streams),
                "silent": [],
                "reason": connection.reason,
            }
            for connection in self._connections()
        ]

    # What the conveyor asks for ------------------------------------------------------------------------------------

    def perform(self, effect: SnapshotNeeded | BackfillNeeded | CandleNeeded | Wanted) -> None:
        if isinstance(effect, Wanted):
            self.carry(effect.symbols, effect.without_depth)
        elif isinstance(effect, SnapshotNeeded):
            self._early_books.setdefault(effect.symbol, self._clock.now_ns() + int(SNAPSHOT_WAIT_S * NS_PER_S))
            self._ask_for_books()
        elif isinstance(effect, CandleNeeded):
            self._ask_for_candle(effect)
        else:
            self._ask_for_trades(effect, effect.after_id, 0)

    def _ask_for_books(self) -> None:
        """Snapshots of books whose changes are heard already: one taken earlier could not be joined to them."""
        heard = {
            stream.symbol
            for connection in self._connections()
            for stream in connection.heard.values()
            if stream.count and stream.channel in self.end.depth_channels
        }
        now_ns = self._clock.now_ns()
        for symbol, latest_ns in list(self._early_books.items()):
            if symbol in heard or now_ns >= latest_ns:
                del self._early_books[symbol]
                request = self.end.snapshot(symbol)
                if request is not None and symbol in self._group_of:
                    self.rest.ask(request, Need.SNAPSHOT)

    def _ask_for_candle(self, effect: CandleNeeded) -> None:
        request = self.end.candle(effect.symbol, effect.minute)
        closed_ns = (effect.minute + 1) * NS_PER_MINUTE
        after_s = max(0.0, (closed_ns - self._clock.now_ns()) / NS_PER_S + CANDLE_AFTER_S)

        def then(body: bytes) -> float | None:
            return None if self.end.has_candle(body, effect.minute) else CANDLE_AGAIN_S

        self.rest.ask(request, Need.CANDLE, then, attempts=CANDLE_ATTEMPTS, after_s=after_s)

    def _ask_for_trades(self, effect: BackfillNeeded, after_id: int, page: int) -> None:
        """The pages of what was missed, each asked for when the one before has come."""
        channel = next((name for name in self.channels if name in self.end.trade_channels), "")
        request = self.end.trades(effect.symbol, channel, after_id, effect.from_ns, effect.to_ns) if channel else None
        if request is None:
            return

        def then(body: bytes) -> float | None:
            count, last_id, last_ns = self.end.last_trade(body)
            if count >= self.end.trades_page and last_ns <= effect.to_ns and last_id > after_id:
                if page + 1 < BACKFILL_PAGES_MAX:
                    self._ask_for_trades(effect, last_id, page + 1)
                else:
                    self._host("backfill_cut", {"venue": self.end.venue, "symbol": effect.symbol, "pages": page + 1})
            return None

        self.rest.ask(request, Need.BACKFILL, then, attempts=BACKFILL_ATTEMPTS)

    # What is done by the clock -------------------------------------------------------------------------------------

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(self._clock.seconds(LOOK_S))
            if self._early_books:
                self._ask_for_books()
            now_ns = self._clock.now_ns()
            over = [symbol for symbol, until_ns in self._parked.items() if until_ns <= now_ns]
            if over:
                for symbol in over:
                    del self._parked[symbol]
                self.carry([*self._group_of, *over], self._without_depth)

    async def _poll(self) -> None:
        """Ask for the polled channels of all symbols, spread evenly over their period."""
        channels = [channel for channel in self.channels if channel in self.end.polled]
        while True:
            streams = [(channel, symbol) for channel in channels for symbol in self._group_of]
            step_s = self.end.poll_every_s / max(1, len(streams))
            for channel, symbol in streams:
                if any(connection.state == "up" for connection in self._connections()):
                    self.rest.ask(self.end.poll(channel, symbol), Need.POLL, attempts=1)
                await asyncio.sleep(self._clock.seconds(step_s))
            if not streams:
                await asyncio.sleep(self._clock.seconds(step_s))
