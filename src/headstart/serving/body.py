"""What bodies of requests have in common: known fields, neutral values, nearest names for unknown ones."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from headstart.errors import nearest
from headstart.serving.guard import RequestRecord
from headstart.serving.request_error import LONGEST_NAME, RequestError

MOST_INPUTS = 2048
LONGEST_TEXT = 1_000_000

Item = TypeVar("Item")
Several: TypeAlias = Annotated[list[Item], Field(fail_fast=True)]
"""A list in a body. Its first wrong item ends the check, so that a large body has no more errors than a small
one: to tell of 100,000 takes a second and 300 MB."""


class Part(BaseModel):
    """An object in a body. Its values are of the types named: "5" is no number."""

    model_config = ConfigDict(
        extra="allow", strict=True, protected_namespaces=(), json_schema_extra={"additionalProperties": False}
    )


class Body(Part):
    """The body of a request to a model."""

    NEUTRAL: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """Fields of others' APIs that have no effect here, with the values that ask for none."""

    model: str | None = None
    """The name of a served model; it may be left out where only one can be meant."""


def accept(body: Body, record: RequestRecord, ignore_unknown: bool) -> None:
    """Refuse fields that nobody knows, and known ones whose values ask for what is not done here.

    Raises:
        RequestError: see above; unknown fields are noted in `record` instead where they are ignored.
    """
    for name, neutral in body.NEUTRAL.items():
        value = getattr(body, name)
        if value is not None and value not in neutral:
            raise RequestError(400, "unsupported_value", f"{name} is not supported here; leave it out", name)
    for path, known in unknown_fields(body):
        if not ignore_unknown:
            shown = path[:LONGEST_NAME]
            hint = nearest(shown.rpartition(".")[2], known)
            raise RequestError(400, "unknown_field", f"there is no field {shown!r}{hint}", shown)
        record.ignored.append(path)
    record.model = body.model


def unknown_fields(part: BaseModel, before: str = "") -> Iterator[tuple[str, list[str]]]:
    """The path of each field that a body has and its type has not, with the names that the type has."""
    for name in part.model_extra or ():
        yield f"{before}{name}", list(type(part).model_fields)
    for name in type(part).model_fields:
        value = getattr(part, name)
        for number, one in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(one, Part):
                place = f"{name}.{number}" if isinstance(value, list) else name
                yield from unknown_fields(one, f"{before}{place}.")


def listed(given: Any, name: str) -> list[Any]:
    """One input or several as a list, within the limits.

    Raises:
        RequestError: none, too many, or one that is too long.
    """
    inputs = given if isinstance(given, list) else [given]
    if not inputs:
        raise RequestError(400, "unsupported_value", f"{name} is empty; give at least one text", name)
    if len(inputs) > MOST_INPUTS:
        raise RequestError(
            400,
            "unsupported_value",
            f"{name} has {len(inputs):,} inputs; send at most {MOST_INPUTS:,} at once",
            name,
        )
    for one in inputs:
        refuse_long(one, name)
    return inputs


def refuse_long(given: Any, name: str) -> None:
    """Refuse a text beyond the limit, wherever it stands in a value."""
    if isinstance(given, str):
        if len(given) > LONGEST_TEXT:
            raise RequestError(
                400,
                "unsupported_value",
                f"{name} holds a text over {LONGEST_TEXT:,} characters; split it",
                name,
            )
    elif isinstance(given, list | tuple):
        for one in given:
            refuse_long(one, name)
    elif isinstance(given, dict):
        for one in given.values():
            refuse_long(one, name)


def plain(given: Any) -> Any:
    """An object of a body as a mapping, without what it does not say; anything else as it is."""
    return given.model_dump(exclude_none=True) if isinstance(given, Part) else given
