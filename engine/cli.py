"""The command line. Each verb lives in engine/commands; this file lists them in the order of the help."""

from __future__ import annotations

import click

from engine.commands import (
    bench,
    chaos,
    checking,
    config,
    data,
    demo,
    describe,
    exchange,
    operating,
    prove,
    recording,
    replay,
    running,
    terminal,
    version,
)

VERBS: tuple[click.Command, ...] = (
    demo.demo,
    recording.import_captures,
    recording.simulate,
    running.run,
    running.record,
    exchange.exchange,
    operating.status,
    operating.ctl,
    checking.checklist,
    checking.doctor,
    replay.replay,
    data.verify,
    data.diff,
    prove.prove,
    data.sql,
    data.export,
    data.store,
    data.journal,
    chaos.chaos,
    bench.bench,
    describe.describe,
    config.config,
    version.version,
)


@click.group(cls=terminal.Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="conveyor", prog_name="conveyor")
def cli() -> None:
    """Recorded market feeds become verified minute rows."""


for _verb in VERBS:
    cli.add_command(_verb)


def main() -> None:
    cli(prog_name="conveyor")


if __name__ == "__main__":
    main()
