"""SIGKILL to real processes on the real disk, at random instants; each is started again where it fell.

Two victims: a journal writer, whose acknowledgements are read from its stdout, and a replay into a session. Four deaths
in five are a writer's. The instants are uniform over the start of a process, or over its life (then it is forked by
the nursery, which spares it the imports), or inside one of the places where files change hands: sealing, saving a
state, a transaction of the store. What is drawn follows from the seed; where a clock strikes does not, so a death by
the clock comes again only nearly.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

import orjson

from engine.core.records import Record, encode
from engine.io.journal_reader import JournalReader
from engine.io.outputs import whole_lines
from engine.io.session import DIGESTS, EVENTS, MANIFEST
from replay.chaos.material import Loss, Material
from replay.chaos.nursery import ROOT, Nursery, environment
from replay.chaos.session_life import check_session, links, recorded_events
from replay.chaos.victim import record_of

VICTIMS = ("replay", "journal", "journal", "journal", "journal")  # whose turn it is
JOURNAL_DEATHS = 25  # of one journal; then it is read whole and another is begun
START_S = {"journal": 0.4, "replay": 2.0}  # of imports, about; a death at the start falls into it
LIFE_S = {"journal": 0.25, "replay": 0.8}  # that are killed by the clock; a replay is paced to last about as long
PLACES: dict[str, tuple[tuple[str, float], ...]] = {  # and the longest a death there waits, s
    "journal": (("start", 0.0), *4 * (("life", 0.0),), *3 * (("seal", 0.010),)),
    "replay": (("start", 0.0), *3 * (("life", 0.0),), *2 * (("save", 0.030),), *2 * (("store", 0.030),)),
}
PATIENCE_S = 120.0


@dataclass
class Figures:
    """deaths: by victim and place. sessions: that were completed, each proven cell by cell."""

    deaths: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    torn_tails: int = 0
    torn_bytes: int = 0
    journals: int = 0
    sessions: int = 0
    links: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "kills": self.deaths.total(), "acknowledged_records": self.acknowledged, "lost": 0,
            "torn_tails": self.torn_tails, "torn_bytes_cut": self.torn_bytes, "journals": self.journals,
            "sessions": self.sessions, "links_verified": self.links, "deaths": dict(sorted(self.deaths.items())),
        }  # fmt: skip


def kill(
    material: Material, folder: Path, runs: int, seed: int = 0, planted: str = "", victims: tuple[str, ...] = VICTIMS,
    progress: Callable[[int], None] = lambda count: None,
) -> Figures:  # fmt: skip
    """`runs` deaths. Raises Loss, which leaves the files as they are. victims: whose turn it is, in turn."""
    figures, place = Figures(), Path(mkdtemp(prefix="kill-", dir=folder))
    killers: dict[str, JournalKiller | ReplayKiller] = {}
    if "journal" in victims:
        killers["journal"] = JournalKiller(place, figures, planted)
    if "replay" in victims:
        killers["replay"] = ReplayKiller(place, figures, planted, material)
    run = seed
    try:
        for run in range(seed, seed + runs):
            name = victims[run % len(victims)]
            killers[name].kill_once(Random(f"{name} {run}"))
            progress(1)
        for killer in killers.values():
            killer.finish()
    except Exception as error:
        again = f"conveyor chaos kill --runs {run - seed + 1} --seed {seed}"
        raise Loss(f"death {run - seed + 1}: {error}; to see it again: {again}") from error
    finally:
        for killer in killers.values():
            killer.close()
    shutil.rmtree(place)
    return figures


class Killer:
    """Starts its victim and ends it; what is true of both of them."""

    name: str

    def __init__(self, place: Path, figures: Figures, planted: str) -> None:
        self.place, self.figures = place, figures
        self.options = ["--planted", planted] if planted else []
        self._nursery = Nursery(replays=self.name == "replay")

    def finish(self) -> None: ...

    def close(self) -> None:
        self._nursery.close()

    def die(self, arguments: list[str], random: Random) -> tuple[list[str], bool]:
        """One life; the whole lines it printed, and whether it was killed (it may have come to its end before)."""
        place, longest_s = random.choice(PLACES[self.name])
        share = random.random()
        command = [self.name, *arguments, *self.options]
        if longest_s:
            command += ["--inside", place, "--number", str(random.randrange(1, 4)), "--after-s", str(share * longest_s)]
        out, err = self.place / "stdout", self.place / "stderr"
        out.write_bytes(b"")  # a victim may die before it opens its own, and must not be taken for the one before it
        if place == "start":
            status = self._live_from_the_start(command, out, err, share)
        else:
            after_s = LIFE_S[self.name] * (share if place == "life" else 8.0)
            status = self._nursery.live(command, out, err, after_s)
        if status not in (0, -signal.SIGKILL):
            raise Loss(f"the {self.name} ended by itself: {err.read_text().strip()[-600:]}")
        self.figures.deaths[f"{self.name} {place}"] += status != 0
        printed = out.read_bytes().split(b"\n")[:-1]  # the last line may be torn
        return [line.decode() for line in printed], status != 0

    def _live_from_the_start(self, command: list[str], out: Path, err: Path, share: float) -> int:
        """A process of its own, killed after a share of the time that such a one needs until its first line."""
        with open(out, "wb") as stdout, open(err, "wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "replay.chaos.victim", *command],
                cwd=ROOT, env=environment(), stdout=stdout, stderr=stderr,
            )  # fmt: skip
        try:
            process.wait(share * START_S[self.name])
        except subprocess.TimeoutExpired:
            process.kill()
        return process.wait()


class JournalKiller(Killer):
    """A journal through many deaths; every acknowledged record must be there with its bytes."""

    name = "journal"

    def __init__(self, place: Path, figures: Figures, planted: str) -> None:
        super().__init__(place, figures, planted)
        self._number = 0
        self._begin()

    def _begin(self) -> None:
        self._number += 1
        self.folder, self._deaths, self._next, self._crc = self.place / f"journal-{self._number}", 0, 0, 0

    def kill_once(self, random: Random) -> None:
        lines, _ = self.die([str(self.folder), "--seed", str(random.randrange(2**31))], random)
        acknowledged = [int(line) for line in lines]
        if acknowledged and acknowledged[0] != self._next - 1:
            raise Loss(f"the journal ended with seq {self._next - 1}, the writer began at {acknowledged[0]}")
        promised = max(acknowledged, default=-1)
        self.figures.acknowledged += max(0, promised + 1 - self._next)
        self._read_on(promised)
        self._deaths += 1
        if self._deaths == JOURNAL_DEATHS:
            self.finish()
            self._begin()

    def _read_on(self, promised: int) -> None:
        """Every record behind those that are known is the one that was written, up to the promised one at least."""
        if not any(self.folder.glob("*.seg")):
            if promised >= 0:
                raise Loss(f"seq {promised} was acknowledged, and there is no segment at all")
            return
        reader = JournalReader(self.folder)
        for batch in reader.batches(self._next):
            found = bytes(batch.buffer.data[batch.start : batch.end])
            position = 0
            while position < len(found):
                expected = expected_record(self._next)
                if found[position : position + len(expected)] != expected:
                    raise Loss(f"record {self._next} is not the one that was written")
                self._crc, self._next = zlib.crc32(expected, self._crc), self._next + 1
                position += len(expected)
        if self._next <= promised:
            raise Loss(f"seq {promised} was acknowledged, the journal ends with seq {self._next - 1}")
        self.figures.torn_tails += reader.torn_bytes > 0
        self.figures.torn_bytes += reader.torn_bytes

    def finish(self) -> None:
        """The journal from its first byte: the records and the chain CRC of a writer that never fell."""
        if self._next:
            report = JournalReader(self.folder).check()
            if (report.info.records, report.chain_crc) != (self._next, self._crc):
                raise Loss(
                    f"{report.info.records} records with chain CRC {report.chain_crc:08x}, expected {self._next}"
                )
            self.figures.journals += 1
        shutil.rmtree(self.folder, ignore_errors=True)


class ReplayKiller(Killer):
    """A session through as many deaths as it takes to its end; then it must equal that of an undisturbed replay."""

    name = "replay"

    def __init__(self, place: Path, figures: Figures, planted: str, material: Material) -> None:
        super().__init__(place, figures, planted)
        self.material = material
        self.session = place / "session"
        span_s = (material.records[-1].recv_ns - material.records[0].recv_ns) / 1e9
        self._speed = span_s / LIFE_S[self.name]

    def kill_once(self, random: Random) -> None:
        """One death; lives that come to their end before it are taken for what they are, a complete session."""
        while True:
            _, killed = self.die([str(self.material.journal), str(self.session), "--speed", str(self._speed)], random)
            self._check()
            if killed:
                return

    def _check(self) -> None:
        """What stands there is the beginning of an undisturbed replay; a session that calls itself complete is one."""
        path = self.session / DIGESTS
        lines = whole_lines(path.read_bytes()) if path.exists() else []
        chains = [link.chain for link in links(self.material)]
        if [orjson.loads(line)["chain"] for line in lines] != chains[: len(lines)]:
            raise Loss(f"{DIGESTS} has {len(lines)} links, which are not those of an undisturbed replay")
        manifest = self.session / MANIFEST
        if manifest.exists() and orjson.loads(manifest.read_bytes())["complete"]:
            events = recorded_events((self.session / EVENTS).read_bytes())
            check_session(self.session, self.material, events)
            self.figures.sessions, self.figures.links = self.figures.sessions + 1, self.figures.links + len(chains)
            shutil.rmtree(self.session)

    def finish(self) -> None:
        """One life that nobody disturbs."""
        if not self.session.exists():
            return
        arguments = ["replay", str(self.material.journal), str(self.session), "--speed", str(10 * self._speed)]
        done = subprocess.run(
            [sys.executable, "-m", "replay.chaos.victim", *arguments, *self.options],
            cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Loss(f"the replay ended by itself: {done.stderr.strip()[-600:]}")
        self._check()
        if self.session.exists():
            raise Loss("the replay went to its end, and the session is not complete")


def expected_record(seq: int) -> bytes:
    kind, source, recv_ns, payload = record_of(seq)
    return encode(Record(seq, recv_ns, source, kind, payload))
