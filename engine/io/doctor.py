"""Whether this machine is fit: each finding is one measured value and, unless it is well, what to do."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import platform
import resource
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Literal

from config.schema import Config, Venue
from engine.core.errors import FeedError
from engine.core.ports import Http, Link, Receiver, Transport
from engine.io.venues import ENDS

Verdict = Literal["ok", "warn", "fail"]
LIBRARIES = (
    "aiohttp", "click", "duckdb", "matplotlib", "numba", "numpy", "orjson", "prometheus-client", "pyarrow", "pydantic",
    "rich", "uvloop", "websockets", "zstandard",
)  # fmt: skip
PYTHONS = (3, 11), (3, 14)  # from, below
CORES_MIN, MEMORY_MIN_GIB, FILES_MIN = 2, 2.0, 256
SYNC_MS = 10.0, 50.0  # a group commit comes every 10 ms; with slower syncs groups grow, with 50 ms rows are late
SYNCS = 20
OFFSET_MS = 500.0, 2000.0
NET_TIMEOUT_S = 10.0
REFUSALS = {
    403: "the venue blocks this machine's address", 418: "this machine's address is banned for a while",
    429: "too many requests came from this machine's address", 451: "the venue does not serve this place",
}  # fmt: skip
TIME_ERROR = 5  # what adjtimex returns where no NTP keeps the clock


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    verdict: Verdict
    words: str


def of_the_machine(config: Config, folder: Path) -> Iterator[Finding]:
    """folder: where sessions will lie; the nearest one that exists is measured."""
    while not folder.exists():
        folder = folder.parent
    yield _python()
    yield _libraries()
    yield _processor()
    yield _memory()
    yield _files()
    yield _space(config, folder)
    yield _syncs(folder)
    yield _clock()
    yield _venues(config)


def _python() -> Finding:
    version = sys.version_info[:2]
    fit = PYTHONS[0] <= version < PYTHONS[1]
    words = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("Python", "ok" if fit else "fail", words if fit else f"{words}; 3.11 to 3.13 are supported")


def _libraries() -> Finding:
    versions, missing = [], []
    for name in LIBRARIES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("libraries", "fail", f"{', '.join(missing)} not installed; run `make setup`")
    return Finding("libraries", "ok", ", ".join(versions))


def _processor() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    words, (load, _, _) = f"{cores} cores", os.getloadavg()
    if cores < CORES_MIN:
        return Finding("processor", "warn", f"{words}; one for the loop and one for the disk and store are better")
    return Finding("processor", "warn" if load > cores else "ok", f"{words}, load {load:.1f}")


def _memory() -> Finding:
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    fit = gib >= MEMORY_MIN_GIB
    return Finding(
        "memory", "ok" if fit else "warn", f"{gib:.1f} GiB" + ("" if fit else f"; {MEMORY_MIN_GIB:g} are meant")
    )


def _files() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES_MIN:
        return Finding("file handles", "fail", f"{soft} at a time; raise it with `ulimit -n 1024`")
    return Finding("file handles", "ok", f"{soft} at a time")


def _space(config: Config, folder: Path) -> Finding:
    limits, found = config.retention, shutil.disk_usage(folder)
    free_gib, share = found.free / 2**30, 100 * found.free / found.total
    words = f"{free_gib:,.1f} GiB free of {found.total / 2**30:,.1f} in {folder}"
    if free_gib < limits.red_free_gib:
        return Finding("disk", "fail", f"{words}; only the journal would be written: free some")
    if free_gib < limits.amber_free_gib or share < limits.amber_free_pct:
        return Finding(
            "disk", "warn", f"{words}; the journal is cut below its cap to keep {limits.amber_free_gib:g} free"
        )
    if free_gib < limits.journal_gib_max:
        return Finding(
            "disk", "warn", f"{words}; retention.journal_gib_max is {limits.journal_gib_max:g}, which is more"
        )
    return Finding("disk", "ok", words)


def _syncs(folder: Path) -> Finding:
    """What an fdatasync of 4 KiB takes, as a group commit does it."""
    took_ms = []
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for _ in range(SYNCS):
                file.write(bytes(4096))
                file.flush()
                begun_s = time.perf_counter()
                os.fdatasync(file.fileno())
                took_ms.append((time.perf_counter() - begun_s) * 1000)
    except OSError as error:
        return Finding("sync", "fail", f"{folder} cannot be written ({error.strerror}); correct owner and mode")
    middle = median(took_ms)
    words = f"median {middle:.2f} ms, worst {max(took_ms):.1f} ms of {SYNCS}"
    if middle >= SYNC_MS[1]:
        return Finding("sync", "fail", f"{words}; rows would be late: use a local disk")
    return Finding("sync", "warn" if middle >= SYNC_MS[0] else "ok", words)


def _clock() -> Finding:
    """What the kernel knows of its clock: adjtimex, read only."""
    name = ctypes.util.find_library("c")
    library = ctypes.CDLL(name) if name and sys.platform == "linux" else None
    if library is None:
        return Finding("clock", "warn", "it cannot be told whether NTP keeps it; --net compares it with the venues")
    room = ctypes.create_string_buffer(256)
    state = library.adjtimex(room)
    error_us = struct.unpack_from("@l", room, 32)[0]
    if state < 0:
        return Finding("clock", "warn", "the kernel does not tell how it is kept; --net compares it with the venues")
    if state == TIME_ERROR:
        return Finding("clock", "warn", "no NTP keeps it; start one, such as chrony, or look at --net")
    return Finding("clock", "ok", f"kept by NTP, estimated error {error_us / 1000:.1f} ms")


def _venues(config: Config) -> Finding:
    enabled = [name for name in ENDS if getattr(config.venues, name).enabled]
    if not enabled:
        return Finding("venues", "warn", "none is enabled in these settings; --net then asks all of them")
    carried = "; ".join(
        f"{name} {' '.join(getattr(config.venues, name).symbols) or 'no fixed symbol'}" for name in enabled
    )
    return Finding("venues", "ok", carried)


# Over the network -----------------------------------------------------------------------------------------------------


async def of_the_network(config: Config, http: Http, transport: Transport) -> list[Finding]:
    """REST and WebSocket of each enabled venue, or of all if none is; and the clock against theirs."""
    enabled = [name for name in ENDS if getattr(config.venues, name).enabled]
    found = []
    for name in enabled or ENDS:
        settings: Venue = getattr(config.venues, name)
        found += await _rest(name, settings, http)
        found.append(await _socket(name, settings, transport))
    return found


async def _rest(name: str, settings: Venue, http: Http) -> list[Finding]:
    end = ENDS[name]
    request, what = end.listing(), f"{name} REST"
    url = (settings.rest_url or end.rest_url) + request.path
    begun_s, asked_at_s = time.perf_counter(), time.time()
    try:
        status, headers, _ = await http.request(request.method, url, request.body, NET_TIMEOUT_S)
    except FeedError as error:
        return [Finding(what, "fail", str(error))]
    took_s = time.perf_counter() - begun_s
    words = f"{status} in {took_s * 1000:,.0f} ms from {url}"
    if status != 200:
        return [Finding(what, "fail", f"{words}; {REFUSALS.get(status, 'check the address')}")]
    return [Finding(what, "ok", words), _offset(name, headers.get("date", ""), asked_at_s, took_s)]


def _offset(name: str, date: str, asked_at_s: float, took_s: float) -> Finding:
    """The host's clock against a Date header, which counts whole seconds: its middle is compared with the answer's."""
    what = f"clock of {name}"
    try:
        told_s = parsedate_to_datetime(date).timestamp() + 0.5
    except ValueError:
        return Finding(what, "warn", "its answer carries no date")
    low_ms = (asked_at_s - told_s - 0.5) * 1000
    high_ms = (asked_at_s + took_s - told_s + 0.5) * 1000
    nearest_ms = 0.0 if low_ms <= 0 <= high_ms else min(low_ms, high_ms, key=abs)
    if abs(nearest_ms) < OFFSET_MS[0]:
        return Finding(what, "ok", f"agrees with the host's within {max(-low_ms, high_ms):,.0f} ms")
    words = f"the host's clock is {abs(nearest_ms):,.0f} ms or more {'ahead' if nearest_ms > 0 else 'behind'}"
    return Finding(what, "fail" if abs(nearest_ms) >= OFFSET_MS[1] else "warn", f"{words}; set it by NTP")


class _Unheard(Receiver):
    """A receiver for a connection that is only opened."""

    def frame(self, payload: bytes, recv_ns: int) -> None: ...

    def pong(self, recv_ns: int) -> None: ...

    def ended(self, reason: str) -> None: ...


async def _socket(name: str, settings: Venue, transport: Transport) -> Finding:
    what, url = f"{name} WebSocket", settings.ws_url or ENDS[name].ws_url
    begun_s = time.perf_counter()
    try:
        link: Link = await transport.connect(url, _Unheard(), NET_TIMEOUT_S)
    except FeedError as error:
        return Finding(what, "fail", str(error))
    took_s = time.perf_counter() - begun_s
    link.close("doctor: it opens, which is all that was asked")
    return Finding(what, "ok", f"opened in {took_s * 1000:,.0f} ms at {url}")
