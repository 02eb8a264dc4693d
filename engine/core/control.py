"""What control records say, read strictly: the engine wrote them itself, so anything else is a wrong journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

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


TURN, SUBSCRIPTION = TypeAdapter(Turn), TypeAdapter(Subscription)


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
