"""How much fine-tuning fits into the time that pre-training left: from a few steps of the very fits."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from headstart.interchange.model_folder import load_model
from headstart.quickstart.budget import Plan
from headstart.recipe import Recipe
from headstart.tasks.counted_path import counted_path
from headstart.tasks.data.splitting import sample_labels
from headstart.tasks.examples import Examples, TaskData
from headstart.tasks.finetuning.finetune import MOST_ASKED, finetune
from headstart.tasks.finetuning.finetune_recipe import NARROW, FinetuneRecipe
from headstart.tasks.finetuning.learning_curve import NETWORKS, foundation_folder, known_systems
from headstart.training.step_cost import SUSTAINED

BATCH_EXAMPLES = 8
# 25 steps at the default of 1e-3 change a small model too little (spam, 100 labels: 74 %, at 2e-3 80 %).
RATE_OF_FEW_STEPS = 2e-3
# How many examples a run with few labels sees, and how many times that with the numbers of labels below.
FEWEST_PASSES, MOST_PASSES = 200, 3000
MORE_PASSES: dict[int | None, float] = {100: 1.0, 300: 1.0, 1000: 1.5, None: 2.5}
TRIAL = 0.75
"""Each fit is tried on that share of its labels first, which tells how much counted words count beside it."""
COUNTED_SAMPLES = (100, 300)
"""Training examples whose counted words are fitted, to see how the time grows."""
MEASURED_EXAMPLES, ANSWERED = 48, 8
FEW_STEPS, MORE_STEPS = 2, 5


@dataclass(frozen=True)
class Effort:
    """How much is compared."""

    labels: tuple[int | None, ...]
    seeds: tuple[int, ...]
    test_examples: int


EFFORTS = (
    Effort((100, 300, 1000, None), (0, 1), 600),
    Effort((100, 300, 1000, None), (0, 1), 300),
    Effort((100, 1000, None), (0, 1), 300),
    Effort((100, 1000, None), (0,), 300),
)
"""From what is wanted to what is still worth reading: the first that fits is taken."""


class FinetunePlan(Recipe):
    """The resolved settings of fine-tuning; written once, obeyed by every restart."""

    finetune: FinetuneRecipe
    labels: list[int | None]
    """How many labelled examples; None: all."""
    seeds: list[int]
    test_examples: int
    """At most that many examples of each test set, to bound the time of scoring."""
    warnings: list[str] = []
    """What does not fit into the time, and how long it takes instead."""


@dataclass(frozen=True)
class NetworkCost:
    """Seconds on one core."""

    step: float
    """Of `BATCH_EXAMPLES`."""
    answer: float
    """To one example."""


@dataclass(frozen=True)
class CountedCost:
    """Seconds on one core that fitting counted words takes: `each` times the power of the examples."""

    each: float
    power: float

    def seconds(self, examples: float) -> float:
        """Of a fit."""
        return float(self.each * examples**self.power)


@dataclass(frozen=True)
class TaskCost:
    """What the fits of a task cost."""

    examples: int
    tests: int
    counted: CountedCost
    networks: list[NetworkCost]
    """Of every network that is compared."""

    def fixed(self, effort: Effort) -> float:
        """Seconds of all that does not hang on the number of steps."""
        answers = sum(network.answer for network in self.networks)
        tests = min(self.tests, effort.test_examples)
        found = 0.0
        for count in self.counts(effort):
            labels = count or self.examples
            asked = min((1 - TRIAL) * labels, MOST_ASKED)
            counted = self.counted.seconds(labels) + self.counted.seconds(TRIAL * labels)
            found += counted + answers * (tests + asked)
        return found * len(effort.seeds)

    def each_pass(self, effort: Effort) -> float:
        """Seconds for each example that a run with few labels sees."""
        steps = sum(network.step for network in self.networks) / BATCH_EXAMPLES
        return steps * (1 + TRIAL) * sum(MORE_PASSES[one] for one in self.counts(effort)) * len(effort.seeds)

    def counts(self, effort: Effort) -> list[int | None]:
        """The numbers of labels that the task has."""
        return [count for count in effort.labels if count is None or count < self.examples]


def make_finetune_plan(
    plan: Plan, encoder: Path, tasks: list[TaskData], seconds: float, cores: int, seed: int
) -> FinetunePlan:
    """What fits into `seconds` of `cores` cores, and how many examples each fit goes over.

    Every task is fine-tuned from every start (pre-trained, static, random weights, and the model that comes
    with headstart) for each number of labels and seed, each beside counted words.

    Args:
        encoder: the folder of the pre-trained encoder.
    """
    recipe = FinetuneRecipe(
        learning_rate=RATE_OF_FEW_STEPS if plan.encoder.model.width <= NARROW else None,
        max_tokens=plan.encoder.context,
        validation_share=0,
        batch_examples=BATCH_EXAMPLES,
    )
    costs = [_task_cost(task, encoder, recipe, plan.encoder.precision, seed) for task in tasks]
    return _plan_for(costs, recipe, seconds * cores * SUSTAINED, cores)


def _plan_for(
    costs: Sequence[TaskCost], recipe: FinetuneRecipe, available: float, cores: int
) -> FinetunePlan:
    for effort in EFFORTS:
        fixed = sum(cost.fixed(effort) for cost in costs)
        each = sum(cost.each_pass(effort) for cost in costs)
        passes = (available - fixed) / each
        if passes >= FEWEST_PASSES:
            break
    warnings = []
    if passes < FEWEST_PASSES:
        minutes = (fixed + FEWEST_PASSES * each) / cores / SUSTAINED / 60
        warnings.append(
            f"The time left is too short for fine-tuning: with {len(effort.seeds)} sample of labels and "
            f"{FEWEST_PASSES} examples a fit it takes about {minutes:.1f} minutes on this machine."
        )
    passes = max(FEWEST_PASSES, min(MOST_PASSES, passes))
    steps = {
        "min_steps": round(passes / BATCH_EXAMPLES),
        "epochs": round(MORE_PASSES[1000] * passes / 1000, 2),
        "max_steps": round(MORE_PASSES[None] * passes / BATCH_EXAMPLES),
    }
    return FinetunePlan(
        finetune=recipe.model_copy(update=steps),
        labels=list(effort.labels),
        seeds=list(effort.seeds),
        test_examples=effort.test_examples,
        warnings=warnings,
    )


def _task_cost(task: TaskData, encoder: Path, recipe: FinetuneRecipe, precision: str, seed: int) -> TaskCost:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in each of the processes that fit
    try:
        counted = _counted_cost(task.train, seed)
        own = _network_cost(encoder, task, recipe, precision, seed)
        foundation = foundation_folder()
        systems = [name for name in known_systems() if name in NETWORKS]
        networks = [own for name in systems if name != "foundation"]
        if foundation is not None and "foundation" in systems:
            networks.append(_network_cost(foundation, task, recipe, precision, seed))
        return TaskCost(len(task.train), len(task.test), counted, networks)
    finally:
        torch.set_num_threads(threads)


def _counted_cost(train: Examples, seed: int) -> CountedCost:
    """Between in proportion and the square: words grow in number with the examples, and so does what is
    fitted."""
    seconds, sizes = [], []
    for size in COUNTED_SAMPLES:
        sample = sample_labels(train, min(size, len(train)), seed + 1)  # not those of a fit, which are kept
        started = time.perf_counter()
        counted_path(sample, seed)
        seconds.append(max(time.perf_counter() - started, 1e-6))
        sizes.append(len(sample))
    grown = math.log(max(sizes[1] / sizes[0], 1.01))
    power = min(max(math.log(seconds[1] / seconds[0]) / grown, 1.0), 2.0)
    return CountedCost(seconds[1] / sizes[1] ** power, power)


def _network_cost(
    folder: Path, task: TaskData, recipe: FinetuneRecipe, precision: str, seed: int
) -> NetworkCost:
    """The steps of a longer fit beyond those of a shorter one, so that what both begin with is left out."""
    loaded = load_model(folder, getattr(torch, precision))
    examples = sample_labels(task.train, min(MEASURED_EXAMPLES, len(task.train)), seed)
    found = []
    for steps in (FEW_STEPS, MORE_STEPS):
        short = recipe.model_copy(update={"min_steps": steps, "max_steps": steps, "counted_words": "none"})
        started = time.perf_counter()
        fitted = finetune(loaded, examples, short, seed)
        found.append(time.perf_counter() - started)
    asked = _first(task.test, ANSWERED)
    started = time.perf_counter()
    fitted.predict(asked.inputs)
    answer = (time.perf_counter() - started) / len(asked)
    return NetworkCost(max(found[1] - found[0], 0.0) / (MORE_STEPS - FEW_STEPS), answer)


def _first(examples: Examples, most: int) -> Examples:
    return examples.subset(range(min(most, len(examples))))
