"""`exchange`: a venue on this machine, for an engine to connect to."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands import markets, terminal
from engine.commands.terminal import existing_file
from engine.core.errors import ConfigError
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S

if TYPE_CHECKING:
    from replay.exchange import Exchange
    from replay.exchange.source import Source

VENUES = ("hyperliquid", "binance_usdm", "binance_spot")  # as in replay.exchange.protocols, slow to import
HOST = "127.0.0.1"
KEEP_MINUTES = 240  # of the truth, for requests
LONGEST_MINUTES = 10_080
S_PER_MINUTE = 60
WARM_UP_NS = 4 * NS_PER_S  # the market's first seconds, in which its books are told


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


@click.command(cls=terminal.Verb)
@click.option(
    "--market", default="default", show_default=True, metavar="SCRIPT", help="Script of episodes, `default` or `none`."
)
@click.option(
    "--capture",
    "captures",
    multiple=True,
    type=existing_file,
    metavar="FILE",
    help="Serve recorded frames instead.",
)
@click.option("--venue", type=click.Choice(VENUES), default="hyperliquid", show_default=True, help="Whose protocol.")
@click.option("--speed", type=Speed(), default="1x", show_default=True, help="Of its clock: a factor of real time.")
@markets.seed_option
@markets.symbols_option
@markets.activity_option
@markets.begin_option
@click.option("--after", "after_s", type=terminal.Span(), metavar="TIME", help="Open when so much of it has passed.")
@click.option("--port", type=click.IntRange(0, 65_535), default=9090, show_default=True, help="0: any that is free.")
@click.option("--faults", type=existing_file, metavar="PLAN", help="TOML file of what breaks when; docs/exchange.md.")
@click.option("--for", "for_s", type=terminal.Span(), metavar="TIME", help="Stop after this time of its clock.")
def exchange(
    market: str, captures: tuple[Path, ...], venue: str, speed: float, symbols: int, seed: int, activity: float,
    begin_ns: int | None, after_s: float | None, port: int, faults: Path | None, for_s: float | None,
) -> None:  # fmt: skip
    """A local exchange: a venue's own protocol over real sockets, with faults by plan.

    It serves the simulated market or recorded captures. An engine is pointed at it by its addresses and, where time
    passes faster, by its clock. At real speed a simulated market opens now, otherwise at --begin.

    With --after TIME it goes on where `conveyor simulate --script none`, with the same options and as many --minutes,
    has ended: what passed is played at once, and minutes of SCRIPT and PLAN are counted from the opening.
    """
    import uvloop

    from replay.exchange import CALM, Exchange, load_plan
    from replay.exchange.server import ScaledClock, ahead, serve
    from replay.simulate.market import LEAD_OUT_NS

    plan = load_plan(faults) if faults else CALM
    if captures and (begin_ns or after_s):
        raise click.UsageError("--begin and --after are of a simulated market; a capture has times of its own")
    if speed == 1.0 and after_s:
        raise click.UsageError("at real speed the market opens now; say with --begin when it began")
    first_ns, history_minutes = _history(speed, begin_ns, after_s)
    source = (
        _captured(captures, venue) if captures
        else _simulated(market, venue, seed, symbols, activity, first_ns, history_minutes)
    )  # fmt: skip
    terminal.note(f"{venue}: the market is being opened; " + ("recorded" if captures else "no real market is involved"))
    served = Exchange(source, plan, keep_minutes=KEEP_MINUTES, minutes=ahead(source))
    if speed == 1.0 and not captures:
        _play(served, time.time_ns)
    elif history_minutes:
        _play(served, lambda: first_ns + LEAD_OUT_NS)  # as far as the journal of such a history goes
    clock = ScaledClock(served.now_ns, speed)

    async def run() -> None:
        stopped = terminal.asked_to_stop()
        await serve(served, clock, HOST, port, for_s, stopped, lambda bound: _ready(venue, bound, served.instruments))

    uvloop.run(run())
    hits = served.truth.hits
    terminal.note(f"exchange: stopped; {sum(1 for _ in served.truth.trades())} trades kept, {len(hits)} faults struck")


def _history(speed: float, begin_ns: int | None, after_s: float | None) -> tuple[int, int]:
    """(where the minutes of its script begin in ns UTC, whole minutes of the market before that)."""
    from replay.simulate.market import FIRST_MINUTE_NS

    if speed == 1.0:
        # The market begins in the past and is played silently up to now, so that it is alive at once.
        first_ns = (time.time_ns() - WARM_UP_NS) // NS_PER_MINUTE * NS_PER_MINUTE
        minutes = (first_ns - begin_ns) // NS_PER_MINUTE if begin_ns else 0
    else:
        minutes = int(after_s or 0) // S_PER_MINUTE
        first_ns = (begin_ns or FIRST_MINUTE_NS) + minutes * NS_PER_MINUTE
    if not 0 <= minutes < LONGEST_MINUTES:
        raise ConfigError(
            f"exchange: {minutes} minutes of the market would have passed, expected 0 to {LONGEST_MINUTES - 1}; "
            "give another --begin or --after"
        )
    return first_ns, minutes


def _simulated(
    market: str, venue: str, seed: int, symbols: int, activity: float, first_ns: int, history_minutes: int
) -> Source:
    from replay.exchange import simulated
    from replay.simulate import Market

    told = Market(
        seed=seed, minutes=LONGEST_MINUTES - history_minutes, symbols=symbols, activity=activity,
        episodes=markets.episodes_of(market, "--market"), first_minute_ns=first_ns,
    )  # fmt: skip
    return simulated(told, venue, history_minutes)


def _play(served: Exchange, until_ns: Callable[[], int]) -> None:
    """Silently up to a time, which may go on meanwhile."""
    with terminal.progress("open", (until_ns() - served.now_ns) / NS_PER_MINUTE, "minutes") as advance:
        while (left_ns := until_ns() - served.now_ns) > 0:
            step_ns = min(left_ns, NS_PER_MINUTE)
            served.advance(served.now_ns + step_ns)
            advance(step_ns / NS_PER_MINUTE)
            if left_ns < NS_PER_S:
                break


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
