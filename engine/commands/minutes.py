"""Minutes as they close, for people: a live table on a terminal, one line a row otherwise."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from types import TracebackType
from typing import Any

import click

from engine.commands import terminal
from engine.commands.event_words import clock, sentence
from engine.core.effects import Effect, Event, MinuteRows
from engine.core.minutes import label
from engine.core.schema import NULL, Reason, Status, reason_names

HEADINGS = ("close (UTC)", "symbol", "open", "high", "low", "close", "volume", "trades", "spread bp", "status", "why")
LEFT = {"close (UTC)", "symbol", "status", "why"}
WIDE_ONLY = {"open", "high", "low"}  # a narrower terminal shows the time without its date, and no more than the close
WIDE = 110
SHOWN_ROWS, SHOWN_EVENTS = 18, 3
OTHER_LINES = 7  # of the screen: title, heading, counts, empty ones, the prompt
COLOURS = {"ok": "green", "partial": "yellow", "stale": "red"}
UNREMARKABLE = Reason.FEED_ABSENT  # true of every row where an optional channel is not configured
TOLD = {
    "connection_up", "connection_down", "stream_silent", "stream_back", "stream_refused", "gap", "book_gap",
    "candle_mismatch", "late_trades", "clock_step", "loop_stall", "journal_full", "journal_has_room", "links_paused",
    "links_resumed", "conveyor_stopped", "feed_crashed", "universe", "load", "detectors_deferred", "command",
    "command_refused", "store_trouble", "store_recovered",
}  # fmt: skip


class MinuteTable:
    """A sink that shows. title: what a reader must know first, such as that the market is simulated.

    events: whether connections, gaps and the like are told too: below the table, or as lines on stderr.
    """

    def __init__(self, title: str, events: bool = False) -> None:
        self.title, self._events_told = title, events
        self.rows: deque[tuple[str, ...]] = deque(maxlen=SHOWN_ROWS)
        self.events: deque[str] = deque(maxlen=SHOWN_EVENTS)
        self.counts = dict.fromkeys((status.name.lower() for status in Status), 0)
        self._begun = False
        self._live: Any = None

    def __enter__(self) -> MinuteTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.update(self._drawn())
            self._live.__exit__(kind, error, trace)
            self._live = None

    def _begin(self) -> None:
        """At the first effect: a run that cannot start shows its sentence and no empty table."""
        self._begun = True
        if sys.stdout.isatty():
            from rich.console import Console
            from rich.live import Live

            self._console = Console(file=sys.stdout)
            self._live = Live(self._drawn(), console=self._console, refresh_per_second=8)
            self._live.__enter__()
        else:
            click.echo(self.title)
            click.echo("\t".join(HEADINGS))

    def perform(self, effects: Iterable[Effect]) -> None:
        if not self._begun:
            self._begin()
        for effect in effects:
            if isinstance(effect, MinuteRows):
                self._add(effect)
            elif isinstance(effect, Event) and self._events_told and effect.kind in TOLD:
                self._tell(effect)
        if self._live:
            self._live.update(self._drawn())

    def close(self) -> None:
        """Nothing to keep."""

    def _add(self, minute: MinuteRows) -> None:
        for symbol, (price_decimals, quantity_decimals), row in zip(
            minute.symbols, minute.scales, minute.rows, strict=True
        ):
            cells = cells_of(minute, symbol, price_decimals, quantity_decimals, row)
            self.counts[cells[-2]] += 1
            self.rows.append(cells)
            if not self._live:
                click.echo("\t".join(cells))

    def _tell(self, event: Event) -> None:
        line = event_line(event)
        self.events.append(line)
        if not self._live:
            terminal.note(line)

    def _drawn(self) -> Any:
        """One line a row, whatever the width: what does not fit is left out, never wrapped."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        wide = self._console.width >= WIDE
        drawn = Table(
            title=Text(self.title, overflow="ellipsis", no_wrap=True), title_justify="left", box=None, padding=(0, 1),
            pad_edge=False, header_style="bold",
        )  # fmt: skip
        places = [place for place, heading in enumerate(HEADINGS) if wide or heading not in WIDE_ONLY]
        room = max(3, self._console.height - OTHER_LINES - len(self.events))
        shown = [[terminal.printable(cells[place]) for place in places] for cells in list(self.rows)[-room:]]
        for cells in shown:
            cells[0] = cells[0] if wide else cells[0].partition(" ")[2]
        widths = [max(map(len, column)) for column in zip([HEADINGS[place] for place in places], *shown, strict=True)]
        rest = max(3, self._console.width - sum(widths[:-1]) - 2 * len(places))
        for place, width in zip(places, [*widths[:-1], min(widths[-1], rest)], strict=True):
            heading = HEADINGS[place]
            drawn.add_column(
                heading, justify="left" if heading in LEFT else "right", no_wrap=True, overflow="ellipsis",
                min_width=width, max_width=width,
            )  # fmt: skip
        for cells in shown:
            status = Text(cells[-2], style=COLOURS[cells[-2]])
            drawn.add_row(*map(Text, cells[:-2]), status, Text(cells[-1]))
        counts = "   ".join(f"{status} {count}" for status, count in self.counts.items())
        events = [
            Text(terminal.printable(line), style="dim", no_wrap=True, overflow="ellipsis") for line in self.events
        ]
        return Group(drawn, Text(counts, style="italic"), *events)


def event_line(event: Event) -> str:
    """`12:03:07 connection_down hyperliquid: connection 1, reason closed by the venue`."""
    return f"{clock(event.at_ns)} {sentence(event.kind, event.venue, event.symbol, event.detail)}"


def cells_of(minute: MinuteRows, symbol: str, price_decimals: int, quantity_decimals: int, row: Any) -> tuple[str, ...]:
    """One row as text, in the order of HEADINGS. A revision shows its number behind the time."""
    prices = [price(int(row[name]), price_decimals) for name in ("open", "high", "low", "close")]
    spread = float(row["spread_bp_mean"])
    return (
        label(minute.minute) + (f" r{minute.revision}" if minute.revision else ""),
        symbol,
        *prices,
        decimal(int(row["base_volume"]), quantity_decimals),
        str(int(row["trade_count"])),
        f"{spread:.2f}" if spread == spread else "",
        Status(int(row["dq_status"])).name.lower(),
        " ".join(reason_names(int(row["dq_reasons"]) & ~UNREMARKABLE)),
    )


def price(mantissa: int, decimals: int) -> str:
    """A price at the instrument's decimals, so that they stand one below the other; a mid may need one more."""
    if mantissa == NULL:
        return ""
    whole, odd = divmod(mantissa, 10)
    return f"{Decimal(mantissa).scaleb(-decimals - 1):f}" if odd else f"{Decimal(whole).scaleb(-decimals):f}"


def decimal(mantissa: int, scale: int) -> str:
    """A mantissa at its scale without trailing zeros; nothing for a null."""
    if mantissa == NULL:
        return ""
    text = f"{Decimal(mantissa).scaleb(-scale):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
