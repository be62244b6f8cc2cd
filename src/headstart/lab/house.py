"""The house runs: small models of one block, changed in one thing at a time, that most claims share.

An encoder and a decoder of the family `house` have the same weights and differ in what they see. All read
the same rows in the same order for the same seed. They start from counted token vectors: masked training
from random weights stays at the loss of word frequencies for longer than such runs last.
"""

from typing import Any

from headstart.lab.bench import Bench
from headstart.lab.fitting import TASKS, Start
from headstart.lab.runs import RunSpec

SHAPES = {
    "XS": {"layers": 2, "width": 128, "heads": 4, "feedforward_width": 352},
    "S": {"layers": 4, "width": 192, "heads": 4, "feedforward_width": 512},
}
ROW, ROWS = 128, 16
"""Tokens in a row, rows in a step."""
PLAIN = 3 / 2
"""A feed-forward layer without a gate is wider by this, for the same number of weights."""


def decoder(bench: Bench, tokens: RunSpec | None = None, **model: Any) -> RunSpec:
    """A decoder that learns the next token; `model` says what is different about it."""
    return pretrain_of(bench, {"architecture": "decoder", **model}, {"kind": "causal"}, tokens)


def encoder(
    bench: Bench, rate: float = 0.4, fates: tuple[float, ...] = (0.8, 0.1, 0.1), **model: Any
) -> RunSpec:
    """An encoder that fills in masked tokens; with `architecture="decoder"` it sees the left alone."""
    objective = {"kind": "masked", "mask_rate": rate, "fates": list(fates)}
    return pretrain_of(bench, {"architecture": "encoder", **model}, objective)


def pretrain_of(
    bench: Bench,
    model: dict[str, Any],
    objective: dict[str, Any],
    tokens: RunSpec | None = None,
    start: RunSpec | None = None,
    **settings: Any,
) -> RunSpec:
    """A pre-training run of this level's shape and number of tokens, with the seed of the bench.

    Args:
        tokens: what it reads; None: the laboratory's usual text.
        start: a run whose model goes on learning.
    """
    inputs = {"tokens": bench.tokens if tokens is None else tokens}
    recipe: dict[str, Any] = {
        "model": {"family": "house", **SHAPES[bench.level.shape], **model},
        "objective": objective,
        "context": ROW,
        "rows": ROWS,
        "micro_rows": ROWS,
        "steps": max(1, round(bench.level.tokens / (ROW * ROWS))),
        "precision": "bfloat16",
        "evaluate_every": 10**6,
        "evaluate_rows": 64,
        "checkpoint_every": 100,
        "keep_checkpoints": 1,
        "sinks": [],
        "seed": bench.seed,
    }
    if start is None:
        recipe["start"] = "static"
    else:
        inputs["start"] = start
    return RunSpec("pretrain", recipe | settings, inputs)


def finetune_of(
    bench: Bench,
    base: RunSpec | None,
    task: str,
    labels: int,
    start: Start = "pre-trained",
    adapt: str = "full",
    in_words: bool = False,
) -> RunSpec:
    """A system fitted to `labels` examples of a task, the same ones for the same seed of the bench.

    Args:
        base: the pre-training run; None: counted words without a network.
        start: its model, the counted vectors that it began with, or random weights of its shape.
        in_words: the model writes its answers.
    """
    settings: dict[str, Any] = {"task": task, "labels": labels, "seed": bench.seed}
    if base is not None:
        settings |= {"start": start, "adapt": adapt, "in words": in_words}
    inputs = {} if base is None else {"base": base}
    return RunSpec("finetune", settings, inputs, bench.labelled(TASKS[task]))


def inner_width(bench: Bench, gated: bool) -> int:
    """The feed-forward width of a shape, with the same number of weights with and without a gate."""
    width = SHAPES[bench.level.shape]["feedforward_width"]
    return width if gated else round(width * PLAIN)


WIDTHS = (64, 96, 128)
PARTS = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""Of the level's tokens."""
LARGER_WIDTH, LARGER_PART = 192, 2.0
"""Of the run that a law has to foretell."""


def sweep(bench: Bench) -> dict[str, RunSpec]:
    """Decoders of several widths, each trained on several numbers of tokens, and a larger one at the end."""
    grid = [(width, part) for width in WIDTHS for part in PARTS]
    return {
        sweep_name(width, part): pretrain_of(
            bench,
            {"architecture": "decoder", "width": width, "feedforward_width": round(2.75 * width)},
            {"kind": "causal"},
            steps=max(1, round(part * bench.level.tokens / (ROW * ROWS))),
        )
        for width, part in [*grid, (LARGER_WIDTH, LARGER_PART)]
    }


def sweep_name(width: int, part: float) -> str:
    """What an arm of the sweep is called."""
    return f"{width} wide, {part:g} of the tokens"


LARGER = sweep_name(LARGER_WIDTH, LARGER_PART)
