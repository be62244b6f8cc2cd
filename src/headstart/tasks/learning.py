"""The loop of fine-tuning: batches of examples in random order, AdamW, a rate that rises and then falls.

What a batch is and how it is scored is the caller's (`loss`), so that one loop trains every kind of task and
every way of adapting a model.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.progress import Bar
from headstart.tasks.drawing import order
from headstart.tasks.finetune_recipe import FinetuneRecipe


@dataclass
class Learned:
    """How a run of the loop went."""

    steps: int
    loss: float
    """Of the last batch."""


def learn(
    model: nn.Module,
    loss: Callable[[Sequence[int]], Tensor],
    groups: list[dict[str, Any]],
    examples: int,
    recipe: FinetuneRecipe,
    seed: int,
    progress: bool = False,
) -> Learned:
    """Change the weights in `groups` so that the loss falls.

    Args:
        model: what is put into training mode, and left in evaluation mode.
        loss: of a batch, given the places of its examples.
        groups: parameter groups of AdamW, each with its peak rate as "lr". Its moments are corrected for
            their start at zero, without which few examples are learned unreliably (Mosbach et al. 2020).
        examples: how many there are.
        seed: of the order of the examples and of what the model draws, such as dropout.
        progress: show a bar.

    Raises:
        HeadstartError: a loss that is no number.
    """
    optimiser = torch.optim.AdamW(groups, fused=True)
    weights = [weight for group in groups for weight in group["params"]]
    peaks = [group["lr"] for group in groups]
    steps = recipe.steps(examples)
    last = math.nan
    model.train()
    with torch.random.fork_rng(devices=[]), _bar(steps, progress) as bar:
        torch.manual_seed(seed)
        for step, batch in zip(range(steps), order(examples, recipe.batch_examples, seed), strict=False):
            value = loss(batch)
            value.backward()
            nn.utils.clip_grad_norm_(weights, recipe.clip)
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * _rate_share(step, steps, recipe.warmup_share)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            last = float(value.detach())
            if not math.isfinite(last):
                raise HeadstartError(
                    f"the loss became {last} at step {step + 1}; lower the learning rate, {max(peaks):g}"
                )
            if bar is not None:
                bar.advance(1, f"loss {last:.3f}")
    model.eval()
    return Learned(steps, last)


def _bar(steps: int, shown: bool) -> AbstractContextManager[Bar | None]:
    return Bar("fine-tune", steps, "steps") if shown else nullcontext()


def _rate_share(step: int, steps: int, warmup_share: float) -> float:
    """The share of the peak rate at a step counted from 0: linear rise, then fall to 0 behind the last."""
    warmup = math.ceil(warmup_share * steps)
    return (step + 1) / warmup if step < warmup else (steps - step) / (steps - warmup)
