"""LoRA adapters in PEFT's files: `adapter_config.json` and `adapter_model.safetensors`.

An adapter holds what fine-tuning changed, and the task's head with it: without the head, what is loaded later
is not what was trained. A matrix that stacks several of ours (GPT-2's queries, keys and values) gets their
changes side by side: their narrow matrices above each other, the wide ones along a diagonal.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import read_json, write_json
from headstart.interchange.weights import hf_name, names_in_files, read_tensors
from headstart.models.config import TransformerConfig
from headstart.models.family import HeadShape
from headstart.models.registry import family_named
from headstart.models.transformer import Transformer

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
OWN_FILE = "headstart.json"
PREFIX = "base_model.model."

TASKS = {
    "classification": "SEQ_CLS",
    "tagging": "TOKEN_CLS",
    "spans": "QUESTION_ANS",
    "features": "FEATURE_EXTRACTION",
    "causal": "CAUSAL_LM",
    "text-to-text": "SEQ_2_SEQ_LM",
}
"""A family's head: what PEFT calls its task."""


@dataclass(frozen=True)
class LowRank:
    """The change of one matrix: `scale * widen @ narrow`."""

    narrow: Tensor
    """`[rank, inputs]`."""
    widen: Tensor
    """`[outputs, rank]`."""
    scale: float


def write_adapter(
    folder: Path,
    base: Path,
    model: Transformer,
    head: str,
    changes: Mapping[str, LowRank],
    classifier: Mapping[str, Tensor],
    labels: list[str],
    own: Mapping[str, Any],
    card: str,
) -> None:
    """Write an adapter folder.

    Args:
        folder: an empty folder, which is there.
        base: the folder of the model that was fine-tuned.
        model: the fine-tuned model, for what the head borrows from it.
        head: a key of the family's `HEADS`.
        changes: by the names of our matrices.
        classifier: weights of the head.
        labels: in the order of its outputs.
        own: kept in `headstart.json`, which PEFT does not read.
        card: the model card, Markdown.
    """
    stacked, transposed = _in_files(model, head, changes)
    kept, modules = _head_in_files(model, head, classifier)
    ranks = {module: len(change.narrow) for module, change in stacked.items()}
    alphas = {module: change.scale * len(change.narrow) for module, change in stacked.items()}
    rank = min(ranks.values())
    alpha = next(alphas[module] for module, its in ranks.items() if its == rank)
    write_json(
        folder / CONFIG_FILE,
        {
            "peft_type": "LORA",
            "task_type": TASKS[head],
            "base_model_name_or_path": str(base),
            "inference_mode": True,
            "r": rank,
            "lora_alpha": alpha,
            "lora_dropout": 0.0,
            "target_modules": list(ranks),
            "modules_to_save": modules or None,
            "rank_pattern": {module: its for module, its in ranks.items() if its != rank},
            "alpha_pattern": {module: its for module, its in alphas.items() if its != alpha},
            "fan_in_fan_out": transposed,
            "bias": "none",
            "use_rslora": False,
            "use_dora": False,
        },
    )
    tensors = {f"{module}.lora_A.weight": change.narrow for module, change in stacked.items()}
    tensors |= {f"{module}.lora_B.weight": change.widen for module, change in stacked.items()}
    save_file(
        {PREFIX + name: tensor.detach().contiguous() for name, tensor in (tensors | kept).items()},
        folder / WEIGHTS_FILE,
        metadata={"format": "pt"},
    )
    shutil.copymode(folder / CONFIG_FILE, folder / WEIGHTS_FILE)  # safetensors leaves it to its owner alone
    write_json(folder / OWN_FILE, {"head": head, "labels": labels} | dict(own))
    (folder / "README.md").write_text(
        f"---\nlibrary_name: peft\nbase_model: {base}\ntags: [headstart, lora]\n---\n\n{card}\n",
        encoding="utf-8",
    )


def _in_files(
    model: Transformer, head: str, changes: Mapping[str, LowRank]
) -> tuple[dict[str, LowRank], bool]:
    """The changes of transformers' modules, and whether these are stored inputs first."""
    family, state = family_named(model.config.family), model.state_dict()
    found, transposed = {}, False
    for theirs, stored in family.weights(model.config).items():
        its = [changes.get(name.removesuffix(".weight")) for name in stored]
        if any(change is not None for change in its):
            module = hf_name(theirs, family, head).removesuffix(".weight")
            found[module] = _side_by_side(its, [len(state[name]) for name in stored])
            transposed |= stored.transposed
    return found, transposed


def _head_in_files(
    model: Transformer, head: str, classifier: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """The head's weights and what it borrows, under transformers' names, and the modules that hold them."""
    family, state = family_named(model.config.family), model.state_dict()
    shape: HeadShape = family.HEADS[head]
    tensors = {theirs: classifier[ours] for theirs, ours in shape.weights.items() if ours in classifier}
    modules = {name.split(".")[0] for name in tensors}
    borrowed = {"pooler": "pooler.", "prediction head": "prediction_head."}.get(shape.through)
    for theirs, stored in family.weights(model.config).items():
        if borrowed is not None and stored[0].startswith(borrowed) and stored[0] in state:
            name = hf_name(theirs, family, head)
            tensors[name] = state[stored[0]]
            modules.add(name.rpartition(".")[0])
    return tensors, sorted(modules)


def _side_by_side(changes: list[LowRank | None], outputs: list[int]) -> LowRank:
    """One change of a matrix that stacks several along its outputs; None: that part does not change."""
    there = [change for change in changes if change is not None]
    narrow = torch.cat([change.narrow for change in there])
    widen = torch.zeros(sum(outputs), len(narrow))
    row = column = 0
    for change, count in zip(changes, outputs, strict=True):
        if change is not None:
            rank = len(change.narrow)
            widen[row : row + count, column : column + rank] = change.widen
            column += rank
        row += count
    return LowRank(narrow, widen, there[0].scale)


@dataclass
class Adapter:
    """An adapter folder, as headstart or PEFT wrote it."""

    folder: Path
    base: Path
    """The folder of the model that it changes."""
    head: str
    changes: dict[str, LowRank] = field(default_factory=dict)
    """By the modules' names in transformers."""
    saved: dict[str, Tensor] = field(default_factory=dict)
    """Weights that stand in the place of the model's, by their names in transformers."""
    labels: list[str] = field(default_factory=list)
    own: dict[str, Any] = field(default_factory=dict)

    def applied(
        self, tensors: Iterator[tuple[str, Tensor]], config: TransformerConfig, family: ModuleType
    ) -> Iterator[tuple[str, Tensor]]:
        """The base model's tensors with the changes, and the head.

        Raises:
            HeadstartError: a change of a matrix that the model does not have, or of another shape.
        """
        inside, stored = names_in_files(config, family, self.head), family.weights(config)
        waiting = dict(self.changes)
        for name, tensor in tensors:
            own = inside.get(name, name)
            theirs = hf_name(own, family, self.head)
            if theirs in self.saved:
                continue
            change = waiting.pop(theirs.removesuffix(".weight"), None)
            if change is not None:
                delta = change.widen @ change.narrow * change.scale  # [outputs, inputs]
                delta = delta.T if stored[own].transposed else delta
                if delta.shape != tensor.shape:
                    raise HeadstartError(
                        f"{self.folder / WEIGHTS_FILE} changes {theirs} by {list(delta.shape)} numbers, but "
                        f"{self.base} has {list(tensor.shape)}; the adapter belongs to another model"
                    )
                yield name, tensor.float() + delta
            else:
                yield name, tensor
        if waiting:
            raise HeadstartError(
                f"{self.folder / WEIGHTS_FILE} changes {min(waiting)}, which {self.base} does not have; "
                "the adapter belongs to another model"
            )
        yield from self.saved.items()


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter folder.

    Raises:
        HeadstartError: no LoRA, a kind of it that is not known here, no base model, or damaged files.
    """
    config = read_json(folder / CONFIG_FILE)
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind != "LORA":
        raise HeadstartError(
            f"{folder / CONFIG_FILE} is for {kind or 'nothing'}; headstart reads LORA adapters"
        )
    if config.get("use_dora") or config.get("bias", "none") != "none":
        what = "use_dora" if config.get("use_dora") else f"bias={config['bias']}"
        raise HeadstartError(
            f"{folder / CONFIG_FILE} has {what}, which headstart does not compute; merge it with PEFT's "
            "merge_and_unload, and give the folder that its save_pretrained writes"
        )
    base = Path(str(config.get("base_model_name_or_path")))
    if not base.is_dir():
        raise HeadstartError(
            f"{folder / CONFIG_FILE} changes the model {str(base)!r}, which is no folder here; "
            "write the path of that model there as base_model_name_or_path"
        )
    own = read_json(folder / OWN_FILE) if (folder / OWN_FILE).exists() else {}
    heads = {task: head for head, task in TASKS.items()}
    head = own.get("head") or heads.get(config.get("task_type"))
    if head is None:
        raise HeadstartError(
            f"{folder / CONFIG_FILE} has the task_type {config.get('task_type')!r}; headstart knows "
            f"{', '.join(heads)}"
        )
    if not (folder / WEIGHTS_FILE).exists():
        raise HeadstartError(f"{folder} holds no {WEIGHTS_FILE}; an adapter in a pickle is not read")
    adapter = Adapter(folder, base, str(head), labels=own.pop("labels", []), own=own)
    narrow: dict[str, Tensor] = {}
    widen: dict[str, Tensor] = {}
    for name, tensor in read_tensors([folder / WEIGHTS_FILE]):
        plain = name.removeprefix(PREFIX)
        if plain.endswith(".lora_A.weight"):
            narrow[plain.removesuffix(".lora_A.weight")] = tensor.float()
        elif plain.endswith(".lora_B.weight"):
            widen[plain.removesuffix(".lora_B.weight")] = tensor.float()
        elif ".lora_" in plain:
            raise HeadstartError(f"{folder / WEIGHTS_FILE} holds {name}, which headstart does not know")
        else:
            adapter.saved[plain] = tensor
    if narrow.keys() != widen.keys():
        alone = min(narrow.keys() ^ widen.keys())
        raise HeadstartError(
            f"{folder / WEIGHTS_FILE} has one matrix alone for {alone}; get the adapter again"
        )
    for module, matrix in narrow.items():
        adapter.changes[module] = LowRank(matrix, widen[module], _scale(config, module, len(matrix)))
    return adapter


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """What a module's change is multiplied with."""
    patterns = config.get("alpha_pattern") or {}
    match = next((key for key in patterns if re.match(rf"(.*\.)?({key})$", module)), None)
    alpha = patterns[match] if match is not None else config.get("lora_alpha", 8)
    return float(alpha / (rank**0.5 if config.get("use_rslora") else rank))
