"""Clients that ask an engine's control socket for more than it gives, all at once, for as long as they are let."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from engine.io.control import SOCKET, connected
from engine.io.local_http import Limits

CLIENTS = 64
PATIENCE_S = 30.0  # for an answer
AWAY_S = 0.05  # until a client that the kernel turned away knocks again
HEAD = b" HTTP/1.1\r\nhost: localhost\r\n"


def _post(body: bytes) -> bytes:
    return b"POST /sql%bcontent-length: %d\r\n\r\n%b" % (HEAD, len(body), body)


STATUS = b"GET /status%b\r\n" % HEAD
REQUESTS = (
    STATUS,
    # Both processors would work on it for minutes.
    _post(b'{"query":"SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b","timeout_s":2.0}'),
    _post(b'{"query":"SELECT * FROM features_snapshot","rows_max":100000}'),
    STATUS[:20],  # the rest never comes
    b"\xff" * 200 + b"\r\n\r\n",
)
WEIGHTS = (40, 30, 20, 5, 5)  # out of a hundred requests


class Flood:
    """From `start` to `stop`.

    answers: how often by HTTP status, `unanswered`, or `turned away` by the kernel because the backlog was full.
    status_s: how long each answered status took from its first knock, the wait to be let in included.
    """

    def __init__(self, session: Path, seed: int, limits: Limits | None = None) -> None:
        self._path, self._seed, self._limits = session / SOCKET, seed, limits or Limits()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._knock, args=(number,)) for number in range(CLIENTS)]
        self._lock = threading.Lock()
        self._begun_s = self._elapsed_s = 0.0
        self.answers: Counter[str] = Counter()
        self.status_s: list[float] = []

    def start(self) -> None:
        self._begun_s = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Whoever is waiting is answered first."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._elapsed_s = time.monotonic() - self._begun_s

    @property
    def asked(self) -> int:
        return self.answers.total()

    @property
    def answered(self) -> int:
        return self.asked - self.answers["turned away"] - self.answers["unanswered"]

    @property
    def answered_most(self) -> int:
        """What the limits of the socket allow in the time that the flood lasted."""
        limits = self._limits
        return limits.burst + int(limits.per_s * self._elapsed_s) + limits.connections

    def _knock(self, number: int) -> None:
        rng = random.Random(f"{self._seed} {number}")
        while not self._over.is_set():
            (sent,) = rng.choices(REQUESTS, WEIGHTS)
            begun_s = time.monotonic()
            answer = self._ask(sent)
            while answer == "turned away" and not self._over.wait(AWAY_S):
                self._count(answer)
                answer = self._ask(sent)
            self._count(answer)
            if sent == STATUS and answer == "200":
                with self._lock:
                    self.status_s.append(time.monotonic() - begun_s)

    def _count(self, answer: str) -> None:
        with self._lock:
            self.answers[answer] += 1

    def _ask(self, sent: bytes) -> str:
        try:
            client = connected(self._path, PATIENCE_S)
        except OSError:
            return "turned away"
        with client:
            try:
                client.sendall(sent)
                return status_of(client.recv)
            except OSError:
                return "unanswered"


def status_of(receive: Callable[[int], bytes]) -> str:
    """Read an answer to its end; its status."""
    head = receive(64)
    while receive(1 << 16):
        pass
    words = head.split(b" ", 2)
    return words[1].decode("ascii", "replace") if len(words) == 3 else "unanswered"
