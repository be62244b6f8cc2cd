"""Text to text: the model reads one text and writes another (Raffel et al. 2020).

Either the data say both texts (`TextToText`), or they are labelled for another task, whose inputs and answers
are put into words and whose answers are read back (`InWords`; the templates are those of `task_texts`).
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.generation.text import opened
from headstart.tasks.examples import Examples, Reading, TaskKind, WordSequence, flatten, is_missing
from headstart.tasks.facts import TaskFacts
from headstart.tasks.kinds.generative import Answered, Lesson, Writing
from headstart.tasks.kinds.kind import (
    TEXT_COLUMNS,
    AnswerRow,
    Columns,
    Scored,
    Unusable,
    choose,
    read_text,
)
from headstart.tasks.kinds.packing import EncodedWindow
from headstart.tasks.kinds.task_texts import answer_in_words, question_in_words, read_back
from headstart.tasks.metrics.entities import entities, marks_entities
from headstart.tokenizer.base import Tokenizer

BORDER = "\n"
"""What a decoder reads between a text and its answer."""
SOURCES = "input input_text source src article document dialogue text"
TARGETS = "target target_text output tgt summary highlights translation"
PREFIXES = "task prefix"


class TextBefore(Writing):
    """What both have in common: one text is read, then another is written."""

    @abstractmethod
    def source_text(self, given: Any) -> str:
        """What is read."""

    @abstractmethod
    def answer_text(self, target: Any, given: Any, labels: Sequence[str]) -> str:
        """What is to be written."""

    def prompt(self, tokenizer: Tokenizer, given: Any, decoder: bool) -> list[int]:
        ids = tokenizer.encode(self.source_text(given))
        if decoder:
            return opened(tokenizer, ids + tokenizer.encode(BORDER))
        return tokenizer.with_special(ids)[0]

    def lesson(
        self, tokenizer: Tokenizer, given: Any, target: Any, labels: Sequence[str], decoder: bool
    ) -> Lesson:
        read = self.prompt(tokenizer, given, decoder)
        answer = tokenizer.encode(self.answer_text(target, given, labels)) + tokenizer.closing
        if not decoder:
            return Lesson(read, answer, list(range(len(answer))))
        return Lesson(None, read + answer, list(range(len(read), len(read) + len(answer))))


class TextToText(TextBefore):
    """A text for a text; what a column `task` says stands before the source as its prefix."""

    name: TaskKind = "text-to-text"
    roles = ("source", "task", "target")
    answers = ("target",)
    wanted = "'input' and 'target'"

    def columns(self, row: Mapping[str, Any], mapped: Columns, asked: bool) -> dict[str, str] | None:
        target = mapped.get("target") or mapped.get("label") or choose(row, TARGETS)
        known = f"{SOURCES} {TEXT_COLUMNS}" if asked else SOURCES
        source = mapped.get("source") or mapped.get("text") or choose(row, known, target)
        if source is None or target is None:
            return None
        if not asked and not all(isinstance(row[column], str) for column in (source, target)):
            return None
        prefix = mapped.get("task") or choose(row, PREFIXES)
        return {"source": source} | ({"task": prefix} if prefix else {}) | {"target": target}

    def read_input(self, where: str, row: Mapping[str, Any], columns: Columns) -> str:
        source = read_text(where, row[columns["source"]], "source")
        if "task" not in columns or is_missing(row[columns["task"]]):
            return source
        return f"{str(row[columns['task']]).strip().removesuffix(':')}: {source}"

    def read_target(
        self, where: str, row: Mapping[str, Any], columns: Columns, given: Any, remarks: Counter[str]
    ) -> tuple[str, ...]:
        """The ways to write the answer, of which the first is learned."""
        cell = row[columns["target"]]
        ways = cell if isinstance(cell, list) else [cell]
        if not ways:
            raise Unusable("no target")
        return tuple(read_text(where, one, "target").strip() for one in ways)

    def row(self, given: Any, target: Any, columns: Columns) -> JSONObject:
        """A prefix stands in the source."""
        prefix = {columns["task"]: ""} if "task" in columns else {}
        wanted = target[0] if len(target) == 1 else list(target)
        return prefix | {columns.get("source", "input"): given, columns.get("target", "target"): wanted}

    def as_input(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, Mapping):
            columns = self.columns({**value, "no target": ""}, {"target": "no target"}, asked=True)
            if columns is not None:
                return self.read_input("the input", value, columns)
        raise HeadstartError(f"text to text takes a text, not {str(value)[:60]}")

    def source_text(self, given: str) -> str:
        return given

    def answer_text(self, target: Sequence[str], given: Any, labels: Sequence[str]) -> str:
        return target[0]


class InWords(TextBefore):
    """Another task as text to text: its inputs are read and its answers written in words."""

    def __init__(self, inner: Scored) -> None:
        self.inner, self.name = inner, inner.name
        self.roles, self.answers, self.wanted = inner.roles, inner.answers, inner.wanted
        self.optional = inner.optional

    def columns(self, row: Mapping[str, Any], mapped: Columns, asked: bool) -> dict[str, str] | None:
        return self.inner.columns(row, mapped, asked)

    def columns_read(self, row: Mapping[str, Any], columns: Columns) -> list[str]:
        return self.inner.columns_read(row, columns)

    def settle(
        self,
        rows: Sequence[tuple[str, JSONObject]],
        columns: Columns,
        like: Reading | None,
        notes: list[str],
    ) -> str:
        return self.inner.settle(rows, columns, like, notes)

    def read_input(self, where: str, row: Mapping[str, Any], columns: Columns) -> Any:
        return self.inner.read_input(where, row, columns)

    def read_target(
        self, where: str, row: Mapping[str, Any], columns: Columns, given: Any, remarks: Counter[str]
    ) -> Any:
        return self.inner.read_target(where, row, columns, given, remarks)

    def row(self, given: Any, target: Any, columns: Columns) -> JSONObject:
        return self.inner.row(given, target, columns)

    def as_input(self, value: Any) -> Any:
        return self.inner.as_input(value)

    def labels(self, train: Examples) -> list[str]:
        return train.labels

    def facts(self, train: Examples, pieces: Sequence[EncodedWindow]) -> TaskFacts:
        """The facts of any text, and what an answer that cannot be read counts as."""
        found = replace(super().facts(train, pieces), in_words=True, labels=self.labels(train))
        if self.name == "regression":
            return replace(found, mean=float(np.mean(train.targets)))
        if self.name == "tagging":
            return replace(found, commonest=Counter(flatten(train.targets)).most_common(1)[0][0])
        return found

    def source_text(self, given: Any) -> str:
        return question_in_words(self.name, given)

    def answer_text(self, target: Any, given: Any, labels: Sequence[str]) -> str:
        return answer_in_words(self.name, target, given, labels)

    def read(self, text: str, given: Any, labels: Sequence[str], facts: TaskFacts) -> Any:
        return read_back(self.name, text, given, labels, facts)

    def answer(self, result: Answered, given: Any, labels: Sequence[str]) -> AnswerRow:
        """The answer as a task model gives it, of its probabilities the one of what is written."""
        found = super().answer(result, given, labels)
        if result.written is None:
            return found
        target = result.target
        match self.name:
            case "classification":
                return {"label": target} | found
            case "multi-label":
                return {"labels": list(target)} | found
            case "regression":
                return {"score": target} | found
            case "question-answering":
                start = given[1].find(target) if target else -1
                answered: AnswerRow = {"answer": target}
                if start >= 0:
                    answered |= {"start": start, "end": start + len(target)}
                return answered | found
            case "multiple-choice":
                return {"choice": target, "answer": given.options[target]} | found
        words = WordSequence.of(given)
        tagged: AnswerRow = {"words": list(words), "tags": target}
        if marks_entities([["O", *labels]]):
            tagged["entities"] = [
                {"text": words.text[words.spans[first][0] : words.spans[last][1]], "label": label,
                 "start": words.spans[first][0], "end": words.spans[last][1]}
                for label, first, last in entities(target)
            ]  # fmt: skip
        return tagged | found
