"""A JSON schema as a text is written by: an object has the properties that are named, and no others.

Schemas allow others unless they say `additionalProperties: false`, and a small model that may invent
properties does so until its text has to end. What is written is valid by the schema all the same.
"""

from collections.abc import Iterator
from typing import Any

NAMED = ("properties", "patternProperties", "$defs", "definitions")
"""Keywords whose values are schemas by name."""
LISTED = ("anyOf", "oneOf", "prefixItems")
SINGLE = ("items", "additionalProperties", "contains")
COMBINED = ("allOf", "not", "if", "dependentSchemas", "unevaluatedProperties")
"""Keywords by which several schemas hold for one object: to close one would forbid what another asks for."""
BESIDE = ("anyOf", "oneOf", "$ref")
"""Keywords that do so beside properties of the object's own."""


def closed(schema: Any) -> Any:
    """The same schema with every object closed that does not say whether it is open; as it is where several
    schemas hold for one object."""
    if any(combines(one) for one in subschemas(schema)):
        return schema
    return _closed(schema)


def combines(schema: dict[str, Any]) -> bool:
    """Whether several schemas hold for one object."""
    beside = "properties" in schema and any(name in schema for name in BESIDE)
    return beside or any(name in schema for name in COMBINED)


def subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and all schemas in it."""
    if not isinstance(schema, dict):
        return
    yield schema
    for name in NAMED:
        if isinstance(schema.get(name), dict):
            for one in schema[name].values():
                yield from subschemas(one)
    for name in LISTED:
        if isinstance(schema.get(name), list):
            for one in schema[name]:
                yield from subschemas(one)
    for name in SINGLE:
        yield from subschemas(schema.get(name))


def _closed(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    found = dict(schema)
    for name in NAMED:
        if isinstance(found.get(name), dict):
            found[name] = {key: _closed(one) for key, one in found[name].items()}
    for name in LISTED:
        if isinstance(found.get(name), list):
            found[name] = [_closed(one) for one in found[name]]
    for name in SINGLE:
        if name in found:
            found[name] = _closed(found[name])
    if "properties" in found and "patternProperties" not in found:
        found.setdefault("additionalProperties", False)
    return found
