"""A text and several options, one of which answers it or goes on with it.

Each option is read together with the text and gets one score; the scores of all options of a text compete
(Radford et al. 2018, section 3.3). The folder holds a classifier with one output, of a pair of texts.
"""

import string
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.models.family import HeadKind
from headstart.tasks.examples import Choices, Examples, TaskKind
from headstart.tasks.facts import TaskFacts
from headstart.tasks.kinds.kind import (
    OPTION_COLUMNS,
    Columns,
    Scored,
    Unusable,
    choose,
    is_missing,
    pooled,
    read_text,
    softmax,
)
from headstart.tasks.kinds.packing import EncodedWindow, encode_pairs
from headstart.tokenizer.base import Tokenizer

MOST_OPTIONS = 26


class MultipleChoice(Scored):
    """The right one of several options."""

    name: TaskKind = "multiple-choice"
    head: HeadKind = "classification"
    problem = "regression"  # one output, of which transformers makes no probability
    roles = ("text", "context", "options", "label")
    wanted = "'question', a list of 'options' and 'answer'"

    def columns(self, row: Mapping[str, Any], mapped: Columns, asked: bool) -> dict[str, str] | None:
        """`options` names the list, or the first of columns such as `ending0`, `ending1`; a question may have
        a context, which is read before it."""
        text = mapped.get("text") or choose(
            row, "question text context prompt premise sentence sent1 ctx query"
        )
        options = mapped.get("options") or choose(
            row, f"{OPTION_COLUMNS} option0 ending0 choice0 option1 choice1 a"
        )
        label = mapped.get("label") or choose(row, "answer label gold target answer_index answerkey correct")
        if text is None or options is None or label is None:
            return None
        is_list = isinstance(row[options], list | dict)
        if not asked and not is_list and not _numbered(row, options):
            return None
        context = mapped.get("context") or choose(row, "context passage article", text)
        return {"text": text, "options": options, "label": label} | ({"context": context} if context else {})

    def read_input(self, where: str, row: Mapping[str, Any], columns: Columns) -> Choices:
        cell = row[columns["options"]]
        if isinstance(cell, dict):  # {"text": [...], "label": ["A", ...]}
            cell = cell.get("text")
        if not isinstance(cell, list):
            cell = [row[name] for name in _numbered(row, columns["options"]) if not is_missing(row[name])]
        if not 2 <= len(cell) <= MOST_OPTIONS:
            raise HeadstartError(
                f"{where} has {len(cell)} options; multiple choice needs a list of 2 to {MOST_OPTIONS}"
            )
        text = read_text(where, row[columns["text"]])
        if "context" in columns and not is_missing(row[columns["context"]]):
            text = f"{read_text(where, row[columns['context']], 'context')}\n{text}"
        return Choices(text, tuple(read_text(where, option, "option") for option in cell))

    def read_target(
        self, where: str, row: Mapping[str, Any], columns: Columns, given: Any, remarks: Counter[str]
    ) -> int:
        """The place of the right option, from 0; the answer is written so, as a letter, or in full."""
        answer = row[columns["label"]]
        if is_missing(answer):
            raise Unusable("no answer")
        written = str(answer).strip()
        options = row[columns["options"]]
        names = options.get("label") if isinstance(options, dict) else None
        letters = string.ascii_uppercase[: len(given.options)]
        if names and written in names:
            return list(names).index(written)
        if written in given.options:
            return given.options.index(written)
        if written.isdecimal() and int(written) < len(given.options):
            return int(written)
        if len(written) == 1 and written.upper() in letters:
            return letters.index(written.upper())
        raise HeadstartError(
            f"{where}: the answer {written[:40]!r} is none of the {len(given.options)} options; write the "
            f"option, its place from 0 to {len(given.options) - 1}, or its letter"
        )

    def as_input(self, value: Any) -> Choices:
        if isinstance(value, Choices):
            return value
        if isinstance(value, Mapping):
            columns = (
                self.columns(value, {}, asked=True)
                if "answer" in value
                else self.columns({**value, "answer": 0}, {}, asked=True)
            )
            if columns is not None:
                return self.read_input("the input", value, columns)
        raise HeadstartError(
            'multiple choice takes {"question": ..., "options": [...]}, and a list of these for a list'
        )

    def labels(self, train: Examples) -> list[str]:
        return ["score"]

    def encode(self, tokenizer: Tokenizer, inputs: Sequence[Any], max_tokens: int) -> list[EncodedWindow]:
        owners = [(owner, side) for owner, one in enumerate(inputs) for side in range(len(one.options))]
        pairs = [(inputs[owner].text, inputs[owner].options[side]) for owner, side in owners]
        return encode_pairs(tokenizer, pairs, max_tokens, owners)

    def targets(
        self, train: Examples, pieces: Sequence[EncodedWindow], labels: Sequence[str]
    ) -> list[Tensor]:
        return [torch.tensor([train.targets[piece.owner]]) for piece in pieces]

    def loss(self, outputs: Tensor, targets: Sequence[Tensor], pieces: Sequence[EncodedWindow]) -> Tensor:
        """Cross-entropy over the options of each text, which come one behind the other."""
        borders = [
            0,
            *(i + 1 for i, (a, b) in enumerate(pairwise(pieces)) if a.owner != b.owner),
            len(pieces),
        ]
        scores = nn.utils.rnn.pad_sequence(
            [outputs[start:end, 0] for start, end in pairwise(borders)],
            batch_first=True,
            padding_value=float("-inf"),
        )  # [texts, most options]
        return F.cross_entropy(scores, torch.cat([targets[start] for start in borders[:-1]]))

    def merge(
        self,
        pieces: Sequence[EncodedWindow],
        outputs: Sequence[np.ndarray],
        inputs: Sequence[Any],
        facts: TaskFacts,
    ) -> list[Any]:
        """Probabilities `[options]`."""
        return [softmax(np.concatenate(sides)) for sides in pooled(pieces, outputs, len(inputs))]

    def predicted(self, result: Any, given: Any, labels: Sequence[str]) -> int:
        return int(result.argmax())

    def answer(self, result: Any, given: Any, labels: Sequence[str]) -> dict[str, Any]:
        best = int(result.argmax())
        return {
            "choice": best,
            "answer": given.options[best],
            "probability": float(result[best]),
            "probabilities": result.tolist(),
        }


def _numbered(row: Mapping[str, Any], first: str) -> list[str]:
    """The columns that count on from `first`: `ending0`, `ending1`, ... or `A`, `B`, ..."""
    if not first or not first[-1].isalnum():
        return []
    stem, names, sign = first[:-1], [], first[-1]
    while stem + sign in row:
        names.append(stem + sign)
        sign = chr(ord(sign) + 1)
    return names if len(names) > 1 else []
