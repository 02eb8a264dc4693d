"""What `simulate` and `exchange` have in common: options that say which simulated market it is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from engine.core.errors import ConfigError
from engine.core.minutes import NS_PER_S

if TYPE_CHECKING:
    from replay.simulate import Episode


VENUES = ("hyperliquid", "binance_usdm")  # as in replay.simulate.market, slow to import


class Minute(click.ParamType):
    """`2025-01-06T12:00`, UTC: ns of the whole minute."""

    name = "minute"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).removesuffix("Z")
        try:
            at_s = int(datetime.strptime(text, "%Y-%m-%dT%H:%M").replace(tzinfo=UTC).timestamp())
        except ValueError:
            at_s = 0
        if at_s <= 0:
            self.fail(f"{value!r} is no minute such as 2025-01-06T12:00 (UTC)", param, ctx)
        return at_s * NS_PER_S


begin_option = click.option(
    "--begin", "begin_ns", type=Minute(), metavar="TIME",
    help="Its first full minute, UTC: 2025-01-06T12:00 if left out.",
)  # fmt: skip
seed_option = click.option(
    "--seed", type=click.IntRange(0), default=7, show_default=True, help="Another seed, another market."
)
symbols_option = click.option(
    "--symbols", type=click.IntRange(3, 200), default=3, show_default=True, help="How many are traded."
)
activity_option = click.option(
    "--activity", type=click.FloatRange(0.05, 20), default=1.0, show_default=True,
    help="Scale of how often it trades and quotes.",
)  # fmt: skip


def episodes_of(script: str, option: str) -> tuple[Episode, ...] | Literal["default", "none"]:
    """What a market takes as episodes. script: `default`, `none` or a file. Raises ConfigError."""
    if script == "default":
        return "default"
    if script == "none":
        return "none"
    if not Path(script).is_file():
        raise ConfigError(f"{option} {script}: no such file; name a script, `default` or `none`")
    from replay.simulate import read_script

    return read_script(Path(script))
