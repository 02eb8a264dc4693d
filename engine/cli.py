"""The command line. Each verb lives in engine/commands; this file lists them in the order of the help."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

from engine.commands import (
    bench,
    bus,
    chaos,
    checking,
    config,
    data,
    demo,
    describe,
    detectors,
    drift,
    evaluating,
    exchange,
    operating,
    plot,
    prove,
    recording,
    replay,
    running,
    signals,
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
    signals.signals,
    bus.bus,
    checking.checklist,
    checking.doctor,
    replay.replay,
    data.verify,
    data.diff,
    prove.prove,
    data.sql,
    data.export,
    plot.plot,
    drift.drift,
    evaluating.evaluate,
    data.store,
    data.journal,
    chaos.chaos,
    bench.bench,
    detectors.detectors,
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
    """The program. A verb has closed what it opened when it ends, so the interpreter's own end is left out: freeing
    every compiled kernel and every array one by one takes an engine longer than all the rest of its stop.
    """
    code: object = 0
    try:
        cli(prog_name="conveyor")
    except SystemExit as ended:
        code = ended.code
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a reader that has gone
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
