"""Static word vectors from a corpus folder: word2vec, trained by gensim, and GloVe, trained here.

Both write a run folder. A step is a pass over the text or its counts; a run that was interrupted goes on
after the last whole pass, and with one worker (GloVe: with any number) ends bitwise as the uninterrupted
one. The control file is read before each pass.
"""

from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from headstart.corpus_folder import corpus_manifest
from headstart.errors import HeadstartError
from headstart.folder import remove
from headstart.models.vectors.glove import Glove, count_cells
from headstart.models.vectors.word_vectors import WordVectors
from headstart.objectives.batch import generator
from headstart.recipe import Recipe
from headstart.tokenizer.sentences import count_words, lower_words, read_lines, write_text
from headstart.training.checkpoint import Files, Stored
from headstart.training.run_folder import claim, run_output
from headstart.training.run_frame import Pace, Progress, RunFrame

HELDOUT_PREDICTIONS = 20_000
HELDOUT_STREAM = 2**63


TENSORS = "tensors.safetensors"


class Word2VecModel(Recipe):
    """What the vectors are fitted to (Mikolov et al. 2013)."""

    family: Literal["word2vec"] = "word2vec"
    """The kind of model."""
    algorithm: Literal["skip-gram", "cbow"] = "skip-gram"
    """Predict a word from each neighbour, or from the mean of its neighbours."""
    width: int = Field(100, ge=1)
    """Size of a vector."""
    window: int = Field(5, ge=1)
    """Largest distance of a neighbour; each position draws its own distance, up to this."""
    negatives: int = Field(5, ge=1)
    """Random words that the model distinguishes from a true neighbour."""
    subsample: float = Field(1e-3, ge=0)
    """Words more frequent than this share are left out at random; 0: never."""
    min_count: int = Field(5, ge=1)
    """Words that occur less often get no vector."""
    most_words: int | None = Field(None, ge=2)
    """Largest vocabulary; None: all words that occur `min_count` times."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "width": "vector_size size dim embedding_dim hidden_size",
        "window": "window_size ws",
        "negatives": "negative neg",
        "subsample": "sample t",
        "min_count": "minCount min_freq",
        "most_words": "max_final_vocab max_vocab_size vocab_size",
    }
    ANSWERS: ClassVar[dict[str, str]] = {
        "sg": "give {}algorithm, skip-gram instead of 1, cbow instead of 0",
    }


class Word2VecRecipe(Recipe):
    """A whole word2vec run."""

    corpus: Path
    """The corpus folder."""
    model: Word2VecModel = Word2VecModel()
    epochs: int = Field(5, ge=1)
    """Passes over the corpus."""
    rate: float = Field(0.025, gt=0)
    """Learning rate; it falls linearly to `final_rate`."""
    final_rate: float = Field(0.0001, gt=0)
    """Learning rate at the end."""
    workers: int = Field(1, ge=1)
    """Threads; with more than one the result changes a little from run to run."""
    heldout_share: float = Field(0.01, gt=0, lt=1)
    """Share of the documents that training never sees."""
    seed: int = Field(0, ge=0)
    """Random seed of the initial vectors and all sampling."""
    keep_checkpoints: int = Field(1, ge=1)
    """How many of the newest checkpoints are kept."""
    snapshots: int = Field(0, ge=0)
    """Number of sets of vectors that `snapshots/` keeps of the run: before the first pass, after the last,
    and some in between."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "epochs": "epoch num_train_epochs num_epochs iter",
        "rate": "alpha learning_rate lr",
        "final_rate": "min_alpha min_lr",
        "workers": "threads num_workers",
        "keep_checkpoints": "save_total_limit",
    }


class GloveModel(Recipe):
    """What the vectors are fitted to (Pennington et al. 2014)."""

    family: Literal["glove"] = "glove"
    """The kind of model."""
    width: int = Field(100, ge=1)
    """Size of a vector."""
    window: int = Field(10, ge=1, le=255)
    """Largest distance of a neighbour, which counts 1 / distance."""
    min_count: int = Field(5, ge=1)
    """Words that occur less often get no vector."""
    most_words: int | None = Field(None, ge=2)
    """Largest vocabulary; None: all words that occur `min_count` times."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "width": "vector_size size dim embedding_dim hidden_size",
        "window": "window_size",
        "min_count": "vocab_min_count min_freq",
        "most_words": "max_vocab max_vocab_size vocab_size",
    }


class GloveRecipe(Recipe):
    """A whole GloVe run."""

    corpus: Path
    """The corpus folder."""
    model: GloveModel = GloveModel()
    epochs: int = Field(25, ge=1)
    """Passes over the counts."""
    rate: float = Field(0.05, gt=0)
    """Learning rate of AdaGrad."""
    workers: int = Field(1, ge=1)
    """Processes for counting, threads for training; the result does not depend on them."""
    seed: int = Field(0, ge=0)
    """Random seed of the initial vectors and the order of the counts."""
    keep_checkpoints: int = Field(1, ge=1)
    """How many of the newest checkpoints are kept."""
    snapshots: int = Field(0, ge=0)
    """Number of sets of vectors that `snapshots/` keeps of the run: before the first pass, after the last,
    and some in between."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "epochs": "max_iter iter num_train_epochs num_epochs",
        "rate": "eta learning_rate lr",
        "workers": "threads num_workers",
        "keep_checkpoints": "save_total_limit",
    }


def train_word2vec(recipe: Word2VecRecipe, run: Path, replace: bool = False) -> Path:
    """Train skip-gram or CBOW vectors with negative sampling; returns the folder of the vectors, `run/model`.

    Args:
        replace: delete what the run folder holds.

    Raises:
        HeadstartError: gensim is missing, too little text, or a run folder of another recipe.
    """
    try:
        from gensim.models import Word2Vec
    except ImportError:
        raise HeadstartError(
            "word2vec is trained by gensim, which is not installed; run `pip install 'headstart[static]'`"
        ) from None
    with run_output(run, [recipe.corpus], replace):
        return _train_word2vec(Word2Vec, recipe, run)


def _train_word2vec(make: Any, recipe: Word2VecRecipe, run: Path) -> Path:
    """Train with gensim's class, which is `make`."""
    if _is_done(recipe, run):
        return run / "model"
    settings = recipe.model
    totals = write_text(recipe.corpus, run / "text", lower_words, recipe.heldout_share)["train"]
    counts = count_words(run / "text" / "train.txt", settings.min_count, settings.most_words)
    model = make(
        vector_size=settings.width,
        window=settings.window,
        sg=int(settings.algorithm == "skip-gram"),
        negative=settings.negatives,
        sample=settings.subsample,
        min_count=1,
        sorted_vocab=0,  # it is; gensim would order equally frequent words as the processor happens to
        seed=recipe.seed,
        workers=recipe.workers,
    )
    model.build_vocab_from_freq(counts, corpus_count=totals["lines"])
    heldout = HeldOut(
        read_lines(run / "text" / "heldout.txt"), model.wv.key_to_index, list(counts.values()), recipe
    )
    return _finished(Word2VecRun(recipe, run, counts, model, heldout, totals))


def train_glove(recipe: GloveRecipe, run: Path, replace: bool = False) -> Path:
    """Count co-occurrences and fit vectors to them; returns the folder of the vectors, `run/model`.

    Args:
        replace: delete what the run folder holds.

    Raises:
        HeadstartError: too little text, or a run folder of another recipe.
    """
    with run_output(run, [recipe.corpus], replace):
        return _train_glove(recipe, run)


def _train_glove(recipe: GloveRecipe, run: Path) -> Path:
    if _is_done(recipe, run):
        return run / "model"
    write_text(recipe.corpus, run / "text", lower_words, heldout_share=0)
    text = run / "text" / "train.txt"
    counts = count_words(text, recipe.model.min_count, recipe.model.most_words)
    cells = count_cells(text, list(counts), recipe.model.window, recipe.seed, run / "cells", recipe.workers)
    glove = Glove(run / "cells", len(counts), recipe.model.width, recipe.rate, recipe.seed)
    model = _finished(GloveRun(recipe, run, counts, glove, cells))
    remove(run / "cells")
    return model


def _is_done(recipe: Word2VecRecipe | GloveRecipe, run: Path) -> bool:
    manifest = corpus_manifest(recipe.corpus)
    claim(run, recipe, manifest["funnel"], {"corpus", "workers", "snapshots"}, recipe.seed)
    return (run / "model").exists()


def _finished(run: "_Passes") -> Path:
    run.train()
    run.write_model(run.folder / "model")
    remove(run.folder / "text")
    return run.folder / "model"


class _Passes(RunFrame[Progress]):
    """A run whose steps are passes over the text or its counts, with a checkpoint after each.

    Args:
        counts: how often each word of the vocabulary occurs.
        tables: the arrays that training changes in place.
        units: what a pass goes through, in `unit`.
    """

    def __init__(
        self,
        run: Path,
        recipe: Word2VecRecipe | GloveRecipe,
        counts: dict[str, int],
        tables: dict[str, np.ndarray],
        units: float,
    ) -> None:
        pace = Pace(
            recipe.epochs,
            checkpoint_every=1,
            keep_checkpoints=recipe.keep_checkpoints,
            snapshots=recipe.snapshots,
        )
        super().__init__(run, pace, Progress())
        self.title = f"train {recipe.model.family}"
        self.peak_rate, self.counts, self.tables, self.units = recipe.rate, counts, tables, units

    def write_model(self, folder: Path) -> None:
        """Write a folder of word vectors."""
        WordVectors(list(self.counts), np.array(list(self.counts.values())), self.vectors()).save(folder)

    @abstractmethod
    def vectors(self) -> np.ndarray:
        """The vectors as they are, `[W, D]`."""

    def done(self, step: int) -> float:
        """Words or cells of the passes before this one."""
        return step * self.units

    def refusal(self, action: str) -> str | None:
        """There is nothing inside word vectors to look at."""
        return "word vectors have no batch to look into" if action == "capture" else None

    def tensors(self) -> Files:
        """The tables."""
        return {TENSORS: {name: torch.from_numpy(table) for name, table in self.tables.items()}}

    def take_up(self, stored: Stored) -> None:
        """Take up what `tensors` gave."""
        for name, table in self.tables.items():
            table[:] = stored.read(TENSORS, name).numpy()

    def update(self) -> str:
        """One pass."""
        with self.timed() as elapsed:
            figures = self.one_pass(self.step)
            self.progress.step += 1
            speed = {f"{self.unit}_per_second": round(self.units / elapsed(), 1)}
        self.tell("step", **self.times(), **speed, learning_rate=self.rate(self.step - 1), **figures)
        return ""

    def rate(self, epoch: int) -> float:
        """The learning rate at the beginning of a pass."""
        return self.peak_rate * self.progress.rate_factor

    @abstractmethod
    def one_pass(self, epoch: int) -> dict[str, float]:
        """Go once through everything; returns what was reached."""


class Word2VecRun(_Passes):
    """gensim's training, pass by pass.

    Args:
        model: gensim's, with its vocabulary.
        totals: `lines` and `words` of the text.
    """

    unit = "words"

    def __init__(
        self,
        recipe: Word2VecRecipe,
        run: Path,
        counts: dict[str, int],
        model: Any,
        heldout: "HeldOut",
        totals: dict[str, int],
    ) -> None:
        tables = {"vectors": model.wv.vectors, "outputs": model.syn1neg}  # both [W, D]
        super().__init__(run, recipe, counts, tables, totals["words"])
        self.recipe, self.model, self.heldout, self.totals = recipe, model, heldout, totals

    def vectors(self) -> np.ndarray:
        """gensim's."""
        found: np.ndarray = self.model.wv.vectors
        return found

    def rate(self, epoch: int) -> float:
        """The learning rate at the beginning of a pass: it falls linearly."""
        recipe = self.recipe
        fall = (recipe.rate - recipe.final_rate) / recipe.epochs
        return (recipe.rate - epoch * fall) * self.progress.rate_factor

    def one_pass(self, epoch: int) -> dict[str, float]:
        """Go once through the text; returns the held-out loss."""
        self.model.random.seed([self.recipe.seed, epoch])
        self.model.train(
            corpus_file=str(self.folder / "text" / "train.txt"),
            total_examples=self.totals["lines"],
            total_words=self.totals["words"],
            epochs=1,
            start_alpha=self.rate(epoch),
            end_alpha=self.rate(epoch + 1),
        )
        return {
            "heldout_loss": self.heldout.loss(**self.tables),
            "predictions": len(self.heldout.targets),
        }


class GloveRun(_Passes):
    """AdaGrad over the cells of counts."""

    unit = "cells"

    def __init__(
        self, recipe: GloveRecipe, run: Path, counts: dict[str, int], glove: Glove, cells: int
    ) -> None:
        tables = {"tables": glove.tables, "squares": glove.squares}
        super().__init__(run, recipe, counts, tables, 2 * cells)
        self.recipe, self.glove = recipe, glove

    def vectors(self) -> np.ndarray:
        """The sum of each word's two vectors."""
        return self.glove.vectors()

    def one_pass(self, epoch: int) -> dict[str, float]:
        """Go once through all cells; returns the mean loss of a cell."""
        self.glove.rate = np.float32(self.rate(epoch))
        total, loss = 0, 0.0
        for number, part in self.glove.epoch(epoch, self.recipe.seed, self.recipe.workers):
            total, loss = total + number, loss + part
            if self.bar is not None:
                self.bar.advance(number)
        if not np.isfinite(loss):
            raise HeadstartError(
                f"the loss is {loss} in pass {epoch + 1} of {self.folder}; lower rate and use a new folder"
            )
        return {"loss": loss / total, "cells": total}


class HeldOut:
    """Predictions in held-out text, with fixed negatives: word2vec's objective, the same after every pass.

    Args:
        lines: the held-out text.
        number: the vocabulary's words and their rows.
        counts: how often each word occurs.
    """

    def __init__(
        self, lines: Iterable[list[str]], number: dict[str, int], counts: list[int], recipe: Word2VecRecipe
    ) -> None:
        settings, random = recipe.model, generator(recipe.seed, HELDOUT_STREAM)
        contexts: list[list[int]] = []
        targets: list[int] = []
        for line in lines:
            ids = [number[word] for word in line if word in number]
            for place, reach in enumerate(random.integers(1, settings.window + 1, len(ids)).tolist()):
                around = ids[max(0, place - reach) : place] + ids[place + 1 : place + 1 + reach]
                groups = [around] if settings.algorithm == "cbow" else [[one] for one in around]
                contexts += [group for group in groups if group]
                targets += [ids[place]] * len([group for group in groups if group])
            if len(targets) >= HELDOUT_PREDICTIONS:
                break
        if not targets:
            raise HeadstartError(
                "no two known words stand near each other in the held-out text; give more text"
            )
        widest = max(map(len, contexts))
        self.contexts = np.array([group + [-1] * (widest - len(group)) for group in contexts])  # [N, c]
        self.targets = np.array(targets)
        noise = np.array(counts, np.float64) ** 0.75
        shape = len(targets), settings.negatives
        self.negatives = np.searchsorted(np.cumsum(noise / noise.sum()), random.random(shape) * (1 - 1e-12))

    def loss(self, vectors: np.ndarray, outputs: np.ndarray) -> float:
        """Mean over the predictions of -log s(u . v) - sum log s(-u' . v), in nats."""
        known = (self.contexts >= 0)[:, :, None]
        inputs = (vectors[self.contexts] * known).sum(1) / known.sum(1)  # [N, D]
        right = np.einsum("nd,nd->n", inputs, outputs[self.targets])
        wrong = np.einsum("nd,nkd->nk", inputs, outputs[self.negatives])
        return float((np.logaddexp(0, -right) + np.logaddexp(0, wrong).sum(1)).mean())
