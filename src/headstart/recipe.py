"""Recipes: YAML files checked by typed models, with `key=value` overrides from the command line.

A recipe class derives from `Recipe`. Settings may be given by the names that they have in other tools
(`setting_names`). Unknown keys and wrong values end in one sentence that names the file, the line and the
nearest known key.
"""

import math
import re
from pathlib import Path
from typing import ClassVar, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, atomic
from headstart.overrides import apply_override
from headstart.setting_names import Location, WrongKey, group_at, own_names, types_of

MOST_TEXT, MOST_VALUES = 1_000_000, 20_000
"""Characters of a recipe, and values in it, that are still read."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1, except that `1e-3` is the number that everybody means and not a text."""


class _Dumper(yaml.SafeDumper):
    """The same: a text that reads like such a number is put in quotes."""


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
    )


class Recipe(BaseModel):
    """Base of all settings. Unknown keys are errors, and values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    USUAL_NAMES: ClassVar[dict[str, str]] = {}
    """For a setting its names in other tools, with spaces between them: see `setting_names`."""
    ANSWERS: ClassVar[dict[str, str]] = {}
    """For names that stand for no setting, what to do instead."""

    @classmethod
    def load(cls, path: Path | None, overrides: list[str]) -> Self:
        """Read a recipe file (None: only the defaults), apply `a.b=value` overrides, and validate.

        Raises:
            HeadstartError: the file is unreadable or bad YAML, a key is unknown, or a value has the wrong
                type.
        """
        values, lines = _named(cls, *read_yaml(path), path) if path else ({}, {})
        for override in overrides:
            apply_override(values, override, cls)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise HeadstartError(_sentence(cls, error, path, lines)) from None

    @classmethod
    def checked(cls, values: JSONObject) -> Self:
        """Make the recipe from values of a program.

        Raises:
            HeadstartError: a key is unknown, or a value has the wrong type.
        """
        values, _ = _named(cls, values, {}, None)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise HeadstartError(_sentence(cls, error, None, {})) from None

    def save(self, path: Path) -> None:
        """Write the resolved recipe with all defaults, so that the file alone repeats the run."""
        with atomic(path) as temporary:
            values = self.model_dump(mode="json")
            temporary.write_text(yaml_text(values), encoding="utf-8")


def yaml_text(values: JSONObject) -> str:
    """Settings as YAML that `read_yaml` reads as the same values."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with headstart, by name: in its package, or beside the sources of a clone."""
    here = Path(__file__).parent
    folders = [folder for folder in (here / "recipes", here.parents[1] / "recipes") if folder.is_dir()]
    return {path.stem: path for folder in folders[:1] for path in sorted(folder.glob("*.yaml"))}


def shipped_recipe(path: Path) -> Path:
    """The file at `path`; for the mere name of a shipped recipe, where no such file is, that recipe's."""
    if path.suffix or path.exists() or len(path.parts) > 1:
        return path
    return shipped_recipes().get(path.name, path)


def folder_named(path: Path, recipe: Path) -> Path | None:
    """A folder that a recipe file names, if it is there; a relative path was written where the run was
    started, which is mostly above the run folder."""
    places = [base / path for base in (Path.cwd(), *recipe.absolute().parents)]
    return next((place for place in places if place.exists()), None)


def read_yaml(path: Path) -> tuple[JSONObject, dict[Location, int]]:
    """The mapping in a YAML file, and the line (from 1) of every key in it: the one way in which headstart
    opens them.

    Raises:
        HeadstartError: the file is missing, no YAML, no mapping, or more than a person would write.
    """
    try:
        text = shipped_recipe(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        known = ", ".join(sorted(shipped_recipes()))
        raise HeadstartError(
            f"there is no recipe {path}; check the path, or name one that comes with headstart: {known}"
        ) from None
    except UnicodeDecodeError:
        raise HeadstartError(f"recipe {path} is not UTF-8 text") from None
    if len(text) > MOST_TEXT:
        raise HeadstartError(f"recipe {path} is longer than {MOST_TEXT:,} characters, which no recipe is")
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None and _size(node, {}) > MOST_VALUES:
            raise HeadstartError(
                f"recipe {path} holds more than {MOST_VALUES:,} values, its aliases counted; write it without"
            )
        values = _Loader("").construct_document(node) if node is not None else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that no calendar has
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        why = (
            "it is nested too deeply"
            if isinstance(error, RecursionError)
            else getattr(error, "problem", error)
        )
        raise HeadstartError(f"recipe {path}{where}: not valid YAML ({why})") from None
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        raise HeadstartError(
            f"recipe {path} must be a list of `key: value` lines, not a {type(values).__name__}"
        )
    lines: dict[Location, int] = {}
    _collect_lines(node, (), lines, path)
    return values, lines


def _size(node: yaml.Node, known: dict[int, float]) -> float:
    """How many values a node holds, each alias counted as what it stands for; infinite: it holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf  # until it is known: only an alias inside of it asks before
        below: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            below = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            below = node.value
        known[id(node)] = 1 + sum(_size(part, known) for part in below)
    return known[id(node)]


def _collect_lines(
    node: yaml.Node | None, location: Location, lines: dict[Location, int], path: Path
) -> None:
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in first:
                raise HeadstartError(
                    f"recipe {path} line {line}: {key.value!r} stands in line {first[key.value]} already; "
                    "leave one of them"
                )
            first[key.value] = line
            lines[(*location, key.value)] = line
            _collect_lines(value, (*location, key.value), lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*location, index)] = value.start_mark.line + 1
            _collect_lines(value, (*location, index), lines, path)


def _named(
    cls: type[BaseModel], values: JSONObject, lines: dict[Location, int], path: Path | None
) -> tuple[JSONObject, dict[Location, int]]:
    """Values and lines under the settings' own names.

    Raises:
        HeadstartError: a key that names no setting, or two that name the same one.
    """
    try:
        named, moved = own_names(cls, values)
    except WrongKey as wrong:
        name = ".".join(map(str, wrong.location))
        raise HeadstartError(f"{_where(wrong.location, path, lines)}: {wrong.of(name)}") from None
    now: dict[Location, int] = {}
    for location, line in lines.items():
        kept = next((n for n in range(len(location), 0, -1) if location[:n] in moved), 0)
        now[(*moved.get(location[:kept], ()), *location[kept:])] = line
    return named, now


def _where(location: Location, path: Path | None, lines: dict[Location, int]) -> str:
    """The file and the line of a key, for the beginning of a sentence."""
    line = next((lines[location[:n]] for n in range(len(location), 0, -1) if location[:n] in lines), None)
    return f"{path} line {line}" if path and line else (f"recipe {path}" if path else "settings")


def _sentence(
    cls: type[BaseModel], error: ValidationError, path: Path | None, lines: dict[Location, int]
) -> str:
    """The first validation error as one sentence."""
    first = error.errors()[0]
    location: Location = first["loc"]
    name = ".".join(str(part) for part in location)
    where = _where(location, path, lines)
    if first["type"] == "missing":
        return f"{where}: the key {name!r} is missing; add it or pass {name}=VALUE"
    group = group_at(cls, location)
    if first["type"] == "model_type" and group is not None:
        keys = ", ".join(types_of(group))
        return f"{where}: {name} = {first['input']!r} is wrong: it is a group of settings ({keys})"
    why = first["msg"].removeprefix("Value error, ")  # pydantic's words before a validator's own
    keys_do_not_fit = first["type"] == "value_error" and isinstance(first["input"], (dict, BaseModel))
    if keys_do_not_fit:
        return ": ".join(filter(None, (where, name, why)))
    return f"{where}: {name} = {first['input']!r} is wrong: {why[0].lower()}{why[1:]}"
