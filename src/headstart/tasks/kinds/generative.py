"""Tasks whose answer is a text that the model writes.

A decoder reads the prompt and goes on behind it; an encoder-decoder reads it on its encoder's side and begins
a text of its own. Nothing is cut: an input that the model cannot read whole gets no answer.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from headstart.errors import HeadstartError
from headstart.generation.config import GenerationConfig
from headstart.generation.text import generate
from headstart.interchange.model_folder import LoadedModel
from headstart.models.family import HeadKind
from headstart.tasks.examples import Examples
from headstart.tasks.kinds.kind import Kind
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

    @property
    def answer(self) -> list[int]:
        """The last answer and its end."""
        start = len(self.wanted) - 1
        while start and self.wanted[start - 1] == self.wanted[start] - 1:
            start -= 1
        return [self.row[place] for place in self.wanted[start:]]


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

    def facts(self, train: Examples) -> dict[str, Any]:
        """What is kept with the model, for `read` to need."""
        del train
        return {}

    def read(self, text: str, given: Any, labels: Sequence[str], facts: Mapping[str, Any]) -> Any:
        """A written text as a target; "" where nothing could be written."""
        del given, labels, facts
        return text

    def predicted(self, result: Answered, given: Any, labels: Sequence[str]) -> Any:
        return result.target

    def answer(self, result: Answered, given: Any, labels: Sequence[str]) -> dict[str, Any]:
        if result.written is None:
            return {"error": result.problem}
        ended = {} if result.written.ended else {"finish": "length"}
        return {"text": result.written.text, "probability": result.written.probability} | ended

    def answered(
        self, loaded: LoadedModel, inputs: Sequence[Any], labels: Sequence[str], facts: Mapping[str, Any]
    ) -> list[Answered]:
        """One result for each input."""
        decoder = loaded.model.config.architecture == "decoder"
        prompts = [self.prompt(loaded.tokenizer, one, decoder) for one in inputs]
        found = []
        for prompt, given, written in zip(prompts, inputs, write(loaded, prompts), strict=True):
            target = self.read(written.text if written else "", given, labels, facts)
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
