"""The 32 faults of the catalogue, each as one line: how it is done, to whom, what must come out, what is measured.

A fault is drawn from a seed (`Draw`): where it strikes, how long, which of its shapes. What the exchange does to its
clients is an entry of a fault plan (`replay.exchange.load_plan`); what happens to the process or its machine is a
HostFault, done by `play.py`. A fault whose other side does not exist yet says so and is never counted as passed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

PlanEntry = dict[str, Any]
VENUES = ("binance_usdm", "hyperliquid")
CHANNELS = {  # venue -> trades, quotes, depth
    "binance_usdm": ("aggTrade", "bookTicker", "depth"),
    "hyperliquid": ("trades", "bbo", "l2Book"),
}
EQUAL, MARKED = "equal", "equal or marked"


class HostFault(NamedTuple):
    """What is done to the process or its machine. amount_s: of a clock step; shape: which, where there are several."""

    kind: str  # clock_step, loop_stall, kill, stop, disk_full, store_trouble, unreachable
    at_s: float
    for_s: float = 0.0
    amount_s: float = 0.0
    shape: str = ""


@dataclass(slots=True)
class Draw:
    """Where and how a fault strikes in one scenario. Times are seconds from the first full minute."""

    rng: random.Random
    venue: str
    symbols: tuple[str, ...]
    minutes: int

    def at_s(self, lasting_s: float = 0.0) -> float:
        """An instant that leaves a whole minute before the fault and one and a half after it."""
        latest_s = 60.0 * self.minutes - 90.0 - lasting_s
        return round(self.rng.uniform(60.0, max(61.0, latest_s)), 3)

    def span_s(self, least_s: float, most_s: float) -> float:
        return round(self.rng.uniform(least_s, most_s), 3)

    def one(self, choices: tuple[Any, ...]) -> Any:
        return self.rng.choice(choices)

    @property
    def symbol(self) -> str:
        return self.one(self.symbols)

    @property
    def trades(self) -> str:
        return CHANNELS[self.venue][0]

    @property
    def quotes(self) -> str:
        return CHANNELS[self.venue][1]

    @property
    def depth(self) -> str:
        return CHANNELS[self.venue][2]


def _nothing(_: Draw) -> list[Any]:
    return []


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. must: EQUAL (no row may be marked for it) or MARKED. figure: what is reported besides the rows.

    starts: calendar instants (UTC, ISO) at which the session is played instead of an ordinary day. real: it is also
    played with real processes and sockets (processes.py), and how. in_memory: False if it is played with these only.
    tested_elsewhere: why nothing is played.
    """

    number: int
    name: str
    done: str
    must: str
    exchange: Callable[[Draw], list[PlanEntry]] = _nothing
    host: Callable[[Draw], list[HostFault]] = _nothing
    venues: tuple[str, ...] = VENUES
    symbols: int = 3
    connections_each: tuple[int, ...] = (1,)
    starts: tuple[str, ...] = field(default=())
    figure: str = ""
    tested_elsewhere: str = ""
    real: str = ""
    in_memory: bool = True


def _entry(kind: str, draw: Draw, for_s: float = 0.0, **more: Any) -> PlanEntry:
    entry: PlanEntry = {"kind": kind, "at_s": draw.at_s(for_s), **more}
    return entry | ({"for_s": for_s} if for_s else {})


def _disconnects(draw: Draw) -> list[PlanEntry]:
    return [_entry("disconnect", draw, how=draw.one(("close", "reset"))) for _ in range(draw.one((1, 2, 3)))]


def _half_open(draw: Draw) -> list[PlanEntry]:
    return [_entry("half_open", draw, draw.span_s(3, 40), accepts=draw.one((False, True)))]


def _refuse(draw: Draw) -> list[PlanEntry]:
    outage_s = draw.span_s(60, 60.0 * (draw.minutes - 4))
    how, status = draw.one((("connect", 503), ("handshake", 503), ("handshake", 429)))
    refuse = _entry("refuse", draw, outage_s, how=how, status=status)
    return [refuse, {"kind": "disconnect", "at_s": refuse["at_s"] + 0.01, "how": "reset"}]


def _duplicates(draw: Draw) -> list[PlanEntry]:
    delay_ms = draw.one((0.0, 50.0, 4_000.0))
    return [_entry("duplicate", draw, 120.0, probability=draw.span_s(0.05, 0.5), delay_ms=delay_ms)]


def _reorder(draw: Draw) -> list[PlanEntry]:
    channels = [draw.trades, draw.quotes]
    return [_entry("reorder", draw, 120.0, channels=channels, probability=0.3, delay_ms=draw.one((5.0, 20.0, 40.0)))]


def _late(draw: Draw) -> list[PlanEntry]:
    delay_ms = draw.one((800.0, 2_000.0, 2_900.0, 3_500.0, 8_000.0))
    return [
        _entry("delay", draw, draw.span_s(5, 90), channels=[draw.trades], symbols=[draw.symbol], delay_ms=delay_ms,
               probability=draw.one((0.05, 1.0)))
    ]  # fmt: skip


def _sequence_gap(draw: Draw) -> list[PlanEntry]:
    if draw.venue == "hyperliquid":  # whole snapshots, no sequence: what can be lost is a snapshot
        return [_entry("drop", draw, draw.span_s(1, 20), channels=[draw.depth], symbols=[draw.symbol], probability=0.3)]
    return [
        _entry("wrong_sequence", draw, draw.span_s(0.5, 10), symbols=[draw.symbol], probability=0.3,
               how=draw.one(("ids", "missing")))
    ]  # fmt: skip


def _crossed(draw: Draw) -> list[PlanEntry]:
    channel = draw.one((draw.quotes, draw.depth))
    return [_entry("crossed_book", draw, draw.span_s(0.5, 5), symbols=[draw.symbol], channels=[channel])]


def _absurd(draw: Draw) -> list[PlanEntry]:
    how = draw.one(("nan", "zero", "negative", "huge", "x10"))
    channel = draw.one((draw.trades, draw.quotes))
    return [_entry("absurd_price", draw, 20.0, how=how, channels=[channel], symbols=[draw.symbol], probability=0.2)]


def _huge(draw: Draw) -> list[PlanEntry]:
    return [_entry("huge", draw, mib=draw.one((9.0, 16.0)))]


def _corrupt(draw: Draw) -> list[PlanEntry]:
    how = draw.one(("bytes", "utf8", "cut", "nested"))
    return [_entry("corrupt", draw, draw.span_s(1, 20), how=how, probability=draw.one((0.01, 0.1)))]


def _drift(draw: Draw) -> list[PlanEntry]:
    how = draw.one(("renamed", "removed", "added", "retyped"))
    channel = draw.one((draw.trades, draw.quotes, draw.depth))
    return [_entry("schema_drift", draw, draw.span_s(10, 60), how=how, channels=[channel])]


def _venue_clock(draw: Draw) -> list[PlanEntry]:
    offset_ms = draw.one((-10_000, -1_500, 600, 1_500, 10_000))
    kind, for_s = draw.one((("clock_offset", 90.0), ("clock_step", 0.0)))
    return [_entry(kind, draw, for_s, offset_ms=offset_ms)]


def _silence(draw: Draw) -> list[PlanEntry]:
    return [_entry("silent_stream", draw, draw.span_s(20, 120), heals=draw.one((False, True)))]


def _silent_stream(draw: Draw) -> list[PlanEntry]:
    channel = draw.one((draw.trades, draw.quotes, draw.depth))
    return [
        _entry("silent_stream", draw, draw.span_s(20, 120), symbols=[draw.symbol], channels=[channel],
               heals=draw.one((False, True)))
    ]  # fmt: skip


def _burst(draw: Draw) -> list[PlanEntry]:
    return [_entry("burst", draw, 20.0, times=draw.one((5, 20)))]


def _delist(draw: Draw) -> list[PlanEntry]:
    return [_entry("delist", draw, symbols=[draw.symbol])]


def _maintenance(draw: Draw) -> list[PlanEntry]:
    return [_entry("maintenance", draw, draw.span_s(5, 90))]


def _snapshot_race(draw: Draw) -> list[PlanEntry]:
    race = _entry("snapshot_race", draw, 30.0, how=draw.one(("old", "late")))
    return [race, {"kind": "disconnect", "at_s": race["at_s"] + 2.0, "how": "close"}]


def _rest(draw: Draw) -> list[PlanEntry]:
    kind = draw.one(("rest_down", "rest_slow", "rest_429"))
    trouble = _entry(kind, draw, draw.span_s(10, 40))
    return [trouble, {"kind": "disconnect", "at_s": trouble["at_s"] + 2.0, "how": "close"}]


def _host(kind: str, least_s: float = 0.0, most_s: float = 0.0, shapes: tuple[str, ...] = ("",)) -> Any:
    def strike(draw: Draw) -> list[HostFault]:
        for_s = draw.span_s(least_s, most_s) if most_s else 0.0
        return [HostFault(kind, draw.at_s(for_s), for_s, shape=draw.one(shapes))]

    return strike


def _clock_steps(draw: Draw) -> list[HostFault]:
    return [HostFault("clock_step", draw.at_s(), amount_s=draw.one((90.0, -90.0, -3600.0, 0.4)))]


def _stall(draw: Draw) -> list[HostFault]:
    return [HostFault("loop_stall", draw.at_s(5.0), draw.one((0.15, 0.8, 2.5, 5.0)))]


CALENDAR = (
    "2016-12-31T23:58:00", "2024-02-28T23:58:00", "2024-02-29T23:58:00", "2026-03-29T00:58:00", "2026-10-25T00:58:00",
    "2026-12-31T23:58:00", "2038-01-19T03:12:00", "2100-02-28T23:58:00",
)  # fmt: skip
NO_MINUTE = "touches no minute: tests of its room"

CATALOGUE: tuple[Fault, ...] = (
    Fault(1, "clean disconnect, reset", "one to three closes or resets", MARKED, _disconnects,
          figure="time until a valid book"),
    Fault(2, "half-open connection", "the peer stays open and says nothing, 3 to 40 s", MARKED, _half_open,
          figure="time to notice", real="SIGSTOP of the exchange's process"),
    Fault(3, "reconnect storm", "refused for minutes, in three ways", MARKED, _refuse, figure="attempts in a minute"),
    Fault(4, "duplicates", "5 to 50 % of all messages twice; two connections", EQUAL, _duplicates,
          connections_each=(1, 2)),
    Fault(5, "out of order within the watermark", "30 % of trades and quotes 5 to 40 ms later", EQUAL, _reorder),
    Fault(6, "late trades", "trades 0.8 to 8 s later", MARKED, _late),
    Fault(7, "sequence gap in the book", "differences dropped or misnumbered", MARKED, _sequence_gap,
          figure="time until a valid book"),
    Fault(8, "book after a reconnect", "closed; REST answers old, late, refused or missing", MARKED,
          lambda draw: draw.one((_snapshot_race, _rest))(draw), venues=("binance_usdm",),
          figure="levels that differ from the exchange's book"),
    Fault(9, "crossed book", "best bid above best ask, 0.1 to 5 s", MARKED, _crossed),
    Fault(10, "NaN, zero, negative, absurd prices", "one message in ten, 5 s", MARKED, _absurd),
    Fault(11, "huge message", "9 or 16 MiB in one message", MARKED, _huge),
    Fault(12, "broken JSON, UTF-8, deep nesting", "0.2 to 5 % of messages", MARKED, _corrupt),
    Fault(13, "schema drift", "a field renamed, removed, added, retyped", MARKED, _drift),
    Fault(14, "host clock steps", "+90 s, -90 s, -1 h, +0.4 s", EQUAL, host=_clock_steps),
    Fault(15, "the exchange's clock", "steps of 0.6 to 10 s, forth and back", MARKED, _venue_clock),
    Fault(16, "calendar", "leap second, leap days, summer time, year ends, 2038, 2100", EQUAL, starts=CALENDAR),
    Fault(17, "silent feed", "a venue, or one stream of it, 20 to 120 s",  MARKED,
          lambda draw: draw.one((_silence, _silent_stream))(draw), figure="time to notice"),
    Fault(18, "minutes without a trade", "a symbol that trades twice in four minutes", EQUAL, symbols=5),
    Fault(19, "burst", "5 and 20 times the traffic, 20 s", EQUAL, _burst),
    Fault(20, "delisted symbol", "its streams end, subscribing fails", MARKED, _delist),
    Fault(21, "maintenance, close after 24 h, shutdown", "all closed and refused, 5 to 90 s", MARKED, _maintenance,
          figure="time until a valid book"),
    Fault(22, "disk full", "no room for 2 to 20 s", EQUAL, host=_host("disk_full", 2, 20)),
    Fault(23, "DuckDB locked, fatal, corrupt", "its file removed or overwritten while open", EQUAL,
          host=_host("store_trouble", shapes=("removed", "overwritten"))),
    Fault(24, "Redis, Postgres, NATS down", "", EQUAL, tested_elsewhere=NO_MINUTE),
    Fault(25, "flood of the control socket", "64 clients at once: status, heavy SQL, half requests, noise", EQUAL,
          figure="how long a close takes meanwhile", real="clients of the engine's socket", in_memory=False),
    Fault(26, "hostile configuration at run time", "", EQUAL, tested_elsewhere=NO_MINUTE),
    Fault(27, "partial configuration write", "", EQUAL, tested_elsewhere=NO_MINUTE),
    Fault(28, "SIGTERM in the middle of a minute", "stopped, started again after 0.5 to 20 s", MARKED,
          host=_host("stop", 0.5, 20), figure="time to stop", real="SIGTERM of the engine's process"),
    Fault(29, "kill -9", "killed at any instant, started again after 0.5 to 20 s", MARKED,
          host=_host("kill", 0.5, 20), real="SIGKILL of the engine's process"),
    Fault(30, "out of memory", "as 29: the kernel kills", MARKED, host=_host("kill", 0.5, 20)),
    Fault(31, "stall of the loop", "nothing runs for 0.15 to 5 s", MARKED, host=_stall),
    Fault(32, "DNS, TLS, certificate", "addresses do not answer, or not as who they are, 10 to 60 s", MARKED,
          host=_host("unreachable", 10, 60, ("dns", "tls"))),
)  # fmt: skip


def fault(number: int) -> Fault:
    """The fault of that number in the catalogue."""
    return CATALOGUE[number - 1]
