"""Weights of a Hugging Face folder: read from its files, and fitted to our names and back."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from typing_extensions import TypedDict

from headstart.errors import HeadstartError
from headstart.folder import read_json, write_json
from headstart.models.config import TransformerConfig
from headstart.models.family import OUTPUTS, Family, HeadShape
from headstart.models.transformer import Transformer

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
PICKLES = (".bin", ".pth", ".pt", ".pkl", ".ckpt")

# What transformers writes beside the weights, or used to: computed again from the configuration.
_BUFFERS = ("position_ids", "inv_freq", ".masked_bias", ".attn.bias", ".attention.bias")
# Which parts of a model a head leaves aside, by the beginning of their names.
_OUTPUT = ("prediction_head.", "output.", "output_bias")
_POOLER = ("pooler.", "next_sentence.")
_COMPILED, _WRAPPED = "_orig_mod.", "module."
"""What `torch.compile` puts before the names of a model or of its parts, and what wrappers for several
processes put before all names."""
_BLOCK = re.compile(r".*?\.\d+(?=\.)")
MIX = "mix."
"""Before the weights of a head that reads a mix of all layers, which transformers cannot compute: it must not
find the head under the names that it knows."""

Tensors = Iterator[tuple[str, Tensor]]
"""Names and tensors, one after another."""


class WeightIndex(TypedDict):
    """What the index of several weight files says."""

    weight_map: dict[str, str]
    """The file that each tensor is in."""


@dataclass
class Fitted:
    """A model with the weights of a file, and what the file holds besides."""

    model: Transformer
    classifier: dict[str, Tensor]
    """Of a task's head: "weight", "bias", "dense.weight", "dense.bias"; "mix.weights" and "mix.gamma"."""


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder: one, or those that its index names.

    Raises:
        HeadstartError: there are none, or only pickles, or the index names a file that is not there.
    """
    if (folder / WEIGHTS_FILE).exists():
        return [folder / WEIGHTS_FILE]
    if (folder / INDEX_FILE).exists():
        names = sorted(set(read_json(folder / INDEX_FILE, WeightIndex)["weight_map"].values()))
        for name in names:
            if Path(name).name != name or not (folder / name).exists():
                raise HeadstartError(
                    f"{folder / INDEX_FILE} names {name!r}, which is not in the folder; get it again"
                )
        return [folder / name for name in names]
    pickled = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
    if pickled:
        raise HeadstartError(
            f"{folder / pickled[0]} is a pickle, which can run code when it is read; where you trust it, "
            "save the model as safetensors with transformers' save_pretrained, and give that folder"
        )
    raise HeadstartError(f"{folder} holds no {WEIGHTS_FILE}; it is not a model folder")


def tensor_names(files: list[Path]) -> list[str]:
    """The names of all tensors in the files; a damaged file is a `HeadstartError`."""
    names: list[str] = []
    for file in files:
        try:
            with safe_open(file, framework="pt") as tensors:
                names += tensors.keys()
        except SafetensorError as error:
            raise HeadstartError(f"{file} is damaged ({error}); make or get the model again") from None
    return names


def read_tensors(files: list[Path]) -> Tensors:
    """Names and tensors, as the files hold them; a damaged file is a `HeadstartError`."""
    for file in files:
        file.open("rb").close()  # which says why a file cannot be read; safetensors calls all of it missing
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - no mapping
                    yield name, tensors.get_tensor(name)
        except SafetensorError as error:
            raise HeadstartError(f"{file} is damaged ({error}); make or get the model again") from None


def read_outlines(files: list[Path], config: TransformerConfig, family: Family, head: str) -> Tensors:
    """Names and tensors without numbers, on the device `meta`: the heads of the files say their shapes.

    Those that decide about the configuration are read: an output that may differ from the embedding, and what
    has to be all zeros.
    """
    inside, expected = names_in_files(config, family, head), family.weights(config)
    names = tensor_names(files)
    ends = {
        ours: name
        for name in names
        if (plain := unwrapped(name)) in inside
        for ours in expected[inside[plain]].names
        if ours in ("output.weight", "embedding.weight")
    }
    read = {*(ends.values() if len(ends) > 1 else ())}
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping
                if name in read or name.endswith(family.zeros):
                    yield name, tensors.get_tensor(name)
                else:
                    yield name, torch.empty(tensors.get_slice(name).get_shape(), device="meta")


def write_tensors(tensors: dict[str, Tensor], folder: Path, shard_bytes: int) -> None:
    """Write `model.safetensors`; above `shard_bytes` several files and their index."""
    shards: list[dict[str, Tensor]] = [{}]
    filled = 0
    for name, tensor in tensors.items():
        if shards[-1] and filled + tensor.nbytes > shard_bytes:
            shards.append({})
            filled = 0
        shards[-1][name] = tensor.contiguous()
        filled += tensor.nbytes
    names = [WEIGHTS_FILE]
    if len(shards) > 1:
        count = len(shards)
        names = [f"model-{number + 1:05d}-of-{count:05d}.safetensors" for number in range(count)]
        places = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        total = sum(tensor.nbytes for tensor in tensors.values())
        write_json(folder / INDEX_FILE, {"metadata": {"total_size": total}, "weight_map": places})
    for name, shard in zip(names, shards, strict=True):
        save_file(shard, folder / name, metadata={"format": "pt"})


def to_hf(
    model: Transformer, family: Family, head: str, classifier: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """A model's weights under Hugging Face's names, as the transformers class of its head has them."""
    shape: HeadShape = family.heads[head]
    left_out = _left_out(head, shape)
    state = model.state_dict()
    tensors = {}
    for theirs, stored in family.weights(model.config).items():
        if all(name in state and not name.startswith(left_out) for name in stored.names):
            parts = [state[name] for name in stored.names]
            tensors[hf_name(theirs, family, head)] = stored.join(parts, model.config)
    mixed = any(name.startswith(MIX) for name in classifier or {})
    names = {ours: f"{MIX}head.{ours}" if mixed else theirs for theirs, ours in shape.weights.items()}
    for ours, tensor in (classifier or {}).items():
        tensors[names.get(ours, ours)] = tensor.detach()
    return tensors


def _left_out(head: str, shape: HeadShape) -> tuple[str, ...]:
    if shape.encoder_alone:
        return ("decoder.", *_OUTPUT, *_POOLER)
    if head in ("causal", "text-to-text", "pretraining"):
        return ()
    if head == "masked":
        return _POOLER
    output = tuple(name for name in _OUTPUT if shape.through != "prediction head" or name != _OUTPUT[0])
    if shape.through == "pooler" or head == "features":
        return (*output, _POOLER[1])
    return (*output, *_POOLER)


def hf_name(name: str, family: Family, head: str) -> str:
    """A weight's name in the files of a head: the family's, but for what stands before it."""
    shape: HeadShape = family.heads[head]
    if name.startswith(family.prefix):
        if head == "features":
            return name.removeprefix(family.prefix)
        if shape.prefix is not None:
            return shape.prefix + name.removeprefix(family.prefix)
    return name


def unwrapped(name: str) -> str:
    """A tensor's name without what wrappers around a model put before it."""
    return name.replace(_COMPILED, "").removeprefix(_WRAPPED)


def names_in_files(config: TransformerConfig, family: Family, head: str) -> dict[str, str]:
    """What a file may call a weight -> what the family calls it."""
    inside = {}
    for name in family.weights(config):
        inside[name] = name
        inside[name.removeprefix(family.prefix)] = name
        inside[hf_name(name, family, head)] = name
        for alias, named in family.aliases.items():
            if name.rpartition(".")[0] == named:
                inside[f"{alias}.{name.rpartition('.')[2]}"] = name
    return inside


def fit(
    tensors: Iterator[tuple[str, Tensor]],
    config: TransformerConfig,
    family: Family,
    head: str,
    dtype: torch.dtype,
    where: Path,
) -> Fitted:
    """A model with the weights of a Hugging Face folder, in float32.

    Parts that a head has no use for and the files do not hold (the output of a classifier, BERT's
    pooler in a masked model) are left out of the model. An output that differs from the embedding is
    not tied to it, whatever the configuration says: T5 v1.1 is stored so.

    Raises:
        HeadstartError: weights are missing, of another shape, or unknown to the family.
    """
    shape: HeadShape = family.heads[head]
    expected = family.weights(config)
    inside = names_in_files(config, family, head)
    ignored = (*_BUFFERS, *family.ignored)
    found: dict[str, Tensor] = {}
    classifier: dict[str, Tensor] = {}
    again: dict[str, tuple[str, Tensor]] = {}
    unknown = []
    for name, tensor in tensors:
        name = unwrapped(name)
        plain = name.replace(".gamma", ".weight").replace(".beta", ".bias")  # TensorFlow's names
        if name in shape.weights:
            classifier[shape.weights[name]] = _checked(name, tensor, where).float()
        elif name.startswith(MIX):
            classifier[name.removeprefix(f"{MIX}head.")] = _checked(name, tensor, where).float()
        elif plain in inside:
            stored = expected[inside[plain]]
            tensor = _checked(name, tensor, where, 1)
            for ours, part in zip(stored.names, stored.split(tensor, config), strict=False):
                found[ours] = part.clone().float() if len(stored.names) > 1 else part.float()
        elif ours := next((ours for end, ours in family.repeats.items() if name.endswith(end)), ""):
            again[name] = ours, _checked(name, tensor, where).float()
        elif name.endswith(family.zeros) and tensor.any():
            raise HeadstartError(
                f"{where} has a {name} that is not all zeros, which a {family.name} model here does not add"
            )
        elif not name.endswith((*ignored, *family.zeros)):
            unknown.append(name)
    for name, (ours, tensor) in again.items():
        first = found.setdefault(ours, tensor)
        if not tensor.is_meta and not torch.equal(first, tensor):
            raise HeadstartError(
                f"{where} has a {name} that differs from the weight that it repeats in a {family.name} "
                "model; get the model again, or save it again with transformers' save_pretrained"
            )
    if shape.encoder_alone:
        config = replace(config, architecture="encoder", layers=config.encoder_layers, encoder_layers=0)
    if config.tied and "embedding.weight" not in found and "output.weight" in found:
        found["embedding.weight"] = found.pop("output.weight")  # one matrix, under its other name
    output, embedding = found.get("output.weight"), found.get("embedding.weight")
    if output is not None and embedding is not None and not torch.equal(output, embedding):
        config = replace(config, tied=False)
    config = _without_missing_parts(config, found, head, shape.through)
    headless = sorted(theirs for theirs, ours in shape.weights.items() if ours not in classifier)
    if headless:
        raise HeadstartError(
            f"{where} lacks {headless[0]}, without which a model for {head} gives no answers; it was saved "
            "without its head, so fine-tune it again or get it whole"
        )
    stored_names = [name for stored in family.weights(config).values() for name in stored.names]
    if lacking := sorted(_blocks(stored_names) - _blocks(found)):  # before thousands of them are built
        raise HeadstartError(f"{where} lacks all weights of {lacking[0]}; the folder is not whole")
    try:
        with torch.device("meta"):
            model = Transformer(config, dtype)
    except (RuntimeError, ValueError, OverflowError) as error:
        raise HeadstartError(
            f"{where}: the sizes of its config.json make no model ({str(error)[:120]}); get it again"
        ) from None
    state = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    leave = (*_left_out(head, shape), *_POOLER, "output.")  # of no use here, or the embedding once more
    names = {part: theirs for theirs, stored in expected.items() for part in stored.names}
    unknown += [
        names[name]
        for name in found
        if name not in state and not name.startswith(leave) and not names[name].endswith(ignored)
    ]
    missing = sorted(set(state) - set(found))
    if missing:
        raise HeadstartError(f"{where} lacks the weights {missing[:3]}; the folder is not whole")
    if unknown:
        raise HeadstartError(
            f"{where} holds weights that a {config.family} model does not have, {sorted(unknown)[:3]}; "
            "it is another architecture, or an adapter that has to be merged first"
        )
    for name, own in state.items():
        if list(found[name].shape) != own:
            raise HeadstartError(
                f"{where}: {name} has shape {list(found[name].shape)}, but config.json says {own}; "
                "the folder's files do not belong together"
            )
    model.load_state_dict({name: found[name] for name in state}, assign=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return Fitted(model, classifier)


def _blocks(names: Iterable[str]) -> set[str]:
    """The blocks that weights belong to, as `encoder.blocks.3`."""
    return {match.group() for name in names if (match := _BLOCK.match(name))}


def _checked(name: str, tensor: Tensor, where: Path, dimensions: int = 0) -> Tensor:
    """A tensor that weights can be read from.

    Raises:
        HeadstartError: it holds other things than numbers, NaN or infinity, or has too few dimensions.
    """
    if not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise HeadstartError(f"{where}: {name} holds {kind} values, which are no weights; get it again")
    if tensor.ndim < dimensions:
        raise HeadstartError(
            f"{where}: {name} has {tensor.ndim} dimensions where {dimensions} or more belong; get it again"
        )
    has_numbers = tensor.numel() and not tensor.is_meta  # an outline has none
    if has_numbers and not all(part.isfinite() for part in tensor.float().aminmax()):
        raise HeadstartError(f"{where}: {name} holds NaN or infinity; make or get the model again")
    return tensor


def _without_missing_parts(
    config: TransformerConfig, found: dict[str, Tensor], head: str, through: str
) -> TransformerConfig:
    """The configuration without those parts that this head can do without and the files do not hold."""
    held = {name.split(".")[0] for name in found} | {through.replace(" ", "_")}
    if head != "pretraining":
        config = replace(
            config,
            pooler=config.pooler and "pooler" in held,
            next_sentence=config.next_sentence and "next_sentence" in held,
        )
    if head not in OUTPUTS:
        config = replace(
            config,
            prediction_head=config.prediction_head and "prediction_head" in held,
            output_bias=config.output_bias and "output_bias" in held,
            tied=config.tied or "output" not in held,  # no output of its own: none is kept
        )
    return config
