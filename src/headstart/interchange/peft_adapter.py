"""LoRA adapters in PEFT's files: `adapter_config.json` and `adapter_model.safetensors`.

An adapter holds what fine-tuning changed, and the task's head with it: without the head, what is loaded later
is not what was trained. A matrix that stacks several of ours (GPT-2's queries, keys and values) gets their
changes side by side: their narrow matrices above each other, the wide ones along a diagonal.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from headstart.folder import write_json
from headstart.interchange.weights import hf_name
from headstart.models.config import TransformerConfig
from headstart.models.family import HeadShape, Stored
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
    "encoder-features": "FEATURE_EXTRACTION",
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
        its = [changes.get(name.removesuffix(".weight")) for name in stored.names]
        if any(change is not None for change in its):
            module = hf_name(theirs, family, head).removesuffix(".weight")
            found[module] = _side_by_side(
                its, [len(state[name]) for name in stored.names], stored, model.config
            )
            transposed |= stored.transposed
    return found, transposed


def _head_in_files(
    model: Transformer, head: str, classifier: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """The head's weights and what it borrows, under transformers' names, and the modules that hold them."""
    family, state = family_named(model.config.family), model.state_dict()
    shape: HeadShape = family.heads[head]
    tensors = {theirs: classifier[ours] for theirs, ours in shape.weights.items() if ours in classifier}
    modules = {name.split(".")[0] for name in tensors}
    borrowed = {"pooler": "pooler.", "prediction head": "prediction_head."}.get(shape.through)
    for theirs, stored in family.weights(model.config).items():
        if borrowed is not None and stored.names[0].startswith(borrowed) and stored.names[0] in state:
            name = hf_name(theirs, family, head)
            tensors[name] = state[stored.names[0]]
            modules.add(name.rpartition(".")[0])
    return tensors, sorted(modules)


def _side_by_side(
    changes: list[LowRank | None], outputs: list[int], stored: Stored, config: TransformerConfig
) -> LowRank:
    """One change of a matrix that holds several of ours; None: that part does not change."""
    there = [change for change in changes if change is not None]
    narrow = torch.cat([change.narrow for change in there])
    widen = []
    column = 0
    for change, count in zip(changes, outputs, strict=True):
        rows = torch.zeros(count, len(narrow))
        if change is not None:
            rank = len(change.narrow)
            rows[:, column : column + rank] = change.widen
            column += rank
        widen.append(rows)
    outputs_first = replace(stored, transposed=False)
    return LowRank(narrow, outputs_first.join(widen, config), there[0].scale)
