"""Questions whose answer is a span of a given text, or which the text does not answer.

The head scores every token of the context as the first and as the last of the answer; the first token of a
piece stands for "no answer" (Devlin et al. 2018, section 4.3). What is returned is cut out of the context
as it was given, character by character.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.models.family import HeadKind
from headstart.tasks.examples import Answer, Examples, TaskKind, is_missing
from headstart.tasks.facts import TaskFacts
from headstart.tasks.kinds.counted_answers import NOTHING, rows_at
from headstart.tasks.kinds.kind import (
    OPTION_COLUMNS,
    AnswerRow,
    Columns,
    Scored,
    Unusable,
    choose,
    read_text,
    softmax,
)
from headstart.tasks.kinds.label_values import is_truth, number_of
from headstart.tasks.kinds.packing import EncodedWindow, pair_windows, room_for_text
from headstart.tasks.kinds.spans import outside_graphemes, words_in
from headstart.tokenizer.base import Tokenizer

LONGEST_ANSWER = 30
"""Tokens (Devlin et al. 2018); without a bound two unrelated words make a span of a page."""
CANDIDATES = 20
"""Spans among which probability is shared out."""


@dataclass(frozen=True)
class Found:
    """The best span of a context, and what speaks for none."""

    start: int
    end: int
    """Characters of the context."""
    probability: float
    """Of this span, or of no answer where that won, among the best `CANDIDATES` and no answer."""
    answered: bool
    """Whether the context answers the question; false: the span is the best of what is not good enough."""
    margin: float
    """By how much the span's score is above that of no answer."""


class QuestionAnswering(Scored):
    """Extractive question answering, with and without answer."""

    name: TaskKind = "question-answering"
    head: HeadKind = "spans"
    roles = ("question", "context", "start", "impossible", "answers")
    answers = ("start", "impossible", "answers")
    optional = ("start", "impossible")
    wanted = "'question', 'context' and 'answers'"

    def columns(self, row: Mapping[str, Any], mapped: Columns, asked: bool) -> dict[str, str] | None:
        question = mapped.get("question") or choose(row, "question query")
        context = (
            mapped.get("context") or mapped.get("text") or choose(row, "context passage paragraph document")
        )
        answers = mapped.get("answers") or mapped.get("label") or choose(row, "answers answer answer_text")
        if question is None or context is None or answers is None:
            return None
        if not asked and (choose(row, OPTION_COLUMNS) is not None or not _may_be_answers(row, row[answers])):
            return None  # its answer is one of them, or yes or no
        found = {"question": question, "context": context}
        start = mapped.get("start") or choose(row, "answer_start answer_starts start")
        impossible = mapped.get("impossible") or choose(row, "is_impossible")
        found |= {"start": start} if start and not isinstance(row[answers], dict) else {}
        found |= {"impossible": impossible} if impossible else {}
        return found | {"answers": answers}

    def read_input(self, where: str, row: Mapping[str, Any], columns: Columns) -> tuple[str, str]:
        return (
            read_text(where, row[columns["question"]], "question"),
            read_text(where, row[columns["context"]], "context"),
        )

    def read_target(
        self, where: str, row: Mapping[str, Any], columns: Columns, given: Any, remarks: Counter[str]
    ) -> tuple[Answer, ...]:
        """The answers as they stand in the context; an example without any is not answerable."""
        _, context = given
        said = _said(where, row[columns["answers"]])
        if _is_true(row.get(columns.get("impossible", ""))):
            if said:
                remarks["questions are marked as impossible, so that their answers are not learned"] += 1
            return ()
        if "start" in columns:
            said = _with_starts(where, said, row.get(columns["start"]))
        found = []
        for text, start in said:
            answer = _placed(context, text, start)
            if answer is None:
                raise Unusable("an answer that does not occur in its context")
            if start is not None and answer.start != start:
                remarks["answers stood elsewhere than said, and were found there"] += 1
            whole = outside_graphemes(context, answer.start, answer.start + len(answer.text))
            if whole != (answer.start, answer.start + len(answer.text)):
                remarks["answers began or ended within a character and its signs, and were widened"] += 1
                answer = Answer(context[whole[0] : whole[1]], whole[0])
            found.append(answer)
        return tuple(found)

    def row(self, given: Any, target: Any, columns: Columns) -> JSONObject:
        said = {"text": [one.text for one in target], "answer_start": [one.start for one in target]}
        question, context = given
        return {
            columns.get("question", "question"): question,
            columns.get("context", "context"): context,
            columns.get("answers", "answers"): said,
        }

    def as_input(self, value: Any) -> tuple[str, str]:
        if isinstance(value, Mapping) and {"question", "context"} <= set(value):
            value = (value["question"], value["context"])
        if not isinstance(value, tuple) or len(value) != 2 or not all(isinstance(one, str) for one in value):
            raise HeadstartError(
                'a question comes with its context, as {"question": ..., "context": ...} or as a tuple'
            )
        return value

    def labels(self, train: Examples) -> list[str]:
        return ["start", "end"]

    def encode(self, tokenizer: Tokenizer, inputs: Sequence[Any], max_tokens: int) -> list[EncodedWindow]:
        """Windows over the context, each with the question; heads are "no answer" and the context's
        tokens."""
        room = room_for_text(tokenizer, max_tokens, pair=True)
        marked = tokenizer.with_special([-1], [-2])[0]
        opening, between = marked.index(-1), marked.index(-2) - marked.index(-1) - 1
        questions = tokenizer.encode_batch([question for question, _ in inputs])
        pieces = []
        for owner, (question, (_, context)) in enumerate(zip(questions, inputs, strict=True)):
            ids, spans = tokenizer.encode_spans(context)
            rows = _counted_rows(context, spans)
            for asked, window in pair_windows(len(question), len(ids), room):
                framed, types = tokenizer.with_special(
                    question[asked.start : asked.end], ids[window.start : window.end]
                )
                begin = opening + asked.end - asked.start + between
                tokens = np.arange(window.start, window.end)
                own = (tokens >= window.first) & (tokens < window.last)
                pieces.append(
                    EncodedWindow(
                        np.array(framed),
                        np.array([0, *range(begin, begin + len(tokens))]),
                        owner,
                        weight=max(1, int(own.sum())),
                        types=np.array(types),
                        items=np.concatenate([rows[-1:], rows[window.start : window.end]]),
                        spans=np.concatenate([np.zeros((1, 2), np.int64), spans[window.start : window.end]]),
                        own=np.array([True, *own]),
                    )
                )
        return pieces

    def targets(
        self, train: Examples, pieces: Sequence[EncodedWindow], labels: Sequence[str]
    ) -> list[Tensor]:
        """For each piece the heads at which the first answer begins and ends, `[1, 2]`; 0 where it has
        none, or not the whole of it."""
        return [torch.tensor([_heads_of(piece, train.targets[piece.owner])]) for piece in pieces]

    def facts(self, train: Examples, pieces: Sequence[EncodedWindow]) -> TaskFacts:
        return TaskFacts(unanswerable=not all(train.targets))

    def telling(self, targets: Sequence[Tensor]) -> list[bool] | None:
        return [bool(target.any()) for target in targets]

    def loss(self, outputs: Tensor, targets: Sequence[Tensor], pieces: Sequence[EncodedWindow]) -> Tensor:
        """Mean cross-entropy of the first and the last token."""
        sizes = [len(piece.heads) for piece in pieces]
        scores = _padded(outputs, sizes)  # [pieces, heads, 2]
        true = torch.cat(list(targets))  # [pieces, 2]
        return F.cross_entropy(scores.transpose(1, 2).reshape(2 * len(sizes), -1), true.reshape(-1))

    def merge(
        self,
        pieces: Sequence[EncodedWindow],
        outputs: Sequence[np.ndarray],
        inputs: Sequence[Any],
        facts: TaskFacts,
    ) -> list[Any]:
        """The best valid span over all windows of each context, as `Found`."""
        windows: list[list[tuple[EncodedWindow, np.ndarray]]] = [[] for _ in inputs]
        for piece, output in zip(pieces, outputs, strict=True):
            windows[piece.owner].append((piece, output))
        may_refuse = bool(facts.unanswerable)
        return [
            trimmed(best_span(mine, may_refuse), context)
            for mine, (_, context) in zip(windows, inputs, strict=True)
        ]

    def predicted(self, result: Found, given: Any, labels: Sequence[str]) -> str:
        return given[1][result.start : result.end] if result.answered else ""

    def answer(self, result: Found, given: Any, labels: Sequence[str]) -> AnswerRow:
        found: AnswerRow = {"answer": self.predicted(result, given, labels)}
        if result.answered:
            found |= {"start": result.start, "end": result.end}
        else:
            found["best_span"] = given[1][result.start : result.end]
        found |= {"probability": result.probability, "margin": result.margin}
        return found


def best_span(windows: Sequence[tuple[EncodedWindow, np.ndarray]], may_refuse: bool) -> Found:
    """The span whose first and last token score highest together, in any window.

    It begins at a token for which its window has most context, ends no earlier, and has at most
    `LONGEST_ANSWER` tokens. Where the data had questions without answer, it has to score higher than "no
    answer", of which the window that is least sure of it counts (Devlin et al. 2018, section 4.3).

    Args:
        windows: the pieces of one context with their outputs `[heads, 2]`.
    """
    spans: list[tuple[float, int, int]] = []
    nothing = min(float(output[0].sum()) for _, output in windows)
    for piece, output in windows:
        starts, ends = output[1:, 0], output[1:, 1]
        total = starts[:, None] + ends[None, :]
        first, last = np.indices(total.shape)
        filled = piece.spans[1:, 1] > piece.spans[1:, 0]
        valid = (last >= first) & (last < first + LONGEST_ANSWER) & piece.own[1:, None]
        valid &= filled[:, None] & filled[None, :]
        places = np.flatnonzero(valid)
        if not len(places):
            continue
        scores = total.flat[places]
        best = places[np.argsort(-scores, kind="stable")[:CANDIDATES]]
        for place in best:
            i, j = divmod(int(place), total.shape[1])
            spans.append((float(total[i, j]), int(piece.spans[1 + i, 0]), int(piece.spans[1 + j, 1])))
    spans.sort(key=lambda span: -span[0])
    if not spans:
        return Found(0, 0, 1.0, False, 0.0)  # a context without a word
    score, start, end = spans[0]
    shares = softmax(np.array([nothing if may_refuse else -np.inf, *(one[0] for one in spans[:CANDIDATES])]))
    answered = score > nothing or not may_refuse
    return Found(start, end, float(shares[1 if answered else 0]), answered, score - nothing)


def trimmed(found: Found, context: str) -> Found:
    """The span without blanks at its ends, which some tokens begin with, and with whole characters."""
    text = context[found.start : found.end]
    start = found.start + len(text) - len(text.lstrip())
    start, end = outside_graphemes(context, start, max(start, found.end - len(text) + len(text.rstrip())))
    return replace(found, start=start, end=end)


def _counted_rows(context: str, spans: np.ndarray) -> np.ndarray:
    """`[tokens + 1, 2]` the rows of counted scores for an answer that begins and one that ends with each
    token, and last those for no answer.

    Args:
        spans: `[tokens, 2]` the characters of tokens, which may begin or end with blanks.
    """
    words = words_in(context)
    bare = np.zeros_like(spans)
    for place, (start, end) in enumerate(spans):
        text = context[start:end]
        bare[place] = start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())
    return np.concatenate([rows_at(words, bare), np.full((1, 2), len(words) + NOTHING)])


def _padded(outputs: Tensor, sizes: Sequence[int]) -> Tensor:
    """Outputs `[heads of all pieces, 2]` as `[pieces, most heads, 2]`, with -inf behind the last."""
    return nn.utils.rnn.pad_sequence(
        list(outputs.split(list(sizes))), batch_first=True, padding_value=float("-inf")
    )


def _heads_of(piece: EncodedWindow, answers: Sequence[Answer]) -> list[int]:
    """The heads of the first answer's first and last token in a piece, both 0 where it is not whole."""
    if not answers:
        return [0, 0]
    text, begin = answers[0]
    end = begin + len(text)
    starts, ends = piece.spans[1:, 0], piece.spans[1:, 1]
    first = int(np.searchsorted(ends, begin, side="right"))  # the first token that ends behind its beginning
    last = int(np.searchsorted(starts, end, side="left")) - 1  # the last that begins before its end
    inside = len(starts) > 0 and starts[0] <= begin and ends[-1] >= end
    return [1 + first, 1 + last] if inside and first <= last else [0, 0]


def _may_be_answers(row: Mapping[str, Any], cell: Any) -> bool:
    """Whether a cell may hold words of a context: a truth value and a number do not, nor do options or an
    answer with a label beside them (QuAIL, MultiRC)."""
    if isinstance(cell, bool | int | float) or (isinstance(cell, str) and is_truth(cell)):
        return False
    texts = isinstance(cell, str) or (
        isinstance(cell, list) and len(cell) > 1 and all(isinstance(one, str) for one in cell)
    )
    return not texts or choose(row, "label answer_index correct correct_answer_id gold") is None


def _is_true(cell: Any) -> bool:
    """Whether a cell says yes: tables write it as text, databases as a letter."""
    if is_missing(cell):
        return False
    said = {"yes": 1, "y": 1, "t": 1, "no": 0, "n": 0, "f": 0}.get(str(cell).strip().lower(), number_of(cell))
    if said not in (0, 1):
        raise Unusable("a mark of what is impossible that says neither yes nor no")
    return bool(said)


def _with_starts(where: str, said: list[tuple[str, int | None]], cell: Any) -> list[tuple[str, int | None]]:
    """The answers with where they begin, which a column of its own says."""
    starts = cell if isinstance(cell, list) else [cell]
    if is_missing(cell) or len(starts) != len(said):
        return said
    try:
        return [(text, int(float(start))) for (text, _), start in zip(said, starts, strict=True)]
    except (TypeError, ValueError):
        raise HeadstartError(f"{where}: {str(cell)[:40]!r} does not say where an answer begins") from None


def _said(where: str, cell: Any) -> list[tuple[str, int | None]]:
    """Answers as data sets write them: `{"text": [...], "answer_start": [...]}`, a list of objects with
    `text` and `answer_start`, or a text alone."""
    if cell == [] or is_missing(cell):
        return []
    if isinstance(cell, str):
        return [(cell, None)]
    if isinstance(cell, list) and all(isinstance(one, dict) and "text" in one for one in cell):
        said = [(one["text"], one.get("answer_start")) for one in cell]
    elif isinstance(cell, list):
        said = [(one, None) for one in cell]
    elif isinstance(cell, dict) and isinstance(cell.get("text"), str):
        said = [(cell["text"], cell.get("answer_start"))]
    elif isinstance(cell, dict) and isinstance(cell.get("text"), list):
        starts = cell.get("answer_start") or [None] * len(cell["text"])
        if not isinstance(starts, list) or len(starts) != len(cell["text"]):
            raise HeadstartError(
                f"{where} has {len(cell['text'])} answers and {str(starts)[:40]} where they start; each "
                "needs a place"
            )
        said = list(zip(cell["text"], starts, strict=True))
    else:
        raise HeadstartError(
            f'{where}: answers are written {{"text": [...], "answer_start": [...]}}, as in SQuAD'
        )
    if not all(isinstance(text, str) and (start is None or isinstance(start, int)) for text, start in said):
        raise HeadstartError(f"{where}: an answer is a text and the number of its first character")
    return [(text, start) for text, start in said if text.strip()]


def _placed(context: str, text: str, start: int | None) -> Answer | None:
    """The answer where it stands in the context: where it was said to, or at the nearest one to that. Blanks
    around it may be the file's own."""
    if start is not None and context[max(0, start) : max(0, start) + len(text)] == text and start >= 0:
        return Answer(text, start)
    places = []
    place = context.find(text)
    while place >= 0:
        places.append(place)
        place = context.find(text, place + 1)
    if not places:
        return None if text == text.strip() else _placed(context, text.strip(), start)
    return Answer(text, min(places, key=lambda found: abs(found - (start or 0))))
