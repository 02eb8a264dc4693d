"""From the venue's matching engine to our socket: server delay per channel, network latency, stalls, one order."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.core.detmath import log
from engine.core.minutes import NS_PER_MS
from replay.simulate import layout as at
from replay.simulate.compiled import inlined, kernel

# Mean delay between event and sending in ms, by event kind: trades and quotes go at once, books are collected first,
# REST takes a round trip.
SERVER_MS = np.array([0.8, 0.5, 3.0, 3.0, 2.0, 60.0])
FRAME_NS = 400  # least time between two frames of one socket
JITTER_SHARE = 0.3  # of the latency, exponential
STALL_EVERY_S = 90.0
STALL_MS = (50.0, 300.0)


@inlined
def exponential(rng: Any, mean: float) -> float:
    return -mean * log(1.0 - rng.random())


@kernel
def send_times(rng: Any, events: np.ndarray, count: int, origin_ns: int, last_ns: np.ndarray, out: np.ndarray) -> None:
    """When the venue sends each event. last_ns: (symbols, KINDS), so that no channel of a symbol overtakes itself."""
    for i in range(count):
        kind = events[i, at.KIND]
        symbol = events[i, at.SYMBOL]
        delay = SERVER_MS[kind] * 0.2 + exponential(rng, SERVER_MS[kind] * 0.8)
        time = origin_ns + events[i, at.TIME] * NS_PER_MS + int(delay * NS_PER_MS)
        if time < last_ns[symbol, kind]:
            time = last_ns[symbol, kind]
        last_ns[symbol, kind] = time
        out[i] = time


@kernel
def receive_times(
    rng: Any,
    send: np.ndarray,
    offset_ns: int,
    latency_ms: float,
    stalls: np.ndarray,
    state: np.ndarray,
    out: np.ndarray,
) -> None:
    """When we receive frames sent in this order, on our clock. One socket: nothing overtakes.

    stalls: scripted (begin, end) in ns of venue time. state: last receipt before the offset, begin and end of the next
    natural stall.
    """
    for i in range(len(send)):
        while send[i] >= state[2]:
            state[1] = max(state[2], send[0] if state[2] == 0 else state[2]) + int(
                exponential(rng, STALL_EVERY_S) * 1e9
            )
            state[2] = state[1] + int((STALL_MS[0] + (STALL_MS[1] - STALL_MS[0]) * rng.random()) * NS_PER_MS)
        time = send[i] + int(
            (latency_ms * (1.0 - JITTER_SHARE) + exponential(rng, latency_ms * JITTER_SHARE)) * NS_PER_MS
        )
        if state[1] <= send[i] < state[2]:
            time = max(time, state[2])
        for k in range(len(stalls)):
            if stalls[k, 0] <= send[i] < stalls[k, 1]:
                time = max(time, stalls[k, 1])
        time = max(time, state[0] + FRAME_NS)
        state[0] = time
        out[i] = time + offset_ns
