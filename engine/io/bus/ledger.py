"""`bus.jsonl`: every message and what became of it; what is settled and past its time leaves only its counts."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from engine.io.bus.figures import Figures, Outcome, Said
from engine.io.bus.message import BusError, Message, decode
from engine.io.disk import Disk
from engine.io.line_log import LineLog
from engine.io.outputs import write_whole

MESSAGES, DEAD = "bus.jsonl", "bus.dead.jsonl"
REFUSED_SHOWN = 2_000  # bytes of what was refused


@dataclass(slots=True)
class Told:
    """A message with whom it still has to reach. since_ns: as in `Bus.send`. lines: that speak of it."""

    message: Message
    waiting: list[str]
    since_ns: int
    lines: list[bytes]


class Reading:
    """What the lines of the file say, taken one by one.

    told: by id. figures: of the whole session. unread: (line, why) of messages of a version with other types.
    """

    def __init__(self) -> None:
        self.figures = Figures()
        self.told: dict[str, Told] = {}
        self.unread: list[tuple[bytes, str]] = []

    def take(self, line: bytes) -> None:
        found = orjson.loads(line)
        if "totals" in found:  # of everything before this line
            self.figures.said = {type_: Said(**said) for type_, said in found["totals"]["said"].items()}
            self.figures.counts = found["totals"]["counts"]
        elif "message" in found:
            self._message(found, line)
        else:
            self._settled(found, line)

    @property
    def pending(self) -> dict[str, int]:
        """Messages by receiver."""
        counts: dict[str, int] = {}
        for told in self.told.values():
            for receiver in told.waiting:
                counts[receiver] = counts.get(receiver, 0) + 1
        return counts

    def _message(self, found: dict, line: bytes) -> None:  # type: ignore[type-arg]
        try:
            message = decode(orjson.dumps(found["message"]))
        except BusError as error:
            self.unread.append((line, str(error)))
            return
        self.figures.say(message.type, message.message_id, found["place"])
        self.told[message.message_id] = Told(message, list(found["to"]), found["since_ns"], [line])

    def _settled(self, found: dict, line: bytes) -> None:  # type: ignore[type-arg]
        told = self.told.get(found["message_id"])
        self.figures.count(found["receiver"], found["status"])
        if told is not None:
            told.lines.append(line)
            if found["receiver"] in told.waiting:
                told.waiting.remove(found["receiver"])


class Ledger:
    """The file of a session, open for appending. now_ns: what is settled by then and past its time is left out of it.

    log: of the lines, durable when it is synced. figures: of the whole session. kept: what it holds, in order.
    """

    def __init__(self, folder: Path, disk: Disk, now_ns: int) -> None:
        self._dead_path, self._disk = folder / DEAD, disk
        self._dead: LineLog | None = None
        self._unburied: list[bytes] = []  # dead letters whose file the disk did not open
        reading, path = Reading(), folder / MESSAGES
        self.log = LineLog(disk, path, lambda position, line: reading.take(line))
        self.figures = reading.figures
        self.kept = [told for told in reading.told.values() if told.waiting or told.message.expires_ns() > now_ns]
        for line, why in reading.unread:
            self._bury(orjson.dumps({"status": "failed", "error": why})[:-1] + b"," + line[1:])
        if len(self.kept) < len(reading.told) or reading.unread:
            self.log.close()
            lines = [line for told in self.kept for line in told.lines]
            write_whole(disk, path, b"".join(line + b"\n" for line in [*lines, self._totals()]))
            self.log = LineLog(disk, path)

    def say(self, message: Message, receivers: list[str], place: int, since_ns: int) -> int:
        """Where the line ends: once `log` is durable up to there, the message may be handed on."""
        self.figures.say(message.type, message.message_id, place)
        head = orjson.dumps({"to": receivers, "place": place, "since_ns": since_ns})
        self.log.append(head[:-1] + b',"message":' + message.encode() + b"}")
        return self.log.end

    def settle(
        self, message: Message, receiver: str, outcome: Outcome, attempts: int, since_ns: int, now_ns: int, error: str
    ) -> None:
        """The end of a message for one receiver. A dead letter is written first; both are durable soon."""
        self.figures.settle(receiver, outcome, since_ns, now_ns)
        told = {
            "message_id": message.message_id, "receiver": receiver, "status": outcome, "attempts": attempts,
            "at_ns": now_ns, "error": error,
        }  # fmt: skip
        line = orjson.dumps(told)
        if outcome != "delivered":
            self._bury(line[:-1] + b',"message":' + message.encode() + b"}")
        self.log.append(line)

    def refuse(self, content: bytes, why: str, now_ns: int) -> None:
        """A dead letter of what is no message; durable with the next one that is."""
        shown = content[:REFUSED_SHOWN].decode("utf-8", "replace")
        told = {"status": "refused", "at_ns": now_ns, "error": why, "content": shown}
        self._bury(orjson.dumps(told), sync=False)

    def close(self) -> bool:
        """False if a line is missing."""
        self._open_dead()
        buried = self._dead.close() if self._dead else not self._unburied
        return self.log.close() and buried

    def _bury(self, line: bytes, sync: bool = True) -> None:
        self._unburied.append(line)
        self._open_dead()
        if sync and self._dead:
            self._dead.sync()

    def _open_dead(self) -> None:
        """Take the dead letters into their file; a disk that does not open it is asked again with the next one."""
        if not self._unburied:
            return
        with suppress(OSError):
            self._dead = self._dead or LineLog(self._disk, self._dead_path)
            for line in self._unburied:
                self._dead.append(line)
            self._unburied = []

    def _totals(self) -> bytes:
        said = {type_: asdict(said) for type_, said in self.figures.said.items()}
        return orjson.dumps({"totals": {"said": said, "counts": self.figures.counts}})
