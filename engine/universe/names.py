"""Names of candidates: which symbol of which venue stands at which place of the array. Grows, never shrinks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(slots=True)
class Names:
    """Places in order of first appearance; can be written as JSON and read back."""

    names: list[str] = field(default_factory=list)  # by place
    venues: list[int] = field(default_factory=list)  # by place: index of the venue
    _places: dict[tuple[int, str], int] = field(default_factory=dict)
    _orders: dict[int, np.ndarray] = field(default_factory=dict)

    def place(self, venue: int, name: str) -> int:
        """Where a symbol stands; -1 if it was never heard of."""
        return self._places.get((venue, name), -1)

    def add(self, venue: int, name: str) -> int:
        """Enter a new symbol; its place is the next one."""
        place = self._places[venue, name] = len(self.names)
        self.names.append(name)
        self.venues.append(venue)
        self._orders.pop(venue, None)
        return place

    def of(self, venue: int) -> np.ndarray:
        """Places of a venue's candidates by name: the order in which ties are broken."""
        if venue not in self._orders:
            mine = [(name, place) for (v, name), place in self._places.items() if v == venue]
            self._orders[venue] = np.array([place for _, place in sorted(mine)], np.int64)
        return self._orders[venue]

    def encode(self) -> list[list[int | str]]:
        return [[venue, name] for venue, name in zip(self.venues, self.names, strict=True)]

    @classmethod
    def decode(cls, pairs: list[list[int | str]]) -> Names:
        found = cls()
        for venue, name in pairs:
            found.add(int(venue), str(name))
        return found
