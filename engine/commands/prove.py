"""`prove`: journals replayed under many environments must give one digest."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands import terminal
from engine.commands.terminal import Exit, Stop

if TYPE_CHECKING:
    from replay.prove.material import Journal
    from replay.prove.proof import Outcome, Proof

PLANTS = ("fastmath", "libm", "set")  # as in replay.prove.plants, which is slow to import
HEADINGS = (
    "environment", "what it changes", "journals", "records", "minutes", "seconds", "digest", "result",
    "unlike the first in",
)  # fmt: skip
_folder = click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True)


@click.command(cls=terminal.Verb)
@click.argument("journals", nargs=-1, type=_folder, metavar="[JOURNAL...]")
@click.option(
    "--environments", default="all", show_default=True, metavar="all|quick|NAME,NAME", help="Which; see the table."
)
@click.option("--python", "pythons", multiple=True, metavar="PATH", help="Another interpreter to prove; repeatable.")
@click.option("--plant", type=click.Choice(PLANTS), default=None, help="Plant a fault that the proof must find.")
@click.option("--keep-going", is_flag=True, help="Go through the whole table in spite of a difference.")
@click.option("--captures", type=_folder, help="Folder of recorded captures; otherwise as for bench.")
@terminal.json_option
def prove(
    journals: tuple[Path, ...], environments: str, pythons: tuple[str, ...], plant: str | None, keep_going: bool,
    captures: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Replay journals under many environments; exit 4 at the first bit that differs. See docs/determinism.md.

    Without JOURNAL: a simulated hour of each venue, and every capture at hand.
    """
    from replay.prove.environments import chosen
    from replay.prove.kernel_caches import remove_old
    from replay.prove.material import Journal, at_hand
    from replay.prove.proof import Proof

    table = chosen(environments, pythons)
    begun_s = time.monotonic()
    remove_old()
    with tempfile.TemporaryDirectory(prefix="conveyor-prove-") as folder:
        named = [Journal(str(path), path) for path in journals]
        proof = Proof(named or at_hand(Path(folder), captures, note), table, plant or "", keep_going, note)
        outcomes = proof.run()
    answer = summary(proof, outcomes, time.monotonic() - begun_s)
    if as_json:
        terminal.emit(answer)
    else:
        show(proof, outcomes, answer)
    if not answer["proved"]:
        raise Stop(Exit.VERIFICATION, failures(outcomes))


def note(line: str) -> None:
    terminal.note(f"prove: {line}")


def summary(proof: Proof, outcomes: list[Outcome], seconds: float) -> dict[str, Any]:
    """The whole answer, as --json prints it. proved: every environment that can run here ran and gave the same bits."""
    from replay.prove.proof import DIFFERENT, FAILED, NOT_RUN, SAME

    count = {result: sum(outcome.result == result for outcome in outcomes) for result in (SAME, NOT_RUN)}
    wrong = [outcome for outcome in outcomes if outcome.result in (DIFFERENT, FAILED)]
    reached = len(outcomes) == len(proof.environments)
    return {
        "proved": reached and not wrong and count[SAME] > 1,
        "plant": proof.plant or None,
        "environments": [outcome.as_dict() for outcome in outcomes],
        "not_reached": [environment.name for environment in proof.environments[len(outcomes) :]],
        "run": len(outcomes) - count[NOT_RUN],
        "of": len(proof.environments),
        "journals": [
            journal_facts(journal, found) for journal, found in zip(proof.journals, proof.reference, strict=False)
        ],
        "facts": proof.facts,
        "seconds": round(seconds, 1),
    }


def journal_facts(journal: Journal, found: Any) -> dict[str, Any]:
    chain = found.lines[-1].chain if found.lines else None
    return {"name": journal.name, "records": found.records, "minutes": found.minutes, "digest": chain}


def show(proof: Proof, outcomes: list[Outcome], answer: dict[str, Any]) -> None:
    terminal.table(HEADINGS, map(cells, outcomes))
    for name in answer["not_reached"]:
        click.echo(f"not reached: {name}")
    for journal in answer["journals"]:
        digest = journal["digest"] or "no minute closed"
        click.echo(f"{journal['name']}: {journal['records']} records, {journal['minutes']} minutes, digest {digest}")
    equal = "all equal, one digest a journal" if answer["proved"] else "not proved"
    planted = f" (fault planted: {proof.plant})" if proof.plant else ""
    click.echo(f"{answer['run']} of {answer['of']} environments run{planted}, {equal}; {answer['seconds']:.0f} s")


def cells(outcome: Outcome) -> list[Any]:
    """A line of the table: a part of the journals has a digest of its own, which is not shown."""
    from replay.prove.proof import NOT_RUN, SAME

    result = f"{outcome.result}: {outcome.reason}" if outcome.reason else outcome.result
    if outcome.result == NOT_RUN:
        return [outcome.name, outcome.changes, *[None] * 5, result, None]
    if outcome.partial and outcome.result == SAME:
        result = "same, of the first records"
    digest = "" if outcome.partial else outcome.digest[:16]
    counts = [outcome.journals, outcome.records, outcome.minutes, round(outcome.seconds, 1)]
    return [outcome.name, outcome.changes, *counts, digest, result, ", ".join(outcome.unlike)]


def failures(outcomes: list[Outcome]) -> str:
    """What went wrong, a sentence each."""
    told = [f"{outcome.name} differs: {outcome.difference.sentence()}" for outcome in outcomes if outcome.difference]
    told += [f"{outcome.name} failed: {outcome.reason}" for outcome in outcomes if outcome.result == "failed"]
    return "; ".join(told) or "nothing was compared: name at least two environments that can run here"
