"""The `websockets` client, and as its consumer `orjson.loads` of every message. Run by the peer's environment.

    python -I websockets.py URL

For each line on stdin one connection, received until the server closes it, answered by one line of JSON. Seconds, and
CPU seconds of this process, are from the first message to the last. `receive` is also the client of receiver.py, so
that both consumers stand behind the same one.
"""

import asyncio
import gc
import json
import sys
import time

import orjson
import websockets
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def receive(url, take, finish):
    """`take(message)` for every message, `finish()` behind the last; seconds and CPU seconds of all that."""
    gc.collect()
    gc.disable()
    async with connect(url, compression=None, max_size=None, ping_interval=None) as connection:
        try:
            message = await connection.recv(decode=False)
            wall, cpu = time.perf_counter(), time.process_time()
            while True:
                take(message)
                message = await connection.recv(decode=False)
        except ConnectionClosed:
            finish()
        spent = time.perf_counter() - wall, time.process_time() - cpu
    gc.enable()
    return spent


def main(url):
    print(json.dumps({"version": websockets.__version__}), flush=True)
    for _ in sys.stdin:
        count = size = 0

        def take(message, loads=orjson.loads):
            nonlocal count, size
            loads(message)
            count += 1
            size += len(message)

        seconds, cpu_seconds = asyncio.run(receive(url, take, lambda: None))
        answer = {"seconds": seconds, "cpu_seconds": cpu_seconds, "events": count, "bytes": size}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
