"""The Transformer: embedding, one or two stacks of blocks, an output over the vocabulary.

The forward pass has no branch on a family's name: what differs stands in the configuration.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.models import parts
from headstart.models.config import TransformerConfig
from headstart.models.parts import (
    Attention,
    FeedForward,
    KeyValueCache,
    Linear,
    PredictionHead,
    RelativeBias,
    Sight,
    document_borders,
    make_norm,
    places,
    rotary_table,
    sinusoids,
)


class Block(nn.Module):
    """Attention, in a decoder with an encoder cross-attention, then feed-forward.

    Each part is added to the stream: pre-norm reads the stream through a norm, post-norm normalises
    the sum.
    """

    def __init__(self, config: TransformerConfig, layer: int, cross: bool) -> None:
        super().__init__()
        self.pre_norm = config.norm_place == "pre"
        normed_already = self.pre_norm and config.embedding_norm and layer == 0
        self.attention_norm = nn.Identity() if normed_already else make_norm(config)
        self.attention = Attention(config, layer)
        self.cross_norm = make_norm(config) if cross else None
        self.cross_attention = Attention(config, layer, cross=True) if cross else None
        self.feedforward_norm = make_norm(config)
        self.feedforward = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        sight: Sight,
        cache: KeyValueCache | None = None,
        memory: Tensor | None = None,
        memory_sight: Sight | None = None,
    ) -> Tensor:
        x = self._add(x, self.attention_norm, self.attention, sight, cache)  # [B, T, D]
        if self.cross_attention is not None and self.cross_norm is not None:
            x = self._add(x, self.cross_norm, self.cross_attention, memory_sight, cache, memory)
        return self._add(x, self.feedforward_norm, self.feedforward)

    def _add(self, x: Tensor, norm: nn.Module, part: nn.Module, *arguments: Any) -> Tensor:
        if self.pre_norm:
            return x + self.dropout(part(norm(x), *arguments))
        return norm(x + self.dropout(part(x, *arguments)))


class Stack(nn.Module):
    """An encoder or a decoder: what marks positions, the blocks, and the norms around them."""

    def __init__(self, config: TransformerConfig, layers: int, causal: bool, cross: bool = False) -> None:
        super().__init__()
        self.config, self.causal = config, causal
        rows = config.context + config.position_offset
        self.positions = nn.Embedding(rows, config.width) if config.position == "learned" else None
        self.token_types = nn.Embedding(config.token_types, config.width) if config.token_types else None
        self.embedding_norm = make_norm(config) if config.embedding_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.relative_bias = RelativeBias(config, causal) if config.position == "relative" else None
        self.blocks = nn.ModuleList(Block(config, layer, cross) for layer in range(layers))
        self.final_norm = make_norm(config) if config.norm_place == "pre" else nn.Identity()

    def forward(
        self,
        x: Tensor,
        segments: Tensor | None = None,
        cache: KeyValueCache | None = None,
        token_types: Tensor | None = None,
        prefix: Tensor | None = None,
        memory: Tensor | None = None,
        memory_segments: Tensor | None = None,
    ) -> Tensor:
        """Embedded tokens `[B, T, D]` to hidden states `[B, T, D]`; arguments as in `Transformer`."""
        tokens = x.shape[1]
        start = cache.length if cache is not None else 0
        if cache is not None:
            segments = cache.extend_segments(segments, tokens)
        x = self.enter(x, segments, token_types, start)
        sight = self.sight(start, tokens, segments, prefix, x)
        memory_sight = Sight()
        if memory_segments is not None:
            if segments is None:
                segments = x.new_zeros(len(x), start + tokens, dtype=torch.long)
            asking = segments[:, start:]
            same = asking[:, :, None] == memory_segments[:, None, :]  # [B, T, S]
            # Padding may look anywhere, for a query that sees nothing has no softmax.
            memory_sight.mask = (same | (asking[:, :, None] < 0))[:, None]  # [B, 1, T, S]
        for block in self.blocks:
            x = block(x, sight, cache, memory, memory_sight)
        return self.final_norm(x)

    def enter(
        self, x: Tensor, segments: Tensor | None, token_types: Tensor | None = None, start: int = 0
    ) -> Tensor:
        """Embedded tokens `[B, T, D]` as the first block reads them: with their places, normed."""
        x = x + self.embedded_positions(segments, start, x.shape[1], x)
        if self.token_types is not None:
            kinds = torch.zeros_like(x[..., 0], dtype=torch.long) if token_types is None else token_types
            x = x + self.token_types(kinds).to(x.dtype)
        entered: Tensor = self.dropout(self.embedding_norm(x))
        return entered

    def embedded_positions(
        self, segments: Tensor | None, start: int, tokens: int, x: Tensor
    ) -> Tensor | float:
        """What is added to the embeddings to tell where a token stands: `[T, D]`, `[B, T, D]` or 0."""
        if self.config.position not in ("learned", "sinusoidal"):
            return 0.0
        if segments is None:
            positions = torch.arange(start, start + tokens, device=x.device)  # [T]
        else:
            positions = places(segments)[:, start:]  # [B, T]
        if self.positions is None:
            return sinusoids(positions, self.config.width, x.dtype)
        longest = start + tokens
        if segments is not None and longest > self.config.context:
            longest = int(positions.max()) + 1
        if longest > self.config.context:
            raise HeadstartError(
                f"a text of {longest} tokens is longer than this model's {self.config.context} learned "
                "positions; cut it, or split it into windows"
            )
        return self.positions(positions + self.config.position_offset).to(x.dtype)

    def sight(
        self, start: int, tokens: int, segments: Tensor | None, prefix: Tensor | None, x: Tensor
    ) -> Sight:
        """Who sees whom, and from how far: queries are the last `tokens` of `start + tokens` keys."""
        config, sight = self.config, Sight()
        if config.position == "rotary":
            queries = torch.arange(start, start + tokens, device=x.device)
            sight.rotary = rotary_table(
                queries, config.head_width, config.rotary_base, x.dtype, config.rotary_scaling
            )
        if segments is not None and prefix is None and not start and self._end_to_end(x):
            sight.borders = document_borders(segments)
            return sight
        keys = torch.arange(start + tokens, device=x.device)  # [S]
        queries = keys[start:]  # [T]
        if self.causal:
            if segments is None and prefix is None and not start:
                sight.causal = True
            elif tokens > 1:
                sight.mask = queries[:, None] >= keys
        if prefix is not None:
            sight.mask = prefix[:, None, None, :] | (queries[:, None] >= keys)  # [B, 1, T, S]
        if segments is not None:
            same = (segments[:, start:, None] == segments[:, None, :])[:, None]  # [B, 1, T, S]
            sight.mask = same if sight.mask is None else same & sight.mask
        if config.window:
            near = (queries[:, None] - keys).abs() < config.window
            if sight.causal:
                near = near & (queries[:, None] >= keys)
            sight.banded = near if sight.mask is None else near & sight.mask
        if config.position == "relative-xl":
            sight.distances = queries[:, None] - keys
        needs_bias = self.relative_bias is not None or sight.distances is not None
        if needs_bias and sight.causal:
            sight.causal, sight.mask = False, queries[:, None] >= keys
        if self.relative_bias is not None:
            sight.bias = self.relative_bias(queries, keys).to(x.dtype)
        return sight

    def _end_to_end(self, x: Tensor) -> bool:
        """Whether a fused kernel can read the documents of `x` laid end to end."""
        kept = not (self.training and self.config.dropout)
        alone = self.config.position not in ("relative", "relative-xl") and not self.config.encoder_layers
        sixteen = x.is_cuda and x.dtype in (torch.bfloat16, torch.float16)
        return sixteen and kept and alone and parts.DOCUMENT_KERNEL is not None


class Transformer(nn.Module):
    """Token ids to hidden states, and hidden states to logits.

    `encoder` and `decoder` are the stacks that the configuration asks for. `dtype` is what
    activations are computed in; weights stay in float32.
    """

    def __init__(self, config: TransformerConfig, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config, self.dtype = config, dtype
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.encoder = self.decoder = None
        if config.architecture == "encoder":
            self.encoder = Stack(config, config.layers, causal=False)
        elif config.architecture == "decoder":
            self.decoder = Stack(config, config.layers, causal=True)
        else:
            self.encoder = Stack(config, config.encoder_layers, causal=False)
            self.decoder = Stack(config, config.layers, causal=True, cross=True)
        self.prediction_head = PredictionHead(config) if config.prediction_head else nn.Identity()
        self.output = None if config.tied else Linear(config.width, config.vocab_size)
        self.output_bias = nn.Parameter(torch.zeros(config.vocab_size)) if config.output_bias else None
        self.pooler = Linear(config.width, config.width, bias=True) if config.pooler else None
        self.next_sentence = Linear(config.width, 2, bias=True) if config.next_sentence else None

    def forward(
        self,
        ids: Tensor,
        segments: Tensor | None = None,
        cache: KeyValueCache | None = None,
        *,
        token_types: Tensor | None = None,
        prefix: Tensor | None = None,
        memory: Tensor | None = None,
        memory_segments: Tensor | None = None,
    ) -> Tensor:
        """Hidden states `[B, T, D]` after the last norm.

        Args:
            ids: token ids `[B, T]`; in an encoder-decoder those of the decoder.
            segments: document numbers `[B, T]`; attention stays inside a document, positions restart
                with it, and padding has a number of its own (-1). None: each row is document 0.
            cache: keys and values of earlier tokens (decoders); `ids` then continue them.
            token_types: first or second sentence, `[B, T]`; None: all first.
            prefix: true for tokens of a decoder that all of their document sees (prefix LM), `[B, T]`.
            memory: the encoder's hidden states `[B, S, D]`, in an encoder-decoder.
            memory_segments: document numbers of the memory `[B, S]`; None: all of it is seen.
        """
        stack = self.decoder if self.decoder is not None else self.encoder
        assert stack is not None
        if self.encoder is not None and self.decoder is not None and memory is None:
            raise HeadstartError(
                f"{self.config.family} is an encoder-decoder: it also needs the states of the encoder "
                "(memory), which `encode` makes of the source text"
            )
        return stack(self.embed(ids), segments, cache, token_types, prefix, memory, memory_segments)

    def encode(self, source: Tensor, source_segments: Tensor | None = None) -> Tensor:
        """The encoder's hidden states `[B, S, D]` of source ids `[B, S]`, in an encoder-decoder."""
        assert self.encoder is not None
        return self.encoder(self.embed(source), source_segments)

    def embed(self, ids: Tensor) -> Tensor:
        """What the first stack reads of ids `[B, T]`, before positions: `[B, T, D]`."""
        x = self.embedding(ids).to(self.dtype)
        return x * math.sqrt(self.config.width) if self.config.embedding_scale else x

    def transform(self, hidden: Tensor) -> Tensor:
        """What stands between the hidden states and the output's matrix, `[..., D]` both."""
        hidden = self.prediction_head(hidden)
        return hidden * self.config.width**-0.5 if self.config.output_scale else hidden

    @property
    def output_weight(self) -> Tensor:
        """The output's matrix `[V, D]`: the embedding's, if they are tied."""
        return self.embedding.weight if self.output is None else self.output.weight

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary for hidden states of any leading shape: `[..., V]`."""
        hidden = self.transform(hidden)
        bias = None if self.output_bias is None else self.output_bias.to(hidden.dtype)
        return F.linear(hidden, self.output_weight.to(hidden.dtype), bias)

    def pooled(self, first: Tensor) -> Tensor:
        """The pooler's reading of the first tokens' states `[..., D]` (Devlin et al. 2018)."""
        assert self.pooler is not None
        return torch.tanh(self.pooler(first))


@torch.no_grad()
def initialise(model: Transformer, seed: int) -> None:
    """Draw the initial weights, the same for the same seed.

    Matrices are normal with the family's standard deviation, or D^-0.5. In a pre-norm stack what
    writes into the residual stream is smaller by sqrt(2 * layers), so that the stream's variance
    does not grow with depth (Radford et al. 2019, section 2.3). Where attention scores are not
    scaled, the queries are smaller instead. An embedding that is the output too keeps the first
    loss near ln V. Biases are zero, norms one.
    """
    config = model.config
    generator = torch.Generator(device=model.embedding.weight.device).manual_seed(seed)
    matrix = config.initial_deviation or config.width**-0.5
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            if name.endswith("bias"):
                parameter.zero_()
            continue
        if name.endswith(("embedding.weight", "positions.weight", "token_types.weight")):
            deviation = config.embedding_deviation or config.width**-0.5
        elif not config.scaled_attention and name.endswith(".query.weight"):
            deviation = matrix * config.head_width**-0.5
        elif config.norm_place == "pre" and name.endswith((".out.weight", ".down.weight")):
            deviation = matrix / math.sqrt(2 * config.layers)
        else:
            deviation = matrix
        parameter.normal_(0.0, deviation, generator=generator)


def build(config: TransformerConfig, seed: int, dtype: torch.dtype = torch.float32) -> Transformer:
    """A Transformer with random weights."""
    model = Transformer(config, dtype)
    initialise(model, seed)
    return model
