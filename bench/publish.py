"""How fast signals leave: through the outbox, on the real disk, to receivers on loopback sockets.

    python -m bench.publish [--signals 5000] [--repeat 5]     one JSON object a line

Receivers live in a process of their own and say what reached them: every line is checked for loss, repetition and
order before a time is told. Payloads are of 2,000 bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import shutil
import signal as signals_of_the_system
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from bench.day import rss_mib
from bench.harness import ResultDiffersError, machine, no_collection, spread
from config.publish import Publish
from engine.core.effects import Found, MinuteRows, Signal
from engine.core.minutes import NS_PER_MINUTE, close_ms, minute_of
from engine.core.release import Reach, Release
from engine.io.clock import AnchoredClock, host_ns
from engine.io.publish.publisher import Publisher

PAYLOAD_BYTES = 2000
SYMBOLS = 50
PATIENCE_S = 120.0
ROWS = np.empty(0)


# What is published ----------------------------------------------------------------------------------------------------


def made(number: int) -> Signal:
    """A signal like the core's, as long as one of its payloads."""
    symbol = f"S{number % SYMBOLS}"
    exchange_ts = close_ms(minute_of(time.time_ns()))
    key = f"hyperliquid:{symbol}:spike:1m"
    event = {"debounce_key": key, "emitted_at": exchange_ts, "event_id": f"{number:012}"}
    said = orjson.dumps({"event": event, "filling": ""}, option=orjson.OPT_SORT_KEYS)
    payload = said[:-2] + b"x" * (PAYLOAD_BYTES - len(said)) + b'"}'
    return Signal(
        f"{number:012}", "hyperliquid", symbol, key, "vol_spike", "spike", "production", exchange_ts, 70, 1, payload
    )


def minute(link: int, numbers: range) -> MinuteRows:
    found = Found(ROWS, (), (), (), (), tuple(made(number) for number in numbers), "")
    return MinuteRows(link, link, "hyperliquid", link, (), (), ROWS, {}, "", found=found)


@asynccontextmanager
async def publishing(folder: Path, **settings: Any) -> AsyncIterator[Publisher]:
    """A publisher in production, as a live engine has it: real disk, its own thread."""
    release = Release().in_mode("production", time.time_ns() - 10 * NS_PER_MINUTE)
    publisher = Publisher(
        folder, Publish(**settings), clock=AnchoredClock(await host_ns()), rng=random.Random(1), release=release,
        most=lambda mode: Reach.OUTSIDE,
    )  # fmt: skip
    publisher.start()
    await asyncio.sleep(0.2)
    try:
        yield publisher
    finally:
        await publisher.stop()
        publisher.close()


# Who takes it ---------------------------------------------------------------------------------------------------------


def hook(port: int, told: Any) -> None:
    """A process that takes POSTs and tells (numbers, perf_counter_ns) of each."""

    async def live() -> None:
        async def post(request: web.Request) -> web.Response:
            numbers = [int(one["id"]) for one in orjson.loads(await request.read())]
            told.put((numbers, time.perf_counter_ns()))
            return web.Response(status=204)

        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/", post)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()

    asyncio.run(live())


def consumer(port: int, told: Any) -> None:
    """A process that reads the stream from its start and tells (numbers, perf_counter_ns) of what it took at once."""

    numbers: list[int] = []

    async def tell() -> None:
        """Now and then, for what was taken since: telling each would be most of the work."""
        while True:
            await asyncio.sleep(0.001)
            if numbers:
                told.put((numbers.copy(), time.perf_counter_ns()))
                numbers.clear()

    async def live() -> None:
        telling = asyncio.create_task(tell())
        while not telling.done():
            with suppress(OSError, WebSocketException):
                async with connect(f"ws://127.0.0.1:{port}/?after=start", compression=None) as stream:
                    told.put(([], 0))
                    async for message in stream:
                        numbers.append(int(orjson.loads(message)["id"]))
            await asyncio.sleep(0.02)

    asyncio.run(live())


@contextmanager
def beside(target: Callable[[int, Any], None], port: int) -> Iterator[Any]:
    """The queue of what a receiver tells, while its process lives."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    process = context.Process(target=target, args=(port, told), daemon=True)
    process.start()
    try:
        yield told
    finally:
        process.terminate()
        process.join()


async def heard(told: Any, count: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Numbers in order of arrival, and (number, when): until `count` of them came. ResultDiffersError if not."""
    loop, numbers, times = asyncio.get_running_loop(), list[int](), list[tuple[int, int]]()
    until = time.monotonic() + PATIENCE_S
    while len(numbers) < count:
        if time.monotonic() > until:
            raise ResultDiffersError(f"publish: {count} signals were sent, {len(numbers)} came")
        try:
            some, at_ns = await loop.run_in_executor(None, lambda: told.get(timeout=1.0))
        except Exception:
            continue
        numbers += some
        times += [(number, at_ns) for number in some]
    return numbers, times


def free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


def listening(port: int) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    raise ResultDiffersError(f"publish: nobody listens at {port}")


def must_be(numbers: list[int], count: int) -> None:
    """Everything once and in its order."""
    if numbers != list(range(count)):
        raise ResultDiffersError(f"publish: of {count} signals {len(set(numbers))} came, in order or not")


# What is measured -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def received(name: str) -> AsyncIterator[tuple[Publisher, Any]]:
    """A publisher with one receiver that is there already, and the queue of what that one tells."""
    port = free_port()
    settings: dict[str, Any] = {"stream_port": port}
    if name == "webhook":
        settings = {"webhook_url": f"http://127.0.0.1:{port}/"}
    loop = asyncio.get_running_loop()
    with (
        tempfile.TemporaryDirectory(prefix="conveyor-bench-") as folder,
        beside(hook if name == "webhook" else consumer, port) as told,
    ):
        if name == "webhook":
            listening(port)
        async with publishing(Path(folder), **settings) as publisher:
            if name == "stream":
                await loop.run_in_executor(None, told.get)
            yield publisher, told


async def burst(name: str, count: int) -> dict[str, float]:
    """One minute with `count` signals: from the effect to the last of them at the receiver.

    loop_ms: for which the loop stands still. cpu_s: processor time of the publishing process.
    """
    async with received(name) as (publisher, told):
        rows = minute(1, range(count))
        with no_collection():
            begun, cpu_s = time.perf_counter_ns(), time.process_time()
            publisher.perform([rows])
            taken = time.perf_counter_ns()
            numbers, times = await heard(told, count)
            cpu_s = time.process_time() - cpu_s
        must_be(numbers, count)
    return {"s": (max(at for _, at in times) - begun) / 1e9, "loop_ms": (taken - begun) / 1e6, "cpu_s": cpu_s}


async def trickle(name: str, minutes: int, each: int) -> list[float]:
    """A few signals every 50 ms: ms from their being durable to each of them at the receiver."""
    durable: dict[int, int] = {}
    async with received(name) as (publisher, told):
        sync = publisher.outbox.log.sync

        def timed() -> bool:
            upto = publisher.outbox.lines
            whole = sync()
            at_ns = time.perf_counter_ns()
            durable.update({number: at_ns for number in range(len(durable), upto)})
            return whole

        publisher.outbox.log.sync = timed  # type: ignore[method-assign]
        for link in range(minutes):
            publisher.perform([minute(link, range(link * each, (link + 1) * each))])
            await asyncio.sleep(0.05)
        numbers, times = await heard(told, minutes * each)
        must_be(numbers, minutes * each)
    return [(at_ns - durable[number]) / 1e6 for number, at_ns in times]


async def backlog(minutes: int, each: int) -> dict[str, float]:
    """Nobody at the webhook while so many minutes of signals come, without the waits between them; then somebody."""
    port, count = free_port(), minutes * each
    settings = {"webhook_url": f"http://127.0.0.1:{port}/", "backoff_max_s": 1.0}
    with tempfile.TemporaryDirectory(prefix="conveyor-bench-") as folder:
        async with publishing(Path(folder), **settings) as publisher:
            for link in range(minutes):
                publisher.perform([minute(link, range(link * each, (link + 1) * each))])
                while publisher.outbox.log.durable < publisher.outbox.log.end:
                    await asyncio.sleep(0.01)
            before_mib = rss_mib()
            with beside(hook, port) as told:
                await asyncio.get_running_loop().run_in_executor(None, listening, port)
                begun = time.perf_counter_ns()
                numbers, times = await heard(told, count)
                must_be(numbers, count)
                grown = rss_mib() - before_mib
    return {"signals": count, "s": (max(at for _, at in times) - begun) / 1e9, "mib_more": round(grown, 1)}


async def to_server(name: str, count: int) -> float | None:
    """One minute with `count` signals to a real Redis or NATS: seconds; None where the program or its client is not."""
    program = shutil.which(f"{name}-server")
    if program is None or find_spec(name) is None:
        return None
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="conveyor-bench-") as folder:
        told = {
            "redis": [program, "--port", str(port), "--appendonly", "yes", "--save", "", "--dir", folder],
            "nats": [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", folder],
        }[name]
        process = subprocess.Popen(told, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            listening(port)
            if name == "nats":
                import nats

                connection = await nats.connect(f"nats://127.0.0.1:{port}")
                await connection.jetstream().add_stream(name="alpha", subjects=["alpha.events.v0"])
                await connection.close()
            async with publishing(Path(folder), **{f"{name}_url": f"{name}://127.0.0.1:{port}"}) as publisher:
                rows = minute(1, range(count))
                begun = time.perf_counter_ns()
                publisher.perform([rows])
                while publisher.status()["sinks"][0]["delivered"] < count:
                    if time.perf_counter_ns() - begun > PATIENCE_S * 1e9:
                        raise ResultDiffersError(f"publish: {name}: {publisher.status()}")
                    await asyncio.sleep(0.002)
                return (time.perf_counter_ns() - begun) / 1e9
        finally:
            process.send_signal(signals_of_the_system.SIGTERM)
            process.wait()


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m bench.publish", description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--signals", type=int, default=5000)
    asked.add_argument("--repeat", type=int, default=5)
    told = asked.parse_args()
    tell(machine=machine())
    for name in ("webhook", "stream"):
        runs = [asyncio.run(burst(name, told.signals)) for _ in range(told.repeat)]
        medians = {f"{key}_median": round(statistics.median(run[key] for run in runs), 3) for key in runs[0]}
        least, most_s = (round(pick(run["s"] for run in runs), 3) for pick in (min, max))
        tell(burst=name, signals=told.signals, s_min=least, s_max=most_s, **medians)
        p50, p95, p99, most = (round(ms, 2) for ms in spread(asyncio.run(trickle(name, 200, 3))))
        tell(durable_to_receiver_ms=name, p50=p50, p95=p95, p99=p99, max=most)
    tell(backlog="webhook", **asyncio.run(backlog(10, told.signals)))
    for name in ("redis", "nats"):
        taken = [asyncio.run(to_server(name, told.signals)) for _ in range(told.repeat)]
        known = [one for one in taken if one is not None]
        tell(burst=name, signals=told.signals, s_median=round(statistics.median(known), 3) if known else None)


def tell(**said: Any) -> None:
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
