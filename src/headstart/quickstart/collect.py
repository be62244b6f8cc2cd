"""All figures of a quickstart folder: `report.json`."""

import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np
import torch

from headstart import __version__
from headstart.corpus_folder import corpus_manifest
from headstart.errors import HeadstartError
from headstart.folder import MANIFEST, JSONObject, checked, read_json
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.models.flops import training_flops
from headstart.quickstart.budget import Plan
from headstart.quickstart.facts import (
    Asked,
    Cost,
    CountedStage,
    FilledGap,
    LossPoint,
    PretrainedModel,
    Price,
    Report,
    TaskFacts,
    TokenizerFacts,
)
from headstart.quickstart.finetune_budget import FinetunePlan
from headstart.recipe import read_yaml
from headstart.tasks.data.dataset import find_tasks
from headstart.tasks.finetuning.head_start_points import POINTS, HeadStartPoint, read_points
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import TokenRows, tokens_manifest
from headstart.training.machine import Machine, package_versions
from headstart.training.metrics import read_metrics

CURVE_POINTS = 300
FILL_EXAMPLES, FILL_TOKENS = 6, 28


def collect(folder: Path) -> Report:
    """Read every stage's folder; what a stage did not write is left empty.

    Raises:
        HeadstartError: `folder` holds no quickstart.
    """
    if not (folder / "quickstart.json").exists():
        raise HeadstartError(
            f"{folder} holds no quickstart; make one with `headstart quickstart --out {folder}`"
        )
    asked = checked(read_yaml(folder / "quickstart.yaml")[0], Asked, folder / "quickstart.yaml")
    corpus: JSONObject = {}
    if (folder / "corpus" / MANIFEST).exists():
        corpus = {**corpus_manifest(folder / "corpus")}
    stages = read_json(folder / "stages.json", dict[str, float]) if (folder / "stages.json").exists() else {}
    measured = folder / "machine.json"
    machine = cast("Machine", read_json(measured, dict) if measured.exists() else {})
    plan = Plan.load(folder / "plan.yaml", []) if (folder / "plan.yaml").exists() else None
    fits_path = folder / "finetune-plan.yaml"
    fits = FinetunePlan.load(fits_path, []) if fits_path.exists() else None
    points = _points(folder)
    pretraining = [
        _pretraining(folder / name, name)
        for name in ("encoder", "decoder")
        if (folder / name / "model" / "config.json").exists()
    ]
    return {
        "headstart": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(sum(stages.values()), 1),
        "minutes_asked": asked["minutes"],
        "machine": machine,
        "stages": [{"stage": name, "seconds": seconds} for name, seconds in stages.items()],
        "funnel": read_json(folder / "funnel.json", list[CountedStage])
        if (folder / "funnel.json").exists()
        else corpus.get("funnel", []),
        "removed": corpus.get("removed", {}),
        "skipped": corpus.get("skipped", {}),
        "domains": _domains(folder),
        "languages": corpus.get("languages", {}),
        "tokenizer": _tokenizer(folder),
        "pretraining": pretraining,
        "head_start": points,
        "tasks": _tasks(asked, points, plan),
        "cost": _cost(folder, pretraining, points),
        "recipe": "\n".join(
            (folder / name).read_text("utf-8")
            for name in ("quickstart.yaml", "plan.yaml", "finetune-plan.yaml")
            if (folder / name).exists()
        ),
        "versions": package_versions(),
        "notes": _notes(points),
        "warnings": [
            *(plan.warnings if plan is not None else []),
            *(fits.warnings if fits is not None else []),
        ],
    }


def _points(folder: Path) -> list[HeadStartPoint]:
    """The head-start points in a fixed order, whatever the order in which they were computed."""
    return sorted(
        read_points(folder / POINTS).points, key=lambda p: (p["task"], p["labels"], p["system"], p["seed"])
    )


def _domains(folder: Path) -> dict[str, dict[str, int]]:
    if not (folder / "tokens" / MANIFEST).exists():
        return {}
    totals: dict[str, dict[str, int]] = {}
    for split in tokens_manifest(folder / "tokens")["splits"].values():
        for domain, counts in split["domains"].items():
            total = totals.setdefault(domain, dict.fromkeys(counts, 0))
            for key, count in counts.items():
                total[key] += count
    return totals


def _heldout_texts(folder: Path, tokenizer: Tokenizer, count: int) -> list[list[int]]:
    """The beginnings of some held-out documents, as ids without special tokens."""
    rows = TokenRows(folder / "tokens", "heldout", FILL_TOKENS)
    ids, segments = rows.read(np.arange(min(len(rows), 40 * count)))
    texts = []
    for row, segment in zip(ids, segments, strict=True):
        if (segment == segment[0]).all() and not tokenizer.special.all.intersection(row.tolist()):
            texts.append(row.tolist())
    return texts[:: max(1, len(texts) // count)][:count]


def _tokenizer(folder: Path) -> TokenizerFacts:
    if not (folder / "tokens" / MANIFEST).exists():
        return {}
    tokenizer = open_tokenizer(folder / "tokens")
    manifest = tokens_manifest(folder / "tokens")
    splits = manifest["splits"].values()
    return {
        "vocab_size": tokenizer.vocab_size,
        "bytes_per_token": sum(s["bytes"] for s in splits) / sum(s["tokens"] for s in splits),
        "leaked": manifest.get("leaked", {}).get("documents", 0),
        "examples": [
            {"text": tokenizer.decode(ids), "tokens": [tokenizer.token_text(index) for index in ids]}
            for ids in _heldout_texts(folder, tokenizer, 3)
        ],
    }


def _pretraining(run: Path, name: str) -> PretrainedModel:
    """What a run reached, its curve, and what the model says."""
    loaded = load_model(run)
    events = read_metrics(run)
    steps = [event for event in events if event["kind"] == "step"]
    evaluations = [event for event in events if event["kind"] == "evaluation"]
    recipe = Plan.load(run.parent / "plan.yaml", []).model_dump()[name]
    config = loaded.model.config
    tokens = steps[-1]["tokens"]
    targets = tokens if loaded.head == "causal" else round(recipe["objective"]["mask_rate"] * tokens)
    return {
        "model": name,
        "family": config.family,
        "objective": loaded.head,
        "layers": config.layers,
        "width": config.width,
        "parameters": sum(parameter.numel() for parameter in loaded.model.parameters()),
        "tokens": tokens,
        "seconds": round(steps[-1]["seconds"], 1),
        "flops": training_flops(config, tokens, recipe["context"], targets),
        "bits_per_byte": evaluations[-1]["bits_per_byte"],
        "loss": evaluations[-1]["loss"],
        "first_loss": evaluations[0]["loss"],
        "ln_vocab": float(np.log(config.vocab_size)),
        "curve": _thinned(cast(list[LossPoint], steps)),
        "evals": [
            LossPoint(
                step=event["step"],
                tokens=event["tokens"],
                seconds=event["seconds"],
                loss=event["loss"],
                bits_per_byte=event["bits_per_byte"],
            )
            for event in evaluations
        ],
        "samples": [
            {"step": made["step"], "tokens": made["step"] * recipe["rows"] * recipe["context"]} | sample
            for made in (
                read_json(path, JSONObject) for path in sorted((run / "samples").glob("step-*.json"))
            )
            for sample in made["samples"]
        ],
        "fills": _fills(run.parent, loaded) if loaded.head == "masked" else [],
    }


def _thinned(steps: list[LossPoint]) -> list[LossPoint]:
    """At most `CURVE_POINTS` points, each the mean of its neighbours."""
    size = -(-len(steps) // CURVE_POINTS)
    groups = [steps[first : first + size] for first in range(0, len(steps), size)]
    return [
        LossPoint(
            step=group[-1]["step"],
            tokens=group[-1]["tokens"],
            seconds=group[-1]["seconds"],
            loss=statistics.fmean(step["loss"] for step in group),
        )
        for group in groups
    ]


@torch.no_grad()
def _fills(folder: Path, loaded: LoadedModel) -> list[FilledGap]:
    """What the encoder puts into gaps of texts that it never saw: one word each, from both sides."""
    fills: list[FilledGap] = []
    for ids in _heldout_texts(folder, loaded.tokenizer, FILL_EXAMPLES):
        words = [
            place
            for place in range(8, len(ids) - 8)
            if loaded.tokenizer.pieces[ids[place]][1:].isalpha()
            and loaded.tokenizer.pieces[ids[place]][:1] == b" "
        ]
        if not words:
            continue
        place = max(words, key=lambda place: len(loaded.tokenizer.pieces[ids[place]]))
        before, after = ids[:place], ids[place + 1 :]
        masked = [*before, loaded.tokenizer.special.mask, *after]
        hidden = loaded.model(torch.tensor([masked]))
        probabilities = loaded.model.logits(hidden[0, place]).softmax(-1)
        best, tokens = probabilities.topk(5)
        fills.append(
            {
                "text": f"{loaded.tokenizer.decode(before)} [MASK]{loaded.tokenizer.decode(after)}",
                "truth": loaded.tokenizer.token_text(ids[place]),
                "predictions": [
                    {"token": loaded.tokenizer.token_text(int(token)), "probability": float(p)}
                    for token, p in zip(tokens, best, strict=True)
                ],
            }
        )
    return fills


def _tasks(asked: Asked, points: list[HeadStartPoint], plan: Plan | None) -> dict[str, TaskFacts]:
    if not asked["labels"] or not points or plan is None:
        return {}
    by_task = {point["task"]: point for point in points}
    return {
        task.name: {
            "kind": task.kind,
            "labels": task.train.labels,
            "train_examples": len(task.train),
            "test_examples": by_task[task.name]["test_examples"],
            "metric": by_task[task.name]["metric"],
            "notes": [
                _sentence(note)
                for note in [
                    *task.notes,
                    f"texts over {plan.encoder.context} tokens were read in windows that overlap",
                    *_passes(points, task.name),
                ]
            ],
        }
        for task in find_tasks(Path(asked["labels"]), seed=asked["seed"])
        if task.name in by_task
    }


def _passes(points: list[HeadStartPoint], task: str) -> list[str]:
    """How many examples the fine-tunings that are finished saw."""
    seen = [p["facts"]["passes"] for p in points if p["task"] == task and "passes" in p["facts"]]
    if not seen:
        return []
    return [f"a fine-tuning went over {min(seen):,} to {max(seen):,} examples, repeats counted"]


def _sentence(note: str) -> str:
    return f"{note[0].upper()}{note[1:].rstrip('.')}."


def _cost(folder: Path, pretraining: list[PretrainedModel], points: list[HeadStartPoint]) -> Cost:
    """What is paid once, and what every task pays: the mean of its fine-tunings."""
    encoder = next((model for model in pretraining if model["model"] == "encoder"), None)
    shared: Price = (
        {"seconds": encoder["seconds"], "flops": encoder["flops"]} if encoder else {"seconds": 0, "flops": 0}
    )
    if encoder is None or not points:
        return {"shared": shared, "per_task": []}
    config = load_model(folder / "encoder").model.config
    row = Plan.load(folder / "plan.yaml", []).encoder.context
    groups: dict[tuple[str, int], list[HeadStartPoint]] = {}
    for point in points:
        if point["system"] == "fine-tuned":
            groups.setdefault((point["task"], point["labels"]), []).append(point)
    return {
        "shared": shared,
        "per_task": [
            {
                "task": task,
                "labels": labels,
                "seconds": statistics.fmean(p["seconds"] for p in group),
                "flops": statistics.fmean(training_flops(config, p["facts"]["tokens"], row) for p in group),
            }
            for (task, labels), group in groups.items()
        ],
    }


def _notes(points: list[HeadStartPoint]) -> list[str]:
    if not points:
        return ["No labelled data was given, so there is no head start to show."]
    seeds = len({point["seed"] for point in points})
    return [
        f"{seeds} seeds a point; a seed chooses the labelled examples, the same ones for every system, and "
        "what is random in training.",
        "Fine-tuned, static start and from-scratch are the same network with the same number of updates; "
        "random weights have a learning rate of their own.",
    ]
