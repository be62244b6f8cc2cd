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
    """Writes `metrics.jsonl` of a fit: a `step` event a step, now and then an `evaluation`. The fit is the
    same as one that nobody looks at.

    Args:
        folder: where the file goes.
        test: what is answered on the way: its first examples, by which nothing is chosen. None: an evaluation
            is what chooses the best weights, the score on validation data, where there are such.
    """

    def __init__(self, folder: Path, test: Examples | None) -> None:
        (folder / FILE).unlink(missing_ok=True)  # of a fit that was killed: it begins anew
        self.metrics = Metrics(folder, 0, sinks=())
        self.test = None if test is None else test.subset(range(min(ASKED, len(test))))
        self.began = time.perf_counter()
        self.looking = 0.0
        """Seconds in which test examples were answered: nobody else would spend them."""
        self.judging = 0.0
        """Seconds in which the fit answered validation data: they belong to its cost, not to learning."""
        self._told = self.began

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *wrong: object) -> None:
        self.metrics.close()

    def __call__(
        self, predictor: Predictor, step: int, steps: int, loss: float | None, judged: float | None
    ) -> None:
        """After a step, before the first, or when validation data have been answered since the last call.

        Args:
            loss: of the step; None before the first, and beside `judged`.
            judged: the score on the validation data; of a model that writes, the loss of a token, negative.
        """
        if judged is not None:
            self.judging += time.perf_counter() - self._told
            if self.test is None:
                figure = {"loss": -judged} if predictor.model.writes else {"score": judged}
                self.metrics.write("evaluation", step, seconds=self.seconds, **figure)
            return
        if loss is not None:
            self.metrics.write("step", step, seconds=self.seconds, loss=loss)
        if self.test is not None and step in looks(steps) and not predictor.model.writes:
            self._look(predictor, step, self.test)
        self._told = time.perf_counter()

    def _look(self, predictor: Predictor, step: int, test: Examples) -> None:
        """Answer the test examples as the model would by now."""
        seconds, began, learning = self.seconds, time.perf_counter(), predictor.model.training
        predictor.model.eval()
        said = predictor.predict(test.inputs)
        predictor.model.train(learning)
        self.looking += time.perf_counter() - began
        found = measure(test.task, test.targets, said)[0]
        self.metrics.write(
            "evaluation", step, seconds=seconds, score=found.value, metric=found.metric, targets=found.n
        )

    def end(self, step: int, seconds: float, score: float | None = None) -> None:
        """The fit is done.

        Args:
            score: on all test examples, where they have been answered.
        """
        self.metrics.write("end", step, seconds=seconds, **({} if score is None else {"score": score}))

    @property
    def seconds(self) -> float:
        """Of learning, so far."""
        return round(time.perf_counter() - self.began - self.looking - self.judging, 4)


def looks(steps: int) -> set[int]:
    """The steps after which a fit of so many is looked at: before the first, after the last."""
    return {0} | {round(steps ** (place / (LOOKS - 1))) for place in range(LOOKS)}
