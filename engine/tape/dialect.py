"""What a venue's file has to say about its wire language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.core.frame import CORE_BOOK, CORE_QUOTE, CORE_TRADE
from engine.tape.message import Message
from engine.tape.template import Template


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a venue.

    core: CORE_TRADE, CORE_QUOTE, CORE_BOOK, or None for channels that close no minute.
    timed: its messages carry an event time. on_change: silence means that nothing changed.
    diff: depth as changes with sequence numbers, else whole snapshots. carries: columns it feeds besides.
    """

    name: str
    core: int | None = None
    timed: bool = True
    on_change: bool = True
    diff: bool = False
    carries: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Dialect:
    """A venue, sans-IO: how its frames read, what its instruments are assumed to be.

    head: text before the stream's name in every frame. stream_names: (channel, symbol) -> names it may arrive under.
    decode: raw frame -> (channel, messages), strict and slow; raises MalformedError.
    decode_rest: (request, symbol, body) -> messages, likewise. requests: those whose answers have templates, under the
    channel `GET <request>`.
    arrival_order: trade ids do not increase, so trades at one instant keep their arrival.
    listing: the request whose answer lists every symbol with its last 24 hours; empty: none.
    names_quote: a symbol's name ends with its quote asset, so that only some of them can be compared.
    ids_count: trade ids count up by one. backfills: request -> the trade channel whose trades its answer holds.
    funding_interval_h: hours between two fundings where an instrument does not say; 0: there is none.
    """

    venue: str
    head: bytes
    channels: tuple[Channel, ...]
    templates: tuple[Template, ...]
    stream_names: Callable[[str, str], Sequence[str]]
    decode: Callable[[bytes], tuple[str, list[Message]]]
    decode_rest: Callable[[str, str, bytes], list[Message]]
    price_decimals: int | None
    quantity_decimals: int | None
    quantity_unit: str = "base"
    contract_sizes: dict[str, int] = field(default_factory=dict)
    inverse: bool = False
    spot_sequence: bool = False
    arrival_order: bool = False
    requests: tuple[str, ...] = ()
    listing: str = ""
    names_quote: bool = False
    ids_count: bool = False
    backfills: dict[str, str] = field(default_factory=dict)
    funding_interval_h: int = 0

    @property
    def names(self) -> list[str]:
        """What templates may be of: the channels, then the requests."""
        return [*(channel.name for channel in self.channels), *(f"GET {request}" for request in self.requests)]

    def channel_index(self, name: str) -> int:
        """Place of a channel in `channels`; -1 if the venue has none of that name."""
        return next((i for i, channel in enumerate(self.channels) if channel.name == name), -1)


def core_channels(trade: Sequence[str], quote: str) -> tuple[Channel, ...]:
    """The channels every venue has: trades under one or more names, and a quote that speaks only on change."""
    return (*(Channel(name, CORE_TRADE) for name in trade), Channel(quote, CORE_QUOTE))


__all__ = ["CORE_BOOK", "CORE_QUOTE", "CORE_TRADE", "Channel", "Dialect", "core_channels"]
