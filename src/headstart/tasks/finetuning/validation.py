"""Labelled examples by which a run is judged while it goes on; the test data are for its end alone."""

from collections.abc import Callable, Sequence

import torch

from headstart.tasks.data.dataset import split
from headstart.tasks.examples import Examples
from headstart.tasks.finetuning.feature_cache import Features
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.kinds.packing import EncodedWindow
from headstart.tasks.kinds.registry import KINDS
from headstart.tasks.metrics import measure
from headstart.tasks.predictor import Predictor

MOST = 500
"""Examples set apart; more would take longer to answer than they tell."""


def set_apart(train: Examples, recipe: FinetuneRecipe, seed: int) -> tuple[Examples, Examples | None]:
    """What is learned from and what it is judged by, None where the examples are too few for that."""
    share = min(recipe.validation_share, MOST / len(train))
    if share * len(train) < recipe.validation_least:
        return train, None
    learned, validation = split(train, seed, share)
    return learned, validation if len(validation) else None


def main_score(predictor: Predictor, examples: Examples) -> float:
    """The task's main figure on examples."""
    return measure(predictor.task, examples.targets, predictor.predict(examples.inputs))[0].value


def from_features(
    predictor: Predictor, examples: Examples, pieces: Sequence[EncodedWindow], found: Features
) -> Callable[[], float]:
    """The same of a model whose body stays as it is, from its states."""
    kind, model = KINDS[predictor.task], predictor.model
    states = found.of(range(len(pieces)))

    @torch.no_grad()
    def judge() -> float:
        outputs = predictor.by_piece(model.score(states).numpy(), pieces)
        results = kind.merge(pieces, outputs, examples.inputs, predictor.facts)
        answers = [
            kind.predicted(result, given, predictor.labels)
            for result, given in zip(results, examples.inputs, strict=True)
        ]
        return measure(predictor.task, examples.targets, answers)[0].value

    return judge
