"""Subscription messages of one link: sent at the pace the venue allows, each matched with its answer."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from engine.core.minutes import NS_PER_S
from engine.core.ports import Clock, Link
from engine.io.feeds.pace import Allowance
from engine.io.venues.end import Answer, Streams, VenueEnd


class Asked(NamedTuple):
    """One message that was sent. on: subscribe, else unsubscribe."""

    on: bool
    streams: list[tuple[str, str]]
    at_ns: int


class Subscriptions:
    """shared: what all connections together may send, if the venue counts them so. answered: whether it ever did."""

    def __init__(self, end: VenueEnd, clock: Clock, shared: Allowance | None) -> None:
        self._end, self._clock = end, clock
        self._allowance = shared or Allowance(end.limits.messages, end.limits.messages_s, clock)
        self._outbox: asyncio.Queue[tuple[bool, list[tuple[str, str]]]] = asyncio.Queue()
        self._asked: dict[int, Asked] = {}  # not answered yet, by number
        self._number = 0
        self._sending = False
        self.answered = False

    @property
    def settled(self) -> bool:
        """Whether everything that was asked for is answered."""
        return not self._asked and self._outbox.empty() and not self._sending

    def ask(self, on: bool, streams: Streams) -> None:
        """Put messages for these streams in the queue, in batches."""
        batch = self._end.limits.batch
        for begin in range(0, len(streams), batch):
            self._outbox.put_nowait((on, list(streams[begin : begin + batch])))

    async def send(self, link: Link) -> None:
        """Send what is in the queue, for ever."""
        while True:
            on, streams = await self._outbox.get()
            self._sending = True
            await self._allowance.take()
            self._number += 1
            self._asked[self._number] = Asked(on, streams, self._clock.now_ns())
            make = self._end.subscribe if on else self._end.unsubscribe
            link.send(make(streams, self._number))
            self._sending = False

    def attribute(self, answer: Answer) -> Answer:
        """The answer with the streams it is about: some venues repeat the number, some the streams, some neither.

        `done` and `refused` are of subscribing only; of a batch that is refused each stream is asked for alone.
        """
        self.answered = True
        number = answer.number
        if answer.streams:
            number = next((n for n, asked in self._asked.items() if tuple(asked.streams) == answer.streams), -1)
        elif number < 0:  # they answer in the order they were asked
            number = next(iter(self._asked), -1)
        asked = self._asked.pop(number, None)
        if asked is None or not asked.on:
            return Answer("other", number, reason=answer.reason)
        if answer.kind == "refused" and len(asked.streams) > 1:
            for stream in asked.streams:
                self.ask(True, [stream])
            return Answer("other", number, reason=answer.reason)
        return Answer(answer.kind, number, tuple(asked.streams), answer.reason)

    def overdue(self, now_ns: int, answer_s: float) -> list[tuple[str, str]]:
        """Streams whose subscription was not answered within answer_s; they are waited for no longer."""
        late = [number for number, asked in self._asked.items() if now_ns - asked.at_ns >= answer_s * NS_PER_S]
        found = [self._asked.pop(number) for number in late]
        return [stream for asked in found for stream in asked.streams if asked.on]
