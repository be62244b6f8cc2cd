"""What a kind of task is: how rows become examples, what the model reads of them, and which answers it gives.

Most kinds score labels with a head (`Scored`); those of `writing` write their answer. The life of an example:

    a row of a file   {"text": "A ship.", "label": "sea"}
      │ columns           which column has which role
      │ read_example      read_input and read_target
    an example        input "A ship.", target "sea"
      │ encode_examples   token ids between special tokens, a long text in windows
    pieces            ids [1, 52, 310, 9, 2]
      │ targets           what is right for each, as numbers
      │ loss              of the model's outputs for the pieces of a batch
    a trained model
      │ results           for inputs, which `as_input` makes of what a person gives; a head's outputs for all
      │                   windows of an input are merged, what a model has written is read
    a result
      ├ predicted         as a target, to be measured: "sea"
      └ answer            with all that is known of it: {"label": "sea", "probability": 0.93, ...}
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, Protocol, TypedDict

import numpy as np
import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.interchange.model_folder import LoadedModel
from headstart.models.family import HeadKind
from headstart.models.heads import Head
from headstart.tasks.examples import MAX_TEXT, Examples, Reading, TaskKind
from headstart.tasks.facts import TaskFacts
from headstart.tasks.kinds.packing import EncodedWindow
from headstart.tokenizer.base import Tokenizer

TEXT_COLUMNS = (
    "text sentence review review_text message mail email body content document comment comment_text tweet "
    "utterance reviewtext review_body question title data"
)
"""Names that a column of texts goes by, likeliest first."""
PAIR_COLUMNS = (
    "text_a text_b",
    "sentence1 sentence2",
    "sentence_a sentence_b",
    "premise hypothesis",
    "question1 question2",
    "text1 text2",
    "anchor positive",
    "query passage",
    "query document",
    "question passage",
    "question sentence",
    "question context",
    "question answer",
    "claim evidence",
    "text text_pair",
    "text hypothesis",
    "a b",
)
"""The same of two texts."""
OPTION_COLUMNS = "options choices endings choice"
"""The same of a list of options."""

Columns = Mapping[str, str]
"""Role to the name of the column that has it."""


class Unusable(Exception):
    """Why a row is no example; it is left out and counted."""


class Answering(Protocol):
    """A task model as a kind sees it."""

    tokenizer: Tokenizer
    labels: list[str]
    facts: TaskFacts

    @property
    def max_tokens(self) -> int:
        """How many tokens are read at once."""

    @property
    def cuts(self) -> bool:
        """Whether a text ends at `max_tokens` and is not read in windows."""

    def outputs(self, pieces: Sequence[EncodedWindow], inputs: Sequence[Any]) -> list[np.ndarray]:
        """The scores of each piece of the inputs, `[labels]` or `[heads, labels]`."""

    def as_loaded(self) -> LoadedModel:
        """Its body, which writes."""


class Entity(TypedDict):
    """A span that tags mark."""

    text: str
    label: str
    start: int
    """Its first character in the text."""
    end: int
    probability: NotRequired[float]
    """The lowest of its tags; not of a model that writes its answer."""


class AnswerRow(TypedDict, total=False):
    """An answer with all that is known of it, as JSON has it: each kind of task gives some of these."""

    id: Any
    """What the row of a file says."""
    line: int
    error: str
    """Why there is no answer."""
    label: str
    labels: list[str]
    score: float
    probability: float
    """Of what was answered."""
    probabilities: dict[str, float] | list[float]
    """Of labels by name; of options and of the words' tags in their order."""
    words: list[str]
    tags: list[str]
    entities: list[Entity]
    choice: int
    answer: str
    start: int
    end: int
    best_span: str
    """Of a question without an answer in the context."""
    margin: float
    text: str
    finish: Literal["length"]
    """The answer was cut off."""
    similarity: float
    embedding: list[float]


class Kind(ABC):
    """One kind of task. Everything that differs between tasks is here; the rest of `tasks` asks it."""

    name: TaskKind
    roles: tuple[str, ...]
    """What columns are there for, those of the answer last."""
    answers: tuple[str, ...] = ("label",)
    """The roles that a row to be predicted lacks."""
    optional: tuple[str, ...] = ()
    """The roles whose columns some rows may lack."""
    wanted: str
    """The columns in words, for a person whose file has none of them."""
    problem: str = "single_label_classification"
    """What transformers calls a classifier's scores."""

    @abstractmethod
    def columns(self, row: Mapping[str, Any], mapped: Columns, asked: bool) -> dict[str, str] | None:
        """The column of each role; None where the row lacks one, or is more likely another task's.

        Args:
            row: the first of a file.
            mapped: roles whose column somebody named; all of those columns are there.
            asked: whether somebody named the task.
        """

    def columns_read(self, row: Mapping[str, Any], columns: Columns) -> list[str]:
        """All columns of a row that are read, where a role stands for several too."""
        del row
        return list(columns.values())

    def settle(
        self,
        rows: Sequence[tuple[str, JSONObject]],
        columns: Columns,
        like: Reading | None,
        notes: list[str],
    ) -> str:
        """See how the answers of a whole file are written, where that can be said in several ways, and write
        them in
        one: 0.0 as 0, a place counted from 1 as one from 0. `read_target` then reads them row by row.

        Args:
            rows: where each stands, and what it holds in the columns read; changed in place.
            like: how the data were read that a model has learned from.
            notes: takes up what there is to say.

        Returns:
            The manner in which they were written.
        """
        del rows, columns, like, notes
        return ""

    @abstractmethod
    def read_input(self, where: str, row: Mapping[str, Any], columns: Columns) -> Any:
        """The input in a row; `Unusable` where it has none, `HeadstartError` where it is something else."""

    @abstractmethod
    def read_target(
        self, where: str, row: Mapping[str, Any], columns: Columns, given: Any, remarks: Counter[str]
    ) -> Any:
        """What is right for the input `given`; what had to be repaired is counted in `remarks`."""

    def read_example(
        self, where: str, row: Mapping[str, Any], columns: Columns, remarks: Counter[str]
    ) -> tuple[Any, Any]:
        """The example in a row."""
        given = self.read_input(where, row, columns)
        return given, self.read_target(where, row, columns, given, remarks)

    @abstractmethod
    def row(self, given: Any, target: Any, columns: Columns) -> JSONObject:
        """The row that `read_example` reads as this example.

        Args:
            columns: what the columns are to be called, by role; roles that are not in it have usual names.
        """

    @abstractmethod
    def as_input(self, value: Any) -> Any:
        """What a person hands to `predict`, as an input; a `HeadstartError` where it cannot be one."""

    @abstractmethod
    def head_of(self, architecture: str) -> HeadKind:
        """The family's head that it trains; a `HeadstartError` where a model of that architecture has
        none."""

    def prepared(self, loaded: LoadedModel) -> LoadedModel:
        """The pre-trained model with what the kind needs beside its weights."""
        return loaded

    @abstractmethod
    def labels(self, train: Examples) -> list[str]:
        """What the head's outputs are called, or which labels an answer may have."""

    @abstractmethod
    def encode_examples(
        self,
        tokenizer: Tokenizer,
        train: Examples,
        labels: Sequence[str],
        max_tokens: int,
        begins: int | None,
    ) -> list[EncodedWindow]:
        """Pieces of at most `max_tokens` to learn from, in the order of the examples; see `packing`.

        Args:
            begins: the id with which the decoder of an encoder-decoder begins; None: another architecture.
        """

    @abstractmethod
    def targets(
        self, train: Examples, pieces: Sequence[EncodedWindow], labels: Sequence[str]
    ) -> list[Tensor]:
        """What is right for each piece, as numbers."""

    def telling(self, targets: Sequence[Tensor]) -> list[bool] | None:
        """Which pieces hold the answer, where some windows of an example do and others do not."""
        del targets
        return None

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Sequence[Tensor], pieces: Sequence[EncodedWindow]) -> Tensor:
        """The loss of a batch.

        Args:
            outputs: of the model for `pieces`: `[pieces, labels]`, or `[heads of all pieces, labels]`, or of
                a model that writes `[heads of all pieces, V]`.
            targets: of the same pieces.
        """

    def facts(self, train: Examples, pieces: Sequence[EncodedWindow]) -> TaskFacts:
        """What answering will have to know of the training data."""
        del train, pieces
        return TaskFacts()

    @abstractmethod
    def results(self, model: "Answering", inputs: Sequence[Any]) -> list[Any]:
        """One result for each input."""

    @abstractmethod
    def predicted(self, result: Any, given: Any, labels: Sequence[str]) -> Any:
        """A result as a target."""

    @abstractmethod
    def answer(self, result: Any, given: Any, labels: Sequence[str]) -> AnswerRow:
        """A result with all that is known of it, ready for JSON."""


class Scored(Kind):
    """A kind whose answers are read off the scores of a head."""

    head: HeadKind
    """The family's head that it trains."""

    def head_of(self, architecture: str) -> HeadKind:
        return self.head

    @abstractmethod
    def encode(self, tokenizer: Tokenizer, inputs: Sequence[Any], max_tokens: int) -> list[EncodedWindow]:
        """Pieces of at most `max_tokens`, in the order of the inputs; see `packing`."""

    def encode_examples(
        self,
        tokenizer: Tokenizer,
        train: Examples,
        labels: Sequence[str],
        max_tokens: int,
        begins: int | None,
    ) -> list[EncodedWindow]:
        return self.encode(tokenizer, train.inputs, max_tokens)

    def begin(self, head: Head, train: Examples) -> None:
        """Change a new head's weights by what the targets are like, before the first step."""
        del head, train

    def results(self, model: "Answering", inputs: Sequence[Any]) -> list[Any]:
        pieces = self.encode(model.tokenizer, inputs, model.max_tokens)
        if model.cuts:
            pieces = first_windows(pieces)
        return self.merge(pieces, model.outputs(pieces, inputs), inputs, model.facts)

    @abstractmethod
    def merge(
        self,
        pieces: Sequence[EncodedWindow],
        outputs: Sequence[np.ndarray],
        inputs: Sequence[Any],
        facts: TaskFacts,
    ) -> list[Any]:
        """One result for each input out of the outputs of all their windows.

        Args:
            outputs: of each piece, `[labels]` or `[heads, labels]`, as the model gives them.
            facts: what the model's folder says of its training.
        """


def first_windows(pieces: Sequence[EncodedWindow]) -> list[EncodedWindow]:
    """Of each text the window that begins it."""
    return list({(piece.owner, piece.side): piece for piece in reversed(pieces)}.values())[::-1]


def choose(row: Mapping[str, Any], names: str, taken: str | None = None) -> str | None:
    """The column of `row` that comes first among `names`, written in any case; not the one taken."""
    by_name = {str(column).strip().lower(): column for column in row if column != taken}
    return next((by_name[name] for name in names.split() if name in by_name), None)


def choose_pair(row: Mapping[str, Any], taken: str | None = None) -> tuple[str, str] | None:
    """The columns of two texts, by their names; not the one taken."""
    for names in PAIR_COLUMNS:
        first, second = (choose(row, name, taken) for name in names.split())
        if first is not None and second is not None:
            return first, second
    return None


def read_text(where: str, cell: Any, what: str = "text") -> str:
    """The text in a cell."""
    if cell is None or not str(cell).strip():
        raise Unusable(f"empty {what}")
    if isinstance(cell, list | dict):
        raise HeadstartError(f"{where}: the {what} is a {type(cell).__name__}, not a string")
    if len(str(cell)) > MAX_TEXT:
        raise Unusable(f"{what} over 1 MB")
    return str(cell)


def texts_row(given: Any, columns: Columns) -> JSONObject:
    """The columns of a text, or of the two of a pair."""
    if isinstance(given, str):
        return {columns.get("text", "text"): given}
    names = columns.get("text", "text_a"), columns.get("pair", "text_b")
    return dict(zip(names, given, strict=True))


def pooled(
    pieces: Sequence[EncodedWindow], outputs: Sequence[np.ndarray], count: int
) -> list[list[np.ndarray]]:
    """For each of `count` inputs the outputs of its sides, `[labels]` each: the mean over the windows of
    a side, weighted by the tokens that each answers for."""
    sums: list[dict[int, Any]] = [{} for _ in range(count)]
    weights: list[dict[int, int]] = [{} for _ in range(count)]
    for piece, output in zip(pieces, outputs, strict=True):
        mine, my_weights = sums[piece.owner], weights[piece.owner]
        mine[piece.side] = mine.get(piece.side, 0.0) + piece.weight * output
        my_weights[piece.side] = my_weights.get(piece.side, 0) + piece.weight
    return [
        [total[side] / weight[side] for side in sorted(total)]
        for total, weight in zip(sums, weights, strict=True)
    ]


def numbered(labels: Sequence[str]) -> dict[str, int]:
    """The place of each label."""
    return {label: index for index, label in enumerate(labels)}


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis."""
    return torch.from_numpy(np.asarray(scores, dtype=np.float32)).softmax(-1).numpy()
