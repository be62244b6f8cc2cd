"""Tasks whose answer is a text that the model writes.

A decoder reads the prompt and goes on behind it; an encoder-decoder reads it on its encoder's side and begins
a text of its own. Nothing is cut: an input that the model cannot read whole gets no answer.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.generation.config import GenerationConfig
from headstart.generation.text import generate
from headstart.interchange.model_folder import LoadedModel
from headstart.models.family import HeadKind
from headstart.tasks.examples import Examples
from headstart.tasks.facts import TaskFacts
from headstart.tasks.kinds.kind import Answering, AnswerRow, Kind
from headstart.tasks.kinds.packing import EncodedWindow
from headstart.tokenizer.base import Tokenizer

BATCH_TOKENS = 8192
"""Tokens of prompts and of answers in the making, at once."""


class Lesson(NamedTuple):
    """An example as tokens."""

    source: list[int] | None
    """What an encoder-decoder reads; None in a decoder, whose row holds everything."""
    row: list[int]
    """Of a decoder prompt, answers and what ends them; of an encoder-decoder the answer and its end."""
    wanted: list[int]
    """Places in `row` of the tokens that are to be written."""

    @property
    def length(self) -> int:
        """Of the longer side."""
        return max(len(self.source or ()), len(self.row))

    def piece(self, owner: int, begins: int | None) -> EncodedWindow:
        """The example as the model reads it.

        Args:
            begins: the id with which the decoder of an encoder-decoder begins; None: a decoder's row has its
                own.
        """
        items = np.array([self.row[place] for place in self.wanted], dtype=np.int64)
        heads = np.array(self.wanted, dtype=np.int64)
        if begins is None:
            return EncodedWindow(np.array(self.row[:-1], dtype=np.int64), heads - 1, owner, items=items)
        ids, source = np.array([begins, *self.row[:-1]]), np.array(self.source or (), dtype=np.int64)
        return EncodedWindow(ids, heads, owner, items=items, source=source)


class Written(NamedTuple):
    """What a model wrote."""

    text: str
    probability: float
    """Of its tokens together, as the model sees them."""
    ended: bool
    """Whether the model ended it, and not the largest number of tokens."""


@dataclass(frozen=True)
class Answered:
    """A written answer and what it stands for."""

    target: Any
    written: Written | None
    """None: the model could not read the input."""
    problem: str = ""
    """Why not."""


class Writing(Kind):
    """A kind whose answer is written, token by token."""

    def labels(self, train: Examples) -> list[str]:
        del train
        return []

    @abstractmethod
    def prompt(self, tokenizer: Tokenizer, given: Any, decoder: bool) -> list[int]:
        """All that the model reads before it writes, special tokens included."""

    @abstractmethod
    def lesson(
        self, tokenizer: Tokenizer, given: Any, target: Any, labels: Sequence[str], decoder: bool
    ) -> Lesson:
        """An example as the model learns from it."""

    def head_of(self, architecture: str) -> HeadKind:
        return writing_head(architecture)

    def lessons(
        self, tokenizer: Tokenizer, given: Any, target: Any, labels: Sequence[str], decoder: bool
    ) -> list[Lesson]:
        """The same, where what is learned from an example takes several rows of tokens."""
        return [self.lesson(tokenizer, given, target, labels, decoder)]

    def encode_examples(
        self,
        tokenizer: Tokenizer,
        train: Examples,
        labels: Sequence[str],
        max_tokens: int,
        begins: int | None,
    ) -> list[EncodedWindow]:
        """A piece for each lesson of at most `max_tokens` tokens; longer ones are left out. The lessons of
        one example are its sides, so that a step reads them together.

        A piece holds the tokens before each that is written; its heads are where one is foreseen, its items
        which.

        Raises:
            HeadstartError: all examples are longer.
        """
        every = [
            self.lessons(tokenizer, given, target, labels, begins is None)
            for given, target in zip(train.inputs, train.targets, strict=True)
        ]
        pieces = [
            replace(lesson.piece(owner, begins), side=side)
            for owner, lessons in enumerate(every)
            for side, lesson in enumerate(lessons)
            if lesson.length <= max_tokens
        ]
        if not pieces:
            shortest = min(one.length for lessons in every for one in lessons)
            raise HeadstartError(
                f"all {len(every):,} examples are longer than max_tokens={max_tokens}, the shortest has "
                f"{shortest}; raise max_tokens"
            )
        return pieces

    def targets(
        self, train: Examples, pieces: Sequence[EncodedWindow], labels: Sequence[str]
    ) -> list[Tensor]:
        """The ids that are to be written, `[w]` for each piece."""
        return [torch.from_numpy(piece.items) for piece in pieces]

    def loss(self, outputs: Tensor, targets: Sequence[Tensor], pieces: Sequence[EncodedWindow]) -> Tensor:
        """Cross-entropy in nats a token, each foreseen from what is right before it (teacher forcing)."""
        return F.cross_entropy(outputs, torch.cat(list(targets)))

    def facts(self, train: Examples, pieces: Sequence[EncodedWindow]) -> TaskFacts:
        """How long answers may become."""
        return TaskFacts(longest=max(_last_run(piece.heads) for piece in pieces))

    def read(self, text: str, given: Any, labels: Sequence[str], facts: TaskFacts) -> Any:
        """A written text as a target; "" where nothing could be written."""
        del given, labels, facts
        return text

    def predicted(self, result: Answered, given: Any, labels: Sequence[str]) -> Any:
        return result.target

    def answer(self, result: Answered, given: Any, labels: Sequence[str]) -> AnswerRow:
        if result.written is None:
            return {"error": result.problem}
        found: AnswerRow = {"text": result.written.text, "probability": result.written.probability}
        if not result.written.ended:
            found["finish"] = "length"
        return found

    def results(self, model: Answering, inputs: Sequence[Any]) -> list[Answered]:
        loaded = model.as_loaded()
        decoder = loaded.model.config.architecture == "decoder"
        prompts = [self.prompt(loaded.tokenizer, one, decoder) for one in inputs]
        found = []
        for prompt, given, written in zip(prompts, inputs, write(loaded, prompts), strict=True):
            target = self.read(written.text if written else "", given, model.labels, model.facts)
            problem = "" if written else _too_long(len(prompt), room(loaded))
            found.append(Answered(target, written, problem))
        return found


def writing_head(architecture: str) -> HeadKind:
    """What a model that writes is saved as; an encoder is a `HeadstartError`."""
    if architecture == "encoder":
        raise HeadstartError(
            "an encoder writes no text; take a decoder or an encoder-decoder, or a task that a head answers"
        )
    return "causal" if architecture == "decoder" else "text-to-text"


def _last_run(places: np.ndarray) -> int:
    """How many of the last places follow each other without a gap."""
    gaps = np.flatnonzero(np.diff(places) > 1)
    return len(places) - (int(gaps[-1]) + 1 if len(gaps) else 0)


def room(loaded: LoadedModel) -> int:
    """How many tokens of a prompt the model reads: a decoder needs a place for its answer."""
    config = loaded.model.config
    return config.context - (config.architecture == "decoder")


def write(loaded: LoadedModel, prompts: Sequence[list[int]]) -> list[Written | None]:
    """What the model writes for each prompt, by its folder's settings and without chance; None for a prompt
    that is too long for it.

    Prompts of like lengths go together. A decoder's row ends where its context does.
    """
    config = GenerationConfig.of(loaded, temperature=0.0, logprobs=True)
    slides = loaded.model.config.architecture == "decoder"
    found: list[Written | None] = [None] * len(prompts)
    for batch in _batches([len(prompt) for prompt in prompts], room(loaded), config.max_new_tokens):
        longest = max(len(prompts[place]) for place in batch)
        most = config.max_new_tokens
        if slides:
            most = min(most, loaded.model.config.context - longest)
        its = GenerationConfig.of(loaded, temperature=0.0, logprobs=True, max_new_tokens=most)
        for place, text in zip(batch, generate(loaded, [prompts[i] for i in batch], its), strict=True):
            probability = math.exp(sum(text.logprobs or ()))
            found[place] = Written(text.text.strip(), probability, text.finish == "stop")
    return found


def _batches(sizes: Sequence[int], room: int, longest: int) -> Iterator[list[int]]:
    """Places of prompts that fit, longest first; one that leaves less than `longest` tokens is alone, so that
    what is written for a prompt does not depend on the others."""
    fitting = [place for place in sorted(range(len(sizes)), key=lambda i: -sizes[i]) if sizes[place] <= room]
    batch: list[int] = []
    for place in fitting:
        if sizes[place] + longest > room:
            yield [place]
            continue
        if batch and (len(batch) + 1) * (sizes[batch[0]] + longest) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _too_long(tokens: int, most: int) -> str:
    return f"the input has {tokens:,} tokens, and this model reads {most:,}"
