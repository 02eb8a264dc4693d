"""Minutes as they close, for people: a live table on a terminal, one line a row otherwise."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from types import TracebackType
from typing import Any

import click

from engine.core.effects import Effect, MinuteRows
from engine.core.minutes import label
from engine.core.schema import NULL, Reason, Status, reason_names

HEADINGS = ("close (UTC)", "symbol", "open", "high", "low", "close", "volume", "trades", "spread bp", "status", "why")
SHOWN_ROWS = 18
COLOURS = {"ok": "green", "partial": "yellow", "stale": "red"}
UNREMARKABLE = Reason.FEED_ABSENT  # true of every row where an optional channel is not configured


class MinuteTable:
    """A sink that shows. title: what a reader must know first, such as that the market is simulated."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.rows: deque[tuple[str, ...]] = deque(maxlen=SHOWN_ROWS)
        self.counts = dict.fromkeys((status.name.lower() for status in Status), 0)
        self._live: Any = None

    def __enter__(self) -> MinuteTable:
        if sys.stdout.isatty():
            from rich.live import Live

            self._live = Live(self._drawn(), refresh_per_second=8)
            self._live.__enter__()
        else:
            click.echo(self.title)
            click.echo("\t".join(HEADINGS))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.update(self._drawn())
            self._live.__exit__(kind, error, trace)

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, MinuteRows):
                self._add(effect)
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

    def _drawn(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        drawn = Table(title=Text(self.title), title_justify="left", caption=self._caption(), caption_justify="left")
        for heading in HEADINGS:
            drawn.add_column(
                heading, justify="left" if heading in ("close (UTC)", "symbol", "status", "why") else "right"
            )
        for cells in self.rows:
            drawn.add_row(*cells[:-2], Text(cells[-2], style=COLOURS[cells[-2]]), Text(cells[-1], overflow="fold"))
        return drawn

    def _caption(self) -> str:
        return "   ".join(f"{status} {count}" for status, count in self.counts.items())


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
