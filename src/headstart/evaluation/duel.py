"""A duel: an encoder, a decoder and an encoder-decoder of equal parameters, trained with equal operations on
the same text, on tasks that each is said to be made for.

The encoder and the decoder are one block that sees both sides or the left (family house). The
encoder-decoder is BART's, with an inner width that comes nearest to their number of weights. The encoder's
steps set the operations; the others make as many steps as cost the same, of the same rows in the same order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from headstart.errors import HeadstartError
from headstart.evaluation.duel_result import (
    ANSWERS,
    CLASSIFICATION,
    GAPS,
    RESULT,
    WRITING,
    Duel,
    DuelAnswer,
    DuelCell,
    DuelExample,
    DuelTask,
    Fighter,
    PairedDifference,
)
from headstart.evaluation.gaps import cannot_write, continuation_nats, gap_logprobs
from headstart.folder import JSONObject, read_json, write_json
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.models.config import TransformerConfig
from headstart.models.flops import training_flops
from headstart.models.parameters import parameters
from headstart.models.registry import make_config
from headstart.output import output
from headstart.progress import stage
from headstart.recipe import Recipe
from headstart.tasks.data.dataset import load_task
from headstart.tasks.data.splitting import sample_labels
from headstart.tasks.examples import TaskData
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.metrics.bootstrap import Measurement, compare_measurements, mean
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import TokenRows, tokens_manifest
from headstart.training.loop import pretrain
from headstart.training.metrics import read_metrics
from headstart.training.recipe import PretrainRecipe

ENCODER, DECODER, BOTH = "encoder", "decoder", "encoder-decoder"
NAMES = (ENCODER, DECODER, BOTH)
GIVEN, WRITTEN = 32, 32
"""Tokens of a held-out text that are given, and that are to be written on."""
TASK_MODEL = "task"
"""In a fighter's folder: it with a head for the labels."""


class DuelRecipe(Recipe):
    """Settings of `headstart duel`."""

    layers: int = Field(4, ge=2)
    """Blocks of the encoder and of the decoder; the encoder-decoder has half in each of its stacks."""
    width: int = Field(128, ge=16)
    """Size of a token's vector between the blocks, in all three models."""
    heads: int = Field(4, ge=1)
    """Attention heads, in all three."""
    feedforward_width: int = Field(352, ge=8)
    """Inner width of the encoder's and the decoder's feed-forward layers."""
    context: int = Field(128, ge=16)
    """Tokens in a row."""
    rows: int = Field(16, ge=1)
    """Rows in a step."""
    steps: int = Field(200, ge=1)
    """Steps of the encoder; the others make as many steps as cost the same number of operations."""
    mask_rate: float = Field(0.4, gt=0, lt=1)
    """Share of the tokens that the encoder predicts."""
    labelled: int = Field(500, ge=4)
    """Labelled examples for the fine-tuning of each model."""
    finetune_steps: int = Field(120, ge=1)
    """Steps of each fine-tuning."""
    examples: int = Field(300, ge=2)
    """Test examples of each task, at most."""
    precision: str = "float32"
    """Dtype of pre-training: float32 or bfloat16."""
    seed: int = Field(0, ge=0)
    """Random seed of initial weights, rows, gaps and sampling."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "layers": "n_layer num_layers num_hidden_layers",
        "width": "hidden_size d_model n_embd",
        "heads": "n_head num_heads num_attention_heads",
        "feedforward_width": "intermediate_size d_ff ffn_dim",
        "steps": "max_steps train_steps",
    }


@dataclass(frozen=True)
class Plan:
    """How one of the models is trained."""

    name: str
    recipe: PretrainRecipe
    parameters: int
    flops: float


def plans(recipe: DuelRecipe, tokens: Path) -> list[Plan]:
    """The three, with equal weights and operations as near as whole layers, units and steps allow.

    Raises:
        HeadstartError: sizes that do not fit together.
    """
    vocabulary = tokens_manifest(tokens)["vocab_size"]
    sizes = {"layers": recipe.layers, "width": recipe.width, "heads": recipe.heads}
    own = sizes | {"feedforward_width": recipe.feedforward_width}
    shared = {"vocab_size": vocabulary, "context": recipe.context}
    goal = parameters(make_config("house", own | shared | {"architecture": "encoder"}))
    half = sizes | {"layers": max(1, recipe.layers // 2)}
    inner = min(
        range(8, 8 * recipe.feedforward_width, 8),
        key=lambda width: abs(
            parameters(make_config("bart", half | shared | {"feedforward_width": width})) - goal
        ),
    )
    models: dict[str, JSONObject] = {
        ENCODER: own | {"family": "house", "architecture": "encoder"},
        DECODER: own | {"family": "house", "architecture": "decoder"},
        BOTH: half | {"family": "bart", "feedforward_width": inner},
    }
    objectives: dict[str, JSONObject] = {
        ENCODER: {"kind": "masked", "mask_rate": recipe.mask_rate},
        DECODER: {"kind": "causal"},
        BOTH: {"kind": "denoising", "permute_sentences": False},
    }
    found: list[Plan] = []
    for name in NAMES:
        given = {key: value for key, value in models[name].items() if key != "family"}
        config = make_config(models[name]["family"], given | shared)
        step = _step_flops(config, recipe, objectives[name])
        budget = found[0].flops if found else recipe.steps * step
        steps = max(1, round(budget / step))
        settings = {
            "tokens": tokens, "model": models[name], "objective": objectives[name], "context": recipe.context,
            "rows": recipe.rows, "steps": steps, "precision": recipe.precision, "seed": recipe.seed,
            "start": "static", "evaluate_every": 10**6, "evaluate_rows": 32, "checkpoint_every": 100,
            "keep_checkpoints": 1, "sinks": [],
        }  # fmt: skip
        found.append(Plan(name, PretrainRecipe.checked(settings), parameters(config), steps * step))
    return found


def _step_flops(config: TransformerConfig, recipe: DuelRecipe, objective: JSONObject) -> float:
    tokens = recipe.rows * recipe.context
    targets = round(recipe.mask_rate * tokens) if objective["kind"] == "masked" else tokens
    source = recipe.context if config.architecture == BOTH else 0
    return training_flops(config, tokens, recipe.context, targets, source)


def duel(tokens: Path, labels: Path, out: Path, recipe: DuelRecipe, replace: bool = False) -> Duel:
    """Train the three, fine-tune each on the same labels, let each fill the same gaps and write on the same
    texts, and compare all pairs on the same examples. A call that was stopped goes on.

    Args:
        tokens: a tokens folder, with a held-out split.
        labels: labelled texts of one task.
        out: the folder to make: a run folder a model, `answers/` and `duel.json`.

    Raises:
        HeadstartError: see `pretrain`, `load_task`; the labels are not of whole texts.
    """
    settings = {
        "recipe": recipe.model_dump(mode="json"),
        "tokens": str(tokens.resolve()),
        "labels": str(labels.resolve()),
    }
    with output(out, "duel", settings=settings, inputs=[tokens, labels], replace=replace) as claimed:
        if not claimed.finished:
            task = load_task(labels, seed=recipe.seed)
            if task.kind != CLASSIFICATION:
                raise HeadstartError(f"{labels} is {task.kind}; a duel takes texts with one label each")
            claimed.finish(_duel(tokens, labels, out, recipe, task))
    return read_json(out / RESULT, Duel)


def _duel(tokens: Path, labels: Path, out: Path, recipe: DuelRecipe, task: TaskData) -> JSONObject:
    three = plans(recipe, tokens)
    tokenizer = open_tokenizer(tokens)
    test = sample_labels(task.test, recipe.examples, 0) if len(task.test) > recipe.examples else task.test
    examples = {
        CLASSIFICATION: [
            _example(n, text if isinstance(text, str) else "\n".join(text), [], tokenizer, None, str(label))
            for n, (text, label) in enumerate(zip(test.inputs, test.targets, strict=True))
        ],
        GAPS: _gap_examples(tokens, tokenizer, recipe),
        WRITING: _writing_examples(tokens, tokenizer, recipe),
    }
    (out / ANSWERS).mkdir(exist_ok=True)
    for name, rows in examples.items():
        write_json(out / ANSWERS / f"{name}.json", rows)
    found: list[Fighter] = []
    _tell(out, tokens, labels, found, examples)
    for plan in three:
        with stage(f"{plan.name}: {plan.parameters:,} parameters, {plan.recipe.steps:,} steps"):
            loaded = load_model(pretrain(plan.recipe, out / plan.name))
            _answer(out, plan.name, loaded, recipe, task, examples)
        found.append(_fighter(plan, out / plan.name))
        _tell(out, tokens, labels, found, examples)
    return {"models": [one["name"] for one in found]}


def _answer(
    out: Path,
    name: str,
    loaded: LoadedModel,
    recipe: DuelRecipe,
    task: TaskData,
    examples: dict[str, list[DuelExample]],
) -> None:
    """What a model says to every example, as far as it has not said it before."""
    asked: dict[str, Callable[[], list[DuelAnswer]]] = {
        CLASSIFICATION: lambda: _labels_of(out / name, loaded, recipe, task, examples[CLASSIFICATION]),
        GAPS: lambda: _gaps_of(loaded, examples[GAPS]),
        WRITING: lambda: _writing_of(loaded, examples[WRITING]),
    }
    for kind, answers in asked.items():
        path = out / ANSWERS / f"{kind}-{name}.json"
        if not path.exists() and not (kind == WRITING and cannot_write(loaded)):
            write_json(path, answers())


def _labels_of(
    run: Path, loaded: LoadedModel, recipe: DuelRecipe, task: TaskData, examples: Sequence[DuelExample]
) -> list[DuelAnswer]:
    steps = recipe.finetune_steps
    settings = FinetuneRecipe(
        min_steps=steps, max_steps=steps, max_tokens=recipe.context, counted_words="none", validation_share=0
    )
    train = sample_labels(task.train, recipe.labelled, recipe.seed)
    fitted = finetune(loaded, train, settings, recipe.seed)
    fitted.save(run / TASK_MODEL, f"# {task.name}\n\nFine-tuned on {len(train):,} labels for a duel.")
    said = fitted.predict([one["text"] for one in examples])
    return [
        {
            "number": one["number"],
            "said": str(label),
            "value": float(str(label) == one["truth"]),
            "truth_bits": None,
        }
        for one, label in zip(examples, said, strict=True)
    ]


def _gaps_of(loaded: LoadedModel, examples: Sequence[DuelExample]) -> list[DuelAnswer]:
    found: list[DuelAnswer] = []
    for one in examples:
        place = one["place"] or 0
        chances = gap_logprobs(loaded, one["ids"], place, [(len(one["ids"]), len(one["ids"]))])[0]
        best = int(chances.argmax())
        found.append({
            "number": one["number"], "said": loaded.tokenizer.token_text(best),
            "value": float(best == one["ids"][place]),
            "truth_bits": -float(chances[one["ids"][place]]) / log(2),
        })  # fmt: skip
    return found


def _writing_of(loaded: LoadedModel, examples: Sequence[DuelExample]) -> list[DuelAnswer]:
    found: list[DuelAnswer] = []
    for one in examples:
        nats = continuation_nats(loaded, one["ids"], one["place"] or 0)
        found.append({
            "number": one["number"], "said": "", "value": float(nats.mean()),
            "truth_bits": float(nats.sum()) / log(2),
        })  # fmt: skip
    return found


def _example(
    number: int, text: str, ids: list[int], tokenizer: Tokenizer, place: int | None, truth: str
) -> DuelExample:
    return {
        "number": number, "text": text, "ids": ids, "texts": [tokenizer.token_text(one) for one in ids],
        "place": place, "truth": truth,
    }  # fmt: skip


def _gap_examples(tokens: Path, tokenizer: Tokenizer, recipe: DuelRecipe) -> list[DuelExample]:
    """Held-out texts with one gap each, a token that begins a word, drawn from the middle half."""
    random = np.random.Generator(np.random.Philox(key=np.array([recipe.seed, 1], np.uint64)))
    length = min(48, recipe.context - 4)
    found: list[DuelExample] = []
    for ids in _texts(tokens, tokenizer, length, 3 * recipe.examples):
        words = [
            place
            for place in range(length // 4, 3 * length // 4)
            if (piece := tokenizer.token_text(ids[place]))[:1] == " " and piece[1:].isalpha()
        ]
        if words and len(found) < recipe.examples:
            place = int(random.choice(words))
            truth = tokenizer.token_text(ids[place])
            found.append(_example(len(found), tokenizer.decode(ids), ids, tokenizer, place, truth))
    if not found:
        raise HeadstartError(f"{tokens} has no held-out text with a gap; encode with a larger heldout_share")
    return found


def _writing_examples(tokens: Path, tokenizer: Tokenizer, recipe: DuelRecipe) -> list[DuelExample]:
    length = min(GIVEN + WRITTEN, recipe.context - 4)
    return [
        _example(n, tokenizer.decode(ids), ids, tokenizer, length // 2, tokenizer.decode(ids[length // 2 :]))
        for n, ids in enumerate(_texts(tokens, tokenizer, length, recipe.examples))
    ]


def _texts(tokens: Path, tokenizer: Tokenizer, length: int, most: int) -> list[list[int]]:
    """Rows of the held-out split that lie within a document, without special tokens."""
    rows = TokenRows(tokens, "heldout", length)
    ids, documents = rows.read(np.arange(min(len(rows), 4 * most)))
    special = tokenizer.special.all
    return [
        row.tolist()
        for row, of in zip(ids, documents, strict=True)
        if (of == of[0]).all() and not special.intersection(row.tolist())
    ][:most]


def _fighter(plan: Plan, run: Path) -> Fighter:
    last: Any = [event for event in read_metrics(run) if event["kind"] == "step"][-1]
    return {
        "name": plan.name, "family": plan.recipe.model.family, "objective": plan.recipe.objective.kind,
        "parameters": plan.parameters, "flops": plan.flops, "tokens": int(last["tokens"]),
        "steps": plan.recipe.steps, "core_seconds": float(last.get("core_seconds", last["seconds"])),
    }  # fmt: skip


def _tell(
    out: Path, tokens: Path, labels: Path, found: Sequence[Fighter], examples: dict[str, list[DuelExample]]
) -> None:
    """Write the result as far as it has come."""
    names = [one["name"] for one in found]
    tasks = [_scored(out, kind, names, len(rows)) for kind, rows in examples.items()]
    result: Duel = {
        "tokens": str(tokens.resolve()), "labels": str(labels.resolve()), "wanted": list(NAMES),
        "models": list(found), "tasks": tasks,
    }  # fmt: skip
    write_json(out / RESULT, result)


METRICS = {CLASSIFICATION: ("accuracy", True), GAPS: ("gaps filled", True), WRITING: ("nats a token", False)}


def _scored(out: Path, kind: str, names: Sequence[str], count: int) -> DuelTask:
    metric, higher = METRICS[kind]
    measured: dict[str, Measurement] = {}
    cells: list[DuelCell] = []
    for name in names:
        path = out / ANSWERS / f"{kind}-{name}.json"
        if not path.exists():
            reason = "it reads both sides of every token and writes none, so it gives no text a probability"
            cells.append({"model": name, "value": None, "low": None, "high": None, "reason": reason})
            continue
        measured[name] = mean(metric, [one["value"] for one in read_json(path, list[DuelAnswer])])
        score = measured[name].score
        cells.append({
            "model": name, "value": score.value, "low": score.low, "high": score.high, "reason": None
        })  # fmt: skip
    pairs: list[PairedDifference] = []
    for first, second in combinations(measured, 2):
        one = compare_measurements(measured[first], measured[second])
        pairs.append({
            "first": first, "second": second, "difference": one.difference, "low": one.low, "high": one.high,
            "p": one.p,
        })  # fmt: skip
    return {"task": kind, "metric": metric, "higher": higher, "n": count, "cells": cells, "pairs": pairs}
