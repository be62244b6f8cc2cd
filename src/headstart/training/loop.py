"""The pre-training loop: rows in, a run folder out.

A run folder goes on from its last checkpoint when the same recipe is started on it again, and ends
as the uninterrupted run would: what a step reads and draws depends on the seed and the step alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self, TypedDict

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, atomic, read_json, write_json
from headstart.interchange.model_folder import LoadedModel, load_model, save_model
from headstart.models.transformer import Transformer, build
from headstart.objectives.batch import Batch, batch_flops
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import tokens_manifest
from headstart.training.checkpoint import Files, Stored
from headstart.training.configuration import configuration
from headstart.training.distributed.parallel import ParallelContext, lost_contact, start
from headstart.training.distributed.tensors import extent, local
from headstart.training.evaluation import HeldOutFigures, held_out
from headstart.training.events import Event
from headstart.training.machine import keep_freed_memory, peak_memory
from headstart.training.model_card import model_card
from headstart.training.monitoring.capture import capture
from headstart.training.monitoring.diagnostics import Diagnostics
from headstart.training.monitoring.spikes import LARGEST, SpikeDetector
from headstart.training.monitoring.statistics import Statistics
from headstart.training.monitoring.utilisation import Utilisation
from headstart.training.recipe import PretrainRecipe
from headstart.training.run_folder import START, claim, run_output
from headstart.training.run_frame import Pace, Progress, RunFrame, Times
from headstart.training.schedule import rate_at, rows_at, rows_before
from headstart.training.step_cost import trial, with_steps
from headstart.training.trainer import Trainer

# The files of a checkpoint.
WEIGHTS, OPTIMISER, AVERAGE = "model.safetensors", "optimizer.safetensors", "average.safetensors"

# So many steps in a row whose loss or gradient is no number, or returns to a checkpoint, and a run is given
# up. Steps that are only far from the others end such a row earlier: they are the new level (`NEW_LEVEL`).
HOPELESS = 10

# On a GPU the loss and the gradient's norm of so many steps are read together.
GPU_FIGURES = 10

# What may be another when a run goes on, because the result does not depend on it: where things are, how
# the work is laid out, what is watched and what is kept.
FREE = {
    "tokens", "micro_rows", "device", "compile", "checkpoint_activations", "parallel", "checkpoint_every",
    "keep_checkpoints", "keep_every", "statistics_every", "figures_every", "sinks", "prompts",
    "snapshots", "capture_every",
}  # fmt: skip

Sampler = Callable[[Transformer, Tokenizer, str], str]

BEST = "best.safetensors"
"""In a run with `early_stop`: the weights with the lowest held-out loss."""


def pretrain(
    recipe: PretrainRecipe,
    run: Path,
    sample: Sampler | None = None,
    replace: bool = False,
    *,
    make: "type[Run] | None" = None,
    prepare: Callable[[], None] | None = None,
    read: Sequence[Path] = (),
    known: Sequence[Any] = (),
    free: Set[str] = frozenset(),
) -> Path:
    """Train a model as the recipe says, from its last checkpoint if there is one.

    Args:
        recipe: everything that shapes the result.
        run: the run folder.
        sample: continues a prompt, for the samples over training of a causal model.
        replace: delete what the run folder holds.
        make: the class of the run, where it is no plain one.
        prepare: makes the tokens, which then lie in the run folder.
        read: what is read besides.
        known: what identifies them.
        free: its settings on which the result does not depend.

    Returns:
        The model folder, `run/model`.

    Raises:
        HeadstartError: a run folder of another recipe, too little text, a loss that is no number, a
            process that is gone.
        Stopped: a signal or the control file asked for it; everything is saved.
    """
    layout = start(recipe.parallel, recipe.device)
    try:
        inputs = [*([recipe.start] if isinstance(recipe.start, Path) else []), *read]
        inputs += [recipe.tokens] if prepare is None else []
        with run_output(run, inputs, replace) if layout.main else nullcontext():
            if prepare is not None:
                prepare()
            asked = recipe.minutes
            recipe = with_steps(recipe, run, layout.size, (make or Run).trial)
            return _pretrain(recipe, run, layout, sample, make or Run, known, FREE | free, asked)
    except torch.OutOfMemoryError:
        raise HeadstartError(
            f"the GPU has too little memory for micro_rows={recipe.micro_rows} of context={recipe.context}; "
            "lower micro_rows (the result stays), set checkpoint_activations=true, or take more processes"
        ) from None
    except RuntimeError as error:
        raise (lost_contact(error, layout) or error) from None
    finally:
        layout.close()


def _pretrain(
    recipe: PretrainRecipe,
    run: Path,
    layout: ParallelContext,
    sample: Sampler | None,
    make: "type[Run]",
    known: Sequence[Any],
    free: Set[str],
    minutes: float | None,
) -> Path:
    folder = run / "model"
    tokens = tokens_manifest(recipe.tokens)
    tokenizer = open_tokenizer(recipe.tokens)
    config = make.configuration(recipe)
    if layout.main:
        data = [tokens["tokenizer_sha256"], tokens["splits"], *known]
        claim(run, recipe, data, set(free), recipe.seed, minutes)
    if layout.broadcast((folder / "config.json").exists()):
        return folder
    keep_freed_memory()
    model = build(config, recipe.seed, getattr(torch, recipe.precision))
    trained = make(recipe, run, model, tokenizer, layout, sample)
    trained.train()
    trained.write_model(folder, finished=True)
    return folder


def keep_best(model: Transformer, layout: ParallelContext, run: Path) -> None:
    """Write the weights with the lowest held-out loss so far: a run with `early_stop` ends with them."""
    weights = layout.whole(model)
    if layout.main:
        with atomic(run / BEST) as temporary:
            save_file({name: tensor.cpu().clone() for name, tensor in weights.items()}, temporary)


@dataclass
class PretrainProgress(Progress):
    """Where a pre-training run stands."""

    passed: int = 0
    """Steps whose rows were passed over when the run went back to a checkpoint."""
    returns: int = 0
    """How often it did."""
    best: float | None = None
    """The lowest held-out loss."""
    worse: int = 0
    """Evaluations since then."""
    spikes: SpikeDetector = field(default_factory=SpikeDetector)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The progress that a checkpoint's `state.json` holds; earlier versions said `guard` for `spikes`."""
        return super().from_state({"spikes": state["guard"], **state} if "guard" in state else state)


class KnownFigures(TypedDict):
    """The figures of a step's event that nobody has to wait for; see `StepEvent`."""

    tokens: int
    step_tokens: int
    learning_rate: float
    data_wait: float
    batch: int


class TimedFigures(KnownFigures, Times):
    """The same, and how long the run has trained."""


@dataclass(frozen=True)
class MadeStep:
    """A step whose figures are still on the device."""

    step: int
    figures: Tensor
    """Its loss, the squared norm of its gradient, and 1 if the device left it out: `[3]`."""
    known: KnownFigures
    """The figures of its event that are known already."""
    flops: int


class Run(RunFrame[PretrainProgress]):
    """The state of one pre-training run, and its steps."""

    unit = "tokens"
    configuration = staticmethod(configuration)
    """The model that a recipe trains."""
    trial = staticmethod(trial)
    """A trainer of it whose steps are timed and forgotten."""

    def __init__(
        self,
        recipe: PretrainRecipe,
        folder: Path,
        model: Transformer,
        tokenizer: Tokenizer,
        layout: ParallelContext,
        sample: Sampler | None = None,
    ) -> None:
        pace = Pace(
            recipe.steps,
            recipe.checkpoint_every,
            recipe.evaluate_every,
            recipe.keep_checkpoints,
            recipe.keep_every,
            recipe.snapshots,
        )
        progress = PretrainProgress(spikes=SpikeDetector(recipe.spike_deviations))
        super().__init__(folder, pace, progress, layout, recipe.sinks)
        self.title, self.peak_rate = f"pre-train {recipe.objective.kind}", recipe.optimiser.matrix_rate
        self.recipe, self.tokenizer, self.sample = recipe, tokenizer, sample
        self.whole_config = model.config
        begun = load_model(recipe.start, weights=False) if isinstance(recipe.start, Path) else None
        self.vectors = None if begun is None else begun.vectors
        self.trainer = self.make_trainer(model, begin=not self.checkpoints.folders())
        self.piece_bytes = torch.from_numpy(tokenizer.piece_bytes)
        self.diagnostics = Diagnostics()
        self.figures_every = recipe.figures_every or (GPU_FIGURES if layout.device.type == "cuda" else 1)
        self._made: list[MadeStep] = []
        self._made_from = (0.0, 0.0)
        """The run's seconds and core-seconds before the first of them."""
        self.utilisation = Utilisation(self._peak(), getattr(torch, recipe.precision))

    def make_trainer(self, model: Transformer, begin: bool) -> Trainer:
        """What computes the steps; `begin` as in `Trainer`."""
        return Trainer(self.recipe, model, self.tokenizer, self.layout, begin)

    def _peak(self) -> float | None:
        """Operations a second of matrix products, as measured when the run began."""
        if not self.layout.main:
            return None
        machine = read_json(self.folder / "run.json", JSONObject).get("machine", {})
        machine = machine.get("gpu", {}) if self.layout.device.type == "cuda" else machine
        rate = machine.get("gemm_gflops", {}).get(self.recipe.precision)
        return rate * 1e9 if rate else None

    # What the frame asks

    @property
    def model(self) -> Transformer:
        """The model that learns."""
        return self.trainer.model

    def done(self, step: int) -> float:
        """Tokens of the steps before this one."""
        return rows_before(step, self.recipe) * self.recipe.context

    def ends_early(self) -> bool:
        """Whether evaluations have not got better for too long."""
        return self.recipe.early_stop is not None and self.progress.worse >= self.recipe.early_stop

    def see(self, event: Event) -> list[str]:
        """What the diagnostics have to say."""
        return self.diagnostics.see(event)

    def close(self) -> None:
        """End the background thread of the data."""
        self.trainer.close()

    def begin(self) -> None:
        """Find out before the first step whether a GPU has memory enough; nothing is left of it."""
        if self.layout.device.type != "cuda":
            return
        batch = self.trainer.data.batch(self.step)
        part = next(self.layout.share(batch).split(self.recipe.micro_rows))
        self.layout.backward([part], len(batch.targets))
        self.trainer.optimiser.clear()

    def tensors(self) -> Files:
        """Weights, optimiser and average."""
        files = {WEIGHTS: self.model.state_dict(), OPTIMISER: self.trainer.optimiser.state()}
        if self.trainer.average is not None:
            files[AVERAGE] = self.trainer.average.state()
        return files

    @torch.no_grad()
    def take_up(self, stored: Stored) -> None:
        """Take up the tensors of a checkpoint, each as far as this process has it."""
        for name, tensor in self.model.state_dict().items():
            local(tensor).copy_(stored.read(WEIGHTS, name, extent(tensor)))
        self.trainer.optimiser.load_state(stored.names(OPTIMISER), partial(stored.read, OPTIMISER))
        if self.trainer.average is not None:
            self.trainer.average.load_state(partial(stored.read, AVERAGE))

    def write_model(self, folder: Path, finished: bool = False) -> None:
        """Write a model folder: of the average where there is one, for that is what was evaluated.

        Args:
            finished: in float32, with the weights of the lowest held-out loss where `early_stop` keeps them;
                else the weights as they are, in bfloat16.
        """
        average, recipe = self.trainer.average, self.recipe
        with average.applied() if average is not None else nullcontext():
            weights = self.layout.whole(self.model)
            if not self.layout.main:
                return
            best = finished and recipe.early_stop is not None
            if best and (self.folder / BEST).exists():
                weights = load_file(self.folder / BEST)
            with torch.device("meta"):
                whole = Transformer(self.whole_config)  # no memory of its own: it takes weights as they lie
            whole.load_state_dict(weights, assign=True)
            card = self.card(whole, None if best else self.step)
            dtype = torch.float32 if finished else torch.bfloat16
            save_model(folder, self.as_loaded(whole), card, dtype=dtype)

    def card(self, whole: Transformer, step: int | None) -> str:
        """The model card, at a step; None: at that of the lowest held-out loss."""
        return model_card(self.recipe, whole, self.folder, step)

    def as_loaded(self, whole: Transformer) -> LoadedModel:
        """The model as its folder will be read: what it began from says how its vectors come about."""
        return LoadedModel(whole, self.tokenizer, self.recipe.objective.head, vectors=self.vectors)

    # A step

    def update(self) -> str:
        """One optimiser step; the loss is the mean over all targets of the step, however it is split."""
        trainer, progress = self.trainer, self.progress
        place = self.step + progress.passed
        with self.timed() as elapsed:
            batch = trainer.data.batch(place)
            every = self.recipe.capture_every
            looked_at = self.capture_next or (every is not None and self.step % every == 0)
            if looked_at:
                self._capture(batch)
            loss, square = trainer.gradients(batch, self.step, trainer.micro_rows(place))
            scale = progress.rate_factor * rate_at(self.step, self.recipe.steps, self.recipe.optimiser)
            known = self._known(batch, scale)
            flops = batch_flops(self.model.config, batch)
            if self.figures_every > 1:
                measured = self._made_ahead(batch, loss, square, scale, known, flops, looked_at)
                words = ""
            else:
                figures = torch.stack([loss, square]).tolist()  # waits for the device, once
                norm = math.sqrt(figures[1])
                why = progress.spikes.judge(figures[0], norm)
                if why is not None and self._spike(why, figures[0], norm, self.step + 1) != "ignore":
                    return "step left out"
                measured = self._measured(batch, looked_at) if why is None else None
                trainer.apply(scale, norm)
                progress.step += 1
                words = self._told(self.step, figures[0], norm, elapsed(), {**known, **self.times()}, flops)
        step = self.step
        if len(self._made) >= self.figures_every or (self._made and measured is not None):
            words = self.gather()
        if measured is not None and self.step == step:  # no return to a checkpoint
            self.tell("statistics", tensors=measured.after())
        return words

    def _known(self, batch: Batch, scale: float) -> KnownFigures:
        """The figures of a step that nobody has to wait for."""
        source = 0 if batch.source is None else batch.source.numel()
        return {
            "tokens": rows_before(self.step + 1, self.recipe) * self.recipe.context,
            "step_tokens": batch.ids.numel() + source,
            "learning_rate": scale * self.recipe.optimiser.matrix_rate,
            "data_wait": round(self.trainer.data.waited, 4),
            "batch": self.trainer.data.digest,
        }

    def _told(
        self, step: int, loss: float, norm: float, seconds: float, known: TimedFigures, flops: int
    ) -> str:
        """Write the event of a step that took so many seconds; a few words about it."""
        mfu = self.utilisation.share(flops / seconds / self.layout.size)
        rows = rows_at(step - 1, self.recipe)
        self.tell(
            "step",
            step,
            **known,
            tokens_per_second=round(rows * self.recipe.context / seconds, 1),
            loss=loss,
            gradient_norm=norm,
            mfu=mfu,
            memory_bytes=peak_memory(self.layout.device),
        )
        return f"loss {loss:.3f}" + ("" if mfu is None else f" mfu {mfu:.0%}")

    # Steps whose figures are read together

    def _made_ahead(
        self,
        batch: Batch,
        loss: Tensor,
        square: Tensor,
        scale: float,
        known: KnownFigures,
        flops: int,
        looked_at: bool,
    ) -> Statistics | None:
        """Make a step without waiting for its figures; the device leaves it out where they are out of the
        ordinary, by what was ordinary when figures were read last."""
        progress, norm = self.progress, square.sqrt()
        limits = progress.spikes.limits() if self.recipe.on_spike == "skip" else (LARGEST, LARGEST)
        sound = (loss <= limits[0]) & (norm <= limits[1])  # false for what is no number
        left_out = 1.0 - sound.float()
        measured = self._measured(batch, looked_at)
        self.trainer.apply(scale, norm, left_out)
        if not self._made:
            self._made_from = progress.seconds, progress.core_seconds
        progress.step += 1
        self._made.append(MadeStep(self.step, torch.stack([loss, square, left_out]), known, flops))
        return measured

    def gather(self) -> str:
        """Read the figures of the steps that were made since the last time, and act on them."""
        made, self._made = self._made, []
        if not made:
            return ""
        with self.timed():
            figures = torch.stack([one.figures for one in made]).tolist()  # waits for the device, once
        progress, words = self.progress, ""
        seconds = (progress.seconds - self._made_from[0]) / len(made)
        cores = (progress.core_seconds - self._made_from[1]) / len(made)
        for number, (one, (loss, square, left_out)) in enumerate(zip(made, figures, strict=True), 1):
            norm = math.sqrt(square)
            why = progress.spikes.judged(loss, norm, bool(left_out), self.recipe.on_spike != "skip")
            if left_out and self.trainer.average is not None:
                self.trainer.average.updates -= 1
            if why is not None or left_out:
                why = why or f"loss {loss:.3f}, gradient norm {norm:.3g}: a new level"
                action = self._spike(why, loss, norm, one.step, made=True, left_out=bool(left_out))
                if action == "rollback":
                    return "steps left out"
                if left_out:
                    continue
            times: Times = {
                "seconds": round(self._made_from[0] + number * seconds, 3),
                "core_seconds": round(self._made_from[1] + number * cores, 3),
            }
            words = self._told(one.step, loss, norm, seconds, {**one.known, **times}, one.flops)
        return words

    # What happens now and then

    def evaluate(self) -> None:
        """Loss on the same held-out rows every time, in nats a token and bits a byte, whole and by domain."""
        if self.layout.device.type == "cpu":
            self.utilisation.look_again()
        average = self.trainer.average
        with torch.no_grad(), average.applied() if average is not None else nullcontext():
            self._evaluate()
        if self.step == 0 and self.recipe.start == "static":  # by which the worth of training is told
            with self.optional("the static start"):
                self.write_model(self.folder / START)

    def _evaluate(self) -> None:
        recipe, layout, progress = self.recipe, self.layout, self.progress
        self.model.eval()
        figures = self.held_out()
        better = math.isfinite(figures["loss"]) and (progress.best is None or figures["loss"] < progress.best)
        progress.worse = 0 if better else progress.worse + 1
        progress.best = figures["loss"] if better else progress.best
        if better and recipe.early_stop is not None:
            keep_best(self.model, layout, self.folder)
        self.tell("evaluation", tokens=self.done(self.step), **self.times(), **figures)
        if self.sample is not None and layout.main and not layout.split:
            samples = [
                {"prompt": p, "text": self.sample(self.model, self.tokenizer, p)} for p in recipe.prompts
            ]
            with self.optional("the samples"):
                write_json(
                    self.folder / "samples" / f"step-{self.step:06d}.json",
                    {"step": self.step, "samples": samples},
                )

    def held_out(self) -> HeldOutFigures:
        """The figures of an evaluation."""
        return held_out(self.trainer.data, self.layout, self.piece_bytes, self.recipe.micro_rows)

    def _spike(
        self, why: str, loss: float, norm: float, at: int, made: bool = False, left_out: bool = False
    ) -> str:
        """Act on a step out of the ordinary; returns what is done: ignore, skip or rollback.

        Args:
            at: the step.
            made: whether the step was made before its figures were known.
            left_out: whether it moved nothing then.
        """
        recipe, progress = self.recipe, self.progress
        hopeless = progress.spikes.in_a_row >= HOPELESS or progress.returns >= HOPELESS
        no_number = not (math.isfinite(loss) and math.isfinite(norm))
        if recipe.on_spike == "stop" or hopeless or (no_number and recipe.on_spike == "ignore"):
            raise HeadstartError(
                f"the loss is {loss}, the gradient's norm {norm:.3g}, at step {at} of "
                f"{self.folder}; lower optimiser.matrix_rate and optimiser.vector_rate and start again in a "
                "new folder"
            )
        if recipe.on_spike == "ignore":
            return "ignore"
        if not made:
            self.trainer.optimiser.clear()
        if recipe.on_spike == "rollback" and self._back_to_checkpoint(self.step if made else self.step + 1):
            self.tell("spike", why=why, action="rollback", at=at)
            return "rollback"
        if not made:
            progress.step += 1
        action = "ignore" if made and not left_out else "skip"
        self.tell("spike", at, why=why, action=action, at=at)
        return action

    def _back_to_checkpoint(self, read: int) -> bool:
        """Return to the last checkpoint, if there is one, and pass over the rows that were read since.

        Args:
            read: the step whose rows were read last.

        Returns:
            Whether there is a checkpoint.
        """
        if trouble := self.checkpoints.wait():
            self.note(f"{trouble}; the run goes on")
        self.layout.broadcast(None)  # what the others wrote is there, too
        now = self.progress
        if not self.restore():
            return False
        self.progress = now.back_to(self.progress)
        self.progress.passed = now.passed + read - self.step
        self.progress.returns = now.returns + 1
        return True

    def _measured(self, batch: Batch, looked_at: bool) -> Statistics | None:
        """The measure of a step: of every so many, and of those that are captured."""
        every = self.recipe.statistics_every
        if not looked_at and (every is None or (self.step + 1) % every):
            return None
        # Heads over pairs of texts learn from pairs alone.
        idle = () if batch.pair_positions is not None else ("pooler.", "next_sentence.")
        return Statistics((n, p) for n, p in self.model.named_parameters() if not n.startswith(idle))

    def _capture(self, batch: Batch) -> None:
        self.capture_next = False
        if self.layout.split or not self.layout.main:
            return
        folder = self.folder / "captures" / f"step-{self.step + 1:06d}"
        with self.optional("the capture"):
            capture(self.model, batch, self.tokenizer, folder)
