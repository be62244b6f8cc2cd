"""From a number of parameters to a model's shape, and from a plan to a recipe for `headstart pretrain`."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, atomic
from headstart.models.config import Sizes, TransformerConfig
from headstart.models.parameters import parameters
from headstart.models.registry import family_named, make_config
from headstart.page.numbers import amount
from headstart.recipe import yaml_text
from headstart.scaling.width_rule import tuned_for_width
from headstart.training.recipe import PretrainRecipe

STEPS_OF_WIDTH = ((128, 16), (1024, 64), (4096, 128), (1 << 20, 512))
"""Below a width, widths are multiples of so much."""
SMALL_ASPECT, LARGE_ASPECT = 48, 128
"""Width over layers of published models, below 10M and above 10B parameters; between them it grows evenly.
The loss hardly depends on it (Kaplan et al. 2020, section 3.1)."""
FEWEST_STEPS, MOST_ROWS_AT_ONCE = 500, 32
MOST_LAYERS, MOST_WIDTH = 159, 39_936
"""Beyond every published model."""
ASPECT_WEIGHT = 0.1


def shape_for(
    family: str,
    count: float,
    vocab_size: int,
    context: int,
    counted: Callable[[TransformerConfig], int] = parameters,
) -> TransformerConfig:
    """The shape of usual proportions whose number of parameters is nearest to `count`.

    Args:
        counted: which parameters of a model are counted.

    Raises:
        HeadstartError: the vocabulary alone is larger than that, or no shape is as large.
    """
    best: tuple[float, TransformerConfig] | None = None
    for blocks in range(1, MOST_LAYERS + 1):
        for width in _widths():
            if width / blocks < _aspect(count) / 4:
                continue
            config = shaped(family, blocks, width, vocab_size, context)
            found = counted(config)
            cost = abs(math.log(found / count)) + ASPECT_WEIGHT * abs(
                math.log(width / blocks / _aspect(count))
            )
            if best is None or cost < best[0]:
                best = (cost, config)
            if found > 1.5 * count:
                break
    assert best is not None
    if counted(best[1]) > 1.5 * count:
        raise HeadstartError(
            f"a {family} with {vocab_size:,} tokens of vocabulary has more than {amount(count)} "
            "parameters at any width; plan a larger model or train a smaller vocabulary"
        )
    largest = best[1].width == MOST_WIDTH or best[1].layers == MOST_LAYERS  # small sizes lie far apart
    if largest and counted(best[1]) < count / 1.5:
        raise HeadstartError(
            f"no {family} of usual proportions has {amount(count)} parameters: {MOST_LAYERS} layers of width "
            f"{MOST_WIDTH:,} have {amount(counted(best[1]))}; plan a smaller model or more tokens"
        )
    return best[1]


def _widths() -> Iterator[int]:
    width = 16
    while width <= MOST_WIDTH:
        yield width
        width += next(step for below, step in STEPS_OF_WIDTH if width < below)


def _aspect(count: float) -> float:
    place = min(1.0, max(0.0, math.log10(count / 1e7) / 3))
    aspect: float = SMALL_ASPECT * (LARGE_ASPECT / SMALL_ASPECT) ** place
    return aspect


def shaped(family: str, layers: int, width: int, vocab_size: int, context: int) -> TransformerConfig:
    """Feed-forward layers of 4 D, with a gate of 8/3 D in whole 16s or, from a width of 128 on, 64s."""
    sizes: Sizes = {"vocab_size": vocab_size, "context": context, "layers": layers, "width": width}
    sizes |= {"heads": width // _head_width(width), "feedforward_width": 4 * width}
    config = make_config(family, sizes)
    unit = 64 if width >= 128 else 16
    inner = unit * math.ceil(8 * width / 3 / unit)
    return replace(config, feedforward_width=inner) if config.gated else config


def _head_width(width: int) -> int:
    if width < 128:
        return 16
    return 64 if width < 2048 else 128


def training_steps(tokens: float, context: int, batch_tokens: float) -> tuple[int, int]:
    """Steps and rows in a step that read about `tokens`: batches as large as asked for, or smaller where
    too few steps would be left."""
    batch = min(batch_tokens, tokens / FEWEST_STEPS)
    rows = max(1, round(batch / context))
    return max(1, round(tokens / (rows * context))), rows


def recipe_for(
    config: TransformerConfig, tokens: float, batch_tokens: float, precision: str, folder: Path | None
) -> JSONObject:
    """Settings of `headstart pretrain` for a planned model, checked.

    Args:
        folder: the tokens folder; None: to be given on the command line.
    """
    steps, rows = training_steps(tokens, config.context, batch_tokens)
    model: Sizes = {
        "family": config.family,
        "layers": config.layers,
        "width": config.width,
        "heads": config.heads,
        "feedforward_width": config.feedforward_width,
    }
    if config.kv_heads != config.heads:
        model["kv_heads"] = config.kv_heads
    settings: JSONObject = {"tokens": str(folder)} if folder else {}
    settings |= {
        "model": model,
        "objective": {"kind": family_named(config.family).objective},
        "context": config.context,
        "rows": rows,
        "micro_rows": min(rows, MOST_ROWS_AT_ONCE),
        "steps": steps,
        "precision": precision,
        "evaluate_every": max(1, steps // 20),
        "checkpoint_every": max(1, steps // 20),
    }
    tuned = tuned_for_width(PretrainRecipe.model_validate({"tokens": "tokens"} | settings))
    if tuned.model.embedding_deviation is not None:
        model["embedding_deviation"] = float(f"{tuned.model.embedding_deviation:.3g}")
    rates = {name: getattr(tuned.optimiser, name) for name in ("matrix_rate", "vector_rate")}
    return settings | {"optimiser": {name: float(f"{rate:.3g}") for name, rate in rates.items()}}


def write_recipe(path: Path, settings: JSONObject, why: list[str]) -> None:
    """Write a recipe with what it was planned from as a comment."""
    lines = [f"# {line}" for line in why]
    if "tokens" not in settings:
        lines.append(f"#   headstart pretrain --recipe {path.name} tokens=TOKENS --out RUN")
    with atomic(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n" + yaml_text(settings), encoding="utf-8")
