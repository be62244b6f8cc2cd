"""A fine-tuned model with all that is needed to answer: tokenizer and labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, atomic
from headstart.interchange.model_folder import LoadedModel, decoder_start, nameless, save_model
from headstart.interchange.peft_adapter import LowRank, write_adapter
from headstart.models.registry import family_named
from headstart.tasks.counted_words import CountedWords, sizes
from headstart.tasks.examples import TaskKind
from headstart.tasks.facts import TaskFacts, Training
from headstart.tasks.kinds.kind import AnswerRow, Kind, Scored
from headstart.tasks.kinds.packing import EncodedWindow, pack, scores_of_heads
from headstart.tasks.kinds.registry import ALL, kind_of
from headstart.tasks.learned_inputs import read_learned_inputs, write_learned_inputs
from headstart.tasks.model import TaskModel
from headstart.tokenizer.base import Tokenizer

BATCH_TOKENS = 4096
"""Tokens computed at once; more is no faster on a CPU and takes memory."""
HF_TOKENS = 512
"""What is read at once by a model that others fine-tuned, where its positions have no end."""


@dataclass
class Predictor:
    """Answers for texts, whatever the task is."""

    model: TaskModel
    tokenizer: Tokenizer
    labels: list[str]
    facts: TaskFacts = field(default_factory=TaskFacts)
    """What answering needs to know, and how the model was trained."""
    changes: dict[str, LowRank] = field(default_factory=dict)
    """Of a model fine-tuned by LoRA: what was learned, already added to the matrices of these names."""
    base: Path | None = None
    """The folder of the model that was fine-tuned."""
    counted: CountedWords | None = None
    """What counted words and characters add to the network's scores."""
    learned_inputs: np.ndarray | None = None
    """What is kept of the inputs that it learned from, see `learned_inputs`; None: not known."""
    generation: JSONObject = field(default_factory=dict)
    """Of a model that writes: what its folder's `generation_config.json` says."""

    @property
    def task(self) -> TaskKind:
        return self.model.task

    @property
    def kind(self) -> Kind:
        return kind_of(self.task, self.facts.in_words)

    @property
    def training(self) -> Training:
        """How it was fine-tuned; a `HeadstartError` where its folder does not say."""
        if self.facts.training is None:
            raise HeadstartError("this model's folder does not say how it was fine-tuned; fine-tune it again")
        return self.facts.training

    @property
    def padding(self) -> int:
        """The id in what is left of a row."""
        return self.tokenizer.special.pad or 0

    @property
    def begins(self) -> int | None:
        """The id with which the decoder of an encoder-decoder begins; None: another architecture."""
        return self.model.decoder_start if self.model.body.config.architecture == "encoder-decoder" else None

    @classmethod
    def of(cls, loaded: LoadedModel) -> "Predictor":
        """The predictor in a loaded task folder.

        Raises:
            HeadstartError: the folder holds a language model, or a head that does not fit its task.
        """
        task = task_of(loaded)
        if task is None:
            raise HeadstartError(
                f"{loaded.folder or 'this'} is a pre-trained {loaded.head} model, which knows no labels yet; "
                "fine-tune it first"
            )
        config = loaded.model.config
        facts = TaskFacts.read(loaded.metadata.get("finetuning"), str(loaded.folder or "the model"))
        kind = kind_of(task, facts.in_words)
        wanted = kind.head_of(config.architecture)
        if loaded.head not in (wanted, f"mean-{wanted}", f"encoder-{wanted}"):
            raise HeadstartError(
                f"the folder says that it is for {task}, but has a head for {loaded.head}; make it again"
            )
        labels = loaded.labels or facts.labels or []
        start = 0
        if config.architecture == "encoder-decoder":
            start = decoder_start(family_named(config.family), loaded.tokenizer)
        writes = not isinstance(kind, Scored)
        head = None if writes else loaded.head
        vectors = loaded.vectors if task == "embedding" else None
        model = TaskModel(loaded.model, task, len(labels), 0.0, start, writes, head, vectors)
        model.load_head(loaded.classifier)
        model.to(loaded.model.embedding.weight.device)
        counted = None
        if loaded.counted:
            how = loaded.metadata["counted"]
            counted = CountedWords.of(loaded.counted, how["sort"], how["of_two"], len(labels))
        learned = None if loaded.folder is None else read_learned_inputs(loaded.folder)
        return cls(
            model.eval(),
            loaded.tokenizer,
            labels,
            facts,
            counted=counted,
            learned_inputs=learned,
            generation=loaded.generation,
        )

    @property
    def notes(self) -> list[str]:
        """What was noticed while it was trained, for people."""
        return self._export_notes + self._length_notes

    @property
    def _export_notes(self) -> list[str]:
        if self.model.head_kind is None:
            return []
        mixes, counts = self.model.mix is not None, self.counted is not None
        reason = nameless(self.model.body.config.family, self.model.head_kind, mixes, counts)
        return [] if reason is None else [f"only headstart reads this model: {reason}"]

    @property
    def _length_notes(self) -> list[str]:
        made = self.facts.training
        if made is None:
            return []
        found = []
        if made.left_out:
            found.append(
                f"{made.left_out:,} training examples were over {self.max_tokens} tokens (max_tokens) and "
                "left out"
            )
        elif made.windowed_examples:
            share = 100 * made.windowed_examples / made.examples
            found.append(
                f"{share:.0f} % of the training texts were over {self.max_tokens} tokens and were read in "
                "windows that overlap"
            )
        if made.embedding_held and made.vectors_told is not None and made.counts_told is not None:
            found.append(
                "the embedding stayed as pre-training left it, since it tells more of these labels than "
                f"counted tokens do ({made.vectors_told:.2f} and {made.counts_told:.2f} of their entropy)"
            )
        return found

    @property
    def max_tokens(self) -> int:
        """How many tokens are read at once."""
        config = self.model.body.config
        most = config.context if config.position == "learned" else min(config.context, HF_TOKENS)
        if self.model.vectors is not None:
            return min(self.model.vectors.max_tokens or most, config.context)
        return most if self.facts.max_tokens is None else self.facts.max_tokens

    @property
    def cuts(self) -> bool:
        """Whether a text ends at `max_tokens`, as in sentence-transformers, and is not read in windows."""
        return self.model.vectors is not None

    def results(self, inputs: Sequence[Any]) -> list[Any]:
        """What the kind of task makes of each input; see `Kind.results`."""
        self.model.eval()
        return self.kind.results(self, inputs) if inputs else []

    def outputs(self, pieces: Sequence[EncodedWindow], inputs: Sequence[Any]) -> list[np.ndarray]:
        """The scores of each piece, `[labels]` or `[heads, labels]`: the head's, and those of counted words.

        Args:
            inputs: what the pieces were encoded from.
        """
        return self.with_counted(self.network_outputs(pieces), pieces, inputs)

    def with_counted(
        self, outputs: list[np.ndarray], pieces: Sequence[EncodedWindow], inputs: Sequence[Any]
    ) -> list[np.ndarray]:
        """The network's outputs with what counted words add: every window of a text gets the whole text's."""
        if self.counted is None:
            return outputs
        ends = np.cumsum(sizes(inputs, self.counted.sort))[:-1]
        scores = np.split(self.counted.scores(inputs), ends)  # of each input [rows, labels]
        if not self.model.reads_each:
            return [one + scores[piece.owner][0] for one, piece in zip(outputs, pieces, strict=True)]
        return [
            one + scores_of_heads(scores[piece.owner], piece)
            for one, piece in zip(outputs, pieces, strict=True)
        ]

    @torch.no_grad()
    def scale_network(self, share: float) -> None:
        """Let the network's scores count that much."""
        if self.model.head is not None:
            for weight in self.model.head.output.parameters():
                weight.mul_(share)

    @torch.no_grad()
    def network_outputs(self, pieces: Sequence[EncodedWindow]) -> list[np.ndarray]:
        """The head's outputs for each piece, `[labels]` or `[heads, labels]`."""
        device = self.model.body.embedding.weight.device
        outputs: list[np.ndarray] = [np.zeros(0)] * len(pieces)
        for batch in token_batches([len(piece.ids) for piece in pieces]):
            found = self.model(pack([pieces[i] for i in batch], self.padding).to(device)).cpu().numpy()
            for i, output in zip(batch, self.by_piece(found, [pieces[i] for i in batch]), strict=True):
                outputs[i] = output
        return outputs

    def by_piece(self, found: np.ndarray, pieces: Sequence[EncodedWindow]) -> list[np.ndarray]:
        """The model's outputs for pieces as one for each: `[labels]`, or `[heads, labels]`."""
        ends = np.cumsum([self.model.states_read(piece) for piece in pieces])[:-1]
        return [part if self.model.reads_each else part[0] for part in np.split(found, ends)]

    def probabilities(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """For each text an array `[labels]`, for each list of words `[words, labels]`, for each text with
        choices `[options]`.

        Raises:
            HeadstartError: the task has no probabilities.
        """
        if self.task in ("regression", "embedding", "question-answering") or self.model.writes:
            raise HeadstartError(f"{self.task} has no probabilities of labels; ask for its answers")
        return self.results(inputs)

    def predict(self, inputs: Sequence[Any]) -> list[Any]:
        """The answer to each input, as it would stand in labelled data: a label, tags, a number, a span."""
        given = self._given(inputs)
        results = self.results(given)
        return [
            self.kind.predicted(result, one, self.labels) for result, one in zip(results, given, strict=True)
        ]

    def answers(self, inputs: Sequence[Any]) -> list[AnswerRow]:
        """The same with probabilities and spans, ready for JSON.

        A tagger cuts a text into words itself.
        """
        given = self._given(inputs)
        results = self.results(given)
        return [
            self.kind.answer(result, one, self.labels) for result, one in zip(results, given, strict=True)
        ]

    def _given(self, inputs: Sequence[Any]) -> list[Any]:
        """What a person handed in, as the task's inputs."""
        given = [self.kind.as_input(one) for one in inputs]
        pairs = self.facts.pairs
        if pairs is not None and any(isinstance(one, tuple) != pairs for one in given):
            learned, got = (
                ("pairs of texts", "a text alone") if pairs else ("single texts", "a pair of texts")
            )
            raise HeadstartError(f"this model has learned from {learned}, and was given {got}")
        return given

    def as_loaded(self) -> LoadedModel:
        """What `load_model` would give for the folder that `save` writes."""
        metadata: JSONObject = {"task": self.task, "finetuning": self.facts.as_dict()}
        if self.facts.mix is not None:
            metadata["mix"] = asdict(self.facts.mix)
        if self.counted is not None:
            metadata["counted"] = {"sort": self.counted.sort, "of_two": self.counted.of_two}
        longest = {} if self.facts.longest is None else {"max_new_tokens": self.facts.longest}
        return LoadedModel(
            self.model.body,
            self.tokenizer,
            self.model.head_kind or self.kind.head_of(self.model.body.config.architecture),
            self.model.head_weights(),
            [] if self.model.writes else self.labels,
            metadata,
            longest | self.generation,
            self.kind.problem,
            vectors=self.model.vectors,
            counted={} if self.counted is None else self.counted.tensors(),
        )

    def save(self, folder: Path, card: str) -> None:
        """Write the model folder; `card` is its README."""
        save_model(folder, self.as_loaded(), card)
        if self.learned_inputs is not None:
            write_learned_inputs(folder, self.learned_inputs)

    def save_adapter(self, folder: Path, card: str) -> None:
        """Write what LoRA learned, and the head, as PEFT's adapter folder."""
        if not self.changes or self.base is None:
            raise HeadstartError(
                f"{folder} was not written: only a model that was read from a folder and fine-tuned with "
                "adapt=lora is an adapter of it"
            )
        loaded = self.as_loaded()
        own = loaded.metadata | {"problem_type": loaded.problem_type}
        with atomic(folder) as temporary:
            temporary.mkdir(parents=True)
            write_adapter(
                temporary,
                self.base.absolute(),
                loaded.model,
                loaded.head,
                self.changes,
                loaded.classifier,
                loaded.labels,
                own,
                card,
            )


def task_of(loaded: LoadedModel) -> TaskKind | None:
    """The task that a folder is for: as headstart wrote it, or as transformers' head tells it; None for a
    model that has only been pre-trained."""
    said: Mapping[str, Any] = loaded.metadata
    for name in ALL:
        if said.get("task") == name:
            return name
    if not loaded.labels:
        return None
    if loaded.head == "classification":
        if loaded.problem_type == "multi_label_classification":
            return "multi-label"
        return (
            "regression"
            if loaded.problem_type == "regression" or len(loaded.labels) == 1
            else "classification"
        )
    if loaded.head == "tagging":
        return "tagging"
    return "question-answering" if loaded.head == "spans" else None


def token_batches(sizes: Sequence[int]) -> Iterator[list[int]]:
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
