"""Vectors of sentences, near each other where the sentences mean the same.

Learned from pairs. With a similarity for each, the cosine of the two vectors is brought to it (Reimers &
Gurevych 2019, section 3); with pairs that belong together, each text has to find its partner among all
partners of its batch (van den Oord et al. 2018; Henderson et al. 2017).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.models.family import HeadKind
from headstart.tasks.examples import Examples, TaskKind, is_missing
from headstart.tasks.facts import TaskFacts
from headstart.tasks.kinds.kind import (
    AnswerRow,
    Columns,
    Scored,
    Unusable,
    choose,
    choose_pair,
    pooled,
    read_text,
    texts_row,
)
from headstart.tasks.kinds.labels import SCORE_COLUMNS, number_in
from headstart.tasks.kinds.packing import EncodedWindow, encode_texts
from headstart.tokenizer.base import Tokenizer

TEMPERATURE = 0.05
"""Of the contrastive loss (Gao et al. 2021)."""


class Embedding(Scored):
    """A vector for each text."""

    name: TaskKind = "embedding"
    head: HeadKind = "features"
    roles = ("text", "pair", "label")
    answers = ("label",)
    wanted = "'text_a', 'text_b' and perhaps 'score'"

    def columns(self, row: Mapping[str, Any], mapped: Columns, asked: bool) -> dict[str, str] | None:
        """Never guessed: pairs with labels are more likely there to be classified."""
        both = choose_pair(row)
        if not asked or (both is None and not {"text", "pair"} <= set(mapped)):
            return None
        first, second = both or ("", "")
        columns = {"text": mapped.get("text", first), "pair": mapped.get("pair", second)}
        label = mapped.get("label") or choose(row, SCORE_COLUMNS)
        return columns | ({"label": label} if label else {})

    def read_input(self, where: str, row: Mapping[str, Any], columns: Columns) -> Any:
        text = read_text(where, row[columns["text"]])
        return (text, read_text(where, row[columns["pair"]])) if "pair" in columns else text

    def read_target(
        self, where: str, row: Mapping[str, Any], columns: Columns, given: Any, remarks: Counter[str]
    ) -> float | None:
        if "label" not in columns:
            return None
        if is_missing(row[columns["label"]]):
            raise Unusable("no similarity")
        number = number_in(row[columns["label"]])
        if number is None:
            raise HeadstartError(
                f"{where}: {str(row[columns['label']])[:40]!r} in {columns['label']!r} is no number, which a "
                "similarity is"
            )
        return number

    def row(self, given: Any, target: Any, columns: Columns) -> JSONObject:
        score = {} if target is None else {columns.get("label", "score"): target}
        return texts_row(given, columns) | score

    def as_input(self, value: Any) -> Any:
        if isinstance(value, str) or (isinstance(value, tuple) and len(value) == 2):
            return value
        raise HeadstartError("an embedding model takes a text, or a tuple of two to compare")

    def labels(self, train: Examples) -> list[str]:
        return []

    def encode(self, tokenizer: Tokenizer, inputs: Sequence[Any], max_tokens: int) -> list[EncodedWindow]:
        sides = [[one] if isinstance(one, str) else list(one) for one in inputs]
        owners = [(owner, side) for owner, texts in enumerate(sides) for side in range(len(texts))]
        return encode_texts(tokenizer, [sides[owner][side] for owner, side in owners], max_tokens, owners)

    def targets(
        self, train: Examples, pieces: Sequence[EncodedWindow], labels: Sequence[str]
    ) -> list[Tensor]:
        """The similarity from 0 to 1, or nothing."""
        if train.targets[0] is None:
            return [torch.zeros(0) for _ in pieces]
        low, high = min(train.targets), max(train.targets)
        return [
            torch.tensor([(train.targets[piece.owner] - low) / ((high - low) or 1.0)]) for piece in pieces
        ]

    def loss(self, outputs: Tensor, targets: Sequence[Tensor], pieces: Sequence[EncodedWindow]) -> Tensor:
        vectors = F.normalize(outputs, dim=-1)
        sides = torch.tensor([piece.side for piece in pieces])
        first, second = vectors[sides == 0], vectors[sides == 1]  # [pairs, D] each, in one order
        similarity = torch.cat(
            [target for target, piece in zip(targets, pieces, strict=True) if not piece.side]
        )
        if len(similarity):
            return ((first * second).sum(-1) - similarity).square().mean()
        scores = first @ second.T / TEMPERATURE  # [pairs, pairs]
        partner = torch.arange(len(scores))
        return (F.cross_entropy(scores, partner) + F.cross_entropy(scores.T, partner)) / 2

    def merge(
        self,
        pieces: Sequence[EncodedWindow],
        outputs: Sequence[np.ndarray],
        inputs: Sequence[Any],
        facts: TaskFacts,
    ) -> list[Any]:
        """Vectors of length 1, `[1, D]` for a text and `[2, D]` for two."""
        vectors = [np.stack(sides) for sides in pooled(pieces, outputs, len(inputs))]
        return [each / np.maximum(np.linalg.norm(each, axis=-1, keepdims=True), 1e-12) for each in vectors]

    def predicted(self, result: Any, given: Any, labels: Sequence[str]) -> Any:
        """The vectors of two texts `[2, D]`; of one its vector `[D]`."""
        return result if len(result) == 2 else result[0]

    def answer(self, result: Any, given: Any, labels: Sequence[str]) -> AnswerRow:
        if len(result) == 2:
            return {"similarity": float(result[0] @ result[1])}
        return {"embedding": result[0].tolist()}
