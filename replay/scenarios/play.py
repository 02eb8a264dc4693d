"""One scenario from its draw to its verdict: the real engine in memory, minutes of its time in seconds of ours."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import orjson

from config.schema import Config
from engine.app import App
from engine.core.effects import Effect, Event, Link
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from replay.chaos.disk import Killed
from replay.exchange import Exchange, VirtualClock, VirtualLoop, memory_front, simulated
from replay.exchange.plan import CALM, PLAN, Plan
from replay.exchange.source import Sent, Source
from replay.scenarios.books import BookWatch
from replay.scenarios.catalogue import Draw, HostFault, fault
from replay.scenarios.host import FaultyDisk, HostClock, World, spoil
from replay.scenarios.oracle import Hit, Quote
from replay.scenarios.scenario import Outcome, Scenario
from replay.scenarios.verdict import Judgement
from replay.simulate import Market

AFTER_S = 6.0  # the session ends so long after its last full minute
SAYINGS = {"dns": "the name has no address", "tls": "the certificate is for another name"}


class WitnessedExchange(Exchange):
    """An exchange whose quotes are written down as it says them, before any fault on their way."""

    def __init__(self, source: Source, plan: Plan) -> None:
        self.quotes: list[Quote] = []
        self.plan = plan
        super().__init__(source, plan)

    def _tell(self, sent: Sent) -> None:
        if sent.channel in ("bookTicker", "bbo"):
            told = orjson.loads(self.text(sent))
            symbol = self.instruments[sent.symbol].symbol
            if sent.channel == "bookTicker":
                self.quotes.append(Quote(symbol, told["T"], told["b"], told["a"]))
            else:
                bid, ask = told["data"]["bbo"]
                self.quotes.append(Quote(symbol, told["data"]["time"], bid["px"], ask["px"]))
        super()._tell(sent)


class Collector:
    """A sink. rows, events: as they came, in one life of the engine; early: effects before their cause was durable."""

    def __init__(self) -> None:
        self.rows: list[Link] = []
        self.events: list[Event] = []
        self.app: App | None = None
        self.early = 0

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            writer = self.app.writer if self.app else None
            if writer is not None and effect.cause_seq > writer.durable_seq:
                self.early += 1
            if isinstance(effect, Link):
                self.rows.append(effect)
            elif isinstance(effect, Event):
                self.events.append(effect)

    def close(self) -> None:
        """Nothing to let go of."""


def play(scenario: Scenario, folder: Path) -> Outcome:
    """Play it in a folder of its own below `folder`, and judge."""
    begun = time.monotonic()
    place = folder / scenario.folder
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    stage = Stage(scenario, place)
    outcome = stage.play()
    outcome.seconds = time.monotonic() - begun
    if outcome.findings:
        outcome.journal = place / "journal"
    else:
        shutil.rmtree(place)
    return outcome


class Stage:
    """Everything of one scenario that lives while it is played."""

    def __init__(self, scenario: Scenario, place: Path) -> None:
        self.scenario, self.place, self.journal = scenario, place, place / "journal"
        faults = [fault(number) for number in scenario.faults]
        rng = random.Random(f"{scenario.faults} {scenario.seed} {scenario.venue}")
        self.rng = rng
        venues = [scenario.venue]
        if scenario.bystander:
            venues.append("hyperliquid" if scenario.venue == "binance_usdm" else "binance_usdm")
        starts = [start for one in faults for start in one.starts]
        first_ns = _instant_ns(starts[scenario.seed % len(starts)]) if starts else Market().first_minute_ns
        symbols = max([3, *(one.symbols for one in faults)])
        markets = [
            Market(
                seed=scenario.seed + 1, minutes=scenario.minutes, symbols=symbols,
                venue=cast(Literal["hyperliquid", "binance_usdm"], venue), first_minute_ns=first_ns,
            )
            for venue in venues
        ]  # fmt: skip
        sources = [simulated(market, venue) for market, venue in zip(markets, venues, strict=True)]
        self.symbols = {
            source.venue: tuple(instrument.symbol for instrument in source.instruments) for source in sources
        }
        draw = Draw(rng, scenario.venue, self.symbols[scenario.venue], scenario.minutes)
        self.plan: Plan = PLAN.validate_python(
            {"seed": scenario.seed, "fault": [entry for one in faults for entry in one.exchange(draw)]}
        )
        self.host_faults: list[HostFault] = sorted(
            (strike for one in faults for strike in one.host(draw)), key=lambda strike: strike.at_s
        )
        twins = [one.connections_each[scenario.seed % len(one.connections_each)] for one in faults]
        self.connections_each = max([1, *twins])
        self.exchanges = [
            WitnessedExchange(source, self.plan if source.venue == scenario.venue else CALM) for source in sources
        ]
        self.first_ns = first_ns
        self.until_ns = first_ns + scenario.minutes * NS_PER_MINUTE + int(AFTER_S * NS_PER_S)
        keeps_session = any(strike.kind == "store_trouble" for strike in self.host_faults)
        self.session = place / "session" if keeps_session else None
        self.loop = VirtualLoop()
        self.disk = FaultyDisk()
        self.host = HostClock(self.loop, self.exchanges[0].now_ns)
        self.lives: list[Collector] = []
        self.host_hits: list[Hit] = []
        self.process: list[str] = []  # what must not happen in a process
        self.stopped_s: list[float] = []
        self.world: World | None = None
        self.app: App | None = None
        self.watches: list[BookWatch] = []

    # ---- the play ----

    def play(self) -> Outcome:
        self.loop.set_exception_handler(self._on_exception)
        try:
            self.loop.run_until_complete(self._act())
        finally:
            self.loop.close()
        return Judgement(self).outcome()

    async def _act(self) -> None:
        front = memory_front(
            *self.exchanges, clock=VirtualClock(self.loop, self.exchanges[0].now_ns), host=self.host.engine,
            seed=self.scenario.seed,
        )  # fmt: skip
        self.world = World(front, front, self.host.engine)
        keeper = asyncio.create_task(self.host.engine.keep(self.host.reference_ns))
        self.watches = [
            BookWatch(exchange, lambda: self.app.conveyor if self.app else None)
            for exchange in self.exchanges if exchange.venue != "hyperliquid"
        ]  # fmt: skip
        helpers = [keeper, *(asyncio.create_task(watch.watch()) for watch in self.watches)]
        helpers += [asyncio.create_task(self._strike(strike)) for strike in self.host_faults]
        ends = [strike for strike in self.host_faults if strike.kind in ("kill", "stop")]
        self._hit("start", self._now_s(), self._now_s())
        for end in [*ends, None]:
            began_s = self._now_s()
            if end is not None and end.at_s <= began_s:
                continue  # it struck while nothing ran
            await self._live(end)
            if end is None:
                break
            await asyncio.sleep(end.for_s)
            self._hit("restart", end.at_s, self._now_s())
        self._hit("end", self._now_s(), self._now_s())
        for task in helpers:
            task.cancel()
        for ended in await asyncio.gather(*helpers, return_exceptions=True):
            if isinstance(ended, Exception):
                self.process.append(f"the play itself failed: {ended!r}")
        front.stop()
        own = asyncio.current_task()
        left = [task.get_name() for task in asyncio.all_tasks() if task is not own]
        if left:
            self.process.append(f"{len(left)} tasks are left: {', '.join(sorted(left)[:5])}")

    async def _live(self, end: HostFault | None) -> None:
        """One life of the engine: to the end of the session, or to a kill or stop."""
        collector = Collector()
        self.lives.append(collector)
        assert self.world is not None
        app = App(
            self.config(), journal_folder=self.journal, clock=self.host.engine, transport=self.world, http=self.world,
            rng=random.Random(self.scenario.seed), sinks=[collector], session_folder=self.session, disk=self.disk,
            threads=False,
        )  # fmt: skip
        collector.app = self.app = app
        self.host.engine.on_step = lambda step_ms: app.tell("clock_step", step_ms=step_ms)
        running = asyncio.create_task(app.run(self.until_ns), name="engine")
        try:
            if end is not None:
                await asyncio.wait({running}, timeout=end.at_s - self._now_s())
                if not running.done():
                    await self._end_life(app, end.kind, running)
            await running
        except Killed:
            if end is None or end.kind != "kill":
                self.process.append("the engine died of a disk that nobody killed")
        except Exception as error:
            self.process.append(f"the engine ended with {type(error).__name__}: {error}")
        collector.app = self.app = None
        self.disk.dead = False

    async def _end_life(self, app: App, how: str, running: asyncio.Task[None]) -> None:
        asked_s = self._now_s()
        if how == "stop":
            app.stop("SIGTERM")
        else:
            self.disk.die()
        await asyncio.wait({running})
        if how == "stop":
            self.stopped_s.append(self._now_s() - asked_s)

    async def _strike(self, strike: HostFault) -> None:
        """Do to the process or its machine what the fault says, when it says."""
        await asyncio.sleep(max(0.0, strike.at_s - self._now_s()))
        begun_s = self._now_s()
        match strike.kind:
            case "clock_step":
                self.host.step(strike.amount_s)
                self._hit("host_clock_step", begun_s, begun_s)
            case "loop_stall":
                self.loop.now_ns += int(strike.for_s * NS_PER_S)
                self._hit("loop_stall", begun_s, begun_s + strike.for_s)
            case "disk_full":
                self.disk.full = True
                await asyncio.sleep(strike.for_s)
                self.disk.full = False
                self._hit("disk_full", begun_s, self._now_s())
            case "store_trouble":
                assert self.session is not None
                spoil(self.session / "store.duckdb", strike.shape)
                self._hit("store_trouble", begun_s, begun_s)
            case "unreachable":
                assert self.world is not None
                self.world.unreachable = SAYINGS[strike.shape]
                for exchange in self.exchanges:
                    for session in list(exchange.sessions.values()):
                        session.cut()
                await asyncio.sleep(strike.for_s)
                self.world.unreachable = ""
                self._hit("refuse", begun_s, self._now_s())

    def config(self) -> Config:
        venues = {
            venue: {"enabled": True, "symbols": symbols, "connections_each": self.connections_each}
            for venue, symbols in self.symbols.items()
        }
        return Config.model_validate({"venues": venues})

    # ---- small things ----

    def _now_s(self) -> float:
        """Seconds from the first full minute, in the exchange's time."""
        return (self.exchanges_now_ns() - self.first_ns) / NS_PER_S

    def exchanges_now_ns(self) -> int:
        return self.host.wall_ns() - self.host.set_by_ns

    def _hit(self, kind: str, begin_s: float, end_s: float) -> None:
        for venue in self.symbols:
            begin_ns, end_ns = (self.first_ns + int(second * NS_PER_S) for second in (begin_s, end_s))
            self.host_hits.append(Hit(kind, venue, begin_ns, end_ns))

    def _on_exception(self, _: Any, context: dict[str, Any]) -> None:
        self.process.append(f"{context.get('message')}: {context.get('exception')!r}")


def _instant_ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS_PER_S
