"""Reads GGUF files: one or several parts, in either byte order, their weights taken to float32."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.interchange.gguf_file import half_apart, names, package, paired_heads
from headstart.interchange.gguf_header import check_header
from headstart.interchange.gguf_shapes import FAMILY, SHAPES, from_fields, short
from headstart.models.config import Rotary, RotaryScaling, TransformerConfig
from headstart.models.parts.positions import rotary_frequencies
from headstart.models.transformer import Transformer

if TYPE_CHECKING:
    from gguf import GGUFReader

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_CONTEXTS = (8192, 4096, 2048, 16384, 32768, 65536, 131072)
"""What a model may have read before it was stretched: the file does not say it."""


def read_gguf(path: Path, dtype: torch.dtype = torch.float32) -> tuple[Transformer, JSONObject]:
    """The model in a GGUF file, its weights taken to float32, and the file's fields.

    Args:
        path: the file; of a model in several files any of them.

    Raises:
        HeadstartError: no GGUF file, a damaged one, another architecture, missing parts or weights.
    """
    readers = [_open(part) for part in _parts(path)]
    fields: JSONObject = {}
    for reader in reversed(readers):
        fields |= _fields(path, reader)
    swapped = readers[0].byte_order == "S"
    tensors = {tensor.name: tensor for reader in readers for tensor in reader.tensors}
    try:
        config = _read_sizes(path, fields, tensors, swapped)
        with torch.device("meta"):
            model = Transformer(config, dtype)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise HeadstartError(
            f"{path} has sizes that make no model ({str(error)[:120]}); get it again"
        ) from None
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    state: dict[str, Tensor] = {}
    architecture = fields["general.architecture"]
    for theirs, ours in names(config, architecture):
        if theirs not in tensors:
            continue
        tensor = _dequantised(path, tensors.pop(theirs), swapped)
        heads = paired_heads(theirs, config)
        tensor = half_apart(tensor, heads) if heads else tensor
        if SHAPES[config.family].norm_plus_one and theirs.endswith("norm.weight"):
            tensor = tensor - 1
        rows = [expected[own][0] if own in expected else 0 for own in ours]
        if sum(rows) != len(tensor):
            raise HeadstartError(
                f"{path}: {theirs} has shape {list(tensor.shape)}, which does not fit the file's sizes"
            )
        for part, own in zip(tensor.split(rows), ours, strict=True):
            if own not in expected or list(part.shape) != expected[own]:
                raise HeadstartError(
                    f"{path}: {theirs} has shape {list(tensor.shape)}, which does not fit the file's sizes"
                )
            state[own] = part.clone()
    tensors.pop("rope_freqs.weight", None)
    missing = sorted(set(expected) - set(state))
    if missing or tensors:
        raise HeadstartError(
            f"{path} lacks {missing[:3]} or has weights that no {architecture} has, {sorted(tensors)[:3]}; "
            "it is damaged, or an architecture of its own"
        )
    model.load_state_dict(state, assign=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model, fields


def _parts(path: Path) -> list[Path]:
    """All files of the model that a file belongs to, in order."""
    if not path.is_file():
        raise HeadstartError(f"there is no file {path}; check the path")
    found = _PART.fullmatch(path.name)
    if found is None:
        return [path]
    count = int(found["count"])
    parts = [
        path.with_name(f"{found['stem']}-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1)
    ]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise HeadstartError(
            f"{path} is a part of a model in {count} files, and {missing[0]} is not beside it; get all parts"
        )
    return parts


def _open(path: Path) -> "GGUFReader":
    gguf = package()
    check_header(path)
    try:
        reader: GGUFReader = gguf.GGUFReader(path)
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError, MemoryError) as error:
        raise HeadstartError(f"{path} is no GGUF file, or a damaged one ({error}); get it again") from None
    return reader


def _fields(path: Path, reader: "GGUFReader") -> JSONObject:
    try:
        fields = {name: part.contents() for name, part in reader.fields.items()}
    except (UnicodeDecodeError, ValueError, IndexError) as error:
        raise HeadstartError(f"{path} is damaged ({error}); get it again") from None
    if fields.get("split.count", 1) > 1 and _PART.fullmatch(path.name) is None:
        raise HeadstartError(
            f"{path} is a part of a model in {fields['split.count']} files, but not named as one; give all "
            "parts their names NAME-00001-of-0000N.gguf"
        )
    return fields


def _dequantised(path: Path, tensor: Any, swapped: bool) -> Tensor:
    """A tensor in float32; numbers of the other byte order are turned round first."""
    gguf = package()
    data = tensor.data
    kinds = gguf.GGMLQuantizationType
    if swapped and tensor.tensor_type == kinds.BF16:
        data = data.view(np.uint16).byteswap().view(np.uint8)
    elif swapped and data.dtype.itemsize > 1:
        data = np.ascontiguousarray(data.astype(data.dtype.newbyteorder("=")))
    elif swapped:
        order = "big" if sys.byteorder == "little" else "little"
        raise HeadstartError(
            f"{path} is {order}-endian, and its {tensor.name} is {tensor.tensor_type.name}; of files in the "
            "other byte order, F32, F16 and BF16 are read: turn it round with gguf-convert-endian"
        )
    try:
        values = gguf.quants.dequantize(data, tensor.tensor_type)
    except NotImplementedError:
        raise HeadstartError(
            f"{path}: {tensor.name} is {tensor.tensor_type.name}, which is not read"
        ) from None
    return torch.from_numpy(np.array(values, dtype=np.float32))


def _read_sizes(path: Path, fields: JSONObject, tensors: JSONObject, swapped: bool) -> TransformerConfig:
    architecture = fields.get("general.architecture")
    if architecture not in FAMILY:
        raise HeadstartError(
            f"{path} is a {architecture} model; of GGUF files, {', '.join(sorted(FAMILY))} are read"
        )
    prefix = f"{architecture}."
    said = {name.removeprefix(prefix): value for name, value in fields.items() if name.startswith(prefix)}
    layers = said.get("block_count")
    if not isinstance(layers, int) or not 0 < layers <= len(tensors):
        raise HeadstartError(
            f"{path} says {architecture}.block_count = {layers!r}, but has {len(tensors):,} weights"
        )
    if said.get("expert_count", 0):
        raise HeadstartError(f"{path} is a mixture of experts, which headstart does not compute")
    factors = {
        name: _dequantised(path, tensors.pop(f"rope_factors_{name}.weight"), swapped).numpy()
        for name in ("short", "long")
        if f"rope_factors_{name}.weight" in tensors
    }
    if factors and (architecture != "phi3" or len(factors) < 2):
        raise HeadstartError(f"{path} stretches a {architecture} model as Phi-3 does, which is not computed")
    vocab_size = int(tensors["token_embd.weight"].shape[1]) if "token_embd.weight" in tensors else 0
    tied = "output.weight" not in tensors
    try:
        config = from_fields(architecture, said, vocab_size, tied, factors)
    except KeyError as error:
        raise HeadstartError(
            f"{path} does not say its {architecture}.{error.args[0]}; get it again"
        ) from None
    except HeadstartError as error:
        raise HeadstartError(f"{path}: {error}") from None
    if "rope_freqs.weight" in tensors:
        frequencies = _dequantised(path, tensors["rope_freqs.weight"], swapped)
        config = replace(config, rotary_scaling=_scaling(path, frequencies, config))
    return config


def _scaling(path: Path, factors: Tensor, config: TransformerConfig) -> RotaryScaling | None:
    """Llama 3.1's stretching, known by the factors that it gives to the frequencies."""
    if bool((factors == 1).all()):
        return None
    plain = rotary_frequencies(Rotary(config.head_width, config.rotary_base))
    for context in _CONTEXTS:
        scaling = RotaryScaling(factor=short(float(factors.max())), original_context=context)
        expected = plain / rotary_frequencies(Rotary(config.head_width, config.rotary_base, scaling))
        if factors.shape == expected.shape and torch.allclose(factors, expected, rtol=1e-4):
            return scaling
    raise HeadstartError(f"{path} stretches its positions in another way than Llama 3.1; it is not read")
