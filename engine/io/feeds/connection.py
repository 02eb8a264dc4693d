"""One connection's life: wait, connect, subscribe, listen, be cut, and begin again; it never gives up.

What it appends, always in this order: CONNECTION up, SUBSCRIPTION (what is meant to be carried, before the first
message asks for it), frames as they come, CONNECTION down with the reason.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import orjson

from config.schema import Feeds as Settings
from engine.core.errors import FeedError, JournalError
from engine.core.minutes import NS_PER_S
from engine.core.ports import Clock, Link, Transport
from engine.core.records import RecordKind
from engine.io.feeds.endless import OnCrash, endless
from engine.io.feeds.pace import Allowance, Backoff
from engine.io.feeds.silence import Heard
from engine.io.feeds.subscriptions import Subscriptions
from engine.io.venues.end import Answer, Streams, VenueEnd

FRAME = int(RecordKind.FRAME)
STABLE_S = 60.0  # up for so long, a connection's failures are forgotten
ANSWER_S = 10.0  # for the venue to answer a subscription
LEAST_REAL_S = 0.25  # no peer is held to less than this, however fast the run's clock, ...
CONNECT_LEAST_REAL_S = 2.0  # ... and to more when it has to begin something
WINDOW_S = 10.0  # over which rates and malformed messages are counted
MALFORMED_MIN = 10  # in it, and one message in a hundred: the connection is not worth keeping
CLOSING_BRACE = ord("}")
IMPROBABLE = 20.0  # messages expected in a silence that make it unbelievable: e^-20 if they came at random


class Append(Protocol):
    """The sequencer's door. recv_ns None: now."""

    def __call__(self, kind: int, source: int, payload: bytes, recv_ns: int | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class World:
    """What all connections of a venue plug into.

    connects: attempts the venue allows. messages: sent ones, if it counts those of all connections together.
    """

    end: VenueEnd
    url: str
    append: Append
    clock: Clock
    transport: Transport
    rng: random.Random
    settings: Settings
    connects: Allowance
    messages: Allowance | None


class Connection:
    """engine.core.ports.Receiver. source: its id in the journal; streams: (channel, symbol), polled ones included."""

    def __init__(
        self,
        world: World,
        source: int,
        streams: Streams,
        on_answer: Callable[[Connection, Answer], None],
        on_crash: OnCrash,
    ) -> None:
        self.world, self.source = world, source
        self._on_answer, self._on_crash = on_answer, on_crash
        self._task: asyncio.Task[None] | None = None
        self.streams: list[tuple[str, str]] = list(streams)
        self.state: Literal["up", "connecting", "waiting", "closed"] = "waiting"
        self.reason = ""
        self.since_ns = world.clock.now_ns()
        self.up_ns = -1
        self.frames = self.bytes = self.reconnects = self.malformed = 0
        self.heard: dict[bytes, Heard] = {}
        self.last_frame_ns = 0  # receive time
        self._append, self._key = world.append, world.end.key
        self._backoff = Backoff(world.settings.backoff_min_s, world.settings.backoff_max_s, world.rng)
        self._link: Link | None = None
        self._over: asyncio.Future[str] | None = None
        self._early: list[tuple[bytes, int]] | None = None  # frames that came with the handshake
        self._asked = Subscriptions(world.end, world.clock, world.messages)
        self._alive_ns = self._pinged_ns = self._app_pinged_ns = 0  # receive time of the last pong; time of pings
        self.excused_ns = 0  # silence before this instant is our own
        self._awaiting_pong = self._paused = False
        self._window_ns = self._window_frames = self._window_malformed = 0
        self._rate_hz = 0.0

    # The life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        job = endless(self._run, self._on_crash, self.world.clock, self.world.rng)
        self._task = asyncio.ensure_future(job)

    async def stop(self, reason: str) -> None:
        """End for good."""
        if self._task is None:
            return
        self.reason = reason
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while True:
                await self.world.connects.take()
                self._turn("connecting")
                retry_after_s = 0.0
                try:
                    self.reason = await self._live()
                except FeedError as error:
                    self._tell_failure(str(error))
                    self.reason, retry_after_s = str(error), error.retry_after_s
                self._turn("waiting")
                await self._sleep(self._backoff.next_s(retry_after_s))
                self.reconnects += 1
        except Exception as error:  # the link ends with it, and the next one begins with nothing of it
            self.reason = f"a fault of ours: {type(error).__name__}: {error}"
            self.reconnects += 1
            raise
        finally:
            if self._link is not None:
                self._link.close(self.reason)
            self._fall(self.reason)
            self._turn("closed")

    async def _live(self) -> str:
        """One link from its handshake to its end; returns the reason of that. Raises FeedError if there was none."""
        self._over = asyncio.get_running_loop().create_future()
        self._early = []
        world = self.world
        timeout_s = world.clock.seconds(world.settings.connect_timeout_s)
        self._link = await world.transport.connect(world.url, self, max(timeout_s, CONNECT_LEAST_REAL_S))
        self._rise()
        tasks = [asyncio.ensure_future(self._asked.send(self._link)), asyncio.ensure_future(self._watch())]
        for task in tasks:
            task.add_done_callback(self._look_at_end)
        try:
            reason = await self._over
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if world.clock.now_ns() - self.up_ns >= STABLE_S * NS_PER_S:
            self._backoff.reset()
        self._fall(reason)
        return reason

    def _look_at_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """A fault of ours outside `_run`: the link's life ends with it there."""
        if self._over is not None and not self._over.done():
            self._over.set_exception(error)

    def _rise(self) -> None:
        """Up: tell it, tell what is to be carried, then let through what came with the handshake."""
        early, self._early = self._early or [], None
        first_ns = early[0][1] if early else None
        now_ns = self.world.clock.now_ns()
        self.up_ns = self._alive_ns = self.last_frame_ns = now_ns
        self._pinged_ns = self._app_pinged_ns = self._window_ns = now_ns
        self._awaiting_pong = False
        self._asked = Subscriptions(self.world.end, self.world.clock, self.world.messages)
        self._window_frames, self._window_malformed = self.frames, self.malformed
        self._turn("up")
        self._tell_turn("up", "", first_ns)
        self._tell_streams(first_ns)
        self.heard = {}
        self._follow()
        self._asked.ask(True, self._subscribable(self.streams))
        for payload, recv_ns in early:
            if self._over is not None and not self._over.done():
                self.frame(payload, recv_ns)
        if self._paused and self._link is not None:
            self._link.pause()

    def _fall(self, reason: str) -> None:
        if self._link is None:
            return
        self._link = None
        self._tell_turn("down", reason, None)

    def _tell_failure(self, reason: str) -> None:
        """That there is no link: once, and again when the reason is another one."""
        if reason != self.reason:
            detail = {"venue": self.world.end.venue, "connection": self.source, "reason": reason}
            self._append(int(RecordKind.HOST), 0, orjson.dumps({"kind": "connect_failed", "detail": detail}))

    def _turn(self, state: Literal["up", "connecting", "waiting", "closed"]) -> None:
        self.state, self.since_ns = state, self.world.clock.now_ns()

    def _tell_turn(self, state: str, reason: str, recv_ns: int | None) -> None:
        told = {"venue": self.world.end.venue, "state": state, "reason": reason}
        self._append(int(RecordKind.CONNECTION), self.source, orjson.dumps(told), recv_ns)

    def _tell_streams(self, recv_ns: int | None = None) -> None:
        channels = [{"channel": channel, "symbol": symbol} for channel, symbol in self.streams]
        told = {"venue": self.world.end.venue, "channels": channels}
        self._append(int(RecordKind.SUBSCRIPTION), self.source, orjson.dumps(told), recv_ns)

    async def _sleep(self, span_s: float) -> None:
        await asyncio.sleep(self.world.clock.seconds(span_s))

    # What others ask of it -----------------------------------------------------------------------------------------

    def carry(self, streams: Streams) -> None:
        """Carry these streams from now on."""
        before, self.streams = self.streams, list(streams)
        if self.state != "up" or before == self.streams:
            return
        self._tell_streams()
        removed, added = set(before) - set(self.streams), set(self.streams) - set(before)
        self._follow()
        self._asked.ask(False, self._subscribable([stream for stream in before if stream in removed]))
        self._asked.ask(True, self._subscribable([stream for stream in self.streams if stream in added]))

    def renew(self, streams: Streams) -> None:
        """Subscribe again to streams that fell silent."""
        if self.state == "up":
            self._asked.ask(False, streams)
            self._asked.ask(True, streams)

    def cut(self, reason: str) -> None:
        """End the link; another one is opened."""
        if self._link is not None:
            self._link.close(reason)

    def pause(self, on: bool) -> None:
        """Stop or go on reading; while nothing is read, nothing is called silent."""
        self._paused = on
        if self._link is not None:
            if on:
                self._link.pause()
            else:
                self._link.resume()

    @property
    def subscribed(self) -> bool:
        """Whether everything asked for was answered, and something was heard."""
        return self.state == "up" and self._asked.settled and self.last_frame_ns > self.up_ns

    # Receiver ------------------------------------------------------------------------------------------------------

    def frame(self, payload: bytes, recv_ns: int) -> None:
        if self._early is not None:
            self._early.append((payload, recv_ns))
            return
        try:
            self._append(FRAME, self.source, payload, recv_ns)
            self.frames += 1
            self.bytes += len(payload)
            self.last_frame_ns = recv_ns
            key = self._key(payload)
            if key:
                stream = self.heard.get(key)
                if stream is not None:
                    stream.count += 1
                    stream.heard_ns = recv_ns
                if payload[-1] != CLOSING_BRACE:
                    self.malformed += 1
            else:
                self._read(payload)
        except JournalError:  # what is lost from here on is told by the end of the link
            self.cut("the journal has no room for what it says")
        except Exception as error:  # the transport would end the link without a word
            self._fail(error)

    def pong(self, recv_ns: int) -> None:
        self._alive_ns, self._awaiting_pong = recv_ns, False

    def ended(self, reason: str) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(reason)

    def _read(self, payload: bytes) -> None:
        answer = self.world.end.answer(payload)
        if answer is None:
            self.malformed += 1
            return
        if answer.kind in ("done", "refused"):
            answer = self._asked.attribute(answer)
            if answer.kind == "done":
                self._granted(answer.streams)
        self._on_answer(self, answer)

    # Streams -------------------------------------------------------------------------------------------------------

    def _subscribable(self, streams: Streams) -> list[tuple[str, str]]:
        return [stream for stream in streams if stream[0] not in self.world.end.polled]

    def _follow(self) -> None:
        """Know every stream that is carried by what its messages begin with."""
        now_ns = self.world.clock.now_ns()
        before, self.heard = self.heard, {}
        for channel, symbol in self._subscribable(self.streams):
            key = self.world.end.key_of(channel, symbol)
            self.heard[key] = before.get(key) or Heard(channel, symbol, now_ns)

    def _granted(self, streams: Streams) -> None:
        """From now on the venue sends these, or so it says."""
        now_ns = self.world.clock.now_ns()
        for channel, symbol in streams:
            heard = self.heard.get(self.world.end.key_of(channel, symbol))
            if heard is not None and not heard.on:
                heard.on, heard.heard_ns = True, max(heard.heard_ns, now_ns)

    # Staying alive -------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Ping, and cut what does not answer. A stall of our own loop is not held against the venue."""
        settings, clock = self.world.settings, self.world.clock
        least_s = LEAST_REAL_S / clock.seconds(1.0)
        ping_every_s = max(settings.ping_every_s, least_s)
        ping_timeout_s = max(settings.ping_timeout_s, least_s)
        silence_s = max(settings.silence_s, least_s)
        step_s = min(ping_every_s, ping_timeout_s, silence_s) / 4
        due_ns = clock.now_ns()
        while True:
            due_ns += int(step_s * NS_PER_S)
            await self._sleep((due_ns - clock.now_ns()) / NS_PER_S)
            now_ns = clock.now_ns()
            if self._paused or now_ns - due_ns > step_s * NS_PER_S / 2:
                due_ns = self.excused_ns = now_ns  # what waits in the socket is read before the next look
                if self._paused:
                    self._pinged_ns, self._awaiting_pong = now_ns, False
                continue
            reason = self._judge(now_ns, ping_timeout_s, silence_s, max(ANSWER_S, 4 * least_s))
            if reason:
                self.cut(reason)
                return
            if self._link is None:
                return
            if not self._awaiting_pong and now_ns - self._pinged_ns >= ping_every_s * NS_PER_S:
                self._pinged_ns, self._awaiting_pong = now_ns, True
                self._link.ping()
            end = self.world.end
            if end.ping is not None and now_ns - self._app_pinged_ns >= end.ping_every_s * NS_PER_S:
                self._app_pinged_ns = now_ns
                self._link.send(end.ping)

    def _judge(self, now_ns: int, ping_timeout_s: float, silence_s: float, answer_s: float) -> str:
        """Why the link is to be cut now; empty if it is not."""
        if self._awaiting_pong and now_ns - self._pinged_ns >= ping_timeout_s * NS_PER_S:
            if max(self._alive_ns, self.last_frame_ns) <= self._pinged_ns:
                return f"no answer to a ping within {ping_timeout_s:g} s"
            self._awaiting_pong = False  # whoever talks is alive
        overdue = self._asked.overdue(now_ns, answer_s)
        if overdue and not self._asked.answered:
            return f"no subscription was answered within {answer_s:g} s"
        self._granted(overdue)  # if they do not come all the same, they will be missed
        quiet_s = (now_ns - max(self.last_frame_ns, self.excused_ns)) / NS_PER_S
        if quiet_s >= silence_s + ping_timeout_s and quiet_s * self._rate_hz >= IMPROBABLE:
            return f"nothing came for {quiet_s:.1f} s"
        passed_s = (now_ns - self._window_ns) / NS_PER_S
        if passed_s < WINDOW_S:
            return ""
        frames, malformed = self.frames - self._window_frames, self.malformed - self._window_malformed
        self._window_ns, self._window_frames, self._window_malformed = now_ns, self.frames, self.malformed
        # Down at once, up slowly: a burst does not make what is usual afterwards look like silence.
        rate_hz = frames / passed_s
        self._rate_hz = min(rate_hz, 0.7 * self._rate_hz + 0.3 * rate_hz) if self._rate_hz else rate_hz
        return f"{malformed} of {frames} messages malformed" if malformed >= max(MALFORMED_MIN, frames / 100) else ""
