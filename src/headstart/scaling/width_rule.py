"""Learning rates and initial embedding of a model whose width is another than the one they were tuned at.

The rule of this house: with width D the rates of Muon and AdamW and the deviation of the initial embedding
all fall with the root of D. For matrices it follows from Yang et al. 2023 (arXiv 2310.17813): an update's
spectral norm should be about the root of fan-out over fan-in, and Muon's update, scaled to AdamW's root mean
square, has one that grows with the root of the width. For the embedding, which is the output too, it is
what the check finds: without it logits move as D^0.7, with it as D^0.1.
"""

import math
from dataclasses import replace

from headstart.errors import HeadstartError
from headstart.models.config import TransformerConfig
from headstart.models.registry import make_config
from headstart.training.recipe import OptimiserRecipe, PretrainRecipe

HEAD_WIDTH = 32
TUNED_WIDTH = 256
"""The width at which the default rates were found (docs/research-log.md)."""


def rates_for_width(recipe: OptimiserRecipe, width: int, tuned_width: int) -> OptimiserRecipe:
    """The optimiser settings for a width, from those that were tuned at another."""
    share = math.sqrt(tuned_width / width)
    rates = {"matrix_rate": recipe.matrix_rate * share, "vector_rate": recipe.vector_rate * share}
    return recipe.model_copy(update=rates)


def embedding_for_width(config: TransformerConfig, tuned_width: int) -> TransformerConfig:
    """The configuration with an initial embedding whose logits are as large as at the tuned width."""
    deviation = config.embedding_deviation * math.sqrt(tuned_width / config.width)
    return replace(config, embedding_deviation=deviation)


def check_shared(base: PretrainRecipe) -> None:
    """Raise a `HeadstartError` where models of several sizes are to be trained and the recipe begins with a
    model, whose size is given, or counts minutes, in which they would make different numbers of steps."""
    if base.start not in ("random", "static"):
        raise HeadstartError(
            f"start={base.start} has one size, and here models of several are trained; leave start out"
        )
    if base.minutes is not None:
        raise HeadstartError(
            f"minutes={base.minutes:g} would give each size other steps than it is compared at; leave "
            "minutes out"
        )


def recipe_for_width(base: PretrainRecipe, width: int, tuned_width: int | None) -> PretrainRecipe:
    """The recipe for a model of another width, by the rule from the width it was tuned at; None: unchanged
    rates and initial embedding."""
    sizes = {"width": width, "heads": max(1, width // HEAD_WIDTH), "feedforward_width": 4 * width}
    sized = base.model_copy(update={"model": base.model.model_copy(update=sizes)})
    return sized if tuned_width is None else tuned_for_width(sized, tuned_width)


def tuned_for_width(recipe: PretrainRecipe, tuned_width: int = TUNED_WIDTH) -> PretrainRecipe:
    """A recipe whose rates and initial embedding are those for `tuned_width`, with those for its model's."""
    width = recipe.model.width
    usual = make_config(recipe.model.family, _SMALLEST).embedding_deviation
    deviation = recipe.model.embedding_deviation or usual or None  # None falls with the root by itself
    scaled = deviation and deviation * math.sqrt(tuned_width / width)
    return recipe.model_copy(
        update={
            "model": recipe.model.model_copy(update={"embedding_deviation": scaled}),
            "optimiser": rates_for_width(recipe.optimiser, width, tuned_width),
        }
    )


_SMALLEST = {"vocab_size": 256, "layers": 1, "width": 32, "heads": 1, "feedforward_width": 128, "context": 32}
