"""What a pre-training recipe is going to cost, before it starts: nothing is written."""

import os
from collections.abc import Callable
from contextlib import closing
from typing import TypedDict

from headstart.errors import HeadstartError
from headstart.models.parameters import parameters_by_part
from headstart.models.registry import family_named
from headstart.objectives.batch import batch_flops
from headstart.objectives.vocabulary import read_vocabulary
from headstart.scaling.local_machine import on_gpu, run_memory
from headstart.scaling.memory import training_memory
from headstart.tokenizer.folder import open_tokenizer
from headstart.training.configuration import configuration
from headstart.training.data_loader import DataLoader
from headstart.training.machine import memory_bytes
from headstart.training.recipe import PretrainRecipe
from headstart.training.schedule import rows_at, rows_before
from headstart.training.step_cost import ONE_PROCESS, for_minutes, run_seconds, step_cost, trial
from headstart.training.trainer import Trainer


class RunCost(TypedDict):
    """What a run is going to cost."""

    model: str
    """Family, sizes and precision, in words."""
    objective: str
    parameters: dict[str, int]
    """By part, and `all`."""
    steps: int
    tokens: int
    tokens_per_parameter: float
    passes: float
    """Over the text."""
    flops: int
    memory: dict[str, float]
    """Bytes by part of the fullest process, its `peak`, and what there `is`."""
    checkpoint_bytes: int
    processes: int
    seconds: float | None
    """None where the layout asks for more processes than this one."""
    loss_is_number: bool | None
    """Whether the loss of the measured steps was one."""


def dry_run(recipe: PretrainRecipe, make: Callable[[PretrainRecipe], Trainer] = trial) -> RunCost:
    """Parameters, operations, memory and time of a run; some steps are made, of a model that is thrown away.

    Args:
        make: gives the trainer, where it is no plain one.

    Raises:
        HeadstartError: what `pretrain` would refuse.
    """
    config = configuration(recipe)
    parallel = recipe.parallel
    processes = (parallel.replicate or 1) * parallel.shard * parallel.tensor * parallel.pipeline
    seconds, is_number = None, None
    if processes == 1 and "RANK" not in os.environ:
        cost = step_cost(recipe, make=make)
        recipe = for_minutes(recipe, cost)
        seconds, is_number = run_seconds(cost.seconds, recipe.steps), cost.is_number
    elif recipe.minutes is not None:
        raise HeadstartError(ONE_PROCESS)
    counts = parameters_by_part(config)
    tokens = rows_before(recipe.steps, recipe) * recipe.context
    family = family_named(config.family)
    vocabulary = read_vocabulary(open_tokenizer(recipe.tokens), family.decoder_start)
    with closing(DataLoader(recipe, vocabulary)) as feed:
        rows, batch = len(feed.train), feed.batch(recipe.steps - 1)  # behind all warm-ups
    flops = batch_flops(config, batch) / rows_at(recipe.steps - 1, recipe) * rows_before(recipe.steps, recipe)
    held = training_memory(config, 1, 1, optimiser=recipe.optimiser.kind).parts
    memory = run_memory(recipe, config)
    size = sum(counts.values())
    return {
        "model": f"{config.family}, {config.layers} layers of width {config.width}, {recipe.precision}",
        "objective": recipe.objective.kind,
        "parameters": counts | {"all": size},
        "steps": recipe.steps,
        "tokens": tokens,
        "tokens_per_parameter": round(tokens / size, 2),
        "passes": round(rows_before(recipe.steps, recipe) / rows, 3),
        "flops": round(flops),
        "memory": memory.parts | {"peak": memory.peak, "is": memory_bytes(on_gpu(recipe))},
        "checkpoint_bytes": int(held["optimiser"] + 4 * size * (1 + (recipe.optimiser.average is not None))),
        "processes": processes,
        "seconds": seconds,
        "loss_is_number": is_number,
    }
