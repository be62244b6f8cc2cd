"""A decoder on a CPU: tokens of many texts in one compiled call, nearly as fast as memory gives its weights.

A decoder that writes reads all its weights for every token and does little with each. PyTorch's products of a
matrix and few rows reach a third of the memory's speed in bfloat16, and time goes by between one operation
and the next. `cpu_decoder.cpp` computes k rows in one call: a row is one token of one text, with a cache and
a place of its own, so prompts and next tokens go the same way. What a text gets is bitwise the same alone and
beside others. Without a compiler, and for models that the code does not cover, `make_decoder` gives None and
the model itself computes, see `incremental`.
"""

import ctypes
import math
import mmap
from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.generation.cpu_library import (
    BLOCK,
    LINE,
    BlockWeights,
    Decoder,
    Matrix,
    Norm,
    Norms,
    Row,
    compiled,
)
from headstart.models import transformer
from headstart.models.config import TransformerConfig
from headstart.models.parts.attention import Attention, attention_scale
from headstart.models.parts.feedforward import FeedForward
from headstart.models.parts.linear import Linear
from headstart.models.parts.norms import LayerNorm, RMSNorm
from headstart.models.parts.positions import rotary_angles, rotary_frequencies, sinusoids
from headstart.models.transformer import Transformer

PAIRS = 3
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
    *("norm_plus_one", "parallel", "query_key_norm", "attention_cap", "output_cap", "rotary_width"),
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
        and all(
            field.default == getattr(config, field.name) for field in fields(config) if field.name not in READ
        )
        # Of longrope and dynamic scaling a text's angles depend on its length.
        and (config.rotary_scaling is None or not config.rotary_scaling.by_length)
        and config.position in ("learned", "sinusoidal", "rotary", "none")
        and model.dtype in (torch.float32, torch.bfloat16)
        and model.embedding.weight.device.type == "cpu"
        # No other part, be it one of ours or an adapter's in the place of one of ours.
        and {type(part) for part in model.modules()} <= COVERED
    )


class TextCache:
    """Keys and values of the tokens that one text has read, in every layer, in blocks of `BLOCK` tokens."""

    def __init__(self, block_size: int, dtype: torch.dtype) -> None:
        """
        Args:
            block_size: numbers in a block, see `CPUDecoder.block_size`.
        """
        self.block_size, self.dtype = block_size, dtype
        self.length = 0
        self.blocks: list[Tensor] = []
        """What they hold beyond `length` means nothing."""
        self._addresses = (ctypes.c_void_p * 0)()

    @property
    def address(self) -> int:
        """Of the blocks' addresses, in the order of the text."""
        if len(self._addresses) != len(self.blocks):
            self._addresses = (ctypes.c_void_p * len(self.blocks))(
                *[block.data_ptr() for block in self.blocks]
            )
        return ctypes.addressof(self._addresses)

    def reserve(self, tokens: int) -> None:
        """Have room for so many more tokens."""
        while len(self.blocks) * BLOCK < self.length + tokens:
            self.blocks.append(torch.empty(self.block_size, dtype=self.dtype))

    def copy(self) -> "TextCache":
        """Another text that has read the same."""
        other = TextCache(self.block_size, self.dtype)
        other.length, other.blocks = self.length, [block.clone() for block in self.blocks]
        return other


class Weights:
    """Memory that holds matrices one after another, in the order in which they are read."""

    def __init__(self, dtype: torch.dtype, pairs: bool, shapes: list[tuple[int, int]]) -> None:
        """
        Args:
            pairs: two inputs that follow each other stand together, for products of bfloat16.
        """
        self.dtype, self.pairs = dtype, pairs
        self.lanes = LINE // dtype.itemsize  # outputs of a panel
        size = sum(math.prod(self._filled(*shape)) for shape in shapes)
        memory = mmap.mmap(-1, size * dtype.itemsize)  # zeros
        if hasattr(mmap, "MADV_HUGEPAGE"):  # larger pages are looked up less often: up to a fifth faster
            memory.madvise(mmap.MADV_HUGEPAGE)
        self.free = torch.frombuffer(memory, dtype=dtype)
        self.vectors: list[Tensor] = []

    def _filled(self, outputs: int, inputs: int) -> tuple[int, int]:
        """The shape of a matrix with whole panels, and whole pairs."""
        return -(-outputs // self.lanes) * self.lanes, inputs + inputs % 2 if self.pairs else inputs

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
        filled = self._filled(outputs, inputs)
        size = math.prod(filled)
        place, self.free = self.free[:size].view(-1, self.lanes * filled[1]), self.free[size:]
        for panel, rows in zip(place, weight.split(self.lanes), strict=True):
            whole = weight.new_zeros(self.lanes, filled[1])
            whole[: len(rows), :inputs] = rows
            if self.pairs:  # [two lines, outputs, pairs, 2] to [pairs, two lines, outputs, 2]
                panel.copy_(whole.view(2, -1, filled[1] // 2, 2).permute(2, 0, 1, 3).flatten())
            else:  # a line an input; word w has the outputs w, w + 16, ...: as `widen` takes them apart
                panel.copy_(whole.view(-1, LINE // 4, inputs).permute(2, 1, 0).flatten())
        kind = PAIRS if self.pairs else KINDS[self.dtype]
        return Matrix(place.data_ptr(), self.vector(scales), self.vector(bias), outputs, inputs, kind)

    def vector(self, vector: Tensor | None) -> int | None:
        """The address of a copy in float32."""
        if vector is None:
            return None
        self.vectors.append(vector.detach().float().clone())
        return self.vectors[-1].data_ptr()

    def norm(self, norm: nn.Module | None) -> Norm:
        weights = {} if norm is None else dict(norm.named_parameters())  # none of an Identity
        weight: Tensor | None = weights.get("weight")
        if weight is not None and isinstance(norm, RMSNorm) and norm.plus_one:
            weight = weight + 1
        return Norm(self.vector(weight), self.vector(weights.get("bias")))


class CPUDecoder:
    """A decoder as `cpu_decoder.cpp` reads it."""

    def __init__(self, model: Transformer, dtype: torch.dtype) -> None:
        library = compiled()
        assert model.decoder is not None
        assert library is not None
        self.model, self.stack, self.library = model, model.decoder, library
        config = model.config
        pairs = dtype == torch.bfloat16 and bool(library.multiplies_pairs())
        self.kernel = f"{str(dtype).removeprefix('torch.')}{' pairs' if pairs else ''}"
        """The dtype of weights; "pairs" where activations are rounded to it for every product."""
        self.rotaries = [(rotary, rotary_frequencies(rotary)) for rotary in config.rotaries]
        lanes = LINE // model.dtype.itemsize
        width, filled = config.head_width, -(-config.head_width // lanes) * lanes
        self.block_size = config.layers * config.kv_heads * (width + filled) * BLOCK
        """Numbers that the keys and values of `BLOCK` tokens take."""
        self.weights = Weights(dtype, pairs, _shapes(config))
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
            rotary_width=config.rotary_width or config.head_width,
            rms=config.norm == "rmsnorm",
            parallel=config.parallel,
            norm_by_head=config.query_key_norm == "head",
            gated=config.gated,
            activation=ACTIVATIONS[config.feedforward],
            cache_kind=KINDS[model.dtype],
            pairs=pairs,
            epsilon=config.norm_epsilon,
            attention_scale=attention_scale(config),
            attention_cap=config.attention_cap,
            output_cap=config.output_cap,
        )

    def _block(self, block: nn.Module) -> BlockWeights:
        assert isinstance(block, transformer.Block)
        attention, feedforward = block.attention, block.feedforward
        up = [part for part in (feedforward.gate, feedforward.up) if part is not None]
        return BlockWeights(
            self._norms(block, block.attention_norm, block.attention_out_norm),
            self._norms(block, block.feedforward_norm, block.feedforward_out_norm),
            self.weights.norm(attention.query_norm),
            self.weights.norm(attention.key_norm),
            self._rows(attention.query, attention.key, attention.value),
            self._rows(attention.out),
            self._rows(*up),
            self._rows(feedforward.down),
            attention.window,
            -1 if attention.rotary is None else attention.rotary,
        )

    def _norms(self, block: transformer.Block, norm: nn.Module, out_norm: nn.Module | None) -> Norms:
        """The norms around a part, each where it stands."""
        place = "pre" if block.parallel else block.place
        stands = {"pre": "before", "sandwich": "before", "output": "output", "post": "after"}[place]
        own = {stands: norm} | ({"output": out_norm} if place == "sandwich" else {})
        return Norms(**{where: self.weights.norm(one) for where, one in own.items()})

    def _rows(self, *linears: nn.Linear) -> Matrix:
        return self.weights.matrix([part.weight for part in linears], [part.bias for part in linears])

    def cache(self) -> TextCache:
        """Of a text that has read nothing yet."""
        return TextCache(self.block_size, self.model.dtype)

    @torch.no_grad()
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
        # Of each of the rotary positions that layers have [k, R]; not read where there are none.
        tables = [
            rotary_angles(places, rotary, frequencies, torch.float32) for rotary, frequencies in self.rotaries
        ]
        cosine, sine = map(torch.cat, zip(*tables, strict=True)) if tables else (x, x)
        rows = (Row * len(tokens))(
            *[Row(cache.address, position) for cache, position in zip(caches, positions, strict=True)]
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
