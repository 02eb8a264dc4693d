"""`conveyor config`: what the settings are, where each comes from, and whether they are right."""

from __future__ import annotations

import click

from engine.commands import terminal


@click.group(cls=terminal.Family)
def config() -> None:
    """Show and check the settings."""


@config.command()
@terminal.settings_options()
@click.option("--sources", is_flag=True, help="Show where each value comes from.")
@terminal.json_option
def show(profile: str, files: tuple[str, ...], sets: tuple[str, ...], sources: bool, as_json: bool) -> None:
    """Print every setting with its value.

    Later sources win: defaults, profile, files, variables CONVEYOR_SECTION__KEY, --set.
    """
    from config.keys import FIELDS, toml_value, values

    loaded = terminal.settings(profile, files, sets)
    found = values(loaded.config)
    if as_json:
        answer = {"settings": found, "core_digest": loaded.config.core.digest()}
        terminal.emit(answer | {"sources": loaded.sources} if sources else answer)
        return
    columns = ["setting", "value", "source" if sources else "meaning"]
    third = loaded.sources if sources else {key: field.description for key, field in FIELDS.items()}
    terminal.table(columns, [(key, toml_value(value), third[key]) for key, value in found.items()])


@config.command()
@terminal.settings_options()
@terminal.json_option
def validate(profile: str, files: tuple[str, ...], sets: tuple[str, ...], as_json: bool) -> None:
    """Check the settings; exit 2 and a line for each problem if any is wrong."""
    loaded = terminal.settings(profile, files, sets)
    digest = loaded.config.core.digest()
    if as_json:
        terminal.emit({"valid": True, "core_digest": digest})
    else:
        click.echo(f"settings are valid; digest of the core settings {digest}")


@config.command()
def schema() -> None:
    """Print the JSON Schema of a settings file."""
    import json

    from config.load import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
