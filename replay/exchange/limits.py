"""What a venue allows one address and one connection, and what happens behind it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.core.minutes import NS_PER_S

HOUR_S, DAY_S = 3_600.0, 86_400.0
BAN_AFTER = 10  # requests that are refused before the address is banned
PATIENCE_BYTES = 64 << 20  # that may wait for a client that does not read


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits of one venue. 0: none.

    streams: on one connection. messages in messages_s: from the client, on one connection. connects in connects_s:
    from one address. weight: of the requests of an address in a minute. lifetime_s: then the venue closes. idle_s:
    without a message from the client, then the venue closes. ping_every_s, pong_s: pings of the protocol by the venue,
    and how long it waits for the answer. ban_s: for an address that goes on after it was refused.
    """

    streams: int
    messages: int
    messages_s: float
    connects: int
    connects_s: float
    weight: int
    lifetime_s: float = 0.0
    idle_s: float = 0.0
    ping_every_s: float = 0.0
    pong_s: float = 0.0
    ban_s: float = 120.0


# The venues' published figures.
RULES = {
    "binance_usdm": Rules(
        1024, 10, 1.0, 300, 300.0, 2400, lifetime_s=DAY_S, ping_every_s=180.0, pong_s=600.0
    ),
    "binance_spot": Rules(
        1024, 5, 1.0, 300, 300.0, 6000, lifetime_s=DAY_S, ping_every_s=20.0, pong_s=60.0
    ),
    "hyperliquid": Rules(1000, 2000, 60.0, 100, 60.0, 1200, idle_s=60.0),
}  # fmt: skip


class RefusedError(Exception):
    """A request or a handshake that is answered with an error. drop: the peer gets no answer, the socket is cut."""

    def __init__(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, drop: bool = False
    ) -> None:
        super().__init__(status, body)
        self.status, self.body, self.headers, self.drop = status, body, dict(headers or {}), drop


class Window:
    """How much was used in the last span."""

    def __init__(self, span_s: float) -> None:
        self.span_ns = int(span_s * NS_PER_S)
        self.used: deque[tuple[int, int]] = deque()
        self.total = 0

    def add(self, now_ns: int, amount: int = 1) -> int:
        """The total with this use in it."""
        while self.used and self.used[0][0] <= now_ns - self.span_ns:
            self.total -= self.used.popleft()[1]
        self.used.append((now_ns, amount))
        self.total += amount
        return self.total

    def left_s(self, now_ns: int) -> int:
        """Until the oldest use counts no more, rounded up to whole seconds, at least one."""
        wait_ns = self.used[0][0] + self.span_ns - now_ns if self.used else 0
        return max(1, -(-wait_ns // NS_PER_S))


@dataclass(slots=True)
class Gate:
    """One address: its connects, the weight of its requests, its ban."""

    rules: Rules
    connects: Window = field(init=False)
    requests: Window = field(init=False)
    refusals: int = 0
    banned_until_ns: int = 0

    def __post_init__(self) -> None:
        self.connects, self.requests = Window(self.rules.connects_s), Window(60.0)

    def connect(self, now_ns: int) -> None:
        """Raises RefusedError."""
        self._banned(now_ns)
        if self.rules.connects and self.connects.add(now_ns) > self.rules.connects:
            self._refuse(now_ns, self.connects)

    def request(self, now_ns: int, weight: int) -> int:
        """The weight used in the last minute. Raises RefusedError."""
        self._banned(now_ns)
        used = self.requests.add(now_ns, weight)
        if self.rules.weight and used > self.rules.weight:
            self._refuse(now_ns, self.requests)
        self.refusals = 0
        return used

    def _banned(self, now_ns: int) -> None:
        if now_ns < self.banned_until_ns:
            left_s = -(-(self.banned_until_ns - now_ns) // NS_PER_S)
            until_ms = self.banned_until_ns // 1_000_000
            body = b'{"code":-1003,"msg":"Way too many requests; IP banned until %d."}' % until_ms
            raise RefusedError(418, body, {"Retry-After": str(left_s)})

    def _refuse(self, now_ns: int, window: Window) -> None:
        self.refusals += 1
        if self.refusals > BAN_AFTER:
            self.banned_until_ns = now_ns + int(self.rules.ban_s * NS_PER_S)
            self.refusals = 0
            self._banned(now_ns)
        body = b'{"code":-1003,"msg":"Too many requests."}'
        raise RefusedError(429, body, {"Retry-After": str(window.left_s(now_ns))})
