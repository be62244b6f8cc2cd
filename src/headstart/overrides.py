"""`key=value` from the command line, read by the type of the setting and never as YAML.

Where a setting is a path or a string, the value is taken as it stands: `exp #1/x`, `2024`, `true` and `a: b`
are names of folders like any other. A list is written `[a, b]`, a mapping `{key: value}`; quotes protect a
comma in them.
"""

import re
import types
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import orjson
from pydantic import BaseModel

from headstart.errors import HeadstartError
from headstart.setting_names import WrongKey, find_setting, own_names, settings_of

_EMPTY = ("", "null", "~")
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NUMBER = re.compile(r"[-+]?(\d[\d_]*)?\.?\d*([eE][-+]?\d+)?")


class _Quoted(str):
    """A string that stood in quotes: it is no number and no truth value."""


def apply_override(values: dict[Any, Any], override: str, cls: type) -> None:
    """Set one `a.b.c=value` in `values`, which are to become a `cls`, where its setting stands.

    Raises:
        HeadstartError: no `=`, no such setting, a key below a value, or brackets that do not close.
    """
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise HeadstartError(f"override {override!r} is not of the form key=value")
    try:
        location, kind = find_setting(cls, tuple(key.split(".")))
        value, _ = own_names(cls, read_value(text, kind), kind, location)
    except WrongKey as wrong:
        raise HeadstartError(f"settings: {wrong.of(key)}") from None
    except ValueError as error:
        raise HeadstartError(f"override {override!r}: {error}") from None
    *parents, last = location
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise HeadstartError(f"override {override!r}: {parent!r} holds a value, not a group of keys")
    values[last] = value


def read_value(text: str, kind: Any) -> Any:
    """`text` as a value for a setting of the type `kind`; what does not fit stays a string.

    Raises:
        ValueError: brackets or quotes that do not close, where the setting takes no string.
    """
    kinds = _members(kind)
    if _takes_groups(kinds) and text.lstrip()[:1] in ("[", "{"):
        try:
            return _fitted(_parse(text.strip()), kind)
        except ValueError:
            if not _takes_text(kinds):
                raise
    return _scalar(text, kinds)


def _scalar(text: str, kinds: list[Any]) -> Any:
    """A single value: what the setting names literally, then nothing, truth values, numbers, and text."""
    named = [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    if text in named or isinstance(text, _Quoted):
        return str(text)
    if (types.NoneType in kinds or Any in kinds) and text in _EMPTY:
        return None
    if (bool in kinds or Any in kinds) and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if (int in kinds or float in kinds or Any in kinds) and (number := _number(text)) is not None:
        return number
    return text


def _number(text: str) -> int | float | None:
    if not _NUMBER.fullmatch(text):
        return None
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return None


def _takes_text(kinds: list[Any]) -> bool:
    return any(isinstance(kind, type) and issubclass(kind, str | Path) for kind in kinds) or Any in kinds


def _takes_groups(kinds: list[Any]) -> bool:
    groups = (get_origin(kind) or kind for kind in kinds)
    return Any in kinds or any(
        isinstance(group, type)
        and issubclass(group, BaseModel | Mapping | Sequence | Set)
        and not issubclass(group, str)
        for group in groups
    )


def _members(kind: Any) -> list[Any]:
    """The types that a setting may have: those of a union one by one, without what only annotates them."""
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return [member for part in get_args(kind) for member in _members(part)]
    return [kind]


def _below(kind: Any, key: str) -> Any:
    """The type of what lies under `key` in a value of the type `kind`; `Any` where nobody knows."""
    for member in _members(kind):
        if isinstance(member, type) and issubclass(member, BaseModel):
            for setting in settings_of(member):
                if len(setting.path) == 1 and key in setting.names:
                    return setting.type
        elif isinstance(get_origin(member), type) and issubclass(get_origin(member), Mapping):
            return get_args(member)[1]
    return Any


def _inside(kind: Any, place: int) -> Any:
    """The type of an element of a list or a tuple."""
    for member in _members(kind):
        origin, arguments = get_origin(member), get_args(member)
        if origin is tuple and ... not in arguments:
            return arguments[place] if place < len(arguments) else Any
        if isinstance(origin, type) and issubclass(origin, Sequence | Set):
            return arguments[0]
    return Any


def _fitted(tree: Any, kind: Any) -> Any:
    """What was parsed, with every scalar read by its type."""
    if isinstance(tree, dict):
        return {key: _fitted(value, _below(kind, key)) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_fitted(value, _inside(kind, place)) for place, value in enumerate(tree)]
    return _scalar(tree, _members(kind))


def _parse(text: str) -> Any:
    """Brackets and braces as lists and dicts of strings."""
    value, end = _group(text, 0)
    if text[end:].strip():
        raise ValueError(f"something stands behind {text[end - 1]!r}")
    return value


def _group(text: str, at: int) -> tuple[Any, int]:
    """The list or mapping that begins at `at`, and where it ends."""
    mapping = text[at] == "{"
    closing = "}" if mapping else "]"
    found: list[Any] = []
    at += 1
    while True:
        at = _past_blanks(text, at)
        if text[at : at + 1] == closing:
            break
        key = None
        if mapping:
            key, at = _word(text, at, ":")
            if text[at : at + 1] != ":":
                raise ValueError(f"{key!r} has no value; write {{key: value}}")
            at = _past_blanks(text, at + 1)
        if text[at : at + 1] in ("[", "{"):
            value, at = _group(text, at)
            at = _past_blanks(text, at)
        else:
            value, at = _word(text, at, f",{closing}")
        found.append((str(key), value) if mapping else value)
        if text[at : at + 1] == ",":
            at += 1
        elif text[at : at + 1] != closing:
            raise ValueError(f"a {closing!r} is missing")
    return (dict(found) if mapping else found), at + 1


def _word(text: str, at: int, ends: str) -> tuple[str, int]:
    """The string that begins at `at`, in quotes or up to one of `ends`, and where it ends."""
    if (quote := text[at : at + 1]) and quote in "'\"":
        match = re.compile(r'"(?:[^"\\]|\\.)*"' if quote == '"' else r"'(?:[^']|'')*'").match(text, at)
        if match is None:
            raise ValueError(f"the quote {quote} is not closed")
        said = match.group()
        inner = orjson.loads(said) if quote == '"' else said[1:-1].replace("''", "'")
        return _Quoted(inner), _past_blanks(text, match.end())
    end = at
    while end < len(text) and text[end] not in ends:
        end += 1
    return text[at:end].strip(), end


def _past_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
