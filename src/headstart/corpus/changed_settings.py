"""What differs between the settings of a corpus and those of the one that it goes on from.

A corpus that goes on has the settings that are given, not those of the earlier one: what was given there and
is not given again, such as the rules of a language, holds no more. So every difference is said.
"""

from collections.abc import Iterator
from pathlib import Path

from headstart.corpus.recipe import CorpusRecipe
from headstart.folder import JSONObject
from headstart.recipe import read_yaml

_SHOWN = 60


def changed_settings(earlier: Path, recipe: CorpusRecipe) -> list[str]:
    """A line for every setting of a recipe that the earlier corpus had otherwise."""
    before, _ = read_yaml(earlier / "recipe.yaml")
    return list(_differences("", before, recipe.model_dump(mode="json")))


def _differences(name: str, before: JSONObject, now: JSONObject) -> Iterator[str]:
    for key in dict.fromkeys([*now, *before]):
        was, is_now, whole = before.get(key), now.get(key), f"{name}{key}"
        if isinstance(was, dict) and isinstance(is_now, dict):
            yield from _differences(f"{whole}.", was, is_now)
        elif was != is_now:
            yield f"{whole} was {_shown(was)} and is {_shown(is_now)}"


def _shown(value: object) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
