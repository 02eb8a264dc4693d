"""A change of the settings of a running engine: what may change, what it comes to, and what two settings differ in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from config.keys import field_of, overlaid, values
from config.problems import Problem, SettingsError, translated, unknown, unknown_detectors
from config.schema import Core
from config.signals import Signals

HOT = "core.signals."  # the settings that may change while an engine runs


def changed(core: Core, given: Mapping[str, Any], origin: str, detectors: Iterable[str]) -> Core:
    """The settings `core` with some of them set: a whole new pack, or nothing at all.

    given: dotted key -> value; None: what holds if nobody sets it. origin: who sets them, for the problems. detectors:
    ids of the table. Raises SettingsError with every problem found, keys that need a restart among them.
    """
    problems, hot, standing = [], {}, values_of(core)
    for key, value in given.items():
        if field_of(key) is None:
            problems.append(unknown(key, value, origin, "flag"))
        elif not key.startswith(HOT) and key in standing and standing[key] == value:
            continue  # a file may say again what is not to change
        elif not key.startswith(HOT):
            problems.append(
                Problem(
                    origin, key, "needs a restart", "a setting of core.signals",
                    "Put it into the settings file, or give it with --set, and start the engine again.",
                )
            )  # fmt: skip
        else:
            hot[key] = value
    sources = dict.fromkeys(hot, origin)
    problems += unknown_detectors(hot, sources, detectors)
    try:
        pack = Signals.model_validate(
            overlaid({"core": {"signals": core.signals.model_dump()}}, hot)["core"]["signals"]
        )
    except ValidationError as error:
        problems += translated(error, standing | hot, sources, "core.signals")
    if problems:
        raise SettingsError(problems)
    return core.model_copy(update={"signals": pack})


def values_of(core: Core) -> dict[str, Any]:
    """Dotted key -> value of all core settings; of the mappings what is set."""
    return values(core, "core.")


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(key, old, new) of every key in which two settings differ, by key; None: not set."""
    keys = sorted({*old, *new})
    return [(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]
