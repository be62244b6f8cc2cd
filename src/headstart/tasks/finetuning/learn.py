"""The loop of fine-tuning: batches of examples in random order, AdamW, a rate that rises and then falls.

What a batch is and how it is scored is the caller's (`loss`), so that one loop trains every kind of task and
every way of adapting a model.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.progress import ProgressBar
from headstart.tasks.finetuning.adaptation import ParameterGroup
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe

LAST_SHARE = 0.1
"""Of the steps, over which the loss at the end is averaged."""


@dataclass
class Learned:
    """How a run of the loop went."""

    steps: int
    """That were taken."""
    loss: float
    """The mean over the last tenth of them."""
    kept: int
    """After how many steps the weights were as they are now."""
    curve: list[dict[str, float]]
    """`step`, `score` on the validation data and mean `loss` since the line before."""

    @classmethod
    def at_once(cls, steps: int, loss: float, judge: Callable[[], float] | None) -> Self:
        """What was fitted without batches, measured once."""
        curve = [] if judge is None else [{"step": float(steps), "score": judge(), "loss": loss}]
        return cls(steps, loss, steps, curve)


def learn(
    model: nn.Module,
    loss: Callable[[Sequence[int]], Tensor],
    groups: Sequence[ParameterGroup],
    examples: int,
    recipe: FinetuneRecipe,
    seed: int,
    judge: Callable[[], float] | None = None,
    progress: bool = False,
    watch: Callable[[int, int, float | None, float | None], None] | None = None,
) -> Learned:
    """Change the weights in `groups` so that the loss falls, and leave them as they were at their best.

    Args:
        model: what is put into training mode, and left in evaluation mode.
        loss: of a batch, given the places of its examples.
        groups: of AdamW, whose moments are corrected for their start at zero; without that few examples are
            learned unreliably (Mosbach et al. 2020).
        examples: how many there are.
        seed: of the order of the examples and of what the model draws, such as dropout.
        judge: how good the model is on validation data, higher is better; None: the last weights are kept.
        progress: show a bar.
        watch: told the step, the number of steps and the step's loss, before the first (without a loss) and
            after each; and, when `judge` has been asked, the step again with its score in place of the loss.

    Raises:
        HeadstartError: a loss that is no number.
    """
    optimiser = torch.optim.AdamW([dict(group) for group in groups], fused=True)
    weights = [weight for group in groups for weight in group["params"]]
    peaks = [group["lr"] for group in groups]
    steps = recipe.steps(examples)
    every = math.ceil(steps / recipe.evaluations)
    losses: list[float] = []
    curve: list[dict[str, float]] = []
    best: list[Tensor] = []
    model.train()
    if watch is not None:
        watch(0, steps, None, None)
    with torch.random.fork_rng(devices=[]), _bar(steps, progress) as bar:
        torch.manual_seed(seed)
        for step, batch in zip(range(steps), order(examples, recipe.batch(examples), seed), strict=False):
            value = loss(batch)
            value.backward()
            nn.utils.clip_grad_norm_(weights, recipe.clip)
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * _rate_share(step, steps, recipe.warmup_share)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            losses.append(float(value.detach()))
            if not math.isfinite(losses[-1]):
                raise HeadstartError(
                    f"the loss became {losses[-1]} at step {step + 1}; lower the learning rate, "
                    f"{max(peaks):g}"
                )
            if bar is not None:
                bar.advance(1, f"loss {losses[-1]:.3f}")
            if watch is not None:
                watch(step + 1, steps, losses[-1], None)
            if judge is not None and ((step + 1) % every == 0 or step + 1 == steps):
                model.eval()
                since = int(curve[-1]["step"]) if curve else 0
                curve.append({"step": step + 1, "score": judge(), "loss": float(np.mean(losses[since:]))})
                if watch is not None:
                    watch(step + 1, steps, None, curve[-1]["score"])
                if curve[-1] is best_line(curve):
                    best = [weight.detach().clone() for weight in weights]
                elif len(curve) - 1 - curve.index(best_line(curve)) >= recipe.patience:
                    break
                model.train()
    model.eval()
    with torch.no_grad():
        for weight, kept in zip(weights, best, strict=bool(best)):
            weight.copy_(kept)
    loss_at_end = float(np.mean(losses[-math.ceil(LAST_SHARE * len(losses)) :]))
    return Learned(len(losses), loss_at_end, int(best_line(curve)["step"]) if curve else len(losses), curve)


def order(count: int, size: int, seed: int) -> Iterator[list[int]]:
    """Batches of `size` places without end, every place once before any comes again."""
    random = np.random.Generator(np.random.Philox(key=seed))
    waiting: list[int] = []
    while True:
        while len(waiting) < min(size, count):
            waiting += random.permutation(count).tolist()
        yield waiting[: min(size, count)]
        waiting = waiting[min(size, count) :]


def best_line(curve: Sequence[dict[str, float]]) -> dict[str, float]:
    """The line with the highest score; of equal ones the last, which has learned longest.

    A score that is no number is below all others: `max` alone would keep it where it comes first.
    """
    return max(reversed(curve), key=lambda line: comparable(line["score"]))


def comparable(score: float | None) -> float:
    """A score, or minus infinity for one that is no number, as a file's `null`: it is never the best."""
    return -math.inf if score is None or math.isnan(score) else score


def _bar(steps: int, shown: bool) -> AbstractContextManager[ProgressBar | None]:
    return ProgressBar("fine-tune", steps, "steps") if shown else nullcontext()


def _rate_share(step: int, steps: int, warmup_share: float) -> float:
    """The share of the peak rate at a step counted from 0: linear rise, then fall to 0 behind the last."""
    warmup = math.ceil(warmup_share * steps)
    return (step + 1) / warmup if step < warmup else (steps - step) / (steps - warmup)
