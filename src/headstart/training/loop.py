"""The pre-training loop: rows in, a run folder out.

A run folder goes on from its last checkpoint when the same recipe is started on it again, and ends
as the uninterrupted run would: what a step reads and draws depends on the seed and the step alone.
"""

import hashlib
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError

from headstart.errors import HeadstartError, Stopped
from headstart.folder import read_json, read_manifest, write_json
from headstart.interchange.model_folder import load_model, save_model
from headstart.models.registry import family_named
from headstart.models.transformer import Transformer, build
from headstart.models.vectors.static_vectors import start_from_static
from headstart.objectives.batch import Batch, batch_flops
from headstart.objectives.registry import OBJECTIVES
from headstart.objectives.vocabulary import read_vocabulary
from headstart.progress import ProgressBar
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import KIND, VERSION
from headstart.training import checkpoint, control
from headstart.training.configuration import configuration
from headstart.training.data_loader import Feed
from headstart.training.evaluation import held_out
from headstart.training.machine import keep_freed_memory, peak_memory
from headstart.training.metrics import Metrics
from headstart.training.model_card import model_card
from headstart.training.monitoring.capture import capture
from headstart.training.monitoring.diagnostics import Watcher
from headstart.training.monitoring.spikes import Guard
from headstart.training.monitoring.statistics import Statistics
from headstart.training.muon import like
from headstart.training.optimiser import Optimiser
from headstart.training.parallel import ParallelContext, lost_contact, start
from headstart.training.recipe import PretrainRecipe
from headstart.training.run_folder import claim, signals
from headstart.training.schedule import cuts_at, rate_at, rows_at, rows_before
from headstart.training.weight_average import Average

# The files of a checkpoint.
WEIGHTS, OPTIMISER, AVERAGE = "model.safetensors", "optimizer.safetensors", "average.safetensors"

# How much text the static start counts in: some fifteen core-seconds; a quarter of it served texts worse.
STATIC_TOKENS = 16_000_000

# Steps out of the ordinary in a row, or returns to a checkpoint, after which a run is given up.
HOPELESS = 10

# What may be another when a run goes on, because the result does not depend on it: where things are, how
# the work is laid out, what is watched and what is kept.
FREE = {
    "tokens", "micro_rows", "device", "compile", "checkpoint_activations", "parallel", "checkpoint_every",
    "keep_checkpoints", "keep_every", "statistics_every", "sinks", "prompts",
}  # fmt: skip

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
        HeadstartError: a run folder of another recipe, too little text, a loss that is no number, a
            process that is gone.
        Stopped: a signal or the control file asked for it; everything is saved.
    """
    layout = start(recipe.parallel, recipe.device)
    try:
        return _pretrain(recipe, run, layout, sample)
    except torch.OutOfMemoryError:
        raise HeadstartError(
            f"the GPU has too little memory for micro_rows={recipe.micro_rows} of context={recipe.context}; "
            "lower micro_rows (the result stays), set checkpoint_activations=true, or take more processes"
        ) from None
    except RuntimeError as error:
        raise (lost_contact(error, layout) or error) from None
    finally:
        layout.close()


def _pretrain(recipe: PretrainRecipe, run: Path, layout: ParallelContext, sample: Sampler | None) -> Path:
    folder = run / "model"
    tokens = read_manifest(recipe.tokens, KIND, VERSION)
    tokenizer = open_tokenizer(recipe.tokens)
    config = configuration(recipe)
    if layout.main:
        claim(run, recipe, [tokens["tokenizer_sha256"], tokens["splits"]], FREE, recipe.seed)
    if layout.told((folder / "config.json").exists()):
        return folder
    keep_freed_memory()
    model = build(config, recipe.seed, getattr(torch, recipe.precision))
    Run(recipe, run, model, tokenizer, layout, sample).train()
    weights = layout.whole(model)
    if layout.main:
        model = build(config, recipe.seed, getattr(torch, recipe.precision))
        model.load_state_dict(weights)
        save_model(
            folder, model, tokenizer, OBJECTIVES[recipe.objective.kind].head, model_card(recipe, model, run)
        )
    return folder


class Run:
    """The state of one run, and its loop."""

    def __init__(
        self,
        recipe: PretrainRecipe,
        folder: Path,
        model: Transformer,
        tokenizer: Tokenizer,
        layout: ParallelContext,
        sample: Sampler | None = None,
    ) -> None:
        self.recipe, self.folder, self.model, self.tokenizer = recipe, folder, model, tokenizer
        self.layout, self.sample = layout, sample
        self.piece_bytes = torch.from_numpy(tokenizer.piece_bytes)
        family = family_named(model.config.family)
        self.feed = Feed(recipe, read_vocabulary(tokenizer, family.decoder_start))
        # Before the model is split, and of no use where a checkpoint replaces it.
        if recipe.start != "random" and not any((folder / "checkpoints").glob("step-*")):
            if isinstance(recipe.start, Path):
                model.load_state_dict(load_model(recipe.start).model.state_dict())
            else:
                ids, documents = self.feed.train.beginning(STATIC_TOKENS)
                start_from_static(model, ids, documents, recipe.seed, tokenizer.special.all)
        layout.place(model, recipe)
        self.optimiser = Optimiser(model, recipe.optimiser)
        decay = recipe.optimiser.average
        self.average = None if decay is None else Average(model, decay)
        self.guard = Guard(recipe.spike_deviations)
        self.watcher = Watcher()
        self.step = 0
        self.passed = 0
        """Steps whose rows were passed over when the run went back to a checkpoint."""
        self.returns = 0
        """How often it did."""
        self.seconds = self.core_seconds = 0.0
        self.rate_factor = 1.0
        self.control_seq = 0
        self.best = math.inf
        """The lowest held-out loss."""
        self.worse = 0
        """Evaluations since then."""
        self.capture_next = False
        self.paused = False
        self.changed = False
        """Whether somebody changed the learning rate by hand."""
        self.metrics: Metrics | None = None
        self.peak: float | None = None
        """Operations a second of matrix products, as measured on this machine."""

    def train(self) -> None:
        """All steps that are left."""
        recipe, layout = self.recipe, self.layout
        facts = read_json(self.folder / "run.json") if layout.main else {}
        machine = facts.get("machine", {})
        machine = machine.get("gpu", {}) if layout.device.type == "cuda" else machine
        if rate := machine.get("gemm_gflops", {}).get(recipe.precision):
            self.peak = rate * 1e9
        self.checkpoints = checkpoint.Checkpoints(
            self.folder, recipe.keep_checkpoints, recipe.keep_every, layout.rank, layout.size, layout.split
        )
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            stack.enter_context(closing(self.feed))
            stack.enter_context(closing(self.checkpoints))
            state = self.restore()
            self.steering = control.Control(self.folder, self.control_seq)
            if layout.main:
                self.metrics = stack.enter_context(closing(Metrics(self.folder, self.step, recipe.sinks)))
                if self.metrics.seq:
                    self.tell("resume", after=state["metrics_seq"] if state else 0)
                for damage in self.checkpoints.damaged:
                    self.tell("note", text=damage)
            self._steps(evaluated=state is not None)
            if trouble := self.checkpoints.wait():
                raise HeadstartError(
                    f"{trouble}; make room and start the same again: it goes on from the one before"
                )
            self.tell("end", changed_by_control=self.changed)
        if self.average is not None:
            self.average.swap()  # what is evaluated is what is saved

    def _steps(self, evaluated: bool) -> None:
        """All steps that are left; `evaluated` says whether the weights as they are have been."""
        recipe = self.recipe
        total, done = (rows_before(step, recipe) * recipe.context for step in (recipe.steps, self.step))
        title = f"pre-train {recipe.objective.kind}"
        bar = ProgressBar(title, total, "tokens", done) if self.layout.main else nullcontext()
        with signals() as signalled, bar:
            if not evaluated:
                self.dry_run()
                self.evaluate()
            while self.step < recipe.steps and not self._stalled():
                self._obey(signalled)
                before = self.step
                figures = self.update()
                if isinstance(bar, ProgressBar):
                    rows = rows_before(self.step, recipe) - rows_before(before, recipe)
                    bar.advance(rows * recipe.context, self._line(figures))
                if self.step <= before:  # back at a checkpoint, which was evaluated then
                    continue
                ended = self.step == recipe.steps
                if self.step % recipe.evaluate_every == 0 or ended:
                    self.evaluate()
                if self.step % recipe.checkpoint_every == 0 or ended or self._stalled():
                    self.save()
            self._obey(signalled)  # a signal during the last step still stops what comes next

    def update(self) -> dict[str, Any]:
        """One optimiser step; the loss is the mean over all targets of the step, however it is split."""
        recipe, layout = self.recipe, self.layout
        started, cores = time.perf_counter(), time.process_time()
        self.model.train()
        torch.manual_seed((recipe.seed << 32) + (layout.draw << 48) + self.step)  # dropout
        batch = self.feed.batch(self.step + self.passed)
        if self.capture_next:
            self._capture(batch)
        rows = recipe.micro_rows * cuts_at(self.step + self.passed, recipe)
        loss = float(layout.backward(list(layout.share(batch).split(rows)), len(batch.targets)))
        norm = math.sqrt(float(layout.square(self.optimiser.gradients())))
        why = self.guard.judge(loss, norm)
        scale = self.rate_factor * rate_at(self.step, recipe.steps, recipe.optimiser)
        before = self._measured(batch) if why is None else None
        if why is not None and self._spike(why, loss, norm):
            self._count(started, cores)
            return {}
        self.optimiser.step(scale, norm)
        if self.average is not None:
            self.average.update()
        self.step += 1
        elapsed = self._count(started, cores)
        tokens = batch.ids.numel()
        if batch.source is not None:
            tokens += batch.source.numel()
        figures = {
            "tokens": rows_before(self.step, recipe) * recipe.context,
            "step_tokens": tokens,
            "seconds": round(self.seconds, 3),
            "core_seconds": round(self.core_seconds, 3),
            "tokens_per_second": round(rows_at(self.step - 1, recipe) * recipe.context / elapsed, 1),
            "loss": loss,
            "gradient_norm": norm,
            "learning_rate": scale * recipe.optimiser.matrix_rate,
            "mfu": self._mfu(batch, elapsed),
            "memory_bytes": peak_memory(layout.device),
            "data_wait": round(self.feed.waited, 4),
            "batch": int.from_bytes(hashlib.blake2b(batch.ids.numpy().tobytes(), digest_size=6).digest()),
        }
        self.tell("step", **figures)
        if before is not None:
            self.tell("statistics", tensors=before.after())
        return figures

    @torch.no_grad()
    def evaluate(self) -> None:
        """Loss on the same held-out rows every time, in nats a token and bits a byte, whole and by domain."""
        with self.average.applied() if self.average is not None else nullcontext():
            self._evaluate()

    def _evaluate(self) -> None:
        recipe, layout = self.recipe, self.layout
        self.model.eval()
        figures = {
            "tokens": rows_before(self.step, recipe) * recipe.context,
            "seconds": round(self.seconds, 3),
            "core_seconds": round(self.core_seconds, 3),
            **held_out(self.feed, layout, self.piece_bytes, recipe.micro_rows),
        }
        self.worse = 0 if figures["loss"] < self.best else self.worse + 1
        self.best = min(self.best, figures["loss"])
        self.tell("evaluation", **figures)
        if self.sample is not None and layout.main and not layout.split:
            samples = [
                {"prompt": p, "text": self.sample(self.model, self.tokenizer, p)} for p in recipe.prompts
            ]
            with self._optional("the samples"):
                write_json(
                    self.folder / "samples" / f"step-{self.step:06d}.json",
                    {"step": self.step, "samples": samples},
                )

    def dry_run(self) -> None:
        """Find out before the first step whether a GPU has memory enough; nothing is left of it."""
        if self.layout.device.type != "cuda":
            return
        batch = self.feed.batch(self.step)
        part = next(self.layout.share(batch).split(self.recipe.micro_rows))
        self.layout.backward([part], len(batch.targets))
        self.optimiser.clear()

    def tell(self, kind: str, **values: Any) -> None:
        """Write an event, and what the watcher has to say about it."""
        if self.metrics is None:
            return
        event = self.metrics.write(kind, self.step, **values)
        for text in self.watcher.see(event):
            self.note(text)

    def note(self, text: str) -> None:
        """Say something in words, in the metrics and on the terminal."""
        if self.metrics is not None:
            self.metrics.write("note", self.step, text=text)
        print(f"headstart: step {self.step}: {text}", file=sys.stderr)

    def save(self) -> None:
        """Begin to write a checkpoint."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "core_seconds": self.core_seconds,
            "rate_factor": self.rate_factor,
            "control_seq": self.steering.seq,
            "metrics_seq": self.metrics.seq if self.metrics is not None else 0,
            "passed": self.passed,
            "returns": self.returns,
            "guard": self.guard.state(),
            "best": self.best if math.isfinite(self.best) else None,
            "worse": self.worse,
            "changed": self.changed,
        }
        files = {WEIGHTS: self.model.state_dict(), OPTIMISER: self.optimiser.state()}
        if self.average is not None:
            files[AVERAGE] = self.average.state()
        if trouble := self.checkpoints.save(files, state):
            self.note(f"{trouble}; the run goes on")

    def restore(self) -> dict[str, Any] | None:
        """Go back to the last checkpoint; returns its state, or None where there is none."""
        state = self.checkpoints.load_last(self._take_up)
        if state is None:
            return None
        self.step, self.passed, self.returns = state["step"], state["passed"], state["returns"]
        self.seconds, self.core_seconds = state["seconds"], state["core_seconds"]
        self.rate_factor, self.control_seq = state["rate_factor"], state["control_seq"]
        self.changed = state["changed"]
        self.guard = Guard.from_state(self.recipe.spike_deviations, state["guard"])
        self.best, self.worse = math.inf if state["best"] is None else state["best"], state["worse"]
        return state

    @torch.no_grad()
    def _take_up(self, files: checkpoint.Files) -> None:
        for name, tensor in self.model.state_dict().items():
            tensor.copy_(like(tensor, files[WEIGHTS][name]))
        self.optimiser.load_state(files[OPTIMISER])
        if self.average is not None:
            self.average.load_state(files[AVERAGE])

    # What happens now and then

    def _spike(self, why: str, loss: float, norm: float) -> bool:
        """Act on a step out of the ordinary; returns whether it is left out."""
        recipe = self.recipe
        hopeless = self.guard.in_a_row >= HOPELESS or self.returns >= HOPELESS
        no_number = not (math.isfinite(loss) and math.isfinite(norm))
        if recipe.on_spike == "stop" or hopeless or (no_number and recipe.on_spike == "ignore"):
            raise HeadstartError(
                f"the loss is {loss}, the gradient's norm {norm:.3g}, at step {self.step + 1} of "
                f"{self.folder}; lower optimiser.matrix_rate and optimiser.vector_rate and start again in a "
                "new folder"
            )
        if recipe.on_spike == "ignore":
            return False
        self.optimiser.clear()
        action = recipe.on_spike
        step, passed, returns = self.step, self.passed, self.returns
        lasting = {
            name: getattr(self, name) for name in ("seconds", "core_seconds", "rate_factor", "changed")
        }
        if action == "rollback":
            if trouble := self.checkpoints.wait():
                self.note(f"{trouble}; the run goes on")
            self.layout.told(None)  # what the others wrote is there, too
        if action == "rollback" and self.restore() is not None:
            vars(self).update(lasting)
            self.passed = passed + step + 1 - self.step
            self.returns = returns + 1
        else:
            action = "skip"
            self.step += 1
        self.tell("spike", why=why, action=action, at=step + 1)
        return True

    def _count(self, started: float, cores: float) -> float:
        """Add a step's time to the run's; returns its seconds."""
        elapsed = time.perf_counter() - started
        self.seconds += elapsed
        self.core_seconds += time.process_time() - cores
        return elapsed

    def _stalled(self) -> bool:
        """Whether the run ends early, for evaluations have not got better."""
        return self.recipe.early_stop is not None and self.worse >= self.recipe.early_stop

    def _measured(self, batch: Batch) -> Statistics | None:
        every = self.recipe.statistics_every
        if every is None or (self.step + 1) % every:
            return None
        # Heads over pairs of texts learn from pairs alone.
        idle = () if batch.pair_positions is not None else ("pooler.", "next_sentence.")
        return Statistics((n, p) for n, p in self.model.named_parameters() if not n.startswith(idle))

    def _capture(self, batch: Batch) -> None:
        self.capture_next = False
        if self.layout.split or not self.layout.main:
            return
        folder = self.folder / "captures" / f"step-{self.step + 1:06d}"
        with self._optional("the capture"):
            capture(self.model, batch, self.tokenizer, folder)

    @contextmanager
    def _optional(self, what: str) -> Iterator[None]:
        """What is no part of the result does not end a run when the disk is full."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            self.note(
                f"{what} could not be written ({getattr(error, 'strerror', None) or error}); the run goes on"
            )

    def _mfu(self, batch: Batch, seconds: float) -> float | None:
        """Operations of a step over what matrix products at their measured best would do in its time."""
        if self.peak is None:
            return None
        return round(batch_flops(self.model.config, batch) / seconds / self.peak / self.layout.size, 4)

    def _line(self, figures: dict[str, Any]) -> str:
        if not figures:
            return "step left out"
        mfu = f" mfu {figures['mfu']:.0%}" if figures["mfu"] is not None else ""
        return f"loss {figures['loss']:.3f}{mfu}"

    def _obey(self, signalled: list[int]) -> None:
        """Act on a signal or on what the control file asks for; returns when the run may go on."""
        while True:
            command = self.layout.told(self.steering.next() if self.layout.main else None)
            action = command.get("action")
            if action == "scale_learning_rate":
                self.rate_factor *= command["factor"]
            elif action == "set_learning_rate":
                self.rate_factor = command["rate"] / self.recipe.optimiser.matrix_rate
            if action is not None:
                name = control.NUMBERS.get(action)
                self.changed |= name is not None
                self.tell("control", action=action, **({name: command[name]} if name else {}))
            if action == "checkpoint":
                self.save()
            elif action == "capture":
                self.capture_next = True
            elif action == "stop":
                self._stop("the control file asked for it")
            elif action in ("pause", "resume"):
                self.paused = action == "pause"
            if self.layout.any(bool(signalled)):
                self._stop(
                    f"{signal.Signals(signalled[0]).name} came"
                    if signalled
                    else "another process was told to"
                )
            if action is None and self.paused:
                time.sleep(0.2)
            elif action in (None, "step"):
                return

    def _stop(self, why: str) -> NoReturn:
        self.save()
        if trouble := self.checkpoints.wait():
            raise HeadstartError(f"stopped after step {self.step}, but {trouble}")
        raise Stopped(f"stopped after step {self.step}: {why}; everything is saved, the same command goes on")
