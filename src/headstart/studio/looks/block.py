"""What the Block view sees of a model: its weights, its gates for a text, and what sharing heads costs it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel
from headstart.models.catalogue.diagram import diagram
from headstart.models.config import TransformerConfig
from headstart.models.observe import observe
from headstart.models.parameters import cache_bytes
from headstart.models.parts.positions import rotary_frequencies
from headstart.models.registry import family_named, preset_config
from headstart.models.shared_heads import pool_key_value_heads
from headstart.objectives.batch import loss_sum
from headstart.objectives.vocabulary import read_vocabulary
from headstart.recipe import read_yaml
from headstart.studio.frames import Looked
from headstart.training.data_loader import DataLoader
from headstart.training.recipe import PretrainRecipe

SIDE = 96  # cells of a weight's picture, at most
SPECTRUM = 4096  # the smaller side of a matrix whose singular values are computed
TOKENS = 48  # of a text whose gates are shown
ROWS = 16  # held-out rows that a changed model reads


def described(config: TransformerConfig, rows: int, row: int) -> dict[str, Any]:
    """The diagram of a configuration as fields, and what its sharing of heads means for the cache."""
    made = diagram(config, rows, row)
    shares = [n for n in range(1, config.heads + 1) if config.heads % n == 0]
    rotary = config.rotaries[0] if config.rotaries else None
    return {
        "diagram": asdict(made),
        "parameters": made.parameters,
        "flops": made.flops,
        "config": config.as_dict() | {"gated": config.gated, "generates": config.generates},
        "shares": shares,
        "cache_bytes": [
            2 * kv * config.head_width * config.layers * 2 if config.generates else 0 for kv in shares
        ],
        "cache_now": cache_bytes(config, 1),
        "frequencies": [] if rotary is None else rotary_frequencies(rotary).tolist(),
    }


def block(loaded: LoadedModel, rows: int, row: int) -> Looked:
    """The diagram of a model in a folder, the names of its weights, and how many more its task head has."""
    head = sum(tensor.numel() for tensor in loaded.classifier.values())
    names = {name: list(tensor.shape) for name, tensor in loaded.model.state_dict().items()}
    return Looked(described(loaded.model.config, rows, row) | {"names": names, "head": head}, {})


def preset(preset: str, rows: int, row: int) -> Looked:
    """The diagram of a published model, without its weights."""
    return Looked(described(preset_config(preset), rows, row) | {"names": {}, "head": 0}, {})


def weight(loaded: LoadedModel, name: str) -> Looked:
    """One weight: means of its cells as a picture of at most 96 × 96, and its singular values."""
    weights = loaded.model.state_dict()
    if name not in weights:
        raise HeadstartError(f"this model has no weight {name!r}")
    tensor = weights[name].float()
    matrix = tensor if tensor.dim() == 2 else tensor[None]
    values = torch.zeros(0)
    if tensor.dim() == 2 and min(matrix.shape) <= SPECTRUM:
        # Of the smaller Gram matrix in double precision: the roots of its eigenvalues.
        gram = (matrix.double().T @ matrix.double()) if matrix.shape[0] > matrix.shape[1] else (
            matrix.double() @ matrix.double().T
        )  # fmt: skip
        values = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().flip(0)
    return Looked(
        {
            "shape": list(tensor.shape),
            "least": float(tensor.min()),
            "largest": float(tensor.max()),
            "mean": float(tensor.mean()),
            "deviation": float(tensor.std()) if tensor.numel() > 1 else 0.0,
        },
        {"cells": _cells(matrix).numpy(), "spectrum": values.float().numpy()},
    )


def gates(loaded: LoadedModel, text: str, layer: int) -> Looked:
    """What a text does in a layer: gates `[T, F]` of the feed-forward part, and norms `[T]` of the stream,
    of what attention writes and of what the feed-forward part writes."""
    config, tokenizer = loaded.model.config, loaded.tokenizer
    ids = tokenizer.with_special(tokenizer.encode(text))[0][: min(TOKENS, config.context)]
    if not ids:
        raise HeadstartError("there is no token in this text; write some words")
    if not 0 <= layer < config.layers:
        raise HeadstartError(f"this model has {config.layers} layers, from 0; there is no layer {layer}")
    stack = "encoder" if config.architecture == "encoder" else "decoder"
    source = torch.tensor([ids]) if config.architecture == "encoder-decoder" else None
    seen = observe(loaded.model, torch.tensor([ids]), source, ("gates", "norms"))
    names = ["embedding", *range(config.layers)]
    tensors = {
        "norms": torch.cat([seen.norms[f"{stack}.{name}"] for name in names]).numpy(),
        "attention": torch.cat([seen.norms[f"{stack}.{n}.self"] for n in range(config.layers)]).numpy(),
        "feedforward": torch.cat(
            [seen.norms[f"{stack}.{n}.feedforward"] for n in range(config.layers)]
        ).numpy(),
    }
    if config.gated:
        tensors["gates"] = seen.gates[f"{stack}.{layer}"][0].numpy()
    return Looked({"texts": [tokenizer.token_text(index) for index in ids]}, tensors)


def share_heads(loaded: LoadedModel, run: str, tokens: str, kv_heads: int) -> Looked:
    """The loss of a run's model on its own held-out rows, as it is and with shared key-value heads."""
    recipe = PretrainRecipe.model_validate(read_yaml(Path(run) / "recipe.yaml")[0])
    recipe = recipe.model_copy(update={"tokens": Path(tokens), "evaluate_rows": ROWS})
    family = family_named(loaded.model.config.family)
    loader = DataLoader(recipe, read_vocabulary(loaded.tokenizer, family.decoder_start))
    try:
        batch, _ = loader.evaluation()
    finally:
        loader.close()
    losses = [
        float(loss_sum(model, batch)) / len(batch.targets)
        for model in (loaded.model, pool_key_value_heads(loaded.model, kv_heads))
    ]
    return Looked(
        {
            "before": losses[0],
            "after": losses[1],
            "targets": len(batch.targets),
            "rows": len(batch.ids),
        },
        {},
    )


def _cells(matrix: Tensor) -> Tensor:
    """Means of a matrix's cells, at most `SIDE` × `SIDE`."""
    sides = min(SIDE, matrix.shape[0]), min(SIDE, matrix.shape[1])
    return torch.nn.functional.adaptive_avg_pool2d(matrix[None, None], sides)[0, 0].contiguous()
