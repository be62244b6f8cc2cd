"""Reads GGUF files: one or several parts, in either byte order, their weights taken to float32."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.interchange.gguf_file import half_apart, names, package, paired_heads
from headstart.interchange.gguf_header import check_header
from headstart.models.config import Rotary, RotaryScaling, TransformerConfig
from headstart.models.parts.positions import rotary_frequencies
from headstart.models.registry import make_config
from headstart.models.transformer import Transformer

if TYPE_CHECKING:
    from gguf import GGUFReader

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_CONTEXTS = (8192, 4096, 2048, 16384, 32768, 65536, 131072)
"""What a model may have read before it was stretched: the file does not say it."""


def read_gguf(path: Path, dtype: torch.dtype = torch.float32) -> tuple[Transformer, dict[str, Any]]:
    """The model in a GGUF file, its weights taken to float32, and the file's fields.

    Args:
        path: the file; of a model in several files any of them.

    Raises:
        HeadstartError: no GGUF file, a damaged one, another architecture, missing parts or weights.
    """
    readers = [_open(part) for part in _parts(path)]
    fields: dict[str, Any] = {}
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
        for part, own in zip(tensor.chunk(len(ours)), ours, strict=False):
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


def _fields(path: Path, reader: "GGUFReader") -> dict[str, Any]:
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


def _read_sizes(
    path: Path, fields: dict[str, Any], tensors: dict[str, Any], swapped: bool
) -> TransformerConfig:
    architecture = fields.get("general.architecture")
    families = {"llama": "llama", "gpt2": "gpt2"}
    if architecture not in families:
        raise HeadstartError(f"{path} is a {architecture} model; of GGUF files, llama and gpt2 are read")

    def size(name: str, default: Any = None) -> Any:
        value = fields.get(f"{architecture}.{name}", default)
        if value is None:
            raise HeadstartError(f"{path} does not say its {architecture}.{name}; get it again")
        return value

    heads, layers = size("attention.head_count"), size("block_count")
    if not isinstance(layers, int) or not 0 < layers <= len(tensors):
        raise HeadstartError(
            f"{path} says {architecture}.block_count = {layers!r}, but has {len(tensors):,} weights"
        )
    sizes = {
        "vocab_size": int(tensors["token_embd.weight"].shape[1]) if "token_embd.weight" in tensors else 0,
        "layers": layers,
        "width": size("embedding_length"),
        "heads": heads,
        "feedforward_width": size("feed_forward_length"),
        "context": size("context_length"),
        "tied": "output.weight" not in tensors,
    }
    if architecture == "gpt2":
        sizes["norm_epsilon"] = _short(size("attention.layer_norm_epsilon"))
    else:
        sizes |= {
            "kv_heads": size("attention.head_count_kv", heads),
            "head_width": size("attention.key_length", 0),
            "rotary_base": _short(size("rope.freq_base", 10_000.0)),
            "norm_epsilon": _short(size("attention.layer_norm_rms_epsilon")),
        }
        if size("expert_count", 0):
            raise HeadstartError(f"{path} is a mixture of experts, which headstart does not compute")
        _refuse_stretched(path, fields, tensors)
        if "rope_freqs.weight" in tensors:
            factors = _dequantised(path, tensors["rope_freqs.weight"], swapped)
            sizes["rotary_scaling"] = _scaling(path, factors, sizes)
    return make_config(families[architecture], sizes)


def _refuse_stretched(path: Path, fields: dict[str, Any], tensors: dict[str, Any]) -> None:
    """Positions are stretched by Llama 3.1's factors alone; every other way is refused by its name."""
    kind = fields.get("llama.rope.scaling.type", "none")
    factor = fields.get("llama.rope.scaling.factor", fields.get("llama.rope.scale_linear", 1.0))
    if kind != "none" and factor != 1.0:
        raise HeadstartError(
            f"{path} stretches its positions by {kind} with the factor {factor:g}, which is not computed"
        )
    if "rope_factors_long.weight" in tensors or "rope_factors_short.weight" in tensors:
        raise HeadstartError(
            f"{path} stretches its positions as Phi-3 does (longrope), which is not computed"
        )


def _short(value: float) -> float:
    """A float32 as people wrote it: 9.999999747378752e-06 was 1e-05."""
    return float(f"{value:.6g}")


def _scaling(path: Path, factors: Tensor, sizes: dict[str, Any]) -> RotaryScaling | None:
    """Llama 3.1's stretching, known by the factors that it gives to the frequencies."""
    if bool((factors == 1).all()):
        return None
    head_width = sizes["head_width"] or sizes["width"] // sizes["heads"]
    plain = rotary_frequencies(Rotary(head_width, sizes["rotary_base"]))
    for context in _CONTEXTS:
        scaling = RotaryScaling(factor=_short(float(factors.max())), original_context=context)
        expected = plain / rotary_frequencies(Rotary(head_width, sizes["rotary_base"], scaling))
        if factors.shape == expected.shape and torch.allclose(factors, expected, rtol=1e-4):
            return scaling
    raise HeadstartError(f"{path} stretches its positions in another way than Llama 3.1; it is not read")
