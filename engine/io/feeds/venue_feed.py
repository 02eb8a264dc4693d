"""One venue: its lines, which symbols they carry, what is parked, and what fell silent."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import orjson

from config.schema import Config, Venue
from engine.core.control import StreamTurn
from engine.core.errors import ConfigError
from engine.core.instruments import Instrument
from engine.core.minutes import NS_PER_S
from engine.core.ports import Clock, Http, Transport
from engine.core.records import RecordKind
from engine.io.feeds.connection import LEAST_REAL_S, Append, Connection, World
from engine.io.feeds.endless import Job, OnCrash, endless
from engine.io.feeds.line import Line
from engine.io.feeds.listings import check_scales
from engine.io.feeds.needs import Needs
from engine.io.feeds.pace import Allowance
from engine.io.feeds.rest import Rest
from engine.io.feeds.silence import Silence
from engine.io.venues.end import Answer, Listed, VenueEnd

PARK_S = 3600.0  # for which a refused symbol is left alone
LOOK_S = 0.25
RENEW_LEAST_S, RENEW_MOST_S = 10.0, 300.0  # between two subscriptions to a stream that stays silent


def _check_address(key: str, url: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        is_address = url.startswith(schemes) and host and parts.port != 0
    except ValueError:  # a port or a host that is none
        is_address = False
    if not is_address:
        raise ConfigError(f"{key}: {url!r} is no address; expected one like {schemes[1]}host/path")


class VenueFeed:
    """next_ids: of one more line. listing: how symbols are listed; None while the venue has not told it."""

    def __init__(
        self,
        end: VenueEnd,
        settings: Venue,
        config: Config,
        next_ids: Callable[[], tuple[int, int] | None],
        listing: Callable[[], Mapping[str, Listed] | None],
        *,
        append: Append,
        clock: Clock,
        transport: Transport,
        http: Http,
        rng: random.Random,
        on_crash: OnCrash,
    ) -> None:
        self.end, self.channels = end, list(settings.channels or end.usual)
        self.rest_url = (settings.rest_url or end.rest_url).rstrip("/")
        self._append, self._clock, self._on_crash = append, clock, on_crash
        self._next_ids, self._listing, self._copies = next_ids, listing, settings.connections_each
        self._chosen = config.core.universe.base_symbols > 0
        limits = end.limits
        shared = Allowance(limits.messages, limits.messages_s, clock) if limits.shared else None
        connects = Allowance(limits.connects, limits.connects_s, clock)
        url = settings.ws_url or end.ws_url
        _check_address(f"venues.{end.venue}.ws_url", url, ("ws://", "wss://"))
        if not urlsplit(url).path.endswith(end.ws_path):
            raise ConfigError(
                f"venues.{end.venue}.ws_url: {url!r} does not end with {end.ws_path}; "
                f"{end.venue} is heard at an address like {end.ws_url}"
            )
        _check_address(f"venues.{end.venue}.rest_url", self.rest_url, ("http://", "https://"))
        self._world = World(end, url, append, clock, transport, rng, config.feeds, connects, shared)
        self.rest = Rest(
            end, self.rest_url, self._rest_source,
            append=append, clock=clock, http=http, rng=rng, timeout_s=config.feeds.rest_timeout_s, on_crash=on_crash,
        )  # fmt: skip
        self._groups: list[list[Line]] = []  # lines with the same streams
        self._group_of: dict[str, int] = {}  # symbol -> its group
        self._symbols: list[str] = []  # that are to be carried, parked ones too
        self._without_depth: frozenset[str] = frozenset()
        self._told: set[str] = set()  # symbols whose instrument this process journaled
        self._known: Mapping[str, Instrument] = {}
        self._parked: dict[str, int] = {}  # symbol -> until when
        self._tasks: list[asyncio.Task[None]] = []
        self._paused = False
        self.needs = Needs(end, self.channels, self.rest, clock, self._host)
        least_s = LEAST_REAL_S / clock.seconds(1.0)
        self._silence, self._look_s = Silence(end, least_s), max(LOOK_S, least_s / 5)
        self._renewals: dict[tuple[int, str, str], tuple[int, float]] = {}  # when to subscribe again, and the wait then

    # Life ----------------------------------------------------------------------------------------------------------

    def start(
        self, symbols: Iterable[str], without_depth: Iterable[str], told: Iterable[str],
        known: Mapping[str, Instrument],
    ) -> None:  # fmt: skip
        """Connect and carry these symbols. told: whose instruments this process journaled; known: any process did."""
        self._told, self._known = set(told), known
        self.carry(symbols, without_depth)
        self.rest.start()
        poll = partial(self.needs.poll, lambda: list(self._group_of) if self._is_up() else [])
        jobs: list[Job] = [self._look_after, poll]
        if self._chosen:
            jobs.append(partial(self.needs.poll_totals, self._is_up))
        self._tasks = [
            asyncio.ensure_future(endless(job, self._on_crash, self._clock, self._world.rng)) for job in jobs
        ]

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

    def _lines(self) -> list[Line]:
        return [line for group in self._groups for line in group]

    @property
    def connections(self) -> list[Connection]:
        return [connection for line in self._lines() for connection in line.connections]

    def _is_up(self) -> bool:
        return any(connection.state == "up" for connection in self.connections)

    def _rest_source(self) -> int:
        """A connection that the core knows to be of this venue."""
        up = [connection.source for connection in self.connections if connection.up_ns >= 0]
        return up[0] if up else 0

    # What is carried -----------------------------------------------------------------------------------------------

    def carry(self, symbols: Iterable[str], without_depth: Iterable[str] = ()) -> None:
        """Spread these symbols over lines. A symbol keeps its line; a line that is full gets a neighbour."""
        self._symbols, self._without_depth = list(symbols), frozenset(without_depth)
        wanted = [symbol for symbol in self._symbols if symbol not in self._parked and self._tell_instrument(symbol)]
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

    def listing_came(self) -> None:
        """What was taken from the journal is now told by the venue."""
        self.carry(self._symbols, self._without_depth)

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
        """Journal a symbol's instrument before anything is subscribed; False if it cannot be carried."""
        listing, before = self._listing(), self._known.get(symbol)
        if symbol in self._told or (listing is None and before is not None):
            return True
        try:
            if listing is None:
                raise ConfigError(f"{self.end.venue} has not told yet what it lists")
            if symbol not in listing or not listing[symbol].trading:
                raise ConfigError(f"{symbol} is not traded on {self.end.venue}")
            instrument = self.end.instrument(symbol, listing[symbol])
            check_scales(before, instrument)
        except ConfigError as error:
            self._host("symbol_not_carried", {"venue": self.end.venue, "symbol": symbol, "reason": str(error)})
            return False
        self._told.add(symbol)
        self._append(int(RecordKind.INSTRUMENT), 0, instrument.encode())
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
        self.carry(self._symbols, self._without_depth)

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
                "silent": [f"{heard.channel} {heard.symbol}" for heard in connection.heard.values() if heard.silent_ns],
                "reason": connection.reason,
            }
            for connection in self.connections
        ]

    # What is done by the clock -------------------------------------------------------------------------------------

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(self._clock.seconds(self._look_s))
            now_ns = self._clock.now_ns()
            self.needs.ask_for_books(self._heard_books, now_ns)
            self._unpark(now_ns)
            self._listen(now_ns)

    def _heard_books(self) -> set[str]:
        """Symbols of whose book a change was heard on a link that lives."""
        return {
            heard.symbol
            for connection in self.connections
            if connection.state == "up"
            for heard in connection.heard.values()
            if heard.count and heard.channel in self.end.depth_channels
        }

    def _unpark(self, now_ns: int) -> None:
        over = [symbol for symbol, until_ns in self._parked.items() if until_ns <= now_ns]
        if over:
            for symbol in over:
                del self._parked[symbol]
            self.carry(self._symbols, self._without_depth)

    def _listen(self, now_ns: int) -> None:
        """Tell which streams fell silent and which are back, and subscribe again to the silent ones."""
        current = [[group[copy].current for group in self._groups if copy < len(group)] for copy in range(self._copies)]
        of_stream = {
            id(heard): connection
            for connections in current
            for connection in connections
            if connection.state == "up"
            for heard in connection.heard.values()
        }
        copies = [
            [heard for connection in connections if connection.state == "up" for heard in connection.heard.values()]
            for connections in current
        ]
        excused_ns = max((connection.excused_ns for connection in self.connections), default=0)
        for heard in self._silence.look(now_ns, copies, excused_ns):
            connection = of_stream[id(heard)]
            name = connection.source, heard.channel, heard.symbol
            if heard.silent_ns:
                reason = f"nothing for {(now_ns - heard.heard_ns) / NS_PER_S:.1f} s"
                turn = StreamTurn(self.end.venue, heard.channel, heard.symbol, "silent", heard.heard_ns, reason)
                self._renewals[name] = now_ns, RENEW_LEAST_S
            else:
                turn = StreamTurn(self.end.venue, heard.channel, heard.symbol, "back", heard.heard_ns)
            self._tell_stream(connection, turn)
        self._renew(now_ns)

    def _renew(self, now_ns: int) -> None:
        """Subscribe again to what is silent, at growing intervals."""
        renewals: dict[tuple[int, str, str], tuple[int, float]] = {}
        for connection in self.connections:
            due = []
            for heard in connection.heard.values() if connection.state == "up" else ():
                name = connection.source, heard.channel, heard.symbol
                if not heard.silent_ns or name not in self._renewals:
                    continue
                due_ns, wait_s = self._renewals[name]
                if now_ns >= due_ns:
                    due.append((heard.channel, heard.symbol))
                    due_ns, wait_s = now_ns + int(wait_s * NS_PER_S), min(RENEW_MOST_S, 2 * wait_s)
                renewals[name] = due_ns, wait_s
            connection.renew(due)
        self._renewals = renewals
