"""What a step of fine-tuning reads of labelled examples, and how far a model is from what is right.

Every kind of task goes this way: its examples are pieces (`Kind.encode_examples`) with targets; a step draws
a window of each example of its batch, hides some of its tokens, packs the windows into rows, and asks the
kind for the loss of what the model makes of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from headstart.tasks.data.splitting import split
from headstart.tasks.examples import Examples
from headstart.tasks.finetuning.feature_cache import Features
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.kinds.kind import Scored
from headstart.tasks.kinds.packing import EncodedWindow, pack, scores_of_heads
from headstart.tasks.metrics import measure
from headstart.tasks.predictor import Predictor
from headstart.tokenizer.base import Tokenizer

MOST_VALIDATED = 500
"""Examples set apart; more would take longer to answer than they tell."""
AT_ONCE = 16
"""Examples read at once where the loss of all of them is wanted."""


class ExampleLoss:
    """The loss of a predictor's model on batches of one set of examples."""

    def __init__(
        self,
        predictor: Predictor,
        examples: Examples,
        seed: int,
        hidden_share: float = 0.0,
        keep: Callable[[Sequence[EncodedWindow]], Features] | None = None,
        beside: Sequence[Tensor] | None = None,
    ) -> None:
        """
        Args:
            seed: of the windows drawn.
            hidden_share: share of the tokens that a batch hides, see `Hide`.
            keep: of a body that stays as it is, its states for pieces; None: the body reads every batch.
            beside: of each example what is added to the model's outputs, `[labels]`, where words are scored
                `[rows, labels]`.
        """
        self.predictor, self.examples, kind = predictor, examples, predictor.kind
        self.pieces = kind.encode_examples(
            predictor.tokenizer, examples, predictor.labels, predictor.max_tokens, predictor.begins
        )
        self.seed = seed
        self.hide = Hide(predictor.tokenizer, hidden_share)
        self.features = None if keep is None else keep(self.pieces)
        self.beside = beside
        self.tokens = 0
        """Read so far."""

    @cached_property
    def targets(self) -> list[Tensor]:
        """What is right for each piece. Whoever only asks for `goodness` of labels needs none: validation
        data may have labels that the model does not know."""
        return self.predictor.kind.targets(self.examples, self.pieces, self.predictor.labels)

    @cached_property
    def draw(self) -> "WindowDraw":
        """Which pieces stand for examples in a step."""
        return WindowDraw(self.pieces, self.seed, self.predictor.kind.telling(self.targets))

    def __len__(self) -> int:
        """How many examples can be read; a kind may leave out those that are too long."""
        return len(self.draw.examples)

    def __call__(self, places: Sequence[int]) -> Tensor:
        """The loss of the examples at these places."""
        drawn = self.draw(places)
        pieces = [self.pieces[i] for i in drawn]
        self.tokens += sum(piece.tokens for piece in pieces)
        if self.features is not None:
            outputs = self.predictor.model.score(self.features.of(drawn))
        else:
            outputs = self.predictor.model(pack(self.hide(pieces), self.predictor.padding))
        beside = self.beside_of(pieces)
        outputs = outputs if beside is None else outputs + beside
        return self.predictor.kind.loss(outputs, [self.targets[i] for i in drawn], pieces)

    def beside_of(self, pieces: Sequence[EncodedWindow]) -> Tensor | None:
        """What is added to the outputs for pieces, `[pieces or heads, labels]`."""
        if self.beside is None:
            return None
        each = [self.beside[piece.owner] for piece in pieces]
        if not self.predictor.model.reads_each:
            return torch.stack(each)
        return torch.cat([scores_of_heads(its, piece) for its, piece in zip(each, pieces, strict=True)])

    @torch.no_grad()
    def goodness(self) -> float:
        """How good the model is on all examples, higher is better: the main figure of the task, or, where
        answers are written and would take too long, the negative loss of a token."""
        predictor, kind = self.predictor, self.predictor.kind
        if not isinstance(kind, Scored):
            return -self._mean_loss()
        given = self.examples.inputs
        if self.features is None:
            outputs = predictor.outputs(self.pieces, given)
        else:
            states = self.features.of(range(len(self.pieces)))
            outputs = predictor.by_piece(predictor.model.score(states).numpy(), self.pieces)
            outputs = predictor.with_counted(outputs, self.pieces, given)
        results = kind.merge(self.pieces, outputs, given, predictor.facts)
        answers = [kind.predicted(*one, predictor.labels) for one in zip(results, given, strict=True)]
        return measure(predictor.task, self.examples.targets, answers)[0].value

    def _mean_loss(self) -> float:
        total, count = 0.0, 0
        for first in range(0, len(self), AT_ONCE):
            places = range(first, min(first + AT_ONCE, len(self)))
            targets = sum(len(self.targets[piece]) for piece in self.draw(places))
            total += float(self(places)) * targets
            count += targets
        return total / count


class WindowDraw:
    """Which pieces stand for examples in a step: of a text in windows one, drawn anew every time, so that
    long examples cost and count as much as short ones and are still read from end to end."""

    def __init__(
        self, pieces: Sequence[EncodedWindow], seed: int, telling: Sequence[bool] | None = None
    ) -> None:
        """Of a text with windows that are `telling`, every second draw is one of those."""
        self.telling = telling
        self.random = np.random.Generator(np.random.Philox(key=seed))
        places: dict[int, dict[int, list[int]]] = {}  # example -> side -> its windows
        for place, piece in enumerate(pieces):
            places.setdefault(piece.owner, {}).setdefault(piece.side, []).append(place)
        self.examples = list(places.values())

    @property
    def windowed(self) -> int:
        """How many examples have more than one window."""
        return sum(any(len(one) > 1 for one in sides.values()) for sides in self.examples)

    def __call__(self, examples: Sequence[int]) -> list[int]:
        """Places of pieces: those of one example follow each other, in the order of its sides."""
        drawn = []
        for example in examples:
            for windows in self.examples[example].values():
                drawn.append(self._one_of(windows) if len(windows) > 1 else windows[0])
        return drawn

    def _one_of(self, windows: list[int]) -> int:
        telling = [place for place in windows if self.telling is not None and self.telling[place]]
        if telling and self.random.random() < 0.5:
            windows = telling
        return windows[self.random.integers(len(windows))]


class Hide:
    """Hides a share of the ordinary tokens of pieces, new ones every time.

    Of a piece that is scored as a whole they are left out: with masks in their place, the mean of its states
    would not be what it is when nothing is hidden. Where tokens are scored one by one, the mask replaces
    them.
    """

    def __init__(self, tokenizer: Tokenizer, share: float) -> None:
        special = tokenizer.special
        self.mask = special.mask or 0
        self.share = 0.0 if special.mask is None else share
        self.ordinary = np.ones(tokenizer.vocab_size, dtype=bool)
        self.ordinary[list(special.all)] = False

    def __call__(self, pieces: Sequence[EncodedWindow]) -> list[EncodedWindow]:
        return [self._hidden(piece) for piece in pieces] if self.share else list(pieces)

    def _hidden(self, piece: EncodedWindow) -> EncodedWindow:
        hidden = (torch.rand(len(piece.ids)).numpy() < self.share) & self.ordinary[piece.ids]
        if len(piece.heads):
            return replace(piece, ids=np.where(hidden, self.mask, piece.ids))
        if hidden.all():
            return piece
        types = piece.types if piece.types is None else piece.types[~hidden]
        return replace(piece, ids=piece.ids[~hidden], types=types)


def set_apart(train: Examples, recipe: FinetuneRecipe, seed: int) -> tuple[Examples, Examples | None]:
    """What is learned from and what it is judged by, None where the examples are too few for that."""
    share = min(recipe.validation_share, MOST_VALIDATED / len(train))
    if share * len(train) < recipe.validation_least:
        return train, None
    learned, validation = split(train, seed, share)
    return learned, validation if len(validation) else None
