"""What this machine can train: measured for some seconds, never looked up."""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch

from headstart.models.config import TransformerConfig
from headstart.models.flops import training_flops
from headstart.models.parameters import parameters
from headstart.models.transformer import build
from headstart.objectives.batch import Batch, loss_sum
from headstart.scaling.laws import LossLaw
from headstart.scaling.memory import Memory, Precision, training_memory
from headstart.scaling.questions import counted_parameters
from headstart.scaling.shape import shape_for
from headstart.training.machine import describe_machine, keep_freed_memory
from headstart.training.optimiser import Optimiser
from headstart.training.recipe import OptimiserRecipe

SIZES = (1e6, 3e6, 1e7, 3e7, 1e8, 3e8)
VOCABULARY, CONTEXT, ROWS = 8192, 128, 32
MEASURED_SHARE = 0.85
"""A machine is measured at its best moment; the rest of the time it is a little slower."""
SLOWEST_STEP = 20.0
"""Seconds; sizes beyond that are no use here."""


@dataclass(frozen=True)
class Possible:
    """A model that this machine can train, and how far."""

    config: TransformerConfig
    parameters: int
    tokens_per_second: float
    """Sustained, with evaluation and checkpoints left out."""
    tokens: float
    """In the time given."""
    flops_per_second: float
    memory: Memory
    loss: float
    """By a law fitted elsewhere: good for comparing sizes, not as a forecast."""


def possible_here(
    law: LossLaw, seconds: float, family: str, precision: Precision, memory_bytes: float
) -> list[Possible]:
    """Models of growing size with what they would reach in `seconds`, until one is too slow or too large."""
    keep_freed_memory()
    found: list[Possible] = []
    for count in SIZES:
        config = shape_for(family, count, VOCABULARY, CONTEXT)
        memory = training_memory(config, ROWS, CONTEXT, None, precision, "muon", device="cpu", documents=True)
        if memory.peak > 0.8 * memory_bytes:
            break
        step = step_seconds(config, ROWS, CONTEXT, precision)
        speed = ROWS * CONTEXT / step * MEASURED_SHARE
        tokens = speed * seconds
        flops = training_flops(config, ROWS * CONTEXT, CONTEXT, ROWS * CONTEXT) / step
        loss = law.loss(counted_parameters(law, config), max(tokens, 1.0))
        found.append(Possible(config, parameters(config), speed, tokens, flops, memory, loss))
        if step > SLOWEST_STEP or (len(found) > 1 and found[-1].loss > found[-2].loss):
            break  # larger ones only learn less in that time
    return found


def plan_here(law: LossLaw, seconds: float, family: str) -> tuple[Possible, dict[str, Any]]:
    """The model that learns most here in `seconds`, and the figures of all that were measured."""
    machine = describe_machine()
    found = possible_here(law, seconds, family, machine["precision"], machine["memory_gb"] * 1e9)
    rows = [
        {
            "parameters": one.parameters, "layers": one.config.layers, "width": one.config.width,
            "tokens_per_second": one.tokens_per_second, "tokens": one.tokens,
            "tokens_per_parameter": one.tokens / one.parameters, "flops_per_second": one.flops_per_second,
            "peak_bytes": one.memory.peak,
        }
        for one in found
    ]  # fmt: skip
    best = min(range(len(found)), key=lambda index: found[index].loss)
    return found[best], {
        "machine": machine, "seconds": seconds, "law": law.name, "context": CONTEXT, "rows": ROWS,
        "models": rows, "best": rows[best],
    }  # fmt: skip


def step_seconds(
    config: TransformerConfig, rows: int, row: int, precision: Precision, updates: int = 2
) -> float:
    """Seconds of one optimiser step on random tokens: the fastest of `updates`, after one to warm up."""
    model = build(config, 0, torch.float32 if precision == "float32" else torch.bfloat16)
    optimiser = Optimiser(model, OptimiserRecipe())
    ids = torch.randint(0, config.vocab_size, (rows, row))
    segments = torch.zeros_like(ids)
    batch = Batch(ids, segments, torch.arange(rows * row), ids.flatten())
    fastest = math.inf
    for update in range(updates + 1):
        started = time.perf_counter()
        (loss_sum(model, batch) / (rows * row)).backward()
        optimiser.step(1.0)
        elapsed = time.perf_counter() - started
        if update:
            fastest = min(fastest, elapsed)
        if elapsed > SLOWEST_STEP:
            return min(fastest, elapsed)
    return fastest
