"""`demo`: a local exchange in a process of its own, the live engine against it over a real WebSocket, and the proof."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from engine.commands import markets, running, terminal
from engine.commands import replay as replaying
from engine.commands.terminal import Exit, Stop

QUERY = "SELECT symbol, timestamp, close, base_volume, trade_count, dq_status FROM features_snapshot"
BEFORE_AND_AFTER_S = 90  # a demo begins inside a minute, and the last one has to close
# At 60 times real time 1.5 s of the market are 25 ms of a machine that does other things too: minutes wait longer.
PATIENCE = ("core.closing.watermark_ms=10000", "core.closing.grace_ms=20000")


@click.command(cls=terminal.Verb)
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="Another seed, another market.")
@click.option("--minutes", type=click.IntRange(2, 1440), default=20, show_default=True, help="Full minutes.")
@click.option("--symbols", type=click.IntRange(3, 60), default=3, show_default=True, help="How many.")
@click.option("--speed", type=click.FloatRange(1, 600), default=60, show_default=True, help="Times real time.")
@click.option(
    "--venue",
    type=click.Choice(markets.VENUES),
    default="binance_usdm",
    show_default=True,
    help="Whose protocol is spoken.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="Folder of the session."
)
def demo(seed: int, minutes: int, symbols: int, speed: float, venue: str, out: Path) -> None:
    """Run the engine against a local exchange at 60 times real time, and verify its session by replay, bit for bit."""
    from engine.io.session_reader import SessionReader
    from replay.simulate import Market
    from replay.simulate.market import listings
    from replay.verify import replayed, verify

    session = out / "session"
    clear(out)
    replaying.compile_kernels()
    names = [one.instrument.symbol for one in listings(Market(seed=seed, symbols=symbols, venue=venue))[0]]  # type: ignore[arg-type]
    terminal.note(f"a local exchange opens a market of {symbols} symbols (seed {seed}); no real market is involved")
    with exchange(venue, seed, symbols, speed) as sets:
        config = running.configured("dry-run", None, venue, ",".join(names), (), (*sets, *PATIENCE))
        with replaying.table_of(
            f"LOCAL EXCHANGE, simulated market · {venue} · at {speed:g} times real time", events=True
        ) as showing:
            running.live(config, session, 60.0 * minutes + BEFORE_AND_AFTER_S, sinks=[showing])
    with SessionReader(session) as reader:
        verdict = verify(reader, replayed(reader))
    click.echo(verdict.sentence())
    if verdict.difference:
        raise Stop(Exit.VERIFICATION)
    click.echo(f"try: {sys.argv[0]} sql {session} '{QUERY}'")


@contextmanager
def exchange(venue: str, seed: int, symbols: int, speed: float) -> Iterator[tuple[str, ...]]:
    """A local exchange while the block lasts; the settings that lead an engine to it."""
    command = [sys.executable, "-m", "engine.cli", "exchange", "--venue", venue, "--seed", str(seed)]
    command += ["--symbols", str(symbols), "--speed", f"{speed:g}x", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            sets = []
            for line in process.stdout:
                if line.startswith("--set "):
                    sets.append(line.removeprefix("--set ").strip())
                if line.startswith("--set time.source="):
                    break
            else:
                assert process.stderr is not None
                raise Stop(Exit.ERROR, f"error: the local exchange did not start: {process.stderr.read().strip()}")
            yield tuple(sets)
        finally:
            process.terminate()


def clear(out: Path) -> None:
    """Make room for a new demo; only what an earlier demo wrote is removed."""
    from engine.core.errors import ConfigError

    marker = out / ".demo"
    if out.exists() and not marker.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} holds something that no demo wrote; give another folder with --out")
    for folder in (out / "journal", out / "session"):
        if folder.exists():
            shutil.rmtree(folder)
    out.mkdir(parents=True, exist_ok=True)
    marker.touch()
