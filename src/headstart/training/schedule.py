"""How learning rate, batch size and row length go over a run: closed formulas of the step.

Nothing here has a state, so that a run that goes on stands where it stood.
"""

import math

from headstart.training.recipe import OptimiserRecipe, PretrainRecipe


def rate_at(step: int, steps: int, recipe: OptimiserRecipe) -> float:
    """The share of the peak rate at a step counted from 0: a linear rise, then what the schedule says.

    wsd stays at the peak and falls in a line at the end (Hu et al. 2024, section 4); cosine falls by half a
    wave (Loshchilov & Hutter 2016, eq. 5), linear in a line, both right after the rise; constant stays.
    The first update is not zero, and but for constant the last is `final_share`.
    """
    warmup = math.ceil(recipe.warmup_share * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if recipe.schedule == "constant":
        return 1.0
    decay = math.ceil(recipe.decay_share * steps) if recipe.schedule == "wsd" else steps - warmup
    left = steps - 1 - step
    if left >= decay:
        return 1.0
    share = left / decay if recipe.schedule == "wsd" else left / max(decay - 1, 1)  # of the fall, 1 to 0
    if recipe.schedule == "cosine":
        share = (1.0 - math.cos(math.pi * share)) / 2.0
    return recipe.final_share + (1.0 - recipe.final_share) * share


def rows_at(step: int, recipe: PretrainRecipe) -> int:
    """Rows in a step: a quarter, a half and three quarters of all during three thirds of `rows_warmup`."""
    return rows_before(step + 1, recipe) - rows_before(step, recipe)


def rows_before(step: int, recipe: PretrainRecipe) -> int:
    """Rows in all steps before this one."""
    warmup = math.ceil(recipe.rows_warmup * recipe.steps)
    rows = 0
    for third in range(3):
        first, last = warmup * third // 3, warmup * (third + 1) // 3
        rows += max(0, min(step, last) - first) * math.ceil(recipe.rows * (third + 1) / 4)
    return rows + max(0, step - warmup) * recipe.rows


def cuts_at(step: int, recipe: PretrainRecipe) -> int:
    """Into how many parts a row is cut: 4, then 2 over the halves of `context_warmup`, then 1."""
    warmup = math.ceil(recipe.context_warmup * recipe.steps)
    if step >= warmup:
        return 1
    return 4 if step < warmup // 2 else 2
