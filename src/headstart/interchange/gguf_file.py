"""GGUF, the one-file format of llama.cpp: decoders and their tokenizers, written.

The container, its quantised blocks and the names of weights are the `gguf` package's; what the sizes mean is
in `gguf_shapes`, the tokenizer in `gguf_vocabulary`; `gguf_reading` is the way back. The format is described
in ggml's docs/gguf.md.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import atomic
from headstart.interchange.gguf_shapes import SHAPES, shape_of, to_fields
from headstart.interchange.gguf_vocabulary import vocabulary_of
from headstart.models.config import Rotary, TransformerConfig
from headstart.models.parts.positions import rotary_frequencies
from headstart.models.registry import family_named
from headstart.models.transformer import Transformer
from headstart.tokenizer.base import Tokenizer

if TYPE_CHECKING:
    from gguf import GGUFWriter

TYPES = ("f32", "f16", "bf16", "q8_0")
Q8_BLOCK = 32  # numbers that share a scale; a row that is no multiple of it is kept in f16


def package() -> Any:
    try:
        import gguf
    except ImportError:
        raise HeadstartError(
            "GGUF files need the gguf package; install it with: pip install 'headstart[gguf]'"
        ) from None
    return gguf


def names(config: TransformerConfig, architecture: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """GGUF's name of every weight and ours, stacked where there are several."""
    gguf = package()
    kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    known = gguf.get_tensor_name_map(kinds[architecture], config.layers)
    for theirs, stored in family_named(config.family).weights(config).items():
        named = known.get_name(theirs, try_suffixes=(".weight", ".bias"))
        if named is not None:
            yield named, stored.names


def _neighbours(weight: Tensor, heads: int) -> Tensor:
    """Rows of a query or key matrix with rotary pairs side by side, as GGUF has them, not C/2 apart."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def half_apart(weight: Tensor, heads: int) -> Tensor:
    """The way back: the first of every pair in the first half of its head."""
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def paired_heads(name: str, config: TransformerConfig) -> int:
    """How many heads a weight's rows belong to, if rotary pairs lie side by side in them; else 0."""
    if not SHAPES[config.family].neighbours:
        return 0
    return {"attn_q": config.heads, "attn_k": config.kv_heads}.get(name.split(".")[-2], 0)


def write_gguf(
    path: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    kind: str,
    name: str,
    chat_template: str | None = None,
) -> None:
    """Write a decoder as one GGUF file, atomically.

    Args:
        kind: of the matrices, one of `TYPES`; norms and biases are f32.
        name: what the file calls the model.

    Raises:
        HeadstartError: a model or a tokenizer that the format does not know.
    """
    gguf = package()
    config = model.config
    shape = shape_of(config)
    vocabulary = vocabulary_of(tokenizer, config.vocab_size)
    with atomic(path) as temporary:
        writer = gguf.GGUFWriter(temporary, shape.architecture)
        writer.add_name(name)
        writer.add_file_type(
            {
                "f32": gguf.LlamaFileType.ALL_F32,
                "f16": gguf.LlamaFileType.MOSTLY_F16,
                "bf16": gguf.LlamaFileType.MOSTLY_BF16,
                "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
            }[kind]
        )
        for field, value in to_fields(config).items():
            _add_field(writer, f"{shape.architecture}.{field}", value)
        vocabulary.write(writer)
        if chat_template is not None:
            writer.add_chat_template(chat_template)
        state = model.state_dict()
        for theirs, ours in names(config, shape.architecture):
            if not all(part in state for part in ours):
                continue
            tensor = torch.cat([state[part] for part in ours]).float()
            tensor = tensor + 1 if shape.norm_plus_one and theirs.endswith("norm.weight") else tensor
            heads = paired_heads(theirs, config)
            _add(writer, theirs, _neighbours(tensor, heads) if heads else tensor, kind)
        scaling = config.rotary_scaling
        if scaling is not None and scaling.kind == "llama3":
            plain = rotary_frequencies(Rotary(config.head_width, config.rotary_base))
            stretched = rotary_frequencies(Rotary(config.head_width, config.rotary_base, scaling))
            _add(writer, "rope_freqs.weight", plain / stretched, "f32")
        if scaling is not None and scaling.kind == "longrope":
            _add(writer, "rope_factors_short.weight", torch.tensor(scaling.short_factors), "f32")
            _add(writer, "rope_factors_long.weight", torch.tensor(scaling.long_factors), "f32")
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _add(writer: "GGUFWriter", name: str, tensor: Tensor, kind: str) -> None:
    into = _type_of(tensor, kind)
    data = package().quants.quantize(tensor.contiguous().numpy(), into)
    writer.add_tensor(name, data, raw_dtype=into)


def _type_of(tensor: Tensor, kind: str) -> Any:
    if tensor.dim() == 1:
        kind = "f32"
    elif kind == "q8_0" and tensor.shape[-1] % Q8_BLOCK:
        kind = "f16"
    return package().GGMLQuantizationType[kind.upper()]


def rounded(tensor: Tensor, kind: str) -> Tensor:
    """A weight as it comes out of a GGUF file of that kind."""
    quants, into = package().quants, _type_of(tensor, kind)
    data = quants.quantize(tensor.detach().contiguous().numpy(), into)
    return torch.from_numpy(np.array(quants.dequantize(data, into), dtype=np.float32))


def _add_field(writer: "GGUFWriter", name: str, value: Any) -> None:
    kinds: dict[type, Any] = {
        bool: writer.add_bool,
        int: writer.add_uint32,
        float: writer.add_float32,
        str: writer.add_string,
    }
    kinds[type(value)](name, value)
