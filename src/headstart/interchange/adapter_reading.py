"""Reads adapter folders in PEFT's files, and applies what they change to the base model's tensors.

What PEFT computes is computed, or the folder is refused: LoRA (Hu et al. 2021), its scale by the root of the
rank (rsLoRA), DoRA's magnitudes (Liu et al. 2024), and the two beginnings that take a part out of the base
first: PiSSA (Meng et al. 2024) its largest singular directions, OLoRA (Büyükakyüz 2024) the first columns of
its QR decomposition.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import regex
import torch
from torch import Tensor
from typing_extensions import TypedDict

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, checked, read_json
from headstart.interchange.peft_adapter import CONFIG_FILE, OWN_FILE, PREFIX, TASKS, WEIGHTS_FILE, LowRank
from headstart.interchange.weights import INDEX_FILE, hf_name, names_in_files, read_tensors
from headstart.interchange.weights import WEIGHTS_FILE as MODEL_FILE
from headstart.models.config import TransformerConfig
from headstart.models.family import Family

PLAIN_BEGINNINGS = (True, False, None, "true", "gaussian", "eva", "orthogonal")
"""Values of `init_lora_weights` that leave the base as it is."""
_NESTED = regex.compile(r"[*+}]\)[*+{]")
PATTERN_SECONDS = 1.0
"""How long a pattern of module names may search."""
PRINCIPAL, ORTHONORMAL = "pissa", "olora"


class AdapterFields(TypedDict, total=False):
    """The fields of `adapter_config.json` that are computed with."""

    peft_type: str
    task_type: str | None
    base_model_name_or_path: str | None
    r: int
    lora_alpha: float
    alpha_pattern: dict[str, float] | None
    use_rslora: bool | None
    use_dora: bool | None


class OwnFields(TypedDict, total=False):
    """The fields of headstart's own file in an adapter folder."""

    head: str
    labels: list[str]


_HANDLED = {
    *(
        "peft_type",
        "task_type",
        "base_model_name_or_path",
        "r",
        "lora_alpha",
        "rank_pattern",
        "alpha_pattern",
    ),
    *("use_rslora", "use_dora", "init_lora_weights", "modules_to_save", "bias", "ensure_weight_tying"),
}
_WITHOUT_EFFECT = {
    *("auto_mapping", "peft_version", "revision", "inference_mode", "lora_dropout", "runtime_config"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "fan_in_fan_out"),
    *("megatron_config", "megatron_core", "loftq_config", "eva_config", "corda_config", "lora_ga_config"),
    *("qalora_group_size",),
}
"""Settings that are told by the weights themselves, or are for training alone."""


@dataclass(frozen=True)
class Change:
    """What an adapter does to one matrix."""

    low_rank: LowRank
    begins: str = ""
    """`PRINCIPAL` or `ORTHONORMAL`: what the base lost before training; "": nothing."""
    magnitude: Tensor | None = None
    """DoRA: the length that each output's row gets, `[outputs]`."""

    def applied(self, matrix: Tensor) -> Tensor:
        """The changed matrix, of `[outputs, inputs]` as the given one."""
        matrix, narrow = matrix.float(), self.low_rank.narrow
        if self.begins == PRINCIPAL:
            left, values, right = torch.linalg.svd(matrix, full_matrices=False)
            rank = len(narrow)
            matrix = matrix - left[:, :rank] * values[:rank] @ right[:rank]
        elif self.begins == ORTHONORMAL:
            left, right = torch.linalg.qr(matrix)
            rank = len(narrow)
            matrix = matrix - self.low_rank.scale * left[:, :rank] @ right[:rank]
        matrix = matrix + self.low_rank.widen @ narrow * self.low_rank.scale
        if self.magnitude is not None:
            matrix = matrix * (self.magnitude / matrix.norm(dim=1))[:, None]
        return matrix


@dataclass
class Adapter:
    """An adapter folder, as headstart or PEFT wrote it."""

    folder: Path
    base: Path
    """The folder of the model that it changes."""
    heads: tuple[str, ...] = ()
    """The heads that its task may mean; (): that of the model that it changes."""
    changes: dict[str, Change] = field(default_factory=dict)
    """By the modules' names in transformers."""
    saved: dict[str, Tensor] = field(default_factory=dict)
    """Weights that stand in the place of the model's, by their names in transformers."""
    bases: dict[str, Tensor] = field(default_factory=dict)
    """Of matrices that change, what they are before it, where the adapter brings that along."""
    tied: bool = False
    """Whether the output follows an embedding that the adapter changes."""
    labels: list[str] = field(default_factory=list)
    own: JSONObject = field(default_factory=dict)

    def vocab_size(self, config: TransformerConfig, family: Family, head: str) -> int:
        """Rows of the embedding: tokens that were added for fine-tuning come with the adapter."""
        places = {stored.names[0]: theirs for theirs, stored in family.weights(config).items()}
        saved = self.saved.get(hf_name(places["embedding.weight"], family, head))
        return config.vocab_size if saved is None else len(saved)

    def applied(
        self, tensors: Iterator[tuple[str, Tensor]], config: TransformerConfig, family: Family, head: str
    ) -> Iterator[tuple[str, Tensor]]:
        """The base model's tensors with the changes, and the head.

        Raises:
            HeadstartError: a change of a matrix that the model does not have, or of another shape.
        """
        inside, stored = names_in_files(config, family, head), family.weights(config)
        waiting = dict(self.changes)
        for name, tensor in self._untied(tensors, config, family, inside, head):
            own = inside.get(name, name)
            theirs = hf_name(own, family, head)
            if theirs in self.saved:
                continue
            change = waiting.pop(theirs.removesuffix(".weight"), None)
            if change is None:
                yield name, tensor
                continue
            transposed = stored[own].transposed
            if transposed and change.begins == ORTHONORMAL:
                raise HeadstartError(
                    f"{self.folder / CONFIG_FILE} begins with olora on {theirs}, whose inputs come first; "
                    "PEFT does not compute that either"
                )
            tensor = self.bases.get(theirs, tensor)
            matrix = tensor.T if transposed else tensor  # [outputs, inputs]
            wanted = [len(change.low_rank.widen), change.low_rank.narrow.shape[1]]
            if list(matrix.shape) != wanted:
                raise HeadstartError(
                    f"{self.folder / WEIGHTS_FILE} changes {theirs} by {wanted} numbers, but "
                    f"{self.base} has {list(matrix.shape)}; the adapter belongs to another model"
                )
            changed = change.applied(matrix)
            yield name, changed.T.contiguous() if transposed else changed
        if waiting:
            raise HeadstartError(
                f"{self.folder / WEIGHTS_FILE} changes {min(waiting)}, which {self.base} does not have; "
                "the adapter belongs to another model"
            )
        yield from self.saved.items()

    def _untied(
        self,
        tensors: Iterator[tuple[str, Tensor]],
        config: TransformerConfig,
        family: Family,
        inside: Mapping[str, str],
        head: str,
    ) -> Iterator[tuple[str, Tensor]]:
        """The base's tensors; where the embedding or the output alone changes, both of them.

        PEFT changes one of two tied matrices and leaves the other as it was.
        """
        places = {
            stored.names[0]: theirs
            for theirs, stored in family.weights(config).items()
            if len(stored.names) == 1
        }
        pair = [places.get("embedding.weight"), places.get("output.weight")]
        touched = {module + ".weight" for module in self.changes} | set(self.saved)
        both = [hf_name(name, family, head) for name in pair if name is not None]
        splits = config.tied and not self.tied and len(both) == 2 and bool(touched & set(both))
        for name, tensor in tensors:
            theirs = hf_name(inside.get(name, name), family, head)
            if splits and theirs == both[1]:
                continue  # a copy that some files hold
            if splits and theirs == both[0]:  # one matrix while PEFT read what the adapter brings along
                tensor = self.bases.get(both[1], self.bases.get(both[0], tensor))
            yield name, tensor
            if splits and theirs == both[0]:
                yield str(pair[1]), tensor


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter, and no model of its own; a `config.json` may lie beside it."""
    whole = any((folder / name).exists() for name in (MODEL_FILE, INDEX_FILE))
    alone = (folder / WEIGHTS_FILE).exists() or not (folder / "config.json").exists()
    return (folder / CONFIG_FILE).exists() and alone and not whole


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter folder.

    Raises:
        HeadstartError: no LoRA, a kind of it that is not known here, no base model, or damaged files.
    """
    config = read_json(folder / CONFIG_FILE, JSONObject)
    checked(config, AdapterFields, folder / CONFIG_FILE)
    kind = config.get("peft_type")
    if kind != "LORA":
        raise HeadstartError(
            f"{folder / CONFIG_FILE} is for {kind or 'nothing'}; headstart reads LORA adapters"
        )
    begins = _beginning(folder, config)
    base = Path(str(config.get("base_model_name_or_path")))
    if not base.is_dir():
        raise HeadstartError(
            f"{folder / CONFIG_FILE} changes the model {str(base)!r}, which is no folder here; "
            "write the path of that model there as base_model_name_or_path"
        )
    own = read_json(folder / OWN_FILE, JSONObject) if (folder / OWN_FILE).exists() else {}
    checked(own, OwnFields, folder / OWN_FILE)
    task = config.get("task_type")
    heads = [head for head, its in TASKS.items() if its == task]
    if own.get("head"):
        heads = [str(own["head"])]
    if task is not None and not heads:
        known = ", ".join(dict.fromkeys(TASKS.values()))
        raise HeadstartError(f"{folder / CONFIG_FILE} has the task_type {task!r}; headstart knows {known}")
    if not (folder / WEIGHTS_FILE).exists():
        raise HeadstartError(f"{folder} holds no {WEIGHTS_FILE}; an adapter in a pickle is not read")
    tied = bool(config.get("ensure_weight_tying"))
    adapter = Adapter(folder, base, tuple(heads), tied=tied, labels=own.pop("labels", []), own=own)
    _read_weights(adapter, config, begins)
    return adapter


def _beginning(folder: Path, config: Mapping[str, Any]) -> str:
    """What the base loses before the changes are added; a setting that is not computed here is refused."""
    said = config.get("init_lora_weights", True)
    begins = said.lower() if isinstance(said, str) else said
    unknown = [key for key, value in config.items() if value and key not in _HANDLED | _WITHOUT_EFFECT]
    if unknown:
        _refuse(folder, f"{unknown[0]}={str(config[unknown[0]])[:60]}")
    if begins not in (*PLAIN_BEGINNINGS, PRINCIPAL, ORTHONORMAL):
        _refuse(
            folder,
            f"init_lora_weights={said}, which changes the base model by numbers that are not in the folder",
        )
    return begins if begins in (PRINCIPAL, ORTHONORMAL) else ""


def _refuse(folder: Path, what: str) -> None:
    raise HeadstartError(
        f"{folder / CONFIG_FILE} has {what}, which headstart does not compute; merge it with PEFT's "
        "merge_and_unload, and give the folder that its save_pretrained writes"
    )


_PARTS = {
    ".lora_A.weight": "narrow",
    ".lora_B.weight": "widen",
    ".lora_embedding_A": "narrow of embedding",
    ".lora_embedding_B": "widen of embedding",
    ".lora_magnitude_vector": "magnitude",
    ".lora_magnitude_vector.weight": "magnitude",
}
"""How PEFT ends the names of an adapter's weights."""


def _read_weights(adapter: Adapter, config: Mapping[str, Any], begins: str) -> None:
    """Take up what the adapter's file holds."""
    folder = adapter.folder
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in read_tensors([folder / WEIGHTS_FILE]):
        plain = name.removeprefix(PREFIX)
        end = next((end for end in _PARTS if plain.endswith(end)), None)
        if end is not None:
            found.setdefault(plain.removesuffix(end), {})[_PARTS[end]] = tensor.float()
        elif ".lora_" in plain or ".token_adapter" in plain or "trainable_tokens" in plain:
            raise HeadstartError(f"{folder / WEIGHTS_FILE} holds {name}, which headstart does not know")
        elif ".original_module." in plain:
            pass  # what a saved module stands in the place of; some versions of PEFT keep a copy
        elif plain.endswith(".base_layer.weight"):
            adapter.bases[plain.replace(".base_layer.", ".")] = tensor
        else:
            adapter.saved[plain.replace(".base_layer.", ".").replace(".modules_to_save.", ".")] = tensor
    for module, parts in found.items():
        embedding = "narrow of embedding" in parts or "widen of embedding" in parts
        kind = " of embedding" if embedding else ""
        narrow, widen = parts.get("narrow" + kind), parts.get("widen" + kind)
        if narrow is None or widen is None:
            raise HeadstartError(
                f"{folder / WEIGHTS_FILE} has one matrix alone for {module}; get the adapter again"
            )
        if embedding:  # [V, D] is looked up, not multiplied with: its outputs are the rows
            narrow, widen = widen.T, narrow.T
        magnitude = parts.get("magnitude")
        if bool(config.get("use_dora")) != (magnitude is not None) or (embedding and magnitude is not None):
            _refuse(folder, f"use_dora on {module} without what belongs to it, or on an embedding")
        rank = len(narrow) if not embedding else len(widen.T)
        low_rank = LowRank(narrow, widen, _scale(config, module, rank))
        own_base = f"{module}.weight" in adapter.bases
        adapter.changes[module] = Change(low_rank, "" if own_base or embedding else begins, magnitude)
        adapter.saved.pop(f"{module}.weight", None)
    for name in list(adapter.bases):
        if name.removesuffix(".weight") not in adapter.changes:
            adapter.saved[name] = adapter.bases.pop(name)


def _matches(pattern: str, module: str) -> bool:
    """Whether a module is meant, as PEFT asks it; a pattern from elsewhere may take for ever.

    Raises:
        TimeoutError: it does, or would in PEFT: a group that repeats what repeats.
    """
    if _NESTED.search(pattern):
        raise TimeoutError(f"{pattern[:60]!r} repeats what repeats")
    return bool(regex.match(rf"(.*\.)?({pattern})$", module, timeout=PATTERN_SECONDS))


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """What a module's change is multiplied with."""
    patterns = config.get("alpha_pattern") or {}
    try:
        match = next((key for key in patterns if _matches(key, module)), None)
    except (TimeoutError, regex.error) as error:
        raise HeadstartError(
            f"an alpha_pattern of the adapter takes too long, or is none ({error or 'no end'}); name the "
            "modules in adapter_config.json as they are"
        ) from None
    alpha = patterns[match] if match is not None else config.get("lora_alpha", 8)
    return float(alpha / (rank**0.5 if config.get("use_rslora") else rank))
