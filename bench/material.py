"""What the benches are fed with: simulated markets, recorded captures, and bare symbols without a market."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench.harness import RECORDED, SIMULATED, SYNTHETIC
from config.schema import Core
from engine.conveyor import Conveyor
from engine.core.instruments import Instrument
from engine.core.minutes import NS_PER_MS
from engine.core.records import Record, RecordBatch, RecordKind, batch_of, encode
from replay.recording import TICK_NS, Message

BLOCK_BYTES = 256 << 10  # of one batch, as journal blocks are
FRAME = int(RecordKind.FRAME)
ORIGIN_NS = 1_736_164_800_000_000_000  # of what is made here: a whole minute
SYMBOLS_PER_CONNECTION = 250
VENUES_OF_FILES = {"usdm": "binance_usdm", "coinm": "binance_coinm", "spot": "binance_spot"}
DATED = re.compile(r"_?\d{8}$")


@dataclass(frozen=True, slots=True)
class Material:
    """The records of one session without configuration and ticks. on: how a row calls it."""

    on: str
    venue: str
    messages: list[Message]

    @property
    def frames(self) -> list[bytes]:
        return [payload for _, _, kind, payload in self.messages if kind == FRAME]

    @property
    def symbols(self) -> int:
        return sum(kind == RecordKind.INSTRUMENT for _, _, kind, _ in self.messages)


def simulated(venue: str, symbols: int, minutes: int, seed: int = 7) -> Material:
    from replay.simulate import Market, simulate

    market = Market(seed=seed, minutes=minutes, symbols=symbols, venue=venue, episodes="none")  # type: ignore[arg-type]
    return Material(f"{SIMULATED} {venue}", venue, list(simulate(market)))


def capture_folder(named: Path | None) -> Path | None:
    """Where recorded captures lie: as told, as CONVEYOR_CAPTURES says, or ../shared/data beside the project."""
    if named is not None:
        return named
    told = os.environ.get("CONVEYOR_CAPTURES")
    folder = Path(told) if told else Path(__file__).resolve().parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None


def captures(folder: Path) -> list[tuple[str, str, list[Path]]]:
    """(name, venue, files in time order) of every connection that was recorded.

    A file is known by its name: usdm_*, coinm_* or spot_*, or by a folder named hyperliquid; a date ends the name.
    """
    found: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.rglob("*.gz")):
        venue = VENUES_OF_FILES.get(path.name.partition("_")[0])
        if venue is None and path.parent.name == "hyperliquid":
            venue = "hyperliquid"
        if venue:
            name = DATED.sub("", path.name.partition(".")[0])
            found.setdefault((name, venue), []).append(path)
    return [(name, venue, paths) for (name, venue), paths in sorted(found.items())]


def recorded(name: str, venue: str, paths: list[Path]) -> Material:
    from replay.importers import Captures

    title = name if name.partition("_")[0] in VENUES_OF_FILES else f"{venue} {name}"
    return Material(f"{RECORDED} {title}", venue, list(Captures(paths, venue)))


def sized(symbols: int, **limits: Any) -> Core:
    """Settings with room for exactly so many symbols; more than the configuration allows are possible here."""
    core = Core()
    room = {"symbols_max": symbols, "connections_max": 2 + symbols // SYMBOLS_PER_CONNECTION + 1, **limits}
    return core.model_copy(update={"limits": core.limits.model_copy(update=room)})


def records_of(messages: Iterable[Message], core: Core | None = None, ticks: bool = True) -> Iterator[Record]:
    """Numbered records: the configuration epoch, if any, then the messages, and the clock of a live run between."""
    seq, tick_ns = 0, -1
    for recv_ns, source, kind, payload in messages:
        if core is not None:
            yield Record(seq, recv_ns, 0, RecordKind.CONFIG, core.encode())
            core, seq = None, seq + 1
        if tick_ns < 0:
            tick_ns = -(-recv_ns // TICK_NS) * TICK_NS
        while ticks and tick_ns <= recv_ns:
            yield Record(seq, tick_ns, 0, RecordKind.TICK, b"")
            seq, tick_ns = seq + 1, tick_ns + TICK_NS
        yield Record(seq, recv_ns, source, kind, payload)
        seq += 1


def blocks_of(records: Iterable[Record], nbytes: int = BLOCK_BYTES, count: int = 0) -> list[RecordBatch]:
    """Batches of at most `nbytes`, or of exactly `count` records (the last one may be shorter)."""
    found: list[RecordBatch] = []
    part: list[bytes] = []
    size = 0
    for record in records:
        encoded = encode(record)
        if part and (len(part) == count if count else size + len(encoded) > nbytes):
            found.append(batch_of(b"".join(part)))
            part, size = [], 0
        part.append(encoded)
        size += len(encoded)
    if part:
        found.append(batch_of(b"".join(part)))
    return found


def channel_of(frame: bytes) -> str:
    """Channel that a frame names: trade, bookTicker, depth; trades, bbo, l2Book."""
    name = frame[:80].split(b'"', 4)[3]
    return (name.split(b"@")[1] if b"@" in name else name).decode("ascii", "replace")


# Bare symbols ---------------------------------------------------------------------------------------------------------


def bare_messages(symbols: int, venue: str = "binance_usdm") -> list[Message]:
    """Instruments, connections and subscriptions of symbols that never spoke, on one connection per 250 symbols."""
    channels = ("trades", "bbo", "l2Book") if venue == "hyperliquid" else ("trade", "bookTicker", "depth")
    names = [f"S{index}USDT" for index in range(symbols)]
    found: list[Message] = [
        (ORIGIN_NS, 0, int(RecordKind.INSTRUMENT), Instrument(venue, name, 2, 3).encode()) for name in names
    ]
    for first in range(0, symbols, SYMBOLS_PER_CONNECTION):
        source = 1 + first // SYMBOLS_PER_CONNECTION
        pairs = [
            {"channel": channel, "symbol": name}
            for name in names[first : first + SYMBOLS_PER_CONNECTION]
            for channel in channels
        ]
        up, wanted = {"venue": venue, "state": "up", "reason": "bench"}, {"venue": venue, "channels": pairs}
        found.append((ORIGIN_NS, source, int(RecordKind.CONNECTION), orjson.dumps(up)))
        found.append((ORIGIN_NS, source, int(RecordKind.SUBSCRIPTION), orjson.dumps(wanted)))
    return found


def bare_conveyor(symbols: int, **limits: Any) -> Conveyor:
    """A conveyor that knows so many symbols of one venue and heard nothing of them; ORIGIN_NS is in its open minute."""
    conveyor = Conveyor()
    conveyor.configure(sized(symbols, **limits))
    for batch in blocks_of(records_of(bare_messages(symbols), ticks=False)):
        conveyor.handle(batch)
    assert conveyor.state is not None
    tape = conveyor.state.tape
    tape.venues["open_minute"][0] = ORIGIN_NS // (60_000 * NS_PER_MS)
    tape.connections["first_event"] = 0
    return conveyor


def bare(symbols: int) -> str:
    return f"{SYNTHETIC} {symbols} symbols"
