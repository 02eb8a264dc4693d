"""Which settings there are, by dotted key; what each must be, and how it stands as text.

Most keys are declared: FIELDS. Two sections are mappings, whose names nobody declares: a key of theirs, as
`core.signals.detectors.spike_vol_v1.threshold` or `core.signals.sectors.BTC`, is a setting once somebody sets it.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from config.schema import Config

DETECTORS = "core.signals.detectors"  # one of those mappings
UNSET = "default"  # as the text of a value: what holds if nobody sets it


def _declared() -> tuple[dict[str, FieldInfo], dict[str, FieldInfo]]:
    fields: dict[str, FieldInfo] = {}
    mappings: dict[str, FieldInfo] = {}

    def walk(model: type[BaseModel], prefix: str) -> None:
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                walk(kind, f"{prefix}{name}.")
            elif get_origin(kind) is dict:
                mappings[prefix + name] = field
            else:
                fields[prefix + name] = field

    walk(Config, "")
    return fields, mappings


FIELDS, MAPPINGS = _declared()  # dotted key -> its declaration, in the order of the schema
SECTIONS = {key[:position] for key in FIELDS for position, letter in enumerate(key) if letter == "."} | {*MAPPINGS}


def field_of(key: str) -> FieldInfo | None:
    """What declares a setting; None: there is none of that name."""
    if key in FIELDS:
        return FIELDS[key]
    root = mapping_of(key)
    if root is None or key == root:
        return None
    entry, name = entry_of(root), key.removeprefix(f"{root}.")
    if entry is str:
        return FieldInfo(annotation=str, default=None, description=MAPPINGS[root].description)
    owner, _, leaf = name.rpartition(".")
    return entry.model_fields.get(leaf) if owner and "." not in owner else None


def mapping_of(key: str) -> str | None:
    """The mapping that a key stands in, or is."""
    return next((root for root in MAPPINGS if key == root or key.startswith(f"{root}.")), None)


def entry_of(root: str) -> Any:
    """What a mapping holds by name: str, or the section that stands there."""
    return get_args(MAPPINGS[root].annotation)[1]


def is_section(key: str) -> bool:
    """Whether settings stand below it."""
    root = mapping_of(key)
    entry = root is not None and entry_of(root) is not str and key.count(".") == root.count(".") + 1
    return key in SECTIONS or entry


def path_of(key: str) -> list[str]:
    """The names on the way to a setting. What follows a mapping of texts is one name, dots and all."""
    root = mapping_of(key)
    if root is None or key == root or entry_of(root) is not str:
        return key.split(".")
    return [*root.split("."), key.removeprefix(f"{root}.")]


def values(settings: BaseModel, prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value, in the order of the schema; of the mappings what is set. prefix: of a section's own keys."""
    found: dict[str, Any] = {}
    for name in type(settings).model_fields:
        value, key = getattr(settings, name), prefix + name
        if isinstance(value, BaseModel):
            found |= values(value, f"{key}.")
        elif key in MAPPINGS:
            for entry in sorted(value):
                own = value[entry]
                told = values(own, f"{key}.{entry}.") if isinstance(own, BaseModel) else {f"{key}.{entry}": own}
                found |= {leaf: set_to for leaf, set_to in told.items() if set_to is not None}
        else:
            found[key] = value
    return found


DEFAULTS = values(Config())


def default_of(key: str) -> Any:
    """The value of a setting that nobody sets. Of a name in a mapping None: what is usual for it."""
    return DEFAULTS.get(key)


def overlaid(tree: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Set dotted keys in nested settings, as model_dump makes them; None takes a mapping's text out. Returns `tree`."""
    for key, value in given.items():
        *parents, leaf = path_of(key)
        branch = tree
        for name in parents:
            branch = branch.setdefault(name, {})
        if value is None and mapping_of(key) == ".".join(parents):
            branch.pop(leaf, None)
        else:
            branch[leaf] = default_of(key) if value is None else value
    return tree


# Words ----------------------------------------------------------------------------------------------------------------


def _kind(field: FieldInfo) -> Any:
    """The type of a setting, without the None of an optional one."""
    kind: Any = field.annotation
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (part for part in get_args(kind) if part is not type(None))
    return kind


def expectation(key: str) -> str:
    """What a setting must be, for people: `a whole number from 100 to 10000`."""
    field = field_of(key)
    assert field is not None, key
    kind = _kind(field)
    if kind is bool:
        return "true or false"
    if kind is str:
        return "a text"
    if get_origin(kind) is tuple:
        choices = get_args(get_args(kind)[0])
        return f"a list of {', '.join(map(str, choices))}" if choices else "a list of names"
    if get_args(kind):
        return "one of " + ", ".join(f'"{choice}"' for choice in get_args(kind))
    bounds = []
    for rule in _rules(field):
        match rule:
            case Ge(ge=least):
                bounds.append(f"from {least}")
            case Gt(gt=least):
                bounds.append(f"above {least}")
            case Le(le=most):
                bounds.append(f"to {most}" if "from" in " ".join(bounds) else f"up to {most}")
            case Lt(lt=most):
                bounds.append(f"below {most}")
    noun = "a whole number" if kind is int else "a number"
    power = ", a power of two" if any(isinstance(rule, AfterValidator) for rule in field.metadata) else ""
    return " ".join([noun, *bounds]) + power


def _rules(field: FieldInfo) -> list[Any]:
    """Bounds of a number. Pydantic keeps those of an optional one beside its type."""
    return [part for rule in field.metadata for part in getattr(rule, "metadata", None) or [rule]]


def parse(key: str, text: str) -> Any:
    """The value that a text stands for: as it is for text settings, names between commas or as a
    TOML list, TOML for the rest."""
    field = field_of(key)
    kind = str if field is None else _kind(field)
    if text == UNSET and field is not None and (kind is not str or key not in FIELDS):
        return None
    if get_origin(kind) is tuple and not text.lstrip().startswith("["):
        return [name.strip() for name in text.split(",") if name.strip()]
    if get_origin(kind) is not tuple and kind not in (int, float, bool):
        return text
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def toml_value(value: Any) -> str:
    """A value as it stands in a TOML file."""
    return json.dumps(value, ensure_ascii=False, default=str)
