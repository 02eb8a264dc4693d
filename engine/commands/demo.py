"""`demo`: a simulated session through the real pipeline, shown minute by minute and proven at the end."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from engine.commands import replay as replaying
from engine.commands import terminal
from engine.commands.terminal import Exit, Stop

VENUES = ["hyperliquid", "binance_usdm"]
QUERY = "SELECT symbol, timestamp, close, base_volume, trade_count, dq_status FROM features_snapshot"


@click.command(cls=terminal.Verb)
@click.option("--seed", type=int, default=7, show_default=True, help="Another seed, another market.")
@click.option("--minutes", type=click.IntRange(2, 1440), default=20, show_default=True, help="Full minutes.")
@click.option("--symbols", type=click.IntRange(3, 200), default=3, show_default=True, help="How many.")
@click.option(
    "--speed", type=replaying.Speed(), default="60x", show_default=True, help="max, or a factor of real time."
)
@click.option(
    "--venue", type=click.Choice(VENUES), default="binance_usdm", show_default=True, help="Whose frames it speaks."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="Folder for both."
)
def demo(seed: int, minutes: int, symbols: int, speed: float | None, venue: str, out: Path) -> None:
    """Simulate a market, replay it through the conveyor at 60 times real time, and verify the session bit for bit."""
    from config.schema import Core
    from engine.io.session_reader import SessionReader
    from replay.recording import record
    from replay.simulate import Market, simulate
    from replay.verify import replayed, verify

    journal, session = out / "journal", out / "session"
    clear(out)
    market = Market(seed=seed, minutes=minutes, symbols=symbols, venue=venue)  # type: ignore[arg-type]
    terminal.note(f"simulating {minutes} minutes of {symbols} symbols (seed {seed}); no real market is involved")
    with terminal.progress("simulate", None, "records") as advance:
        record(journal, simulate(market), origin="simulated", core=Core(), symbols=symbols, progress=advance)
    pace = "as fast as it goes" if speed is None else f"at {speed:g} times real time"
    replaying.replay_into(journal, session, speed=speed, show=True, title=f"SIMULATED market · {venue} · {pace}")
    with SessionReader(session) as reader:
        verdict = verify(reader, replayed(reader))
    click.echo(verdict.sentence())
    if verdict.difference:
        raise Stop(Exit.VERIFICATION)
    click.echo(f"try: {sys.argv[0]} sql {session} '{QUERY}'")


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
