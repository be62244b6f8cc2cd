"""One point of the head-start plot: a system, a number of labels, a seed, and the score that comes of it."""

import time
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import torch

import headstart
from headstart.errors import HeadstartError, nearest
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.tasks.baselines.word_counts import Majority, System, strongest_baseline
from headstart.tasks.data.dataset import check_trainable
from headstart.tasks.data.splitting import sample_labels
from headstart.tasks.examples import Examples, TaskData
from headstart.tasks.finetuning.finetune import Watch, finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.fit_record import FitRecord
from headstart.tasks.metrics import score
from headstart.tasks.predictor import Predictor
from headstart.training.run_folder import static_start

SystemName = Literal["fine-tuned", "static-start", "foundation", "from-scratch", "tf-idf", "majority"]
SYSTEMS: tuple[SystemName, ...] = get_args(SystemName)
NETWORKS = ("fine-tuned", "static-start", "foundation", "from-scratch")
FOUNDATION = "headstart-mini"
"""The encoder that comes with headstart, where it is installed."""


def foundation_folder() -> Path | None:
    """The model folder of the encoder that comes with headstart; None: this installation has none."""
    folder = Path(headstart.__file__).parent / "foundation" / FOUNDATION
    return folder if (folder / "config.json").exists() else None


def known_systems() -> list[SystemName]:
    """The systems that can be measured here."""
    return [one for one in SYSTEMS if one != "foundation" or foundation_folder() is not None]


def run_point(
    model_folder: Path,
    task: TaskData,
    labels: int | None,
    system: SystemName,
    seed: int,
    recipe: FinetuneRecipe,
    dtype: str = "float32",
    threads: int = 1,
    course: Path | None = None,
    keep: Path | None = None,
) -> dict[str, Any]:
    """Fit one system to a sample of the training data and score it on the whole test data.

    Depends on its arguments alone, and can be sent to another process. `threads` of torch are used.

    Args:
        model_folder: the pre-trained encoder, in its run (for `from-scratch` its architecture and tokenizer
            alone, for `static-start` what its run began with).
        task: training and test data.
        labels: how many labelled examples; None for all.
        system: see `SystemName`; `tf-idf` for tagging is a logistic regression over a window of words.
        seed: chooses the examples, the same for every system, and starts whatever is random in it.
        recipe: of fine-tuning.
        dtype: what the model computes in, "float32" or "bfloat16".
        course: a folder for the course of the fit, where a network learns; see `FitRecord`.
        keep: a model folder to write of the network, with what the score was measured on; one that is there
            stays.

    Returns:
        task, metric, labels, system, seed, score, interval, n, seconds (of fitting and answering),
        test_examples, facts (of the fit).
    """
    if system not in SYSTEMS:
        raise HeadstartError(f"there is no system {system!r}{nearest(system, SYSTEMS)}")
    torch.set_num_threads(threads)
    train = sample_labels(task.train, labels, seed)
    check_trainable(train, task.name)
    loaded = _loaded(_folder(system, model_folder), dtype) if system in NETWORKS else None
    with (
        FitRecord(course, task.test) if course is not None and loaded is not None else nullcontext() as record
    ):
        started = time.perf_counter()
        fitted = _fit(system, loaded, train, recipe, seed, record)
        predicted = fitted.predict(task.test.inputs)
        looking = 0.0 if record is None else record.looking
        seconds = time.perf_counter() - started - looking
        main = score(task.kind, task.test.targets, predicted)[0]
        if record is not None and isinstance(fitted, Predictor):
            record.end(fitted.training.steps, seconds, main.value)
    if keep is not None and isinstance(fitted, Predictor) and not (keep / "config.json").exists():
        fitted.save(
            keep,
            f"# {task.name}\n\n{task.kind} with the labels {', '.join(fitted.labels)}, fine-tuned by "
            f"headstart on {len(train):,} examples. {main.metric}: {main.value:.3f} on {main.n:,} of the "
            "test part.",
        )
    return {
        "task": task.name,
        "metric": main.metric,
        "labels": len(train),
        "system": system,
        "seed": seed,
        "score": main.value,
        "interval": [main.low, main.high],
        "n": main.n,
        "seconds": round(seconds, 3),
        "test_examples": len(task.test),
        "facts": fitted.facts.as_dict() if isinstance(fitted, Predictor) else {},
    }


def _fit(
    system: SystemName,
    loaded: LoadedModel | None,
    train: Examples,
    recipe: FinetuneRecipe,
    seed: int,
    watch: Watch | None,
) -> System:
    if loaded is not None:
        return finetune(loaded, train, recipe, seed, scratch=system == "from-scratch", watch=watch)
    return Majority(train) if system == "majority" else strongest_baseline(train, seed)


def _folder(system: SystemName, model: Path) -> Path:
    """The model that a system starts from."""
    if system == "static-start":
        return static_start(model)
    if system == "foundation":
        folder = foundation_folder()
        if folder is None:
            raise HeadstartError(f"{FOUNDATION} is not part of this installation; leave it out")
        return folder
    return model


@lru_cache(maxsize=3)
def _loaded(folder: Path, dtype: str) -> LoadedModel:
    return load_model(folder, getattr(torch, dtype))
