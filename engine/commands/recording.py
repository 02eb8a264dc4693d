"""Verbs that make a journal of what is already known: `import` of captures, `simulate` of a market."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands import markets, terminal
from engine.commands.terminal import existing_file
from engine.core.minutes import NS_PER_S

if TYPE_CHECKING:
    from replay.importers import Captures
    from replay.recording import Message, Summary

VENUES = ("binance_usdm", "binance_coinm", "binance_spot", "hyperliquid")  # as in engine.tape.venues, slow to import
SHOWN_MAX = 10  # unreadable lines printed for people; --json has up to a hundred
RECORDS_TOLD = 1024  # between two steps of the progress

out_option = click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="JOURNAL",
    help="Folder to make; it must not exist.",
)


@click.command("import", cls=terminal.Verb)
@click.option("--venue", required=True, type=click.Choice(VENUES), help="Where the captures were taken.")
@out_option
@click.option(
    "--instruments",
    type=existing_file,
    metavar="FILE",
    help="Scales as the venue tells them: JSON lines or a list.",
)
@click.argument("captures", nargs=-1, required=True, type=existing_file, metavar="CAPTURE...")
@terminal.settings_options("replay")
@terminal.json_option
def import_captures(
    venue: str, out: Path, instruments: Path | None, captures: tuple[Path, ...], profile: str, files: tuple[str, ...],
    sets: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Make a journal of raw captures: gz or plain lines, `<receive ns> <raw message>`.

    Files of one venue and symbol that follow each other in time are one connection. Scales that no --instruments file
    tells are taken from what is printed in the captures, and marked as assumed.
    """
    from replay.importers import Captures
    from replay.instrument_file import read_instruments
    from replay.recording import must_be_new, record

    config = terminal.settings(profile, files, sets).config
    must_be_new(out)
    told = read_instruments(instruments, venue) if instruments else []
    begun_s = time.monotonic()
    size = sum(path.stat().st_size for path in captures)
    with terminal.progress("survey", size, "bytes") as advance:
        found = Captures(captures, venue, told, advance)
    with terminal.progress("import", size, "bytes") as advance:
        found.advance = advance
        summary = record(
            out, found, origin="imported", core=config.core, symbols=len(found.symbols),
            connections=len(found.connections), settings=config.journal,
        )  # fmt: skip
    _tell_trouble(found, summary)
    if as_json:
        terminal.emit(_answer(out, summary, venue, found.symbols, begun_s) | _import_answer(found))
    else:
        click.echo(_sentence(f"imported {venue}", out, summary, found.symbols))


@click.command(cls=terminal.Verb)
@markets.seed_option
@click.option("--minutes", type=click.IntRange(1), default=10, show_default=True, help="Full minutes that close.")
@markets.symbols_option
@markets.activity_option
@markets.begin_option
@click.option(
    "--script", default="default", show_default=True, metavar="FILE",
    help="Episodes to play (TOML), `default` or `none`.",
)  # fmt: skip
@click.option(
    "--venue", type=click.Choice(markets.VENUES), default=markets.VENUES[0], show_default=True,
    help="Whose frames are printed.",
)  # fmt: skip
@out_option
@terminal.settings_options("replay")
@terminal.json_option
def simulate(
    seed: int, minutes: int, symbols: int, activity: float, begin_ns: int | None, script: str, venue: str, out: Path,
    profile: str, files: tuple[str, ...], sets: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Make a journal of a simulated market: no price, size or time in it was ever recorded.

    Equal options give equal journals. `conveyor exchange --after` goes on with the same market, for a run that begins
    with what it taught (`run --prime`).
    """
    from replay import simulate as market_of
    from replay.recording import must_be_new, record

    config = terminal.settings(profile, files, sets).config
    must_be_new(out)
    chosen: dict[str, Any] = {"venue": venue, "episodes": markets.episodes_of(script, "--script")}
    if begin_ns is not None:
        chosen["first_minute_ns"] = begin_ns
    market = market_of.Market(seed=seed, minutes=minutes, symbols=symbols, activity=activity, **chosen)
    labels = market_of.labels(market)
    begun_s = time.monotonic()
    with terminal.progress("simulate", (market.end_ns - market.start_ns) / NS_PER_S, "s") as advance:
        summary = record(
            out, _timed(market_of.simulate(market), advance), origin="simulated", core=config.core, symbols=symbols,
            connections=1, settings=config.journal,
        )  # fmt: skip
    if as_json:
        answer = _answer(out, summary, venue, [], begun_s) | {"symbols": symbols, "seed": seed, "minutes": minutes}
        terminal.emit(answer | {"model_version": market_of.VERSION, "episodes": [_label(label) for label in labels]})
    else:
        click.echo(_sentence(f"simulated market, seed {seed}, {venue}", out, summary, [f"{symbols} symbols"]))


def _timed(records: Iterator[Message], advance: terminal.Advance) -> Iterator[Message]:
    """The same records; `advance` is told the seconds of simulated time as they pass."""
    told_ns = 0
    for count, message in enumerate(records):
        if count % RECORDS_TOLD == 0:
            advance((message[0] - told_ns) / NS_PER_S if told_ns else 0)
            told_ns = message[0]
        yield message
    advance((message[0] - told_ns) / NS_PER_S)


def _label(label: Any) -> dict[str, Any]:
    return {name: getattr(label, name) for name in label.__dataclass_fields__}


def _answer(out: Path, summary: Summary, venue: str, symbols: Sequence[str], begun_s: float) -> dict[str, Any]:
    seconds = time.monotonic() - begun_s
    return {
        "journal": str(out),
        "origin": summary.origin,
        "venue": venue,
        "symbols": list(symbols),
        "records": summary.records,
        "kinds": summary.kinds,
        "clamped": summary.clamped,
        "first_recv_ns": summary.first_recv_ns,
        "last_recv_ns": summary.last_recv_ns,
        "stored_bytes": summary.stored_bytes,
        "core_digest": summary.core.digest(),
        "seconds": round(seconds, 3),
        "records_per_s": round(summary.records / seconds) if seconds else None,
    }


def _import_answer(found: Captures) -> dict[str, Any]:
    from dataclasses import asdict

    lines = [asdict(line) for line in found.unreadable.first]
    return {
        "connections": [
            {"source": connection.source, "files": [file.path.name for file in connection.files],
             "channels": [list(pair) for pair in connection.channels]}
            for connection in found.connections
        ],
        "instruments": [asdict(instrument) for instrument in found.instruments],
        "ignored": found.ignored,
        "unreadable": {"count": found.unreadable.count, "first": lines},
    }  # fmt: skip


def _tell_trouble(found: Captures, summary: Summary) -> None:
    """What an operator must not have to look for: lines left out, times changed."""
    unreadable = found.unreadable
    for line in unreadable.first[:SHOWN_MAX]:
        terminal.note(f"not read: {line.sentence()}")
    if unreadable.count > SHOWN_MAX:
        terminal.note(f"not read: {unreadable.count} in all; --json names the first {len(unreadable.first)}")
    if summary.clamped:
        terminal.note(f"{summary.clamped} receive times ran backwards and were set to the newest one before them")
    if assumed := [instrument.symbol for instrument in found.instruments if instrument.assumed]:
        terminal.note(f"scales assumed for {', '.join(assumed[:5])}{' and others' if len(assumed) > 5 else ''}")


def _sentence(what: str, out: Path, summary: Summary, symbols: Sequence[str]) -> str:
    begin, end = (
        time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ns // NS_PER_S))
        for ns in (summary.first_recv_ns, summary.last_recv_ns)
    )
    named = ", ".join(symbols[:5]) + (f" and {len(symbols) - 5} others" if len(symbols) > 5 else "")
    return (
        f"{what}: {summary.records:,} records of {named}, {begin} to {end} UTC, "
        f"{summary.stored_bytes / 2**20:,.1f} MiB in {out}"
    )
