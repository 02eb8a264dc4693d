"""The peers' side without the peers: drivers of a few lines, environments that cannot be made."""

import asyncio
import subprocess
import sys

import numpy as np
import pytest

from bench import harness, material
from bench.peers import driver, environment, receiver, sockets, trades
from engine.core.records import encode

ECHO = 'import sys, json\nprint(json.dumps({"version": "9"}), flush=True)\n'
PASS = ECHO + 'for line in sys.stdin:\n    print(json.dumps({"seconds": 1.0, "path": line.strip()}), flush=True)\n'

# A peer that is right: bars by a plain loop over the events.
HONEST = """
import json, sys
import numpy as np
events = np.load(sys.argv[1])
found = {}
for ns, s, p, q in zip(*(events[n].tolist() for n in ("event_ns", "symbol", "price", "quantity"))):
    bar = found.setdefault((ns // 60_000_000_000, s), [p, p, p, p, 0])
    bar[1], bar[2], bar[3] = max(bar[1], p), min(bar[2], p), p
    bar[4] += q
bars = np.array([[*key, *bar] for key, bar in found.items()])
bars[0, 2] += int(sys.argv[2])
print(json.dumps({"version": "1.0"}), flush=True)
for line in sys.stdin:
    if line.strip():
        np.save(line.strip(), bars)
    print(json.dumps({"seconds": 0.25}), flush=True)
"""


def started(source, *arguments):
    return driver.Driver("fake", arguments, [sys.executable, "-c", source])


def fake(monkeypatch, lie):
    monkeypatch.setattr(
        trades, "Driver",
        lambda peer, arguments: driver.Driver(peer, [*arguments, str(lie)], [sys.executable, "-c", HONEST]),
    )  # fmt: skip


# Drivers --------------------------------------------------------------------------------------------------------------


def test_a_driver_answers_one_line_for_each_line(tmp_path):
    with started(PASS) as running:
        assert running.version == "9"
        assert running.once() == {"seconds": 1.0, "path": ""}
        assert running.once(tmp_path / "bars")["path"] == str(tmp_path / "bars")


def test_a_driver_that_dies_says_with_what_words():
    with pytest.raises(driver.PeerUnavailableError, match="fake: its driver ended with 1: ImportError: no such peer"):
        started("raise ImportError('no such peer')")
    source = ECHO + "sys.stdin.readline(); sys.exit('out of memory')\n"
    with started(source) as running, pytest.raises(driver.PeerUnavailableError, match="out of memory"):
        running.once()


def test_bars_are_compared_with_the_peers_own(monkeypatch):
    fake(monkeypatch, lie=0)
    ours, theirs = trades.against("nautilus", 3, 2_000, minutes=3, passes=1)
    assert ours.what == "bars: trades to closed bars, nautilus"
    assert ours.against == "nautilus_trader 1.0"
    assert ours.ratio > 0
    assert ours.digest == theirs.digest
    assert theirs.p50 == pytest.approx(0.25e9 / 2_000)


def test_a_peer_with_another_price_is_caught(monkeypatch):
    fake(monkeypatch, lie=1)
    with pytest.raises(harness.ResultDiffersError, match="the bars over the same trades differ: 9 bars of ours, 9"):
        list(trades.against("nautilus", 3, 2_000, minutes=3, passes=1))


def test_trades_never_stand_on_the_edge_of_a_minute_nor_at_one_instant():
    made = trades.trades(5, 10_000, 7)
    assert (np.diff(made.event_ns) > 0).all()
    assert (made.event_ns % 60_000_000_000 != 0).all()
    assert len(set((made.event_ns // 60_000_000_000).tolist())) == 7


# The socket -----------------------------------------------------------------------------------------------------------


def test_messages_that_waited_give_the_chain_of_the_records_however_they_came():
    lead, frames = sockets._split(material.simulated("binance_usdm", 3, 2), 3_000)
    headers = np.array([(record.recv_ns, record.source) for record in frames])
    waiting = receiver.Waiting(b"".join(map(encode, lead)), headers)

    async def come():
        for place, record in enumerate(frames):
            waiting.take(record.payload)
            if place % 7 == 0:
                await asyncio.sleep(0)  # the loop's next turn: what waits becomes a batch
        waiting.flush()

    asyncio.run(come())
    assert waiting.batches > 100
    assert waiting.count == len(frames)
    assert waiting.conveyor.chain == sockets.chain_of([*lead, *frames])


@pytest.mark.parametrize(("length", "head"), [(5, b"\x81\x05"), (126, b"\x81\x7e\x00\x7e"), (70_000, b"\x81\x7f")])
def test_a_message_is_framed_as_a_server_does(length, head):
    assert sockets.framed(bytes(length)).startswith(head)
    assert sockets.framed(bytes(length)).endswith(bytes(length))


# Environments ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(environment, "HERE", tmp_path)
    (tmp_path / "some.lock").write_text("nothing==1\n")
    return tmp_path


def test_an_environment_is_made_once_and_again_when_its_lock_changes(elsewhere, monkeypatch):
    made = []

    def run(command, **_):
        made.append(command)
        python = environment.folder_of("some") / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(environment.subprocess, "run", run)
    python = environment.python_of("some")
    assert python.is_relative_to(elsewhere / "cache" / "conveyor" / "peers")
    assert all("--require-hashes" in command for command in made if "install" in command)
    once = len(made)
    environment.python_of("some")
    assert len(made) == once
    (elsewhere / "some.lock").write_text("nothing==2\n")
    environment.python_of("some")
    assert len(made) == 2 * once


@pytest.mark.usefixtures("elsewhere")
def test_without_a_network_the_peer_is_told_to_be_unavailable(monkeypatch):
    failed = subprocess.CompletedProcess([], 2, "", "error: dns error\n")
    monkeypatch.setattr(environment.subprocess, "run", lambda command, **_: failed)
    with pytest.raises(environment.PeerUnavailableError, match=r"peer not available: some: .*network.*: error: dns"):
        environment.python_of("some")
    assert not (environment.folder_of("some") / environment.STAMP).exists()


def test_every_peer_with_a_lock_pins_hashes_and_names_no_host():
    locks = sorted(environment.HERE.glob("*.lock"))
    assert [lock.stem for lock in locks] == ["hftbacktest", "nautilus", "websockets"]
    for lock in locks:
        lines = [line for line in lock.read_text().splitlines() if not line.startswith("#")]
        assert not [line for line in lines if "://" in line or "--index" in line or "--find-links" in line]
        pinned = [line for line in lines if not line.startswith(" ")]
        assert all(" --hash=sha256:" in text for text in "\n".join(lines).replace(" \\\n", "").splitlines())
        assert all("==" in line for line in pinned)
