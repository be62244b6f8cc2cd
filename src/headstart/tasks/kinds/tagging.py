"""A tag for every word: parts of speech, or entities as spans of words.

Labels live on characters: words know where they stand in their text (`WordSequence`), and what a model's
tokens are shows nowhere outside of `packing`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.models.family import HeadKind
from headstart.tasks.examples import MAX_TEXT, Examples, Reading, TagsOfWords, TaskKind, WordSequence
from headstart.tasks.facts import TaskFacts
from headstart.tasks.kinds.kind import (
    TEXT_COLUMNS,
    Answering,
    AnswerRow,
    Columns,
    Scored,
    Unusable,
    choose,
    numbered,
    read_text,
    softmax,
)
from headstart.tasks.kinds.label_values import named_by_place
from headstart.tasks.kinds.packing import EncodedWindow, encode_words
from headstart.tasks.kinds.span_borders import Counting, counting_of
from headstart.tasks.kinds.span_forms import are_spans, raw_spans
from headstart.tasks.kinds.spans import Span, outside_graphemes, tags_of, words_in
from headstart.tasks.metrics.entities import entities, marks_entities
from headstart.tokenizer.base import Tokenizer

NOT_LEARNED = -100
"""The number of a tag that has no loss, as `cross_entropy` knows it."""
MOST_CUT, FEW_CUT = 0.5, 5
"""A larger share of spans that are no whole words, so many at least, is an error of the data."""
WORD_COLUMNS = "tokens words token word"
TAG_COLUMNS = "tags tag ner_tags ner_tag pos_tags labels word_labels ner_labels pos upos ner"
SPAN_COLUMNS = "entities spans ents label labels annotations annotation ner"


class Tagging(Scored):
    """One tag for each word."""

    name: TaskKind = "tagging"
    head: HeadKind = "tagging"
    roles = ("words", "text", "label")
    wanted = "'tokens' and 'tags', or 'text' and 'entities'"

    def columns(self, row: Mapping[str, Any], mapped: Columns, asked: bool) -> dict[str, str] | None:
        tags = mapped.get("label") or choose(row, f"{TAG_COLUMNS} {SPAN_COLUMNS}")
        if tags is not None and isinstance(beside := row[tags], TagsOfWords):
            return {"words": mapped.get("words") or mapped.get("text") or beside.column, "label": tags}
        given = mapped.get("words") or mapped.get("text")
        listed = given and isinstance(row[given], list)
        words = given if listed or "words" in mapped else choose(row, WORD_COLUMNS)
        if given is None and words is None:
            text = choose(row, TEXT_COLUMNS)
            words = text if text is not None and isinstance(row[text], list) else None
        if words is not None and (_are_words(row[words]) or (asked and not isinstance(row[words], list))):
            tags = mapped.get("label") or choose(row, f"{TAG_COLUMNS} {SPAN_COLUMNS}", words)
            listed = tags is not None and (asked or isinstance(row[tags], list))
            if tags is not None and listed and not (are_spans(row[tags]) and row[tags]):
                return {"words": words, "label": tags}
        text = given or choose(row, TEXT_COLUMNS)
        spans = mapped.get("label") or choose(row, f"{SPAN_COLUMNS} {TAG_COLUMNS}", text)
        if text is None or spans is None:
            return None
        whole = choose(row, "cats") is not None or "label" in spans.lower()
        if not asked and (not are_spans(row[spans]) or (not row[spans] and whole)):
            return None  # an empty list is more likely there beside, or of, labels of the whole text
        return {"text": text, "label": spans}

    def read_input(self, where: str, row: Mapping[str, Any], columns: Columns) -> WordSequence:
        if "text" in columns:
            return words_in(read_text(where, row[columns["text"]]))
        cell = row[columns["words"]]
        if isinstance(cell, str):
            cell = cell.split()  # as the words of texts beside their tags are told apart
        if not isinstance(cell, list | None):
            raise HeadstartError(f"{where}: the words are no list of words, but {str(cell)[:40]}")
        if not cell:
            raise Unusable("no words")
        words = WordSequence.of([str(word) for word in cell])
        if len(words.text) > MAX_TEXT:
            raise Unusable("text over 1 MB")
        return words

    def settle(
        self,
        rows: Sequence[tuple[str, JSONObject]],
        columns: Columns,
        like: Reading | None,
        notes: list[str],
    ) -> str:
        """Spans are counted in characters from 0, with ends behind the last one; see `span_borders`. Numbers
        of tags become the names that training has for them."""
        if "text" not in columns:
            tagged = [row for _, row in rows if isinstance(row[columns["label"]], list)]
            flat = [tag for row in tagged for tag in row[columns["label"]]]
            names = iter(named_by_place(flat, like, columns["label"], notes))
            for row in tagged:
                row[columns["label"]] = [next(names) for _ in row[columns["label"]]]
            return ""
        read = []
        for where, row in rows:
            cell, text = row[columns["label"]], row[columns["text"]]
            if cell is None:
                continue  # a text that nobody has marked
            spans = raw_spans(where, cell)
            row[columns["label"]] = spans
            if not isinstance(text, list | dict) and len(str(text)) <= MAX_TEXT:
                read.append((where, row, str(text), spans))
        known = Counting.named(like.manner) if like is not None and like.manner else None
        counting, mended, cut = counting_of([(text, spans) for _, _, text, spans in read], known)
        count = sum(len(spans) for _, _, _, spans in read)
        if mended:
            notes.append(f"{mended:,} of {count:,} spans began or ended within a word: {counting}")
        if cut:
            notes.append(
                f"{cut:,} of {count:,} spans begin or end within a word; the words are learned whole, and "
                f"no answer is "
                "scored as such a span"
            )
        if cut > MOST_CUT * count and cut >= FEW_CUT:
            raise HeadstartError(
                f"{read[0][0]} and behind it: {cut:,} of {count:,} spans begin or end within a word, in "
                f"whatever way "
                "they are counted; correct the borders, or give words with their tags"
            )
        for where, row, text, spans in read:
            row[columns["label"]] = [Span(*counting.within(where, text, span), span.label) for span in spans]
        return counting.name

    def read_target(
        self, where: str, row: Mapping[str, Any], columns: Columns, given: Any, remarks: Counter[str]
    ) -> list[str]:
        cell = row[columns["label"]]
        if "text" in columns and cell is None:
            raise Unusable("no label")
        if not isinstance(cell, list):
            raise HeadstartError(f"{where}: tagging needs a list of words and a list of tags")
        if "text" in columns:
            return tags_of(given, _whole_spans(given.text, cell, remarks))
        if len(given) != len(cell):
            raise HeadstartError(
                f"{where} has {len(given)} words and {len(cell)} tags; every word needs one tag"
            )
        if None in cell:
            raise Unusable("no label")
        return [str(tag) for tag in cell]

    def row(self, given: Any, target: Any, columns: Columns) -> JSONObject:
        """Words with their tags, also where spans of a text were read."""
        said = {columns["text"]: WordSequence.of(given).text} if "text" in columns else {}
        tags = "tags" if said else columns.get("label", "tags")
        return said | {columns.get("words", "tokens"): list(given), tags: list(target)}

    def as_input(self, value: Any) -> WordSequence:
        if isinstance(value, str):
            return words_in(value)
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            return WordSequence.of(value)
        raise HeadstartError(f"a tagger takes a text or a list of words, not a {type(value).__name__}")

    def labels(self, train: Examples) -> list[str]:
        return train.labels

    def encode(self, tokenizer: Tokenizer, inputs: Sequence[Any], max_tokens: int) -> list[EncodedWindow]:
        return encode_words(tokenizer, inputs, max_tokens)

    def targets(
        self, train: Examples, pieces: Sequence[EncodedWindow], labels: Sequence[str]
    ) -> list[Tensor]:
        """The numbers of the tags of the words that a piece answers for, `[words]`; of several words of a
        span that one token holds, the first is learned."""
        number = numbered(labels)
        found = [
            torch.tensor([number[train.targets[piece.owner][i]] for i in piece.items], dtype=torch.long)
            for piece in pieces
        ]
        if marks_entities([["O", *labels]]):
            for its, piece in zip(found, pieces, strict=True):
                its[torch.from_numpy(shares_token(piece))] = NOT_LEARNED
        return found

    def loss(self, outputs: Tensor, targets: Sequence[Tensor], pieces: Sequence[EncodedWindow]) -> Tensor:
        return F.cross_entropy(outputs, torch.cat(list(targets)))

    def merge(
        self,
        pieces: Sequence[EncodedWindow],
        outputs: Sequence[np.ndarray],
        inputs: Sequence[Any],
        facts: TaskFacts,
    ) -> list[Any]:
        """Probabilities `[words, labels]`, of each word from the window that answers for it."""
        labels = outputs[0].shape[1]
        scores = [np.zeros((len(words), labels), dtype=np.float32) for words in inputs]
        for piece, output in zip(pieces, outputs, strict=True):
            scores[piece.owner][piece.items] = output
        return [softmax(each) for each in scores]

    def results(self, model: Answering, inputs: Sequence[Any]) -> list[Any]:
        """As `merge`; of several words that one token holds, such as two Chinese letters, those behind the
        first go on with its span."""
        pieces = self.encode(model.tokenizer, inputs, model.max_tokens)
        found = self.merge(pieces, model.outputs(pieces, inputs), inputs, model.facts)
        number = numbered(model.labels)
        for piece in pieces if marks_entities([["O", *model.labels]]) else ():
            for place in np.flatnonzero(shares_token(piece)):
                before, word = piece.items[place - 1], piece.items[place]
                chances = found[piece.owner][before].copy()
                best = model.labels[int(chances.argmax())]
                inside = number.get(f"I{best[1:]}") if best[0] == "B" else None
                if inside is not None:
                    chances[[number[best], inside]] = chances[[inside, number[best]]]
                found[piece.owner][word] = chances
        return found

    def predicted(self, result: Any, given: Any, labels: Sequence[str]) -> list[str]:
        return [labels[i] for i in result.argmax(-1)]

    def answer(self, result: Any, given: Any, labels: Sequence[str]) -> AnswerRow:
        """Words with their tags and the tags' probabilities; of tags that mark spans also the spans, with
        their characters in the text and the lowest probability of their tags."""
        words, tags, sure = (
            WordSequence.of(given),
            self.predicted(result, given, labels),
            result.max(-1).tolist(),
        )
        found: AnswerRow = {"words": list(words), "tags": tags, "probabilities": sure}
        if marks_entities([["O", *labels]]):
            found["entities"] = [
                {
                    "text": words.text[words.spans[first][0] : words.spans[last][1]],
                    "label": label,
                    "start": words.spans[first][0],
                    "end": words.spans[last][1],
                    "probability": min(sure[first : last + 1]),
                }
                for label, first, last in entities(tags)
            ]
        return found


def _are_words(cell: Any) -> bool:
    """Whether a cell is a list of words; Prodigy's tokens are objects, and its spans count characters."""
    return isinstance(cell, list) and not any(isinstance(one, dict) for one in cell)


def _whole_spans(text: str, spans: Sequence[Span], remarks: Counter[str]) -> list[Span]:
    """The spans in order, without blanks at their ends, and widened to whole signs."""
    found = []
    for start, end, label in spans:
        stripped = text[start:end].strip()
        if not stripped:
            remarks["spans of blanks alone left out"] += 1
            continue
        start += text[start:end].index(stripped)
        whole = outside_graphemes(text, start, start + len(stripped))
        if whole != (start, start + len(stripped)):
            remarks["spans began or ended within a character and its signs, and were widened"] += 1
        found.append(Span(*whole, label))
    found.sort()
    if any(before.end > after.start for before, after in pairwise(found)):
        remarks["texts with spans that overlap, of which the first keeps its words"] += 1
    return found


def shares_token(piece: EncodedWindow) -> np.ndarray:
    """`[words]` whether a word is read at the token of the word before it."""
    return np.concatenate([np.zeros(min(1, len(piece.heads)), dtype=bool), np.diff(piece.heads) == 0])
