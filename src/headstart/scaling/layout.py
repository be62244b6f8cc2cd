"""How to spread a model over many devices: which degrees of parallelism fit, and which lose least.

A search over all degrees with a model of a step's time: operations at the rate that matrix products
reach, plus what communication cannot hide, plus the pipeline's bubble. The formulas are stated where they
stand. They rank layouts; for how long a run takes, `hardware.bill` relies on published runs instead.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from headstart.errors import HeadstartError
from headstart.models.config import TransformerConfig
from headstart.models.flops import Checkpointing, flops_by_part
from headstart.page.numbers import size
from headstart.scaling.hardware import Hardware
from headstart.scaling.memory import Layout, Memory, Precision, training_memory

REACHED = 0.6
"""Share of the peak that kernels reach together when nothing waits. Large products alone reach 0.8 on an
H200; whole runs that lose little elsewhere were published at 0.46 to 0.56."""
RATE = 0.7
"""Share of a link's rated speed that collectives reach."""
EXPOSED = 0.5
"""Share of the communication of tensor and context parallelism that nothing hides."""
HIDDEN = 0.7
"""Share of the computation that communication can run beside."""
USABLE = 0.9
"""Of the memory; the rest goes to kernels, communication buffers and fragmentation."""
MOST_TENSOR, MOST_CONTEXT, MOST_MICRO_ROWS, MOST_INTERLEAVING = 8, 16, 16, 8
BATCH_MISSED = 0.25
"""How far the batch may be from what was asked for, to have whole rows on every rank."""
SHORTEST_CONTEXT_SHARE = 8192
"""Context parallelism pays when each share of a row is still that long."""


@dataclass(frozen=True)
class Proposal:
    """A layout with everything that decides about it."""

    layout: Layout
    micro_rows: int
    micro_batches: int
    """A data-parallel rank works through so many in one step."""
    interleaving: int
    """Stretches of layers that a pipeline stage holds (Narayanan et al. 2021, section 2.2)."""
    checkpointing: Checkpointing
    memory: Memory
    seconds: float
    """Of one step, estimated."""
    utilisation: float
    """MFU, estimated."""
    losses: dict[str, float]
    """Share of the step lost to the bubble, to each kind of communication, and to recomputation."""


def propose(
    config: TransformerConfig,
    hardware: Hardware,
    devices: int,
    row: int,
    batch_tokens: float,
    precision: Precision = "mixed",
    keep: int = 5,
) -> list[Proposal]:
    """The layouts that fit, fastest first.

    Args:
        devices: all of them are used.
        row: tokens in a row.
        batch_tokens: in one optimiser step; met within a quarter, in whole rows for every rank.

    Raises:
        HeadstartError: it does not fit, however it is spread.
    """
    found: list[Proposal] = []
    smallest = math.inf
    for layout, micro_rows, checkpointing in _candidates(config, hardware, devices, row):
        rank_rows = round(batch_tokens / row / layout.data)
        if rank_rows % micro_rows or abs(rank_rows * layout.data * row / batch_tokens - 1) > BATCH_MISSED:
            continue
        memory = training_memory(config, micro_rows, row, layout, precision, checkpointing=checkpointing)
        smallest = min(smallest, memory.peak)
        if memory.peak > USABLE * hardware.memory:
            continue
        micro_batches = rank_rows // micro_rows
        found.append(
            _estimate(config, hardware, layout, micro_rows, micro_batches, checkpointing, row, memory)
        )
    if not found:
        if math.isinf(smallest):
            raise HeadstartError(
                f"{hardware.name} x {devices} cannot share a step of {batch_tokens:,.0f} tokens in rows of "
                f"{row} evenly; take another batch, or another number of devices"
            )
        raise HeadstartError(
            f"the model does not fit on {devices} x {hardware.name}: the leanest layout needs "
            f"{size(smallest)} on each of {size(hardware.memory)}; take more devices, a shorter row or a "
            "smaller model"
        )
    found.sort(key=lambda proposal: (-proposal.utilisation, proposal.memory.peak))
    return found[:keep]


def bubble(stages: int, micro_batches: int, interleaving: int = 1) -> float:
    """Share of a step in which a pipeline stage waits: (p - 1) / (v m + p - 1) (Narayanan et al. 2021)."""
    return (stages - 1) / (interleaving * micro_batches + stages - 1)


def _candidates(
    config: TransformerConfig, hardware: Hardware, devices: int, row: int
) -> Iterator[tuple[Layout, int, Checkpointing]]:
    layers = config.layers + config.encoder_layers
    for tensor in _powers(min(MOST_TENSOR, hardware.node, devices)):
        if config.heads % tensor or config.kv_heads % min(tensor, config.kv_heads):
            continue
        for context in _powers(max(1, min(MOST_CONTEXT, row // SHORTEST_CONTEXT_SHARE))):
            for pipeline in _powers(layers):
                if devices % (tensor * context * pipeline):
                    continue
                data = devices // (tensor * context * pipeline)
                shards: tuple[Literal[0, 1, 2, 3], ...] = (0,) if data * context == 1 else (0, 1, 2, 3)
                for shard in shards:
                    if pipeline > 1 and shard > 1:  # gathering weights for every micro-batch undoes its gain
                        continue
                    layout = Layout(data, tensor, pipeline, context, shard)
                    for micro_rows in _powers(MOST_MICRO_ROWS):
                        for checkpointing in ("none", "full"):  # fused attention has no scores to select
                            yield layout, micro_rows, checkpointing


def _powers(most: int) -> list[int]:
    return [2**power for power in range(most.bit_length()) if 2**power <= most]


def _estimate(
    config: TransformerConfig,
    hardware: Hardware,
    layout: Layout,
    micro_rows: int,
    micro_batches: int,
    checkpointing: Checkpointing,
    row: int,
    memory: Memory,
) -> Proposal:
    """The time of one step on the slowest rank."""
    rank = layout.tensor * layout.pipeline * layout.context
    source = row if config.encoder_layers else 0
    parts = flops_by_part(config, micro_rows, row, source=source, checkpointing=checkpointing)
    model = sum(part.forward + part.backward for part in parts.values())
    again = sum(part.recomputed for part in parts.values())
    speed = hardware.flops * REACHED
    layers = config.layers + config.encoder_layers
    uneven = layout.pipeline * math.ceil(layers / layout.pipeline) / layers  # the longest stage's share
    compute = model / rank / speed * uneven
    recomputing = again / rank / speed * uneven

    near, far = hardware.link * RATE, hardware.network * RATE

    # Bytes of a rank's share of the stream for one micro-batch, in 16 bits.
    stream = 2 * micro_rows * row * config.width / layout.context
    here = layers / layout.pipeline
    # Sequence parallelism: two gathers and two scatters a block, forward and backward (Korthikanti 2022).
    passes = 3 if checkpointing == "full" else 2
    tensor = here * 4 * passes * stream * (1 - 1 / layout.tensor) / near
    # Context parallelism: keys and values of all ranks, forward, backward, and their gradients' sum.
    shared = 2 * 2 * config.kv_heads * config.head_width * micro_rows * row / layout.tensor
    link = near if layout.tensor * layout.context <= hardware.node else far
    context = here * 3 * shared * (1 - 1 / layout.context) / link
    # Both stand between two products that need them: little of them can be hidden.
    tensor, context = tensor * EXPOSED, context * EXPOSED

    interleaving = min(MOST_INTERLEAVING, math.ceil(here)) if layout.pipeline > 1 else 1
    waiting = bubble(layout.pipeline, micro_batches, interleaving)
    each = compute + recomputing + tensor + context
    busy = each * micro_batches
    # Stages hand on the stream once a stretch, there and back; a rank sends while it computes the next.
    sent = 2 * interleaving * micro_batches * stream / layout.tensor if layout.pipeline > 1 else 0.0
    handing = max(0.0, sent / far - busy * HIDDEN)

    held = 2 * _parameters_here(memory, layout)  # bytes of a rank's weights in 16 bits
    around = (1 - 1 / layout.replicas) / (near if layout.devices <= hardware.node else far)
    if layout.shard == 3:  # weights are gathered forward and backward, gradients scattered, every time
        gradients = max(0.0, 3 * held * micro_batches * around - busy * HIDDEN)
    else:  # once a step, behind the backward pass of the last micro-batch
        gradients = max(0.0, 2 * held * around - each * HIDDEN)

    seconds = busy / (1 - waiting) + handing + gradients
    losses = {
        "bubble": busy / (1 - waiting) * waiting,
        "uneven stages": (compute + recomputing) * micro_batches * (1 - 1 / uneven),
        "tensor parallelism": tensor * micro_batches,
        "context parallelism": context * micro_batches,
        "pipeline hand-over": handing,
        "data parallelism": gradients,
        "recomputation": recomputing * micro_batches,
    }
    useful = model * micro_batches * layout.data
    return Proposal(
        layout, micro_rows, micro_batches, interleaving, checkpointing, memory, seconds,
        useful / seconds / hardware.flops / layout.devices,
        {name: lost / seconds for name, lost in losses.items() if lost > 0},
    )  # fmt: skip


def _parameters_here(memory: Memory, layout: Layout) -> float:
    """Parameters that a rank computes with, from the optimiser's 8 bytes each."""
    return memory.parts["optimiser"] * (layout.replicas if layout.shard >= 1 else 1) / 8


def critical_batch(loss: float) -> float:
    """Tokens in a batch beyond which more help little: 2e8 / L^(1/0.21) (Kaplan et al. 2020, eq. 1.4)."""
    return float(2e8 / loss ** (1 / 0.21))
