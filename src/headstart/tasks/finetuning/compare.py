"""Ways of adapting one model to one task, side by side: the score and the cost of each."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, atomic, read_json, write_json
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.page.markdown import markdown_table
from headstart.tasks.baselines.word_counts import CountedClassifier, System, strongest_baseline
from headstart.tasks.card import add_scores
from headstart.tasks.facts import LayerWeights
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.fit import FinetuningData, fit_task
from headstart.tasks.metrics import Score, bootstrap, measure
from headstart.tasks.metrics.bootstrap import Comparison, Measurement
from headstart.tasks.predictor import Predictor
from headstart.training.run_folder import static_start

WAYS = ("full", "frozen", "mix", "lora")
STATIC, RANDOM, COUNTED = "static", "random", "counted"
"""Baselines of pre-training: its static start and the same network from random weights, both with all weights
trained, and counted words without any network."""
FLOAT_BYTES = 4
MEANING = (
    "Intervals hold 95 % of the bootstrap resamples of the test data; differences are paired, on the same "
    "examples. Bytes are the size of the trained weights in float32: a task needs them beside the "
    "pre-trained model. Seconds are the time of fine-tuning."
)


@dataclass(frozen=True)
class Way:
    """The result of one way of adapting."""

    adapt: str
    score: Score
    weights: int
    """Number of trained weights."""
    seconds: float
    """Time of fine-tuning."""
    against: Comparison | None
    """The difference from the first way; None for the first way."""
    mix: LayerWeights | None

    @property
    def bytes(self) -> int:
        """Size of the trained weights, which a task needs beside the pre-trained model."""
        return FLOAT_BYTES * self.weights

    def as_dict(self) -> JSONObject:
        against = None if self.against is None else self.against.as_dict()
        return (
            {"adapt": self.adapt}
            | {**self.score.as_dict()}
            | {"weights": self.weights, "bytes": self.bytes, "seconds": self.seconds}
            | {"against_first": against, "mix": None if self.mix is None else asdict(self.mix)}
        )


@dataclass(frozen=True)
class Compared:
    """The results of all ways, in the given order."""

    task: str
    examples: int
    test_examples: int
    ways: list[Way]
    predictors: dict[str, System]

    def as_dict(self) -> JSONObject:
        sizes = {"examples": self.examples, "test_examples": self.test_examples}
        return {"task": self.task} | sizes | {"ways": [way.as_dict() for way in self.ways]}

    def text(self) -> str:
        """The table for a terminal."""
        lines = [f"  {'':<9} {'trained':>12} {'bytes':>13} {'seconds':>9}  score"]
        lines += [
            f"  {way.adapt:<9} {way.weights:>12,} {way.bytes:>13,} {way.seconds:>9,.1f}  {way.score}"
            for way in self.ways
        ]
        return "\n".join(lines)

    def markdown(self) -> str:
        """The table with its meaning, and the weights of the layers if a way mixes them."""
        rows = [
            {
                "way": way.adapt,
                "score": str(way.score),
                "trained weights": f"{way.weights:,}",
                "bytes to store": f"{way.bytes:,}",
                "seconds": f"{way.seconds:,.1f}",
                "against the first": "" if way.against is None else str(way.against),
            }
            for way in self.ways
        ]
        parts = [f"# Ways of adapting: {self.task}", f"{self.examples:,} examples to learn from. {MEANING}"]
        parts.append(markdown_table(rows))
        for way in self.ways:
            if way.mix is not None:
                bars = [
                    {"layer": layer or "embeddings", "weight": share, "": "█" * round(40 * share)}
                    for layer, share in enumerate(way.mix.weights)
                ]
                parts += [f"## What `{way.adapt}` reads", markdown_table(bars)]
        return "\n\n".join(parts) + "\n"

    def write(self, folder: Path) -> None:
        """Write `compare.json` and `compare.md`."""
        write_json(folder / "compare.json", self.as_dict())
        with atomic(folder / "compare.md") as temporary:
            temporary.write_text(self.markdown(), encoding="utf-8")


def compare(
    loaded: LoadedModel,
    data: FinetuningData,
    recipe: FinetuneRecipe,
    ways: Sequence[str] = WAYS,
    seed: int = 0,
    out: Path | None = None,
) -> Compared:
    """Fine-tune in every way with the recipe's other settings, and score each on the test data.

    Args:
        ways: values of the recipe's `adapt`, and `static`, `random` and `counted`, which tell what
            pre-training is worth.
        out: keep every way's model there, in a folder of its name, or take it from there; and show a bar.

    Raises:
        HeadstartError: a way that there is not; see also `fit_task`.
    """
    known = (STATIC, RANDOM, COUNTED)
    recipes = {
        way: FinetuneRecipe.checked(recipe.model_dump() | {"adapt": "full" if way in known else way})
        for way in ways
    }
    if len(recipes) < 2:
        raise HeadstartError("a comparison needs two ways of adapting at least, as in --compare full,lora")
    begun = loaded
    if STATIC in recipes:
        if loaded.folder is None:
            raise HeadstartError("a static start stands beside a model's folder; this model is of none")
        begun = load_model(static_start(loaded.folder), loaded.model.dtype)
    task = data.task
    compared = Compared(task.name, len(data.train), len(task.test), [], {})
    first: Measurement | None = None
    for way, its in recipes.items():
        if way == COUNTED:
            row, predictor, measured = _counted(data)
        else:
            source = begun if way == STATIC else loaded
            row, predictor, measured = _fine_tuned(
                way, source, data, its, seed, None if out is None else out / way
            )
        against = None if first is None else bootstrap.compare_measurements(measured, first)
        first = first or measured
        compared.ways.append(replace(row, against=against))
        compared.predictors[way] = predictor
    return compared


def _fine_tuned(
    way: str, loaded: LoadedModel, data: FinetuningData, recipe: FinetuneRecipe, seed: int, out: Path | None
) -> tuple[Way, System, Measurement]:
    """One way of fine-tuning, gone now or by a call that was stopped later."""
    test = data.task.test
    if out is not None and (out / "model").exists():
        predictor = Predictor.of(load_model(out / "model", loaded.model.dtype))
        measured = measure(data.task.kind, test.targets, predictor.predict(test.inputs))[0]
        add_scores(out / "model", [measured.score])
    else:
        fitted = fit_task(loaded, data, recipe, seed=seed, scratch=way == RANDOM, out=out)
        predictor, measured = fitted.predictor, fitted.measured[0]
    made = predictor.training
    seconds = made.seconds if out is None else read_json(out / "timing.json", dict[str, float])["seconds"]
    row = Way(way, measured.score, made.learning_weights, seconds, None, predictor.facts.mix)
    return row, predictor, measured


def _counted(data: FinetuningData) -> tuple[Way, System, Measurement]:
    """The strongest baseline without a network."""
    started = time.perf_counter()
    system = strongest_baseline(data.train)
    seconds = round(time.perf_counter() - started, 3)
    test = data.task.test
    measured = measure(data.task.kind, test.targets, system.predict(test.inputs))[0]
    weights = system.head.weights.size if isinstance(system, CountedClassifier) else 0
    return Way(COUNTED, measured.score, weights, seconds, None, None), system, measured
