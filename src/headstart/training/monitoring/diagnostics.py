"""Reads a run's events as they come and says in words what looks wrong, once for each thing.

A note is a guess with its figures, not a verdict; the run goes on.
"""

import statistics
from collections import deque

from headstart.training.events import EvaluationEvent, Event, StatisticsEvent, StepEvent

# Steps that a judgement looks back over, and before which there is none.
WINDOW = 50
# Steps whose batches are remembered.
REMEMBERED = 100_000


class Diagnostics:
    """What was seen of a run, and what was said already."""

    def __init__(self) -> None:
        self.losses: deque[float] = deque(maxlen=WINDOW)
        self.norms: deque[float] = deque(maxlen=4 * WINDOW)
        self.seconds: deque[float] = deque(maxlen=WINDOW)
        self.waits: deque[float] = deque(maxlen=WINDOW)
        self.speeds: deque[float] = deque(maxlen=WINDOW)
        self.lowest = float("inf")
        self.fastest = 0.0
        self.heldout: list[tuple[int, float, float | None]] = []
        self.batches: dict[int, int] = {}
        self.silent: dict[str, int] = {}
        self._open: set[str] = set()

    def see(self, event: Event) -> list[str]:
        """What there is to say about one event."""
        verdicts: dict[str, str | None] = {}
        if event["kind"] == "step":
            verdicts = self._step(event)
        elif event["kind"] == "evaluation":
            verdicts = self._evaluation(event)
        elif event["kind"] == "statistics":
            verdicts = self._statistics(event)
        fresh = [note for name, note in verdicts.items() if note is not None and name not in self._open]
        for name, note in verdicts.items():
            (self._open.add if note is not None else self._open.discard)(name)
        return fresh

    def _step(self, event: StepEvent) -> dict[str, str | None]:
        verdicts: dict[str, str | None] = {}
        batch, step = event.get("batch"), event["step"]
        if batch is not None:
            earlier = self.batches.get(batch)
            verdicts["repeated"] = (
                None
                if earlier is None
                else (
                    f"step {step} read the very batch of step {earlier}: is there less data than you think?"
                )
            )
            self.batches[batch] = step
            if len(self.batches) > REMEMBERED:
                del self.batches[next(iter(self.batches))]
        self.losses.append(event["loss"])
        self.norms.append(event["gradient_norm"])
        self.speeds.append(event["tokens_per_second"])
        self.waits.append(event.get("data_wait", 0.0))
        self.seconds.append(event["seconds"])
        if len(self.losses) < WINDOW:
            return verdicts
        loss = statistics.fmean(self.losses)
        self.lowest = min(self.lowest, loss)
        verdicts["divergence"] = (
            f"the loss rises: {loss:.3f} over the last {WINDOW} steps, {self.lowest:.3f} before; a lower "
            "learning rate may help (control: scale_learning_rate)"
            if loss > self.lowest + 0.3
            else None
        )
        if len(self.norms) == self.norms.maxlen:
            usual, now = statistics.median(self.norms), statistics.median(list(self.norms)[-WINDOW:])
            verdicts["norm"] = (
                f"gradients grow: norm {now:.3g} over {WINDOW} steps, {usual:.3g} over four times as many"
                if now > 4 * usual
                else None
            )
        speed = statistics.median(self.speeds)
        self.fastest = max(self.fastest, speed)
        verdicts["slow"] = (
            f"steps got slower: {speed:,.0f} tokens a second, {self.fastest:,.0f} before; is something else "
            "running on this machine?"
            if speed < 0.5 * self.fastest
            else None
        )
        share = (sum(self.waits) - self.waits[0]) / max(self.seconds[-1] - self.seconds[0], 1e-9)
        verdicts["stalled"] = (
            f"{share:.0%} of the time goes into waiting for data; is the disk slow, or the mask rule costly?"
            if share > 0.2
            else None
        )
        return verdicts

    def _evaluation(self, event: EvaluationEvent) -> dict[str, str | None]:
        train = statistics.fmean(self.losses) if self.losses else None
        self.heldout.append((event["step"], event["loss"], train))
        if len(self.heldout) < 4:
            return {}
        best_step, best, train_then = min(self.heldout, key=lambda one: one[1])
        rising = (
            all(loss > 1.01 * best for _, loss, _ in self.heldout[-3:]) and best_step < self.heldout[-3][0]
        )
        falling = train is not None and train_then is not None and train < train_then
        overfits = (
            f"held-out loss rises ({event['loss']:.3f}, lowest {best:.3f} at step {best_step}) while the "
            "training loss falls: the model learns its text by heart; more text, fewer steps, or early_stop"
        )
        return {"overfitting": overfits if rising and falling else None}

    def _statistics(self, event: StatisticsEvent) -> dict[str, str | None]:
        verdicts: dict[str, str | None] = {}
        for name, figures in event["tensors"].items():
            self.silent[name] = self.silent.get(name, 0) + 1 if figures["gradient"] == 0 else 0
            verdicts[f"dead {name}"] = (
                f"{name} gets no gradient: nothing that it computes reaches the loss"
                if self.silent[name] > 1
                else None
            )
            verdicts[f"fast {name}"] = (
                f"one step changes {name} by {figures['update']:.0%} of its size: too high a learning rate"
                if figures["update"] > 0.2 and figures["weight"] > 1e-3 and event["step"] > WINDOW
                else None
            )
        return verdicts
