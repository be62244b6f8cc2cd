"""Static word vectors from a corpus folder: word2vec, trained by gensim, and GloVe, trained here.

Both write a run folder. A step is a pass over the text or its counts; a run that was interrupted goes on
after the last whole pass, and with one worker (GloVe: with any number) ends bitwise as the uninterrupted
one.
"""

import time
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
from headstart.progress import ProgressBar
from headstart.recipe import Recipe
from headstart.tokenizer.sentences import count_words, lower_words, read_lines, write_text
from headstart.training import checkpoint
from headstart.training.metrics import Metrics
from headstart.training.run_folder import claim

HELDOUT_PREDICTIONS = 20_000
HELDOUT_STREAM = 2**63


TENSORS = "tensors.safetensors"


class Word2VecModel(Recipe):
    """What the vectors are fitted to (Mikolov et al. 2013)."""

    family: Literal["word2vec"] = "word2vec"
    algorithm: Literal["skip-gram", "cbow"] = "skip-gram"
    """Predict a word from each neighbour, or from the mean of its neighbours."""
    width: int = Field(100, ge=1)
    window: int = Field(5, ge=1)
    """Largest distance of a neighbour; each place draws its own, up to this."""
    negatives: int = Field(5, ge=1)
    """Random words that a true neighbour is told from."""
    subsample: float = Field(1e-3, ge=0)
    """Words more frequent than this share are left out at times; 0: never."""
    min_count: int = Field(5, ge=1)
    most_words: int | None = Field(None, ge=2)
    """Largest vocabulary; None: all that occur `min_count` times."""

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
    rate: float = Field(0.025, gt=0)
    """Learning rate; it falls linearly to `final_rate`."""
    final_rate: float = Field(0.0001, gt=0)
    workers: int = Field(1, ge=1)
    """Threads; with more than one the result changes a little from run to run."""
    heldout_share: float = Field(0.01, gt=0, lt=1)
    seed: int = Field(0, ge=0)
    keep_checkpoints: int = Field(1, ge=1)

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
    width: int = Field(100, ge=1)
    window: int = Field(10, ge=1, le=255)
    """Largest distance of a neighbour, which counts 1 / distance."""
    min_count: int = Field(5, ge=1)
    most_words: int | None = Field(None, ge=2)
    """Largest vocabulary; None: all that occur `min_count` times."""

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
    rate: float = Field(0.05, gt=0)
    """Learning rate of AdaGrad."""
    workers: int = Field(1, ge=1)
    """Processes while counting, threads while training; the result does not depend on them."""
    seed: int = Field(0, ge=0)
    keep_checkpoints: int = Field(1, ge=1)

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "epochs": "max_iter iter num_train_epochs num_epochs",
        "rate": "eta learning_rate lr",
        "workers": "threads num_workers",
        "keep_checkpoints": "save_total_limit",
    }


def train_word2vec(recipe: Word2VecRecipe, run: Path) -> Path:
    """Train skip-gram or CBOW vectors with negative sampling; returns the folder of the vectors, `run/model`.

    Raises:
        HeadstartError: gensim is missing, too little text, or a run folder of another recipe.
    """
    try:
        from gensim.models import Word2Vec
    except ImportError:
        raise HeadstartError(
            "word2vec is trained by gensim, which is not installed; run `pip install 'headstart[static]'`"
        ) from None
    if _is_done(recipe, run):
        return run / "model"
    settings = recipe.model
    totals = write_text(recipe.corpus, run / "text", lower_words, recipe.heldout_share)["train"]
    counts = count_words(run / "text" / "train.txt", settings.min_count, settings.most_words)
    model = Word2Vec(
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
    tables = {"vectors": model.wv.vectors, "outputs": model.syn1neg}  # both [W, D]
    heldout = HeldOut(
        read_lines(run / "text" / "heldout.txt"), model.wv.key_to_index, list(counts.values()), recipe
    )
    fall = (recipe.rate - recipe.final_rate) / recipe.epochs
    with _Epochs(run, recipe, tables, totals["words"] * recipe.epochs, "words") as epochs:
        for epoch in epochs.left():
            model.random.seed([recipe.seed, epoch])
            model.train(
                corpus_file=str(run / "text" / "train.txt"),
                total_examples=totals["lines"],
                total_words=totals["words"],
                epochs=1,
                start_alpha=recipe.rate - epoch * fall,
                end_alpha=recipe.rate - (epoch + 1) * fall,
            )
            epochs.advance(totals["words"])
            epochs.end(heldout_loss=heldout.loss(**tables), predictions=len(heldout.targets))
    vectors = WordVectors(list(counts), np.array(list(counts.values())), model.wv.vectors)
    return _finish(run, vectors)


def train_glove(recipe: GloveRecipe, run: Path) -> Path:
    """Count co-occurrences and fit vectors to them; returns the folder of the vectors, `run/model`.

    Raises:
        HeadstartError: too little text, or a run folder of another recipe.
    """
    if _is_done(recipe, run):
        return run / "model"
    write_text(recipe.corpus, run / "text", lower_words, heldout_share=0)
    text = run / "text" / "train.txt"
    counts = count_words(text, recipe.model.min_count, recipe.model.most_words)
    cells = count_cells(text, list(counts), recipe.model.window, recipe.seed, run / "cells", recipe.workers)
    glove = Glove(run / "cells", len(counts), recipe.model.width, recipe.rate, recipe.seed)
    tables = {"tables": glove.tables, "squares": glove.squares}
    with _Epochs(run, recipe, tables, 2 * cells * recipe.epochs, "cells") as epochs:
        for epoch in epochs.left():
            total, loss = 0, 0.0
            for number, part in glove.epoch(epoch, recipe.seed, recipe.workers):
                total, loss = total + number, loss + part
                epochs.advance(number)
            if not np.isfinite(loss):
                raise HeadstartError(
                    f"the loss is {loss} in pass {epoch + 1} of {run}; lower rate and use a new folder"
                )
            epochs.end(loss=loss / total, cells=total)
    vectors = WordVectors(list(counts), np.array(list(counts.values())), glove.vectors())
    remove(run / "cells")
    return _finish(run, vectors)


def _is_done(recipe: Word2VecRecipe | GloveRecipe, run: Path) -> bool:
    manifest = corpus_manifest(recipe.corpus)
    claim(run, recipe, manifest["funnel"], {"corpus", "workers"}, recipe.seed)
    return (run / "model").exists()


def _finish(run: Path, vectors: WordVectors) -> Path:
    vectors.save(run / "model")
    remove(run / "text")
    return run / "model"


class _Epochs:
    """The passes of a run: which are left, their metrics, a checkpoint after each.

    Args:
        tables: the arrays that training changes in place.
        total: what all passes together go through, in `unit`.
    """

    def __init__(
        self,
        run: Path,
        recipe: Word2VecRecipe | GloveRecipe,
        tables: dict[str, np.ndarray],
        total: int,
        unit: str,
    ) -> None:
        self.run, self.recipe, self.tables = run, recipe, tables
        self.done, self.seconds, metrics_seq = 0, 0.0, 0
        self.checkpoints = checkpoint.Checkpoints(run, recipe.keep_checkpoints)
        if (state := self.checkpoints.load_last(self._restore)) is not None:
            self.done, self.seconds, metrics_seq = state["step"], state["seconds"], state["metrics_seq"]
        self.metrics = Metrics(run, self.done)
        if self.metrics.seq:
            self.metrics.write("resume", self.done, after=metrics_seq)
        self.per_epoch = total / recipe.epochs
        self.bar = ProgressBar(f"train {recipe.model.family}", total, unit, self.done * self.per_epoch)

    def __enter__(self) -> "_Epochs":
        self.bar.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None:
            self.metrics.write("end", self.done)
        self.metrics.close()
        self.bar.__exit__(kind, error, trace)

    def left(self) -> Iterable[int]:
        for epoch in range(self.done, self.recipe.epochs):
            self._started = time.perf_counter()
            yield epoch

    def advance(self, units: float) -> None:
        self.bar.advance(units)

    def end(self, **figures: float) -> None:
        """Write what a pass reached, and the checkpoint after it."""
        elapsed = time.perf_counter() - self._started
        self.done, self.seconds = self.done + 1, self.seconds + elapsed
        speed = {f"{self.bar.unit}_per_second": round(self.per_epoch / elapsed, 1)}
        self.metrics.write("step", self.done, seconds=round(self.seconds, 3), **speed, **figures)
        tensors = {name: torch.from_numpy(table) for name, table in self.tables.items()}
        state = {"step": self.done, "seconds": self.seconds, "metrics_seq": self.metrics.seq}
        self.checkpoints.save_now({TENSORS: tensors}, state)

    def _restore(self, files: checkpoint.Files) -> None:
        for name, table in self.tables.items():
            table[:] = files[TENSORS][name].numpy()


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
