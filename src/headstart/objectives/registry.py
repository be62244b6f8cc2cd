"""The objectives by name. A new one is a function in a file of its own and an entry here."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headstart.errors import HeadstartError
from headstart.models.config import Architecture, TransformerConfig
from headstart.models.family import HeadKind
from headstart.objectives.batch import Batch
from headstart.objectives.causal import causal_batch
from headstart.objectives.denoising import denoising_batch
from headstart.objectives.masked import masked_batch
from headstart.objectives.next_sentence import ROOM, next_sentence_batch
from headstart.objectives.prefix import prefix_batch
from headstart.objectives.recipe import ObjectiveRecipe
from headstart.objectives.span_corruption import noise_counts, row_length, span_corruption_batch
from headstart.objectives.vocabulary import Vocabulary

Make = Callable[[np.ndarray, np.ndarray, ObjectiveRecipe, Vocabulary, np.random.Generator], Batch]


@dataclass(frozen=True)
class Objective:
    """How rows become a batch, and which models can learn from it."""

    batch: Make
    """Ids and segments `[B, T]`, the settings, the vocabulary and randomness to a batch."""
    architecture: Architecture
    head: HeadKind
    """What a model that learned by it is saved as."""
    row_length: Callable[[int, ObjectiveRecipe], int] = lambda context, _: context
    """How many tokens of the stream make a row for a model that reads so many."""
    roles: tuple[str, ...] = ()
    """Special tokens that it cannot do without."""


def _masked(
    ids: np.ndarray,
    segments: np.ndarray,
    recipe: ObjectiveRecipe,
    vocabulary: Vocabulary,
    random: np.random.Generator,
) -> Batch:
    count = round(recipe.mask_rate * ids.size) if recipe.fixed_count else None
    return masked_batch(
        ids, segments, recipe.mask_rate, vocabulary, random, whole_words=recipe.whole_words, count=count
    )


OBJECTIVES: dict[str, Objective] = {
    "causal": Objective(
        lambda ids, segments, recipe, vocabulary, random: causal_batch(ids, segments),
        "decoder",
        "causal",
        lambda context, _: context + 1,
    ),
    "prefix": Objective(
        lambda ids, segments, recipe, vocabulary, random: prefix_batch(ids, segments, random),
        "decoder",
        "causal",
        lambda context, _: context + 1,
    ),
    "masked": Objective(_masked, "encoder", "masked", roles=("mask",)),
    "next-sentence": Objective(
        lambda ids, segments, recipe, vocabulary, random: next_sentence_batch(
            ids, segments, recipe.mask_rate, vocabulary, random, whole_words=recipe.whole_words
        ),
        "encoder",
        "pretraining",
        lambda context, _: max(context - ROOM, context // 2),
        roles=("start", "end", "pad", "mask"),
    ),
    "span-corruption": Objective(
        lambda ids, segments, recipe, vocabulary, random: span_corruption_batch(
            ids, segments, recipe.mask_rate, recipe.mean_span, vocabulary, random
        ),
        "encoder-decoder",
        "text-to-text",
        lambda context, recipe: row_length(context, recipe.mask_rate, recipe.mean_span),
        roles=("end", "pad"),
    ),
    "denoising": Objective(
        lambda ids, segments, recipe, vocabulary, random: denoising_batch(
            ids,
            segments,
            recipe.mask_rate,
            recipe.mean_span,
            vocabulary,
            random,
            permute_sentences=recipe.permute_sentences,
            delete_rate=recipe.delete_rate,
        ),
        "encoder-decoder",
        "text-to-text",
        roles=("end", "pad", "mask"),
    ),
}


def check_fit(recipe: ObjectiveRecipe, config: TransformerConfig, vocabulary: Vocabulary) -> None:
    """Whether a model and a tokenizer can learn by an objective.

    Raises:
        HeadstartError: the architecture, a head or special tokens that it needs are missing.
    """
    objective, kind = OBJECTIVES[recipe.kind], recipe.kind
    if config.architecture != objective.architecture:
        fitting = [name for name, one in OBJECTIVES.items() if one.architecture == config.architecture]
        raise HeadstartError(
            f"objective.kind={kind} is for {objective.architecture}s, and {config.family} is one of the "
            f"{config.architecture}s; change model.family, or objective.kind to {' or '.join(fitting)}"
        )
    if kind == "next-sentence" and not (config.next_sentence and config.token_types == 2):
        raise HeadstartError(
            f"objective.kind=next-sentence needs a model that tells first and second texts apart, which "
            f"{config.family} does not; change model.family to bert, or objective.kind to masked"
        )
    for role in objective.roles:
        vocabulary.id(role)
    if kind == "span-corruption":
        length = objective.row_length(config.context, recipe)
        spans = noise_counts(length, recipe.mask_rate, recipe.mean_span)[1]
        sentinels = len(vocabulary.special.sentinels)
        if spans > sentinels:
            raise HeadstartError(
                f"objective.kind=span-corruption hides {spans} spans in rows of {length} tokens, but the "
                f"tokenizer has {sentinels} sentinels; lower context or objective.mask_rate, "
                "raise objective.mean_span, or encode the corpus with a tokenizer that has more"
            )
