"""What a journal says by itself, read naively: trades that were heard, connections that came and went, books that came.

Only orjson and the record's header are used, so that the engine's decoders are not asked about themselves.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from engine.core.minutes import NS_PER_MINUTE
from engine.core.records import Record, RecordKind

TRADE_EVENTS = {"trade": "t", "aggTrade": "a"}


class Turn(NamedTuple):
    """A connection came up or went down, or one stream of it turned. symbol: "" for a whole connection."""

    recv_ns: int
    venue: str
    source: int
    state: str
    symbol: str = ""
    reason: str = ""


@dataclass(slots=True)
class Heard:
    """messages: trade messages by (symbol, minute), repeated ones included; ids: those that differ.

    turns: in journal order. books: receive times at which a whole book of a symbol came (a REST answer, an l2Book).
    recv_ns: receive time by seq. unread: frames that are no JSON object.
    """

    messages: Counter[tuple[str, int]] = field(default_factory=Counter)
    ids: dict[tuple[str, int], set[int]] = field(default_factory=lambda: defaultdict(set))
    turns: list[Turn] = field(default_factory=list)
    books: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    recv_ns: dict[int, int] = field(default_factory=dict)
    unread: int = 0

    def listen(self, records: Iterable[Record]) -> Heard:
        for record in records:
            self.recv_ns[record.seq] = record.recv_ns
            if record.kind == RecordKind.FRAME:
                self._frame(record)
            elif record.kind == RecordKind.REST:
                self._answer(record)
            elif record.kind in (RecordKind.CONNECTION, RecordKind.STREAM):
                told = orjson.loads(record.payload)
                self.turns.append(
                    Turn(record.recv_ns, told["venue"], record.source, told["state"], told.get("symbol", ""),
                         told.get("reason", ""))
                )  # fmt: skip
        return self

    def _frame(self, record: Record) -> None:
        try:
            told = orjson.loads(record.payload)
            data = told.get("data", told)
            if told.get("channel") == "trades":
                for trade in data:
                    self._trade(trade["coin"], trade["tid"], trade["time"])
            elif told.get("channel") == "l2Book":
                self.books[data["coin"]].append(record.recv_ns)
            elif data.get("e") in TRADE_EVENTS:
                self._trade(data["s"], data[TRADE_EVENTS[data["e"]]], data["T"])
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
            self.unread += 1

    def _answer(self, record: Record) -> None:
        head, _, body = record.payload.partition(b"\n")
        request, _, symbol = head.decode().partition(" ")
        if request in ("depth", "l2Book"):
            self.books[symbol].append(record.recv_ns)
        elif request in ("aggTrades", "trades"):
            key, time = ("a", "T") if request == "aggTrades" else ("id", "time")
            for trade in orjson.loads(body):
                self._trade(symbol, trade[key], trade[time])

    def _trade(self, symbol: Any, trade_id: Any, event_ms: Any) -> None:
        if type(symbol) is not str or type(trade_id) is not int or type(event_ms) is not int:
            self.unread += 1
            return
        where = symbol, event_ms // 60_000
        self.messages[where] += 1
        self.ids[where].add(trade_id)

    def noticed_ns(self, venue: str, after_ns: int) -> int | None:
        """When it was first journaled that something of the venue had gone, at or after an instant."""
        gone = ("down", "silent", "refused")
        return next(
            (turn.recv_ns for turn in self.turns
             if turn.venue == venue and turn.state in gone and turn.recv_ns >= after_ns), None,
        )  # fmt: skip

    def valid_again_ns(self, venue: str, symbols: Sequence[str], after_ns: int) -> int | None:
        """When the last of the symbols had a whole book again on a connection that came up at or after an instant."""
        up_ns = next(
            (turn.recv_ns for turn in self.turns
             if turn.venue == venue and turn.state == "up" and turn.recv_ns >= after_ns), None,
        )  # fmt: skip
        if up_ns is None:
            return None
        books = [next((ns for ns in self.books[symbol] if ns >= up_ns), None) for symbol in symbols]
        return None if None in books else max(ns for ns in books if ns is not None)


def most_in_a_minute(instants_ns: Iterable[int]) -> int:
    """The most of the instants that lie within 60 s, wherever these begin."""
    ordered = sorted(instants_ns)
    most = begin = 0
    for end, instant in enumerate(ordered):
        while instant - ordered[begin] >= NS_PER_MINUTE:
            begin += 1
        most = max(most, end - begin + 1)
    return most
