"""Control records: what is traded, which connections live, and what each of them carries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from engine.core.control import STREAM_TURN, SUBSCRIPTION, TURN, read_control
from engine.core.effects import Effect, Event, SnapshotNeeded
from engine.core.errors import ConfigError
from engine.core.frame import ROLE_BOOK, ROLE_BOTH, ROLE_QUOTE
from engine.core.instruments import Instrument
from engine.core.layouts import CLOCK_QUOTES, CLOCK_SEQ, MINUTES_AHEAD, NAME_BYTES, SET_LATENESS_START
from engine.core.marks import add_mark
from engine.core.minutes import minute_of
from engine.core.records import Record
from engine.core.registry import Registry
from engine.core.schema import NULL, Reason
from engine.core.state import Tape
from engine.tape.dialect import Dialect
from engine.tape.routes import add_route
from engine.tape.venues import VENUES

CARRIERS = ("trade_carriers", "quote_carriers", "book_carriers")


def dialect_of(venue: str) -> tuple[int, Dialect]:
    """Number and dialect of a venue by name."""
    for number, dialect in enumerate(VENUES):
        if dialect.venue == venue:
            return number, dialect
    known = ", ".join(dialect.venue for dialect in VENUES)
    raise ConfigError(f"venue {venue!r}: no decoder of that name; known are {known}")


def enter_venue(tape: Tape, registry: Registry, name: str) -> int:
    """Index of a venue, entered with its dialect if it is new."""
    number, _ = dialect_of(name)
    venue = registry.venue(name, len(tape.venues))
    tape.venues[venue]["dialect"], tape.venues[venue]["backfills"] = number, VENUES[number].arrival_order
    return venue


def add_instrument(tape: Tape, registry: Registry, record: Record) -> list[Effect]:
    """A symbol and its scales. A later record of the same symbol must agree: a change of scale needs a new session."""
    instrument = Instrument.decode(record.payload)
    venue = enter_venue(tape, registry, instrument.venue)
    _, dialect = dialect_of(instrument.venue)
    known = registry.symbol(instrument.venue, instrument.symbol)
    if known >= 0:
        before = registry.instruments[known]
        if (before.price_decimals, before.quantity_decimals) != (
            instrument.price_decimals,
            instrument.quantity_decimals,
        ):
            raise ConfigError(
                f"instrument {instrument.venue} {instrument.symbol}: scales changed from {before.price_decimals},"
                f"{before.quantity_decimals} to {instrument.price_decimals},{instrument.quantity_decimals} at seq "
                f"{record.seq}; begin a new journal at the change"
            )
        return []
    index = len(registry.instruments)
    if index == len(tape.symbols):
        raise ConfigError(
            f"instrument {instrument.symbol}: limit symbols_max = {index} reached; raise core.limits.symbols_max"
        )
    registry.add(instrument)
    symbol = tape.symbols[index]
    symbol["venue"] = venue
    symbol["price_decimals"], symbol["quantity_decimals"] = instrument.price_decimals, instrument.quantity_decimals
    symbol["inverse"], symbol["contract_size"] = instrument.inverse, instrument.contract_size
    symbol["arrival_order"], symbol["spot_sequence"] = dialect.arrival_order, dialect.spot_sequence
    symbol["name_length"] = len(instrument.symbol)
    symbol["name"] = np.frombuffer(instrument.symbol.encode().ljust(64, b"\0"), "<i8")
    _add_route(tape, dialect, instrument.symbol, -1, index)
    for place, request in enumerate(dialect.requests, len(dialect.channels)):
        _add_route(tape, dialect, f"{request} {instrument.symbol}", place, index)
    return []


def _add_route(tape: Tape, dialect: Dialect, name: str, channel: int, symbol: int) -> None:
    if len(name) >= NAME_BYTES:
        return  # the slow path reads it
    encoded = np.frombuffer(name.encode().ljust(64, b"\0"), np.uint8).copy()
    add_route(tape.routes, VENUES.index(dialect), encoded.ctypes.data, len(name), channel, symbol)


def turn_connection(tape: Tape, registry: Registry, record: Record) -> list[Effect]:
    """A connection comes up or goes down."""
    turn, c = read_control("connection", TURN, record.payload), _connection(tape, record)
    connection = tape.connections[c]
    venue = enter_venue(tape, registry, turn.venue)
    if turn.state == "up":
        connection["venue"] = venue
        if connection["live"]:  # the process died and could not say that it went down
            connection["last_event_before_up_ns"] = connection["event_ns_max"]
        connection["lateness_ns"] = tape.settings[SET_LATENESS_START]
        connection["live"], connection["up_ns"], connection["first_event"] = 1, record.recv_ns, 1
        connection["last_recv_ns"] = record.recv_ns
    elif connection["live"]:
        _go_down(tape, c, record.recv_ns)
    detail = {"connection": c, "reason": turn.reason}
    return [Event(record.seq, record.recv_ns, f"connection_{turn.state}", turn.venue, "", detail)]


def _connection(tape: Tape, record: Record) -> int:
    """The connection that a record is about, within the limit."""
    if record.source >= len(tape.connections):
        raise ConfigError(
            f"connection {record.source}: limit connections_max = {len(tape.connections)}; "
            "raise core.limits.connections_max"
        )
    return record.source


def _go_down(tape: Tape, c: int, recv_ns: int) -> None:
    """From the last thing heard on, nothing that only this connection carried is in force, and its minute is cut."""
    connection = tape.connections[c]
    connection["live"], connection["first_event"] = 0, 0
    last_ns = int(connection["event_ns_max"])
    connection["last_event_before_up_ns"] = last_ns
    now_ns = recv_ns - _offset(connection)
    open_minute = int(tape.venues[connection["venue"]]["open_minute"])
    trades, quotes, books = (_alone(tape, c, field) for field in CARRIERS)
    for symbol in sorted(quotes | books):
        _silence(tape, symbol, last_ns, symbol in quotes, symbol in books)
    for symbol in sorted(books):
        _lose_book(tape, symbol, open_minute)
    if last_ns < 0 or open_minute < 0:
        return
    for symbol in sorted(trades | quotes | books):
        for minute in _markable(open_minute, minute_of(last_ns), minute_of(now_ns)):
            add_mark(tape.marks, symbol, minute, int(Reason.EDGE))


def _offset(connection: Any) -> int:
    known = [int(connection[name]) for name in ("offset_now_ns", "offset_before_ns") if connection[name] != NULL]
    return min(known, default=0)


def _alone(tape: Tape, c: int, field: str) -> set[int]:
    """Symbols of which no other live connection carries the channel that `field` tells the carriers of."""
    others = _bits(i for i in np.flatnonzero(tape.connections["live"]).tolist() if i != c)
    carriers = tape.symbols[field]
    return {int(s) for s in np.flatnonzero((carriers >> c & 1 == 1) & (carriers & others == 0))}


def _markable(open_minute: int, first: int, last: int) -> range:
    """Minutes of first..last that are not closed and near enough to hold a mark."""
    return range(max(open_minute, first), min(last, open_minute + MINUTES_AHEAD) + 1)


def _bits(places: Iterable[int]) -> int:
    """The bit set of some places."""
    bits = 0
    for place in places:
        bits |= 1 << place
    return bits


def _silence(tape: Tape, symbol: int, event_ns: int, quote: bool, book: bool) -> None:
    """No quote, no book of the symbol is in force any more: a flat bar would be invented."""
    if tape.symbols[symbol]["quote_channel"] < 0 or (quote and book):
        role = ROLE_BOTH
    else:
        role = ROLE_QUOTE if quote else ROLE_BOOK
    tick = tape.quote_ticks[tape.clock[CLOCK_QUOTES]]
    tape.clock[CLOCK_QUOTES] += 1
    tick["symbol"], tick["role"], tick["event_ns"] = symbol, role, event_ns
    tick["valid"] = tick["updates"] = 0


def _lose_book(tape: Tape, symbol: int, open_minute: int) -> None:
    """A book whose connection ended is out of step, whatever comes next."""
    book = tape.books[symbol]
    if book["synced"]:
        book["synced"], book["broken"] = 0, 2
        if open_minute >= 0:
            add_mark(tape.marks, symbol, open_minute, int(Reason.BOOK_GAP))


def first_event(tape: Tape, registry: Registry, c: int) -> tuple[list[Effect], list[tuple[int, int, Reason]]]:
    """The first core message after a connect: what the connection may have missed before it is marked.

    Returns effects, and (symbol, minute, reason) of minutes that are closed already and lose their status.
    """
    connection = tape.connections[c]
    venue = int(connection["venue"])
    first_ns, up_ns = int(connection["first_event_ns"]), int(connection["up_ns"])
    earlier_ns = int(connection["last_event_before_up_ns"])
    open_minute = int(tape.venues[venue]["open_minute"])
    began_ns, ended_ns = min(first_ns, up_ns) if earlier_ns < 0 else earlier_ns, max(first_ns, up_ns)
    trades, quotes, books = (_alone(tape, c, field) for field in CARRIERS)
    closed: list[tuple[int, int, Reason]] = []
    for symbol in sorted(trades | quotes | books):
        if earlier_ns < 0:
            reason = Reason.EDGE
        else:
            reason = Reason.GAP if symbol in trades else Reason.BOOK_GAP
            closed += [(symbol, minute, reason) for minute in range(minute_of(began_ns), open_minute)]
        for minute in _markable(open_minute, minute_of(began_ns), minute_of(ended_ns)):
            add_mark(tape.marks, symbol, minute, int(reason))
    if earlier_ns < 0:
        return [], []
    detail = {"connection": c, "from_ns": began_ns, "to_ns": ended_ns}
    return [Event(int(tape.clock[CLOCK_SEQ]), up_ns, "gap", registry.venues[venue], "", detail)], closed


def turn_stream(tape: Tape, registry: Registry, record: Record) -> list[Effect]:
    """One stream of a connection falls silent, comes back, or is refused by the venue."""
    turn, c = read_control("stream", STREAM_TURN, record.payload), _connection(tape, record)
    enter_venue(tape, registry, turn.venue)
    detail = {"connection": c, "channel": turn.channel, "since_ns": turn.since_ns, "reason": turn.reason}
    return [Event(record.seq, record.recv_ns, f"stream_{turn.state}", turn.venue, turn.symbol, detail)]


def subscribe(tape: Tape, registry: Registry, record: Record) -> list[Effect]:
    """What a connection carries from now on; the list replaces the one before."""
    told, c = read_control("subscription", SUBSCRIPTION, record.payload), _connection(tape, record)
    venue = enter_venue(tape, registry, told.venue)
    _, dialect = dialect_of(told.venue)
    pairs = [(stream.channel, stream.symbol) for stream in told.channels]
    for channel, name in pairs:
        if dialect.channel_index(channel) < 0:
            raise ConfigError(
                f"subscription to {channel!r} of {name}: {dialect.venue} has no such channel at seq {record.seq}"
            )
        if registry.symbol(dialect.venue, name) < 0:
            raise ConfigError(
                f"subscription to {name} of {dialect.venue} at seq {record.seq} comes before its instrument record"
            )
    registry.subscriptions[c] = pairs
    if tape.venues[venue]["subscribed_ns"] < 0:
        tape.venues[venue]["subscribed_ns"] = record.recv_ns
    _derive(tape, registry, dialect, venue, c, record.recv_ns)
    effects: list[Effect] = []
    for channel, name in pairs:
        if dialect.channels[dialect.channel_index(channel)].diff:
            effects.append(SnapshotNeeded(record.seq, dialect.venue, name, "subscribed"))
    return effects


def _derive(tape: Tape, registry: Registry, dialect: Dialect, venue: int, source: int, recv_ns: int) -> None:
    """Everything that follows from the subscriptions of a venue's connections: routes, channels, carriers, votes.

    A symbol that begins or ceases inside a minute is cut there: source and recv_ns are of the subscription record.
    """
    mine = np.flatnonzero(tape.symbols["venue"] == venue)
    before = tape.symbols["active"][mine].copy()
    wanted: dict[int, list[tuple[int, int]]] = {int(symbol): [] for symbol in mine}
    for c, pairs in sorted(registry.subscriptions.items()):
        if tape.connections[c]["venue"] != venue:
            continue
        channels = [dialect.channels[dialect.channel_index(channel)] for channel, _ in pairs]
        tape.connections[c]["votes"] = any(channel.core is not None and channel.timed for channel in channels)
        for channel, name in pairs:
            index, symbol = dialect.channel_index(channel), registry.symbol(dialect.venue, name)
            wanted[symbol].append((index, c))
            for stream in dialect.stream_names(channel, name):
                _add_route(tape, dialect, stream, index, symbol if stream != channel else -1)
    for symbol, carried in wanted.items():
        if carried:
            _derive_symbol(tape.symbols[symbol], dialect, carried)
        elif tape.symbols[symbol]["active"]:
            tape.symbols[symbol]["active"] = 2  # what it was carried by stays, until its last minute is judged
    now = tape.symbols["active"][mine]
    open_minute = int(tape.venues[venue]["open_minute"])
    if open_minute >= 0:
        heard = minute_of(recv_ns - _offset(tape.connections[source]))
        for symbol in mine[(before == 1) != (now == 1)].tolist():
            for minute in _markable(open_minute, open_minute, heard):
                add_mark(tape.marks, symbol, minute, int(Reason.EDGE))


def _derive_symbol(row: Any, dialect: Dialect, carried: list[tuple[int, int]]) -> None:
    indices = sorted({index for index, _ in carried})
    for name, core in (("trade_channel", 0), ("quote_channel", 1), ("book_channel", 2)):
        row[name] = next((i for i in indices if dialect.channels[i].core == core), -1)
    used = [i for i in (row["trade_channel"], row["quote_channel"], row["book_channel"]) if i >= 0]
    row["carriers"] = _bits(c for index, c in carried if index in used)
    for core, field in enumerate(CARRIERS):
        channel = row[("trade_channel", "quote_channel", "book_channel")[core]]
        row[field] = _bits(c for index, c in carried if index == channel)
    row["book_is_diff"] = row["book_channel"] >= 0 and dialect.channels[row["book_channel"]].diff
    for kind in ("quote", "book"):
        channel = row[f"{kind}_channel"]
        row[f"{kind}_on_change"] = channel >= 0 and dialect.channels[channel].on_change
    feeds = {feed for i in indices for feed in dialect.channels[i].carries}
    row["has_interest"], row["has_mark"] = "interest" in feeds, "mark" in feeds
    row["has_liquidations"] = "liquidations" in feeds
    row["active"] = bool(used)
