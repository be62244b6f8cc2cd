"""A text and several options, one of which answers it or goes on with it.

Each option is read together with the text and gets one score; the scores of all options of a text compete
(Radford et al. 2018, section 3.3). The folder holds a classifier with one output, of a pair of texts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.models.family import HeadKind
from headstart.tasks.examples import Choices, Examples, Reading, TaskKind, is_missing
from headstart.tasks.facts import TaskFacts
from headstart.tasks.kinds.kind import (
    OPTION_COLUMNS,
    AnswerRow,
    Columns,
    Scored,
    Unusable,
    choose,
    pooled,
    read_text,
    softmax,
)
from headstart.tasks.kinds.option_answers import (
    FIRST_OPTIONS,
    LETTERS,
    MOST_OPTIONS,
    manner_of,
    misfit,
    named_options,
    option_columns,
    otherwise_placed,
    place_of,
)
from headstart.tasks.kinds.packing import EncodedWindow, encode_pairs
from headstart.tokenizer.base import Tokenizer

TEXTS = "prompt question question_stem sent2 text goal sentence ctx query premise context sent1"
CONTEXTS = "context passage article premise sent1 paragraph support dialogue obs1 document"
"""What is read before the question."""
LABELS = (
    "answer label gold target answer_index answer_idx answerkey answer_key correct correct_option cop "
    "correct_answer_num correct_answer_id"
)


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
        text = mapped.get("text") or choose(row, TEXTS)
        options = mapped.get("options") or choose(row, f"{OPTION_COLUMNS} {FIRST_OPTIONS}")
        if options is None and isinstance(row.get("answers"), list):
            options = "answers"  # ReClor's name for them
        label = mapped.get("label") or choose(row, LABELS, options)
        if text is None or options is None or label is None:
            return None
        is_list = named_options(row[options]) is not None
        if not asked and not is_list and not option_columns(row, options):
            return None
        context = mapped.get("context") or choose(row, CONTEXTS, text)
        return {"text": text, "options": options, "label": label} | ({"context": context} if context else {})

    def columns_read(self, row: Mapping[str, Any], columns: Columns) -> list[str]:
        return [*columns.values(), *option_columns(row, columns["options"])[1:]]

    def read_input(self, where: str, row: Mapping[str, Any], columns: Columns) -> Choices:
        cell, _ = self._options(row, columns)
        if not 2 <= len(cell) <= MOST_OPTIONS:
            raise HeadstartError(
                f"{where} has {len(cell)} options; multiple choice needs a list of 2 to {MOST_OPTIONS}"
            )
        text = read_text(where, row[columns["text"]])
        if "context" in columns and not is_missing(row[columns["context"]]):
            context = row[columns["context"]]
            if isinstance(context, list) and all(isinstance(one, str) for one in context):
                context = "\n".join(context)  # a talk, a turn each
            text = f"{read_text(where, context, 'context')}\n{text}"
        return Choices(text, tuple(read_text(where, option, "option") for option in cell))

    def _options(self, row: Mapping[str, Any], columns: Columns) -> tuple[list[Any], list[str]]:
        """The options in a row, and their names where they have some. Questions may have fewer options than
        others, but none is missing before another: answers count them all."""
        names = option_columns(row, columns["options"])
        found = None if names else named_options(row[columns["options"]])
        options, names = found or ([row[name] for name in names], names)
        while options and is_missing(options[-1]):
            options, names = options[:-1], names[: len(options) - 1]
        return options, names

    def settle(
        self,
        rows: Sequence[tuple[str, JSONObject]],
        columns: Columns,
        like: Reading | None,
        notes: list[str],
    ) -> str:
        """Every answer becomes the place of its option, from 0; see `option_answers`."""
        column = columns["label"]
        answered = []
        for where, row in rows:
            options, names = self._options(row, columns)
            texts = [str(option).strip() for option in options]
            if is_missing(row[column]) or (str(row[column]).strip() in ("-1", "-1.0") and "-1" not in texts):
                row[column] = None  # hidden, as in test parts
            else:
                answered.append((where, row, texts, names))
        problems = [(texts, names, row[column]) for _, row, texts, names in answered]
        manner = (like.manner if like else "") or manner_of(problems, notes)
        otherwise = 0
        for where, row, texts, names in answered:
            place = place_of(texts, names, row[column], manner)
            if place is None:
                place = otherwise_placed(texts, names, row[column], manner)
                otherwise += 1
            if place is None:
                raise misfit(where, texts, row[column], manner)
            row[column] = place
        if otherwise:
            notes.append(f"{otherwise:,} answers are written otherwise, and only one option can be meant")
        return manner

    def read_target(
        self, where: str, row: Mapping[str, Any], columns: Columns, given: Any, remarks: Counter[str]
    ) -> int:
        """The place of the right option, from 0, as `settle` has written it."""
        if row[columns["label"]] is None:
            raise Unusable("no answer")
        return int(row[columns["label"]])

    def row(self, given: Any, target: Any, columns: Columns) -> JSONObject:
        """The answer as a letter, which is not read as counted from 1 or from 0; a context in the text."""
        context = {columns["context"]: ""} if "context" in columns else {}
        return context | {
            columns.get("text", "question"): given.text,
            columns.get("options", "options"): list(given.options),
            columns.get("label", "answer"): LETTERS[target],
        }

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

    def answer(self, result: Any, given: Any, labels: Sequence[str]) -> AnswerRow:
        best = int(result.argmax())
        return {
            "choice": best,
            "answer": given.options[best],
            "probability": float(result[best]),
            "probabilities": result.tolist(),
        }
