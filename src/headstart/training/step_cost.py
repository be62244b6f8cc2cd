"""What a step of a recipe costs on this machine, measured by running some."""

import math
import time
from contextlib import closing

import torch

from headstart.models.transformer import build
from headstart.tokenizer.folder import open_tokenizer
from headstart.training.configuration import configuration
from headstart.training.loop import Run
from headstart.training.machine import keep_freed_memory
from headstart.training.parallel import start
from headstart.training.recipe import PretrainRecipe


def trial(recipe: PretrainRecipe) -> Run:
    """A run that writes nothing, to measure what its steps (`update`) cost; who takes it closes its feed."""
    tokenizer = open_tokenizer(recipe.tokens)
    recipe = recipe.model_copy(update={"start": "random"})  # as fast as any other
    keep_freed_memory()
    model = build(configuration(recipe), recipe.seed, getattr(torch, recipe.precision))
    return Run(recipe, recipe.tokens, model, tokenizer, start(recipe.parallel, recipe.device))


def seconds_per_step(recipe: PretrainRecipe, updates: int = 3) -> tuple[float, int]:
    """Measure what one step of a recipe costs on this machine; trains a model that is thrown away.

    Returns:
        Seconds a step (the fastest of `updates`, after one to warm up), and the model's parameters.
    """
    run = trial(recipe)
    fastest = math.inf
    with closing(run.feed):
        run.update()
        for _ in range(updates):
            started = time.perf_counter()
            run.update()
            fastest = min(fastest, time.perf_counter() - started)
    return fastest, sum(parameter.numel() for parameter in run.model.parameters())
