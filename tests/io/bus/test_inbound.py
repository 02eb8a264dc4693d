"""What modules elsewhere say, from a broker in memory: what is let in, what is refused, what comes again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from engine.core.minutes import NS_PER_S
from engine.io.bus.inbound import BYTES_MAX, BrokerDownError, Inbound
from engine.io.bus.ledger import DEAD
from engine.io.bus.message import Message, make
from engine.io.feeds.pace import Backoff
from engine.io.journal_writer import JournalFull
from tests.io.bus.world import BEGUN_NS, Heard, World


class Broker:
    """engine.io.bus.inbound.Source. lost: times that an answer of `done` does not arrive."""

    def __init__(self) -> None:
        self.waiting: dict[int, bytes] = {}  # until done, in order
        self.done_with: list[int] = []
        self.is_down, self.lost = False, 0
        self._taken: set[int] = set()

    def put(self, content: bytes) -> None:
        self.waiting[len(self.waiting) + len(self.done_with)] = content

    async def take(self) -> Sequence[tuple[int, bytes]]:
        await asyncio.sleep(0.01)
        if self.is_down:
            raise BrokerDownError("planted")
        came = [(token, content) for token, content in self.waiting.items() if token not in self._taken][:3]
        self._taken |= {token for token, _ in came}
        return came

    async def done(self, tokens: Sequence[Any]) -> None:
        if self.lost:
            self.lost -= 1
            raise BrokerDownError("planted")
        for token in tokens:
            del self.waiting[token]
            self.done_with.append(token)

    async def close(self) -> None:
        self._taken.clear()
        if self.is_down:
            raise ConnectionResetError("nobody to say goodbye to")


class Listening(World):
    """A bus with one link; what is said comes onto it half a second later, as through a journal."""

    def __init__(self) -> None:
        super().__init__()
        self.broker, self.journal = Broker(), list[Message]()
        self.full = self._handed_over = 0
        self.inbound = Inbound(
            self.broker, self.bus, modules=["trader", "risk"], say=self._say, clock=self.clock,
            backoff=Backoff(0.1, 1.0, random.Random(1)),
        )  # fmt: skip

    def _say(self, message: Message) -> None:
        if self.full:
            self.full -= 1
            raise JournalFull("journal", 0, "room in memory", "none", "wait")
        self.journal.append(message)
        asyncio.get_running_loop().call_later(0.5, self._hand_over)

    def _hand_over(self) -> None:
        self.bus.send(self.journal[self._handed_over], self._handed_over)
        self._handed_over += 1

    def listen_s(self, span_s: float) -> None:
        async def listen() -> None:
            running = asyncio.create_task(self.inbound.run())
            await asyncio.sleep(span_s)
            assert not running.done()  # whatever the broker does, it is asked again
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        self.for_s(0, listen)

    def feedback(self, n: int, sender: str = "trader", created_at: int = BEGUN_NS) -> bytes:
        return make("execution_feedback", sender, "alpha", {"n": n}, created_at).encode()


def test_what_is_said_is_journaled_comes_onto_the_bus_in_its_order_and_only_then_is_done():
    world, heard = Listening(), Heard()
    world.bus.register("alpha", "execution_feedback", heard)
    for n in range(5):
        world.broker.put(world.feedback(n))

    world.listen_s(0.4)
    assert [message.data["n"] for message in world.journal] == [0, 1, 2]
    assert world.broker.done_with == []  # a crash now, and it comes again
    world.broker._taken.clear()
    world.listen_s(3)

    assert [message.data["n"] for message in world.journal if message.data["n"] > 2] == [3, 4]
    assert heard.said == [0, 1, 2, 3, 4]
    assert world.broker.done_with == [0, 1, 2, 3, 4]


def test_what_comes_again_is_known_by_its_id():
    world, heard = Listening(), Heard()
    world.bus.register("alpha", "execution_feedback", heard)
    world.broker.put(world.feedback(1))
    world.broker.lost = 2
    world.listen_s(3)

    assert (len(world.journal), heard.said, world.broker.done_with) == (1, [1], [0])
    assert (world.inbound.came, world.inbound.trouble) == (1, "")


def test_a_broker_that_is_down_and_a_journal_that_is_full_are_told_and_waited_for():
    world = Listening()
    world.broker.put(world.feedback(1))
    world.broker.is_down = True
    world.listen_s(3)
    assert world.inbound.trouble == "planted"

    world.broker.is_down, world.full = False, 1
    world.listen_s(3)
    assert world.inbound.trouble == ""
    assert (len(world.journal), world.broker.done_with) == (1, [0])


FUTURE_NS = BEGUN_NS + 61 * NS_PER_S
PAST_NS = BEGUN_NS - 3600 * NS_PER_S
REFUSED = {
    "no JSON": (b"{", "no message of the bus"),
    "no message": (b'{"type":"execution_feedback"}', "no message of the bus: KeyError"),
    "a list": (b"[]", "no message of the bus: TypeError"),
    "too long": (b" " * (BYTES_MAX + 1), f"a message has at most {BYTES_MAX}"),
    "too deep": (b'{"data":' + b"[" * 5000, "no message of the bus"),
    "bytes": (b"\xff\xfe", "no message of the bus"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_message_is_a_dead_letter_and_what_follows_is_heard(name: str):
    content, said = REFUSED[name]
    world = Listening()
    world.broker.put(content)
    world.broker.put(world.feedback(1))
    world.listen_s(2)
    world.bus.close()

    assert (world.inbound.refused, world.inbound.came, len(world.journal)) == (1, 1, 1)
    (letter,) = world.lines(DEAD)
    assert letter["status"] == "refused"
    assert said in letter["error"]
    assert world.broker.done_with == [0, 1]


def forged(**changes: Any) -> bytes:
    """A message whose content was changed after it was made."""
    told = orjson.loads(make("execution_feedback", "trader", "alpha", {"n": 1}, BEGUN_NS).encode())
    return orjson.dumps(told | changes)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (make("intelligence_broadcast", "stranger", None, {}, BEGUN_NS).encode(), "stranger is none of bus.modules"),
        (make("market_event", "alpha", None, {}, BEGUN_NS).encode(), "alpha is none of bus.modules"),
        (make("execution_feedback", "trader", "alpha", {}, PAST_NS).encode(), "came 0 s after its end"),
        (make("execution_feedback", "trader", "alpha", {}, FUTURE_NS).encode(), "check the clock of trader"),
        (forged(data={"n": 2}), "its content has the id"),
        (forged(priority=1), "its content has the id"),
        (forged(receiver="trader"), "it goes to alpha or decision_maker"),
        (forged(sender="risk"), "not risk's to send"),
        (forged(created_at="1"), "created_at has to be ns"),
        (forged(created_at=True), "created_at has to be ns"),
        (forged(created_at=1 << 63), "created_at has to be ns"),
        (forged(data=[1]), "data an object"),
        (forged(sender=["trader"]), "not"),
        (forged(type=["trading_plan"]), "no message of the bus"),
        (forged(more=1), "its content has the id"),
    ],
)
def test_what_nobody_there_may_say_is_refused_with_the_reason(content: bytes, said: str):
    world = Listening()
    world.broker.put(content)
    world.listen_s(1)
    world.bus.close()

    (letter,) = world.lines(DEAD)
    assert said in letter["error"]
    assert (world.journal, world.broker.done_with, world.inbound.trouble) == ([], [0], "")
