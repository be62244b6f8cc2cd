"""Fewer key-value heads for a trained model (Ainslie et al. 2023, section 2.1)."""

from dataclasses import replace

import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.models.config import TransformerConfig
from headstart.models.transformer import Transformer, build

POOLED = ("key.weight", "key.bias", "value.weight", "value.bias", "key_norm.weight")


@torch.no_grad()
def pool_key_value_heads(model: Transformer, kv_heads: int) -> Transformer:
    """A copy of a model whose query heads share `kv_heads` key-value heads, each the mean of those that it
    stands for; with 1 multi-query, with as many as before the same function.

    Raises:
        HeadstartError: the heads cannot be shared so, or the family needs one for each.
    """
    config = model.config
    if config.position in ("relative-xl", "disentangled"):
        raise HeadstartError(
            f"{config.family}'s positions need a key-value head for each head; they cannot be shared"
        )
    if kv_heads < 1 or config.kv_heads % kv_heads:
        raise HeadstartError(
            f"{config.kv_heads} key-value heads cannot become {kv_heads}: give one of "
            f"{', '.join(str(n) for n in range(1, config.kv_heads + 1) if config.kv_heads % n == 0)}"
        )
    shared = build(replace(config, kv_heads=kv_heads), seed=0, dtype=model.dtype)
    weights = {
        name: _pooled(tensor, config, kv_heads) if _is_pooled(name, config) else tensor
        for name, tensor in model.state_dict().items()
    }
    shared.load_state_dict(weights)
    return shared.eval()


def _is_pooled(name: str, config: TransformerConfig) -> bool:
    if name.endswith("key_norm.weight") and config.query_key_norm == "head":
        return False
    return "attention." in name and name.endswith(POOLED)


def _pooled(tensor: Tensor, config: TransformerConfig, kv_heads: int) -> Tensor:
    """`[K C, ...]` to `[kv_heads C, ...]`: the mean of neighbouring heads."""
    by_head: Tensor = tensor.unflatten(0, (kv_heads, config.kv_heads // kv_heads, config.head_width))
    return by_head.mean(1).flatten(0, 1)
