"""A language model as it is, asked by a prompt with a few solved examples in it (Brown et al. 2020).

Labels and options are picked by their likelihood behind the prompt; any other answer is what the model
writes, up to the end of the line, without chance. Nothing is trained.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.errors import HeadstartError, nearest
from headstart.evaluation.likelihood import asked_for, likelihoods, must_foresee
from headstart.generation.config import GenerationConfig
from headstart.generation.text import generate, opened
from headstart.interchange.model_folder import LoadedModel
from headstart.tasks.examples import Choices, Conversation, Examples
from headstart.tasks.facts import TaskFacts
from headstart.tasks.kinds.task_texts import answer_in_words, read_back
from headstart.tasks.metrics.entities import marks_entities

RULES = {
    "none": "by the log-probability of its tokens",
    "length": "by the log-probability of its tokens, divided by its bytes",
    "unconditional": "by the log-probability of its tokens, less that behind the same prompt without a text "
    "(Zhao et al. 2021)",
}
SEPARATOR = "\n\n"
"""Between solved examples."""
NO_TEXT = "N/A"
"""What stands for a text that says nothing."""
MOST_WRITTEN = 64
"""Tokens of an answer that is written."""
CHUNK = 32
"""Questions whose prompts are held at once."""


class Prompted:
    """Answers as a task model gives them, out of a language model."""

    def __init__(
        self,
        loaded: LoadedModel,
        train: Examples,
        shots: int,
        seed: int = 0,
        normalise: str = "none",
        labels: Sequence[str] | None = None,
    ) -> None:
        """
        Args:
            train: where the solved examples come from, and the labels.
            shots: how many of them stand before each question; see `solved`.
            seed: chooses them.
            normalise: how labels and options are compared.
            labels: what to choose among; None: those of `train`.

        Raises:
            HeadstartError: a model that foresees nothing, too few examples, or a task without words.
        """
        must_foresee(loaded)
        if normalise not in RULES:
            raise HeadstartError(f"labels are not normalised by {normalise!r}{nearest(normalise, RULES)}")
        if train.task == "embedding":
            raise HeadstartError("embedding has no answer in words, and cannot be prompted")
        self.loaded, self.task, self.normalise = loaded, train.task, normalise
        self.labels = list(labels if labels is not None else train.labels)
        self.shown = solved(train, shots, seed)
        self.solved = [
            f"{self.question(given)} {self.said(target, given)}{SEPARATOR}"
            for given, target in zip(self.shown.inputs, self.shown.targets, strict=True)
        ]
        self.fewer = self.cut = 0
        """How many of the questions had no room for all solved examples, and not even for themselves."""
        numbers = train.targets if train.task == "regression" else []
        tags = [tag for tags in train.targets for tag in tags] if train.task == "tagging" else []
        self.facts = TaskFacts(
            mean=float(np.mean(numbers)) if numbers else 0.0,
            commonest=max(set(tags), key=tags.count) if tags else "O",
        )

    @property
    def picks(self) -> bool:
        """Whether answers are picked by likelihood, and not written."""
        return self.task in ("classification", "multiple-choice")

    def question(self, given: Any) -> str:
        """A prompt's last lines, whose end is where the answer begins."""
        match self.task:
            case "question-answering":
                return f"Context: {given[1]}\nQuestion: {given[0]}\nAnswer:"
            case "multiple-choice":
                return f"{given.text}\nAnswer:"
            case "tagging":
                what = "Entities" if marks_entities([["O", *self.labels]]) else "Tags"
                return f"Text: {' '.join(given)}\n{what}:"
            case "text-to-text":
                return f"Input: {given}\nOutput:"
            case "chat":
                return f"{given.text}\nassistant:"
        text = f"Text: {given}" if isinstance(given, str) else f"First: {given[0]}\nSecond: {given[1]}"
        return text + {"multi-label": "\nLabels:", "regression": "\nScore:"}.get(self.task, "\nLabel:")

    def said(self, target: Any, given: Any) -> str:
        """A right answer."""
        if self.task == "multiple-choice":
            return str(given.options[target])
        if self.task in ("text-to-text", "chat"):
            return " ".join(target[0].split())
        return answer_in_words(self.task, target, given, self.labels)

    def rule(self) -> str:
        """How answers come about, with the prompt itself, for the report."""
        example = self.question(_placeholder(self.task)).replace("\n", "⏎")
        way = (
            f"the answer is picked {RULES[self.normalise]}"
            if self.picks
            else f"the answer is what the model writes up to a line break (at most {MOST_WRITTEN} tokens)"
        )
        return f"Prompted with {example!r}, solved examples before it; {way}."

    def predict(self, inputs: Sequence[Any]) -> list[Any]:
        """One answer for each input, as it would stand in labelled data."""
        found: list[Any] = []
        for first in range(0, len(inputs), CHUNK):
            chunk = inputs[first : first + CHUNK]
            found += self._picked(chunk) if self.picks else self._written(chunk)
        return found

    def _picked(self, inputs: Sequence[Any]) -> list[Any]:
        options = [self.labels if self.task == "classification" else one.options for one in inputs]
        scores = self._scores([self.question(one) for one in inputs], options)
        if self.normalise == "length":
            scores = [
                its / [len(option.encode()) for option in own]
                for its, own in zip(scores, options, strict=True)
            ]
        if self.normalise == "unconditional":
            empty = self.question(_placeholder(self.task, NO_TEXT))
            alike = list(dict.fromkeys(tuple(own) for own in options))
            behind_nothing = dict(zip(alike, self._scores([empty] * len(alike), alike, False), strict=True))
            scores = [its - behind_nothing[tuple(own)] for its, own in zip(scores, options, strict=True)]
        best = [int(its.argmax()) for its in scores]
        return [self.labels[i] for i in best] if self.task == "classification" else best

    def _scores(
        self, questions: Sequence[str], options: Sequence[Sequence[str]], counted: bool = True
    ) -> list[np.ndarray]:
        """The log-probability of each option behind its question."""
        longest = [max((f" {option}" for option in own), key=len) for own in options]
        prompts = [self._prompt(q, len(self.loaded.tokenizer.encode(end)), counted)
                   for q, end in zip(questions, longest, strict=True)]  # fmt: skip
        asked = [
            asked_for(self.loaded, prompt, f" {option}")
            for prompt, own in zip(prompts, options, strict=True)
            for option in own
        ]
        found = np.array([one.logprob for one in likelihoods(self.loaded, asked)])
        return np.split(found, np.cumsum([len(own) for own in options])[:-1])

    def _written(self, inputs: Sequence[Any]) -> list[Any]:
        prompts = [self._prompt(self.question(one), MOST_WRITTEN, True) for one in inputs]
        config = GenerationConfig.of(
            self.loaded, temperature=0.0, max_new_tokens=MOST_WRITTEN, stop=("\n",), beams=1
        )
        texts = [one.text.strip() for one in generate(self.loaded, prompts, config)]
        if self.task in ("text-to-text", "chat"):
            return texts
        return [
            read_back(self.task, text, one, self.labels, self.facts)
            for text, one in zip(texts, inputs, strict=True)
        ]

    def _prompt(self, question: str, answer: int, counted: bool) -> str:
        """As many solved examples as there is room for beside the question and `answer` tokens, and it."""
        tokenizer = self.loaded.tokenizer
        room = self.loaded.model.config.context - answer
        for left_out in range(len(self.solved) + 1):
            prompt = "".join([*self.solved[left_out:], question])
            if len(opened(tokenizer, tokenizer.encode(prompt))) <= room:
                self.fewer += counted and left_out > 0
                return prompt
        self.cut += counted
        return question

    def notes(self) -> list[str]:
        """What the questions answered so far had no room for."""
        found = []
        if self.fewer:
            found.append(
                f"{len(self.solved)} shots: {self.fewer:,} questions had no room for all solved examples"
            )
        if self.cut:
            found.append(
                f"{len(self.solved)} shots: {self.cut:,} questions were longer than the model reads and lost "
                "their beginning"
            )
        return found


def solved(train: Examples, shots: int, seed: int) -> Examples:
    """`shots` examples to be shown, of each class as many as of the others, as far as they go.

    Raises:
        HeadstartError: fewer examples than that.
    """
    if shots > len(train):
        raise HeadstartError(
            f"{shots} solved examples need as many to choose from, and there are {len(train)}; give a file "
            "with more (--train), or fewer shots"
        )
    random = np.random.Generator(np.random.Philox(key=seed))
    order = random.permutation(len(train)).tolist()
    turns: dict[str, int] = defaultdict(int)
    rank = {}
    for place in order:
        label = str(train.targets[place]) if train.task in ("classification", "multiple-choice") else ""
        rank[place] = turns[label]
        turns[label] += 1
    chosen = sorted(order, key=lambda place: rank[place])[:shots] if len(turns) > 1 else order[:shots]
    return train.subset([chosen[i] for i in random.permutation(len(chosen))])


def _placeholder(task: str, text: str = "…") -> Any:
    """An input that says nothing."""
    match task:
        case "question-answering":
            return (text, text)
        case "multiple-choice":
            return Choices(text, ())
        case "tagging":
            return [text]
        case "chat":
            return Conversation(())
    return text
