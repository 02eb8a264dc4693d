"""Where a value comes from: defaults < profile < files < environment `CONVEYOR_A__B` < `--set a.b=value`.

Every problem of all sources is reported at once, each with its place, key, what was expected and what to do.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic.fields import FieldInfo

from config.errors import ConfigError
from config.schema import Config
from config.section import CROSS_CHECK

PREFIX = "CONVEYOR_"
SEPARATOR = "__"
PROFILES = Path(__file__).parent / "profiles"
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


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and for each dotted key the origin of its value."""

    config: Config
    sources: dict[str, str]


def _fields() -> dict[str, FieldInfo]:
    found: dict[str, FieldInfo] = {}

    def walk(model: type[BaseModel], prefix: str) -> None:
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                walk(kind, f"{prefix}{name}.")
            else:
                found[prefix + name] = field

    walk(Config, "")
    return found


FIELDS = _fields()  # dotted key -> its declaration, in the order of the schema
SECTIONS = {key[:position] for key in FIELDS for position, letter in enumerate(key) if letter == "."}


def profile_names() -> list[str]:
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def values(config: Config) -> dict[str, Any]:
    """Dotted key -> value, in the order of the schema."""
    found: dict[str, Any] = {}
    for key in FIELDS:
        value: Any = config
        for name in key.split("."):
            value = getattr(value, name)
        found[key] = value
    return found


def json_schema() -> dict[str, Any]:
    """JSON Schema of a settings file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}


def expectation(key: str) -> str:
    """What a setting must be, for people: `a whole number from 100 to 10000`."""
    field = FIELDS[key]
    kind: Any = field.annotation
    if kind is bool:
        return "true or false"
    if kind is str:
        return "a text"
    if get_origin(kind) is tuple:
        return "a list of names"
    if get_args(kind):
        return "one of " + ", ".join(f'"{choice}"' for choice in get_args(kind))
    bounds = []
    for rule in field.metadata:
        match rule:
            case Ge(ge=least):
                bounds.append(f"from {least}")
            case Gt(gt=least):
                bounds.append(f"above {least} up")
            case Le(le=most):
                bounds.append(f"to {most}")
    noun = "a whole number" if kind is int else "a number"
    power = ", a power of two" if any(isinstance(rule, AfterValidator) for rule in field.metadata) else ""
    return " ".join([noun, *bounds]) + power


def load(
    profile: str | None = None,
    files: Iterable[str | Path] = (),
    environ: Mapping[str, str] | None = None,
    sets: Iterable[str] = (),
) -> Loaded:
    """Settings from all sources, later ones winning.

    profile: name of a file in config/profiles; files: TOML, in order; environ: usually os.environ; sets: `a.b=value`.
    Raises SettingsError with every problem found, or ConfigError for a file or flag that cannot be read at all.
    """
    given: dict[str, Any] = {}
    sources = dict.fromkeys(FIELDS, DEFAULT)
    problems: list[Problem] = []

    def take(key: str, value: Any, origin: str, place: str) -> None:
        if key in FIELDS:
            given[key] = value
            sources[key] = origin
        else:
            problems.append(_unknown(key, value, origin, place))

    if profile is not None:
        for key, value in _flatten(_read(_profile_path(profile))).items():
            take(key, value, f"profile {profile}", "file")
    for path in map(Path, files):
        for key, value in _flatten(_read(path)).items():
            take(key, value, f"file {path}", "file")
    for name, text in sorted((environ or {}).items()):
        maybe = _key_of(name)
        if maybe is not None:
            take(maybe, _parse(maybe, text), f"variable {name}", "variable")
    for assignment in sets:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(
                f"--set {assignment}: expected section.key=value; write for example --set run.mode=replay"
            )
        take(key.strip(), _parse(key.strip(), text.strip()), "--set", "flag")

    try:
        config = Config.model_validate(_nest(given))
    except ValidationError as error:
        problems += _translated(error, given, sources)
    if problems:
        raise SettingsError(problems)
    return Loaded(config, sources)


def _profile_path(profile: str) -> Path:
    names = profile_names()
    if profile not in names:
        raise ConfigError(f"profile {profile}: expected one of {', '.join(names)}.{_did_you_mean(profile, names)}")
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
        if isinstance(value, dict) and key in SECTIONS:
            found |= _flatten(value, f"{key}.")
        else:
            found[key] = value
    return found


def _nest(given: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in given.items():
        *parents, leaf = key.split(".")
        branch = tree
        for name in parents:
            branch = branch.setdefault(name, {})
        branch[leaf] = value
    return tree


def _key_of(variable: str) -> str | None:
    """The setting a variable means; None for variables that are none, such as CONVEYOR_CAPTURES."""
    if not variable.startswith(PREFIX):
        return None
    name = variable.removeprefix(PREFIX)
    if SEPARATOR in name:
        return name.lower().replace(SEPARATOR, ".")
    # CONVEYOR_RUN_MODE: a forgotten underscore must not pass for a foreign variable.
    if name.lower().split("_")[0] in Config.model_fields:
        return name.lower()
    return None


def _parse(key: str, text: str) -> Any:
    """The value that a text stands for: as it is for text settings, names between commas, TOML for the rest."""
    kind: Any = FIELDS[key].annotation if key in FIELDS else str
    if get_origin(kind) is tuple:
        return [name.strip() for name in text.split(",") if name.strip()]
    if kind not in (int, float, bool):
        return text
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _unknown(key: str, value: Any, origin: str, place: str) -> Problem:
    if key in SECTIONS:
        return Problem(
            origin, key, f"is {_shown(value)}", "a section",
            f"Set one of its keys, for example {next(other for other in FIELDS if other.startswith(f'{key}.'))}.",
        )  # fmt: skip
    if isinstance(value, dict):
        return Problem(
            origin, key, "is no section", f"one of {', '.join(sorted(SECTIONS))}",
            f"Correct or remove it.{_did_you_mean(key, SECTIONS)}",
        )  # fmt: skip
    # Dots and underscores are compared alike, so that journal.segment.mib and CONVEYOR_RUN_MODE find their setting.
    alike = {_flat(other): other for other in FIELDS}
    near = [alike[match] for match in difflib.get_close_matches(_flat(key), alike, n=1)]
    if not near:
        # A right key in the wrong section, or without one.
        leaf = key.rpartition(".")[2]
        leaves = {other.rpartition(".")[2]: other for other in FIELDS}
        near = [leaves[match] for match in difflib.get_close_matches(leaf, leaves, n=1, cutoff=0.75)]
    hint = f" Did you mean {_spelt(near[0], place)}?" if near else ""
    return Problem(
        origin, key, "is no setting", "a key that `conveyor config show` lists", f"Correct or remove it.{hint}"
    )


def _flat(key: str) -> str:
    return key.replace(".", "_")


def _spelt(key: str, place: str) -> str:
    return PREFIX + key.upper().replace(".", SEPARATOR) if place == "variable" else key


def _did_you_mean(word: str, words: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, sorted(words), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def toml_value(value: Any) -> str:
    """A value as it stands in a TOML file."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _shown(value: Any) -> str:
    """A value inside a sentence, cut to a readable length."""
    text = toml_value(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _translated(error: ValidationError, given: Mapping[str, Any], sources: Mapping[str, str]) -> list[Problem]:
    """pydantic's findings in our words."""
    problems: dict[str, Problem] = {}
    for finding in error.errors(include_url=False):
        if finding["type"] == CROSS_CHECK:
            # What was set by someone is named before what stands at its default.
            first, *others = sorted(finding["ctx"]["keys"], key=lambda key: sources[key] == DEFAULT)
            where = ", ".join(f"{key} = {_shown(_value(key, given))} ({sources[key]})" for key in others)
            problems[first] = Problem(
                sources[first], first, f"= {_shown(_value(first, given))}", finding["msg"],
                f"Change it, or one of: {where}.",
            )  # fmt: skip
            continue
        names = [str(part) for part in finding["loc"]]
        key = next(".".join(names[:count]) for count in range(len(names), 0, -1) if ".".join(names[:count]) in FIELDS)
        problems[key] = Problem(
            sources[key], key, f"= {_shown(given[key])}", expectation(key),
            f"{FIELDS[key].description} Default: {_shown(FIELDS[key].get_default())}.",
        )  # fmt: skip
    return list(problems.values())


def _value(key: str, given: Mapping[str, Any]) -> Any:
    return given.get(key, FIELDS[key].get_default())
