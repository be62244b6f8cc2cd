"""The main job: its stages in order, each on folders of its own, each of which goes on where it stopped."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch

from headstart.corpus import CorpusRecipe, build
from headstart.errors import HeadstartError
from headstart.folder import MANIFEST, fingerprint, read_json, write_json
from headstart.generation.text import sample_prompt
from headstart.interchange.model_folder import load_model
from headstart.progress import Bar, stage
from headstart.quickstart.collect import collect
from headstart.quickstart.funnel import count_funnel
from headstart.quickstart.plan import Plan, make_plan
from headstart.quickstart.report import write
from headstart.recipe import Recipe
from headstart.tasks.data import Task, find_tasks, sample_labels
from headstart.tasks.finetune import finetune
from headstart.tasks.head_start import run_point
from headstart.tokenizer.bpe import TokenizerRecipe, open_tokenizer
from headstart.tokenizer.bpe import train as train_tokenizer
from headstart.tokenizer.shards import ShardRecipe, corpus_documents, encode
from headstart.training.loop import pretrain
from headstart.training.machine import available_cores, describe_machine

SETTINGS, PLAN, STAGES, MACHINE, POINTS = (
    "quickstart.yaml",
    "plan.yaml",
    "stages.json",
    "machine.json",
    "head_start.jsonl",
)
TOP_VOCABULARY, SMALLEST_VOCABULARY = 4096, 512
BYTES_PER_TOKEN_TYPE = 1000  # a vocabulary entry should be worth at least that much text
SYSTEMS = ("from-scratch", "fine-tuned", "tf-idf", "majority")
REPORT_SECONDS = 10.0


class QuickstartRecipe(Recipe):
    """What the user asked for."""

    minutes: float
    data: list[Path]
    labels: Path | None
    seed: int

    @classmethod
    def of(cls, minutes: float, data: list[Path] | None, labels: Path | None, seed: int) -> "QuickstartRecipe":
        """The settings, with the repository's samples where no data is named.

        Raises:
            HeadstartError: no data named and no samples at hand.
        """
        if not data:
            samples = _samples()
            data = [samples / name for name in ("crawl", "books", "brown")]
            labels = labels or samples / "labels"
        for path in [*data, *([labels] if labels else [])]:
            if not path.exists():
                raise HeadstartError(f"there is no file or folder {path}; check the path")
        return cls(minutes=minutes, data=data, labels=labels, seed=seed)


def _samples() -> Path:
    """The repository's samples: in the working folder, or beside the sources of an editable install."""
    for root in (Path.cwd(), Path(__file__).parents[3]):
        if (root / "samples" / "crawl").is_dir():
            return root / "samples"
    raise HeadstartError(
        "no --data was given and there is no samples folder here; name your own files with --data, or run this in a "
        "clone of the repository"
    )


def run(recipe: QuickstartRecipe, out: Path) -> Path:
    """Run every stage that is not finished yet; returns the path of `report.html`.

    Raises:
        HeadstartError: bad data, or `out` holds a quickstart with other settings.
        Stopped: interrupted; the same call goes on.
    """
    _claim(recipe, out)
    clock = _Clock(out / STAGES)
    tasks = find_tasks(recipe.labels, seed=recipe.seed) if recipe.labels else []
    corpus, tokenizer, tokens = out / "corpus", out / "tokenizer", out / "tokens"

    with clock.stage("corpus", "1/6  corpus: from raw pages to clean documents"):
        build(recipe.data, corpus, CorpusRecipe(seed=recipe.seed), available_cores())
    with clock.stage("tokenizer", "2/6  tokenizer: learn a vocabulary"):
        if not (tokenizer / MANIFEST).exists():
            texts = (document["text"] for document in corpus_documents(corpus, ("text",)))
            train_tokenizer(texts, TokenizerRecipe(vocab_size=_vocabulary(corpus)), tokenizer)
    with clock.stage("tokens", "3/6  tokens: encode the corpus"):
        if not (tokens / MANIFEST).exists():
            encode(corpus_documents(corpus), open_tokenizer(tokenizer), ShardRecipe(), tokens)
        if not (out / "funnel.json").exists():
            count_funnel(recipe.data, corpus, open_tokenizer(tokenizer), out / "funnel.json")
    with clock.stage("plan", "     plan: measure the machine, choose sizes"):
        plan = _plan(recipe, out, tasks, tokens, 60 * recipe.minutes - clock.total - REPORT_SECONDS)
    with clock.stage("pretrain encoder", f"4/6  pre-train the encoder: {_sizes(plan.encoder)}"):
        encoder = pretrain(plan.encoder, out / "encoder")
    with clock.stage("pretrain decoder", f"     pre-train the decoder: {_sizes(plan.decoder)}"):
        pretrain(plan.decoder, out / "decoder", sample_prompt)
    if recipe.labels and tasks:
        with clock.stage("finetune", f"5/6  fine-tune: {', '.join(task.name for task in tasks)}"):
            _head_start(recipe.labels, tasks, plan, encoder, out / POINTS, recipe.seed)
            for task in tasks:
                _keep_model(task, plan, encoder, out / "tasks" / task.name)
    with stage("6/6  report"):
        write(collect(out), out)
    return out / "report.html"


def _claim(recipe: QuickstartRecipe, out: Path) -> None:
    """Take `out` for these settings, or go on with them; another quickstart's folder is refused."""
    if out.exists() and not out.is_dir():
        raise HeadstartError(f"--out {out} is a file; name a folder")
    identity = fingerprint(recipe.model_dump(mode="json"))
    mark = out / "quickstart.json"
    if mark.exists():
        if read_json(mark)["fingerprint"] != identity:
            raise HeadstartError(
                f"{out} holds a quickstart with other settings (see {out / SETTINGS}); choose another --out, or "
                "remove the folder"
            )
        return
    if out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise HeadstartError(f"{out} holds other files; choose an empty or a new folder for --out")
    recipe.save(out / SETTINGS)
    write_json(mark, {"fingerprint": identity})


class _Clock:
    """Seconds spent in each stage, over all restarts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = read_json(path) if path.exists() else {}

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    def stage(self, name: str, title: str) -> "_Timed":
        return _Timed(self, name, title)


class _Timed:
    """Announces a stage and adds its time to the clock, also when it is interrupted."""

    def __init__(self, clock: _Clock, name: str, title: str) -> None:
        self.clock, self.name, self.announced = clock, name, stage(title)

    def __enter__(self) -> None:
        self.started = time.monotonic()
        self.announced.__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        spent = self.clock.seconds.get(self.name, 0.0) + time.monotonic() - self.started
        self.clock.seconds[self.name] = round(spent, 2)
        write_json(self.clock.path, self.clock.seconds)
        self.announced.__exit__(kind, error, trace)


def _vocabulary(corpus: Path) -> int:
    """The largest power of two that the amount of text can fill."""
    size = read_json(corpus / MANIFEST)["funnel"][-1]["bytes"]
    vocabulary = TOP_VOCABULARY
    while vocabulary > SMALLEST_VOCABULARY and vocabulary * BYTES_PER_TOKEN_TYPE > size:
        vocabulary //= 2
    return vocabulary


def _plan(recipe: QuickstartRecipe, out: Path, tasks: list[Task], tokens: Path, seconds: float) -> Plan:
    if (out / PLAN).exists():
        return Plan.load(out / PLAN, [])
    machine = describe_machine()
    write_json(out / MACHINE, machine)
    started = time.monotonic()
    plan = make_plan(tokens, tasks, max(seconds, 20.0), machine["precision"], recipe.seed)
    plan.save(out / PLAN)
    return plan


def _sizes(recipe: Any) -> str:
    return f"{recipe.model.layers} layers of width {recipe.model.width}, {recipe.steps:,} steps"


# Fine-tuning: many small independent fits, side by side

_TASKS: dict[str, Task] = {}


def _prepare_worker(labels: Path, seed: int, test_examples: int) -> None:
    """Read the labelled data once in every worker process."""
    torch.set_num_threads(1)
    for task in find_tasks(labels, seed=seed):
        _TASKS[task.name] = shorten_test(task, test_examples)


def shorten_test(task: Task, most: int) -> Task:
    """The task with at most `most` test examples, drawn once, the same for every system."""
    return replace(task, test=sample_labels(task.test, most, 0)) if len(task.test) > most else task


def _point(task: str, labels: int | None, system: Any, seed: int, encoder: Path, plan: Plan) -> dict[str, Any]:
    return run_point(encoder, _TASKS[task], labels, system, seed, plan.finetune, plan.encoder.precision)


def _head_start(labels: Path, tasks: list[Task], plan: Plan, encoder: Path, path: Path, seed: int) -> None:
    """Fit every system at every number of labels and seed; finished points are kept in `path`."""
    wanted = [
        (task.name, count, system, one)
        for task in tasks
        for count in _counts(task, plan)
        for system in SYSTEMS
        for one in plan.seeds
    ]
    done = {(p["task"], p["asked"], p["system"], p["seed"]) for p in read_points(path)}
    wanted = [key for key in wanted if key not in done]
    wanted.sort(key=lambda key: -(key[1] or 10**9))  # long ones first, so that no core idles at the end
    if not wanted:
        return
    context = multiprocessing.get_context("forkserver")
    workers = min(available_cores(), len(wanted))
    setup = (labels, seed, plan.test_examples)
    with (
        ProcessPoolExecutor(workers, context, _prepare_worker, setup) as pool,
        path.open("ab") as file,
        Bar("fine-tune", len(wanted), "fits") as bar,
    ):
        futures = {pool.submit(_point, *key, encoder, plan): key for key in wanted}
        try:
            for future in as_completed(futures):
                point = future.result() | {"asked": futures[future][1]}
                file.write(orjson.dumps(point) + b"\n")
                file.flush()
                bar.advance(1, f"{point['task']} {point['labels']} labels {point['system']} {point['score']:.3f}")
        except BrokenProcessPool:
            raise HeadstartError(
                "a fine-tuning process died, perhaps for lack of memory; start the same command again to go on"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _counts(task: Task, plan: Plan) -> list[int | None]:
    """The numbers of labels that the task has; all of them last."""
    return [count for count in plan.labels if count is None or count < len(task.train)]


def read_points(path: Path) -> list[dict[str, Any]]:
    """The finished points; a line that a kill left unfinished is no point."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    points = []
    for line in lines:
        try:
            points.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            continue
    return points


def _keep_model(task: Task, plan: Plan, encoder: Path, folder: Path) -> None:
    """Fine-tune once with all labels and keep the model folder, for the user to try."""
    if (folder / "config.json").exists():
        return
    loaded = load_model(encoder, getattr(torch, plan.encoder.precision))
    made = finetune(loaded, task.train, plan.finetune, plan.seeds[0])
    made.save(
        folder,
        f"# {task.name}\n\n{task.kind} with the labels {', '.join(made.labels)}, fine-tuned by headstart on "
        f"{len(task.train):,} examples. Its scores, with those of other systems, are in the report of the run.",
    )
