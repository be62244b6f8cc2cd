"""A fine-tuned model with all that is needed to answer: tokenizer and labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel, decoder_start, save_model
from headstart.models.registry import family_named
from headstart.tasks.data import Input, Target, TaskKind
from headstart.tasks.model import TaskModel
from headstart.tasks.packing import encode, pack
from headstart.tokenizer.base import Tokenizer

BATCH_TOKENS = 4096
"""Tokens computed at once; more is no faster on a CPU and takes memory."""


@dataclass
class Predictor:
    """Predicts labels of texts, or tags of words."""

    model: TaskModel
    tokenizer: Tokenizer
    labels: list[str]
    facts: dict[str, Any] = field(default_factory=dict)
    """How it was made: steps, seconds, and so on."""

    @property
    def task(self) -> TaskKind:
        return self.model.task

    @classmethod
    def of(cls, loaded: LoadedModel) -> "Predictor":
        """The predictor in a loaded task folder.

        Raises:
            HeadstartError: the folder holds a language model.
        """
        if loaded.head not in ("classification", "tagging"):
            raise HeadstartError(
                f"this is a pre-trained {loaded.head} model, which knows no labels yet; fine-tune it first"
            )
        config = loaded.model.config
        start = 0
        if config.architecture == "encoder-decoder":
            start = decoder_start(family_named(config.family), loaded.tokenizer)
        model = TaskModel(loaded.model, cast(TaskKind, loaded.head), len(loaded.labels), decoder_start=start)
        model.head.load(loaded.classifier)
        return cls(model.eval(), loaded.tokenizer, loaded.labels, loaded.metadata.get("finetuning", {}))

    @property
    def notes(self) -> list[str]:
        """What was noticed while it was trained, for people."""
        cut = self.facts.get("cut_examples", 0)
        if not cut:
            return []
        share = 100 * cut / self.facts["examples"]
        return [f"{share:.0f} % of the training texts were over {self.max_tokens} tokens and lost their end"]

    @property
    def max_tokens(self) -> int:
        """How many tokens of an example are read."""
        return int(self.facts.get("max_tokens", self.model.body.config.context))

    @torch.no_grad()
    def probabilities(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """For each text an array `[labels]`, for each list of words an array `[words, labels]`."""
        self.model.eval()
        pieces = encode(self.tokenizer, inputs, self.max_tokens)
        padding = self.tokenizer.special.pad or 0
        answers: list[np.ndarray] = [np.zeros(0)] * len(pieces)
        for batch in _batches([len(piece.ids) for piece in pieces]):
            probabilities = self.model(pack([pieces[i] for i in batch], padding)).softmax(-1).numpy()
            lengths = [len(pieces[i].heads) if self.task == "tagging" else 1 for i in batch]
            for i, answer in zip(batch, np.split(probabilities, np.cumsum(lengths)[:-1]), strict=True):
                answers[i] = answer
        if self.task == "classification":
            return [answer[0] for answer in answers]
        # A long list of words lies in several pieces, in order.
        whole: list[list[np.ndarray]] = [[] for _ in inputs]
        for piece, answer in zip(pieces, answers, strict=True):
            whole[piece.owner].append(answer)
        return [np.concatenate(parts) for parts in whole]

    def predict(self, inputs: Sequence[Input]) -> list[Target]:
        """The likeliest label of each text, or tag of each word."""
        if self.task == "classification":
            return [self.labels[int(p.argmax())] for p in self.probabilities(inputs)]
        return [[self.labels[i] for i in p.argmax(-1)] for p in self.probabilities(inputs)]

    def answers(self, inputs: Sequence[Input]) -> list[dict[str, Any]]:
        """The same with probabilities, ready for JSON.

        A tagger splits a text at white space; of its words it gives the probability of the tag alone.
        """
        if self.task == "classification":
            return [
                {
                    "label": self.labels[int(p.argmax())],
                    "probability": float(p.max()),
                    "probabilities": dict(zip(self.labels, map(float, p), strict=True)),
                }
                for p in self.probabilities(
                    [text if isinstance(text, str) else " ".join(text) for text in inputs]
                )
            ]
        sentences: list[Input] = [text.split() if isinstance(text, str) else text for text in inputs]
        return [
            {
                "words": words,
                "tags": [self.labels[i] for i in p.argmax(-1)],
                "probabilities": p.max(-1).tolist(),
            }
            for words, p in zip(sentences, self.probabilities(sentences), strict=True)
        ]

    def as_loaded(self) -> LoadedModel:
        """What `load_model` would give for the folder that `save` writes."""
        classifier = self.model.head.weights()
        metadata = {"finetuning": self.facts}
        return LoadedModel(self.model.body, self.tokenizer, self.task, classifier, self.labels, metadata)

    def save(self, folder: Path, card: str) -> None:
        """Write the model folder; `card` is its README."""
        loaded = self.as_loaded()
        save_model(
            folder,
            loaded.model,
            loaded.tokenizer,
            loaded.head,
            card,
            loaded.classifier,
            loaded.labels,
            loaded.metadata,
        )


def _batches(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Places of pieces, longest first, about `BATCH_TOKENS` at once: like lengths go together."""
    batch: list[int] = []
    tokens = 0
    for place in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        if batch and tokens + sizes[place] > BATCH_TOKENS:
            yield batch
            batch, tokens = [], 0
        batch.append(place)
        tokens += sizes[place]
    if batch:
        yield batch
