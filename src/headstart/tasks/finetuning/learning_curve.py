"""One point of the head-start plot: a system, a number of labels, a seed, and the score that comes of it."""

import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from headstart.errors import HeadstartError, nearest
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.tasks.baselines.word_counts import Majority, System, strongest_baseline
from headstart.tasks.data.dataset import check_trainable
from headstart.tasks.data.splitting import sample_labels
from headstart.tasks.examples import Examples, TaskData
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.metrics import score
from headstart.tasks.predictor import Predictor

SystemName = Literal["fine-tuned", "from-scratch", "tf-idf", "majority"]
SYSTEMS: tuple[SystemName, ...] = get_args(SystemName)


def run_point(
    model_folder: Path,
    task: TaskData,
    labels: int | None,
    system: SystemName,
    seed: int,
    recipe: FinetuneRecipe,
    dtype: str = "float32",
    threads: int = 1,
) -> dict[str, Any]:
    """Fit one system to a sample of the training data and score it on the whole test data.

    Depends on its arguments alone, and can be sent to another process. `threads` of torch are used.

    Args:
        model_folder: the pre-trained encoder (its architecture and tokenizer alone for `from-scratch`).
        task: training and test data.
        labels: how many labelled examples; None for all.
        system: see `SystemName`; `tf-idf` for tagging is a logistic regression over a window of words.
        seed: chooses the examples, the same for every system, and starts whatever is random in it.
        recipe: of fine-tuning.
        dtype: what the model computes in, "float32" or "bfloat16".

    Returns:
        task, metric, labels, system, seed, score, interval, n, seconds (of fitting and answering),
        test_examples, facts (of the fit).
    """
    if system not in SYSTEMS:
        raise HeadstartError(f"there is no system {system!r}{nearest(system, SYSTEMS)}")
    torch.set_num_threads(threads)
    train = sample_labels(task.train, labels, seed)
    check_trainable(train, task.name)
    loaded = _loaded(model_folder, dtype) if system in ("fine-tuned", "from-scratch") else None
    started = time.perf_counter()
    fitted = _fit(system, loaded, train, recipe, seed)
    predicted = fitted.predict(task.test.inputs)
    seconds = time.perf_counter() - started
    main = score(task.kind, task.test.targets, predicted)[0]
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
    system: SystemName, loaded: LoadedModel | None, train: Examples, recipe: FinetuneRecipe, seed: int
) -> System:
    if loaded is not None:
        return finetune(loaded, train, recipe, seed, scratch=system == "from-scratch")
    return Majority(train) if system == "majority" else strongest_baseline(train)


@lru_cache(maxsize=2)
def _loaded(folder: Path, dtype: str) -> LoadedModel:
    return load_model(folder, getattr(torch, dtype))
