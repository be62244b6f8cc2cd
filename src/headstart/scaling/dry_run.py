"""What a pre-training recipe is going to cost, before it starts: nothing is written."""

import os
from contextlib import closing
from typing import Any

import torch

from headstart.models.parameters import parameters_by_part
from headstart.models.registry import family_named
from headstart.objectives.batch import batch_flops
from headstart.objectives.vocabulary import read_vocabulary
from headstart.scaling.memory import Layout, training_memory
from headstart.tokenizer.folder import open_tokenizer
from headstart.training.configuration import configuration
from headstart.training.data_loader import DataLoader
from headstart.training.recipe import PretrainRecipe
from headstart.training.schedule import rows_at, rows_before
from headstart.training.step_cost import step_cost

# What a step costs more in a long run than in the few that are measured.
LOOP_SHARE = 1.1


def dry_run(recipe: PretrainRecipe) -> dict[str, Any]:
    """Parameters, operations, memory and time of a run; some steps are made, of a model that is thrown away.

    Returns:
        `parameters` by part, `tokens` of the run and `passes` over the text, `flops`, `memory` in bytes by
        part of the fullest process with its `peak` and what there `is`, `checkpoint_bytes`, `seconds`,
        and `loss_is_number`, whether the loss of the measured steps was one; these two are None where the
        layout asks for more processes than this one.

    Raises:
        HeadstartError: what `pretrain` would refuse.
    """
    config = configuration(recipe)
    counts = parameters_by_part(config)
    tokens = rows_before(recipe.steps, recipe) * recipe.context
    family = family_named(config.family)
    vocabulary = read_vocabulary(open_tokenizer(recipe.tokens), getattr(family, "DECODER_START", "end"))
    with closing(DataLoader(recipe, vocabulary)) as feed:
        rows, batch = len(feed.train), feed.batch(recipe.steps - 1)  # behind all warm-ups
    flops = batch_flops(config, batch) / rows_at(recipe.steps - 1, recipe) * rows_before(recipe.steps, recipe)
    masked = recipe.objective.mask_rate if recipe.objective.kind in ("masked", "next-sentence") else 1.0
    source = recipe.context if config.architecture == "encoder-decoder" else 0
    gpu = recipe.device == "cuda" or (recipe.device == "auto" and torch.cuda.is_available())
    parallel = recipe.parallel
    processes = (parallel.replicate or 1) * parallel.shard * parallel.tensor * parallel.pipeline
    held = training_memory(config, 1, 1, optimiser=recipe.optimiser.kind).parts
    memory = training_memory(
        config,
        min(recipe.micro_rows, recipe.rows),
        recipe.context,
        Layout(
            data=(parallel.replicate or 1) * parallel.shard,
            tensor=parallel.tensor,
            pipeline=parallel.pipeline,
            shard=3 if parallel.shard > 1 else 0,
        ),
        recipe.precision,
        recipe.optimiser.kind,
        "full" if recipe.checkpoint_activations else "none",
        masked,
        source,
        "gpu" if gpu else "cpu",
        recipe.documents_apart and not gpu,
    )
    seconds, is_number, size = None, None, sum(counts.values())
    if processes == 1 and "RANK" not in os.environ:
        cost = step_cost(recipe)
        seconds, is_number = cost.seconds * recipe.steps * LOOP_SHARE, cost.is_number
    return {
        "parameters": counts | {"all": size},
        "steps": recipe.steps,
        "tokens": tokens,
        "tokens_per_parameter": round(tokens / size, 2),
        "passes": round(rows_before(recipe.steps, recipe) / rows, 3),
        "flops": round(flops),
        "memory": memory.parts | {"peak": memory.peak, "is": _memory(gpu)},
        "checkpoint_bytes": int(held["optimiser"] + 4 * size * (1 + (recipe.optimiser.average is not None))),
        "processes": processes,
        "seconds": seconds,
        "loss_is_number": is_number,
    }


def _memory(gpu: bool) -> int:
    """Bytes that there are, of a GPU or of the machine."""
    if gpu and torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
