"""`conveyor detectors`: what is looked for, one of them in full, a new one, and whether they keep their contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from engine.commands import terminal
from engine.commands.terminal import Exit, Stop

if TYPE_CHECKING:
    from engine.core.detector import Detector


@click.group(cls=terminal.Family)
def detectors() -> None:
    """Detectors: what is looked for in every closed minute. docs/detectors.md has all of them."""


@detectors.command(name="list")
@terminal.settings_options("replay")
@terminal.json_option
def list_(profile: str, files: tuple[str, ...], sets: tuple[str, ...], as_json: bool) -> None:
    """List every detector, as the settings have it."""
    pack = _pack(profile, files, sets)
    lines = [_line(place, pack) for place in range(len(pack.table))]
    if as_json:
        terminal.emit({"detectors": lines})
        return
    headings = ("id", "class", "on", "stage", "threshold", "unit", "trigger")
    terminal.table(headings, [[line[name] for name in headings] for line in lines])
    running = sum(line["on"] == "on" for line in lines)
    terminal.note(f"{running} of {len(lines)} are on; `conveyor detectors show ID` has all of one")


@detectors.command()
@click.argument("detector_id", metavar="ID")
@terminal.settings_options("replay")
@terminal.json_option
def show(detector_id: str, profile: str, files: tuple[str, ...], sets: tuple[str, ...], as_json: bool) -> None:
    """Show all of one detector: its line of the table, and what the settings make of it."""
    pack = _pack(profile, files, sets)
    place = pack.table.index(_named(detector_id))
    detector = pack.table[place]
    words = ("precondition", "primary", "secondary", "direction", "source")
    found = _line(place, pack) | {name: getattr(detector, name) for name in words}
    rule = pack.rules[place]
    tiers = ("threshold_top", "threshold_mid", "threshold_tail")
    found |= {name: float(rule["threshold"][i]) for i, name in enumerate(tiers, 1)}
    found |= {name: int(rule[name]) for name in ("cooldown_s", "half_life_s", "severity_min", "budget")}
    weights = ("primary_weight", "secondary_weight", "breadth_weight", "steepness", "offset")
    found |= {name: float(rule[name]) for name in weights}
    found |= {"minutes": detector.minutes, "inputs": list(detector.inputs)}
    if as_json:
        terminal.emit(found)
        return
    told = [[name, " ".join(value) if isinstance(value, list) else value] for name, value in found.items()]
    terminal.table(("what", "value"), [line for line in told if line[1] != ""])


@detectors.command()
@click.argument("name")
def new(name: str) -> None:
    """Write a detector that works and its test into this checkout; then make it yours.

    Writes detectors/NAME.py and tests/detectors/test_NAME.py, and says what to add to detectors/table.py.
    """
    from pathlib import Path

    from replay.detectors.template import lines_to_add, write_new

    checkout = Path.cwd()
    for path in write_new(name, checkout):
        click.echo(path.relative_to(checkout))
    imported, listed = lines_to_add(name)
    terminal.note("list it in detectors/table.py, at the end, for places are numbers:")
    terminal.note(f"  {imported}\n{listed}")
    terminal.note(f"then: conveyor detectors test {name}_v1; python -m pytest tests/detectors/test_{name}.py")
    terminal.note(f"it is off until a settings file says [core.signals.detectors.{name}_v1] enabled = true")
    terminal.note("its lines in docs/detectors.md: python -m bench.detectors_page")


@detectors.command()
@click.argument("ids", nargs=-1, metavar="[ID...]")
@terminal.json_option
def test(ids: tuple[str, ...], as_json: bool) -> None:
    """Check detectors, or all, against the contract on made-up minutes; exit 4 if one breaks it.

    Declared inputs are what is read, and nothing else; only symbols that are looked at are written; nulls trigger
    nothing; twice the same.
    """
    from detectors.table import TABLE
    from replay.detectors.contract import problems_of

    chosen = [_named(one) for one in dict.fromkeys(ids)] or list(TABLE)
    terminal.note(f"{len(chosen)} detector{'s' * (len(chosen) > 1)} on made-up minutes; each takes about a second")
    problems = problems_of(chosen)
    if as_json:
        terminal.emit({"problems": problems})
    else:
        rows = [(name, one) for name, found in problems.items() for one in found or ["keeps the contract"]]
        terminal.table(("detector", "found"), rows)
    broken = [name for name, found in problems.items() if found]
    if broken:
        raise Stop(Exit.VERIFICATION, f"{len(broken)} of {len(problems)} break the contract: {', '.join(broken)}")


def _pack(profile: str, files: tuple[str, ...], sets: tuple[str, ...]) -> Any:
    """The table under the settings: an engine.core.pack.Pack."""
    from detectors.table import TABLE
    from engine.core.pack import make_pack

    return make_pack(TABLE, terminal.settings(profile, files, sets).config.core.signals)


def _named(detector_id: str) -> Detector:
    from detectors.table import TABLE

    known = {detector.id: detector for detector in TABLE}
    if detector_id not in known:
        raise click.UsageError(f"no detector {detector_id!r}; there are {', '.join(known)}")
    return known[detector_id]


def _line(place: int, pack: Any) -> dict[str, Any]:
    """What a list says of a detector."""
    from engine.core.detector import STAGES

    detector, rule = pack.table[place], pack.rules[place]
    return {
        "id": detector.id, "subtype": detector.subtype, "class": detector.signal_class,
        "on": "on" if rule["runs"] else "off", "stage": STAGES[int(rule["stage"])],
        "threshold": float(rule["threshold"][0]), "unit": detector.unit, "trigger": detector.trigger,
    }  # fmt: skip
