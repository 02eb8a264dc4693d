"""The module bus on a loop of virtual time: order, retries, ends of life, crashes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.core.minutes import NS_PER_S
from engine.core.release import Reach
from engine.io.bus.bus import Bus
from engine.io.bus.ends import MarketEvents, Remote
from engine.io.bus.figures import latency_colour, rate_colour
from engine.io.bus.ledger import DEAD, MESSAGES
from engine.io.bus.message import BusError, Message, decode, make
from engine.io.disk import read_all, write_all
from engine.io.publish.entry import decode as entry_of
from engine.io.publish.entry import encode as line_of
from replay.chaos.disk import Killed, MemoryDisk
from replay.exchange import VirtualClock, VirtualLoop
from tests.io.publish.made import signal

SESSION = Path("/session")
BEGUN_NS = 1_700_000_000_000_000_000


class Heard:
    """A handler that keeps what it hears. answer: called first, and may raise or wait."""

    def __init__(self, answer: Callable[[Message], Awaitable[None]] | None = None) -> None:
        self.answer = answer
        self.messages: list[Message] = []
        self.attempts_s: list[float] = []

    async def __call__(self, message: Message) -> None:
        self.attempts_s.append(asyncio.get_running_loop().time())
        if self.answer:
            await self.answer(message)
        self.messages.append(message)

    @property
    def said(self) -> list[Any]:
        return [message.data["n"] for message in self.messages]


class World:
    def __init__(self, disk: MemoryDisk | None = None) -> None:
        self.disk, self.loop = disk or MemoryDisk(), VirtualLoop()
        self.clock = VirtualClock(self.loop, BEGUN_NS)
        self.bus = Bus(SESSION, self.clock, self.disk)

    def plan(self, n: int) -> Message:
        return make("trading_plan", "alpha", "decision_maker", {"n": n}, self.clock.now_ns())

    def for_s(self, span_s: float, told: Callable[[], Awaitable[None]] | None = None) -> None:
        async def live() -> None:
            self.bus.start()
            if told:
                await told()
            await asyncio.sleep(span_s)
            await self.bus.stop()

        try:
            self.loop.run_until_complete(live())
        finally:
            self.loop.run_until_complete(self._bury({*asyncio.all_tasks(self.loop), *self.bus._tasks}))

    @staticmethod
    async def _bury(left: set[asyncio.Task[Any]]) -> None:
        """What a killed process leaves: collected at some later time, it would run inside whatever runs then."""
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in read_all(self.disk, SESSION / name).splitlines()]


def failing(*failures: int) -> Callable[[Message], Awaitable[None]]:
    """Raises at those attempts, counted from 1."""
    attempts: list[int] = []

    async def answer(message: Message) -> None:
        attempts.append(1)
        if len(attempts) in failures:
            raise RuntimeError("planted")

    return answer


def test_a_message_is_delivered_to_its_handler_and_settled_in_the_file():
    world, heard = World(), Heard()
    world.bus.register("decision_maker", "trading_plan", heard)
    message = world.plan(1)
    assert world.bus.send(message)
    assert not world.bus.send(message)

    world.for_s(1)

    assert heard.messages == [message]
    first, second = world.lines(MESSAGES)
    assert decode(orjson.dumps(first["message"])) == message
    assert (second["status"], second["attempts"], second["receiver"]) == ("delivered", 1, "decision_maker")
    told = world.bus.status()
    assert (told["pending"], told["delivered"], told["delivery_pct"], told["delivery"]) == (0, 1, 100.0, "green")
    assert told["latency"] == "green"


def test_nothing_is_handed_on_before_it_is_durable():
    world, heard = World(), Heard()
    world.bus.register("decision_maker", "trading_plan", heard)
    world.disk.capacity = 1
    world.bus.send(world.plan(1))
    world.for_s(3)
    assert heard.messages == []
    assert "No space left" in world.bus.status()["trouble"]

    world.disk.capacity = None
    world.for_s(3)
    assert heard.said == [1]


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


@pytest.mark.parametrize(
    ("type_", "sender", "receiver", "said"),
    [
        ("trading_plan", "alpha", "trader", "alpha never addresses the trader"),
        ("execution_feedback", "alpha", "trader", "alpha never addresses the trader"),
        ("trading_plan", "alpha", "replicator", "it goes to decision_maker"),
        ("trading_plan", "alpha", None, "cannot go to all; it goes to decision_maker"),
        ("trading_plan", "risk", "decision_maker", "not risk's to send; it comes from alpha"),
        ("execution_feedback", "trader", "risk", "it goes to alpha or decision_maker"),
        ("intelligence_broadcast", "risk", "trader", "it goes to all, with no receiver named"),
        ("market_event", "trader", None, "it comes from alpha"),
        ("replication_signal", "", "replicator", "not nobody's to send"),
        ("invented", "alpha", None, "'invented' is no type of message"),
    ],
)
def test_who_may_not_say_this_to_whom_is_told_so(type_: str, sender: str, receiver: str | None, said: str):
    with pytest.raises(BusError, match=said):
        make(type_, sender, receiver, {}, BEGUN_NS)


def test_handlers_are_registered_once_and_only_for_what_can_come():
    bus = World().bus
    bus.register("decision_maker", "trading_plan", Heard())
    with pytest.raises(BusError, match="has a handler"):
        bus.register("decision_maker", "trading_plan", Heard())
    with pytest.raises(BusError, match="never comes to trader"):
        bus.register("trader", "trading_plan", Heard())


def test_an_id_is_that_of_the_content_and_a_changed_message_is_refused():
    message = make("trading_plan", "alpha", "decision_maker", {"b": 1, "a": [0.1]}, BEGUN_NS)

    assert message == make("trading_plan", "alpha", "decision_maker", {"a": [0.1], "b": 1}, BEGUN_NS)
    assert message.message_id != make("trading_plan", "alpha", "decision_maker", {"b": 2}, BEGUN_NS).message_id
    assert decode(message.encode()) == message
    for changed in (
        message.encode().replace(b'"a":[0.1]', b'"a":[0.2]'), message.encode().replace(b'"ttl_s":300', b'"ttl_s":301'),
        b"[]", b"{}", b"no",
    ):  # fmt: skip
        with pytest.raises(BusError):
            decode(changed)


def test_what_is_settled_and_past_its_time_is_left_out_of_the_file_and_what_is_pending_goes_on():
    world, heard = World(), Heard()
    world.bus.register("decision_maker", "trading_plan", heard)
    world.bus.send(world.plan(1))
    world.bus.send(make("replication_signal", "alpha", "replicator", {"n": 2}, world.clock.now_ns()))
    world.for_s(200)
    young = world.plan(3)
    world.bus.send(young)
    world.for_s(200)
    world.bus.close()

    again = World(world.disk.restart())
    again.loop.now_ns = 400 * NS_PER_S
    again.bus = Bus(SESSION, again.clock, again.disk)

    assert [line["message"]["data"]["n"] for line in again.lines(MESSAGES) if "message" in line] == [2, 3]
    assert again.bus.status()["pending"] == 1
    assert not again.bus.send(young)
    said = {type_: one.count for type_, one in again.bus.figures.said.items()}
    assert said == {"trading_plan": 2, "replication_signal": 1}
    assert again.bus.status()["delivered"] == 2  # of the whole session, also what is no longer in the file


def test_what_is_not_behind_the_newest_of_its_type_is_known_even_when_its_line_is_gone():
    world = World()
    first, other = world.plan(1), make("replication_signal", "alpha", "replicator", {"n": 2}, BEGUN_NS)
    world.bus.register("decision_maker", "trading_plan", Heard())
    assert world.bus.send(first, 100)
    world.for_s(400)
    world.bus.close()
    again = World(world.disk.restart())
    again.loop.now_ns = 400 * NS_PER_S
    again.bus = Bus(SESSION, again.clock, again.disk)

    assert [list(line) for line in again.lines(MESSAGES)] == [["totals"]]
    assert not again.bus.send(first, 100)
    assert again.bus.send(again.plan(3), 101)
    assert again.bus.send(other, 50)  # of another type


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


def test_a_message_that_this_version_does_not_know_is_a_dead_letter():
    disk = MemoryDisk()
    message = b'{"type":"of_old","sender":"a","receiver":null,"data":{},"created_at":1}'
    line = b'{"to":["x"],"place":-1,"since_ns":1,"message":' + message + b"}\n"
    write_all(disk, disk.create(SESSION / MESSAGES), line)

    world = World(disk)

    assert "of_old" in world.lines(DEAD)[0]["error"]
    assert world.lines(MESSAGES) == [{"totals": {"said": {}, "counts": {}}}]


@pytest.mark.parametrize("power", [False, True])
def test_killed_at_any_step_what_was_durable_is_handled_and_nothing_out_of_its_order(power: bool):
    steps, died = 0, True
    while died:
        steps += 1
        disk = MemoryDisk(seed=steps)
        first, second = Heard(failing(2)), Heard()
        sent: list[Message] = []
        disk.fail_at, disk.how = steps, "kill"
        try:
            world = World(disk)
            world.bus.register("decision_maker", "trading_plan", first)

            async def told(world: World = world, sent: list[Message] = sent) -> None:
                for n in range(4):
                    message = world.plan(n)
                    world.bus.send(message)
                    await asyncio.sleep(0.5)
                    world.disk.list(SESSION)  # a process that is dead by now gets no further
                    sent.append(message)

            world.for_s(5, told)
            died = False
        except Killed:
            died = True
        world = World(disk.cut_power() if power else disk.restart())
        world.bus.register("decision_maker", "trading_plan", second)
        world.for_s(10)

        handled = [message.message_id for message in [*first.messages, *second.messages]]
        assert {message.message_id for message in sent} <= set(handled)
        order = list(dict.fromkeys(message.data["n"] for message in [*first.messages, *second.messages]))
        assert order == sorted(order)
    assert steps > 15


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
