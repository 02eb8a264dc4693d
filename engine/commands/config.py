"""`conveyor config`: what the settings are, where each comes from, whether they are right; and their changes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from engine.commands import terminal
from engine.commands.operating import find, must_be_done, told_by

_why = click.option("--why", default="", metavar="TEXT", help="Reason, for the history.")


@click.group(cls=terminal.Family)
def config() -> None:
    """Show, check and change the settings."""


@config.command()
@terminal.settings_options()
@click.option("--sources", is_flag=True, help="Show where each value comes from.")
@terminal.json_option
def show(profile: str, files: tuple[str, ...], sets: tuple[str, ...], sources: bool, as_json: bool) -> None:
    """Print every setting with its value.

    Later sources win: defaults, profile, files, variables CONVEYOR_SECTION__KEY, --set.
    """
    from config.keys import field_of, toml_value, values

    loaded = terminal.settings(profile, files, sets)
    found = values(loaded.config)
    if as_json:
        answer = {"settings": found, "core_digest": loaded.config.core.digest()}
        terminal.emit(answer | {"sources": loaded.sources} if sources else answer)
        return
    columns = ["setting", "value", "source" if sources else "meaning"]
    meanings = {key: field.description for key in found if (field := field_of(key))}
    third = loaded.sources if sources else meanings
    terminal.table(columns, [(key, toml_value(value), third[key]) for key, value in found.items()])


@config.command()
@click.argument("given", nargs=-1, metavar="[FILE|KEY=VALUE]...")
@terminal.settings_options()
@terminal.json_option
def validate(
    given: tuple[str, ...], profile: str, files: tuple[str, ...], sets: tuple[str, ...], as_json: bool
) -> None:  # fmt: skip
    """Check the settings of a start; exit 2 and a line for each problem if any is wrong.

    No engine is asked: `set --dry-run` tries them as a change of one that runs.
    """
    more_files, more_sets = _sorted_out(given)
    loaded = terminal.settings(profile, [*files, *more_files], [*sets, *more_sets])
    digest = loaded.config.core.digest()
    if as_json:
        terminal.emit({"valid": True, "core_digest": digest})
    else:
        click.echo(f"settings are valid; digest of the core settings {digest}")


@config.command("set")
@click.argument("given", nargs=-1, required=True, metavar="FILE|KEY=VALUE...")
@terminal.session_option
@_why
@click.option("--dry-run", is_flag=True, help="Judge and try it only.")
@terminal.json_option
def set_(given: tuple[str, ...], session: Path | None, why: str, dry_run: bool, as_json: bool) -> None:
    """Change settings of a running engine, all of them or none; exit 2 if one is refused.

    Only core.signals may change while it runs. The change is tried on the last hour, journaled, and in force with the
    next minute. VALUE `default`: what holds if nobody sets it.
    """
    _ask(session, {"values": _values(*_sorted_out(given)), "why": why, "check": dry_run}, as_json)


@config.command()
@click.argument("version")
@terminal.session_option
@_why
@click.option("--dry-run", is_flag=True, help="Judge and try it only.")
@terminal.json_option
def rollback(version: str, session: Path | None, why: str, dry_run: bool, as_json: bool) -> None:
    """Bring back the detector pack of an earlier version, as a new version."""
    _ask(session, {"version": version, "why": why, "check": dry_run}, as_json)


@config.command()
@terminal.session_option
@terminal.json_option
def history(session: Path | None, as_json: bool) -> None:
    """List the versions of a session's settings, oldest first."""
    lines = _history(session)
    if as_json:
        terminal.emit({"versions": lines})
        return
    if sys.stdout.isatty():  # a change has a long name: a line each, not a narrow column
        for line in lines:
            of = f" = {line['of']}" if line["of"] else ""
            head = f"{line['version']}{of}  from {_ending(line['from_ts'])}, {line['who']}, {line['config_hash'][:12]}"
            click.echo(f"{head}: {line['why']}" if line["why"] else head)
            for change in line["changes"]:
                click.echo(f"  {_change(change)}")
        return
    columns = ["version", "minutes ending from", "who", "config hash", "changes", "why"]
    terminal.table(columns, [
        (
            line["version"] + (f" = {line['of']}" if line["of"] else ""), _ending(line["from_ts"]), line["who"],
            line["config_hash"][:12], ", ".join(_change(change) for change in line["changes"]), line["why"],
        )
        for line in lines
    ])  # fmt: skip


@config.command()
@click.argument("old")
@click.argument("new")
@terminal.session_option
@terminal.json_option
def diff(old: str, new: str, session: Path | None, as_json: bool) -> None:
    """Show in which settings the packs of two versions differ."""
    from config.change import HOT, differences
    from config.keys import values
    from config.signals import Signals
    from engine.io.config_history import find_version

    lines = _history(session)
    first, second = (values(Signals.model_validate(find_version(lines, name)["pack"]), HOT) for name in (old, new))
    found = differences(first, second)
    if as_json:
        terminal.emit({"old": old, "new": new, "changes": found})
    elif not found:
        click.echo(f"the packs of {old} and {new} are the same")
    else:
        rows = [(key, _shown(was), _shown(becomes)) for key, was, becomes in found]
        terminal.table(["setting", old, new], rows)


@config.command()
def schema() -> None:
    """Print the JSON Schema of a settings file."""
    from config.load import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


# Changes --------------------------------------------------------------------------------------------------------------


def _sorted_out(given: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Files and assignments."""
    sets = [text for text in given if "=" in text]
    return [text for text in given if "=" not in text], sets


def _values(files: Sequence[str], assignments: Sequence[str]) -> dict[str, Any]:
    """Dotted key -> value, later ones winning. What is unknown or wrong is the engine's to say."""
    from config.keys import parse
    from config.load import flattened, split_assignment

    found: dict[str, Any] = {}
    for path in files:
        found |= flattened(Path(path))
    for assignment in assignments:
        key, text = split_assignment(assignment)
        found[key] = parse(key, text)
    return found


def _ask(session: Path | None, wish: dict[str, Any], as_json: bool) -> None:
    """Put a wish to a running engine and print what came of it."""
    engine = find(session)
    answer = told_by(lambda: engine.change(wish))
    if as_json:
        terminal.emit(answer)
    elif answer["done"]:
        _print(answer)
    must_be_done(answer, as_json)


def _print(answer: dict[str, Any]) -> None:
    click.echo(f"{answer['sentence']}; config hash {answer['config_hash'][:12]}")
    for change in answer["changes"]:
        click.echo(f"  {_change(change)}")
    if trial := answer.get("trial"):
        _print_trial(trial)


def _print_trial(trial: dict[str, Any]) -> None:
    """What the pack would have done in the last hour."""
    minutes = trial["minutes"]
    click.echo(f"\ntried on the last {minutes} minutes, up to {trial['symbols']} symbols")
    for warning in trial["warnings"]:
        click.echo(f"  warning: {warning}")
    if not minutes:
        return
    rows: list[tuple[Any, ...]] = [tuple(row) for row in trial["rows"]]
    rows.append(("all", "candidates", *trial["candidates"]))
    rows.append(("all", "a minute", *(round(count / minutes, 2) for count in trial["candidates"])))
    rows.append(("all", "published", *trial["published"]))
    for name in ("severity_p50", "severity_p90"):
        rows.append(("all", name.replace("_", " "), *trial[name]))
    terminal.table(["class", "what became of it", "before", "after"], rows)


def _history(session: Path | None) -> list[dict[str, Any]]:
    from engine.io.config_history import read_history

    return read_history(session if session is not None else find(None).session)


def _change(change: Any) -> str:
    """`core.signals.rearm_pct: 70 -> 60`."""
    key, old, new = change
    return f"{key}: {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    return "default" if value is None else json.dumps(value, ensure_ascii=False)


def _ending(from_ts: int | None) -> str:
    from engine.core.minutes import MS_PER_MINUTE, label

    return "the first" if from_ts is None else f"{label(from_ts // MS_PER_MINUTE - 1)} UTC"
