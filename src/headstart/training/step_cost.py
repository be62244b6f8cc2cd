"""What a step of a recipe costs on this machine, measured by running some."""

import math
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, read_json
from headstart.models.config import TransformerConfig
from headstart.models.transformer import build
from headstart.objectives.batch import Batch, loss_sum
from headstart.tokenizer.folder import open_tokenizer
from headstart.training.configuration import configuration
from headstart.training.distributed.parallel import start
from headstart.training.machine import keep_freed_memory
from headstart.training.optimiser import Optimiser
from headstart.training.recipe import PretrainRecipe
from headstart.training.schedule import rate_at
from headstart.training.trainer import Trainer

SUSTAINED = 0.85
"""A machine is measured at its best moment; the rest of the time it is a little slower, and a run also
evaluates and saves. An allowance and no measurement: what else a machine does differs from hour to hour, and
a run that ends a little early is better than one that ends late."""
ONE_PROCESS = "minutes= is measured in one process; give steps= to a run of several"
SLOWEST_STEP = 20.0
"""Seconds; a longer step is measured once, its warming up included."""


@dataclass(frozen=True)
class StepCost:
    """What some steps of a recipe took."""

    seconds: float
    """Of the fastest step."""
    parameters: int
    """The model's."""
    is_number: bool
    """Whether loss and gradient of all steps were numbers."""


def trial(recipe: PretrainRecipe) -> Trainer:
    """A trainer of the model that the run would train, with random weights, which are as fast as any others;
    who takes it closes it."""
    keep_freed_memory()
    model = build(configuration(recipe), recipe.seed, getattr(torch, recipe.precision))
    layout = start(recipe.parallel, recipe.device)
    return Trainer(recipe, model, open_tokenizer(recipe.tokens), layout, begin=False)


def step_cost(
    recipe: PretrainRecipe, steps: int = 3, make: Callable[[PretrainRecipe], Trainer] = trial
) -> StepCost:
    """Measure what one step of a recipe costs on this machine; trains a model that is thrown away.

    A loss that is no number takes as long as one that is, and nothing is left out or taken back for it.

    Args:
        steps: that are measured, after one to warm up.
        make: gives the trainer, where it is no plain one.
    """
    with closing(make(recipe)) as trainer:

        def step(number: int) -> tuple[float, float]:
            return trainer.step(number, rate_at(number, recipe.steps, recipe.optimiser))

        return _fastest(step, steps, trainer.model)


def run_seconds(step_seconds: float, steps: int) -> float:
    """How long a run takes whose steps were measured to take so long at their best."""
    return steps * step_seconds / SUSTAINED


def for_minutes(recipe: PretrainRecipe, cost: StepCost) -> PretrainRecipe:
    """The recipe with as many steps as its `minutes` hold, in their place; one without `minutes` as it is."""
    if recipe.minutes is None:
        return recipe
    steps = max(1, int(60 * recipe.minutes * SUSTAINED / cost.seconds))
    return recipe.model_copy(update={"steps": steps, "minutes": None})


def with_steps(
    recipe: PretrainRecipe,
    run: Path,
    processes: int = 1,
    make: Callable[[PretrainRecipe], Trainer] = trial,
) -> PretrainRecipe:
    """The recipe with its `minutes` as steps: those that the run began with, else as many as fit.

    Raises:
        HeadstartError: several processes, or a run that began with something else.
    """
    if recipe.minutes is None:
        return recipe
    facts = run / "run.json"
    if facts.exists():
        begun, steps = (
            read_json(facts, JSONObject).get("minutes"),
            type(recipe).load(run / "recipe.yaml", []).steps,
        )
        if begun != recipe.minutes:
            how = f"steps={steps}" if begun is None else f"minutes={begun:g}"
            raise HeadstartError(
                f"{run} began with {how} and goes on with that alone; give it, or choose another folder"
            )
        return recipe.model_copy(update={"steps": steps, "minutes": None})
    if processes > 1:
        raise HeadstartError(ONE_PROCESS)
    cost = step_cost(recipe, make=make)
    planned = for_minutes(recipe, cost)
    unused = f"; steps={recipe.steps} is not used" if "steps" in recipe.model_fields_set else ""
    print(
        f"headstart: {planned.steps:,} steps fit into {recipe.minutes:g} minutes: one takes "
        f"{1000 * run_seconds(cost.seconds, 1):,.0f} ms, measured now{unused}",
        file=sys.stderr,
    )
    return planned


def random_step_cost(config: TransformerConfig, recipe: PretrainRecipe, steps: int = 3) -> StepCost:
    """The same where there is no text yet: a step of `config` with the recipe's rows, on random tokens.

    As many tokens are predicted as the recipe's objective would predict.
    """
    keep_freed_memory()
    model = build(config, recipe.seed, getattr(torch, recipe.precision))
    optimiser = Optimiser(model, recipe.optimiser)
    batch = random_batch(config, recipe.rows, recipe.context, recipe.objective.scored_share)

    def step(number: int) -> tuple[float, float]:
        loss = 0.0
        for part in batch.split(recipe.micro_rows):
            part_loss = loss_sum(model, part) / len(batch.targets)
            torch.autograd.backward(part_loss)
            loss += float(part_loss.detach())
        return loss, float(optimiser.step(rate_at(number, recipe.steps, recipe.optimiser)))

    return _fastest(step, steps, model)


def random_batch(
    config: TransformerConfig,
    rows: int,
    context: int,
    scored: float = 1.0,
    documents: int = 1,
    random: torch.Generator | None = None,
) -> Batch:
    """Rows of random tokens.

    Args:
        scored: the share of the places that have a target.
        documents: in each row.
        random: draws the tokens; None: PyTorch's own.
    """
    ids = torch.randint(0, config.vocab_size, (rows, context), generator=random)
    segments = (torch.arange(context) * documents // context).expand(rows, context)
    positions = torch.arange(rows * context)[: max(1, round(scored * rows * context))]
    read = {} if config.architecture != "encoder-decoder" else {"source": ids, "source_segments": segments}
    return Batch(ids, segments, positions, ids.flatten()[positions], **read)


def _fastest(step: Callable[[int], tuple[float, float]], steps: int, model: nn.Module) -> StepCost:
    """Time `step`, which gives loss and gradient norm, after one to warm up."""
    fastest, is_number = math.inf, True
    for number in range(steps + 1):
        started = time.perf_counter()
        loss, norm = step(number)
        elapsed = time.perf_counter() - started
        is_number &= math.isfinite(loss) and math.isfinite(norm)
        if number:
            fastest = min(fastest, elapsed)
        elif elapsed > SLOWEST_STEP:  # measuring more would take longer than anybody waits
            return StepCost(elapsed, _size(model), is_number)
    return StepCost(fastest, _size(model), is_number)


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
