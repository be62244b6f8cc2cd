"""The house runs: small models of one block, changed in one thing at a time, that most claims share.

An encoder and a decoder of the family `house` have the same weights and differ in what they see. All read
the same rows in the same order for the same seed. They start from counted token vectors: masked training
from random weights stays at the loss of word frequencies for longer than such runs last.
"""

from typing import Any

from headstart.lab.bench import Bench
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


def inner_width(bench: Bench, gated: bool) -> int:
    """The feed-forward width of a shape, with the same number of weights with and without a gate."""
    width = SHAPES[bench.level.shape]["feedforward_width"]
    return width if gated else round(width * PLAIN)
