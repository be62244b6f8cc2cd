"""Decoders with weights at random, for tests of what computes them."""

import torch

from headstart.models.config import TransformerConfig
from headstart.models.transformer import Transformer, build

DECODER = TransformerConfig(
    family="any",
    architecture="decoder",
    vocab_size=101,
    layers=2,
    width=24,
    heads=4,
    kv_heads=2,
    feedforward_width=50,
    context=256,
    position="rotary",
)


def random_model(config: TransformerConfig, dtype: torch.dtype = torch.float32, seed: int = 0) -> Transformer:
    """Weights at random, biases and norms too, large enough for attention to have a say."""
    model = build(config, seed, dtype).eval()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
        model.embedding.weight.mul_(20)
    return model


def some_ids(tokens: int, vocab_size: int = DECODER.vocab_size) -> list[int]:
    return torch.randint(vocab_size, (tokens,), generator=torch.Generator().manual_seed(7)).tolist()
