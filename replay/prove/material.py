"""The journals of a proof when none is named: a simulated hour of each venue, and every capture at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.material import VENUES_OF_FILES, capture_folder, captures
from config.schema import Core
from replay.importers import Captures
from replay.recording import record
from replay.simulate import Market, simulate
from replay.simulate.market import VENUES

SEED, MINUTES, SYMBOLS = 7, 60, 3


@dataclass(frozen=True, slots=True)
class Journal:
    """name: what it was made of, as a person calls it."""

    name: str
    folder: Path


def at_hand(folder: Path, told: Path | None, note: Callable[[str], None], minutes: int = MINUTES) -> list[Journal]:
    """Journals written into `folder`. told: where captures lie, None to look for them; note: told what is made."""
    made = []
    for venue in VENUES:
        name = f"simulated {venue}"
        note(f"making {name}, {minutes} minutes of {SYMBOLS} symbols")
        market = Market(seed=SEED, minutes=minutes, symbols=SYMBOLS, venue=venue)  # type: ignore[arg-type]
        made.append(Journal(name, folder / f"simulated_{venue}"))
        record(made[-1].folder, simulate(market), origin="simulated", core=Core(), symbols=SYMBOLS)
    where = capture_folder(told)
    if where is None:
        note("no captures at hand: name their folder with --captures")
    for name, venue, paths in captures(where) if where else []:
        title = f"recorded {name if name.partition('_')[0] in VENUES_OF_FILES else f'{venue} {name}'}"
        note(f"importing {title}")
        found = Captures(paths, venue)
        made.append(Journal(title, folder / f"{venue}_{name}"))
        record(
            made[-1].folder, found, origin="imported", core=Core(), symbols=len(found.symbols),
            connections=len(found.connections),
        )  # fmt: skip
    return made
