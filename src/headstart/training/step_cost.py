"""What a step of a recipe costs on this machine, measured by running some."""

import math
import time
from contextlib import closing
from dataclasses import dataclass

import torch

from headstart.models.transformer import build
from headstart.tokenizer.folder import open_tokenizer
from headstart.training.configuration import configuration
from headstart.training.distributed.parallel import start
from headstart.training.machine import keep_freed_memory
from headstart.training.recipe import PretrainRecipe
from headstart.training.schedule import rate_at
from headstart.training.trainer import Trainer


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


def step_cost(recipe: PretrainRecipe, steps: int = 3) -> StepCost:
    """Measure what one step of a recipe costs on this machine; trains a model that is thrown away.

    A loss that is no number takes as long as one that is, and nothing is left out or taken back for it.

    Args:
        steps: that are measured, after one to warm up.
    """
    fastest, is_number = math.inf, True
    with closing(trial(recipe)) as trainer:
        for step in range(steps + 1):
            started = time.perf_counter()
            loss, norm = trainer.step(step, rate_at(step, recipe.steps, recipe.optimiser))
            is_number &= math.isfinite(loss) and math.isfinite(norm)
            if step:
                fastest = min(fastest, time.perf_counter() - started)
    return StepCost(fastest, sum(parameter.numel() for parameter in trainer.model.parameters()), is_number)
