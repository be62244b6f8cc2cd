"""Counts: parameters on the meta device, bytes of caches and optimisers, floating-point operations."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from headstart.models.config import TransformerConfig
from headstart.models.parts.cache import KeyValueCache
from headstart.models.registry import make_config
from headstart.models.transformer import build
from headstart.objectives.batch import Batch, loss_sum
from headstart.training.optimiser import Optimiser
from headstart.training.recipe import OptimiserRecipe

VOCABULARY = 512


def counted_flops(config: TransformerConfig, rows: int, row: int) -> tuple[int, int]:
    """Operations of a forward and of a backward pass over all targets, as torch counts them while they run;
    attention without a fused kernel, which would compute its scores twice."""
    model = build(config, 0)
    ids = torch.randint(0, config.vocab_size, (rows, row), generator=torch.Generator().manual_seed(0))
    source = {"source": ids, "source_segments": torch.zeros_like(ids)} if config.encoder_layers else {}
    batch = Batch(ids, torch.zeros_like(ids), torch.arange(ids.numel()), ids.flatten(), **source)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        with FlopCounterMode(display=False) as forward:
            loss = loss_sum(model, batch)
        with FlopCounterMode(display=False) as backward:
            loss.backward()
    return forward.get_total_flops(), backward.get_total_flops()


def optimiser_share(kind: str, family: str = "headstart-decoder") -> float:
    """Bytes that an optimiser keeps after a step, over the bytes of the weights; its step counters, one
    number a tensor, are left out."""
    sizes = {"layers": 2, "width": 64, "heads": 4, "feedforward_width": 128, "context": 64}
    model = build(make_config(family, sizes | {"vocab_size": VOCABULARY}), 0)
    optimiser = Optimiser(model, OptimiserRecipe.checked({"kind": kind}))
    ids = torch.randint(0, VOCABULARY, (2, 32))
    loss_sum(model, Batch(ids, torch.zeros_like(ids), torch.arange(64), ids.flatten())).backward()
    optimiser.step(1.0)
    kept = sum(tensor.nbytes for tensor in optimiser.state().values() if tensor.dim())
    return kept / sum(parameter.nbytes for parameter in model.parameters())


@torch.no_grad()
def allocated_cache_bytes(config: TransformerConfig, tokens: int) -> int:
    """Bytes of keys and values that a model really keeps of a text of that length, room not yet used left
    out."""
    model = build(config, 0).eval()
    cache = KeyValueCache()
    model(torch.zeros(1, tokens, dtype=torch.long), cache=cache)
    return sum(
        buffer.room[:, :, : buffer.length].nbytes
        for layer in cache.layers
        for buffer in layer
        if buffer.room is not None
    )
