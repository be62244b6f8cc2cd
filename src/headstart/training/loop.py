"""The pre-training loop: rows in, a run folder out.

A run folder goes on from its last checkpoint when the same recipe is started on it again, and ends
as the uninterrupted run would: what a step reads and draws depends on the seed and the step alone.
"""

import math
import signal
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch

from headstart.errors import HeadstartError, Stopped
from headstart.folder import read_manifest, write_json
from headstart.interchange.model_folder import check_tokenizer, save_model
from headstart.models.config import TransformerConfig
from headstart.models.registry import family_named, make_config
from headstart.models.static_vectors import start_from_static
from headstart.models.transformer import Transformer, build
from headstart.objectives.batch import Batch, generator, join, loss_sum
from headstart.objectives.registry import OBJECTIVES, check_fit
from headstart.objectives.vocabulary import read_vocabulary
from headstart.progress import Bar
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import KIND, VERSION, TokenRows
from headstart.training import checkpoint, control
from headstart.training.machine import keep_freed_memory
from headstart.training.metrics import Metrics, read_metrics
from headstart.training.optimiser import Optimiser, rate_at
from headstart.training.recipe import PretrainRecipe
from headstart.training.run_folder import claim, signals

# Streams of random numbers that must not meet those of the steps.
ROW_STREAM, ORDER_STREAM, EVALUATION_STREAM = 2**61, 2**62, 2**63

# The files of a checkpoint.
WEIGHTS, OPTIMISER = "model.safetensors", "optimizer.safetensors"

# How much text the static start counts in; more changes little and costs time.
STATIC_TOKENS = 8_000_000

Sampler = Callable[[Transformer, Tokenizer, str], str]


def pretrain(recipe: PretrainRecipe, run: Path, sample: Sampler | None = None) -> Path:
    """Train a model as the recipe says, from its last checkpoint if there is one.

    Args:
        recipe: everything that shapes the result.
        run: the run folder.
        sample: continues a prompt, for the samples over training of a causal model.

    Returns:
        The model folder, `run/model`.

    Raises:
        HeadstartError: a run folder of another recipe, too little text, a loss that is no number.
        Stopped: a signal or the control file asked for it; everything is saved.
    """
    folder = run / "model"
    tokens = read_manifest(recipe.tokens, KIND, VERSION)
    tokenizer = open_tokenizer(recipe.tokens)
    config = _config(recipe, tokenizer)
    claim(run, recipe, [tokens["tokenizer_sha256"], tokens["splits"]], {"tokens"}, recipe.seed)
    if (folder / "config.json").exists():
        return folder
    keep_freed_memory()
    model = build(config, recipe.seed, getattr(torch, recipe.precision))
    _Run(recipe, run, model, tokenizer, sample).train()
    save_model(folder, model, tokenizer, OBJECTIVES[recipe.objective.kind].head, _card(recipe, model, run))
    return folder


def _config(recipe: PretrainRecipe, tokenizer: Tokenizer) -> TransformerConfig:
    sizes = recipe.model.model_dump(exclude={"family"}, exclude_none=True)
    sizes |= {"vocab_size": tokenizer.vocab_size, "context": recipe.context}
    config = make_config(recipe.model.family, sizes)
    check_tokenizer(config, tokenizer)
    check_fit(recipe.objective, config, read_vocabulary(tokenizer))
    return config


class RowOrder:
    """Which rows a step reads: a new random order for every pass over the split."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self._order = lru_cache(maxsize=2)(self._permutation)

    def _permutation(self, epoch: int) -> np.ndarray:
        return generator(self.seed, ORDER_STREAM + epoch).permutation(self.count)

    def step(self, step: int, rows: int) -> np.ndarray:
        """The numbers of the rows that a step reads."""
        places = np.arange(step * rows, (step + 1) * rows)
        return np.array([self._order(place // self.count)[place % self.count] for place in places])


class _Run:
    """The state of one run, and its loop."""

    def __init__(
        self,
        recipe: PretrainRecipe,
        folder: Path,
        model: Transformer,
        tokenizer: Tokenizer,
        sample: Sampler | None,
    ) -> None:
        self.recipe, self.folder, self.model, self.tokenizer = recipe, folder, model, tokenizer
        self.sample = sample
        self.piece_bytes = torch.from_numpy(tokenizer.piece_bytes)
        family = family_named(recipe.model.family)
        self.vocabulary = read_vocabulary(tokenizer, getattr(family, "DECODER_START", "end"))
        self.objective = OBJECTIVES[recipe.objective.kind]
        length = self.objective.row_length(recipe.context, recipe.objective)
        self.train_rows = TokenRows(recipe.tokens, "train", length)
        self.heldout_rows = TokenRows(recipe.tokens, "heldout", length)
        self.order = RowOrder(len(self.train_rows), recipe.seed)
        self.optimiser = Optimiser(model, recipe.optimiser)
        self.step = 0
        self.seconds = 0.0
        self.rate_factor = 1.0
        self.control_seq = 0

    def batch(self, rows: TokenRows, numbers: np.ndarray, stream: int) -> Batch:
        ids, segments = rows.read(numbers)
        if not self.recipe.objective.static:
            return self._batch(ids, segments, stream)
        each = [
            self._batch(ids[row : row + 1], segments[row : row + 1], ROW_STREAM + int(number))
            for row, number in enumerate(numbers)
        ]
        return join(each)

    def _batch(self, ids: np.ndarray, segments: np.ndarray, stream: int) -> Batch:
        random = generator(self.recipe.seed, stream)
        return self.objective.batch(ids, segments, self.recipe.objective, self.vocabulary, random)

    def train(self) -> None:
        state = checkpoint.load_last(self.folder, self._restore)
        if state is None and self.recipe.start == "static":
            stream = self.train_rows.beginning(STATIC_TOKENS)
            start_from_static(self.model, stream, self.recipe.seed, self.tokenizer.special.all)
        if state is not None:
            self.step, self.seconds = state["step"], state["seconds"]
            self.rate_factor, self.control_seq = state["rate_factor"], state["control_seq"]
        self.steering = control.Control(self.folder, self.control_seq)
        with closing(Metrics(self.folder, self.step)) as self.metrics, torch.random.fork_rng(devices=[]):
            if self.metrics.seq:
                self.metrics.write("resume", self.step, after=state["metrics_seq"] if state else 0)
            self._steps(evaluated=state is not None)
            self.metrics.write("end", self.step)

    def _steps(self, evaluated: bool) -> None:
        """All steps that are left; `evaluated` says whether the weights as they are have been."""
        recipe = self.recipe
        tokens_per_step = recipe.rows * recipe.context
        title = f"pre-train {recipe.objective.kind}"
        total, done = recipe.steps * tokens_per_step, self.step * tokens_per_step
        with signals() as signalled, Bar(title, total, "tokens", done) as bar:
            if not evaluated:
                self.evaluate()
            while self.step < recipe.steps:
                self._obey(signalled)
                started = time.perf_counter()
                loss = self.update()
                elapsed = time.perf_counter() - started
                self.seconds += elapsed
                self.step += 1
                self.metrics.write(
                    "step",
                    self.step,
                    tokens=self.step * tokens_per_step,
                    seconds=round(self.seconds, 3),
                    tokens_per_second=round(tokens_per_step / elapsed, 1),
                    **loss,
                )
                bar.advance(tokens_per_step, f"loss {loss['loss']:.3f}")
                if self.step % recipe.evaluate_every == 0 or self.step == recipe.steps:
                    self.evaluate()
                if self.step % recipe.checkpoint_every == 0 or self.step == recipe.steps:
                    self.save()
            self._obey(signalled)  # a signal during the last step still stops what comes next

    def update(self) -> dict[str, float]:
        """One optimiser step; the loss is the mean over all targets of the step, however it is split."""
        recipe = self.recipe
        self.model.train()
        torch.manual_seed((recipe.seed << 32) + self.step)  # dropout
        batch = self.batch(self.train_rows, self.order.step(self.step, recipe.rows), self.step)
        total = torch.zeros(())
        for part in batch.split(recipe.micro_rows):
            loss = loss_sum(self.model, part) / len(batch.targets)
            loss.backward()
            total += loss.detach()
        value = float(total)
        if not math.isfinite(value):
            raise HeadstartError(
                f"the loss is {value} at step {self.step + 1} of {self.folder}; lower optimiser.matrix_rate "
                "and optimiser.vector_rate and start again in a new folder"
            )
        scale = self.rate_factor * rate_at(self.step, recipe.steps, recipe.optimiser)
        norm = self.optimiser.step(scale)
        return {"loss": value, "gradient_norm": norm, "learning_rate": scale * recipe.optimiser.matrix_rate}

    @torch.no_grad()
    def evaluate(self) -> None:
        """Loss on the same held-out rows every time, in nats a token and bits a byte of the targets."""
        recipe = self.recipe
        self.model.eval()
        count = min(recipe.evaluate_rows, len(self.heldout_rows))
        batch = self.batch(self.heldout_rows, np.arange(count), EVALUATION_STREAM)
        batch = replace(batch, pair_positions=None)  # whether texts follow each other is no part of the text
        nats = sum(float(loss_sum(self.model, part)) for part in batch.split(recipe.micro_rows))
        targets, size = len(batch.targets), int(self.piece_bytes[batch.targets].sum())
        self.metrics.write(
            "evaluation",
            self.step,
            tokens=self.step * recipe.rows * recipe.context,
            seconds=round(self.seconds, 3),
            loss=nats / targets,
            bits_per_byte=nats / math.log(2) / size,
            targets=targets,
        )
        if self.sample is not None:
            samples = [
                {"prompt": p, "text": self.sample(self.model, self.tokenizer, p)} for p in recipe.prompts
            ]
            write_json(
                self.folder / "samples" / f"step-{self.step:06d}.json",
                {"step": self.step, "samples": samples},
            )

    def save(self) -> None:
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "rate_factor": self.rate_factor,
            "control_seq": self.steering.seq,
            "metrics_seq": self.metrics.seq,
        }
        files = {WEIGHTS: self.model.state_dict(), OPTIMISER: self.optimiser.state()}
        checkpoint.save(self.folder, files, state, self.recipe.keep_checkpoints)

    def _restore(self, files: checkpoint.Files) -> None:
        self.model.load_state_dict(files[WEIGHTS])
        self.optimiser.load_state(files[OPTIMISER])

    def _obey(self, signalled: list[int]) -> None:
        """Act on a signal or on what the control file asks for; returns when the run may go on."""
        paused = False
        while True:
            command = self.steering.next()
            action = command.get("action")
            if action == "scale_learning_rate":
                self.rate_factor *= command["factor"]
                self.metrics.write("control", self.step, action=action, factor=command["factor"])
            elif action is not None:
                self.metrics.write("control", self.step, action=action)
            if action == "checkpoint":
                self.save()
            elif action == "stop":
                self._stop("the control file asked for it")
            elif action in ("pause", "resume"):
                paused = action == "pause"
            if signalled:
                self._stop(f"{signal.Signals(signalled[0]).name} came")
            if not paused:
                return
            time.sleep(0.2)

    def _stop(self, why: str) -> NoReturn:
        self.save()
        raise Stopped(f"stopped after step {self.step}: {why}; everything is saved, the same command goes on")


def seconds_per_step(recipe: PretrainRecipe, updates: int = 3) -> tuple[float, int]:
    """Measure what one step of a recipe costs on this machine; trains a model that is thrown away.

    Returns:
        Seconds a step (the fastest of `updates`, after one to warm up), and the model's parameters.
    """
    tokenizer = open_tokenizer(recipe.tokens)
    model = build(_config(recipe, tokenizer), recipe.seed, getattr(torch, recipe.precision))
    run = _Run(recipe, recipe.tokens, model, tokenizer, None)
    keep_freed_memory()
    run.update()
    fastest = math.inf
    for _ in range(updates):
        started = time.perf_counter()
        run.update()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest, sum(parameter.numel() for parameter in model.parameters())


def _card(recipe: PretrainRecipe, model: Transformer, run: Path) -> str:
    """The model card: what it is, what it was trained on, what it reached."""
    last = [event for event in read_metrics(run) if event["kind"] == "evaluation"][-1]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return (
        f"# {recipe.model.family}, {parameters:,} parameters\n\n"
        f"Pre-trained from random weights with headstart, {recipe.objective.kind} objective, "
        f"{last['tokens']:,} tokens in {recipe.steps:,} steps of {recipe.rows} rows "
        f"of {recipe.context} tokens.\n\n"
        f"Held-out loss {last['loss']:.4f} nats a target token, {last['bits_per_byte']:.4f} bits a byte "
        f"(n = {last['targets']:,} targets).\n\nThe full recipe is in `recipe.yaml` of the run."
    )
