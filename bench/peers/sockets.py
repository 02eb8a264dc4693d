"""Frames over a loopback socket: one client, two consumers. What is compared is the CPU of the receiving process."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import ResultDiffersError, Row, row
from bench.material import FRAME, Material, blocks_of, records_of, sized
from bench.peers.driver import Driver, one_core
from bench.peers.environment import python_of
from config.schema import Core
from engine.conveyor import Conveyor
from engine.core.records import Record, RecordKind, encode

OURS = "socket: same client, conveyor behind it"
THEIRS = "socket: same client, orjson.loads behind it"
CLOSE = b"\x88\x02\x03\xe8"  # a close frame, code 1000


def against(material: Material, passes: int = 3, frames_max: int = 300_000) -> Iterator[Row]:
    """Both consumers in turn on one core, the sender on another if there is one."""
    lead, frames = _split(material, frames_max)
    expected, size = chain_of([*lead, *frames]), sum(len(record.payload) for record in frames)
    with tempfile.TemporaryDirectory(prefix="conveyor-bench-") as folder:
        wire, before, headers = (Path(folder) / name for name in ("wire", "lead", "headers.npy"))
        wire.write_bytes(b"".join(framed(record.payload) for record in frames) + CLOSE)
        before.write_bytes(b"".join(map(encode, lead)))
        np.save(headers, np.array([(record.recv_ns, record.source) for record in frames], np.int64))
        python = str(python_of("websockets"))
        sender_file, site = str(Path(__file__).with_name("sender.py")), _site_of(python)
        receiver = [sys.executable, "-m", "bench.peers.receiver"]
        with Driver("sender", [str(wire)], [sys.executable, "-I", sender_file]) as sender, one_core():
            url = f"ws://127.0.0.1:{sender.ready['port']}/"
            with (
                Driver("websockets", [url]) as theirs,
                Driver("conveyor", [url, site, str(before), str(headers)], receiver) as ours,
            ):
                taken: dict[str, list[dict[str, Any]]] = {OURS: [], THEIRS: []}
                for turn in range(-1, passes):
                    for what, driver in ((OURS, ours), (THEIRS, theirs)):
                        answer = driver.once()
                        _check(what, answer, len(frames), size, expected)
                        if turn >= 0:
                            taken[what].append(answer)
    cpu_us = {
        what: np.array([a["cpu_seconds"] for a in answers]) / len(frames) * 1e6 for what, answers in taken.items()
    }
    ratio = float(np.median(cpu_us[THEIRS]) / np.median(cpu_us[OURS]))
    for what, more in ((OURS, {"against": f"websockets {theirs.version} + orjson", "ratio": ratio}), (THEIRS, {})):
        wall = float(np.median([answer["seconds"] for answer in taken[what]]))
        yield row(
            what, material.on, len(frames), "us CPU/frame", cpu_us[what], rate=len(frames) / wall / 1e3,
            rate_unit="k frames/s", digest=expected if what == OURS else "", **more,
        )  # fmt: skip


def _split(material: Material, frames_max: int) -> tuple[list[Record], list[Record]]:
    """Everything up to the last book snapshot as numbered records, and the frames behind it."""
    chosen = list(material.messages)
    while chosen[-1][2] == RecordKind.CONNECTION:
        chosen.pop()  # the end of the recording
    behind = max(i for i, message in enumerate(chosen) if message[2] != FRAME) + 1
    core = sized(max(1, material.symbols), connections_max=Core().limits.connections_max)
    records = list(records_of(chosen[: behind + frames_max], core, ticks=False))
    return records[: behind + 1], records[behind + 1 :]  # the configuration epoch is one more


def framed(payload: bytes) -> bytes:
    """A text frame of a server: not masked, not compressed."""
    length = len(payload)
    if length < 126:
        return bytes((0x81, length)) + payload
    if length < 65_536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


def chain_of(records: list[Record]) -> str:
    """What a conveyor says that never saw a socket."""
    conveyor = Conveyor()
    for batch in blocks_of(records):
        conveyor.handle(batch)
    return conveyor.chain


def _check(what: str, answer: dict[str, Any], count: int, size: int, chain: str) -> None:
    if (answer["events"], answer["bytes"]) != (count, size) or answer.get("chain", chain) != chain:
        raise ResultDiffersError(f"{what}: expected {count} messages, {size} bytes, chain {chain}; answered {answer}")


def _site_of(python: str) -> str:
    told = subprocess.run(
        [python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return told.stdout.strip()
