"""A decoder on a CPU: tokens of many texts in one compiled call, nearly as fast as memory gives its weights.

A decoder that writes reads all its weights for every token and does little with each. PyTorch's products of a
matrix and few rows reach a third of the memory's speed in bfloat16, and time goes by between one operation
and the next. `cpu_decoder.cpp` computes k rows in one call: a row is one token of one text, with a cache and
a place of its own, so prompts and next tokens go the same way. What a text gets is bitwise the same alone and
beside others. Without a compiler, and for models that the code does not cover, `make_decoder` gives None and
the model itself computes, see `incremental`.
"""

import ctypes
import mmap
from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.generation.cpu_library import LINE, BlockWeights, Decoder, Matrix, Norm, Row, compiled
from headstart.models import transformer
from headstart.models.config import Rotary, TransformerConfig
from headstart.models.parts.attention import Attention, attention_scale
from headstart.models.parts.feedforward import FeedForward
from headstart.models.parts.linear import Linear
from headstart.models.parts.norms import LayerNorm, RMSNorm
from headstart.models.parts.positions import rotary_angles, rotary_frequencies, sinusoids
from headstart.models.transformer import Transformer

KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}
ACTIVATIONS = {"relu": 0, "gelu": 1, "geglu": 1, "gelu_tanh": 2, "geglu_tanh": 2, "swiglu": 3}
COVERED = {
    Transformer,
    transformer.Stack,
    transformer.Block,
    Attention,
    FeedForward,
    Linear,
}
COVERED |= {LayerNorm, RMSNorm, nn.Embedding, nn.ModuleList, nn.Dropout, nn.Identity}

# The fields of a configuration that the compiled code heeds, or that change nothing in what it computes. A
# model in which another one differs from its default goes through the model itself.
READ = {
    *("family", "architecture", "vocab_size", "layers", "width", "heads", "kv_heads", "head_width"),
    *("feedforward_width", "context", "plan", "position", "position_offset", "rotary_base"),
    *("rotary_scaling", "relative_buckets", "relative_distance", "norm", "norm_place", "norm_bias"),
    *("norm_epsilon", "feedforward", "feedforward_bias", "qkv_bias", "out_bias", "scaled_attention"),
    *("query_scalar", "embedding_norm", "embedding_scale", "output_bias", "tied", "dropout"),
    *("initial_deviation", "embedding_deviation"),
}
ROWS = 256
"""The most rows of one call: with more, a prompt is read in parts."""


def make_decoder(model: Transformer, weights: torch.dtype | None = None) -> "CPUDecoder | None":
    """The model as the compiled code reads it, or None where only the model itself can compute.

    The decoder has a copy of the weights as they are now: after more training, make another one.

    Args:
        weights: what the copy is kept in; None: the model's own dtype. `torch.int8`, half the bytes of
            bfloat16, rounds each row to whole numbers up to 127 and a scale, so its logits are others.
    """
    if not covers(model) or compiled() is None:
        return None
    return CPUDecoder(model, weights or model.dtype)


def covers(model: Transformer) -> bool:
    """Whether the compiled code computes what this model does."""
    config = model.config
    return (
        config.architecture == "decoder"
        and config.norm_place in ("pre", "post")
        and all(
            field.default == getattr(config, field.name) for field in fields(config) if field.name not in READ
        )
        # One table of rotary positions for all layers, over whole heads.
        and (config.position != "rotary" or _alike(config))
        and model.dtype in (torch.float32, torch.bfloat16)
        and model.embedding.weight.device.type == "cpu"
        # No other part, be it one of ours or an adapter's in the place of one of ours.
        and {type(part) for part in model.modules()} <= COVERED
    )


def _alike(config: TransformerConfig) -> bool:
    if config.rotary_scaling is not None and config.rotary_scaling.kind == "longrope":
        return False  # a text's angles depend on its length
    layers = {config.rotary(layer) for layer in range(config.layers)}
    return layers == {Rotary(config.head_width, config.rotary_base, config.rotary_scaling)}


class TextCache:
    """Keys and values of the tokens that one text has read, in every layer."""

    def __init__(self, config: TransformerConfig, dtype: torch.dtype) -> None:
        self.length = 0
        self.memory = torch.empty(config.layers, 2, config.kv_heads, 0, config.head_width, dtype=dtype)
        """`[L, 2, K, room, C]`: keys, then values."""

    def reserve(self, tokens: int) -> None:
        """Have room for so many more tokens, by doubling."""
        room = self.memory.shape[3]
        if self.length + tokens <= room:
            return
        layers, pair, heads, _, width = self.memory.shape
        grown = self.memory.new_empty(layers, pair, heads, max(self.length + tokens, 2 * room), width)
        grown[:, :, :, : self.length] = self.memory[:, :, :, : self.length]
        self.memory = grown

    def copy(self) -> "TextCache":
        """Another text that has read the same."""
        other = object.__new__(TextCache)
        other.length, other.memory = self.length, self.memory.clone()
        return other


class Weights:
    """Memory that holds matrices one after another, in the order in which they are read."""

    def __init__(self, dtype: torch.dtype, shapes: list[tuple[int, int]]) -> None:
        self.dtype, self.lanes = dtype, LINE // dtype.itemsize
        size = sum(self._padded(outputs) * inputs for outputs, inputs in shapes)
        memory = mmap.mmap(-1, size * dtype.itemsize)  # zeros
        if hasattr(mmap, "MADV_HUGEPAGE"):  # larger pages are looked up less often: up to a fifth faster
            memory.madvise(mmap.MADV_HUGEPAGE)
        self.free = torch.frombuffer(memory, dtype=dtype)
        self.vectors: list[Tensor] = []

    def _padded(self, outputs: int) -> int:
        return -(-outputs // self.lanes) * self.lanes

    def matrix(self, weights: list[Tensor], biases: list[Tensor | None]) -> Matrix:
        """Matrices `[O, D]` and their biases `[O]` as one, the rows of one below those of the other."""
        weight = torch.cat([part.detach() for part in weights])
        bias = None if biases[0] is None else torch.cat([part for part in biases if part is not None])
        scales = None
        if self.dtype == torch.int8:
            weight = weight.float()
            scales = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / 127  # [O]
            weight = (weight / scales[:, None]).round()
        outputs, inputs = weight.shape
        panels = outputs // self.lanes
        size = self._padded(outputs) * inputs
        place, self.free = self.free[:size].view(-1, inputs, self.lanes), self.free[size:]
        whole, rest = weight.split([panels * self.lanes, outputs - panels * self.lanes])
        place[:panels] = whole.view(panels, self.lanes, inputs).transpose(1, 2)
        if len(rest):
            place[panels, :, : len(rest)] = rest.T
        for panel in place:  # word w has the outputs w, w + 16, ...: as `widen` takes them apart
            panel.copy_(panel.view(inputs, -1, LINE // 4).transpose(1, 2).reshape(inputs, -1))
        return Matrix(
            place.data_ptr(), self.vector(scales), self.vector(bias), outputs, inputs, KINDS[self.dtype]
        )

    def vector(self, vector: Tensor | None) -> int | None:
        """The address of a copy in float32."""
        if vector is None:
            return None
        self.vectors.append(vector.detach().float().clone())
        return self.vectors[-1].data_ptr()

    def norm(self, norm: nn.Module) -> Norm:
        weights = dict(norm.named_parameters())  # none of an Identity
        return Norm(self.vector(weights.get("weight")), self.vector(weights.get("bias")))


class CPUDecoder:
    """A decoder as `cpu_decoder.cpp` reads it."""

    def __init__(self, model: Transformer, dtype: torch.dtype) -> None:
        library = compiled()
        assert model.decoder is not None
        assert library is not None
        self.model, self.stack, self.library = model, model.decoder, library
        config = model.config
        self.weights = Weights(dtype, _shapes(config))
        self.decoder = Decoder(
            blocks=(BlockWeights * config.layers)(*map(self._block, self.stack.blocks)),
            final_norm=self.weights.norm(self.stack.final_norm),
            output=self.weights.matrix([model.output_weight], [model.output_bias]),
            layers=config.layers,
            width=config.width,
            heads=config.heads,
            kv_heads=config.kv_heads,
            head_width=config.head_width,
            feedforward_width=config.feedforward_width,
            rms=config.norm == "rmsnorm",
            pre_norm=config.norm_place == "pre",
            rotary=config.position == "rotary",
            gated=config.gated,
            activation=ACTIVATIONS[config.feedforward],
            cache_kind=KINDS[model.dtype],
            epsilon=config.norm_epsilon,
            attention_scale=attention_scale(config),
        )
        if config.position == "rotary":
            (rotary,) = config.rotaries
            self.rotary = rotary, rotary_frequencies(rotary)

    def _block(self, block: nn.Module) -> BlockWeights:
        assert isinstance(block, transformer.Block)
        attention, feedforward = block.attention, block.feedforward
        up = [part for part in (feedforward.gate, feedforward.up) if part is not None]
        return BlockWeights(
            self.weights.norm(block.attention_norm),
            self.weights.norm(block.feedforward_norm),
            self._rows(attention.query, attention.key, attention.value),
            self._rows(attention.out),
            self._rows(*up),
            self._rows(feedforward.down),
            attention.window,
        )

    def _rows(self, *linears: nn.Linear) -> Matrix:
        return self.weights.matrix([part.weight for part in linears], [part.bias for part in linears])

    def cache(self) -> TextCache:
        """Of a text that has read nothing yet."""
        return TextCache(self.model.config, self.model.dtype)

    def read(self, caches: Sequence[TextCache], tokens: Sequence[Sequence[int]]) -> Tensor:
        """Read some tokens of each text, at least one; returns the logits after the last of them, `[B, V]`.

        Raises:
            HeadstartError: a text has more tokens than the model has learned positions.
        """
        wanted = [[place == len(own) - 1 for place in range(len(own))] for own in tokens]
        return torch.cat(self.read_rows(caches, tokens, wanted))

    @torch.no_grad()
    def read_rows(
        self,
        caches: Sequence[TextCache],
        tokens: Sequence[Sequence[int]],
        wanted: Sequence[Sequence[bool]],
    ) -> list[Tensor]:
        """Read some tokens of each text; returns of each text the logits after those that are wanted.

        Args:
            wanted: for each token whether the logits `[V]` after it are.

        Raises:
            HeadstartError: a text has more tokens than the model has learned positions.
        """
        starts = [cache.length for cache in caches]
        rows = [
            (cache, start + place, token, after)
            for cache, start, own, marks in zip(caches, starts, tokens, wanted, strict=True)
            for place, (token, after) in enumerate(zip(own, marks, strict=True))
        ]
        for cache, own in zip(caches, tokens, strict=True):
            cache.reserve(len(own))
        logits = []
        for first in range(0, len(rows), ROWS):
            text_caches, positions, ids, marks = zip(*rows[first : first + ROWS], strict=True)
            named = [row for row, mark in enumerate(marks) if mark]
            logits.append(self._call(text_caches, positions, ids, named))
        for cache, own in zip(caches, tokens, strict=True):
            cache.length += len(own)
        return list(torch.cat(logits).split([sum(marks) for marks in wanted]))

    def _entered(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Tokens `[k]` at their places `[k]` as the first block reads them, `[k, D]` in float32."""
        config = self.model.config
        x = self.model.embed(tokens[None])[0]
        if self.stack.positions is not None:
            if int(places.max()) >= config.context:
                raise HeadstartError(
                    f"a text of {int(places.max()) + 1} tokens is longer than this model's {config.context} "
                    "learned positions; cut it, or split it into windows"
                )
            x = x + self.stack.positions(places + config.position_offset).to(x.dtype)
        elif config.position == "sinusoidal":
            x = x + sinusoids(places, config.width, x.dtype)
        entered: Tensor = self.stack.embedding_norm(x)
        return entered.float().contiguous()

    def _call(
        self,
        caches: Sequence[TextCache],
        positions: Sequence[int],
        tokens: Sequence[int],
        wanted: Sequence[int],
    ) -> Tensor:
        """One call of the library: a token for each cache, logits `[n, V]` after the wanted ones."""
        config = self.model.config
        places = torch.tensor(positions)  # [k]
        x = self._entered(torch.tensor(tokens), places)  # [k, D]
        cosine = sine = x  # not read unless positions are rotary
        if config.position == "rotary":
            rotary, frequencies = self.rotary
            cosine, sine = rotary_angles(places, rotary, frequencies, torch.float32)  # [k, C]
        rows = (Row * len(tokens))(
            *[
                Row(cache.memory.data_ptr(), position, cache.memory.shape[3])
                for cache, position in zip(caches, positions, strict=True)
            ]
        )
        logits = torch.empty(len(wanted), config.vocab_size)
        self.library.decode(
            ctypes.byref(self.decoder),
            len(tokens),
            x.data_ptr(),
            cosine.data_ptr(),
            sine.data_ptr(),
            rows,
            len(wanted),
            (ctypes.c_int64 * len(wanted))(*wanted),
            torch.get_num_threads(),
            logits.data_ptr(),
        )
        return logits


def _shapes(config: TransformerConfig) -> list[tuple[int, int]]:
    """Outputs and inputs of all matrices."""
    D, F, C = config.width, config.feedforward_width, config.head_width
    block = [
        ((config.heads + 2 * config.kv_heads) * C, D),
        (D, config.heads * C),
        (F * (2 if config.gated else 1), D),
        (D, F),
    ]
    return block * config.layers + [(config.vocab_size, D)]
