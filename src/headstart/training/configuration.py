"""Which model a recipe trains: a new one of its sizes, or one that is there already."""

from dataclasses import replace
from pathlib import Path

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel, check_tokenizer, load_model
from headstart.models.config import TransformerConfig
from headstart.models.family import OUTPUTS
from headstart.models.registry import family_named, make_config
from headstart.objectives.vocabulary import read_vocabulary
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.folder import open_tokenizer
from headstart.training.recipe import PretrainRecipe


def configuration(recipe: PretrainRecipe) -> TransformerConfig:
    """The model that a recipe trains.

    Raises:
        HeadstartError: sizes that do not fit each other, the tokenizer or the objective.
    """
    tokenizer = open_tokenizer(recipe.tokens)
    if isinstance(recipe.start, Path):
        config = _goes_on(load_model(recipe.start, weights=False), tokenizer, recipe)
    else:
        sizes = recipe.model.model_dump(exclude={"family"}, exclude_none=True)
        sizes |= {"vocab_size": tokenizer.vocab_size, "context": recipe.context}
        config = make_config(recipe.model.family, sizes)
    check_tokenizer(config, tokenizer)
    recipe.objective.check_fit(config, read_vocabulary(tokenizer))
    return config


def _goes_on(start: LoadedModel, tokenizer: Tokenizer, recipe: PretrainRecipe) -> TransformerConfig:
    """The configuration of a model that is trained further."""
    config, head = start.model.config, recipe.objective.head
    if start.tokenizer.sha256 != tokenizer.sha256:
        raise HeadstartError(
            f"{recipe.tokens} was encoded with another tokenizer than {recipe.start} has; encode the corpus "
            f"again with --tokenizer {recipe.start}"
        )
    if start.head == "features" and head in OUTPUTS and head in family_named(config.family).heads:
        config = _with_output(config)
    elif start.head != head:
        raise HeadstartError(
            f"start={recipe.start} is a {start.head} model, and objective.kind={recipe.objective.kind} "
            f"trains a {head} one; take the model that it was made from, or another objective"
        )
    if recipe.context > config.context and config.position == "learned":
        raise HeadstartError(
            f"context={recipe.context} is more than the {config.context} positions of {recipe.start}; lower "
            "it"
        )
    return replace(config, context=max(config.context, recipe.context))


def _with_output(config: TransformerConfig) -> TransformerConfig:
    """The model with the output that its family has and its folder lacks; it begins random, but for the
    embedding, to which it is tied."""
    fixed = family_named(config.family).fixed
    added = {name: fixed.get(name, False) for name in ("prediction_head", "output_bias")}
    return replace(config, tied=True, pooler=False, next_sentence=False, **added)
