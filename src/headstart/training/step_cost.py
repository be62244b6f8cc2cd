"""What a step of a recipe costs on this machine, measured by running some."""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import nn

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
