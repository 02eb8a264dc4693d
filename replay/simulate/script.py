"""The script of a simulated session: which episode happens when, to whom and how strongly."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.core.errors import ConfigError

MARKET_WIDE = "*"
KINDS = (
    "spike",
    "squeeze",
    "cascade",
    "depth_vacuum",
    "sweep_stall",
    "absorption",
    "spread_stress",
    "thin_print",
    "basis_jolt",
    "funding_jolt",
    "basket_shock",
    "gap",
)
MARKET_KINDS = ("basket_shock", "gap")
FOOTPRINT_S = 60  # an episode and its decoy look alike for one minute
FOLLOW_S = 300  # what only a true one does afterwards
SIGMA_RANGE = (1.0, 6.0)


@dataclass(frozen=True, slots=True)
class Episode:
    """One line of a script.

    minute: index of the full minute, from 0, that holds the footprint. sigma: strength in standard deviations of the
    symbol's one-minute return. direction: +1 or -1, where the footprint pushes. decoy: same footprint, nothing after.
    """

    kind: str
    symbol: str
    minute: int
    sigma: float
    direction: int = 1
    decoy: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"episode: kind is {self.kind!r}, expected one of {', '.join(KINDS)}; correct the script")
        if (self.kind in MARKET_KINDS) != (self.symbol == MARKET_WIDE):
            raise ConfigError(
                f"episode {self.kind}: symbol is {self.symbol!r}; only {' and '.join(MARKET_KINDS)} take '*'"
            )
        if not SIGMA_RANGE[0] <= self.sigma <= SIGMA_RANGE[1]:
            raise ConfigError(f"episode {self.kind}: sigma is {self.sigma!r}, expected 1 to 6; correct the script")
        if self.minute < 0 or self.direction not in (-1, 1):
            raise ConfigError(
                f"episode {self.kind}: minute {self.minute}, direction {self.direction}; expected >= 0 and 1 or -1"
            )


_FIELDS: dict[str, Any] = {
    "kind": str,
    "symbol": str,
    "minute": int,
    "sigma": (int, float),
    "direction": str,
    "decoy": bool,
}
_REQUIRED = ("kind", "symbol", "minute", "sigma")


def read_script(path: Path) -> tuple[Episode, ...]:
    """Episodes of a TOML file; the format stands in docs/simulated_market.md."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"script {path.name}: cannot be read as TOML ({error}); correct the file") from error
    unknown = sorted(set(tables) - {"episode"})
    if unknown or not isinstance(tables.get("episode", []), list):
        raise ConfigError(
            f"script {path.name}: found {', '.join(unknown) or 'a single table'}, expected only [[episode]] tables"
        )
    return tuple(_episode(path.name, number, table) for number, table in enumerate(tables.get("episode", []), 1))


def _episode(name: str, number: int, table: dict[str, Any]) -> Episode:
    place = f"script {name}, episode {number}"
    for key, value in table.items():
        if key not in _FIELDS:
            raise ConfigError(f"{place}: unknown key {key!r}, expected {', '.join(_FIELDS)}")
        if not isinstance(value, _FIELDS[key]) or (isinstance(value, bool) and key != "decoy"):
            raise ConfigError(f"{place}: {key} is {value!r}, which has the wrong type")
    missing = [key for key in _REQUIRED if key not in table]
    if missing:
        raise ConfigError(f"{place}: {', '.join(missing)} missing")
    direction = table.get("direction", "up")
    if direction not in ("up", "down"):
        raise ConfigError(f'{place}: direction is {direction!r}, expected "up" or "down"')
    up = 1 if direction == "up" else -1
    return Episode(
        table["kind"], table["symbol"], table["minute"], float(table["sigma"]), up, table.get("decoy", False)
    )
