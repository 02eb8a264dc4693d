"""What control records say, read strictly: the engine wrote them itself, so anything else is a wrong journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from config.schema import Core
from engine.core.errors import ConfigError

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Turn:
    """A connection comes up or goes down; which one is the record's source."""

    venue: str
    state: Literal["up", "down"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    channel: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a connection carries from now on."""

    venue: str
    channels: list[Stream]


@dataclass(frozen=True, slots=True)
class StreamTurn:
    """One channel of one symbol on a connection that is otherwise alive.

    silent: nothing came on it for longer than its rate explains, since_ns is the receive time of the last of it.
    back: it speaks again. refused: the venue will not send it (unknown or delisted symbol); it is parked.
    """

    venue: str
    channel: str
    symbol: str
    state: Literal["silent", "back", "refused"]
    since_ns: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """What the process noticed about itself or its machine: clock_step, loop_stall, rest_limited and the like.

    The core turns it into an event of that kind. Of a process_start it also takes the run mode that was asked for.
    """

    kind: str
    detail: dict[str, int | float | str]


@dataclass(frozen=True, slots=True)
class Load:
    """One sample of how far behind the process is, from which the core derives what is shed.

    lag_ms: age of the oldest received record that was not handed over. waiting_bytes: received, not yet durable.
    finalize_ms: close decision to durable row, the worst since the last sample; 0: no close. cpu_pct, memory_pct: of
    one core, of the machine.
    """

    lag_ms: int
    waiting_bytes: int
    finalize_ms: int
    cpu_pct: int
    memory_pct: int


@dataclass(frozen=True, slots=True)
class Command:
    """What an operator asked for. arguments: as typed, checked by the core; who: local user name.

    unmet: of a promotion, the conditions that were measured and do not hold; None: nobody measured. override: why they
    are passed over.
    """

    command: str
    arguments: list[str]
    who: str = ""
    unmet: list[str] | None = None
    override: str = ""


class RefusedError(Exception):
    """A command that changes nothing. Its text is the sentence for the operator.

    fault: of the `state`, in which it cannot be obeyed now; or of the `input`, which says nothing in any state.
    """

    fault = "state"


class InputError(RefusedError):
    """Of a command that names what is unknown, or is no command."""

    fault = "input"


TURN, SUBSCRIPTION = TypeAdapter(Turn), TypeAdapter(Subscription)


@dataclass(frozen=True, slots=True)
class Prime:
    """Whose learned state follows, and what it was made of.

    layout: what its bytes mean. newest_ms: close of the newest minute in it. journal: digest of the chain it came from.
    """

    venue: str
    symbol: str
    price_decimals: int
    quantity_decimals: int
    layout: str
    newest_ms: int
    journal: str


@dataclass(frozen=True, slots=True)
class Change:
    """Who asked for a configuration epoch behind the first, and why.

    of: the version whose pack it brings back; empty: none. given: of a start, the digest of the pack in its settings,
    which need not be the pack that is in force; empty: the change of a running engine.
    """

    who: str
    why: str = ""
    of: str = ""
    given: str = ""


STREAM_TURN, HOST, LOAD, COMMAND = TypeAdapter(StreamTurn), TypeAdapter(Host), TypeAdapter(Load), TypeAdapter(Command)
PRIME, CHANGE = TypeAdapter(Prime), TypeAdapter(Change)


def read_control(what: str, form: TypeAdapter[Told], payload: bytes) -> Told:
    """The payload of a control record; ConfigError if it is not what the engine writes."""
    try:
        return form.validate_json(payload, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "all of it"
        raise ConfigError(
            f"{what} record: {place}: {first['msg']}; found {payload[:200]!r}; this engine did not write that journal"
        ) from None


def write_epoch(core: Core, change: Change) -> bytes:
    """Payload of a CONFIG record behind the first: canonical JSON of the settings, a line feed, JSON of `change`."""
    return core.encode() + b"\n" + orjson.dumps(change)


def read_epoch(payload: bytes) -> tuple[Core, Change]:
    """The settings of a CONFIG record, and who asked for them. Nobody is named in the first one: it is a start."""
    settings, _, told = payload.partition(b"\n")
    core = Core.decode(settings)
    change = read_control("config", CHANGE, told) if told else Change("start", given=core.signals.digest())
    return core, change
