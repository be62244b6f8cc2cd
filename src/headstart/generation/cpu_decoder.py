"""Decoding one row, nearly as fast as memory gives its weights.

A decoder that writes one text reads all its weights for every token and does little with each. PyTorch's
products of a matrix and one row reach a third of the memory's speed in bfloat16, and time goes by between one
operation and the next. `cpu_decoder.cpp` computes a whole token in one call. It is compiled when it is first
used and kept in the user's cache folder. Without a compiler, and for models and inputs that it does not
cover, the model itself computes the same.
"""

import ctypes
import hashlib
import logging
import mmap
import os
import platform
import shlex
import subprocess
import threading
from dataclasses import fields
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from headstart.folder import atomic
from headstart.generation.incremental import Step
from headstart.models import transformer
from headstart.models.config import Rotary, TransformerConfig
from headstart.models.parts.attention import Attention, attention_scale
from headstart.models.parts.cache import KeyValueCache
from headstart.models.parts.feedforward import FeedForward
from headstart.models.parts.linear import Linear
from headstart.models.parts.norms import LayerNorm, RMSNorm
from headstart.models.parts.positions import rotary_table
from headstart.models.transformer import Transformer

SOURCE = Path(__file__).with_name("cpu_decoder.cpp")
MATHEMATICS = ("-fno-math-errno", "-fno-trapping-math")  # nobody reads errno; loops become vector code
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fopenmp", *MATHEMATICS, "-shared", "-fPIC")
LINE = 64  # bytes of a cache line, as in cpu_decoder.cpp
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

log = logging.getLogger(__name__)
_compiling = threading.Lock()


def decoding_step(model: Transformer, weights: torch.dtype | None = None) -> Step:
    """What to call once a token: from ids `[B, T]` and a cache to the last token's logits `[B, V]`, float32.

    Single tokens of a single row go through the compiled code, prompts and batches through the model; both
    fill the same cache. The compiled code has a copy of the weights as they are now: after more training,
    make another step.

    Args:
        weights: what the copy is kept in; None: the model's own dtype. `torch.int8`, half the bytes of
            bfloat16, rounds each row to whole numbers up to 127 and a scale, so its logits are others.
    """

    def through_model(ids: Tensor, cache: KeyValueCache) -> Tensor:
        return model.logits(model(ids, cache=cache)[:, -1]).float()

    if not covers(model) or (library := compiled()) is None:
        return through_model
    one_row = OneRowDecoder(model, weights or model.dtype, library)

    @torch.no_grad()
    def step(ids: Tensor, cache: KeyValueCache) -> Tensor:
        single = ids.shape == (1, 1) and cache.length and cache.segments is None
        return one_row(ids, cache) if single else through_model(ids, cache)

    return step


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
    layers = {config.rotary(layer) for layer in range(config.layers)}
    return layers == {Rotary(config.head_width, config.rotary_base, config.rotary_scaling)}


@cache
def compiled() -> ctypes.CDLL | None:
    """The compiled code, or None, after a line in the log, where there can be none."""
    with _compiling:
        try:
            library = ctypes.CDLL(str(_compile()))
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            reason = getattr(error, "stderr", None) or repr(error)
            log.warning(
                "text is written at PyTorch's speed, a third of what this processor can: cpu_decoder.cpp was "
                "not compiled (%s); install g++, or name a C++ compiler with OpenMP in CXX",
                reason.strip().splitlines()[0],
            )
            return None
    library.decode.restype = None
    library.decode.argtypes = [ctypes.c_void_p] * 6 + [ctypes.c_int64] * 2 + [ctypes.c_int, ctypes.c_void_p]
    return library


def _compile() -> Path:
    """Compile for this processor, unless that is done already: the library in the user's cache folder."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(SOURCE.read_bytes() + " ".join((*FLAGS, _processor())).encode()).hexdigest()[:16]
    library = home / "headstart" / f"one_row-{key}.so"
    if not library.exists():
        compiler = shlex.split(os.environ.get("CXX", "c++"))
        with atomic(library) as temporary:
            command = [*compiler, *FLAGS, "-o", str(temporary), str(SOURCE)]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return library


def _processor() -> str:
    """What `-march=native` depends on: homes are shared by machines that differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return " ".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


# --- The structures of cpu_decoder.cpp, field by field in the same order ----------------------------------


class Matrix(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_void_p) for name in ("weights", "scales", "bias")],
        *[(name, ctypes.c_int64) for name in ("outputs", "inputs", "kind")],
    ]


class Norm(ctypes.Structure):
    _fields_ = [("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p)]


class BlockWeights(ctypes.Structure):
    _fields_ = [
        *[(name, Norm) for name in ("attention_norm", "feedforward_norm")],
        *[(name, Matrix) for name in ("query_key_value", "out", "up", "down")],
        ("window", ctypes.c_int64),
    ]


class Decoder(ctypes.Structure):
    _fields_ = [
        ("blocks", ctypes.POINTER(BlockWeights)),
        ("final_norm", Norm),
        ("output", Matrix),
        *[(name, ctypes.c_int64) for name in ("layers", "width", "heads", "kv_heads", "head_width")],
        *[(name, ctypes.c_int64) for name in ("feedforward_width", "rms", "pre_norm", "rotary", "gated")],
        *[(name, ctypes.c_int64) for name in ("activation", "cache_kind")],
        *[(name, ctypes.c_float) for name in ("epsilon", "attention_scale")],
    ]


# --- A model in these structures ----------------------------------------------------------------------


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


class OneRowDecoder:
    """A decoder as `cpu_decoder.cpp` reads it."""

    def __init__(self, model: Transformer, dtype: torch.dtype, library: ctypes.CDLL) -> None:
        assert model.decoder is not None
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

    def __call__(self, ids: Tensor, cache: KeyValueCache) -> Tensor:
        """Logits `[1, V]` after the token `[1, 1]`, whose keys and values enter the cache."""
        config, position = self.model.config, cache.length
        x = self.model.embed(ids)
        x = x + self.stack.embedded_positions(None, position, 1, x)
        x = self.stack.embedding_norm(x).float().contiguous()  # [1, 1, D]
        cosine = sine = x  # not read unless positions are rotary
        if config.position == "rotary":
            (rotary,) = config.rotaries
            cosine, sine = rotary_table(torch.tensor([position]), rotary, torch.float32)  # [1, C]
        keys = [keys.reserve() for keys, _ in cache.layers]
        values = [values.reserve() for _, values in cache.layers]
        pointers = ctypes.c_void_p * config.layers
        logits = torch.empty(1, config.vocab_size)
        self.library.decode(
            ctypes.byref(self.decoder),
            x.data_ptr(),
            cosine.data_ptr(),
            sine.data_ptr(),
            pointers(*[room.data_ptr() for room in keys]),
            pointers(*[room.data_ptr() for room in values]),
            position,
            keys[0].shape[2],
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
