"""What labelled data is made of: inputs, what is right for each, and the task that they make up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Self

from headstart.folder import JSONObject

TaskKind = Literal[
    "classification",
    "multi-label",
    "regression",
    "tagging",
    "question-answering",
    "multiple-choice",
    "embedding",
    "text-to-text",
    "chat",
]

MAX_TEXT = 1_000_000
"""Characters; longer texts are left out and counted."""


class WordSequence(list[str]):
    """The words of a text, which know where they stand in it."""

    def __init__(self, text: str, spans: Sequence[tuple[int, int]]) -> None:
        """`spans` are where each word begins and ends in `text`, in characters."""
        super().__init__(text[start:end] for start, end in spans)
        self.text, self.spans = text, spans

    @classmethod
    def of(cls, words: Sequence[str]) -> Self:
        """These words in the text that joins them with one space each."""
        if isinstance(words, cls):
            return words
        spans, start = [], 0
        for word in words:
            spans.append((start, start + len(word)))
            start += len(word) + 1
        return cls(" ".join(words), spans)


class TagsOfWords(list[str]):
    """A tag for each word of a text that a row has in one piece, told apart by blanks."""

    def __init__(self, tags: Sequence[str], column: str) -> None:
        """`column` is the text's."""
        super().__init__(tags)
        self.column = column


@dataclass(frozen=True)
class Choices:
    """A text and what may be its answer or its end, one of which is right."""

    text: str
    options: tuple[str, ...]


class Message(NamedTuple):
    """One turn of a conversation."""

    role: str
    """"system", "user" or "assistant"."""
    content: str
    learned: bool = True
    """Whether an answer is one to learn from; data may hold wrong ones, with `"weight": 0`."""


@dataclass(frozen=True)
class Conversation:
    """What was said before an answer."""

    messages: tuple[Message, ...]

    @property
    def text(self) -> str:
        """All of it, a turn a line."""
        return "\n".join(f"{message.role}: {message.content}" for message in self.messages)


class Answer(NamedTuple):
    """A span of a question's context."""

    text: str
    start: int
    """Its first character."""


Pair = tuple[str, str]
"""Two texts; of a question it and its context."""
Input = Any
"""What a task reads: a text (str), two of them (`Pair`), the words of one (list[str]), `Choices` or a
`Conversation`."""
Target = Any
"""What is right for it: a label (str), a tag for each word (list[str]), all labels of a text (tuple[str,
...]), a number (float), the place of the right choice (int), all answers to a question (tuple[Answer, ...];
none: it has no answer), the ways to write a text (tuple[str, ...]), or None for a pair that belongs
together."""


@dataclass(frozen=True)
class Reading:
    """How labelled data were read, so that other files of the same data are read alike."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Role to column."""
    labels: tuple[str, ...] = ()
    """The labels in their order."""
    declared: bool = False
    """Whether the data name their labels themselves, those too that do not occur."""
    manner: str = ""
    """How the answers are written, where that can be said in several ways; see `Kind.settle`."""

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """What `as_dict` gave."""
        declared = bool(found.get("declared", False))
        return cls(
            dict(found.get("columns", {})), tuple(found.get("labels", ())), declared, found.get("manner", "")
        )

    def as_dict(self) -> JSONObject:
        return {
            "columns": dict(self.columns),
            "labels": list(self.labels),
            "declared": self.declared,
            "manner": self.manner,
        }


@dataclass(frozen=True)
class Examples:
    """Inputs with what is right for each, and what had to be said while they were read."""

    task: TaskKind
    inputs: list[Input]
    targets: list[Target]
    notes: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    """Examples of one group stay on one side of a split; empty: every example is a group."""
    in_words: bool = False
    """Whether the answers are to be written out as text, whatever the task is."""
    reading: Reading = field(default_factory=Reading)
    lines: list[int] = field(default_factory=list, compare=False)
    """The line of the file that each was read from (the row, of Parquet and JSON lists); empty: they come
    from several files, or from a folder."""

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def labels(self) -> list[str]:
        """The labels, or tags: those that the data declare, in that order, then others that occur, in the
        order of numbers or of the alphabet; none where answers are no labels."""
        occurring = self.occurring
        known = list(self.reading.labels)
        if not self.reading.declared:
            known = [label for label in known if label in set(occurring)]
        return known + [label for label in occurring if label not in set(known)]

    @property
    def occurring(self) -> list[str]:
        """The labels, or tags, of these examples, in the order of numbers or of the alphabet."""
        if self.task not in ("classification", "multi-label", "tagging"):
            return []
        return in_order(set(flatten(self.targets)))

    def subset(self, places: Iterable[int]) -> "Examples":
        """The examples at these places, in that order."""
        chosen = list(places)
        return replace(
            self,
            inputs=[self.inputs[i] for i in chosen],
            targets=[self.targets[i] for i in chosen],
            groups=[self.groups[i] for i in chosen] if self.groups else [],
            lines=[self.lines[i] for i in chosen] if self.lines else [],
        )


@dataclass(frozen=True)
class TaskData:
    """A named task: what to learn from, and what to be measured on, once."""

    name: str
    train: Examples
    test: Examples
    notes: list[str] = field(default_factory=list)
    validation: Examples | None = None
    """What chooses the best weights, where the data have such a part."""

    @property
    def kind(self) -> TaskKind:
        return self.train.task


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels that are numbers by their size, others by the alphabet."""
    found = sorted(labels)
    try:
        return sorted(found, key=float)
    except ValueError:
        return found


def flatten(targets: Sequence[Any]) -> list[str]:
    """All labels, or all tags of all words, in order."""
    return [label for target in targets for label in ([target] if isinstance(target, str) else target)]


def normalised(example: Any) -> str:
    """Equal for examples that differ in case and white space alone."""
    if isinstance(example, list):
        return " ".join(" ".join(example).split()).lower()
    if isinstance(example, Conversation):
        example = example.text
    if isinstance(example, Choices):
        example = (example.text, *example.options)
    parts = [example] if isinstance(example, str) else example
    return "\n".join(" ".join(part.split()) for part in parts).lower()


def is_missing(cell: Any) -> bool:
    """Whether a cell holds nothing; Parquet has NaN for it."""
    return (
        cell is None or cell != cell or (not isinstance(cell, list | dict | tuple) and not str(cell).strip())
    )
