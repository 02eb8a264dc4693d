"""Where a value comes from: defaults < profile < files < environment `CONVEYOR_A__B` < `--set a.b=value`.

Every problem of all sources is reported at once, each with its place, key, what was expected and what to do.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.errors import ConfigError
from config.keys import FIELDS, MAPPINGS, entry_of, field_of, is_section, overlaid, parse
from config.problems import (
    DEFAULT,
    PREFIX,
    SEPARATOR,
    Problem,
    SettingsError,
    did_you_mean,
    translated,
    unknown,
    unknown_detectors,
)
from config.schema import Config

PROFILES = Path(__file__).parent / "profiles"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and for each dotted key the origin of its value."""

    config: Config
    sources: dict[str, str]


def profile_names() -> list[str]:
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def json_schema() -> dict[str, Any]:
    """JSON Schema of a settings file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}


def load(
    profile: str | None = None,
    files: Iterable[str | Path] = (),
    environ: Mapping[str, str] | None = None,
    sets: Iterable[str] = (),
    detectors: Callable[[], Iterable[str]] | None = None,
) -> Loaded:
    """Settings from all sources, later ones winning.

    profile: name of a file in config/profiles; files: TOML, in order; environ: usually os.environ; sets: `a.b=value`.
    detectors: ids of the table, asked for if any detector has settings; None: their names are not judged here.
    Raises SettingsError with every problem found, or ConfigError for a file or flag that cannot be read at all.
    """
    given: dict[str, Any] = {}
    sources = dict.fromkeys(FIELDS, DEFAULT)
    problems: list[Problem] = []

    def take(key: str, value: Any, origin: str, place: str) -> None:
        if field_of(key) is not None:
            given[key] = value
            sources[key] = origin
        else:
            problems.append(unknown(key, value, origin, place))

    if profile is not None:
        for key, value in _flatten(_read(_profile_path(profile))).items():
            take(key, value, f"profile {profile}", "file")
    for path in map(Path, files):
        for key, value in flattened(path).items():
            take(key, value, f"file {path}", "file")
    for name, text in sorted((environ or {}).items()):
        maybe = _key_of(name)
        if maybe is not None:
            take(maybe, parse(maybe, text), f"variable {name}", "variable")
    for assignment in sets:
        key, text = split_assignment(assignment)
        take(key, parse(key, text), "--set", "flag")

    if detectors is not None and any(key not in FIELDS for key in given):
        problems += unknown_detectors(given, sources, detectors())
    try:
        # Laid over the defaults, so that a section whose default is not its class's keeps what nobody set.
        config = Config.model_validate(overlaid(Config().model_dump(), given))
    except ValidationError as error:
        problems += translated(error, given, sources)
    if problems:
        raise SettingsError(problems)
    return Loaded(config, sources)


def flattened(path: Path) -> dict[str, Any]:
    """Dotted key -> value of a settings file. Raises ConfigError if it cannot be read."""
    return _flatten(_read(path))


def split_assignment(assignment: str) -> tuple[str, str]:
    """Key and text of `a.b=value`. Raises ConfigError if there is no `=`."""
    key, equals, text = assignment.partition("=")
    if not equals:
        raise ConfigError(f"--set {assignment}: expected section.key=value; write for example --set run.mode=replay")
    return key.strip(), text.strip()


def _profile_path(profile: str) -> Path:
    names = profile_names()
    if profile not in names:
        raise ConfigError(f"profile {profile}: expected one of {', '.join(names)}.{did_you_mean(profile, names)}")
    return PROFILES / f"{profile}.toml"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"file {path}: {error.strerror or error}; give the path of a TOML file you may read"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"file {path}: expected TOML in UTF-8, found {error}; correct the file") from error


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value. A table stays whole where no section has its name, so that it is reported once."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        key = prefix + name
        if isinstance(value, dict) and is_section(key):
            found |= _flatten(value, f"{key}.")
        else:
            found[key] = value
    return found


def _key_of(variable: str) -> str | None:
    """The setting a variable means; None for variables that are none, such as CONVEYOR_CAPTURES."""
    if not variable.startswith(PREFIX):
        return None
    name = variable.removeprefix(PREFIX)
    if SEPARATOR in name:
        key = name.lower().replace(SEPARATOR, ".")
        for root in MAPPINGS:  # names of coins are written in capitals, and are other names in small letters
            if key.startswith(f"{root}.") and entry_of(root) is str:
                return f"{root}." + SEPARATOR.join(name.split(SEPARATOR)[root.count(".") + 1 :])
        return key
    # CONVEYOR_RUN_MODE: a forgotten underscore must not pass for a foreign variable.
    if name.lower().split("_")[0] in Config.model_fields:
        return name.lower()
    return None
