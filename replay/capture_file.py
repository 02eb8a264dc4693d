"""One file of a capture, lines `<receive ns> <raw message>`, gz or plain: each line it gives, each one it cannot."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from engine.core.errors import ConfigError

PIECE_BYTES = 256 << 10  # of a file at once
INFLATED_BYTES = 4 << 20  # out of one piece at once
LINE_BYTES_MAX = 64 << 20  # a journal record can hold no more
TOLD_MAX = 100  # unreadable lines kept with place and reason; all are counted
GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line, counted from 1, that became no record; 0 stands for the file as a whole."""

    file: str
    line: int
    reason: str

    def sentence(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"


@dataclass(slots=True)
class Trouble:
    """Everything that could not be read: all of it counted, the first of it with its place."""

    count: int = 0
    first: list[Unreadable] = field(default_factory=list)

    def add(self, path: Path, line: int, reason: str) -> None:
        self.count += 1
        if len(self.first) < TOLD_MAX:
            self.first.append(Unreadable(path.name, line, reason))


Advance = Callable[[float], None]


class CaptureFile:
    """One file, gz or plain; its bytes decide, not its name. whole: False if its end is missing or damaged."""

    def __init__(self, path: Path, trouble: Trouble, advance: Advance | None = None) -> None:
        self.path, self.trouble, self.advance = path, trouble, advance
        self.whole = True
        self.damage = ""

    def lines(self) -> Iterator[tuple[int, int, bytes]]:
        """(line number, recv_ns, raw message) of each line that can be read."""
        number = 0
        for lines in self._lines():
            for line in lines:
                number += 1
                head, _, raw = line.partition(b" ")
                if raw and raw[-1] == 13:
                    raw = raw[:-1]  # The line end of another system; no frame ends with it.
                # 19 digits that begin with less than 9: ns UTC from 2001 to 2255.
                if raw and len(head) == 19 and head.isdigit() and head < b"9":
                    yield number, int(head), raw
                else:
                    self.trouble.add(self.path, number, _wrong(line))
        if self.damage:
            self.trouble.add(self.path, 0, f"{self.damage}; read as far as line {number}")

    def _lines(self) -> Iterator[list[bytes]]:
        tail = b""
        for block in self._blocks():
            lines = (tail + block).split(b"\n")
            tail = lines.pop()
            if len(tail) > LINE_BYTES_MAX:
                raise ConfigError(
                    f"{self.path.name}: no line end within 64 MiB; expected lines `<receive ns> <raw message>`"
                )
            yield lines
        if tail and self.whole:
            yield [tail]
        elif tail:
            self.damage += f", {len(tail)} bytes of a line without its end are left out"

    def _blocks(self) -> Iterator[bytes]:
        with open(self.path, "rb") as stream:
            piece = stream.read(PIECE_BYTES)
            if piece.startswith(GZIP):
                yield from self._inflate(piece, stream)
                return
            while piece:
                yield piece
                self._advance(len(piece))
                piece = stream.read(PIECE_BYTES)

    def _inflate(self, piece: bytes, stream: BinaryIO) -> Iterator[bytes]:
        """The members of a gz file one behind the other, as far as they can be read."""
        inflater, waiting, size = zlib.decompressobj(wbits=31), b"", len(piece)
        while piece:
            saved = inflater.copy()
            try:
                yield inflater.decompress(piece, INFLATED_BYTES)
            except zlib.error:
                yield b"".join(_salvage(saved, piece))
                self.whole, self.damage = False, "its compressed data are damaged"
                return
            waiting = inflater.unconsumed_tail or inflater.unused_data
            if not inflater.unconsumed_tail:
                self._advance(size)
                more = stream.read(PIECE_BYTES)
                waiting, size = waiting + more, len(more)
            if inflater.eof and waiting:
                if not waiting.startswith(GZIP):
                    if waiting.strip(b"\0"):
                        self.damage = "something that is no gz data stands behind its end"
                    return
                inflater = zlib.decompressobj(wbits=31)
            piece = waiting
        if rest := inflater.flush():
            yield rest
        if not inflater.eof:
            self.whole, self.damage = False, "its gz data end too early"

    def _advance(self, nbytes: int) -> None:
        if self.advance:
            self.advance(nbytes)


def _salvage(inflater: Any, piece: bytes) -> Iterator[bytes]:
    """What a damaged piece gives before its first wrong byte."""
    try:
        for i in range(len(piece)):
            yield inflater.decompress(piece[i : i + 1])
    except zlib.error:
        return


def _wrong(line: bytes) -> str:
    head, _, raw = line.partition(b" ")
    if not line.strip():
        return "empty"
    if not head.isdigit():
        return "does not begin with a receive time"
    if len(head) != 19 or head >= b"9":
        return f"receive time {head[:32].decode()} is not in ns UTC (19 digits)"
    return "no message behind the receive time" if not raw.strip() else "cannot be read"
