"""The Transformer: embedding, one or two stacks of blocks, an output over the vocabulary.

The forward pass has no branch on a family's name: what differs stands in the configuration.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.models.config import TransformerConfig
from headstart.models.parts import attention
from headstart.models.parts.attention import (
    Attention,
    AttentionContext,
    attention_mask,
    cumulative_lengths,
)
from headstart.models.parts.cache import KeyValueCache
from headstart.models.parts.feedforward import FeedForward, PredictionHead
from headstart.models.parts.linear import Linear
from headstart.models.parts.norms import make_norm
from headstart.models.parts.positions import (
    RelativeBias,
    RelativePlaces,
    position_ids,
    rotary_table,
    sinusoids,
    text_lengths,
)
from headstart.models.parts.watch import StackWatch, Watch


class Block(nn.Module):
    """Attention, in a decoder with an encoder cross-attention, then feed-forward.

    Each part is added to the stream. Pre-norm reads the stream through a norm, post-norm normalises the sum,
    an output norm what the part gives, and a sandwich has a norm before the part and one on its output.
    """

    def __init__(self, config: TransformerConfig, layer: int, cross: bool) -> None:
        super().__init__()
        self.place, self.parallel = config.norm_place, config.parallel
        normed_already = self.place == "pre" and config.embedding_norm and layer == 0
        self.attention_norm = nn.Identity() if normed_already else make_norm(config)
        self.attention = Attention(config, layer)
        self.cross_norm = make_norm(config) if cross else None
        self.cross_attention = Attention(config, layer, cross=True) if cross else None
        self.feedforward_norm = make_norm(config)
        self.feedforward = FeedForward(config)
        self.attention_out_norm = self.feedforward_out_norm = None
        if self.place == "sandwich":
            self.attention_out_norm, self.feedforward_out_norm = make_norm(config), make_norm(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        context: AttentionContext,
        cache: KeyValueCache | None = None,
        encoder_states: Tensor | None = None,
        cross_context: AttentionContext | None = None,
    ) -> Tensor:
        if self.parallel:
            mixed = self.attention(self.attention_norm(x), context, cache)  # [B, T, D]
            made = self._feed(self.feedforward_norm(x), context.watch)
            out: Tensor = x + self.dropout(mixed) + self.dropout(made)
            return out
        mixed = self.attention(self._before(self.attention_norm, x), context, cache)
        x = self._add(x, mixed, self.attention_norm, self.attention_out_norm)
        if self.cross_attention is not None and self.cross_norm is not None:
            mixed = self.cross_attention(
                self._before(self.cross_norm, x), cross_context, cache, encoder_states
            )
            x = self._add(x, mixed, self.cross_norm)
        return self._add(
            x,
            self._feed(self._before(self.feedforward_norm, x), context.watch),
            self.feedforward_norm,
            self.feedforward_out_norm,
        )

    def _feed(self, read: Tensor, watch: StackWatch | None) -> Tensor:
        """What the feed-forward part makes of what it reads, `[B, T, D]` both."""
        given: Tensor = self.feedforward(read)
        if watch is not None:
            watch.read[self.attention.layer] = read
            watch.given[self.attention.layer, "feedforward"] = given
        return given

    def _before(self, norm: nn.Module, x: Tensor) -> Tensor:
        """What a part reads of the stream."""
        normed: Tensor = norm(x) if self.place in ("pre", "sandwich") else x
        return normed

    def _add(self, x: Tensor, part: Tensor, norm: nn.Module, out_norm: nn.Module | None = None) -> Tensor:
        """The stream with what a part gives."""
        if self.place == "output":
            part = norm(part)
        elif out_norm is not None:
            part = out_norm(part)
        x = x + self.dropout(part)
        return norm(x) if self.place == "post" else x


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
        self.relative_places = self.relative_norm = None
        if config.position == "disentangled":
            self.relative_places, self.relative_norm = RelativePlaces(config), make_norm(config)
        self.blocks = nn.ModuleList(Block(config, layer, cross) for layer in range(layers))
        self.final_norm = make_norm(config) if config.final_norm else nn.Identity()
        self.windows = sorted({config.layer(number).window for number in range(layers)})

    def forward(
        self,
        x: Tensor,
        segments: Tensor | None = None,
        cache: KeyValueCache | None = None,
        token_types: Tensor | None = None,
        prefix: Tensor | None = None,
        encoder_states: Tensor | None = None,
        encoder_segments: Tensor | None = None,
        watch: StackWatch | None = None,
    ) -> Tensor:
        """Embedded tokens `[B, T, D]` to hidden states `[B, T, D]`; arguments as in `Transformer`."""
        tokens = x.shape[1]
        start = cache.length if cache is not None else 0
        if cache is not None:
            segments = cache.extend_segments(segments, tokens)
        x = self.enter(x, segments, token_types, start)
        context = self.attention_context(start, tokens, segments, prefix, x, watch, cache is not None)
        cross_context = AttentionContext(watch=watch)
        if encoder_segments is not None:
            if segments is None:
                segments = x.new_zeros(len(x), start + tokens, dtype=torch.long)
            asking = segments[:, start:]
            same = asking[:, :, None] == encoder_segments[:, None, :]  # [B, T, S]
            # Padding may look anywhere, for a query that sees nothing has no softmax.
            cross_context.masks[0] = (same | (asking[:, :, None] < 0))[:, None]  # [B, 1, T, S]
        if watch is not None:
            watch.states.append(x)
        for block in self.blocks:
            x = block(x, context, cache, encoder_states, cross_context)
            if watch is not None:
                watch.states.append(x)
        states: Tensor = self.final_norm(x)
        return states

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
            positions = position_ids(segments)[:, start:]  # [B, T]
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
        embedded: Tensor = self.positions(positions + self.config.position_offset).to(x.dtype)
        return embedded

    def attention_context(
        self,
        start: int,
        tokens: int,
        segments: Tensor | None,
        prefix: Tensor | None,
        x: Tensor,
        watch: StackWatch | None = None,
        cached: bool = False,
    ) -> AttentionContext:
        """What the blocks attend to: queries are the last `tokens` of `start + tokens` keys.

        Who watches sees documents behind masks: the kernel that reads them end to end has no weights to show.
        Keys that are kept are turned by their places in their own rows, however those are padded by then.
        """
        keys = torch.arange(start + tokens, device=x.device)  # [S]
        queries = keys[start:]  # [T]
        places = queries
        if cached and segments is not None and self.config.rotaries:
            places = position_ids(segments)[:, None, start:]  # [B, 1, T]: all heads alike
        lengths = self._text_lengths(segments, start)
        context = AttentionContext(
            rotary=[rotary_table(places, rotary, x.dtype, lengths) for rotary in self.config.rotaries],
            watch=watch,
        )
        alone = segments is not None and prefix is None and not start and watch is None
        if segments is not None and alone and self._end_to_end(x):
            context.cu_seqlens = cumulative_lengths(segments)
            return context
        if self.config.position == "relative-xl":
            context.distances = queries[:, None] - keys
        if self.relative_bias is not None:
            context.bias = self.relative_bias(queries, keys).to(x.dtype)
        if self.relative_places is not None and self.relative_norm is not None:
            vectors = self.dropout(self.relative_norm(self.relative_places.weight.to(x.dtype)))
            pairs = self.relative_places(queries[:, None] - keys)  # [T, S]
            context.places = vectors, pairs.expand(x.shape[0], self.config.heads, -1, -1)
        rows_alike = segments is None and prefix is None and not start
        context.causal = self.causal and rows_alike and context.bias is None and context.distances is None
        documents = None if segments is None else (segments[:, start:], segments)
        causal = self.causal and tokens > 1  # one token, the newest, sees all others
        for window in self.windows:
            if window or not context.causal:
                context.masks[window] = attention_mask(queries, keys, causal, prefix, documents, window)
        return context

    def _text_lengths(self, segments: Tensor | None, start: int) -> Tensor | None:
        """Tokens in the document of each query `[B, 1, T]`, where a layer's positions heed it; None: else."""
        scalings = (rotary.scaling for rotary in self.config.rotaries)
        heeded = any(scaling is not None and scaling.by_length for scaling in scalings)
        return text_lengths(segments)[:, None, start:] if heeded and segments is not None else None

    def _end_to_end(self, x: Tensor) -> bool:
        """Whether a fused kernel can read the documents of `x` laid end to end."""
        config = self.config
        kept = not (self.training and config.dropout)
        biased = config.position in ("relative", "relative-xl", "disentangled")
        plain = not biased and not config.attention_cap
        sixteen = x.is_cuda and x.dtype in (torch.bfloat16, torch.float16)
        alone = not config.encoder_layers
        return sixteen and kept and plain and alone and attention.DOCUMENT_KERNEL is not None


class Transformer(nn.Module):
    """Token ids to hidden states, and hidden states to logits.

    `encoder` and `decoder` are the stacks that the configuration asks for. `dtype` is what
    activations are computed in; weights are float32, until `keep_rounded`.
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

    def keep_rounded(self) -> None:
        """Keep matrices in `dtype`, to which every forward pass would round them again: for inference alone.

        What is computed stays the same to the bit. Norms and what else is computed with in float32 stay.
        """
        for part in self.modules():
            if isinstance(part, Linear | nn.Embedding):
                for parameter in part.parameters(recurse=False):
                    parameter.data = parameter.data.to(self.dtype)

    def forward(
        self,
        ids: Tensor,
        segments: Tensor | None = None,
        cache: KeyValueCache | None = None,
        *,
        token_types: Tensor | None = None,
        prefix: Tensor | None = None,
        encoder_states: Tensor | None = None,
        encoder_segments: Tensor | None = None,
        watch: Watch | None = None,
    ) -> Tensor:
        """Hidden states `[B, T, D]` after the last norm.

        Args:
            ids: token ids `[B, T]`; in an encoder-decoder those of the decoder.
            segments: document numbers `[B, T]`; attention stays inside a document, positions restart
                with it, and padding has a number of its own (-1). None: each row is document 0.
            cache: keys and values of earlier tokens (decoders); `ids` then continue them.
            token_types: first or second sentence, `[B, T]`; None: all first.
            prefix: true for tokens of a decoder that all of their document sees (prefix LM), `[B, T]`.
            encoder_states: the encoder's hidden states `[B, S, D]`, in an encoder-decoder.
            encoder_segments: document numbers of the encoder states `[B, S]`; None: all of it is seen.
            watch: keeps what is computed on the way; see `headstart.models.observe`.
        """
        stack = self.decoder if self.decoder is not None else self.encoder
        assert stack is not None
        if self.encoder is not None and self.decoder is not None and encoder_states is None:
            raise HeadstartError(
                f"{self.config.family} is an encoder-decoder: it also needs the states of the encoder "
                "(encoder_states), which `encode` makes of the source text"
            )
        seen = None if watch is None else watch.stack("encoder" if self.decoder is None else "decoder")
        states: Tensor = stack(
            self.embed(ids), segments, cache, token_types, prefix, encoder_states, encoder_segments, seen
        )
        return states

    def encode(
        self, source: Tensor, source_segments: Tensor | None = None, watch: Watch | None = None
    ) -> Tensor:
        """The encoder's hidden states `[B, S, D]` of source ids `[B, S]`, in an encoder-decoder."""
        assert self.encoder is not None
        seen = None if watch is None else watch.stack("encoder")
        states: Tensor = self.encoder(self.embed(source), source_segments, watch=seen)
        return states

    def embed(self, ids: Tensor) -> Tensor:
        """What the first stack reads of ids `[B, T]`, before positions: `[B, T, D]`."""
        x: Tensor = self.embedding(ids).to(self.dtype)
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
        scores = F.linear(hidden, self.output_weight.to(hidden.dtype), bias)
        cap = self.config.output_cap
        return cap * torch.tanh(scores / cap) if cap else scores

    def pooled(self, first: Tensor) -> Tensor:
        """The pooler's reading of the first tokens' states `[..., D]` (Devlin et al. 2018)."""
        assert self.pooler is not None
        return torch.tanh(self.pooler(first))


@torch.no_grad()
def initialise(model: Transformer, seed: int) -> None:
    """Draw the initial weights, the same for the same seed.

    Matrices are normal with the family's standard deviation, or D^-0.5. In a stack without post-norm what
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
        if name.endswith(
            ("embedding.weight", "positions.weight", "token_types.weight", "relative_places.weight")
        ):
            deviation = config.embedding_deviation or config.width**-0.5
        elif not config.scaled_attention and name.endswith(".query.weight"):
            deviation = matrix * config.head_width**-0.5
        elif config.final_norm and name.endswith((".out.weight", ".down.weight")):
            deviation = matrix / math.sqrt(2 * config.layers)
        else:
            deviation = matrix
        parameter.normal_(0.0, deviation, generator=generator)


def build(config: TransformerConfig, seed: int, dtype: torch.dtype = torch.float32) -> Transformer:
    """A Transformer with random weights."""
    model = Transformer(config, dtype)
    initialise(model, seed)
    return model
