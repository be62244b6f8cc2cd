"""The peak of memory of real training steps, each in a process of its own, beside what the planner says."""

import ctypes
import gc
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from headstart.errors import HeadstartError
from headstart.models.config import TransformerConfig
from headstart.models.flops import Checkpointing
from headstart.models.registry import make_config
from headstart.models.transformer import Transformer, build
from headstart.objectives.batch import loss_sum
from headstart.scaling.memory import Precision, training_memory
from headstart.training.optimiser import Optimiser
from headstart.training.recipe import OptimiserRecipe
from headstart.training.step_cost import random_batch

STEPS = 2
"""The first makes the optimiser's state, the second has everything at once."""
SHAPES: dict[str, tuple[int, dict[str, int]]] = {
    "small": (32, {"layers": 4, "width": 256, "heads": 4, "feedforward_width": 704, "context": 128}),
    "medium": (16, {"layers": 8, "width": 384, "heads": 6, "feedforward_width": 1536, "context": 256}),
    "large": (1, {"layers": 12, "width": 768, "heads": 12, "feedforward_width": 2048, "context": 1024}),
}
"""Rows at once, and sizes; the vocabulary has `VOCABULARY` entries."""
VOCABULARY = 8192
COMBINATIONS: tuple[tuple[str, str, Precision, Checkpointing], ...] = (
    ("medium", "headstart-decoder", "float32", "none"),
    ("medium", "headstart-decoder", "bfloat16", "none"),
    ("medium", "headstart-decoder", "float32", "full"),
    ("medium", "headstart-encoder", "float32", "none"),
    ("medium", "headstart-encoder", "bfloat16", "full"),
    ("medium", "gpt2", "bfloat16", "none"),
    ("medium", "bert", "float32", "none"),
    ("medium", "llama", "float32", "full"),
    ("small", "headstart-decoder", "bfloat16", "none"),
    ("small", "headstart-encoder", "bfloat16", "none"),
    ("small", "headstart-encoder", "bfloat16", "full"),
    ("large", "headstart-decoder", "bfloat16", "none"),
    ("large", "headstart-decoder", "bfloat16", "full"),
    ("large", "gpt2", "float32", "none"),
)


@dataclass(frozen=True)
class Measured:
    shape: str
    family: str
    precision: Precision
    checkpointing: Checkpointing
    planned: float
    """Bytes."""
    measured: float

    @property
    def error(self) -> float:
        return self.planned / self.measured - 1


def measure_all() -> Iterator[Measured]:
    """Every combination of `COMBINATIONS`, one after the other."""
    for shape, family, precision, checkpointing in COMBINATIONS:
        rows, sizes = SHAPES[shape]
        config = make_config(family, {**sizes, "vocab_size": VOCABULARY})
        planned = training_memory(
            config,
            rows,
            sizes["context"],
            None,
            precision,
            "muon",
            checkpointing,
            device="cpu",
            documents=True,
        ).peak
        yield Measured(
            shape,
            family,
            precision,
            checkpointing,
            planned,
            peak_memory(config, rows, precision, checkpointing),
        )


def peak_memory(
    config: TransformerConfig, rows: int, precision: Precision, checkpointing: Checkpointing
) -> float:
    """Bytes that training takes at its peak beyond what the libraries hold before.

    Raises:
        HeadstartError: a system without /proc, or a process that was killed for its memory.
    """
    if not Path("/proc/self/status").exists():
        raise HeadstartError("the peak of a process can only be read on Linux (/proc/self/status)")
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_train, args=(there, config, rows, precision, checkpointing))
    process.start()
    there.close()
    try:
        peak = float(here.recv())
    except EOFError:
        raise HeadstartError(
            f"the process that measured {config.family} was killed; measure a smaller model or fewer rows"
        ) from None
    finally:
        process.join()
    return peak


def _train(
    sender: Connection,
    config: TransformerConfig,
    rows: int,
    precision: Precision,
    checkpointing: Checkpointing,
) -> None:
    _give_back_freed_memory()
    _steps(config, rows, precision, checkpointing)  # libraries, threads and their buffers
    gc.collect()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    _steps(config, rows, precision, checkpointing)
    sender.send(_status("VmHWM") - before)


def _give_back_freed_memory() -> None:
    """Let glibc return every freed tensor to the system at once, so that what a process holds is what its
    tensors hold. (`training` does the opposite, for speed.)"""
    map_threshold, most_mapped = -3, -4  # M_MMAP_THRESHOLD, M_MMAP_MAX in malloc.h
    library = ctypes.CDLL(None)
    library.mallopt(map_threshold, 2**16)
    library.mallopt(most_mapped, 2**20)


def _steps(config: TransformerConfig, rows: int, precision: Precision, checkpointing: Checkpointing) -> None:
    model = build(config, 0, torch.float32 if precision == "float32" else torch.bfloat16)
    if checkpointing == "full":
        _checkpoint_blocks(model)
    optimiser = Optimiser(model, OptimiserRecipe())
    batch = random_batch(config, rows, config.context, documents=3)
    for _ in range(STEPS):
        (loss_sum(model, batch) / len(batch.targets)).backward()
        optimiser.step(1.0)


def _checkpoint_blocks(model: Transformer) -> None:
    """Every block is computed again in the backward pass; the model knows nothing of it."""
    for stack in (model.encoder, model.decoder):
        if stack is not None:
            stack.blocks = nn.ModuleList(_Again(block) for block in stack.blocks)


class _Again(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, *arguments: object) -> Tensor:
        states: Tensor = checkpoint(self.block, *arguments, use_reentrant=False)
        return states


def _status(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return 1024.0 * float(line.split()[1])
    raise HeadstartError(f"/proc/self/status has no {name}")
