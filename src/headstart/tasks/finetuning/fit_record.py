"""The course of one fine-tuning as it goes: the loss of every step, and how it would score by now."""

import time
from pathlib import Path
from typing import Self

from headstart.tasks.examples import Examples
from headstart.tasks.metrics import measure
from headstart.tasks.predictor import Predictor
from headstart.training.metrics import FILE, Metrics

ASKED = 60
"""Test examples that are answered on the way."""
LOOKS = 10
"""How often, at equal ratios of steps: most is learned early."""


class FitRecord:
    """Writes `metrics.jsonl` of a fit: a `step` event a step, now and then an `evaluation` with the score on
    some test examples. Nothing is chosen by these, and the fit is the same as one that nobody looks at.

    Args:
        folder: where the file goes.
        test: what is answered on the way: its first examples.
    """

    def __init__(self, folder: Path, test: Examples) -> None:
        (folder / FILE).unlink(missing_ok=True)  # of a fit that was killed: it begins anew
        self.metrics = Metrics(folder, 0, sinks=())
        self.test = test.subset(range(min(ASKED, len(test))))
        self.began = time.perf_counter()
        self.looking = 0.0
        """Seconds that were spent on answering, and count for nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *wrong: object) -> None:
        self.metrics.close()

    def __call__(self, predictor: Predictor, step: int, steps: int, loss: float | None) -> None:
        """After a step, or before the first.

        Args:
            loss: of the step; None before the first.
        """
        seconds = self.seconds
        if loss is not None:
            self.metrics.write("step", step, seconds=seconds, loss=loss)
        if step in looks(steps) and not predictor.model.writes:
            began = time.perf_counter()
            predictor.model.eval()
            said = predictor.predict(self.test.inputs)
            predictor.model.train()
            self.looking += time.perf_counter() - began
            found = measure(self.test.task, self.test.targets, said)[0]
            self.metrics.write(
                "evaluation", step, seconds=seconds, score=found.value, metric=found.metric, targets=found.n
            )

    def end(self, step: int, score: float, seconds: float) -> None:
        """The fit is done, with this score on all test examples."""
        self.metrics.write("end", step, seconds=seconds, score=score)

    @property
    def seconds(self) -> float:
        """Of learning, so far."""
        return round(time.perf_counter() - self.began - self.looking, 4)


def looks(steps: int) -> set[int]:
    """The steps after which a fit of so many is looked at: before the first, after the last."""
    return {0} | {round(steps ** (place / (LOOKS - 1))) for place in range(LOOKS)}
