"""Training ELMo's bidirectional language model from a corpus folder.

A step reads some thousand words in sentences of nearly equal length. What it reads and draws depends on the
seed and the step alone, so a run that was interrupted ends as the uninterrupted one would.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from headstart.corpus_folder import corpus_manifest
from headstart.errors import HeadstartError
from headstart.folder import remove
from headstart.models.vectors.elmo import BEGIN, END, UNKNOWN, ElmoLanguageModel, build, pack, preset
from headstart.objectives.batch import generator
from headstart.recipe import Recipe
from headstart.tokenizer.sentences import count_words, sentences, write_text
from headstart.training.checkpoint import Files, Stored
from headstart.training.machine import keep_freed_memory
from headstart.training.monitoring.capture import capture_elmo
from headstart.training.run_folder import claim, run_output
from headstart.training.run_frame import Pace, Progress, RunFrame

TENSORS = "tensors.safetensors"
ORDER_STREAM = 2**62
POOL = 64  # batches whose sentences are sorted by length together


class ElmoModel(Recipe):
    """The model and what it predicts."""

    family: Literal["elmo"] = "elmo"
    """The kind of model."""
    size: str = "laptop"
    """`original`, `medium`, `small` as published, or `laptop`."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of activations dropped while training."""
    min_count: int = Field(3, ge=1)
    """Words that occur less often are predicted as <UNK>; every word is known as an input."""
    most_words: int = Field(50_000, ge=2)
    """Largest number of words in the softmax."""
    samples: int = Field(4096, ge=0)
    """Words drawn for the sampled softmax of a training step; 0: the whole softmax, as in evaluation."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "samples": "n_negative_samples_batch",
        "most_words": "n_tokens_vocab vocab_size max_vocab_size",
    }


class ElmoRecipe(Recipe):
    """A whole run."""

    corpus: Path
    """The corpus folder."""
    model: ElmoModel = ElmoModel()
    words: int = Field(2048, ge=2)
    """Words in a step, sentence boundaries included."""
    longest: int = Field(100, ge=1)
    """Longer sentences are cut into pieces."""
    steps: int = Field(2000, ge=1)
    """Updates of the weights in the whole run."""
    rate: float = Field(0.003, gt=0)
    """Peak learning rate of AdamW, reached after a twentieth of the steps; then it falls linearly."""
    clip: float = Field(10.0, gt=0)
    """Largest gradient norm."""
    heldout_share: float = Field(0.01, gt=0, lt=1)
    """Share of the sentences that training never sees."""
    evaluate_every: int = Field(200, ge=1)
    """Steps between two evaluations on held-out sentences."""
    evaluate_words: int = Field(20_000, ge=2)
    """Held-out words that an evaluation reads, at most."""
    checkpoint_every: int = Field(200, ge=1)
    """Steps between two checkpoints."""
    keep_checkpoints: int = Field(2, ge=1)
    """How many of the newest checkpoints are kept."""
    snapshots: int = Field(0, ge=0)
    """Number of models that `snapshots/` keeps of the run: at step 0, at the last step, and some in
    between."""
    seed: int = Field(0, ge=0)
    """Random seed of the initial weights and all sampling."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "longest": "max_seq_length seq_len max_length",
        "steps": "max_steps max_iters num_iterations train_steps",
        "rate": "learning_rate lr",
        "clip": "max_grad_norm grad_clip all_clip_norm_val",
        "evaluate_every": "eval_steps eval_interval eval_every",
        "checkpoint_every": "save_steps save_interval save_every",
        "keep_checkpoints": "save_total_limit",
    }
    ANSWERS: ClassVar[dict[str, str]] = {
        "batch_size": "give {}words, words in a step: batch_size x unroll_steps",
        "n_tokens_batch": "give {}words, words in a step",
        "n_epochs epochs": "give {}steps, a number of steps",
    }


def train_elmo(recipe: ElmoRecipe, run: Path, replace: bool = False) -> Path:
    """Train as the recipe says, from the last checkpoint if there is one; returns `run/model`.

    Args:
        replace: delete what the run folder holds.

    Raises:
        HeadstartError: a run folder of another recipe, too little text, a loss that is no number.
        Stopped: a signal or the control file asked for it; everything is saved.
    """
    with run_output(run, [recipe.corpus], replace):
        return _train(recipe, run)


def _train(recipe: ElmoRecipe, run: Path) -> Path:
    options = preset(recipe.model.size)
    claim(run, recipe, corpus_manifest(recipe.corpus)["funnel"], {"corpus", "snapshots"}, recipe.seed)
    if (run / "model").exists():
        return run / "model"
    totals = write_text(recipe.corpus, run / "text", sentences, recipe.heldout_share)["train"]
    keep_freed_memory()
    frequent = count_words(run / "text" / "train.txt", recipe.model.min_count, recipe.model.most_words)
    unknown = max(1, totals["words"] - sum(frequent.values()))
    vocabulary = {BEGIN: totals["lines"], END: totals["lines"], UNKNOWN: unknown}
    model = build(
        options, vocabulary | {w: n for w, n in frequent.items() if w not in vocabulary}, recipe.seed
    )
    trained = ElmoRun(recipe, run, model)
    trained.train()
    trained.write_model(run / "model")
    remove(run / "text")
    return run / "model"


class Sentences:
    """The sentences of a text file by random access, none longer than `longest` words."""

    def __init__(self, path: Path, longest: int) -> None:
        self.longest = longest
        self.content = np.memmap(path, np.uint8, "r")
        line_ends = np.flatnonzero(self.content == ord("\n"))
        starts = np.concatenate([[0], line_ends[:-1] + 1])
        spaces = np.flatnonzero(self.content == ord(" "))
        first, last = np.searchsorted(spaces, starts), np.searchsorted(spaces, line_ends)
        # A sentence is `spaces + 1` words; piece k of it begins behind its space number k * longest.
        pieces = (last - first) // longest + 1
        line = np.repeat(np.arange(len(starts)), pieces)
        nth = np.arange(len(line)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        begin = first[line] + nth * longest  # the space behind the piece's first word
        padded = np.concatenate([spaces, [len(self.content)]])
        self.starts = np.where(nth == 0, starts[line], padded[np.maximum(begin - 1, 0)] + 1)
        end = begin + longest - 1
        self.ends = np.where(nth == pieces[line] - 1, line_ends[line], padded[np.minimum(end, len(spaces))])
        self.lengths = np.minimum(last[line] - begin + 1, longest)

    def __len__(self) -> int:
        return len(self.starts)

    def read(self, numbers: np.ndarray) -> list[list[str]]:
        """Some sentences, as lists of words."""
        return [
            bytes(self.content[self.starts[n] : self.ends[n]]).decode("utf-8").split(" ") for n in numbers
        ]


class SentenceOrder:
    """Which sentences a step reads: in every pass another order, and each step's of nearly equal length."""

    def __init__(self, lengths: np.ndarray, words: int, seed: int) -> None:
        self.costs, self.words, self.seed = lengths + 2, words, seed  # with <S> and </S>
        self.batches = lru_cache(maxsize=1)(self._batches)

    def _batches(self, epoch: int) -> list[np.ndarray]:
        random = generator(self.seed, ORDER_STREAM + epoch)
        order = random.permutation(len(self.costs))
        # Pools of some batches, sorted by length inside, cut where a batch is full.
        pool = np.cumsum(self.costs[order]) // (self.words * POOL)
        order = order[np.lexsort((self.costs[order], pool))]
        batch = np.cumsum(self.costs[order]) // self.words
        batches = np.split(order, np.flatnonzero(np.diff(batch)) + 1)
        return [batches[place] for place in random.permutation(len(batches))]

    def read(self, epoch: int, place: int) -> tuple[np.ndarray, int, int]:
        """The sentences of a step, and the epoch and place of the step after it."""
        batches = self.batches(epoch)
        following = (epoch, place + 1) if place + 1 < len(batches) else (epoch + 1, 0)
        return batches[place], *following


@dataclass
class ElmoProgress(Progress):
    """Where an ELMo run stands."""

    epoch: int = 0
    """The pass over the sentences."""
    place: int = 0
    """The next batch in it."""
    words: int = 0
    """Words that were read."""


class ElmoRun(RunFrame[ElmoProgress]):
    """The state of one ELMo run, and its steps."""

    title = "pre-train elmo"

    def __init__(self, recipe: ElmoRecipe, folder: Path, model: ElmoLanguageModel) -> None:
        pace = Pace(
            recipe.steps,
            recipe.checkpoint_every,
            recipe.evaluate_every,
            recipe.keep_checkpoints,
            snapshots=recipe.snapshots,
        )
        super().__init__(folder, pace, ElmoProgress())
        self.recipe, self.model, self.peak_rate = recipe, model, recipe.rate
        self.text = Sentences(folder / "text" / "train.txt", recipe.longest)
        self.order = SentenceOrder(self.text.lengths, recipe.words, recipe.seed)
        heldout = Sentences(folder / "text" / "heldout.txt", recipe.longest)
        enough = int(np.searchsorted(np.cumsum(heldout.lengths), recipe.evaluate_words)) + 1
        self.heldout = heldout.read(np.arange(min(enough, len(heldout))))
        self.parameters = list(model.parameters())
        self.adam = torch.optim.AdamW(
            self.parameters, lr=recipe.rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )

    def update(self) -> str:
        """One step; its loss is in nats a predicted word, of the sampled softmax where there is one."""
        recipe, progress = self.recipe, self.progress
        with self.timed() as elapsed:
            numbers, progress.epoch, progress.place = self.order.read(progress.epoch, progress.place)
            batch = self.text.read(numbers)
            if self.capture_next:
                self._capture(batch)
            loss = self._gradients(batch)
            norm = float(nn.utils.clip_grad_norm_(self.parameters, recipe.clip))
            rate = recipe.rate * progress.rate_factor * _rise_and_fall(self.step, recipe.steps)
            self.adam.param_groups[0]["lr"] = rate
            self.adam.step()
            self.adam.zero_grad(set_to_none=True)
            words = sum(map(len, batch))
            progress.step, progress.words = self.step + 1, progress.words + words
            speed = round(words / elapsed(), 1)
        self.tell(
            "step",
            words=progress.words,
            **self.times(),
            words_per_second=speed,
            loss=loss,
            gradient_norm=norm,
            learning_rate=rate,
        )
        return f"loss {loss:.3f}"

    def _gradients(self, batch: list[list[str]]) -> float:
        """Compute the gradients of a batch; returns the loss."""
        model, settings = self.model, self.recipe.model
        with torch.random.fork_rng(devices=[]):
            random = generator(self.recipe.seed, self.step)
            torch.manual_seed(int(random.integers(2**63)))
            samples = 0 if settings.samples >= len(model.vocabulary) else settings.samples
            total, count = model.loss_sum(pack(batch), settings.dropout, samples, random)
        loss = total / count
        torch.autograd.backward(loss)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise HeadstartError(
                f"the loss is {value} at step {self.step + 1} of {self.folder}; "
                "lower rate and start again in a new folder"
            )
        return value

    @torch.no_grad()
    def evaluate(self) -> None:
        """Loss of the whole softmax on the same held-out sentences every time, both directions together."""
        nats, targets = 0.0, 0
        for part in _parts(self.heldout, self.recipe.words):
            total, count = self.model.loss_sum(pack(part))
            nats, targets = nats + float(total), targets + count
        self.tell(
            "evaluation",
            words=self.progress.words,
            **self.times(),
            loss=nats / targets,
            perplexity=math.exp(min(nats / targets, 700)),
            targets=targets,
        )

    def tensors(self) -> Files:
        """Weights and AdamW's averages."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for number, values in self.adam.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": tensor for name, tensor in values.items()}
        return {TENSORS: tensors}

    def take_up(self, stored: Stored) -> None:
        """Take up what `tensors` gave."""
        weights, whole = {}, self.adam.state_dict()
        for key, tensor in stored.whole(TENSORS).items():
            owner, name = key.split(".", 1)
            if owner == "model":
                weights[name] = tensor
            else:
                number, name = name.split(".")
                whole["state"].setdefault(int(number), {})[name] = tensor
        self.model.load_state_dict(weights)
        self.adam.load_state_dict(whole)

    def write_model(self, folder: Path) -> None:
        """Write ELMo's own folder."""
        self.model.save(folder)

    def _capture(self, batch: list[list[str]]) -> None:
        self.capture_next = False
        with self.optional("the capture"):
            capture_elmo(self.model, batch, self.folder / "captures" / f"step-{self.step + 1:06d}")


def _rise_and_fall(step: int, steps: int) -> float:
    """The share of the peak rate at a step counted from 0."""
    warmup = math.ceil(steps / 20)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(0.02, (steps - step) / max(steps - warmup, 1))


def _parts(batch: list[list[str]], words: int) -> Iterator[list[list[str]]]:
    """The sentences by length, in parts of about so many words."""
    batch = sorted(batch, key=len)
    cuts = np.cumsum([len(sentence) + 2 for sentence in batch]) // words
    for part in np.split(np.arange(len(batch)), np.flatnonzero(np.diff(cuts)) + 1):
        yield [batch[number] for number in part]
