"""A JSON schema as a text is written by: an object has the properties that are named, and no others.

Schemas allow others unless they say `additionalProperties: false`, and a small model that may invent
properties does so until its text has to end. What is written is valid by the schema all the same.
"""

from collections.abc import Callable, Iterator
from typing import Any

NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords whose values are schemas by name."""
LISTED = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
"""Keywords whose values are lists of schemas; `items` in older drafts."""
SINGLE = (
    "items", "contains", "additionalProperties", "unevaluatedProperties", "propertyNames", "not", "if",
    "then", "else",
)  # fmt: skip
COMBINED = ("not", "if", "dependentSchemas", "unevaluatedProperties")
"""Keywords by which several schemas hold for one object: to close one would forbid what another asks for."""
BESIDE = ("allOf", "anyOf", "oneOf", "$ref")
"""Keywords that do so beside properties of the object's own."""


def closed(schema: Any) -> Any:
    """The same schema with every object closed that does not say whether it is open; as it is where several
    schemas hold for one object."""
    if any(combines(one) for one in subschemas(schema)):
        return schema
    return _closed(schema)


def moved(schema: Any, place: str) -> Any:
    """The same schema as a part of another, where `place` is a JSON pointer to it: what it says of its own
    parts (`#/$defs/Address`) then leads there. A part with an `$id` is counted from by itself."""
    if not isinstance(schema, dict) or "$id" in schema:
        return schema
    found = _with_subschemas(schema, lambda one: moved(one, place))
    reference = found.get("$ref")
    if isinstance(reference, str) and (reference == "#" or reference.startswith("#/")):
        found["$ref"] = f"#{place}{reference[1:]}"
    return found


def combines(schema: dict[str, Any]) -> bool:
    """Whether several schemas hold for one object."""
    beside = "properties" in schema and any(name in schema for name in BESIDE)
    every = schema.get("allOf")  # of one alone it is that one: older versions of pydantic write so
    several = isinstance(every, list) and len(every) > 1
    return beside or several or any(name in schema for name in COMBINED)


def subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and all schemas in it."""
    if not isinstance(schema, dict):
        return
    yield schema
    inner: list[Any] = []
    _with_subschemas(schema, inner.append)
    for one in inner:
        yield from subschemas(one)


def _with_subschemas(schema: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """A copy of a schema in which the schemas directly in it are changed."""
    found = dict(schema)
    for name in NAMED:
        if isinstance(found.get(name), dict):
            found[name] = {key: change(one) for key, one in found[name].items()}
    for name in LISTED:
        if isinstance(found.get(name), list):
            found[name] = [change(one) for one in found[name]]
    for name in SINGLE:
        if isinstance(found.get(name), dict):
            found[name] = change(found[name])
    return found


def _closed(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    found = _with_subschemas(schema, _closed)
    if "properties" in found and "patternProperties" not in found:
        found.setdefault("additionalProperties", False)
    return found
