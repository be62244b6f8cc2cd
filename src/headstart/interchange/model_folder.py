"""Model folders: `config.json`, `model.safetensors`, tokenizer and card, as transformers reads them.

There is no format of our own: what is saved here is what `transformers.Auto*.from_pretrained` loads.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from headstart import __version__
from headstart.errors import HeadstartError
from headstart.folder import atomic, read_json, write_json
from headstart.models.config import TransformerConfig
from headstart.models.registry import FAMILIES, family_named, make_config
from headstart.models.transformer import Transformer
from headstart.tokenizer.bpe import END_ID, MASK_ID, PAD_ID, START_ID, Tokenizer, write_for_transformers

WEIGHTS_FILE = "model.safetensors"


@dataclass
class LoadedModel:
    """What a model folder holds."""

    model: Transformer
    tokenizer: Tokenizer
    head: str
    """What the output is: "masked", "causal", "classification" or "tagging"."""
    classifier: dict[str, Tensor] = field(default_factory=dict)
    """`weight` `[labels, D]` and `bias` `[labels]` of a task head."""
    labels: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    """The `headstart` part of `config.json`: what the task head needs to know."""


def save_model(
    folder: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    head: str,
    card: str,
    classifier: dict[str, Tensor] | None = None,
    labels: list[str] | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write a model folder, atomically.

    Args:
        head: "masked", "causal", "classification" or "tagging"; names the transformers class.
        card: the text of the model card, Markdown without the YAML head.
        classifier: `weight` and `bias` of a task head, with `labels` in their order.
        metadata: kept under `headstart` in `config.json`.
    """
    config = model.config
    family = family_named(config.family)
    with atomic(folder) as temporary:
        temporary.mkdir(parents=True)
        weights = _to_hf_weights(model, family.WEIGHTS)
        if classifier is not None:
            weights.pop("decoder.bias", None)
            weights |= {f"classifier.{name}": tensor.detach() for name, tensor in classifier.items()}
        weights = {name: tensor.contiguous() for name, tensor in weights.items()}
        save_file(weights, temporary / WEIGHTS_FILE, metadata={"format": "pt"})
        fields = {
            "architectures": [family.HF_CLASSES[head]],
            **family.to_hf(config),
            "dtype": "float32",
            "bos_token_id": START_ID,
            "eos_token_id": END_ID,
            "pad_token_id": PAD_ID,
        }
        closing = config.attention == "bidirectional"
        if closing:
            fields |= {"cls_token_id": START_ID, "sep_token_id": END_ID, "mask_token_id": MASK_ID}
        if labels is not None:
            fields |= {
                "id2label": {str(index): label for index, label in enumerate(labels)},
                "label2id": {label: index for index, label in enumerate(labels)},
            }
            if head == "classification":
                fields["problem_type"] = "single_label_classification"
        fields["headstart"] = {"version": __version__, "family": config.family, "head": head} | (
            metadata or {}
        )
        write_json(temporary / "config.json", fields)
        # safetensors leaves its file readable by its owner alone
        shutil.copymode(temporary / "config.json", temporary / WEIGHTS_FILE)
        if head == "causal":
            write_json(
                temporary / "generation_config.json",
                {
                    "bos_token_id": START_ID,
                    "eos_token_id": END_ID,
                    "pad_token_id": PAD_ID,
                    "do_sample": False,
                },
            )
        write_for_transformers(tokenizer, temporary, closing, config.context)
        (temporary / "README.md").write_text(_card(head, card), encoding="utf-8")


def _card(head: str, body: str) -> str:
    pipeline = {
        "masked": "fill-mask",
        "causal": "text-generation",
        "classification": "text-classification",
        "tagging": "token-classification",
    }[head]
    return f"---\nlibrary_name: transformers\npipeline_tag: {pipeline}\ntags: [headstart]\n---\n\n{body}\n"


def _names(pattern: str, ours: tuple[str, ...], layers: int) -> list[tuple[str, tuple[str, ...]]]:
    """A row of a family's weight map, once for each layer it speaks of."""
    if "{layer}" not in pattern:
        return [(pattern, ours)]
    return [
        (pattern.format(layer=layer), tuple(name.format(layer=layer) for name in ours))
        for layer in range(layers)
    ]


def _to_hf_weights(model: Transformer, names: dict[str, tuple[str, ...]]) -> dict[str, Tensor]:
    state = model.state_dict()
    weights = {}
    for pattern, ours in names.items():
        for theirs, parts in _names(pattern, ours, model.config.layers):
            if all(part in state for part in parts):
                weights[theirs] = (
                    torch.cat([state[part] for part in parts]) if len(parts) > 1 else state[parts[0]]
                )
    return weights


def _from_hf_weights(
    weights: dict[str, Tensor], model: Transformer, names: dict[str, tuple[str, ...]], path: Path
) -> None:
    state = model.state_dict()
    missing = set(state)
    for pattern, ours in names.items():
        for theirs, parts in _names(pattern, ours, model.config.layers):
            if theirs not in weights or not all(part in state for part in parts):
                continue
            for part, tensor in zip(parts, weights[theirs].chunk(len(parts)), strict=True):
                if tensor.shape != state[part].shape:
                    raise HeadstartError(
                        f"{path}: {theirs} has shape {list(tensor.shape)}, but config.json says "
                        f"{list(state[part].shape)}; the folder's files do not belong together"
                    )
                state[part] = tensor.float()
                missing.discard(part)
    if any(name.startswith("classifier.") for name in weights):
        missing.discard("output_bias")  # a task model has no output over the vocabulary
    if missing:
        raise HeadstartError(f"{path} lacks the weights {sorted(missing)[:3]}; the folder is not whole")
    model.load_state_dict(state)


def load_model(folder: Path, dtype: torch.dtype = torch.float32) -> LoadedModel:
    """Read a model folder that headstart wrote.

    Raises:
        HeadstartError: no such folder, a pickle file instead of safetensors, another architecture,
            missing or damaged weights.
    """
    if (folder / "model").is_dir() and not (folder / "config.json").exists():
        folder = folder / "model"  # a run folder was given
    if not folder.is_dir():
        raise HeadstartError(f"there is no model folder {folder}; check the path")
    if not (folder / WEIGHTS_FILE).exists():
        pickled = [file.name for file in folder.iterdir() if file.suffix in (".bin", ".pth", ".pkl", ".pt")]
        if pickled:
            raise HeadstartError(
                f"{folder / pickled[0]} is a pickle, which can run code when it is read; save the model as "
                f"{WEIGHTS_FILE} with transformers' save_pretrained and load that"
            )
        raise HeadstartError(f"{folder} holds no {WEIGHTS_FILE}; it is not a model folder")
    fields = read_json(folder / "config.json")
    own = fields.get("headstart") if isinstance(fields, dict) else None
    if not isinstance(own, dict) or own.get("family") not in FAMILIES:
        found = fields.get("model_type", "nameless") if isinstance(fields, dict) else "nameless"
        raise HeadstartError(
            f"{folder} is a {found} model of another tool; this headstart reads the folders that it wrote"
        )
    try:
        config: TransformerConfig = make_config(own["family"], family_named(own["family"]).from_hf(fields))
        head = own["head"]
    except (KeyError, TypeError) as error:
        raise HeadstartError(
            f"{folder / 'config.json'} lacks or garbles {error}; make the model again"
        ) from None
    try:
        weights = load_file(folder / WEIGHTS_FILE)
    except SafetensorError as error:
        raise HeadstartError(f"{folder / WEIGHTS_FILE} is damaged ({error}); make the model again") from None
    model = Transformer(config, dtype)
    _from_hf_weights(weights, model, family_named(config.family).WEIGHTS, folder / WEIGHTS_FILE)
    classifier = {
        name.split(".")[1]: weights[name].float() for name in weights if name.startswith("classifier.")
    }
    labels = (
        [fields["id2label"][str(index)] for index in range(len(classifier["bias"]))] if classifier else []
    )
    tokenizer = Tokenizer(folder / "tokenizer.json")
    if tokenizer.vocab_size != config.vocab_size:
        raise HeadstartError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens, the model {config.vocab_size}; "
            "they do not belong together"
        )
    return LoadedModel(model, tokenizer, head, classifier, labels, own)
