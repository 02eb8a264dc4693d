"""How fast a module elsewhere is heard: from its client through a real broker, the journal and the core to a handler.

    python -m bench.bus [--messages 5000] [--rate 500] [--repeat 3]     one JSON object a line

The module lives in a process of its own. Every message is checked for loss, repetition and order before a time is told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import shutil
import signal as signals_of_the_system
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.harness import ResultDiffersError, machine, spread
from bench.publish import PATIENCE_S, free_port, listening
from config.bus import Bus as Settings
from config.schema import Config
from engine.app.recovery import open_journal, tail
from engine.conveyor import Conveyor
from engine.core.effects import Heard
from engine.core.records import RecordBatch, RecordKind
from engine.io.bus.bus import Bus
from engine.io.bus.link import Link
from engine.io.bus.message import Message, decode, make
from engine.io.clock import AnchoredClock, host_ns
from engine.io.disk import OS_DISK
from engine.io.sequencer import Sequencer

TOPIC = Settings().topic
FILLING = "x" * 400  # an order's answer is about that long


def speaker(name: str, port: int, count: int, rate: float) -> None:
    """A process that says `count` messages, `rate` a second; 0: as fast as it can, two hundred at a time."""

    def said(number: int) -> bytes:
        data = {"n": number, "sent_ns": time.time_ns(), "filling": FILLING}
        return make("execution_feedback", "trader", "alpha", data, time.time_ns()).encode()

    async def live() -> None:
        put = await redis_put(port) if name == "redis" else await nats_put(port)
        begun, number = time.perf_counter(), 0
        while number < count:
            due = min(count, int((time.perf_counter() - begun) * rate) + 1) if rate else min(count, number + 200)
            if due > number:
                await put([said(each) for each in range(number, due)])
                number = due
            else:
                await asyncio.sleep(0.001)

    asyncio.run(live())


async def redis_put(port: int) -> Any:
    import redis.asyncio

    client = redis.asyncio.Redis(port=port)

    async def put(messages: list[bytes]) -> None:
        async with client.pipeline(transaction=False) as pipeline:
            for message in messages:
                pipeline.xadd(f"{TOPIC}.in", {"message": message})
            await pipeline.execute()

    return put


async def nats_put(port: int) -> Any:
    import nats

    connection = await nats.connect(f"nats://127.0.0.1:{port}")

    async def put(messages: list[bytes]) -> None:
        for message in messages:
            await connection.jetstream().publish(f"{TOPIC}.in", message)

    return put


async def make_stream(port: int) -> None:
    """NATS wants one before anything is put into it or read from it."""
    import nats

    connection = await nats.connect(f"nats://127.0.0.1:{port}")
    await connection.jetstream().add_stream(name="bus", subjects=[f"{TOPIC}.in", f"{TOPIC}.out"])
    await connection.close()


@contextmanager
def broker(name: str, folder: Path) -> Iterator[int | None]:
    """Port of a real server; None where the program or its client is not installed."""
    program = shutil.which(f"{name}-server")
    if program is None or find_spec(name) is None:
        yield None
        return
    port = free_port()
    command = {
        "redis": [program, "--port", str(port), "--appendonly", "yes", "--save", "", "--dir", str(folder)],
        "nats": [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "js")],
    }[name]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        listening(port)
        yield port
    finally:
        process.send_signal(signals_of_the_system.SIGTERM)
        process.wait()


@asynccontextmanager
async def engine(folder: Path, name: str, port: int) -> AsyncIterator[tuple[Bus, Link]]:
    """Bus, link, journal and core as a live engine has them: real disk, threads of their own."""
    clock, conveyor = AnchoredClock(await host_ns()), Conveyor()
    with ThreadPoolExecutor(1) as commits, ThreadPoolExecutor(1) as lines:
        bus = Bus(folder, clock, OS_DISK, lines)
        writer = open_journal(folder / "journal", Config(), "live", clock.now_ns(), OS_DISK, True, print)
        for batch in tail(folder / "journal", 0, OS_DISK):
            conveyor.handle(batch)

        def take(batch: RecordBatch) -> None:
            for effect in conveyor.handle(batch):
                if isinstance(effect, Heard):
                    bus.send(decode(effect.message), effect.cause_seq, effect.at_ns)

        sequencer = Sequencer(
            writer, clock, newest_ns=clock.now_ns(), hand_over=take, load=lambda: (0, 0, 0),
            on_pressure=lambda pressed: None, executor=commits,
        )  # fmt: skip

        def say(message: Message) -> None:
            sequencer.append(RecordKind.MESSAGE, 0, message.encode())

        settings = Settings(modules=("trader",), **{f"{name}_url": f"{name}://127.0.0.1:{port}"})
        link = Link(settings, bus, say=say, clock=clock, rng=random.Random(1))
        running = asyncio.create_task(sequencer.run())
        bus.start()
        link.start()
        try:
            yield bus, link
        finally:
            await link.stop()
            sequencer.stop()
            await running
            await bus.stop()
            bus.close()
            writer.close()


async def heard(name: str, count: int, rate: float) -> dict[str, float] | None:
    """So many messages: seconds from the first to the last, ms from its client to the handler of each."""
    numbers, took_ms, ended = list[int](), list[float](), asyncio.Event()

    async def hear(message: Message) -> None:
        numbers.append(message.data["n"])
        took_ms.append((time.time_ns() - message.data["sent_ns"]) / 1e6)
        if len(numbers) == count:
            ended.set()

    with tempfile.TemporaryDirectory(prefix="conveyor-bench-") as place, broker(name, Path(place)) as port:
        if port is None:
            return None
        if name == "nats":
            await make_stream(port)
        process = multiprocessing.get_context("spawn").Process(target=speaker, args=(name, port, count, rate))
        async with engine(Path(place), name, port) as (bus, link):
            bus.register("alpha", "execution_feedback", hear)
            process.start()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while not numbers:
                        await asyncio.sleep(0.001)
                    begun, cpu_s = time.perf_counter(), time.process_time()
                    await ended.wait()
            except TimeoutError:
                raise ResultDiffersError(f"bus: of {count} messages {len(numbers)} came; {link.status()}") from None
            took_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu_s
            process.join()
    if numbers != list(range(count)):
        raise ResultDiffersError(f"bus: of {count} messages {len(set(numbers))} came, in order or not")
    p50, p95, p99, most = spread(took_ms)
    return {"s": took_s, "cpu_us": cpu_s / count * 1e6, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": most}


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m bench.bus", description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--messages", type=int, default=5000)
    asked.add_argument("--rate", type=float, default=500.0)
    asked.add_argument("--repeat", type=int, default=3)
    told = asked.parse_args()
    print(json.dumps({"machine": machine()}), flush=True)
    for name in ("redis", "nats"):
        for rate in (told.rate, 0.0):
            runs = [run for _ in range(told.repeat) if (run := asyncio.run(heard(name, told.messages, rate)))]
            medians = {key: round(statistics.median(run[key] for run in runs), 2) for key in (runs[0] if runs else ())}
            print(json.dumps({"broker": name, "a_second": rate, "messages": told.messages} | medians), flush=True)


if __name__ == "__main__":
    main()
