"""One cell's system, fitted and scored; CPU-seconds are of one thread, answers included."""

import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.tasks.cells import DATA, FAMILIES, MINILM, MIX, OWN, SCRATCH, TRAINER, VECTORS, Cell
from benchmarks.tasks.pretrained import Pretrained, minilm
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.tasks.baselines.word_counts import Majority, System, strongest_baseline
from headstart.tasks.baselines.word_vectors import VectorClassifier, read_baseline
from headstart.tasks.data.dataset import load_examples, load_task, pair
from headstart.tasks.data.splitting import sample_labels
from headstart.tasks.examples import Examples, TaskData
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.metrics import score
from headstart.tasks.predictor import Predictor
from headstart.training.machine import dtype_named

# Settings were chosen on the first rows of the reviews' dev part, which are not scored.
TUNED_ON = {"reviews": 1000}
# Scored are at most so many rows; of the entities all, for their figure is compared with published ones.
MOST, ALL = 1000, ("entities",)


def measure(cell: Cell, data: Path, out: Path) -> dict[str, Any]:
    """Fit a cell's system and score it."""
    task = task_of(cell.task, data)
    train = sample_labels(task.train, cell.labels, cell.seed)
    pretrained = Pretrained(data, out)
    prepared = prepare(cell, pretrained)  # pre-training is no part of the seconds below
    began = time.process_time()
    system = fit(cell, train, prepared, out)
    fitted = time.process_time()
    answers = system.predict(task.test.inputs)
    answered = time.process_time()
    scores = score(task.kind, task.test.targets, answers)
    return {
        "part": cell.part,
        "task": cell.task,
        "labels": len(train),
        "system": cell.system,
        "seed": cell.seed,
        "scores": [one.as_dict() for one in scores],
        "fit_core_seconds": round(fitted - began, 1),
        "answer_core_seconds": round(answered - fitted, 1),
        "facts": system.facts.as_dict() if isinstance(system, Predictor) else getattr(system, "facts", {}),
    }


@cache
def task_of(name: str, data: Path) -> TaskData:
    """Training and test rows of a task: the file `dev` beside `train`, else a split by contexts."""
    folder = DATA[name][0]
    if not (data / folder).is_dir():
        task = load_task(data / f"{folder}.jsonl.gz")
    else:
        train, dev = (load_examples(data / folder / f"{part}.jsonl.gz") for part in ("train", "dev"))
        task = pair(name, train, dev)
    rows = range(TUNED_ON.get(name, 0), len(task.test))
    return replace(task, test=task.test.subset(rows if name in ALL else rows[:MOST]))


def prepare(cell: Cell, pretrained: Pretrained) -> Any:
    """What a system starts from."""
    if cell.system in (OWN, MIX, SCRATCH):
        return loaded(pretrained.family("encoder"))
    if cell.system in FAMILIES:
        return loaded(pretrained.family(cell.system))
    if cell.system in VECTORS:
        return read_baseline(pretrained.vectors(cell.system))[1]
    if cell.system == MINILM:
        return loaded(minilm(pretrained.out / "packages"))
    return minilm(pretrained.out / "packages") if cell.system == TRAINER else None


@cache
def loaded(folder: Path) -> LoadedModel:
    return load_model(folder, dtype_named("auto"))


def fit(cell: Cell, train: Examples, prepared: Any, out: Path) -> System:
    """The system, fitted to `train`."""
    if cell.system == "majority":
        return Majority(train)
    if cell.system == "tf-idf":
        return strongest_baseline(train)
    if cell.system in VECTORS:
        return VectorClassifier(prepared, train)
    if cell.system == TRAINER:
        from benchmarks.tasks.trainer import Trained

        return Trained(prepared, train, cell.seed, out / "trainer")
    recipe = FinetuneRecipe.load(None, settings(cell))
    return finetune(prepared, train, recipe, cell.seed, scratch=cell.system == SCRATCH)


def settings(cell: Cell) -> list[str]:
    """Where a system wants other settings than the defaults: a model trained for long bears little change."""
    chosen: dict[str, Any] = {}
    if cell.system == MIX:
        chosen["adapt"] = "mix"
    if cell.system == MINILM:
        chosen |= {"learning_rate": 3e-4, "layer_decay": 0.9}
    return [f"{key}={value}" for key, value in chosen.items()]
