"""Control records: what is traded, which connections live, and what each of them carries."""

from __future__ import annotations

import numpy as np

from engine.core.control import STREAM_TURN, SUBSCRIPTION, TURN, read_control
from engine.core.effects import Effect, Event, SnapshotNeeded
from engine.core.errors import ConfigError
from engine.core.frame import CORE_BOOK
from engine.core.instruments import Instrument
from engine.core.layouts import BOOK_ASKED, CARRIED, CLOCK_SEQ, NAME_BYTES, SET_LATENESS_START
from engine.core.marks import add_mark
from engine.core.minutes import NS_PER_MINUTE, minute_of
from engine.core.records import Record
from engine.core.registry import Registry
from engine.core.schema import Reason
from engine.core.state import Tape
from engine.tape.carriers import (
    CARRIERS,
    CORES,
    REASONS,
    Turned,
    bits_of,
    carried,
    cut,
    forget,
    forsaken,
    found,
    hear,
    hide,
    lose,
    markable,
    newest_heard,
    venue_time,
)
from engine.tape.dialect import Dialect
from engine.tape.routes import add_route
from engine.tape.venues import VENUES

CHANNELS = ("trade_channel", "quote_channel", "book_channel")


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
        if instrument.funding_interval_h:
            tape.symbols[known]["funding_interval_h"] = instrument.funding_interval_h
        return []
    index = len(registry.instruments)
    if index == len(tape.symbols):
        raise ConfigError(
            f"instrument {instrument.symbol}: limit symbols_max = {index} reached; raise core.limits.symbols_max"
        )
    registry.add(instrument)
    symbol = tape.symbols[index]
    symbol["funding_interval_h"] = instrument.funding_interval_h or dialect.funding_interval_h
    symbol["venue"] = venue
    symbol["price_decimals"], symbol["quantity_decimals"] = instrument.price_decimals, instrument.quantity_decimals
    symbol["inverse"], symbol["contract_size"] = instrument.inverse, instrument.contract_size
    symbol["ids_count"] = dialect.ids_count
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
    if connection["live"]:  # if it comes up now, the process died and could not say that it went down
        _go_down(tape, c, record.recv_ns)
    if turn.state == "up":
        connection["venue"] = venue
        connection["lateness_ns"] = tape.settings[SET_LATENESS_START]
        connection["live"], connection["first_event"] = 1, 1
        connection["up_ns"] = connection["told_ns"] = connection["last_recv_ns"] = record.recv_ns
        tape.symbols["unheard"] |= 1 << c
        tape.symbols["silent"] &= ~(1 << c)
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
    venue = int(connection["venue"])
    now_ns = venue_time(tape, venue, recv_ns)
    connection["live"], connection["first_event"] = 0, 0
    _let_go(tape, venue, now_ns)


def _let_go(tape: Tape, venue: int, now_ns: int) -> None:
    """What nobody carries any more is lost since the newest event heard, and its open minutes are cut."""
    open_minute = int(tape.venues[venue]["open_minute"])
    for symbol, core in forsaken(tape, venue):
        from_ns = newest_heard(tape, symbol, core) or now_ns
        lose(tape, symbol, core, from_ns)
        for minute in markable(open_minute, minute_of(from_ns), minute_of(now_ns)):
            add_mark(tape.marks, symbol, minute, int(Reason.EDGE))


def turn_stream(tape: Tape, registry: Registry, record: Record) -> Turned:
    """One stream of a connection falls silent, comes back, or is refused by the venue."""
    turn, c = read_control("stream", STREAM_TURN, record.payload), _connection(tape, record)
    venue, dialect = enter_venue(tape, registry, turn.venue), dialect_of(turn.venue)[1]
    detail = {"connection": c, "channel": turn.channel, "since_ns": turn.since_ns, "reason": turn.reason}
    turned = Turned(
        [Event(record.seq, record.recv_ns, f"stream_{turn.state}", turn.venue, turn.symbol, detail)]
    )  # fmt: skip
    symbol, channel = registry.symbol(turn.venue, turn.symbol), dialect.channel_index(turn.channel)
    if symbol < 0 or channel < 0:
        return turned
    if turn.state == "refused":
        _park(tape, registry, dialect, venue, turn.symbol, record)
        return turned
    row, now_ns = tape.symbols[symbol], venue_time(tape, venue, record.recv_ns)
    for core in CORES:
        if row[CHANNELS[core]] != channel or not row[CARRIERS[core]] >> c & 1:
            continue  # of two trade channels one counts
        if turn.state == "silent":
            row["silent"][core] |= 1 << c
            if row["lost_ns"][core] == CARRIED and not carried(tape, symbol, core):
                since_ns = venue_time(tape, venue, turn.since_ns) if turn.since_ns else newest_heard(tape, symbol, core)
                lose(tape, symbol, core, since_ns)
                hide(tape, symbol, REASONS[core], since_ns, now_ns, turned)
        else:
            row["silent"][core] &= ~(1 << c)
            if row["lost_ns"][core] != CARRIED and carried(tape, symbol, core):
                found(tape, symbol, core, now_ns, now_ns, turned)
    return turned


def _park(tape: Tape, registry: Registry, dialect: Dialect, venue: int, name: str, record: Record) -> None:
    """The venue does not send a symbol: it ceases as if it had been unsubscribed everywhere."""
    for c, pairs in registry.subscriptions.items():
        if tape.connections[c]["venue"] == venue:
            registry.subscriptions[c] = [(channel, symbol) for channel, symbol in pairs if symbol != name]
    _derive(tape, registry, dialect, venue, venue_time(tape, venue, record.recv_ns))


def first_event(tape: Tape, registry: Registry, c: int) -> Turned:
    """The first core message after a connect: what nobody carried before it is marked."""
    turned = hear(tape, c)
    if turned.gaps:
        venue = registry.venues[tape.connections[c]["venue"]]
        detail = {
            "connection": c,
            "from_ns": min(gap.from_ns for gap in turned.gaps),
            "to_ns": max(gap.to_ns for gap in turned.gaps),
            "symbols": len({gap.symbol for gap in turned.gaps}),
        }
        at_ns = int(tape.connections[c]["up_ns"])
        turned.effects.append(Event(int(tape.clock[CLOCK_SEQ]), at_ns, "gap", venue, "", detail))
    return turned


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
    _take_on(tape, registry, dialect, c, pairs, record.recv_ns)
    registry.subscriptions[c] = pairs
    if tape.venues[venue]["subscribed_ns"] < 0:
        tape.venues[venue]["subscribed_ns"] = record.recv_ns
    _derive(tape, registry, dialect, venue, venue_time(tape, venue, record.recv_ns))
    effects: list[Effect] = []
    for channel, name in pairs:
        symbol = registry.symbol(dialect.venue, name)
        book = tape.books[symbol]
        if not dialect.channels[dialect.channel_index(channel)].diff:
            continue
        if not book["synced"] or not carried(tape, symbol, CORE_BOOK):  # else another connection keeps it in step
            effects.append(SnapshotNeeded(record.seq, dialect.venue, name, "subscribed"))
            book["broken"] = BOOK_ASKED if book["broken"] else 0
    return effects


def _take_on(
    tape: Tape, registry: Registry, dialect: Dialect, c: int, pairs: list[tuple[str, str]], recv_ns: int
) -> None:
    """What is new on a connection is not carried by it before its next message; what it gave up is silent no more."""
    connection, before = tape.connections[c], registry.subscriptions.get(c, [])
    for channel, name in pairs:
        core = dialect.channels[dialect.channel_index(channel)].core
        if core is not None and (channel, name) not in before:
            tape.symbols[registry.symbol(dialect.venue, name)]["unheard"][core] |= 1 << c
            if connection["live"] and not connection["first_event"]:
                connection["first_event"], connection["told_ns"] = 1, recv_ns
    for channel, name in before:
        core = dialect.channels[dialect.channel_index(channel)].core
        if core is not None and (channel, name) not in pairs:
            tape.symbols[registry.symbol(dialect.venue, name)]["silent"][core] &= ~(1 << c)


def _derive(tape: Tape, registry: Registry, dialect: Dialect, venue: int, now_ns: int) -> None:
    """Everything that follows from the subscriptions of a venue's connections: routes, channels, carriers, votes.

    A symbol that begins or ceases inside a minute is cut there. now_ns: venue time.
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
    for symbol, pairs_of_it in wanted.items():
        if pairs_of_it:
            _derive_symbol(tape, symbol, dialect, pairs_of_it, now_ns)
        elif tape.symbols[symbol]["active"] == 1:
            tape.symbols[symbol]["active"] = 2  # what it was carried by stays, until its last minute is judged
            for core in CORES:
                forget(tape, symbol, core, now_ns)
    _let_go(tape, venue, now_ns)
    now = tape.symbols["active"][mine]
    open_minute = int(tape.venues[venue]["open_minute"])
    if open_minute >= 0:
        for symbol in mine[(before == 1) != (now == 1)].tolist():
            cut(tape, symbol, open_minute * NS_PER_MINUTE, now_ns)


def _derive_symbol(tape: Tape, symbol: int, dialect: Dialect, pairs: list[tuple[int, int]], now_ns: int) -> None:
    """pairs: (channel, connection) of all that carries it."""
    row = tape.symbols[symbol]
    indices = sorted({index for index, _ in pairs})
    for core in CORES:
        channel = next((i for i in indices if dialect.channels[i].core == core), -1)
        if row[CHANNELS[core]] not in (channel, -1):
            forget(tape, symbol, core, now_ns)  # no longer subscribed, or by another channel with ids of its own
        row[CHANNELS[core]] = channel
        row[CARRIERS[core]] = bits_of(c for index, c in pairs if index == channel)
    used = [i for i in (row[name] for name in CHANNELS) if i >= 0]
    row["carriers"] = bits_of(c for index, c in pairs if index in used)
    row["book_is_diff"] = row["book_channel"] >= 0 and dialect.channels[row["book_channel"]].diff
    for kind in ("quote", "book"):
        channel = row[f"{kind}_channel"]
        row[f"{kind}_on_change"] = channel >= 0 and dialect.channels[channel].on_change
    feeds = {feed for i in indices for feed in dialect.channels[i].carries}
    row["has_interest"], row["has_mark"] = "interest" in feeds, "mark" in feeds
    row["has_liquidations"], row["has_candle"] = "liquidations" in feeds, "candle" in feeds
    row["active"] = bool(used)
