"""`exchange`: a venue on this machine, for an engine to connect to."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands import terminal
from engine.core.errors import ConfigError

if TYPE_CHECKING:
    from replay.exchange.source import Source

VENUES = ("hyperliquid", "binance_usdm", "binance_spot")
HOST = "127.0.0.1"
KEEP_MINUTES = 240  # of the truth, for requests
LONGEST_MINUTES = 10_080
NS_PER_S, NS_PER_MINUTE = 1_000_000_000, 60_000_000_000
UNITS_S = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
WARM_UP_NS = 4 * NS_PER_S  # the market's first seconds, in which its books are told

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


class Speed(click.ParamType):
    """A factor of real time such as `60x`."""

    name = "speed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            factor = float(str(value).removesuffix("x"))
        except ValueError:
            factor = 0.0
        if not 0 < factor <= 10_000:
            self.fail(f"{value!r} is no factor of real time such as 60x", param, ctx)
        return factor


class Span(click.ParamType):
    """A time such as `10m`, in seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value))
        if found is None or float(found[1]) == 0:
            self.fail(f"{value!r} is no time such as 90s, 10m or 2h", param, ctx)
        return float(found[1]) * UNITS_S[found[2]]


@click.command(cls=terminal.Verb)
@click.option(
    "--market", default="default", show_default=True, metavar="SCRIPT", help="Script of episodes, `default` or `none`."
)
@click.option("--capture", "captures", multiple=True, type=_file, metavar="FILE", help="Serve recorded frames instead.")
@click.option("--venue", type=click.Choice(VENUES), default="hyperliquid", show_default=True, help="Whose protocol.")
@click.option("--speed", type=Speed(), default="1x", show_default=True, help="Of its clock: a factor of real time.")
@click.option("--symbols", type=click.IntRange(3, 200), default=3, show_default=True, help="How many are simulated.")
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="Another seed, another market.")
@click.option("--activity", type=click.FloatRange(0.05, 20), default=1.0, show_default=True, help="Scale of its rates.")
@click.option("--port", type=click.IntRange(0, 65_535), default=9090, show_default=True, help="0: any that is free.")
@click.option("--faults", type=_file, metavar="PLAN", help="TOML file of what breaks when; docs/exchange.md.")
@click.option("--for", "for_s", type=Span(), help="Stop after this time of its clock.")
def exchange(
    market: str, captures: tuple[Path, ...], venue: str, speed: float, symbols: int, seed: int, activity: float,
    port: int, faults: Path | None, for_s: float | None,
) -> None:  # fmt: skip
    """A local exchange: a venue's own protocol over real sockets, with faults by plan.

    It serves the simulated market or recorded captures. An engine is pointed at it by its addresses and, where time
    passes faster, by its clock. At real speed a simulated market begins now, otherwise on 2025-01-06.
    """
    import uvloop

    from replay.exchange import CALM, Exchange, load_plan
    from replay.exchange.server import ScaledClock, ahead, serve

    plan = load_plan(faults) if faults else CALM
    source = _captured(captures, venue) if captures else _simulated(market, venue, speed, symbols, seed, activity)
    terminal.note(f"{venue}: the market is being opened; " + ("recorded" if captures else "no real market is involved"))
    served = Exchange(source, plan, keep_minutes=KEEP_MINUTES, minutes=ahead(source))
    if speed == 1.0 and not captures:
        served.advance(max(served.now_ns, time.time_ns()))
    clock = ScaledClock(served.now_ns, speed)

    async def run() -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        await serve(served, clock, HOST, port, for_s, stopped, lambda bound: _ready(venue, bound, served.instruments))

    uvloop.run(run())
    hits = served.truth.hits
    terminal.note(f"exchange: stopped; {sum(1 for _ in served.truth.trades())} trades kept, {len(hits)} faults struck")


def _simulated(market: str, venue: str, speed: float, symbols: int, seed: int, activity: float) -> Source:
    from replay.exchange import simulated
    from replay.simulate import Market, read_script

    episodes: Any = market
    if market not in ("default", "none"):
        path = Path(market)
        if not path.is_file():
            raise ConfigError(f"--market {market}: no such file; name a script, `default` or `none`")
        episodes = read_script(path)
    told = Market(seed=seed, minutes=LONGEST_MINUTES, symbols=symbols, activity=activity, episodes=episodes)
    if speed == 1.0:
        # The market begins in the past and is played silently up to now, so that it is alive at once.
        told = replace(told, first_minute_ns=(time.time_ns() - WARM_UP_NS) // NS_PER_MINUTE * NS_PER_MINUTE)
    return simulated(told, venue)


def _captured(captures: tuple[Path, ...], venue: str) -> Source:
    from replay.exchange.captured import captured

    return captured(captures, venue)


def _ready(venue: str, port: int, instruments: list[Any]) -> None:
    """The addresses, as settings of an engine."""
    sockets = "/ws" if venue == "hyperliquid" else "/stream"
    names = ",".join(instrument.symbol for instrument in instruments[:5])
    click.echo(f"serving {len(instruments)} symbols ({names}{',...' if len(instruments) > 5 else ''})")
    click.echo(f"--set venues.{venue}.ws_url=ws://{HOST}:{port}{sockets}")
    click.echo(f"--set venues.{venue}.rest_url=http://{HOST}:{port}")
    click.echo(f"--set time.source=http://{HOST}:{port}")
