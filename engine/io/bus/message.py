"""What modules say to each other: the types, who may send them to whom, and the envelope."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from engine.core.errors import ConveyorError
from engine.core.minutes import NS_PER_S

CREATED_MAX = 1 << 62  # ns; the year 2116
EVERYONE = ""  # in a list of senders: any module


class BusError(ConveyorError):
    """A message that nobody may send, or that is none."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of message. senders: who may send it. receivers: whom it may address; none: all, as a broadcast.

    priority: 1 is looked at first. retries: attempts after the first. latency_ms: from created to handled, aimed at.
    """

    type: str
    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    priority: int
    ttl_s: int
    retries: int
    latency_ms: int


KINDS = (
    Kind("trading_plan", ("alpha",), ("decision_maker",), 1, 300, 3, 100),
    Kind("execution_feedback", ("trader",), ("alpha", "decision_maker"), 2, 3600, 3, 500),
    Kind("intelligence_broadcast", (EVERYONE,), (), 3, 1800, 1, 1000),
    Kind("replication_signal", (EVERYONE,), ("replicator",), 1, 3600, 3, 2000),
    Kind("market_event", ("alpha",), (), 2, 300, 3, 100),
)
KIND = {kind.type: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Message:
    """receiver: None: all. created_at: ns UTC of the run's clock. data: what canonical JSON can say."""

    message_id: str
    sender: str
    receiver: str | None
    created_at: int
    type: str
    data: dict[str, Any]
    priority: int
    ttl_s: int

    def encode(self) -> bytes:
        """Canonical JSON."""
        return orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS)

    def expires_ns(self) -> int:
        return self.created_at + self.ttl_s * NS_PER_S


def make(type_: str, sender: str, receiver: str | None, data: dict[str, Any], created_at: int) -> Message:
    """A message whose id is made of all the rest. BusError if this sender may not say this to this receiver."""
    kind = KIND.get(type_)
    if kind is None:
        raise BusError(f"{type_!r} is no type of message; known are {', '.join(KIND)}")
    if type(created_at) is not int or type(data) is not dict or not 0 <= created_at < CREATED_MAX:
        raise BusError(f"{type_} from {sender}: created_at has to be ns since 1970, data an object")
    if (sender, receiver) == ("alpha", "trader"):
        raise BusError("alpha never addresses the trader: a plan goes to the decision_maker, who decides on it")
    if not sender or (EVERYONE not in kind.senders and sender not in kind.senders):
        raise BusError(f"{type_} is not {sender or 'nobody'}'s to send; it comes from {' or '.join(kind.senders)}")
    if receiver not in (kind.receivers or (None,)):
        allowed = " or ".join(kind.receivers) or "all, with no receiver named"
        raise BusError(f"{type_} from {sender} cannot go to {receiver or 'all'}; it goes to {allowed}")
    rest = {
        "sender": sender, "receiver": receiver, "created_at": created_at, "type": type_, "data": data,
        "priority": kind.priority, "ttl_s": kind.ttl_s,
    }  # fmt: skip
    try:
        content = orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise BusError(f"{type_} from {sender}: its data cannot be written as JSON ({error})") from None
    return Message(hashlib.sha256(content).hexdigest(), **orjson.loads(content))


def decode(content: bytes) -> Message:
    """A message as it came from elsewhere. BusError if it is none, or its id is not that of its content."""
    try:
        told = orjson.loads(content)
        message = make(told["type"], told["sender"], told["receiver"], told["data"], told["created_at"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise BusError(f"no message of the bus: {type(error).__name__}: {error}") from None
    if asdict(message) != told:
        raise BusError(f"message {told.get('message_id')}: its content has the id {message.message_id}")
    return message
