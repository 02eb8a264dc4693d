"""Public raw captures, lines `<receive ns> <raw message>`, become the records of the connections they were taken from.

A capture is read twice: first to learn what it carries (symbols, channels, scales, lines that cannot be read), then to
yield its records. Nothing of it is dropped silently, and no file has to fit into memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import NoReturn

import orjson

from engine.core.errors import ConfigError
from engine.core.instruments import Instrument
from engine.core.minutes import NS_PER_S
from engine.core.records import RecordKind
from engine.tape.dialect import Dialect
from engine.tape.message import Context, MalformedError, Snapshot
from engine.tape.venues import VENUES
from replay.capture_file import Advance, CaptureFile, Trouble
from replay.recording import Message

SCAN_BYTES = 1 << 20  # of frames searched at once for their decimals
OVERLAP_NS = NS_PER_S  # two files of one connection may overlap by this much
DECIMALS_MAX = 8

# A number that needs more than so many decimals, where a price or a quantity stands: under its key, or in a level. Two
# patterns that begin with a literal are three times as fast as one that begins with a choice.
NUMBER = rb'\s*"\d+\.\d{%d}\d*[1-9]'
FINER_PRICE = rb'"[pba]x?":' + NUMBER, rb"\[" + NUMBER
FINER_QUANTITY = rb'"(?:q|B|A|sz)":' + NUMBER, rb'",' + NUMBER
SYMBOL = re.compile(r"[!#-\[\]-~]{1,32}")  # printable ASCII without the characters JSON escapes


Pair = tuple[str, str]  # channel, symbol


@dataclass(slots=True)
class Survey:
    """What one file carries. answers: line number -> (request, symbol or "") of each REST answer."""

    path: Path
    first_ns: int = 0
    last_ns: int = 0
    lines: int = 0  # number of the last readable one
    channels: dict[Pair, int] = field(default_factory=dict)  # frames of each
    answers: dict[int, Pair] = field(default_factory=dict)
    ignored: int = 0  # frames of no channel that the venue's decoder knows

    @property
    def placeholder(self) -> str:
        """Stands for the symbol of REST answers that tell none, until the connection is known; no symbol is a path."""
        return f"\0{self.path}"


class Scales:
    """Decimals that the prices and quantities of each symbol need, trailing zeros left out."""

    def __init__(self, dialect: Dialect) -> None:
        self.needed = dialect.price_decimals is None, dialect.quantity_decimals is None
        self.price: dict[str, int] = {}
        self.quantity: dict[str, int] = {}
        self._waiting: dict[str, tuple[list[bytes], list[int]]] = {}

    def add(self, symbol: str, raw: bytes) -> None:
        frames, size = self._waiting.setdefault(symbol, ([], [0]))
        frames.append(raw)
        size[0] += len(raw)
        if size[0] >= SCAN_BYTES:
            self._scan(symbol)

    def finish(self) -> None:
        for symbol in self._waiting:
            self._scan(symbol)

    def _scan(self, symbol: str) -> None:
        frames, size = self._waiting[symbol]
        text = b"\n".join(frames)
        for needed, patterns, found in zip(
            self.needed, (FINER_PRICE, FINER_QUANTITY), (self.price, self.quantity), strict=True
        ):
            decimals = found.setdefault(symbol, 0)
            for pattern in patterns if needed else ():
                while decimals < DECIMALS_MAX and re.search(pattern % decimals, text):
                    decimals += 1
            found[symbol] = decimals
        frames.clear()
        size[0] = 0

    def settle(self, placeholder: str, symbol: str) -> None:
        """What was added under a placeholder belongs to this symbol."""
        for found in (self.price, self.quantity):
            found[symbol] = max(found.get(symbol, 0), found.get(placeholder, 0))


class Reader:
    """Reads what a venue's frames belong to: by their head, and where that is unknown by the strict decoder."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.by_stream = dialect.head.startswith(b'{"stream"')  # else the coin stands in the body
        self._known: dict[bytes, Pair | None] = {}
        self._core = {channel.name for channel in dialect.channels if channel.core is not None}

    def survey(self, file: CaptureFile, scales: Scales) -> Survey:
        found = Survey(file.path)
        counts, answers, wanted = found.channels, found.answers, any(scales.needed)
        number = last_ns = 0
        for number, recv_ns, raw in file.lines():
            if recv_ns > last_ns:
                if not last_ns:
                    found.first_ns = recv_ns
                last_ns = recv_ns
            pair = self.pair(raw)
            if pair is None:
                answer = self.answer(raw)
                if answer is None:
                    found.ignored += 1
                else:
                    answers[number] = answer
                    if wanted:
                        scales.add(answer[1] or found.placeholder, raw)
                continue
            counts[pair] = counts.get(pair, 0) + 1
            if wanted and pair[0] in self._core:
                scales.add(pair[1], raw)
        found.last_ns, found.lines = last_ns, number
        return found

    def pair(self, raw: bytes) -> Pair | None:
        """(channel, symbol) of a frame; None if it is of no channel the venue's decoder knows."""
        key = self._key(raw)
        if key in self._known:
            return self._known[key]
        try:
            channel, messages = self.dialect.decode(raw)
        except MalformedError:
            return None  # The conveyor counts it with its reason; the next frame of the stream will tell.
        pair = None
        symbol = getattr(messages[0], "symbol", "") if messages else ""
        for name in (channel, f"{channel}_1m"):
            if self.dialect.channel_index(name) >= 0 and SYMBOL.fullmatch(symbol):
                pair = name, symbol
                break
        if key:
            self._known[key] = pair
        return pair

    def _key(self, raw: bytes) -> bytes:
        """What all frames of one channel and symbol begin with or contain; b"" if that cannot be told."""
        head = self.dialect.head
        if not raw.startswith(head):
            return b""
        name = raw[: raw.find(b'"', len(head))]
        if self.by_stream:
            return name
        at = raw.find(b'"coin":"')
        return name + raw[at : raw.find(b'"', at + 8)] if at >= 0 else b""

    def answer(self, raw: bytes) -> Pair | None:
        """(request, symbol or "") if a line is the body of a REST answer."""
        if raw.startswith(self.dialect.head):
            return None
        for request in ("depth", "openInterest"):
            try:
                messages = self.dialect.decode_rest(request, "", raw)
            except MalformedError:
                continue
            if any(isinstance(message, Snapshot | Context) for message in messages):
                symbol = orjson.loads(raw).get("symbol", "")
                return request, symbol if type(symbol) is str and SYMBOL.fullmatch(symbol) else ""
        return None


@dataclass(slots=True)
class Connection:
    """Files one behind the other, as the connection they were taken from."""

    source: int
    files: list[Survey]

    @property
    def channels(self) -> list[Pair]:
        return sorted({pair for file in self.files for pair in file.channels})

    @property
    def symbols(self) -> list[str]:
        return sorted({symbol for _, symbol in self.channels})


class Captures:
    """The records of some captures of one venue, in order of receive time; iterating reads the files once more.

    instruments: what the journal will say of each symbol. unreadable: the lines that became no record.
    ignored: frames of channels the venue's decoder has no use for, or of no channel; they are journaled all the same.
    advance: told the bytes read, of the survey and again of each iteration.
    """

    def __init__(
        self,
        paths: Sequence[Path | str],
        venue: str,
        instruments: Iterable[Instrument] = (),
        advance: Advance | None = None,
    ) -> None:
        self.dialect = next((dialect for dialect in VENUES if dialect.venue == venue), None) or _no_venue(venue)
        self.advance = advance
        self.unreadable = Trouble()
        files = [Path(path) for path in paths]
        if len({path.resolve() for path in files}) < len(files):
            raise ConfigError("captures: a file is named twice; name each once")
        reader, scales = Reader(self.dialect), Scales(self.dialect)
        surveys = [reader.survey(CaptureFile(path, self.unreadable, advance), scales) for path in files]
        read = [survey for survey in surveys if survey.lines]
        for survey in surveys:
            if not survey.lines:
                self.unreadable.add(survey.path, 0, "not one line of it can be read")
        self.ignored = sum(survey.ignored for survey in surveys)
        self.connections = [Connection(source, group) for source, group in enumerate(connections_of(read), 1)]
        self.symbols = sorted({symbol for connection in self.connections for symbol in connection.symbols})
        if not self.symbols:
            raise ConfigError(self._nothing(files, bool(read)))
        scales.finish()
        for connection in self.connections:
            self._settle_answers(connection, scales)
        told = {instrument.symbol: instrument for instrument in instruments if instrument.venue == venue}
        self.instruments = [told.get(symbol) or self._assume(symbol, scales) for symbol in self.symbols]

    def __iter__(self) -> Iterator[Message]:
        begin_ns = min(connection.files[0].first_ns for connection in self.connections)
        for instrument in self.instruments:
            yield begin_ns, 0, int(RecordKind.INSTRUMENT), instrument.encode()
        # Stable: each connection keeps its own order, and of two at one instant the first named comes first.
        yield from merge(*map(self._records, self.connections), key=itemgetter(0))

    def _records(self, connection: Connection) -> Iterator[Message]:
        source, venue, frame = connection.source, self.dialect.venue, int(RecordKind.FRAME)
        begin_ns = connection.files[0].first_ns
        channels = [{"channel": channel, "symbol": symbol} for channel, symbol in connection.channels]
        up, down = ({"venue": venue, "state": state, "reason": reason} for state, reason in STATES)
        yield begin_ns, source, int(RecordKind.CONNECTION), orjson.dumps(up)
        yield begin_ns, source, int(RecordKind.SUBSCRIPTION), orjson.dumps({"venue": venue, "channels": channels})
        for survey in connection.files:
            answers, last = survey.answers, survey.lines
            for number, recv_ns, raw in CaptureFile(survey.path, Trouble(), self.advance).lines():
                if number > last:
                    break  # It grew while it was read: what came after the survey is left to another import.
                if number not in answers:
                    yield recv_ns, source, frame, raw
                elif answers[number][1]:
                    request = " ".join(answers[number]).encode() + b"\n"
                    yield recv_ns, source, int(RecordKind.REST), request + raw
        yield max(survey.last_ns for survey in connection.files), source, int(RecordKind.CONNECTION), orjson.dumps(down)

    def _settle_answers(self, connection: Connection, scales: Scales) -> None:
        """Give every REST answer its symbol; one that tells none belongs to the only symbol of its connection."""
        symbols = connection.symbols
        for survey in connection.files:
            for number, (request, symbol) in survey.answers.items():
                symbol = symbol or (symbols[0] if len(symbols) == 1 else "")
                if symbol not in symbols:
                    survey.answers[number] = request, ""
                    of = symbol or f"one of {', '.join(symbols)}" if symbols else "an unknown symbol"
                    self.unreadable.add(
                        survey.path, number, f"REST answer of {of}, which no frame of its connection tells"
                    )
                else:
                    survey.answers[number] = request, symbol
            if len(symbols) == 1:
                scales.settle(survey.placeholder, symbols[0])

    def _assume(self, symbol: str, scales: Scales) -> Instrument:
        dialect = self.dialect
        price = scales.price.get(symbol, 0) if dialect.price_decimals is None else dialect.price_decimals
        quantity = scales.quantity.get(symbol, 0) if dialect.quantity_decimals is None else dialect.quantity_decimals
        sizes = dialect.contract_sizes
        size = sizes.get(symbol.partition("USD")[0], sizes.get("", 1))
        return Instrument(
            dialect.venue, symbol, price, quantity, dialect.quantity_unit, size, dialect.inverse, assumed=True
        )

    def _nothing(self, files: Sequence[Path], readable: bool) -> str:
        named = ", ".join(path.name for path in files[:3]) + (" and others" if len(files) > 3 else "")
        if readable:
            return f"captures {named}: no frame of {self.dialect.venue} in them; check --venue"
        why = f" ({self.unreadable.first[0].sentence()})" if self.unreadable.first else ""
        return f"captures {named}: no line can be read, expected `<receive ns> <raw message>`{why}; check the files"


STATES = (("up", "capture"), ("down", "end of capture"))


def _no_venue(venue: str) -> NoReturn:
    known = ", ".join(dialect.venue for dialect in VENUES)
    raise ConfigError(f"venue {venue!r}: no decoder of that name, expected one of {known}")


def connections_of(surveys: Sequence[Survey]) -> list[list[Survey]]:
    """Files that share a symbol and follow each other in time are one connection; those that overlap are several."""
    groups: list[tuple[set[str], list[Survey]]] = []
    for survey in surveys:
        symbols, files = {symbol for _, symbol in survey.channels}, [survey]
        apart = []
        for group in groups:
            if symbols & group[0]:
                symbols |= group[0]
                files = group[1] + files
            else:
                apart.append(group)
        groups = [*apart, (symbols, files)]
    found: list[list[Survey]] = []
    for _, files in groups:
        lines: list[list[Survey]] = []
        for survey in sorted(files, key=lambda file: (file.first_ns, file.path.name)):
            line = next((line for line in lines if line[-1].last_ns - OVERLAP_NS <= survey.first_ns), None)
            if line is None:
                lines.append([survey])
            else:
                line.append(survey)
        found += lines
    return sorted(found, key=lambda line: (line[0].first_ns, line[0].path.name))


def import_captures(
    paths: Sequence[Path | str], venue: str, instruments: Iterable[Instrument] = (), advance: Advance | None = None
) -> Captures:
    """The records of raw captures; see Captures."""
    return Captures(paths, venue, instruments, advance)


# Instruments ----------------------------------------------------------------------------------------------------------
