"""Do learning rate and initialisation stay right when a model grows wider?

A coordinate check asks how far activations move; a sweep of rates on real text, which rate is best.

Yang et al. 2022 (arXiv 2203.03466, appendix D.1): train models of growing width for a few steps and watch
how much the activations change. Where the change neither grows nor vanishes with width, the rate that is
best for a narrow model stays best for a wide one.

The rule that is tested is in `width_rule`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from headstart.models.config import TransformerConfig
from headstart.models.registry import make_config
from headstart.models.transformer import Transformer, build
from headstart.objectives.batch import loss_sum
from headstart.scaling.width_rule import (
    HEAD_WIDTH,
    check_shared,
    embedding_for_width,
    rates_for_width,
    recipe_for_width,
)
from headstart.training.loop import pretrain
from headstart.training.metrics import read_metrics
from headstart.training.optimiser import Optimiser
from headstart.training.recipe import OptimiserRecipe, PretrainRecipe
from headstart.training.step_cost import random_batch

VOCABULARY, ROWS, ROW, LAYERS = 256, 8, 32, 2
STEPS = 6
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""By which a sweep multiplies all rates."""


@dataclass(frozen=True)
class CoordinateCheck:
    """How the change of activations scales with width."""

    widths: list[int]
    change: dict[str, list[float]]
    """Of each place: root mean square of the change after some steps, by width."""
    slopes: dict[str, float]
    """Of log change over log width: 0 where the rate transfers, 0.5 where it is too high for wide models."""


def coordinate_check(
    family: str,
    widths: list[int],
    recipe: OptimiserRecipe,
    tuned_width: int | None,
    seeds: int = 3,
    steps: int = STEPS,
) -> CoordinateCheck:
    """Train models of growing width for some steps on the same random rows; random text will do, since the
    question is how far activations move, not where to.

    Args:
        tuned_width: the width at which the recipe's rates hold, and from which the rule starts; None: the
            same rates and initial embedding everywhere.
    """
    change: dict[str, list[float]] = {}
    for width in widths:
        config = _config(family, width)
        settings = recipe
        if tuned_width is not None:
            config = embedding_for_width(config, tuned_width)
            settings = rates_for_width(recipe, width, tuned_width)
        runs = [_change(config, settings, seed, steps) for seed in range(seeds)]
        for place in runs[0]:
            change.setdefault(place, []).append(sum(run[place] for run in runs) / seeds)
    return CoordinateCheck(widths, change, {place: _slope(widths, sizes) for place, sizes in change.items()})


def rate_sweep(
    base: PretrainRecipe, widths: Sequence[int], tuned_width: int | None, out: Path
) -> dict[int, list[float]]:
    """Held-out loss, in nats a token, of every width at every factor of its rates.

    Each run is an ordinary run folder under `out`; a sweep that was stopped goes on.

    Args:
        base: whose rates are those for `tuned_width`.
        tuned_width: from which the rule starts; None: the same rates and initial embedding everywhere.

    Raises:
        HeadstartError: the recipe begins with a model, or counts minutes.
    """
    check_shared(base)
    losses: dict[int, list[float]] = {}
    for width in widths:
        recipe = recipe_for_width(base, width, tuned_width)
        losses[width] = []
        for factor in FACTORS:
            rates = {
                "matrix_rate": recipe.optimiser.matrix_rate * factor,
                "vector_rate": recipe.optimiser.vector_rate * factor,
            }
            scaled = recipe.model_copy(update={"optimiser": recipe.optimiser.model_copy(update=rates)})
            run = out / f"width-{width}-rates-{factor:g}"
            pretrain(scaled, run)
            evaluations = [event for event in read_metrics(run) if event["kind"] == "evaluation"]
            losses[width].append(float(evaluations[-1]["loss"]))
    return losses


def best_factor(losses: Sequence[float]) -> float:
    """The factor of least loss, between those tried: the vertex of the parabola through the best and its
    neighbours over the logarithm of the factor; at an end of the range, that end."""
    place = min(range(len(losses)), key=losses.__getitem__)
    if place in (0, len(losses) - 1):
        return FACTORS[place]
    left, middle, right = losses[place - 1 : place + 2]
    shift = 0.5 * (left - right) / (left - 2 * middle + right)  # in steps of one factor to the next
    best: float = FACTORS[place] * (FACTORS[1] / FACTORS[0]) ** shift
    return best


def _config(family: str, width: int) -> TransformerConfig:
    sizes = {"vocab_size": VOCABULARY, "layers": LAYERS, "width": width, "heads": max(1, width // HEAD_WIDTH)}
    config = make_config(family, sizes | {"feedforward_width": 4 * width, "context": ROW})
    return replace(config, dropout=0.0)


def _change(config: TransformerConfig, recipe: OptimiserRecipe, seed: int, steps: int) -> dict[str, float]:
    """Root mean square of how far each place moved."""
    model = build(config, seed)
    optimiser = Optimiser(model, recipe)
    batch = random_batch(config, ROWS, ROW, random=torch.Generator().manual_seed(seed))
    before = _activations(model, batch.ids)
    for _ in range(steps):
        (loss_sum(model, batch) / len(batch.targets)).backward()
        optimiser.step(1.0)
    after = _activations(model, batch.ids)
    return {place: float((after[place] - before[place]).pow(2).mean().sqrt()) for place in before}


@torch.no_grad()
def _activations(model: Transformer, ids: Tensor) -> dict[str, Tensor]:
    """What every block adds to the stream, and the logits."""
    seen: dict[str, Tensor] = {}
    stack = model.decoder if model.decoder is not None else model.encoder
    assert stack is not None
    hooks = []
    for number, block in enumerate(stack.blocks):
        for part in ("attention", "feedforward"):

            def keep(
                module: object, inputs: object, output: Tensor, name: str = f"block {number} {part}"
            ) -> None:
                seen[name] = output.detach()

            hooks.append(getattr(block, part).register_forward_hook(keep))
    seen["logits"] = model.logits(model(ids))
    for hook in hooks:
        hook.remove()
    return seen


def _slope(widths: list[int], sizes: list[float]) -> float:
    """Of log size over log width, by least squares."""
    x, y = [math.log(width) for width in widths], [math.log(size) for size in sizes]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    over = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return over / sum((a - mean_x) ** 2 for a in x)
