"""How much fine-tuning the quickstart plans: the first effort that fits, and what it says where none does."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.quickstart.finetune_budget import (
    BATCH_EXAMPLES,
    EFFORTS,
    FEWEST_PASSES,
    MORE_PASSES,
    MOST_PASSES,
    CountedCost,
    FinetunePlan,
    NetworkCost,
    TaskCost,
    _plan_for,
)
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.training.step_cost import SUSTAINED

OWN, FOUNDATION = NetworkCost(0.02, 0.002), NetworkCost(0.2, 0.02)
COSTS = [
    TaskCost(4000, 600, CountedCost(1e-4, 1.4), [OWN, OWN, OWN, FOUNDATION]),
    TaskCost(800, 200, CountedCost(1e-3, 1.0), [OWN, OWN, OWN]),
]


def core_seconds(plan: FinetunePlan) -> float:
    """Of every fit that the plan asks for, one by one."""
    total = 0.0
    for cost in COSTS:
        for count in plan.labels:
            if count is not None and count >= cost.examples:
                continue
            labels = count or cost.examples
            for _ in plan.seeds:
                total += sum(cost.counted.seconds(part * labels) for part in (1, 0.75))
                for network in cost.networks:
                    steps = MORE_PASSES[count] * plan.finetune.min_steps
                    answers = min(cost.tests, plan.test_examples) + min(labels / 4, 300)
                    total += 1.75 * steps * network.step + answers * network.answer
    return total


@given(st.floats(60, 20_000))
def test_what_is_planned_takes_the_time_or_says_how_long_it_takes(available: float) -> None:
    plan = _plan_for(COSTS, FinetuneRecipe(), available, cores=2)
    found = core_seconds(plan)
    if plan.warnings:
        said = re.search(r"about ([\d.]+) minutes", plan.warnings[0])
        assert said is not None
        assert float(said[1]) == pytest.approx(found / 2 / SUSTAINED / 60, abs=0.06)
        assert found > available
        assert (plan.labels, plan.seeds) == (list(EFFORTS[-1].labels), list(EFFORTS[-1].seeds))
    elif plan.finetune.min_steps < MOST_PASSES // BATCH_EXAMPLES:
        assert found == pytest.approx(available, rel=0.04)  # steps are whole


def test_less_time_compares_less_before_it_trains_less() -> None:
    seen = []
    for available in (100_000, *range(1200, 100, -20)):
        plan = _plan_for(COSTS, FinetuneRecipe(), available, cores=2)
        assert plan.finetune.min_steps >= FEWEST_PASSES // BATCH_EXAMPLES
        seen.append((len(plan.labels), len(plan.seeds), plan.test_examples))
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(EFFORTS)
    assert seen[0] == (4, 2, 600)
