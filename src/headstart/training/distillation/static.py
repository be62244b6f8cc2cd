"""A static model: one vector for each token, read out of a teacher (Tulkens & van Dongen 2024)."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.interchange.model_folder import LoadedModel, save_model
from headstart.interchange.sentence_vectors import Normalize, SentenceVectors
from headstart.models.registry import make_config
from headstart.models.transformer import Transformer
from headstart.tokenizer.base import Tokenizer
from headstart.training.distillation.recipe import StaticRecipe
from headstart.training.distillation.teacher import Teacher, principal_directions

CONTEXT = 8192
"""Tokens that are read at once; a table has no positions, and so no limit of its own."""


def token_table(teacher: Teacher, tokenizer: Tokenizer, directions: Tensor | None = None) -> Tensor:
    """What a teacher makes of every token alone, `[V, E]`, or `[V, D]` in some directions; zeros of special
    tokens."""
    vectors = teacher.token_vectors(tokenizer.pieces)
    return vectors if directions is None else vectors @ directions


def rarities(frequencies: np.ndarray | None, size: int, special: frozenset[int], smooth: float) -> Tensor:
    """What every token weighs, `[V]`: a / (a + p) of its frequency p, 0 for special tokens.

    Args:
        frequencies: counts in a text, `[V]`; None: by Zipf's law of the token's place in the vocabulary, as
            tokenizers sort it, p = 1 / (rank * (ln V + 0.5772)).
    """
    if frequencies is None:
        ranks = np.empty(size)
        ordinary = [index for index in range(size) if index not in special]
        ranks[ordinary] = np.arange(1, len(ordinary) + 1)
        ranks[list(special)] = 1
        shares = 1 / (ranks * (np.log(size) + 0.5772))
    else:
        shares = (frequencies + 0.5) / (frequencies.sum() + 0.5 * size)
    weights = smooth / (smooth + shares)
    weights[list(special)] = 0.0
    return torch.from_numpy(weights).float()


class StaticFacts(TypedDict):
    """What is known of a table of vectors."""

    parameters: int
    tokens: int
    """That have a vector."""
    kept_share: float
    """Of the square of all vectors, in the directions that were kept."""
    rarity_from: str


@torch.no_grad()
def static_model(
    teacher: Teacher, tokenizer: Tokenizer, recipe: StaticRecipe, frequencies: np.ndarray | None = None
) -> tuple[LoadedModel, StaticFacts]:
    """A model of no layers whose states are the table's vectors, and facts about it.

    Args:
        frequencies: how often each token occurs in a text, `[V]`; None: Zipf's law.
    """
    table = token_table(teacher, tokenizer)
    ordinary = table.abs().amax(1) > 0
    # Centred, as principal components are; then each by its rarity.
    centred = (table - table[ordinary].mean(0)) * ordinary[:, None]
    directions, share = principal_directions(centred[ordinary], recipe.width, recipe.seed)
    weights = rarities(frequencies, len(table), tokenizer.special.all, recipe.rarity)
    vectors = (centred @ directions) * weights[:, None]
    config = make_config("static", {"vocab_size": len(table), "width": recipe.width, "context": CONTEXT})
    model = Transformer(config)
    model.embedding.weight.copy_(vectors)
    loaded = LoadedModel(model, tokenizer, "features", vectors=SentenceVectors(layers=[Normalize()]))
    return loaded, {
        "parameters": vectors.numel(),
        "tokens": int(ordinary.sum()),
        "kept_share": round(share, 4),
        "rarity_from": "zipf" if frequencies is None else "text",
    }


def write_static(folder: Path, made: LoadedModel, facts: StaticFacts, teacher: Path) -> None:
    """Write the model folder with its card."""
    card = (
        f"# Static vectors, {facts['parameters']:,} parameters\n\n"
        f"One vector for each of {facts['tokens']:,} tokens, read out of `{teacher.name}` with headstart: "
        "what it makes of the token alone, in its strongest directions "
        f"({100 * facts['kept_share']:.1f} % of the square), weighted by rarity. The vector of a text is the "
        "mean of its tokens'."
    )
    save_model(folder, made, card)
