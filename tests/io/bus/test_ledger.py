"""The file of the bus: nothing is handed on before it is durable, and what a killed process leaves goes on."""

from __future__ import annotations

import asyncio
import errno

import orjson
import pytest

from engine.core.minutes import NS_PER_S
from engine.io.bus.bus import Bus
from engine.io.bus.ledger import DEAD, MESSAGES
from engine.io.bus.message import Message, decode, make
from engine.io.disk import write_all
from replay.chaos.disk import Killed, MemoryDisk
from tests.io.bus.world import BEGUN_NS, SESSION, Heard, World, failing


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


def test_a_dead_letter_that_the_disk_refuses_stops_no_receiver_and_is_written_with_the_next():
    world, heard = World(), Heard(failing(1, 2, 3, 4))
    world.bus.register("decision_maker", "trading_plan", heard)
    world.bus.send(world.plan(1))
    world.bus.send(world.plan(2))
    world.disk.only, world.disk.how, world.disk.fail_at = "create", errno.ENOSPC, world.disk.calls + 1

    world.for_s(3)

    assert heard.said == [2]
    assert world.bus.close()
    (letter,) = world.lines(DEAD)
    assert letter["message"]["data"] == {"n": 1}


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
