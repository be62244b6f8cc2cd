"""Hyper-parameters tried out on validation data: a grid, or as many random points of it as asked for."""

import math
import time
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import TypeAlias

import numpy as np
from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.errors import HeadstartError, nearest
from headstart.folder import read_json, write_json
from headstart.interchange.model_folder import LoadedModel
from headstart.tasks.examples import Examples
from headstart.tasks.finetuning.batches import set_apart
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.learn import best_line, comparable

FEW = {"validation_share": 0.25, "validation_least": 1}
"""How examples are split for the search where they are too few to be split otherwise."""

Point: TypeAlias = dict[str, object]
"""Settings that are tried together, by name."""


class Tried(TypedDict):
    """A point of the search."""

    settings: Point
    score: float | None
    """On the validation data; None in a file: it was no number."""
    examples: int
    """Of the validation data."""
    step: int | None
    """Behind which the weights were kept."""
    seconds: float


def search(
    loaded: LoadedModel,
    train: Examples,
    recipe: FinetuneRecipe,
    seed: int,
    validation: Examples | None = None,
    say: Callable[[str], None] = lambda line: None,
    file: Path | None = None,
) -> tuple[FinetuneRecipe, list[Tried]]:
    """The recipe with the settings that score highest on the validation data, and what each scored.

    Every point is fine-tuned by itself, from the same seed; equal scores go to the earlier point.

    Args:
        recipe: its `search` names settings and their values; of more points than `search_trials` that many
            are drawn.
        validation: None: a part of `train`, a quarter if there are few.
        say: told a line for every point.
        file: keeps what was tried, so that a call that was stopped goes on behind it.

    Raises:
        HeadstartError: a setting that there is not, a value that it cannot have, or no score is a number.
    """
    if validation is None:
        train, validation = set_apart(train, recipe, seed)
    if validation is None:
        train, validation = set_apart(train, recipe.model_copy(update=FEW), seed)
    if validation is None:
        raise HeadstartError(f"a search needs validation data, and {len(train)} examples cannot be split")
    chosen = points(recipe, seed)
    recipes = [recipe_at(recipe, point) for point in chosen]
    tried = _tried_before(file, chosen)
    for point, its in list(zip(chosen, recipes, strict=True))[len(tried) :]:
        started = time.perf_counter()
        predictor = finetune(loaded, train, its, seed, validation=validation)
        made = predictor.training
        best = best_line(made.validation or [])["score"]
        tried.append(
            {
                "settings": point,
                "score": best,
                "examples": len(validation),
                "step": made.kept_step,
                "seconds": round(time.perf_counter() - started, 3),
            }
        )
        if file is not None:
            write_json(file, tried)
        say(f"{shown(point)}: {best:.3f} on {len(validation):,} validation examples")
    scores = [comparable(row["score"]) for row in tried]
    if max(scores) == -math.inf:
        raise HeadstartError(
            f"no point of the search has a score that is a number, on {len(validation):,} validation "
            "examples, as where every answer is the same; give other validation data, or other settings"
        )
    return recipes[scores.index(max(scores))], tried


def _tried_before(file: Path | None, chosen: list[Point]) -> list[Tried]:
    """What a call that was stopped has kept of the first of these points."""
    tried = [] if file is None or not file.exists() else read_json(file, list[Tried])
    same = [row["settings"] for row in tried] == chosen[: len(tried)]
    return tried if same else []


def points(recipe: FinetuneRecipe, seed: int) -> list[Point]:
    """The settings to try, in order."""
    known = [name for name in FinetuneRecipe.model_fields if not name.startswith("search")]
    for name, values in recipe.search.items():
        if name not in known:
            raise HeadstartError(f"search: there is no setting {name!r}{nearest(name, known)}")
        if not values:
            raise HeadstartError(f"search: {name} has no values; give a list, as in {name}=[1, 2]")
    grid = [dict(zip(recipe.search, values, strict=True)) for values in product(*recipe.search.values())]
    if recipe.search_trials is None or recipe.search_trials >= len(grid):
        return grid
    random = np.random.Generator(np.random.Philox(key=seed))
    return [grid[place] for place in sorted(random.permutation(len(grid))[: recipe.search_trials])]


def recipe_at(recipe: FinetuneRecipe, point: Mapping[str, object]) -> FinetuneRecipe:
    """The recipe with these settings and nothing left to search."""
    settings = recipe.model_dump(exclude={"search", "search_trials"}) | dict(point)
    return FinetuneRecipe.checked(settings)


def shown(point: Mapping[str, object]) -> str:
    """Settings in a line."""
    return " ".join(f"{name}={value}" for name, value in point.items())
