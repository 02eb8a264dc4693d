"""A validator of the part of JSON Schema (draft 2020-12) that docs/schema uses; a word it does not know is an error."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

SAID = {"$schema", "$defs", "title", "description"}  # words that forbid nothing
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip


def problems(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, at: str = "$") -> Iterator[str]:
    """What of `value`, as json reads it, the schema forbids. Raises KeyError for a word that is not known here."""
    root = schema if root is None else root
    for word in schema:
        if word not in SAID:
            yield from CHECKS[word](value, schema, root, at)


def _ref(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    target: Any = root
    for name in schema["$ref"].removeprefix("#/").split("/"):
        target = target[name]
    yield from problems(value, target, root, at)


def _type(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    kinds = tuple(kind for name in names for kind in TYPES[name])
    is_truth = isinstance(value, bool) and "boolean" not in names  # a bool of Python is an int as well
    if is_truth or not isinstance(value, kinds) or (isinstance(value, float) and not math.isfinite(value)):
        yield f"{at} is {value!r}, not {' or '.join(names)}"


def _properties(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    for name in value if isinstance(value, dict) else ():
        if name in schema["properties"]:
            yield from problems(value[name], schema["properties"][name], root, f"{at}.{name}")


def _additional(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    assert schema["additionalProperties"] is False
    for name in value if isinstance(value, dict) else ():
        if name not in schema["properties"]:
            yield f"{at} has {name}, which is not declared"


def _required(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    for name in schema["required"]:
        if isinstance(value, dict) and name not in value:
            yield f"{at} lacks {name}"


def _items(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    for place, one in enumerate(value if isinstance(value, list) else ()):
        yield from problems(one, schema["items"], root, f"{at}[{place}]")


def _most_items(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(value, list) and len(value) > schema["maxItems"]:
        yield f"{at} has {len(value)} items, at most {schema['maxItems']}"


def _enum(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if not any(value == one and type(value) is type(one) for one in schema.get("enum", [schema.get("const")])):
        yield f"{at} is {value!r}, none of the values allowed"


def _pattern(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(value, str) and not re.search(schema["pattern"], value):
        yield f"{at} is {value!r}, not of the form {schema['pattern']}"


def _least(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(value, int | float) and value < schema["minimum"]:
        yield f"{at} is {value}, below {schema['minimum']}"


def _most(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(value, int | float) and value > schema["maximum"]:
        yield f"{at} is {value}, above {schema['maximum']}"


CHECKS = {
    "$ref": _ref, "type": _type, "properties": _properties, "additionalProperties": _additional, "required": _required,
    "items": _items, "maxItems": _most_items, "enum": _enum, "const": _enum, "pattern": _pattern, "minimum": _least,
    "maximum": _most,
}  # fmt: skip
