"""A sweep of small runs that ends in a forecast: design, train, fit, predict a larger run, train it, score.

The grid has runs of equal compute at four computes over two decades (IsoFLOP), whose sizes meet across the
computes (fixed N). Each run is an ordinary run folder: a sweep that was stopped goes on where it was, and
`headstart plan fit` reads the folders afterwards. The forecast is written before the larger run begins.
The recipe's rates are those for width 256; runs of other widths have theirs by the rule of `transfer`.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, cast

from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.errors import HeadstartError
from headstart.folder import read_json, write_json
from headstart.models.config import TransformerConfig
from headstart.models.parameters import parameters
from headstart.page.numbers import amount
from headstart.scaling.fit import Fit
from headstart.scaling.fit_report import (
    BUDGET,
    DESIGN,
    FIT,
    FORECAST,
    SCORE,
    Design,
    DesignedRun,
    Forecast,
    ForecastScore,
    SweepReport,
    fit_report,
)
from headstart.scaling.runs import MeasuredRun, read_runs
from headstart.scaling.shape import shape_for
from headstart.scaling.width_rule import check_shared, tuned_for_width
from headstart.tokenizer.shards import tokens_manifest
from headstart.training.loop import pretrain
from headstart.training.recipe import ModelRecipe, PretrainRecipe
from headstart.training.step_cost import SUSTAINED, step_cost

LEVELS = (1e-2, 10**-1.5, 1e-1, 10**-0.5, 1.0)
"""Computes of the grid, as shares of its largest."""
RATIOS = (4.0, 12.0, 36.0, 108.0)
"""Tokens a parameter at each compute: on both sides of the published optimum of 20."""
LARGER = 5.0
"""Compute of the predicted run over that of the largest run of the grid."""
FEWEST_STEPS = 60
SAMPLES = 1000


@dataclass(frozen=True)
class PlannedRun:
    name: str
    recipe: PretrainRecipe
    parameters: int
    tokens: int

    @property
    def compute(self) -> float:
        return 6.0 * self.parameters * self.tokens


def design(base: PretrainRecipe, budget: float) -> tuple[list[PlannedRun], PlannedRun]:
    """The grid, and the larger run, that together cost `budget` FLOPs.

    Args:
        base: everything that all runs share; its model's sizes and its steps are replaced.

    Raises:
        HeadstartError: a budget too small for runs of `FEWEST_STEPS` steps; a start from a model, or minutes.
    """
    check_shared(base)
    unit = sum(LEVELS) * len(RATIOS) + LARGER
    largest = budget / unit
    vocab_size = _vocabulary(base)
    grid: dict[str, PlannedRun] = {}
    for level in LEVELS:
        for ratio in RATIOS:
            run = _planned(base, vocab_size, largest * level, ratio)
            if run is not None and run.recipe.steps >= FEWEST_STEPS:
                grid.setdefault(run.name, run)
    sizes = {run.parameters for run in grid.values()}
    if len(grid) < 12 or len(sizes) < 4:
        raise HeadstartError(
            f"{budget:.3g} FLOPs are too few for a sweep with {vocab_size:,} tokens of vocabulary: "
            f"{len(grid)} runs of at least {FEWEST_STEPS} steps and {len(sizes)} sizes come out of them; "
            f"give more, or fewer rows a step (rows={base.rows}), or a smaller vocabulary"
        )
    final = _planned(base, vocab_size, largest * LARGER, math.sqrt(RATIOS[1] * RATIOS[2]))
    assert final is not None
    longest = max(run.tokens for run in (*grid.values(), final))
    held = tokens_manifest(base.tokens)["splits"]["train"]["tokens"]
    if longest > held:
        raise HeadstartError(
            f"the longest run reads {amount(longest)} tokens and {base.tokens} has {amount(held)}, so that "
            "the law would be one of repeated data; give more text or a smaller budget"
        )
    return sorted(grid.values(), key=lambda run: run.compute), final


class Budget(TypedDict):
    """What a sweep may cost."""

    asked: NotRequired[str]
    """In the user's words."""
    flops: float


def remembered_budget(out: Path, asked: str, budget: Callable[[], float]) -> float:
    """The budget with which the sweep in `out` began, so that a measured one is the same when it goes on.

    Raises:
        HeadstartError: it began with another one than what is asked for.
    """
    path = out / BUDGET
    if not path.exists():
        write_json(path, Budget(asked=asked, flops=budget()))
    begun = read_json(path, Budget)
    if not 0 < begun["flops"] < math.inf:
        raise HeadstartError(f"{path} says {begun['flops']} FLOPs; it was damaged: remove it")
    if begun.get("asked", asked) != asked:
        raise HeadstartError(
            f"{out} holds a sweep with --budget {begun['asked']!r}; give that one to go on, or choose "
            "another folder"
        )
    return begun["flops"]


def budget_in(base: PretrainRecipe, seconds: float) -> float:
    """The FLOPs, as 6 N D, that this machine gets through in `seconds`: by a step of a middling model.

    Small models are slower for their size, so that the sweep may take somewhat longer.
    """
    guess = math.sqrt(2e10 * seconds / 6 / 20)
    config = shape_for(base.model.family, guess, _vocabulary(base), base.context)
    recipe = base.model_copy(update={"model": _sizes(config)})
    step = step_cost(recipe).seconds
    return 6.0 * parameters(config) * base.rows * base.context / step * seconds * SUSTAINED


def sweep(base: PretrainRecipe, budget: float, out: Path) -> SweepReport:
    """Train the grid, predict the larger run, train it, and score the forecast.

    Returns:
        The fit's report, the forecast and its score, all of which are in `out` too.
    """
    grid, final = design(base, budget)
    designed: Design = {"grid": [_designed(run) for run in grid], "final": _designed(final)}
    write_json(out / DESIGN, designed)
    for run in grid:
        pretrain(run.recipe, out / "grid" / run.name)
    fitted, report = fit_report(read_runs([out / "grid"]), SAMPLES, base.seed)
    write_json(out / FIT, report)
    forecast = _forecast(fitted, final, out)
    pretrain(final.recipe, out / "final" / final.name)
    measured = read_runs([out / "final"]).runs[0]
    score = _score(forecast, measured)
    write_json(out / SCORE, score)
    return {"fit": report, "forecast": forecast, "score": score}


def _designed(run: PlannedRun) -> DesignedRun:
    return {"name": run.name, "parameters": run.parameters, "tokens": run.tokens}


def _forecast(fitted: Fit, final: PlannedRun, out: Path) -> Forecast:
    """What the fit says of the larger run; once written it is never changed."""
    path = out / FORECAST
    if path.exists():
        return cast(Forecast, read_json(path, dict))
    loss, band = fitted.forecast(final.parameters, final.tokens)
    made: Forecast = {
        "name": final.name,
        "parameters": final.parameters,
        "tokens": final.tokens,
        "compute": final.compute,
        "times_the_largest_run": final.compute / max(run.compute for run in fitted.runs),
        "loss": loss,
        "band": band,
        "level": fitted.level,
        "runs": len(fitted.runs),
        "written": time.time(),
    }
    write_json(path, made)
    return made


def _score(forecast: Forecast, measured: MeasuredRun) -> ForecastScore:
    low, high = forecast["band"]
    return {
        "measured": measured.loss,
        "error": forecast["loss"] / measured.loss - 1,
        "inside": low <= measured.loss <= high,
    }


def _planned(base: PretrainRecipe, vocab_size: int, compute: float, ratio: float) -> PlannedRun | None:
    """A run of about that compute with `ratio` tokens a parameter; its tokens make up for the size found.
    None where the vocabulary alone is larger."""
    family = base.model.family
    try:
        config = shape_for(family, math.sqrt(compute / 6 / ratio), vocab_size, base.context)
    except HeadstartError:
        return None
    count = parameters(config)
    steps = round(compute / (6 * count) / (base.rows * base.context))
    settings = {
        "model": _sizes(config),
        "steps": max(1, steps),
        "evaluate_every": max(1, steps // 4),
        "checkpoint_every": max(1, steps // 4),
        "prompts": [],
    }
    name = f"{config.layers}x{config.width}-{steps}"
    recipe = tuned_for_width(base.model_copy(update=settings))
    return PlannedRun(name, recipe, count, recipe.steps * base.rows * base.context)


def _sizes(config: TransformerConfig) -> ModelRecipe:
    return ModelRecipe(
        family=config.family, layers=config.layers, width=config.width, heads=config.heads,
        feedforward_width=config.feedforward_width,
    )  # fmt: skip


def _vocabulary(base: PretrainRecipe) -> int:
    return tokens_manifest(base.tokens)["vocab_size"]
