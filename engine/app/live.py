"""One live engine: clock, sequencer, feeds, conveyor, sinks and states, assembled in one event loop.

A start is recovery (recovery.py): the newest state, the journal's tail through the same door, then live. The end
may be a clean one or a crash; the next start treats them alike.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import orjson

from config.schema import Config
from engine import warm
from engine.app import prime, recovery, report
from engine.app.beside import Beside
from engine.app.changes import Changes
from engine.app.commands import Commands
from engine.app.crashes import CRASHES_MAX, Crashes
from engine.app.outward import Outward, must_be_usable
from engine.app.promotion import Fitness
from engine.conveyor import Conveyor
from engine.core.control import Turn
from engine.core.detector import STAGES
from engine.core.effects import Effect, MinuteRows
from engine.core.errors import InvariantError, JournalError
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.core.ports import Clock, Http, Sink, Transport
from engine.core.records import RecordBatch, RecordKind, received_ns
from engine.io.disk import OS_DISK, Disk
from engine.io.feeds import Feeds
from engine.io.journal_writer import JournalFull, JournalWriter
from engine.io.latencies import Latencies
from engine.io.probes import Garbage, StallProbe, Usage
from engine.io.recent import Recent
from engine.io.sequencer import GROUP_S, Sequencer
from engine.io.session import LOGS, SessionWriter
from engine.io.states import StateFolder
from engine.io.status import Status
from engine.io.store import StoreLimits
from engine.runner import StateSaver, recall

QUIET_S = range(20, 50)  # of a minute: no close and no grace is near
HOUSE_S, HOUSE_S_MIN = 1.0, 0.005  # between two looks at what a quiet second is for
LIMITS = StoreLimits(wait=False)  # the belt never waits for its store
FEEDS_STOP_S = 1.0  # of the three seconds that an end may take


class App:
    """A live run, free of command line and signals, so that a test can run it in memory, on a loop of virtual time.

    journal_folder: new, or of an earlier run that is to go on. session_folder: for digests, events, store, states and
    logs; None: none is kept. sinks: get every effect, behind the session. disk: what journal, session and states stand
    on. threads: False: commits and states are made on the spot or in the loop's own executor, and the machine is not
    measured. journal_only: nothing is computed. note: told what a person should read. earlier: a journal, or the
    session it stands in, whose baselines and long windows a new session begins with. limits: of the store, but for the
    clock of its checkpoints, which is configured.
    """

    def __init__(
        self, config: Config, *, journal_folder: Path, clock: Clock, transport: Transport, http: Http,
        rng: random.Random, sinks: Sequence[Sink] = (), session_folder: Path | None = None, disk: Disk = OS_DISK,
        threads: bool = True, group_s: float = GROUP_S, journal_only: bool = False,
        note: Callable[[str], None] = lambda line: None, earlier: Path | None = None,
        limits: StoreLimits = LIMITS,
    ) -> None:  # fmt: skip
        self.config, self.clock = recovery.pinned(config), clock
        self.journal_folder, self.session_folder = journal_folder, session_folder
        self.state: Literal["starting", "running", "stopping"] = "starting"
        self._origin: Literal["live", "simulated"] = "live" if config.time.source == "host" else "simulated"
        self.started_ns = clock.now_ns()
        self.failure: Exception | None = None  # what stopped the conveyor, while the journal went on
        self.conveyor = Conveyor()
        self.changes, self.commands = Changes(self), Commands(self)
        self.recent, self.usage = Recent(), Usage()
        self.fitness = Fitness(self)
        self.latencies = Latencies(clock)
        self.stalls = StallProbe(self._on_stall, session_folder / LOGS if session_folder and threads else None)
        self.crashes = Crashes(session_folder / LOGS if session_folder else None)
        self.feeds = Feeds(
            self.config, append=self.append, clock=clock, transport=transport, http=http, rng=rng,
            on_crash=self._on_crash,
        )  # fmt: skip
        self.session: SessionWriter | None = None
        self.outward: Outward | None = None
        self.writer: JournalWriter | None = None
        self.sequencer: Sequencer | None = None
        self._saver: StateSaver | None = None
        self.beside: Beside | None = None
        self._state_ns = 0
        self._disk, self._threads, self.journal_only, self._note = disk, threads, journal_only, note
        self._group_s, self._earlier, self._rng, self._limits = group_s, earlier, rng, limits
        self._sinks: list[Sink] = [self.recent, *sinks]
        self._executor = ThreadPoolExecutor(1, "journal") if threads else None
        self._crash: Exception | None = None  # of the feeds, after which there was no point in going on
        self._stop, self._reason, self._clean = asyncio.Event(), "stopped", False

    async def run(self, until_ns: int | None = None, for_s: float | None = None) -> None:
        """From recovery to a clean end: by `stop`, when the clock reaches until_ns, or for_s after the feeds began.

        Raises ConfigError before anything is written if it cannot start like this, JournalError if the disk ends it,
        InvariantError at its end if the conveyor had to be stopped on the way, or the feeds failed again and again.
        """
        try:
            sequencer = await self._begin()
            running = asyncio.create_task(sequencer.run(), name="sequencer")
            try:
                self.feeds.start(self.conveyor.wanted if self.conveyor.state is not None else None)
                self.state = "running"
                if for_s is not None:
                    until_ns = self.clock.now_ns() + round(for_s * NS_PER_S)
                await self._until(running, until_ns)
            finally:
                await self._end(sequencer, running)
        finally:
            self._let_go()
        if self.failure:
            raise InvariantError(f"the conveyor stopped, the journal went on: {self.failure}") from self.failure
        if self._crash:
            raise InvariantError(
                f"the feeds crashed {CRASHES_MAX} times within ten minutes, at last by {type(self._crash).__name__}: "
                f"{self._crash}; the journal is whole, logs/crashes.txt has the places"
            ) from self._crash

    def stop(self, reason: str = "stopped") -> None:
        """End the run cleanly; `run` returns within seconds."""
        self._reason = reason
        self._stop.set()

    @property
    def origin(self) -> Literal["live", "simulated"]:
        """What its records are: a market's, or those of an exchange of ours."""
        return self._origin

    @property
    def threads(self) -> bool:
        """Whether there may be any beside the loop."""
        return self._threads

    @property
    def records(self) -> int:
        """Durable ones in the whole journal."""
        return self.writer.durable_seq + 1 if self.writer else 0

    def append(self, kind: int, source: int, payload: bytes, recv_ns: int | None = None) -> None:
        """The feeds' door into the journal."""
        assert self.sequencer is not None, "nothing is heard before the journal is open"
        self.sequencer.append(kind, source, payload, recv_ns)

    def tell(self, kind: str, **detail: int | float | str) -> None:
        """A HOST record: something the process noticed about itself or its machine."""
        if self.sequencer is not None:
            with suppress(JournalError):  # one that is lost ends the run by the sequencer's own words
                self.sequencer.tell(kind, **detail)

    def status(self) -> Status:
        """What the engine tells of itself, as engine.io.status declares it."""
        return report.status(self)

    # ---- beginning and end ----

    async def _begin(self) -> Sequencer:
        """Everything up to the first socket."""
        goes_on = recovery.has_begun(self.journal_folder, self._disk)
        if goes_on and self._earlier:
            # No error: a supervisor starts a killed engine with the command it was begun with.
            self._note(f"note: {self.journal_folder} goes on and is warm by its own past; --prime is left aside")
        earlier = None if goes_on else self._earlier
        past_of_earlier = prime.warmed(earlier, self.clock.now_ns(), self._note) if earlier else None
        await self.feeds.prepare(can_wait=goes_on)
        config, instruments = self.config, self.feeds.instruments()
        must_be_usable(config)
        recovery.must_be_startable(config, instruments, self.journal_folder, self.session_folder, self._disk)
        if self._threads and self.session_folder is not None:
            self.beside = Beside(self, self.session_folder)
        self._origin = recovery.origin(config, self.feeds.local, self.journal_folder, self._disk)
        self.writer = writer = recovery.open_journal(
            self.journal_folder, config, self.origin, self.clock.now_ns(), self._disk, self._threads, self._note
        )
        if self._threads and not self.journal_only:
            warm.load()
        newest_ns = recovery.newest_ns(self.journal_folder, self.clock.now_ns(), self._disk)
        past = await self._recover()
        self._clean = True  # everything in the journal is in the session, should it be refused now
        self.feeds.remember(past.instruments)
        recovery.must_go_together(past, config.core, instruments, self.journal_folder)
        self._clean = False
        self.sequencer = sequencer = Sequencer(
            writer, self.clock, newest_ns=newest_ns, hand_over=self._take, load=self._load,
            on_pressure=self._on_pressure, executor=self._executor, group_s=self._group_s,
        )  # fmt: skip
        sequencer.tell("process_start", mode=config.run.mode, pid=os.getpid() if self._threads else 0)
        for source, venue in past.up:
            sequencer.append(RecordKind.CONNECTION, source, orjson.dumps(Turn(venue, "down", "process ended")))
        if goes_on:  # what the settings pin is wanted again, whatever was asked for since
            sequencer.append(RecordKind.CONFIG, 0, recovery.epoch_of_start(past, config.core, self._note))
        for instrument in instruments:
            sequencer.append(RecordKind.INSTRUMENT, 0, instrument.encode())
        if past_of_earlier is not None:
            await sequencer.commit()
            for payload in prime.payloads(past_of_earlier, instruments, self._note):
                sequencer.append(RecordKind.PRIME, 0, payload)
                await sequencer.commit()  # one of them is some hundred kilobytes
        await sequencer.commit()
        if self._saver:
            self._saver.make_room()
        if not self.journal_only and (mode := self.conveyor.release.mode) != config.run.mode:
            self._note(
                f"note: {config.run.mode} was asked for, the mode is {mode}: a start never promotes, and a new session "
                f"begins in shadow at most; `conveyor ctl mode {STAGES[STAGES.index(mode) + 1]}` promotes it"
            )
        self._sinks.append(self.feeds)  # from here on effects are requests
        if self._threads:
            Garbage.start()
            self.stalls.start()
        if self.beside:
            self.beside.start()
        if self.outward:
            self.outward.start()
        return sequencer

    async def _recover(self) -> recovery.Past:
        """The session at hand, and the conveyor where the journal ends."""
        if self.journal_only:
            return recovery.read_past(self.journal_folder, self._disk)
        seq = -1
        if self.session_folder is not None:
            folder, disk = self.session_folder, self._disk
            limits = replace(self._limits, checkpoint_s=60 * self.config.store.checkpoint_minutes)
            self.session = SessionWriter(
                folder, origin=self.origin, journal=self.journal_folder, goes_on=True, limits=limits,
                config_digest=self.config.core.digest(), disk=disk, stored=self._stored_in_thread(),
            )  # fmt: skip
            self._sinks.insert(0, self.session)
            self.latencies = Latencies(self.clock, disk, folder / LOGS / "minutes.jsonl")
            states = StateFolder(folder / "state", disk)
            self.conveyor, seq = recall(states, self.session.links_behind, self._note)
            self.outward = Outward(self, folder, disk=disk, rng=self._rng, threads=self._threads, note=self._note)
            self._sinks.insert(1, self.outward)
            self._saver = StateSaver(states, self.conveyor, self._sync, self._note, self._threads)
        for batch in recovery.tail(self.journal_folder, seq + 1, self._disk):
            self._perform(self.conveyor.handle(batch))
            await asyncio.sleep(0)
        self._state_ns = self.clock.now_ns()
        return recovery.past_of(self.conveyor)

    def _sync(self) -> bool:
        """Whatever a state snapshot will stand behind is durable; False if the disk refused a part."""
        assert self.session is not None
        assert self.outward is not None
        return self.session.sync() and self.outward.sync()

    async def _until(self, running: asyncio.Task[None], until_ns: int | None) -> None:
        """Wait for the end: asked for, due, or forced by the disk."""
        house = asyncio.create_task(self._keep_house(), name="house")
        stopped = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            done: set[asyncio.Task[Any]] = set()
            while not done and (until_ns is None or self.clock.now_ns() < until_ns):
                left_s = None if until_ns is None else (until_ns - self.clock.now_ns()) / NS_PER_S
                done, _ = await asyncio.wait(
                    {running, house, stopped}, return_when=asyncio.FIRST_COMPLETED,
                    timeout=None if left_s is None else self.clock.seconds(left_s),
                )  # fmt: skip
            if house in done:
                house.result()
        finally:
            house.cancel()
            stopped.cancel()

    async def _end(self, sequencer: Sequencer, running: asyncio.Task[None]) -> None:
        """Intake ends, what came is made durable and handed over, the state is kept, the journal sealed."""
        self.state = "stopping"
        with suppress(TimeoutError, JournalFull):
            async with asyncio.timeout(FEEDS_STOP_S):
                await self.feeds.stop(self._reason)
        if self.outward:
            await self.outward.stop_hearing()
        self.tell("process_stop", reason=self._reason)
        sequencer.stop()
        await running
        if self.beside:
            await self.beside.close()
        if self.outward:
            await self.outward.stop()
        if self._saver and not self.failure:
            self._saver.save()
        assert self.writer is not None
        await asyncio.get_running_loop().run_in_executor(self._executor, self.writer.close)
        self._clean = self.failure is None

    def _let_go(self) -> None:
        """Of everything, whatever happened."""
        self.stalls.stop()
        if self._threads:
            Garbage.stop()
        if self._saver:
            self._saver.close()
        if self.outward:
            self.outward.close()
        if self.session:
            self.session.close(complete=self._clean)
        self.latencies.close()
        if self.beside:
            self.beside.release()
        if self.writer:
            self.writer.release()
        if self._executor:
            self._executor.shutdown()

    # ---- live ----

    def _take(self, batch: RecordBatch) -> None:
        """What is durable, through the conveyor. A fault of ours ends the computing, never the recording."""
        if self.journal_only or self.failure:
            return
        try:
            self._perform(self.conveyor.handle(batch), batch)
        except Exception as error:
            self.failure = error
            if self.outward:
                self.outward.halt()
            self._note(f"error: the conveyor stopped, the journal goes on: {error}")
            self.tell("conveyor_stopped", error=str(error)[:500])
        self.commands.answer()

    def _perform(self, effects: Sequence[Effect], batch: RecordBatch | None = None) -> None:
        """batch: whose effects they are, if it came live."""
        if not effects:
            return
        for sink in self._sinks:
            sink.perform(effects)
        if batch is not None:
            self._measure(effects, batch)
        self.commands.hear(effects)

    def _measure(self, effects: Iterable[Effect], batch: RecordBatch) -> None:
        assert self.sequencer is not None
        link = -1
        for effect in effects:
            if isinstance(effect, MinuteRows):
                link = effect.link
                counts = self.sequencer.counts
                self.latencies.closed(effect, received_ns(batch, effect.cause_seq), counts.lag_ms_max)
                counts.lag_ms_max = 0.0
        if link >= 0 and (self.session is None or not self._threads):
            self.latencies.stored(link)

    async def _keep_house(self) -> None:
        """Once in the quiet part of each minute: garbage, the disk, and a state snapshot if one is due."""
        pause_s = max(self.clock.seconds(HOUSE_S), HOUSE_S_MIN)
        minute = 0
        while True:
            await asyncio.sleep(pause_s)
            now_ns = self.clock.now_ns()
            if now_ns // NS_PER_MINUTE == minute or now_ns // NS_PER_S % 60 not in QUIET_S:
                continue
            minute = now_ns // NS_PER_MINUTE
            if self._threads:
                Garbage.collect()
            if self.beside:
                self.beside.look()
            if self.session and not self.failure:
                await self.fitness.look_now_and_then()
            due = now_ns - self._state_ns >= self.config.state.every_minutes * NS_PER_MINUTE
            if due and self._saver and not self.failure and self._saver.save():
                self._state_ns = now_ns

    # ---- what is told from below ----

    def _load(self) -> tuple[int, int, int]:
        """For the sample of the load: the worst finalisation in ms since the last, processor and memory in %."""
        return self.latencies.take_worst_finalize_ms(), *(self.usage.sample() if self._threads else (0, 0))

    def _on_pressure(self, pressed: bool) -> None:
        self.feeds.pause(pressed)
        tell = partial(self.tell, "links_paused" if pressed else "links_resumed")
        asyncio.get_running_loop().call_soon(tell)  # not inside the append that noticed it

    def _on_stall(self, late_ms: float, where: str) -> None:
        self.tell("loop_stall", late_ms=round(late_ms), where=where)

    def _on_crash(self, error: Exception) -> None:
        """A fault of ours in the feeds: what failed begins again, but not for ever. What the disk refuses is none."""
        if isinstance(error, JournalError):
            return
        where, said = self.crashes.take(error, self.clock.now_ns()), f"{type(error).__name__}: {error}"
        self._note(f"error: a fault of ours in the feeds, at {where}: {said}")
        self.tell("feed_crashed", error=said[:500], where=where)
        if self.crashes.too_many() and not self._crash:
            self._crash = error
            self.stop(f"the feeds crashed {CRASHES_MAX} times within ten minutes")

    def _stored_in_thread(self) -> Callable[[int], None] | None:
        """For the store's thread: tells the loop which link is durable as rows."""
        if not self._threads:
            return None
        loop = asyncio.get_running_loop()

        def stored(link: int) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self.latencies.stored, link)

        return stored
