"""`run` and `record`: the live engine, from the settings to the last sentence."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands import terminal
from engine.commands.replay import compile_kernels, rows_told, table_of
from engine.commands.terminal import Exit, Stop

if TYPE_CHECKING:
    from config.schema import Config
    from engine.app import App
    from engine.core.effects import Effect
    from engine.core.ports import Sink

MODES = ("dry-run", "shadow", "canary", "production", "replay")
VENUES = ("hyperliquid", "binance_usdm", "binance_spot")
GIL_S = 0.0005  # a thread may keep the interpreter from the loop; by default ten times as long


def live_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What `run` and `record` have in common; the settings follow."""
    for option in (
        terminal.json_option,
        terminal.settings_options(),
        click.option("--out", "session", type=click.Path(path_type=Path), metavar="SESSION",
                     help="Folder to write; an earlier one is continued. Default: sessions/<start>."),
        click.option("--for", "span_s", type=terminal.Span(), metavar="TIME",
                     help="End after this time: 90s, 15m, 1h, 2d."),
        click.option("--symbols", metavar="A,B,C", help="Symbols of that venue, as it writes them."),
        click.option("--venue", type=click.Choice(VENUES), help="A venue to connect to, as in the settings."),
    ):  # fmt: skip
        function = option(function)
    return function


@click.command(cls=terminal.Verb)
@click.option("--mode", type=click.Choice(MODES), help="How far signals may go; a start never promotes.")
@click.option("--prime", "earlier", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="JOURNAL",
              help="Begin with the baselines and windows that this earlier journal, or session, taught.")  # fmt: skip
@live_options
def run(
    earlier: Path | None, mode: str | None, venue: str | None, symbols: str | None, span_s: float | None,
    session: Path | None, profile: str, files: tuple[str, ...], sets: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Run the engine on live feeds: minute rows as they close, everything journaled first.

    SESSION is continued if it is there. Ctrl-C ends the run cleanly, a second one at once.
    """
    from engine.modes import live_mode

    config = configured(mode or profile, mode, venue, symbols, files, sets)
    live_mode(config.run.mode)
    session = session or new_session()
    compile_kernels()
    showing = None if as_json else table_of(title(config, session), events=True)
    with showing or nullcontext():
        app = live(config, session, span_s, sinks=[Watched(showing)] if showing else [], earlier=earlier)
    assert app.session is not None
    summary = {
        "session": str(session), "origin": app.origin, "counts": app.session.counts, "chain": app.session.chain,
        "records": app.records,
    }  # fmt: skip
    if as_json:
        terminal.emit(summary)
    else:
        click.echo(sentence(summary))


@click.command(cls=terminal.Verb)
@live_options
def record(
    venue: str | None, symbols: str | None, span_s: float | None, session: Path | None, profile: str,
    files: tuple[str, ...], sets: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Only journal live feeds, into SESSION/journal; `conveyor replay` makes the minutes of it at any time."""
    config = configured(profile, None, venue, symbols, files, sets)
    session = session or new_session()
    app = live(config, session, span_s, journal_only=True)
    if as_json:
        terminal.emit({"journal": str(app.journal_folder), "records": app.records})
    else:
        replayed = f"{sys.argv[0]} replay {app.journal_folder} --out {session}-replay"
        click.echo(f"recorded: {app.records} records in {app.journal_folder}; minutes: {replayed}")


def configured(
    profile: str, mode: str | None, venue: str | None, symbols: str | None, files: tuple[str, ...],
    sets: tuple[str, ...],
) -> Config:  # fmt: skip
    """The settings of a live run; --venue and --symbols are short for --set. ConfigError if nothing is wanted."""
    from config.errors import ConfigError

    if symbols and not venue:
        raise click.UsageError("--symbols needs --venue: write for example --venue hyperliquid --symbols BTC,ETH")
    short = [f"run.mode={mode}"] if mode else []
    if venue:
        short += [f"venues.{venue}.enabled=true"] + ([f"venues.{venue}.symbols={symbols}"] if symbols else [])
    config: Config = terminal.settings(profile, files, [*sets, *short]).config
    enabled = [name for name in VENUES if getattr(config.venues, name).enabled]
    if not enabled:
        raise ConfigError("no venue is enabled; name one, as in --venue hyperliquid --symbols BTC,ETH")
    for name in enabled:
        chosen = config.core.universe.base_symbols or any(
            pin.startswith(f"{name}:") for pin in config.core.universe.pins
        )
        if not getattr(config.venues, name).symbols and not chosen:
            raise ConfigError(f"venues.{name}.symbols is empty; name symbols, as in --venue {name} --symbols BTC,ETH")
    return config


def new_session() -> Path:
    """A folder of its own for every start: `sessions/2026-01-31T09-30-00`, in UTC."""
    return Path("sessions") / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S")


def title(config: Config, session: Path) -> str:
    carried = "; ".join(
        f"{name} {' '.join(getattr(config.venues, name).symbols)}".rstrip()
        for name in VENUES if getattr(config.venues, name).enabled
    )  # fmt: skip
    what = "LIVE" if config.time.source == "host" else "LOCAL EXCHANGE, no real market"
    return f"{what} · {carried} · {session}"


def sentence(summary: dict[str, Any]) -> str:
    label = "" if summary["origin"] == "live" else " (local exchange)"
    return (
        f"session{label}: {rows_told(summary['counts'])}, {summary['records']} records; "
        f"digest {summary['chain'] or 'none: no minute closed'}; prove it: {sys.argv[0]} verify {summary['session']}"
    )


def live(
    config: Config, session: Path, span_s: float | None, *, sinks: list[Sink] | None = None, journal_only: bool = False,
    earlier: Path | None = None,
) -> App:  # fmt: skip
    """Run the engine in this process until it ends; the app as it stood then.

    Stop with exit code 3 if a venue cannot be reached at the start.
    """
    from engine.core.errors import ConfigError, FeedError

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(_live(config, session, span_s, sinks or [], journal_only, earlier))
        except ConfigError as error:
            if isinstance(error.__cause__, FeedError):
                raise Stop(Exit.UNREACHABLE, f"error: {error}") from None
            raise


async def _live(
    config: Config, session: Path, span_s: float | None, sinks: list[Sink], journal_only: bool, earlier: Path | None
) -> App:  # fmt: skip
    import random

    from engine.app import App
    from engine.io.clock import open_clock
    from engine.io.feeds.http import AiohttpHttp
    from engine.io.feeds.sockets import Sockets

    sys.setswitchinterval(GIL_S)
    http = AiohttpHttp()
    apps: list[App] = []

    def on_step(step_ms: int) -> None:
        for app in apps:
            app.tell("clock_step", step_ms=step_ms)

    keeping = None
    try:
        clock, reference_ns = await open_clock(config.time.source, config.time.step_ms_max, http, on_step)
        keeping = asyncio.create_task(clock.keep(reference_ns), name="clock")
        app = App(
            config, journal_folder=session / "journal", session_folder=None if journal_only else session,
            clock=clock, transport=Sockets(clock, config.feeds.coalesce_ms), http=http, rng=random.Random(),
            sinks=sinks, journal_only=journal_only, note=terminal.note, earlier=earlier,
        )  # fmt: skip
        apps.append(app)
        _obey_signals(app)
        await app.run(for_s=span_s)
        return app
    finally:
        if keeping:
            keeping.cancel()
        await http.close()


class Watched:
    """A sink that a person looks at. Once nobody reads it (`| head`, a `tee` that died) the run goes on without it."""

    def __init__(self, sink: Sink) -> None:
        self._sink: Sink | None = sink

    def perform(self, effects: Iterable[Effect]) -> None:
        if self._sink:
            try:
                self._sink.perform(effects)
            except OSError as error:
                self._sink = None
                terminal.note(f"minutes are no longer shown: {error.strerror}; the run goes on")

    def close(self) -> None:
        """Nothing to keep."""


def _obey_signals(app: App) -> None:
    """The first Ctrl-C or SIGTERM ends the run cleanly; the second ends the process: the next start recovers."""
    loop = asyncio.get_running_loop()
    asked: list[str] = []

    def ask(name: str) -> None:
        asked.append(name)
        if len(asked) > 1:
            terminal.note("\naborted; what was durable is in the journal")  # behind a table that is being drawn
            os._exit(Exit.INTERRUPTED)
        terminal.note(f"{name}: stopping; once more to abort")
        app.stop(name)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask, number.name)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # it is not made for every system
        return None
    return uvloop.new_event_loop
