"""The same `websockets` client, and as its consumer the conveyor: whatever is waiting is one batch. Our interpreter.

    python -m bench.peers.receiver URL SITE LEAD HEADERS

SITE: where the peer's packages lie, for its client. LEAD: encoded records up to the first frame. HEADERS: .npy,
(frames, 2) int64, recv_ns and source of each frame, as recorded, so that the chain can be compared.
The protocol is that of websockets.py; no journal is written.
"""

import asyncio
import sys
from pathlib import Path
from struct import Struct

import numpy as np
import orjson

from engine.conveyor import Conveyor
from engine.core.records import RecordKind, batch_of, iterate

HEADER = Struct("<IHHqq")
PADDING = [bytes(-length % 8) for length in range(8)]


class Waiting:
    """Messages as they come; the loop's next turn takes what is there."""

    def __init__(self, lead: bytes, headers: np.ndarray) -> None:
        self.conveyor = Conveyor()
        batch = batch_of(lead)
        self.conveyor.handle(batch)
        self.seq = sum(1 for _ in iterate(batch))
        self.headers = iter(headers.tolist())
        self.messages: list[bytes] = []
        self.count = self.size = self.batches = 0

    def take(self, message: bytes) -> None:
        if not self.messages:
            asyncio.get_running_loop().call_soon(self.flush)
        self.messages.append(message)

    def flush(self) -> None:
        if not self.messages:
            return
        parts: list[bytes] = []
        for message in self.messages:
            recv_ns, source = next(self.headers)
            length = len(message)
            header = HEADER.pack(length, RecordKind.FRAME, source, self.seq, recv_ns)
            parts += (header, message, PADDING[length % 8])
            self.seq += 1
            self.size += length
        self.count += len(self.messages)
        self.batches += 1
        self.messages.clear()
        self.conveyor.handle(batch_of(b"".join(parts)))


def main(url: str, site: str, lead: str, headers: str) -> None:
    sys.path.append(site)  # behind our own packages
    from bench.peers.websockets import receive

    print('{"version": ""}', flush=True)
    for _ in sys.stdin:
        waiting = Waiting(Path(lead).read_bytes(), np.load(headers))
        seconds, cpu_seconds = asyncio.run(receive(url, waiting.take, waiting.flush))
        answer = {"seconds": seconds, "cpu_seconds": cpu_seconds, "events": waiting.count, "bytes": waiting.size}
        answer |= {"batches": waiting.batches, "chain": waiting.conveyor.chain}
        print(orjson.dumps(answer).decode(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
