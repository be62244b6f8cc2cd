"""What a recipe's settings are, for people: type, default, meaning and usual names, read from its class.

`--settings` prints it, and `docs/reference-settings.md` is made of it.
"""

import ast
import inspect
import textwrap
import types
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from headstart.folder import JSONObject
from headstart.recipe import Recipe
from headstart.setting_names import answers_of, group_in, kinds_of, types_of


@dataclass(frozen=True)
class SettingFacts:
    """A setting as a reader wants to know it."""

    name: str
    type: str
    default: str
    """As it is written in YAML; empty: it has to be given."""
    meaning: str
    usual: tuple[str, ...]


def facts_of(recipe: type, at: str = "") -> Iterator[SettingFacts]:
    """All settings of a recipe class, those of groups by their full names."""
    usual: dict[str, str] = getattr(recipe, "USUAL_NAMES", {})
    kinds = kinds_of(recipe)
    meanings = {name: text for kind in reversed(kinds) for name, text in meanings_of(kind).items()}
    defaults = {name: value for kind in reversed(kinds) for name, value in _defaults(kind).items()}
    for name, annotation in types_of(recipe).items():
        group = group_in(annotation)
        if group is not None and defaults[name] is not None:
            yield from facts_of(group, f"{at}{name}.")
            continue
        default = "" if defaults[name] is MISSING else _written(defaults[name])
        names = tuple(usual.get(name, "").split())
        meaning = f"{meanings.get(name, '')} {_other_defaults(kinds[1:], name, defaults[name])}".strip()
        yield SettingFacts(f"{at}{name}", type_name(annotation), default, meaning, names)


def _other_defaults(kinds: Sequence[type], name: str, default: Any) -> str:
    """The defaults of a setting in those kinds of a group that have another one."""
    of_kinds = [(_defaults(kind)["kind"], _defaults(kind).get(name, default)) for kind in kinds]
    others = [
        f"{_written(value)} for {kind}" for kind, value in of_kinds if value != default and name != "kind"
    ]
    return f"Default {', '.join(others)}." if others else ""


@cache
def meanings_of(recipe: type) -> dict[str, str]:
    """The docstring below every setting of a class, in one line; of a setting that it has from another class,
    that one's."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(recipe)))
    body = tree.body[0].body  # type: ignore[attr-defined]
    above = [base for base in recipe.__bases__ if issubclass(base, Recipe) and base is not Recipe]
    found = {name: text for base in above for name, text in meanings_of(base).items()}
    for field, text in pairwise(body):
        documented = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and documented:
            found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def type_name(annotation: Any) -> str:
    """A type in words that a reader of YAML knows: `whole number`, `muon | adamw`, `list of text`."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, inside))
    if origin in (Union, types.UnionType):
        kinds = [type_name(part) for part in inside if part is not type(None)]
        return " | ".join(kinds) + (" | null" if type(None) in inside else "")
    if origin is list:
        return f"list of {type_name(inside[0])}"
    if origin is tuple:
        return f"list of {type_name(inside[0])}"
    if origin is dict:
        return f"mapping to {type_name(inside[1])}"
    if hasattr(annotation, "__metadata__"):
        return type_name(inside[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"settings ({', '.join(annotation.model_fields)})"
    words = {
        int: "whole number",
        float: "number",
        bool: "true | false",
        str: "text",
        Path: "path",
        Any: "any",
    }
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def as_text(recipe: type) -> str:
    """The settings for a terminal."""
    lines = []
    for one in facts_of(recipe):
        lines.append(f"{one.name} = {one.default or '(to be given)'}   [{one.type}]")
        for line in (one.meaning, f"usual names: {', '.join(one.usual)}" if one.usual else ""):
            lines += textwrap.wrap(line, 100, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def as_markdown(title: str, recipe: type) -> str:
    """The settings as a section of a page, with what is answered to other names."""
    lines = [
        f"## {title}",
        "",
        "| setting | default | type | meaning | usual names |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in facts_of(recipe):
        names = ", ".join(f"`{name}`" for name in one.usual)
        cells = (
            f"`{one.name}`",
            f"`{one.default}`" if one.default else "to be given",
            one.type,
            one.meaning,
            names,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    if answers := answers_of(recipe):
        grouped: dict[str, list[str]] = {}
        for name, text in answers.items():
            grouped.setdefault(text, []).append(name)
        lines += ["", "Names that mean something else here, and what to do instead:", ""]
        for text, same in grouped.items():
            said = text if text.endswith("?") else f"{text.rstrip('.')}."
            lines.append(f"- {', '.join(f'`{name}`' for name in same)}: {said}")
    return "\n".join(lines)


def _defaults(recipe: type) -> JSONObject:
    if issubclass(recipe, BaseModel):
        return {
            name: MISSING if field.is_required() else field.get_default(call_default_factory=True)
            for name, field in recipe.model_fields.items()
        }
    return {field.name: field.default for field in fields(recipe)}  # type: ignore[arg-type]


def _written(value: Any) -> str:
    if value is None or value is PydanticUndefined:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(_written(one) for one in value)}]"
    if isinstance(value, dict) and value:
        return f"{{{len(value)} entries}}"
    return str(value)
