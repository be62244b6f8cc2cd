"""The Transformer: embedding, a stack of blocks, an output over the vocabulary.

The forward pass has no branch on a family's name: what differs stands in the configuration.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.models.config import TransformerConfig
from headstart.models.parts import (
    Attention,
    FeedForward,
    KeyValueCache,
    PredictionHead,
    make_norm,
    rotary_table,
)


class Block(nn.Module):
    """Attention, then feed-forward, each added to the stream it read through a norm (pre-norm)."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        normed_already = config.embedding_norm and layer == 0
        self.attention_norm = nn.Identity() if normed_already else make_norm(config)
        self.attention = Attention(config, layer)
        self.feedforward_norm = make_norm(config)
        self.feedforward = FeedForward(config)

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None, cache: KeyValueCache | None
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rotary, mask, cache)  # [B, T, D]
        return x + self.feedforward(self.feedforward_norm(x))


class Transformer(nn.Module):
    """Token ids to hidden states, and hidden states to logits.

    The output shares the embedding's weights. `dtype` is what activations are computed in;
    weights stay in float32.
    """

    def __init__(self, config: TransformerConfig, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config, self.dtype = config, dtype
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.embedding_norm = make_norm(config) if config.embedding_norm else nn.Identity()
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.final_norm = make_norm(config)
        self.prediction_head = PredictionHead(config) if config.prediction_head else nn.Identity()
        self.output_bias = nn.Parameter(torch.zeros(config.vocab_size)) if config.output_bias else None

    def forward(
        self, ids: Tensor, segments: Tensor | None = None, cache: KeyValueCache | None = None
    ) -> Tensor:
        """Hidden states `[B, T, D]` after the last norm.

        Args:
            ids: token ids `[B, T]`.
            segments: document numbers `[B, T]`; attention stays inside a document. None: one a row.
            cache: keys and values of earlier tokens (causal models); `ids` then continue them.
        """
        start = cache.length if cache is not None else 0
        positions = torch.arange(start, start + ids.shape[1], device=ids.device)
        rotary = rotary_table(positions, self.config.head_width, self.config.rotary_base, self.dtype)
        mask = self._mask(positions, segments)
        x = self.embedding_norm(self.embedding(ids).to(self.dtype))  # [B, T, D]
        for block in self.blocks:
            x = block(x, rotary, mask, cache)
        return self.final_norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary for hidden states of any leading shape: `[..., V]`."""
        bias = None if self.output_bias is None else self.output_bias.to(hidden.dtype)
        return F.linear(self.prediction_head(hidden), self.embedding.weight.to(hidden.dtype), bias)

    def _mask(self, positions: Tensor, segments: Tensor | None) -> Tensor | None:
        """Which token may look at which: boolean, broadcastable to `[B, H, T, S]`, or None for all."""
        mask = None
        if self.config.attention == "causal":
            everything = torch.arange(int(positions[-1]) + 1, device=positions.device)
            mask = positions[:, None] >= everything  # [T, S]
        if segments is not None:
            same = (segments[:, :, None] == segments[:, None, :])[:, None]  # [B, 1, T, T]
            mask = same if mask is None else same & mask
        return mask


@torch.no_grad()
def initialise(model: Transformer, seed: int) -> None:
    """Draw the initial weights, the same for the same seed.

    Matrices are normal with standard deviation D^-0.5; what writes into the residual stream is
    smaller by sqrt(2 * layers), so that the stream's variance does not grow with depth (Radford
    et al. 2019, section 2.3). The embedding's deviation keeps the first loss near ln V.
    """
    generator = torch.Generator().manual_seed(seed)
    deviation = model.config.width**-0.5
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            continue
        if name == "embedding.weight":
            parameter.normal_(0.0, 0.02, generator=generator)
        elif name.endswith(("attention.out.weight", "feedforward.down.weight")):
            parameter.normal_(0.0, deviation / math.sqrt(2 * model.config.layers), generator=generator)
        else:
            parameter.normal_(0.0, deviation, generator=generator)


def build(config: TransformerConfig, seed: int, dtype: torch.dtype = torch.float32) -> Transformer:
    """A Transformer with random weights."""
    model = Transformer(config, dtype)
    initialise(model, seed)
    return model
