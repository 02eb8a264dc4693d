"""The machine a scenario's engine runs on: a disk that fills and dies, a clock that is set, a loop that stalls."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from engine.core.errors import FeedError
from engine.core.minutes import NS_PER_S
from engine.core.ports import Clock, Http, Link, Receiver, Transport
from engine.io.clock import AnchoredClock
from engine.io.disk import OsDisk
from engine.io.feeds.sockets import MESSAGE_BYTES_MAX
from replay.chaos.disk import Killed
from replay.exchange import VirtualLoop


class FaultyDisk(OsDisk):
    """Real files without syncs (power cuts are `conveyor chaos power`'s subject), which can be full, or die.

    full: whatever needs room fails with ENOSPC. dead: the process is gone; no call has any effect from then on.
    """

    def __init__(self) -> None:
        self.full = self.dead = False
        self._handles: set[int] = set()

    def die(self) -> None:
        """As SIGKILL: files stay as they are, handles and locks are let go."""
        self.dead = True
        for handle in self._handles:
            os.close(handle)
        self._handles.clear()

    def _alive(self, needs_room: bool = False) -> None:
        if self.dead:
            raise Killed
        if self.full and needs_room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _held(self, handle: int) -> int:
        self._handles.add(handle)
        return handle

    def make_folder(self, folder: Path) -> None:
        self._alive()
        folder.mkdir(mode=0o700, exist_ok=True)

    def list(self, folder: Path) -> list[str]:
        self._alive()
        return super().list(folder)

    def create(self, path: Path) -> int:
        self._alive(needs_room=True)
        return self._held(super().create(path))

    def append(self, path: Path) -> int:
        self._alive()
        return self._held(super().append(path))

    def open(self, path: Path) -> int:
        self._alive()
        return self._held(super().open(path))

    def read(self, handle: int, offset: int, into: memoryview) -> int:
        self._alive()
        return super().read(handle, offset, into)

    def write(self, handle: int, data: bytes | memoryview) -> int:
        self._alive(needs_room=True)
        return super().write(handle, data)

    def fdatasync(self, handle: int) -> None:
        self._alive()

    def fsync_dir(self, folder: Path) -> None:
        self._alive()

    def truncate(self, handle: int, length: int) -> None:
        self._alive()
        super().truncate(handle, length)

    def close(self, handle: int) -> None:
        if handle in self._handles:
            self._handles.discard(handle)
            super().close(handle)

    def rename(self, old: Path, new: Path) -> None:
        self._alive()
        super().rename(old, new)

    def unlink(self, path: Path) -> None:
        self._alive()
        super().unlink(path)

    def lock(self, folder: Path) -> int:
        self._alive()
        return self._held(super().lock(folder))


def spoil(store: Path, how: str) -> None:
    """What happens to DuckDB's file while it is open."""
    if how == "removed":
        store.unlink(missing_ok=True)
    else:
        with open(store, "r+b") as file:
            file.write(b"\xa5" * 16_384)


class HostClock:
    """The host's wall clock, which somebody sets, and the engine's clock that is anchored to it.

    engine: what the engine lives by. wall_ns: what the host's wall clock says.
    """

    def __init__(self, loop: VirtualLoop, origin_ns: int) -> None:
        self._loop, self._origin_ns, self.set_by_ns = loop, origin_ns, 0
        self.engine = AnchoredClock(origin_ns, monotonic_ns=lambda: loop.now_ns)

    def wall_ns(self) -> int:
        return self._origin_ns + self._loop.now_ns + self.set_by_ns

    def step(self, by_s: float) -> None:
        self.set_by_ns += int(by_s * NS_PER_S)

    async def reference_ns(self) -> int:
        return self.wall_ns()


class Guard:
    """A receiver that ends the link at a message that is too long, as the sockets do."""

    def __init__(self, receiver: Receiver) -> None:
        self.pong, self.ended, self._frame = receiver.pong, receiver.ended, receiver.frame
        self.link: Link | None = None

    def frame(self, payload: bytes, recv_ns: int) -> None:
        if len(payload) <= MESSAGE_BYTES_MAX:
            self._frame(payload, recv_ns)
        elif self.link is not None:
            self.link.close(f"a message of more than {MESSAGE_BYTES_MAX} bytes")


class World:
    """`Transport` and `Http` of a scenario: the exchange's front, which at times cannot be reached.

    unreachable: what a resolver or TLS says meanwhile; empty: all is well. connects_ns: when a connection was tried.
    """

    def __init__(self, transport: Transport, http: Http, clock: Clock) -> None:
        self._transport, self._http, self._clock = transport, http, clock
        self.unreachable = ""
        self.connects_ns: list[int] = []

    async def connect(self, url: str, receiver: Receiver, timeout_s: float) -> Link:
        self.connects_ns.append(self._clock.now_ns())
        self._refuse(url)
        guard = Guard(receiver)
        guard.link = await self._transport.connect(url, guard, timeout_s)
        return guard.link

    async def request(
        self, method: str, url: str, body: bytes | None, timeout_s: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        self._refuse(url)
        return await self._http.request(method, url, body, timeout_s)

    def _refuse(self, url: str) -> None:
        if self.unreachable:
            raise FeedError(f"{url}: {self.unreachable}; check the network and the address")
