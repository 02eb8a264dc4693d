"""Handlers of the module bus on a loop of virtual time: order, retries, ends of life, figures."""

from __future__ import annotations

import asyncio

import pytest

from engine.io.bus.figures import latency_colour, rate_colour
from engine.io.bus.ledger import DEAD
from engine.io.bus.message import BusError, Message, make
from tests.io.bus.world import BEGUN_NS, Heard, World, failing


def test_retries_come_after_50_200_and_800_ms_and_then_it_is_a_dead_letter():
    world, heard = World(), Heard(failing(1, 2, 3, 4))
    world.bus.register("decision_maker", "trading_plan", heard)
    world.bus.send(world.plan(1))
    world.bus.send(world.plan(2))

    world.for_s(10)

    waits = [after - before for before, after in zip(heard.attempts_s, heard.attempts_s[1:4], strict=False)]
    assert waits == pytest.approx([0.05, 0.2, 0.8], abs=1e-6)
    assert heard.said == [2]
    (letter,) = world.lines(DEAD)
    assert (letter["status"], letter["attempts"], letter["error"]) == ("failed", 4, "RuntimeError: planted")
    assert letter["message"]["data"] == {"n": 1}
    told = world.bus.status()
    assert (told["failed"], told["delivered"], told["delivery_pct"], told["delivery"]) == (1, 1, 50.0, "red")


def test_a_broadcast_has_one_retry_and_each_listener_its_own_fate():
    world = World()
    good, bad, own = Heard(), Heard(failing(1, 2)), Heard()
    for receiver, handler in (("alpha", good), ("trader", bad), ("risk", own)):
        world.bus.register(receiver, "intelligence_broadcast", handler)
    world.bus.send(make("intelligence_broadcast", "risk", None, {"n": 1}, world.clock.now_ns()))

    world.for_s(5)

    assert (good.said, bad.said, own.messages) == ([1], [], [])
    assert len(bad.attempts_s) == 2
    assert [(letter["receiver"], letter["attempts"]) for letter in world.lines(DEAD)] == [("trader", 2)]


def test_the_best_priority_first_and_each_type_in_its_order_also_while_its_first_is_tried_again():
    world, order = World(), list[tuple[str, int]]()

    def handler(name: str, *failures: int) -> Heard:
        answer = failing(*failures)

        async def told(message: Message) -> None:
            await answer(message)
            order.append((name, message.data["n"]))

        return Heard(told)

    world.bus.register("alpha", "intelligence_broadcast", handler("broadcast"))
    world.bus.register("alpha", "execution_feedback", handler("feedback", 1))
    for n in range(3):
        world.bus.send(make("intelligence_broadcast", "risk", None, {"n": n}, world.clock.now_ns()))
        world.bus.send(make("execution_feedback", "trader", "alpha", {"n": n}, world.clock.now_ns()))

    world.for_s(5)

    broadcasts, feedback = [("broadcast", n) for n in range(3)], [("feedback", n) for n in range(3)]
    assert order == broadcasts + feedback  # while the first feedback waits for its second attempt


def test_a_receiver_handles_one_message_at_a_time_and_a_slow_one_keeps_nobody_else_waiting():
    world, running = World(), list[int]()

    async def slow(message: Message) -> None:
        running.append(1)
        assert len(running) == 1
        await asyncio.sleep(2)
        running.pop()

    one, other = Heard(slow), Heard()
    world.bus.register("decision_maker", "trading_plan", one)
    world.bus.register("replicator", "replication_signal", other)
    for n in range(3):
        world.bus.send(world.plan(n))
        world.bus.send(make("replication_signal", "alpha", "replicator", {"n": n}, world.clock.now_ns()))

    world.for_s(7)

    assert one.said == other.said == [0, 1, 2]
    assert max(other.attempts_s) < 0.1


def test_a_handler_that_hangs_is_asked_again():
    async def hang(message: Message) -> None:
        if len(heard.attempts_s) == 1:
            await asyncio.sleep(3600)

    world = World()
    heard = Heard(hang)
    world.bus.register("decision_maker", "trading_plan", heard)
    world.bus.send(world.plan(1))

    world.for_s(10)

    assert heard.attempts_s == pytest.approx([0.0, 5.05], abs=1e-6)
    assert heard.said == [1]


def test_without_a_handler_it_waits_for_one_and_expires_after_its_ttl():
    world, heard = World(), Heard()
    world.bus.send(world.plan(1))
    world.for_s(299)
    assert world.bus.status()["pending"] == 1
    world.bus.register("decision_maker", "trading_plan", heard)
    world.for_s(0.5)
    assert heard.said == [1]

    world.bus.send(make("replication_signal", "alpha", "replicator", {"n": 2}, world.clock.now_ns()))
    world.for_s(3601)
    (letter,) = world.lines(DEAD)
    assert (letter["status"], letter["error"], letter["attempts"]) == ("expired", "not handled within 3600 s", 0)


def test_figures_are_of_five_minutes_and_their_bounds_those_of_the_guide():
    world, heard = World(), Heard()
    world.bus.register("decision_maker", "trading_plan", heard)
    world.bus.send(world.plan(1))
    world.for_s(299)
    assert world.bus.status()["delivery_pct"] == 100.0
    world.for_s(2)
    told = world.bus.status()
    assert (told["delivery_pct"], told["delivery"], told["latency"], told["delivered"]) == (
        None,
        "unknown",
        "unknown",
        1,
    )
    assert [rate_colour(rate) for rate in (99.1, 99.0, 95.0, 94.9)] == ["green", "amber", "amber", "red"]
    assert [latency_colour(ms) for ms in (49.9, 50.0, 100.0, 100.1)] == ["green", "amber", "amber", "red"]


def test_handlers_are_registered_once_and_only_for_what_can_come():
    bus = World().bus
    bus.register("decision_maker", "trading_plan", Heard())
    with pytest.raises(BusError, match="has a handler"):
        bus.register("decision_maker", "trading_plan", Heard())
    with pytest.raises(BusError, match="never comes to trader"):
        bus.register("trader", "trading_plan", Heard())


def test_each_module_has_figures_of_its_own():
    world = World()
    world.bus.register("trader", "intelligence_broadcast", Heard(failing(1, 2)))
    world.bus.register("alpha", "intelligence_broadcast", Heard())
    world.bus.register("replicator", "replication_signal", Heard())
    world.bus.send(make("intelligence_broadcast", "risk", None, {"n": 1}, BEGUN_NS), since_ns=BEGUN_NS - 30_000_000)
    world.bus.send(world.plan(1))

    world.for_s(1)

    told = world.bus.status()
    assert told["said"] == {"intelligence_broadcast": 1, "trading_plan": 1}
    modules = [
        (one["name"], one["delivered"], one["failed"], one["pending"], one["delivery"]) for one in told["modules"]
    ]
    assert modules == [
        ("alpha", 1, 0, 0, "green"), ("decision_maker", 0, 0, 1, "unknown"), ("replicator", 0, 0, 0, "unknown"),
        ("trader", 0, 1, 0, "red"),
    ]  # fmt: skip
    assert told["modules"][0]["latency_ms"]["p95"] == 30.0
    assert (told["delivered"], told["failed"], told["pending"], told["delivery_pct"]) == (1, 1, 1, 50.0)
