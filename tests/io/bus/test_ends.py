"""The ends of the bus: signals come onto it from the delivery, and receivers elsewhere get the same envelope."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import orjson

from engine.core.release import Reach
from engine.io.bus.ends import MarketEvents, Remote
from engine.io.bus.ledger import MESSAGES
from engine.io.bus.message import decode
from engine.io.publish.entry import decode as entry_of
from engine.io.publish.entry import encode as line_of
from tests.io.bus.world import BEGUN_NS, Heard, World
from tests.io.publish.made import signal


def test_signals_are_taken_when_they_are_durable_on_the_bus():
    """So that the cursor of the delivery never stands behind a message that a crash could lose."""
    world, taken = World(), list[int]()
    entry = entry_of(0, line_of(0, 0, 0, 0, signal(7), Reach.INTERNAL, "mode", BEGUN_NS))

    async def story() -> None:
        world.disk.capacity = 1
        sending = asyncio.create_task(MarketEvents(world.bus).send([entry], 0))
        await asyncio.sleep(2)
        taken.append(sending.done())
        world.disk.capacity = None
        await sending
        taken.append(len(world.lines(MESSAGES)))

    world.for_s(1, story)

    assert taken == [False, 1]


def test_signals_come_onto_the_bus_once_and_remote_receivers_get_the_same_envelope():
    world, heard = World(), Heard()
    put: list[tuple[str, str, bytes]] = []

    async def remote(messages: Any) -> None:
        put.extend(messages)

    world.bus.register("decision_maker", "market_event", heard)
    world.bus.register("elsewhere", "market_event", Remote(remote))
    told = replace(signal(7), exchange_ts=BEGUN_NS // 1_000_000)
    entry = entry_of(0, line_of(0, 0, 0, 0, told, Reach.INTERNAL, "mode", 5 + BEGUN_NS))

    async def twice() -> None:
        sink = MarketEvents(world.bus)
        await sink.send([entry], 0)
        await sink.send([entry], 1)

    world.for_s(1, twice)

    (message,) = heard.messages
    assert message.data == {"id": told.id, "signal": orjson.loads(told.payload)}
    assert message.created_at == BEGUN_NS  # when its minute closed, whenever it was taken
    assert [(id_, decode(content)) for id_, _, content in put] == [(message.message_id, message)]
