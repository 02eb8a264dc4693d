"""A plan of faults: a small TOML file, read strictly. What each kind does is in faults.py and docs/exchange.md."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from engine.core.errors import ConfigError
from engine.core.minutes import NS_PER_S

FOREVER_S = 1e7  # a fault without an end


class Fault(BaseModel):
    """When a fault begins. at or at_s: offset from the first full minute, "HH:MM:SS" or seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    at: str = Field("", pattern=r"^$|^\d{2}:[0-5]\d:[0-5]\d(\.\d{1,9})?$")
    at_s: float = Field(0.0, ge=-4, le=FOREVER_S)

    @model_validator(mode="after")
    def _one_begin(self) -> Self:
        if self.at and self.at_s:
            raise ValueError("give at or at_s, not both")
        return self

    def begin_ns(self, first_minute_ns: int) -> int:
        if not self.at:
            return first_minute_ns + round(self.at_s * NS_PER_S)
        hours, minutes, seconds = self.at.split(":")
        whole_s = int(hours) * 3600 + int(minutes) * 60
        return first_minute_ns + whole_s * NS_PER_S + round(float(seconds) * NS_PER_S)

    def end_ns(self, first_minute_ns: int) -> int:
        """When it is over; what does not last is over at once."""
        return self.begin_ns(first_minute_ns)


class Lasting(Fault):
    """for_s: how long it lasts."""

    for_s: float = Field(30.0, gt=0, le=FOREVER_S)

    def end_ns(self, first_minute_ns: int) -> int:
        return self.begin_ns(first_minute_ns) + round(self.for_s * NS_PER_S)


class OnConnections(Lasting):
    """connection: its number in the order of connecting, from 0; none: all."""

    connection: int | None = Field(None, ge=0)


class OnStreams(OnConnections):
    """symbols, channels: as the venue writes them, without the speed of a channel; empty: all."""

    symbols: list[str] = []
    channels: list[str] = []


class OnFrames(OnStreams):
    """probability: that a frame is hit."""

    for_s: float = Field(10.0, gt=0, le=FOREVER_S)
    probability: float = Field(1.0, gt=0, le=1)


class OnRequests(Lasting):
    """requests: their names, such as depth or candleSnapshot; empty: all."""

    requests: list[str] = []


class Disconnect(Fault):
    """The connections are ended: `close` with a close frame, `reset` without a word."""

    kind: Literal["disconnect"]
    connection: int | None = Field(None, ge=0)
    how: Literal["close", "reset"] = "close"
    code: int = Field(1001, ge=1000, le=4999)


class HalfOpen(OnConnections):
    """The connections stay open and dead: nothing is sent, nothing heard, no ping answered, until the client ends them.

    accepts: connections made while it lasts are dead as well.
    """

    kind: Literal["half_open"]
    for_s: float = Field(10.0, gt=0, le=FOREVER_S)
    accepts: bool = False


class SilentStream(OnStreams):
    """Streams send nothing on a connection that is otherwise alive. heals: a new subscription speaks again."""

    kind: Literal["silent_stream"]
    heals: bool = False


class Refuse(Lasting):
    """Nobody may connect: `connect` as if nobody listened, `handshake` with a status (429 with Retry-After)."""

    kind: Literal["refuse"]
    how: Literal["connect", "handshake"] = "connect"
    status: int = Field(503, ge=400, le=599)
    retry_after_s: int = Field(5, ge=1, le=86_400)


class Slow(OnConnections):
    """A thin line: everything waits for what was sent before it."""

    kind: Literal["slow"]
    latency_ms: float = Field(0.0, ge=0, le=60_000)
    bytes_per_s: int = Field(0, ge=0)


class Duplicate(OnFrames):
    """Frames come again, `times` more, each `delay_ms` behind the one before."""

    kind: Literal["duplicate"]
    times: int = Field(1, ge=1, le=1000)
    delay_ms: float = Field(0.0, ge=0, le=600_000)


class Reorder(OnFrames):
    """Some frames come behind later ones, by at most `delay_ms`."""

    kind: Literal["reorder"]
    probability: float = Field(0.2, gt=0, le=1)
    delay_ms: float = Field(100.0, gt=0, le=60_000)


class Delay(OnFrames):
    """Frames come late, in their order, while others do not."""

    kind: Literal["delay"]
    delay_ms: float = Field(2_000.0, gt=0, le=600_000)


class Drop(OnFrames):
    """Frames never come."""

    kind: Literal["drop"]


class Corrupt(OnFrames):
    """Frames are spoiled: `bytes` other bytes, `utf8` no UTF-8, `cut` JSON without its end, `nested` very deep."""

    kind: Literal["corrupt"]
    how: Literal["bytes", "utf8", "cut", "nested"] = "bytes"
    probability: float = Field(0.2, gt=0, le=1)


class Huge(Fault):
    """One message of `mib` MiB."""

    kind: Literal["huge"]
    connection: int | None = Field(None, ge=0)
    mib: float = Field(16.0, gt=0, le=64)


class SchemaDrift(OnFrames):
    """A field is renamed, removed, added or retyped. field: as in the frame; empty: the one that tells a price."""

    kind: Literal["schema_drift"]
    how: Literal["renamed", "removed", "added", "retyped"] = "renamed"
    field: str = ""


class WrongSequence(OnFrames):
    """Depth updates do not follow: `ids` are wrong, or one is `missing`."""

    kind: Literal["wrong_sequence"]
    how: Literal["ids", "missing"] = "missing"
    probability: float = Field(0.1, gt=0, le=1)


class CrossedBook(OnFrames):
    """Bids stand above asks."""

    kind: Literal["crossed_book"]


class AbsurdPrice(OnFrames):
    """Prices are no prices, or ten times what they were."""

    kind: Literal["absurd_price"]
    how: Literal["nan", "zero", "negative", "huge", "x10"] = "zero"
    probability: float = Field(0.2, gt=0, le=1)


class ClockOffset(Lasting):
    """The venue's own clock is wrong for a while: everything it tells of time is, and its minutes are."""

    kind: Literal["clock_offset"]
    for_s: float = Field(60.0, gt=0, le=FOREVER_S)
    offset_ms: int = Field(ge=-3_600_000, le=3_600_000)


class ClockStep(Fault):
    """The venue's own clock is set, and stays so."""

    kind: Literal["clock_step"]
    offset_ms: int = Field(ge=-3_600_000, le=3_600_000)


class Burst(Lasting):
    """`times` the traffic: a trade is followed by `times` - 1 new ones like it, a best bid and ask is said again.

    channels: of trades, of best quotes, or empty for both.
    """

    kind: Literal["burst"]
    for_s: float = Field(10.0, gt=0, le=FOREVER_S)
    symbols: list[str] = []
    channels: list[str] = []
    times: int = Field(10, ge=2, le=1000)


class Delist(Lasting):
    """Symbols are traded no more: their streams end, to subscribe and to ask for them is an error."""

    kind: Literal["delist"]
    for_s: float = Field(FOREVER_S, gt=0, le=FOREVER_S)
    symbols: list[str] = Field(min_length=1)


class Maintenance(Lasting):
    """The venue closes all connections and answers nobody. notice_s: spot tells it before."""

    kind: Literal["maintenance"]
    for_s: float = Field(60.0, gt=0, le=FOREVER_S)
    notice_s: float = Field(0.0, ge=0, le=600)


class SnapshotRace(Lasting):
    """A book that is asked for is older than the updates: `old` as it was at the begin, `late` by its way."""

    kind: Literal["snapshot_race"]
    for_s: float = Field(10.0, gt=0, le=FOREVER_S)
    symbols: list[str] = []
    how: Literal["old", "late"] = "old"
    delay_ms: float = Field(2_000.0, gt=0, le=60_000)


class RestDown(OnRequests):
    """No request is answered."""

    kind: Literal["rest_down"]


class RestSlow(OnRequests):
    """Answers come late."""

    kind: Literal["rest_slow"]
    delay_ms: float = Field(3_000.0, gt=0, le=600_000)


class Rest429(OnRequests):
    """Requests are refused for being too many."""

    kind: Literal["rest_429"]
    status: Literal[418, 429] = 429
    retry_after_s: int = Field(2, ge=1, le=86_400)


AnyFault = Annotated[
    Disconnect
    | HalfOpen
    | SilentStream
    | Refuse
    | Slow
    | Duplicate
    | Reorder
    | Delay
    | Drop
    | Corrupt
    | Huge
    | SchemaDrift
    | WrongSequence
    | CrossedBook
    | AbsurdPrice
    | ClockOffset
    | ClockStep
    | Burst
    | Delist
    | Maintenance
    | SnapshotRace
    | RestDown
    | RestSlow
    | Rest429,
    Field(discriminator="kind"),
]


class Plan(BaseModel):
    """All faults of a run, in the order of the file. seed: of what probability decides."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: int = Field(0, ge=0)
    fault: list[AnyFault] = []


PLAN = TypeAdapter(Plan)
CALM = Plan()


def read_plan(text: str, name: str = "plan") -> Plan:
    """A plan from TOML text. Raises ConfigError that names the fault and the key."""
    try:
        return PLAN.validate_python(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: cannot be read as TOML ({error}); correct the file") from None
    except ValidationError as error:
        raise ConfigError(f"{name}: {_sentence(error)}; correct the file") from None


def load_plan(path: Path) -> Plan:
    """A plan from a TOML file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"plan {path.name}: cannot be read ({error}); name a file that can") from None
    return read_plan(text, f"plan {path.name}")


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    place = list(first["loc"])
    words = []
    if place[:1] == ["fault"] and len(place) > 1:
        words.append(f"fault {int(place[1]) + 1}")
        words += [str(part) for part in place[2:]]
    else:
        words += [str(part) for part in place]
    return f"{', '.join(words) or 'the whole'}: {first['msg']}, found {first['input']!r:.80}"
