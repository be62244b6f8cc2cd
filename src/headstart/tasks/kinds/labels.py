"""Whole texts, or pairs of them, with one label, several, or a number."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.models.family import HeadKind
from headstart.models.heads import Head
from headstart.tasks.examples import Examples, Reading, TaskKind, flatten, is_missing
from headstart.tasks.facts import TaskFacts
from headstart.tasks.kinds.kind import (
    TEXT_COLUMNS,
    AnswerRow,
    Columns,
    Scored,
    Unusable,
    choose,
    choose_pair,
    numbered,
    pooled,
    read_text,
    softmax,
    texts_row,
)
from headstart.tasks.kinds.label_values import is_truth, separator_seen, several, spelled
from headstart.tasks.kinds.packing import EncodedWindow, encode_pairs, encode_texts
from headstart.tokenizer.base import Tokenizer

LABEL_COLUMNS = (
    "label gold_label class category sentiment target topic intent spam rating stars is_duplicate "
    "entailment_label "
    "entailment_judgment labels annotation"
)
DECIMAL_COMMA = re.compile(r"[+-]?(?:0,\d+|\d+,(?:\d{1,2}|\d{4,}))")
SCORE_COLUMNS = "score similarity similarity_score relatedness relatedness_score value"


class WholeTexts(Scored):
    """What the three kinds share: one state stands for a text, or for a pair."""

    head: HeadKind = "classification"
    roles = ("text", "pair", "label")
    label_names = LABEL_COLUMNS

    def columns(self, row: Mapping[str, Any], mapped: Columns, asked: bool) -> dict[str, str] | None:
        label = mapped.get("label") or choose(row, self.label_names, mapped.get("text"))
        if label is None and (answer := choose(row, "answer")) is not None and is_truth(row[answer]):
            label = answer
        if "text" in mapped:
            texts = {"text": mapped["text"]} | ({"pair": mapped["pair"]} if "pair" in mapped else {})
        elif (both := choose_pair(row, label)) is not None:
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

    def row(self, given: Any, target: Any, columns: Columns) -> JSONObject:
        return texts_row(given, columns) | {columns.get("label", self.label_names.split()[0]): target}

    def as_input(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            columns = self.columns({**value, "no label": ""}, {"label": "no label"}, asked=True)
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
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            return " ".join(value)
        if not isinstance(value, str):
            raise HeadstartError(f"a text was wanted, or its words, not {str(value)[:60]}")
        return value

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

    def settle(
        self,
        rows: Sequence[tuple[str, JSONObject]],
        columns: Columns,
        like: Reading | None,
        notes: list[str],
    ) -> str:
        """A label is written in one way; see `label_values.spelled`."""
        column = columns["label"]
        if are_single(row[column] for _, row in rows):
            for _, row in rows:
                row[column] = row[column][0] if isinstance(row[column], list) else row[column]
        single = [row for _, row in rows if not isinstance(row[column], list | dict)]
        written = spelled([row[column] for row in single], like, column, notes)
        for row, label in zip(single, written, strict=True):
            row[column] = label
        sign = separator_seen(written)
        if sign:
            notes.append(
                f"some labels in {column!r} look like several, told apart by {sign!r}; where a text has "
                f"several it is "
                "--task multi-label"
            )
        return ""

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

    def answer(self, result: Any, given: Any, labels: Sequence[str]) -> AnswerRow:
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
    label_names = f"labels tags categories topics classes cats {LABEL_COLUMNS}"

    def _likely(self, row: Mapping[str, Any], texts: Columns, label: str) -> bool:
        its = row[label]
        if isinstance(its, str):
            return "|" in its and super()._likely(row, texts, label)
        return (
            super()._likely(row, texts, label)
            and isinstance(its, list)
            and all(isinstance(one, str | int) or one in (0.0, 1.0) for one in its)
        )

    def settle(
        self,
        rows: Sequence[tuple[str, JSONObject]],
        columns: Columns,
        like: Reading | None,
        notes: list[str],
    ) -> str:
        """Every cell becomes a list of names; see `label_values.several`."""
        column = columns["label"]
        cells, manner = several([row[column] for _, row in rows], like.manner if like else "", column, notes)
        flat = [one for cell in cells for one in cell or () if not isinstance(one, list | dict)]
        names = iter(spelled(flat, like, column, notes))
        for (_, row), cell in zip(rows, cells, strict=True):
            row[column] = cell and [one if isinstance(one, list | dict) else next(names) for one in cell]
        return manner

    def read_target(
        self, where: str, row: Mapping[str, Any], columns: Columns, given: Any, remarks: Counter[str]
    ) -> tuple[str, ...]:
        """The labels; an empty list or cell has none, one that is not there is not known."""
        found = row[columns["label"]]
        if found is None:
            raise Unusable("no labels")
        if any(isinstance(label, list | dict) for label in found):
            raise HeadstartError(f"{where}: labels are a list of names, not of lists or objects")
        return tuple(sorted({str(label).strip() for label in found if label is not None} - {""}))

    def row(self, given: Any, target: Any, columns: Columns) -> JSONObject:
        return super().row(given, list(target), columns)

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

    def answer(self, result: Any, given: Any, labels: Sequence[str]) -> AnswerRow:
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
        return super()._likely(row, texts, label) and named and number_in(row[label]) is not None

    def settle(
        self,
        rows: Sequence[tuple[str, JSONObject]],
        columns: Columns,
        like: Reading | None,
        notes: list[str],
    ) -> str:
        """-1 in all rows says that there are no numbers, as in the test parts of GLUE."""
        column = columns["label"]
        if len(rows) > 1 and all(number_in(row[column]) == -1 for _, row in rows):
            notes.append(f"-1 in {column!r} says that there is no number")
            for _, row in rows:
                row[column] = None
        return ""

    def read_target(
        self, where: str, row: Mapping[str, Any], columns: Columns, given: Any, remarks: Counter[str]
    ) -> float:
        if is_missing(row[columns["label"]]):
            raise Unusable("no number")
        number = number_in(row[columns["label"]])
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

    def answer(self, result: Any, given: Any, labels: Sequence[str]) -> AnswerRow:
        return {"score": float(result)}


def are_single(cells: Iterable[Any]) -> bool:
    """Whether labels are lists of one, as annotation tools write the one class of a text; some may stand
    alone or be missing."""
    sizes = {len(cell) for cell in cells if isinstance(cell, list)}
    return sizes == {1}


def are_scores(cells: Iterable[Any]) -> bool:
    """Whether labels are numbers, some with a fraction: a similarity or a rating, and no class."""
    numbers = [_number(cell) for cell in cells if not is_missing(cell) and not isinstance(cell, list | dict)]
    return None not in numbers and any(number != int(number) for number in numbers if number is not None)


def number_in(cell: Any) -> float | None:
    """The number in a column of numbers, with a decimal comma, too. "1,234" is none: it may be a thousand."""
    if isinstance(cell, str) and DECIMAL_COMMA.fullmatch(cell.strip()):
        return _number(cell.replace(",", "."))
    return _number(cell)


def _number(cell: Any) -> float | None:
    """A finite number, be it written as text."""
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
