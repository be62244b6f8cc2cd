"""Whole texts, or pairs of them, with one label, several, or a number."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.models.family import HeadKind
from headstart.models.heads import Head
from headstart.tasks.examples import Examples, TaskKind, flatten
from headstart.tasks.facts import TaskFacts
from headstart.tasks.kinds.kind import (
    TEXT_COLUMNS,
    Columns,
    Scored,
    Unusable,
    choose,
    choose_pair,
    is_missing,
    numbered,
    pooled,
    read_text,
    softmax,
)
from headstart.tasks.kinds.packing import EncodedWindow, encode_pairs, encode_texts
from headstart.tokenizer.base import Tokenizer

LABEL_COLUMNS = "label class category sentiment target topic intent spam rating stars gold_label"
SCORE_COLUMNS = "score similarity similarity_score relatedness relatedness_score value"


class WholeTexts(Scored):
    """What the three kinds share: one state stands for a text, or for a pair."""

    head: HeadKind = "classification"
    roles = ("text", "pair", "label")
    label_names = LABEL_COLUMNS

    def columns(self, row: Mapping[str, Any], mapped: Columns, asked: bool) -> dict[str, str] | None:
        label = mapped.get("label") or choose(row, self.label_names, mapped.get("text"))
        if "text" in mapped:
            texts = {"text": mapped["text"]} | ({"pair": mapped["pair"]} if "pair" in mapped else {})
        elif (both := choose_pair(row)) is not None:
            texts = {"text": both[0], "pair": mapped.get("pair", both[1])}
        else:
            text = choose(row, TEXT_COLUMNS, label)
            texts = {"text": text} if text is not None else {}
            texts |= {"pair": mapped["pair"]} if "pair" in mapped else {}
        if label is None or "text" not in texts or (not asked and not self._likely(row, texts, label)):
            return None
        return texts | {"label": label}

    def _likely(self, row: Mapping[str, Any], texts: Columns, label: str) -> bool:
        """Whether somebody who did not say so means this kind of task."""
        return not isinstance(row[texts["text"]], list)

    def read_input(self, where: str, row: Mapping[str, Any], columns: Columns) -> Any:
        text = read_text(where, row[columns["text"]])
        return (text, read_text(where, row[columns["pair"]])) if "pair" in columns else text

    def as_input(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            columns = self.columns(value, {"label": next(iter(value), "")}, asked=True)
            if columns is None:
                raise HeadstartError(
                    f"no text is known by the names {', '.join(map(repr, value))}; give a text, a tuple of "
                    'two texts, or {"text_a": ..., "text_b": ...}'
                )
            return self.read_input("the input", value, columns)
        if isinstance(value, tuple):
            if len(value) != 2 or not all(isinstance(one, str) for one in value):
                raise HeadstartError(f"a pair is a tuple of two texts, not {str(value)[:60]}")
            return value
        return value if isinstance(value, str) else " ".join(value)

    def encode(self, tokenizer: Tokenizer, inputs: Sequence[Any], max_tokens: int) -> list[EncodedWindow]:
        if inputs and isinstance(inputs[0], tuple):
            return encode_pairs(tokenizer, inputs, max_tokens)
        return encode_texts(tokenizer, inputs, max_tokens)

    def facts(self, train: Examples, pieces: Sequence[EncodedWindow]) -> TaskFacts:
        return TaskFacts(pairs=isinstance(train.inputs[0], tuple))


class Classification(WholeTexts):
    """One label of several."""

    name: TaskKind = "classification"
    wanted = "'text' and 'label'"

    def read_target(
        self, where: str, row: Mapping[str, Any], columns: Columns, given: Any, remarks: Counter[str]
    ) -> str:
        label = row[columns["label"]]
        if isinstance(label, list | dict):
            raise HeadstartError(
                f"{where}: the label is a {type(label).__name__}; classification has one label a text "
                "(with several it is --task multi-label)"
            )
        if is_missing(label):
            raise Unusable("no label")
        return str(label).strip()

    def labels(self, train: Examples) -> list[str]:
        return train.labels

    def targets(
        self, train: Examples, pieces: Sequence[EncodedWindow], labels: Sequence[str]
    ) -> list[Tensor]:
        number = numbered(labels)
        return [torch.tensor([number[train.targets[piece.owner]]]) for piece in pieces]

    def loss(self, outputs: Tensor, targets: Sequence[Tensor], pieces: Sequence[EncodedWindow]) -> Tensor:
        return F.cross_entropy(outputs, torch.cat(list(targets)))

    def merge(
        self,
        pieces: Sequence[EncodedWindow],
        outputs: Sequence[np.ndarray],
        inputs: Sequence[Any],
        facts: TaskFacts,
    ) -> list[Any]:
        """Probabilities `[labels]`."""
        return [softmax(sides[0]) for sides in pooled(pieces, outputs, len(inputs))]

    def predicted(self, result: Any, given: Any, labels: Sequence[str]) -> str:
        return labels[int(result.argmax())]

    def answer(self, result: Any, given: Any, labels: Sequence[str]) -> dict[str, Any]:
        return {
            "label": labels[int(result.argmax())],
            "probability": float(result.max()),
            "probabilities": dict(zip(labels, map(float, result), strict=True)),
        }


class MultiLabel(WholeTexts):
    """Any number of labels, each true or not of a text."""

    name: TaskKind = "multi-label"
    problem = "multi_label_classification"
    wanted = "'text' and a list of 'labels'"
    label_names = f"labels tags categories topics classes {LABEL_COLUMNS}"

    def _likely(self, row: Mapping[str, Any], texts: Columns, label: str) -> bool:
        its = row[label]
        return (
            super()._likely(row, texts, label)
            and isinstance(its, list)
            and all(isinstance(one, str | int) for one in its)
        )

    def read_target(
        self, where: str, row: Mapping[str, Any], columns: Columns, given: Any, remarks: Counter[str]
    ) -> tuple[str, ...]:
        """The labels; in a table they are separated by `|` or `;`, and an empty cell has none."""
        found = row[columns["label"]]
        if isinstance(found, str):
            found = found.replace(";", "|").split("|")
        elif found is None or found != found:
            raise Unusable("no labels")
        elif not isinstance(found, list):
            found = [found]
        if any(isinstance(label, list | dict) for label in found):
            raise HeadstartError(f"{where}: labels are a list of names, not of lists or objects")
        return tuple(sorted({str(label).strip() for label in found} - {""}))

    def labels(self, train: Examples) -> list[str]:
        return train.labels

    def targets(
        self, train: Examples, pieces: Sequence[EncodedWindow], labels: Sequence[str]
    ) -> list[Tensor]:
        number = numbered(labels)
        true = torch.zeros(len(train), len(labels))
        for owner, its in enumerate(train.targets):
            true[owner, [number[label] for label in its]] = 1.0
        return [true[piece.owner][None] for piece in pieces]  # [1, labels]

    def loss(self, outputs: Tensor, targets: Sequence[Tensor], pieces: Sequence[EncodedWindow]) -> Tensor:
        # The sum over the labels keeps a rare label's gradient from shrinking with their number.
        return (
            F.binary_cross_entropy_with_logits(outputs, torch.cat(list(targets)), reduction="none")
            .sum(1)
            .mean()
        )

    @torch.no_grad()
    def begin(self, head: Head, train: Examples) -> None:
        """The bias starts at each label's share, so that nothing has to be learned before what tells them
        apart."""
        if head.output.bias is not None:
            seen = Counter(flatten(train.targets))
            share = torch.tensor([seen[label] / len(train) for label in self.labels(train)])
            head.output.bias.copy_(torch.logit(share.clamp(0.01, 0.99)))

    def merge(
        self,
        pieces: Sequence[EncodedWindow],
        outputs: Sequence[np.ndarray],
        inputs: Sequence[Any],
        facts: TaskFacts,
    ) -> list[Any]:
        """Probabilities `[labels]`, each for itself."""
        return [
            1 / (1 + np.exp(-sides[0].astype(np.float64))) for sides in pooled(pieces, outputs, len(inputs))
        ]

    def predicted(self, result: Any, given: Any, labels: Sequence[str]) -> tuple[str, ...]:
        return tuple(label for label, probability in zip(labels, result, strict=True) if probability >= 0.5)

    def answer(self, result: Any, given: Any, labels: Sequence[str]) -> dict[str, Any]:
        return {
            "labels": list(self.predicted(result, given, labels)),
            "probabilities": dict(zip(labels, map(float, result), strict=True)),
        }


class Regression(WholeTexts):
    """A number."""

    name: TaskKind = "regression"
    problem = "regression"
    wanted = "'text' and 'score'"
    label_names = f"{SCORE_COLUMNS} label rating stars target"

    def _likely(self, row: Mapping[str, Any], texts: Columns, label: str) -> bool:
        named = choose(row, SCORE_COLUMNS) == label and choose(row, LABEL_COLUMNS) is None
        return super()._likely(row, texts, label) and named and _number(row[label]) is not None

    def read_target(
        self, where: str, row: Mapping[str, Any], columns: Columns, given: Any, remarks: Counter[str]
    ) -> float:
        if is_missing(row[columns["label"]]):
            raise Unusable("no number")
        number = _number(row[columns["label"]])
        if number is None:
            raise HeadstartError(
                f"{where}: {str(row[columns['label']])[:40]!r} in {columns['label']!r} is no number, which "
                "regression needs; for names it is --task classification"
            )
        return number

    def labels(self, train: Examples) -> list[str]:
        return ["score"]

    def targets(
        self, train: Examples, pieces: Sequence[EncodedWindow], labels: Sequence[str]
    ) -> list[Tensor]:
        """Number and deviation of all numbers, `[1, 2]`."""
        deviation = float(np.std(train.targets)) or 1.0
        return [torch.tensor([[train.targets[piece.owner], deviation]]) for piece in pieces]

    def loss(self, outputs: Tensor, targets: Sequence[Tensor], pieces: Sequence[EncodedWindow]) -> Tensor:
        """Squared error in deviations of the training data, so that rates fit whatever the unit."""
        true, deviation = torch.cat(list(targets)).unbind(1)
        return ((outputs[:, 0] - true) / deviation).square().mean()

    @torch.no_grad()
    def begin(self, head: Head, train: Examples) -> None:
        """The first answer is the mean of the training data, and moves in its deviations."""
        head.output.weight.mul_(float(np.std(train.targets)) or 1.0)
        if isinstance(head.output.bias, nn.Parameter):
            head.output.bias.fill_(float(np.mean(train.targets)))

    def merge(
        self,
        pieces: Sequence[EncodedWindow],
        outputs: Sequence[np.ndarray],
        inputs: Sequence[Any],
        facts: TaskFacts,
    ) -> list[Any]:
        """A number."""
        return [float(sides[0][0]) for sides in pooled(pieces, outputs, len(inputs))]

    def predicted(self, result: Any, given: Any, labels: Sequence[str]) -> float:
        return float(result)

    def answer(self, result: Any, given: Any, labels: Sequence[str]) -> dict[str, Any]:
        return {"score": float(result)}


def _number(cell: Any) -> float | None:
    """A finite number, be it written as text."""
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
