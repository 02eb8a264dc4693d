"""Names and numbers: which venue, symbol and connection stands at which index. Grows only by journal records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.core.errors import ConfigError
from engine.core.instruments import Instrument


@dataclass(slots=True)
class Registry:
    """Indices in order of first appearance; everything here can be written as JSON and read back."""

    venues: list[str] = field(default_factory=list)
    instruments: list[Instrument] = field(default_factory=list)  # index = symbol index
    names: list[str] = field(default_factory=list)  # of the instruments
    scales: list[tuple[int, int]] = field(default_factory=list)  # their (price_decimals, quantity_decimals)
    subscriptions: dict[int, list[tuple[str, str]]] = field(default_factory=dict)  # connection -> (channel, symbol)
    _index: dict[tuple[str, str], int] = field(default_factory=dict)  # (venue, symbol) -> symbol index

    def symbol(self, venue: str, name: str) -> int:
        """Index of a symbol; -1 if it is not known."""
        return self._index.get((venue, name), -1)

    def add(self, instrument: Instrument) -> None:
        """Enter a symbol; its index is the next one."""
        self._index[instrument.venue, instrument.symbol] = len(self.instruments)
        self.instruments.append(instrument)
        self.names.append(instrument.symbol)
        self.scales.append((instrument.price_decimals, instrument.quantity_decimals))

    def venue(self, name: str, limit: int) -> int:
        """Index of a venue, entered if it is new."""
        if name not in self.venues:
            if len(self.venues) == limit:
                raise ConfigError(f"venue {name}: limit venues_max = {limit} reached; raise core.limits.venues_max")
            self.venues.append(name)
        return self.venues.index(name)

    def encode(self) -> dict[str, Any]:
        return {
            "venues": self.venues,
            "instruments": [instrument.encode().decode() for instrument in self.instruments],
            "subscriptions": [[c, [list(pair) for pair in pairs]] for c, pairs in self.subscriptions.items()],
        }

    @classmethod
    def decode(cls, data: dict[str, Any]) -> Registry:
        pairs = {c: [(channel, symbol) for channel, symbol in pairs] for c, pairs in data["subscriptions"]}
        registry = cls(list(data["venues"]), subscriptions=pairs)
        for text in data["instruments"]:
            registry.add(Instrument.decode(text.encode()))
        return registry
