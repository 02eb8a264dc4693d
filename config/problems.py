"""What is wrong with settings, in words: every problem with its place, what was expected and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from config.errors import ConfigError
from config.keys import (
    DETECTORS,
    FIELDS,
    MAPPINGS,
    SECTIONS,
    default_of,
    entry_of,
    expectation,
    field_of,
    is_section,
    mapping_of,
    toml_value,
)
from config.section import CROSS_CHECK

PREFIX = "CONVEYOR_"
SEPARATOR = "__"
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong setting. origin: file, variable or flag; key: dotted."""

    origin: str
    key: str
    found: str
    expected: str
    action: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.key} {self.found}; expected {self.expected}. {self.action}"


class SettingsError(ConfigError):
    """One or more settings are wrong; one line each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def unknown(key: str, value: Any, origin: str, place: str) -> Problem:
    """A key that is no setting. place: file, variable or flag; how a suggestion is spelt."""
    if is_section(key):
        return Problem(
            origin, key, f"is {_shown(value)}", "a section", f"Set one of its keys, for example {_example(key)}."
        )
    if isinstance(value, dict):
        return Problem(
            origin, key, "is no section", f"one of {', '.join(sorted(SECTIONS))}",
            f"Correct or remove it.{did_you_mean(key, SECTIONS)}",
        )  # fmt: skip
    near = _near(key)
    hint = f" Did you mean {_spelt(near, place)}?" if near else ""
    return Problem(
        origin, key, "is no setting", "a key that `conveyor config show` lists", f"Correct or remove it.{hint}"
    )


def unknown_detectors(given: Mapping[str, Any], sources: Mapping[str, str], known: Iterable[str]) -> list[Problem]:
    """Settings of detectors that do not exist, one problem for each. known: ids of the table."""
    names, found = sorted(known), {}
    for key in given:
        if mapping_of(key) == DETECTORS:
            name = key.removeprefix(f"{DETECTORS}.").partition(".")[0]
            if name not in names and name not in found:
                found[name] = Problem(
                    sources[key], f"{DETECTORS}.{name}", "is no detector", "an id that `conveyor detectors list` names",
                    f"Correct or remove it.{did_you_mean(name, names)}",
                )  # fmt: skip
    return list(found.values())


def translated(
    error: ValidationError, given: Mapping[str, Any], sources: Mapping[str, str], section: str = ""
) -> list[Problem]:
    """pydantic's findings in our words. given: values by dotted key; sources: who set them. section: that was read."""
    problems: dict[str, Problem] = {}
    for finding in error.errors(include_url=False):
        if finding["type"] == CROSS_CHECK:
            # What was set by someone is named before what stands at its default.
            first, *others = sorted(finding["ctx"]["keys"], key=lambda key: sources.get(key, DEFAULT) == DEFAULT)
            where = ", ".join(f"{key} = {_shown(_value(key, given))} ({sources.get(key, DEFAULT)})" for key in others)
            problems[first] = Problem(
                sources.get(first, DEFAULT), first, f"= {_shown(_value(first, given))}", finding["msg"],
                f"Change it, or one of: {where}." if where else "Change it.",
            )  # fmt: skip
            continue
        names = [*section.split(".")] * bool(section) + [str(part) for part in finding["loc"]]
        prefixes = (".".join(names[:count]) for count in range(len(names), 0, -1))
        key = next(prefix for prefix in prefixes if field_of(prefix) is not None)
        field = field_of(key)
        assert field is not None, key
        usual = _shown(default_of(key)) if key in FIELDS else "what is usual"
        problems[key] = Problem(
            sources.get(key, DEFAULT), key, f"= {_shown(_value(key, given))}", expectation(key),
            f"{field.description} Default: {usual}.",
        )  # fmt: skip
    return list(problems.values())


def did_you_mean(word: str, words: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, sorted(words), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def _near(key: str) -> str:
    """The setting that was probably meant; empty: none is like it."""
    root = mapping_of(key)
    if root is not None and entry_of(root) is not str:
        owner, _, leaf = key.rpartition(".")
        near = difflib.get_close_matches(leaf, entry_of(root).model_fields, n=1)
        return f"{owner}.{near[0]}" if near and is_section(owner) else ""
    # Dots and underscores are compared alike, so that journal.segment.mib and CONVEYOR_RUN_MODE find their setting.
    alike = {_flat(other): other for other in FIELDS}
    near = [alike[match] for match in difflib.get_close_matches(_flat(key), alike, n=1)]
    if not near:
        # A right key in the wrong section, or without one.
        leaf = key.rpartition(".")[2]
        leaves = {other.rpartition(".")[2]: other for other in FIELDS}
        near = [leaves[match] for match in difflib.get_close_matches(leaf, leaves, n=1, cutoff=0.75)]
    return near[0] if near else ""


def _example(section: str) -> str:
    """A setting below a section."""
    root = mapping_of(section)
    if root is None:
        return next(key for key in [*FIELDS, *MAPPINGS] if key.startswith(f"{section}."))
    if entry_of(root) is str:
        return f"{root}.BTC"
    return f"{section if section != root else f'{root}.spike_vol_v1'}.threshold"


def _flat(key: str) -> str:
    return key.replace(".", "_")


def _spelt(key: str, place: str) -> str:
    return PREFIX + key.upper().replace(".", SEPARATOR) if place == "variable" else key


def _shown(value: Any) -> str:
    """A value inside a sentence, cut to a readable length."""
    text = toml_value(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _value(key: str, given: Mapping[str, Any]) -> Any:
    return given.get(key, default_of(key))
