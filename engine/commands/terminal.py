"""What every verb shares: exit codes, errors as one sentence, --json, progress and tables.

stdout carries the answer and nothing else; progress, notes and errors go to stderr.
"""

from __future__ import annotations

import errno
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import click

from config.errors import ConfigError, ConveyorError

if TYPE_CHECKING:
    import asyncio

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
SENTENCE_MAX = 1_000  # letters: more than any has
PLAIN_PROGRESS_S = 5.0  # between two plain progress lines


class Exit(IntEnum):
    """What the process tells the shell. 2 is also what click uses for a wrong option."""

    OK = 0
    ERROR = 1
    USAGE = 2
    UNREACHABLE = 3
    VERIFICATION = 4
    TIMEOUT = 5
    RED = 6
    INTERRUPTED = 130


class Stop(Exception):  # noqa: N818 - a red health or a time-out is an answer, not an error
    """Ends a verb with a code other than 0 and, if there is something to say, a sentence on stderr."""

    def __init__(self, code: Exit, sentence: str = "") -> None:
        self.code = code
        super().__init__(sentence)


# Verbs and families ---------------------------------------------------------------------------------------------------


def _verbose_option() -> click.Option:
    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        root = ctx.find_root()
        root.meta["verbose"] = value or root.meta.get("verbose", False)

    return click.Option(
        ["-v", "--verbose"], is_flag=True, expose_value=False, callback=remember, help="Show a traceback with an error."
    )


class Verb(click.Command):
    """A command with the options that all verbs have."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_verbose_option())


class Family(click.Group):
    """A group of verbs, `conveyor config`; its commands are Verbs."""

    command_class = Verb
    group_class: type[click.Group] | type[type] | None = type  # families inside a family

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_verbose_option())

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order they were added, which is the order in which a user meets them."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """First sentences, whole, on as many lines as they need: click cuts them off at the end of a line."""
        told = [(name, command.get_short_help_str(SENTENCE_MAX)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(told)


class Root(Family):
    """The whole program: the one place where an exception becomes an exit code."""

    group_class = Family

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            code = _report(error, verbose=bool(ctx.meta.get("verbose")))
            if code is None:
                raise
            ctx.exit(code)


def _report(error: BaseException, verbose: bool) -> Exit | None:
    """Write the sentence of an error; returns its exit code, or None for what click handles itself."""
    if isinstance(error, click.ClickException | click.exceptions.Exit | click.Abort):
        return None
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return None  # the reader of a pipe went away, as in `conveyor sql ... | head`
    if verbose:
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, KeyboardInterrupt):
        note("interrupted")
        return Exit.INTERRUPTED
    if isinstance(error, Stop):
        if str(error):
            note(str(error))
        return error.code
    if isinstance(error, ConveyorError):
        note(f"error: {error}")
        return Exit.USAGE if isinstance(error, ConfigError) else Exit.ERROR
    if isinstance(error, OSError):
        note(f"error: {told(error)}")
        return Exit.ERROR
    hint = "" if verbose else "; run it again with -v for the traceback"
    note(f"error in Conveyor itself: {type(error).__name__}: {error}{hint}")
    return Exit.ERROR


def told(error: OSError) -> str:
    """`sessions/a: Read-only file system`, instead of a number and quotes."""
    return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)


# Options --------------------------------------------------------------------------------------------------------------

existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
# Of verbs whose words say what is to be done; those that only look at a session take it as a word.
session_option = click.option(
    "--session", type=click.Path(path_type=Path), help="Folder of the engine's session; otherwise the one that runs."
)


def settings_options(profile: str = "dry-run") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--profile, --config and --set; the verb receives them as `profile`, `files` and `sets` for `settings()`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option("--set", "sets", multiple=True, metavar="A.B=VALUE", help="Change one setting; repeatable."),
            click.option("--config", "files", multiple=True, metavar="FILE", help="Settings file (TOML); repeatable."),
            click.option("--profile", default=profile, show_default=True, help="Settings to start with."),
        ):
            function = option(function)
        return function

    return decorate


class Span(click.ParamType):
    """`90s`, `15m`, `1h`, `2d`: seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value))
        if not found or not float(found[1]):
            self.fail(f"{value!r} is no time such as 90s, 15m, 1h or 2d", param, ctx)
        return float(found[1]) * UNITS_S[found[2]]


def settings(profile: str, files: Sequence[str], sets: Sequence[str]) -> Any:
    """The settings of this process: a config.load.Loaded."""
    import os

    from config.load import load

    return load(profile, files, os.environ, sets, _detectors)


def _detectors() -> list[str]:
    """Ids of the table; asked for only if settings name one, for it is slow to import."""
    from detectors.table import TABLE

    return [detector.id for detector in TABLE]


# Output ---------------------------------------------------------------------------------------------------------------


def asked_to_stop() -> asyncio.Event:
    """An event that the first Ctrl-C or SIGTERM sets; for a verb that serves, within its running loop."""
    import asyncio
    import signal

    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    return stopped


def note(line: str) -> None:
    """A line for people, on stderr. If its reader has gone it is lost: nobody's running engine ends for that."""
    with suppress(OSError):
        click.echo(line, err=True)


def emit(answer: dict[str, Any]) -> None:
    """The answer of a verb under --json: one object on one line of stdout. numpy values are allowed."""
    import orjson

    # orjson keeps the order of the keys: the verb decides what a reader sees first.
    click.echo(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY, default=str))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Rows on stdout: a drawn table on a terminal, tab-separated lines with a heading otherwise.

    None is shown as nothing. Cells never carry markup or control characters: they may hold what a venue sent.
    """
    if not sys.stdout.isatty():
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join(_cell(value) for value in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    kept = [list(row) for row in rows]
    drawn = Table(title=Text(title) if title else None, title_justify="left")
    for position, name in enumerate(columns):
        numeric = all(isinstance(row[position], int | float) or row[position] is None for row in kept)
        drawn.add_column(Text(name), justify="right" if numeric and kept else "left", overflow="fold")
    for row in kept:
        drawn.add_row(*(Text(_cell(value)) for value in row))
    Console(file=sys.stdout).print(drawn)


def _cell(value: Any) -> str:
    return "" if value is None else printable(str(value))


def printable(text: str) -> str:
    """Without control characters: it may hold what a venue sent."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)


# Progress -------------------------------------------------------------------------------------------------------------


class Advance(Protocol):
    def __call__(self, amount: float, what: str = "", /) -> None:
        """amount: units done since the last call. what: the newest of them, where they have names."""


@contextmanager
def progress(description: str, total: float | None, unit: str) -> Iterator[Advance]:
    """Show how far a long work is: `with progress("import", size, "bytes") as advance: advance(4096)`.

    total: units of the whole, or None where nobody knows. unit: plural noun; "bytes" is shown as MiB.
    On a terminal a bar with rate and time left, otherwise a plain line about every five seconds and one at the end.
    """
    if sys.stderr.isatty():
        with _bar(description, total, unit) as advance:
            yield advance
        return
    plain = PlainProgress(description, total, unit, sys.stderr, time.monotonic)
    yield plain.advance
    plain.finish()


@contextmanager
def _bar(description: str, total: float | None, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Amounts(ProgressColumn):
        def render(self, task: Task) -> Text:
            rate = task.finished_speed or task.speed
            pace = f", {_amount(rate, unit)}/s" if rate else ""
            return Text(f"{_amounts(task.completed, task.total, unit)}{pace}")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        Amounts(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(file=sys.stderr)) as shown:
        task = shown.add_task(description, total=total)
        yield lambda amount, what="": shown.update(task, advance=amount, description=f"{description} {what}".rstrip())


class PlainProgress:
    """Progress as lines of text. clock: seconds, monotonic."""

    def __init__(
        self, description: str, total: float | None, unit: str, out: IO[str], clock: Callable[[], float]
    ) -> None:
        self.description, self.total, self.unit, self.out, self.clock = description, total, unit, out, clock
        self.done, self.what = 0.0, ""
        self.started = self.printed = clock()

    def advance(self, amount: float, what: str = "") -> None:
        self.done += amount
        self.what = what
        now = self.clock()
        if now - self.printed >= PLAIN_PROGRESS_S:
            self.printed = now
            print(self._line(now), file=self.out, flush=True)

    def finish(self) -> None:
        seconds = self.clock() - self.started
        print(
            f"{self.description}: {_amount(self.done, self.unit)} in {_duration(seconds)}{self._pace(seconds)}",
            file=self.out,
            flush=True,
        )

    def _line(self, now: float) -> str:
        seconds = now - self.started
        if not self.total:
            return f"{self.description}: {_amount(self.done, self.unit)}{self._pace(seconds)}"
        left = f", {_duration((self.total - self.done) * seconds / self.done)} left" if self.done else ""
        share = min(100, int(100 * self.done / self.total))
        amounts = _amounts(self.done, self.total, self.unit)
        newest = f", {self.what}" if self.what else ""
        return f"{self.description}: {share} %, {amounts}{newest}{self._pace(seconds)}{left}"

    def _pace(self, seconds: float) -> str:
        return f", {_amount(self.done / seconds, self.unit)}/s" if seconds > 0 else ""


def _amounts(done: float, total: float | None, unit: str) -> str:
    """`3 of 336 functions`. What is counted may grow meanwhile, so no more is ever done than there is."""
    if total is None:
        return _amount(done, unit)
    number, _, _ = _amount(done, unit).partition(" ")
    return f"{number} of {_amount(max(done, total), unit)}"


def _amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 2**20:,.1f} MiB"
    return f"{value:,.0f} {unit}"


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
