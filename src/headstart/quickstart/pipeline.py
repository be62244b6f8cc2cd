"""The main job: its stages in order, each on folders of its own, each of which goes on where it stopped."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headstart.corpus import CorpusRecipe, build
from headstart.corpus_folder import corpus_documents, corpus_manifest
from headstart.errors import HeadstartError
from headstart.folder import MANIFEST, fingerprint, read_json, write_json
from headstart.generation.text import sample_prompt
from headstart.output import changed_from, output
from headstart.output import identity as content_identity
from headstart.progress import stage
from headstart.quickstart.budget import Plan, make_plan
from headstart.quickstart.collect import collect
from headstart.quickstart.finetune_budget import FinetunePlan, make_finetune_plan
from headstart.quickstart.funnel import count_funnel
from headstart.quickstart.points import measure_points
from headstart.quickstart.report import write
from headstart.recipe import Recipe
from headstart.sample_data import sample_data
from headstart.tasks.data.dataset import find_tasks
from headstart.tasks.examples import TaskData
from headstart.tasks.finetuning.head_start_points import POINTS
from headstart.tasks.finetuning.learning_curve import SystemName
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import ShardRecipe, encode_corpus
from headstart.tokenizer.train import TokenizerRecipe
from headstart.tokenizer.train import train as train_tokenizer
from headstart.training.loop import pretrain
from headstart.training.machine import describe_machine
from headstart.workers import available_cores

SETTINGS, STAGES, MACHINE = "quickstart.yaml", "stages.json", "machine.json"
PLAN, FINETUNE_PLAN = "plan.yaml", "finetune-plan.yaml"
MARK = "quickstart.json"
TOP_VOCABULARY, SMALLEST_VOCABULARY = 8192, 512
BYTES_PER_TOKEN_TYPE = 1000  # a vocabulary entry should be worth at least that much text
REPORT_SECONDS = 10.0


class QuickstartRecipe(Recipe):
    """What the user asked for."""

    minutes: float
    data: list[Path]
    labels: Path | None
    seed: int

    @classmethod
    def of(
        cls, minutes: float, data: list[Path] | None, labels: Path | None, seed: int
    ) -> "QuickstartRecipe":
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
    """The repository's samples."""
    found = sample_data()
    if found is None:
        raise HeadstartError(
            "no --data was given and there is no samples folder here; name your own files with --data, or "
            "run this in a clone of the repository"
        )
    return found


def run(recipe: QuickstartRecipe, out: Path, replace: bool = False) -> Path:
    """Run every stage that is not finished yet; returns the path of `report.html`.

    Args:
        replace: delete what `out` holds.

    Raises:
        HeadstartError: bad data, or `out` holds a quickstart with other settings.
        Stopped: interrupted; the same call goes on.
    """
    read = [*recipe.data, *([recipe.labels] if recipe.labels else [])]
    with output(out, "quickstart", inputs=read, own=(MARK,), replace=replace):
        return _run(recipe, out)


def _run(recipe: QuickstartRecipe, out: Path) -> Path:
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
            encode_corpus(corpus, open_tokenizer(tokenizer), ShardRecipe(count_stages=True), tokens)
        if not (out / "funnel.json").exists():
            count_funnel(recipe.data, corpus, tokens, open_tokenizer(tokenizer), out / "funnel.json")
    with clock.stage("plan", "     plan: measure the machine, choose sizes"):
        left = 60 * recipe.minutes - clock.total - REPORT_SECONDS
        plan = _plan(recipe, out, bool(tasks), tokens, left)
    for warning in plan.warnings:
        print(f"headstart: {warning}", file=sys.stderr)
    with clock.stage("pretrain encoder", f"4/6  pre-train the encoder: {_sizes(plan.encoder)}"):
        encoder = pretrain(plan.encoder, out / "encoder")
    with clock.stage("pretrain decoder", f"     pre-train the decoder: {_sizes(plan.decoder)}"):
        pretrain(plan.decoder, out / "decoder", sample_prompt)
    if recipe.labels and tasks:
        with clock.stage("plan", "     plan: measure fine-tuning, choose how much is compared"):
            left = 60 * recipe.minutes - clock.total - REPORT_SECONDS
            fits = _finetune_plan(plan, out, encoder, tasks, left, recipe.seed)
        for warning in fits.warnings:
            print(f"headstart: {warning}", file=sys.stderr)
        with clock.stage("finetune", f"5/6  fine-tune: {', '.join(task.name for task in tasks)}"):
            precision = plan.encoder.precision
            kept: SystemName = "static-start" if plan.keeps_static else "fine-tuned"
            measure_points(
                recipe.labels, tasks, fits, encoder, precision, out / POINTS, out / "tasks", kept, recipe.seed
            )
    with stage("6/6  report"):
        write(collect(out), out)
    return out / "report.html"


def _claim(recipe: QuickstartRecipe, out: Path) -> None:
    """Take `out` for these settings, or go on with them; another quickstart's folder is refused."""
    made = {"fingerprint": fingerprint(recipe.model_dump(mode="json"))}
    if recipe.labels:
        made["labels"] = content_identity(recipe.labels)
    mark = out / MARK
    if mark.exists():
        begun = read_json(mark, dict[str, str])
        if begun.get("fingerprint") != made["fingerprint"]:
            changed = changed_from(out / SETTINGS, recipe.model_dump(mode="json"))
            raise HeadstartError(
                f"{out} holds a quickstart with other settings ({f'{changed}; ' if changed else ''}see "
                f"{out / SETTINGS}); choose another --out, or remove the folder"
            )
        if "labels" in begun and begun["labels"] != made.get("labels"):
            raise HeadstartError(
                f"{out} holds a quickstart with {recipe.labels} as it was before; choose another --out, or "
                "remove the folder"
            )
        return
    recipe.save(out / SETTINGS)
    write_json(mark, made)


class _Clock:
    """Seconds spent in each stage, over all restarts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = read_json(path, dict[str, float]) if path.exists() else {}

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        """Announce a stage and add its time to the clock, also when it is interrupted."""
        with stage(title):
            started = time.monotonic()
            try:
                yield
            finally:
                spent = self.seconds.get(name, 0.0) + time.monotonic() - started
                self.seconds[name] = round(spent, 2)
                write_json(self.path, self.seconds)


def _vocabulary(corpus: Path) -> int:
    """The largest power of two that the amount of text can fill."""
    size = corpus_manifest(corpus)["funnel"][-1]["bytes"]
    vocabulary = TOP_VOCABULARY
    while vocabulary > SMALLEST_VOCABULARY and vocabulary * BYTES_PER_TOKEN_TYPE > size:
        vocabulary //= 2
    return vocabulary


def _plan(recipe: QuickstartRecipe, out: Path, finetunes: bool, tokens: Path, seconds: float) -> Plan:
    if (out / PLAN).exists():
        return Plan.load(out / PLAN, [])
    machine = describe_machine()
    write_json(out / MACHINE, machine)
    plan = make_plan(tokens, finetunes, max(seconds, 20.0), machine["precision"], recipe.seed)
    plan.save(out / PLAN)
    return plan


def _finetune_plan(
    plan: Plan, out: Path, encoder: Path, tasks: list[TaskData], seconds: float, seed: int
) -> FinetunePlan:
    if (out / FINETUNE_PLAN).exists():
        return FinetunePlan.load(out / FINETUNE_PLAN, [])
    found = make_finetune_plan(plan, encoder, tasks, seconds, available_cores(), seed)
    found.save(out / FINETUNE_PLAN)
    return found


def _sizes(recipe: Any) -> str:
    return f"{recipe.model.layers} layers of width {recipe.model.width}, {recipe.steps:,} steps"
