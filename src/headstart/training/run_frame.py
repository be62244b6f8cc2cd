"""What every run has in common, whatever it trains: progress, steering, stop, resume, metrics, timing.

A run is a loop of steps. This module has the loop; a subclass says what one step does, what is evaluated,
and which tensors a checkpoint holds. What a run knows beside its tensors is one dataclass, `Progress`: a
checkpoint holds all of it, and a run that goes on takes up all of it.
"""

import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Generic, NoReturn, Self, TypedDict, TypeVar, get_type_hints

import torch
from safetensors import SafetensorError

from headstart.errors import HeadstartError, Stopped
from headstart.progress import ProgressBar
from headstart.training import control
from headstart.training.checkpoint import Checkpoints, Files, Stored
from headstart.training.distributed.parallel import ParallelContext, alone
from headstart.training.events import Event
from headstart.training.metrics import Metrics
from headstart.training.run_folder import signals

# How long a paused run waits before it reads the control file again, in seconds.
PAUSE = 0.2


class Times(TypedDict):
    """How long a run has trained, for an event."""

    seconds: float
    core_seconds: float


@dataclass
class Progress:
    """Where a run stands. A subclass adds fields with defaults: older checkpoints lack them."""

    step: int = 0
    """Updates that were made or left out."""
    seconds: float = 0.0
    core_seconds: float = 0.0
    rate_factor: float = 1.0
    """What all learning rates are multiplied by."""
    changed: bool = False
    """Whether somebody changed the learning rates by hand."""
    control_seq: int = 0
    """The last command of the control file that was obeyed."""
    metrics_seq: int = 0
    """The last event of the metrics."""

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The progress that a checkpoint's `state.json` holds, among other things."""
        found = rebuilt(cls, state)
        found.changed |= found.rate_factor != 1.0  # ELMo's checkpoints did not say it once
        return found

    def back_to(self, earlier: Self) -> Self:
        """The progress after a return to an earlier checkpoint: neither time nor commands are taken back."""
        lasting = ("seconds", "core_seconds", "rate_factor", "changed", "control_seq", "metrics_seq")
        return replace(earlier, **{name: getattr(self, name) for name in lasting})


P = TypeVar("P", bound=Progress)
T = TypeVar("T")


def rebuilt(cls: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass from what `asdict` gave; keys that it does not know are of somebody else."""
    hints = get_type_hints(cls)
    known = {field.name: values[field.name] for field in fields(cls) if field.name in values}  # type: ignore[arg-type]
    return cls(**{n: rebuilt(hints[n], v) if is_dataclass(hints[n]) else v for n, v in known.items()})


@dataclass(frozen=True)
class Pace:
    """How long a run is, and what happens how often."""

    steps: int
    checkpoint_every: int
    evaluate_every: int | None = None
    """None: never."""
    keep_checkpoints: int = 2
    keep_every: int | None = None
    snapshots: int = 0
    """Models that are kept of the way, at `snapshot_steps`."""


def snapshot_steps(steps: int, count: int) -> set[int]:
    """The steps of which models are kept: 0, the last one, and between them each about as many times the one
    before, for most is learned early."""
    if count < 2:
        return {0} if count else set()
    return {0} | {round(steps ** (1 - n / max(count - 2, 1))) for n in range(count - 1)}


class RunFrame(ABC, Generic[P]):
    """The state of one run, and its loop.

    Args:
        folder: the run folder.
        progress: of a run that has not begun.
        layout: this process among all of them; None: there are no others.
        sinks: where numbers go beside the metrics.
    """

    title: str
    """What is done, for the progress bar."""
    unit = "steps"
    """What the progress bar counts."""
    peak_rate: float
    """The learning rate that `set_learning_rate` replaces."""

    def __init__(
        self,
        folder: Path,
        pace: Pace,
        progress: P,
        layout: ParallelContext | None = None,
        sinks: Sequence[str] = ("tensorboard",),
    ) -> None:
        self.folder, self.pace, self.progress, self.sinks = folder, pace, progress, sinks
        self.layout = layout = layout or alone()
        self.checkpoints = Checkpoints(
            folder, pace.keep_checkpoints, pace.keep_every, layout.rank, layout.size, layout.split,
            layout.any,
        )  # fmt: skip
        self.metrics: Metrics | None = None
        """None in all processes but the main one."""
        self.bar: ProgressBar | None = None
        """None in all processes but the main one, and before the first step."""
        self.paused = False
        self.capture_next = False

    # What a run says of itself

    @abstractmethod
    def update(self) -> str:
        """One step, which raises `progress.step` and writes its event; a few words for the progress bar."""

    @abstractmethod
    def tensors(self) -> Files:
        """What a checkpoint holds."""

    @abstractmethod
    def take_up(self, stored: Stored) -> None:
        """Take up what `tensors` gave."""

    @abstractmethod
    def write_model(self, folder: Path) -> None:
        """Write the model as it is into a folder of its kind; all processes call it."""

    def evaluate(self) -> None:
        """Measure the model as it is, and write the event."""

    def begin(self) -> None:
        """What comes before the first step of a run that has not begun."""

    def ends_early(self) -> bool:
        """Whether the run ends before its last step."""
        return False

    def done(self, step: int) -> float:
        """What the steps before this one did, in `unit`."""
        return step

    def refusal(self, action: str) -> str | None:
        """Why this run cannot do what the control file asks for, in words; None: it can."""
        return None

    def gather(self) -> str:
        """Act on what steps left on the device; a few words for the progress bar."""
        return ""

    def see(self, event: Event) -> list[str]:
        """What there is to say about an event, in words."""
        return []

    def close(self) -> None:
        """Let go of what the run holds open."""

    # The loop

    @property
    def step(self) -> int:
        """Updates that were made or left out."""
        return self.progress.step

    def train(self) -> None:
        """Make all steps that are left.

        Raises:
            HeadstartError: the last checkpoint could not be written, or the run is hopeless.
            Stopped: a signal or the control file asked for it; everything is saved.
        """
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            stack.enter_context(closing(self))
            stack.enter_context(closing(self.checkpoints))
            resumed = self.restore()
            if self.layout.main:
                self.metrics = stack.enter_context(closing(Metrics(self.folder, self.step, self.sinks)))
                if self.metrics.seq:
                    self.tell("resume", after=self.progress.metrics_seq)
                for damage in self.checkpoints.damaged:
                    self.tell("note", text=damage)
            self._steps(resumed)
            if trouble := self.checkpoints.wait():
                raise HeadstartError(
                    f"{trouble}; make room and start the same again: it goes on from the one before"
                )
            self.tell("end", changed_by_control=self.progress.changed)

    def _steps(self, resumed: bool) -> None:
        pace, kept = self.pace, snapshot_steps(self.pace.steps, self.pace.snapshots)
        if self.layout.main:
            self.bar = ProgressBar(self.title, self.done(pace.steps), self.unit, self.done(self.step))
        with signals() as signalled, self.bar or nullcontext():
            if not resumed:
                self.begin()
                self.evaluate()
                self._snapshot(kept)
            while self.step < pace.steps and not self.ends_early():
                self._obey(signalled)
                before = self.step
                words = self.update()
                if self.bar is not None:
                    self.bar.advance(self.done(self.step) - self.bar.done, words)
                ended = self.step == pace.steps
                evaluates = pace.evaluate_every is not None and (
                    self.step % pace.evaluate_every == 0 or ended
                )
                saves = self.step % pace.checkpoint_every == 0 or ended
                if evaluates or saves or self.step in kept:
                    self.gather()
                if self.step <= before:  # back at a checkpoint, which was evaluated then
                    continue
                if evaluates:
                    self.evaluate()
                self._snapshot(kept)
                if saves or self.ends_early():
                    self.save()
            self._obey(signalled)  # a signal during the last step still stops what comes next

    @contextmanager
    def timed(self) -> Iterator[Callable[[], float]]:
        """Add the time of a step to the run's, up to the first call of what is yielded, or else to the end.

        Yields:
            A function that gives the step's seconds.
        """
        started, cores = time.perf_counter(), time.process_time()
        seconds: list[float] = []

        def elapsed() -> float:
            if not seconds:
                seconds.append(time.perf_counter() - started)
                self.progress.seconds += seconds[0]
                self.progress.core_seconds += time.process_time() - cores
            return seconds[0]

        yield elapsed
        elapsed()

    def times(self) -> Times:
        """The run's time so far, for an event."""
        return {
            "seconds": round(self.progress.seconds, 3),
            "core_seconds": round(self.progress.core_seconds, 3),
        }

    # What is written

    def tell(self, kind: str, step: int | None = None, /, **values: Any) -> None:
        """Write an event, by default of the step that was made last, and what there is to say about it."""
        if self.metrics is None:
            return
        for text in self.see(self.metrics.write(kind, self.step if step is None else step, **values)):
            self.note(text)

    def note(self, text: str) -> None:
        """Say something in words, in the metrics and on the terminal."""
        if self.metrics is not None:
            self.metrics.write("note", self.step, text=text)
        print(f"headstart: step {self.step}: {text}", file=sys.stderr)

    @contextmanager
    def optional(self, what: str) -> Iterator[None]:
        """What is no part of the result does not end a run when the disk is full."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            self.note(
                f"{what} could not be written ({getattr(error, 'strerror', None) or error}); the run goes on"
            )

    def save(self) -> None:
        """Begin to write a checkpoint."""
        self.gather()
        if self.metrics is not None:
            self.progress.metrics_seq = self.metrics.seq
        if trouble := self.checkpoints.save(self.tensors(), asdict(self.progress)):
            self.note(f"{trouble}; the run goes on")

    def _snapshot(self, kept: set[int]) -> None:
        if self.step in kept:
            with self.optional("the snapshot"):
                self.write_model(self.folder / "snapshots" / f"step-{self.step}")

    def restore(self) -> bool:
        """Go back to the last checkpoint; returns whether there is one."""
        state = self.checkpoints.load_last(self.take_up)
        if state is not None:
            self.progress = type(self.progress).from_state(state)
        return state is not None

    # Steering

    def _obey(self, signalled: list[int]) -> None:
        """Act on a signal or on what the control file asks for; returns when the run may go on."""
        while True:
            command: control.Command | None = self.layout.broadcast(
                control.next_command(self.folder, self.progress.control_seq) if self.layout.main else None
            )
            if command is not None:
                self.progress.control_seq = command["seq"]
                self._act(command)
            if self.layout.any(bool(signalled)):
                self._stop(
                    f"{signal.Signals(signalled[0]).name} came"
                    if signalled
                    else "another process was told to"
                )
            if command is None and self.paused:
                time.sleep(PAUSE)
            elif command is None or command["action"] == "step":
                return

    def _act(self, command: control.Command) -> None:
        """Do what a command says, and write that it was done."""
        action = command["action"]
        if refusal := self.refusal(action):
            self.note(f"{action} is not done: {refusal}")
            return
        number = control.NUMBERS.get(action)
        value = None if number is None else float(command[number])  # type: ignore[literal-required]
        if action == "scale_learning_rate" and value is not None:
            self.progress.rate_factor *= value
        elif action == "set_learning_rate" and value is not None:
            self.progress.rate_factor = value / self.peak_rate
        self.progress.changed |= number is not None
        self.tell("control", action=action, **({number: value} if number else {}))
        if action == "checkpoint":
            self.save()
        elif action == "capture":
            self.capture_next = True
        elif action == "stop":
            self._stop("the control file asked for it")
        elif action in ("pause", "resume"):
            self.paused = action == "pause"

    def _stop(self, why: str) -> NoReturn:
        self.save()
        if trouble := self.checkpoints.wait():
            raise HeadstartError(f"stopped after step {self.step}, but {trouble}")
        raise Stopped(f"stopped after step {self.step}: {why}; everything is saved, the same command goes on")
