"""`--prime`: an earlier journal is played through a conveyor of its own, and the new run journals what it taught.

So a replay of the new journal needs nothing else. Candles never warm anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import orjson

from engine.conveyor import Conveyor
from engine.core.control import Prime
from engine.core.errors import ConfigError
from engine.core.instruments import Instrument
from engine.core.minutes import close_ms
from engine.features import prime
from engine.io.disk import OS_DISK
from engine.io.journal_reader import JournalReader
from engine.io.states import StateFolder
from engine.runner import beginning, recall

ANY_LINK = 2**62  # what an earlier session wrote of its links does not matter here


def warmed(folder: Path, now_ns: int, note: Callable[[str], None]) -> Conveyor:
    """A conveyor that has seen all of an earlier journal. folder: the journal's, or of the session it stands in.

    A session is not played from its beginning if a state of it can be used. Raises ConfigError if there is no journal,
    or if it goes on beyond now.
    """
    session = folder if (folder / "journal").is_dir() else None
    reader = JournalReader(folder / "journal" if session else folder, OS_DISK)
    info = reader.info()
    if info.last_recv_ns > now_ns:
        raise ConfigError(f"{folder}: its newest record is ahead of this clock; what is to come cannot warm anything")
    conveyor, seq = Conveyor(), -1
    if session and (session / "state").is_dir():
        conveyor, seq = recall(StateFolder(session / "state"), ANY_LINK, note)
    if seq < 0:
        note(f"note: {info.minutes:,} minutes of {folder} are played first, to begin warm")
        conveyor, seq = beginning(reader)
    for batch in reader.batches(seq + 1):
        conveyor.handle(batch)
    return conveyor


def payloads(past: Conveyor, instruments: Sequence[Instrument], note: Callable[[str], None]) -> Iterator[bytes]:
    """PRIME records of those symbols that the past knows by name and scales and has learned something of."""
    assert past.state is not None, "a journal begins with a configuration epoch"
    own = past.state.features
    for one in instruments:
        symbol = past.registry.symbol(one.venue, one.symbol)
        if symbol < 0 or prime.newest_minute(own, symbol) < 0:
            note(f"note: {one.venue} {one.symbol} is not in the earlier journal; it warms up by itself")
            continue
        if past.registry.scales[symbol] != (one.price_decimals, one.quantity_decimals):
            note(f"note: {one.venue} {one.symbol} had other scales in the earlier journal; it warms up by itself")
            continue
        newest_ms = close_ms(prime.newest_minute(own, symbol))
        head = Prime(
            one.venue, one.symbol, one.price_decimals, one.quantity_decimals, prime.layout(own), newest_ms, past.chain
        )
        yield orjson.dumps(head) + b"\n" + prime.lift(own, symbol)
