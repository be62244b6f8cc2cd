"""What this machine can train in a given time, measured and never looked up.

`plan --hardware here` and the quickstart ask the same function, with the same table of sizes, and `--dry-run`
turns a step's seconds into a run's by the same share. All of them time steps with `training.step_cost`.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.models.config import TransformerConfig
from headstart.models.flops import training_flops
from headstart.models.registry import family_named, make_config
from headstart.objectives.recipe import ObjectiveRecipe
from headstart.scaling.laws import LossLaw
from headstart.scaling.memory import Layout, Memory, training_memory
from headstart.scaling.plan import plain
from headstart.scaling.questions import counted_parameters
from headstart.scaling.shape import shaped
from headstart.scaling.width_rule import tuned_for_width
from headstart.training.configuration import configuration
from headstart.training.machine import Machine, describe_machine, memory_bytes
from headstart.training.recipe import ModelRecipe, PretrainRecipe
from headstart.training.step_cost import SUSTAINED, random_step_cost, step_cost

SIZES = ((2, 192), (4, 256), (6, 384), (8, 512), (12, 768), (16, 1024))
"""Layers and width, from small to large."""
TOKENS_PER_PARAMETER = 1.0
"""The largest model that sees so many is taken: below that a smaller model learns more in the same time."""
FEWEST_STEPS, EVALUATIONS, CHECKPOINT_SECONDS = 20, 8, 20.0
MEMORY_SHARE = 0.8
"""Of the machine's memory that a training may take."""
VOCABULARY = 8192
"""Where no tokens folder says it."""


@dataclass(frozen=True)
class Candidate:
    """A model that this machine can train, and how far."""

    recipe: PretrainRecipe
    """With the steps that fit into the time."""
    config: TransformerConfig
    parameters: int
    step_seconds: float
    memory: Memory

    @property
    def tokens(self) -> int:
        """Tokens of the whole run."""
        return self.recipe.steps * self.recipe.rows * self.recipe.context

    @property
    def tokens_per_second(self) -> float:
        """Over a whole run, evaluation and checkpoints included."""
        return self.recipe.rows * self.recipe.context / self.step_seconds * SUSTAINED

    @property
    def flops_per_second(self) -> float:
        """Of a step at its best."""
        tokens, context = self.recipe.rows * self.recipe.context, self.recipe.context
        return training_flops(self.config, tokens, context, tokens) / self.step_seconds


@dataclass(frozen=True)
class PossibleModel:
    """The figures of a candidate."""

    parameters: int
    layers: int
    width: int
    steps: int
    tokens_per_second: float
    tokens: int
    tokens_per_parameter: float
    flops_per_second: float
    peak_bytes: float

    @classmethod
    def of(cls, one: Candidate) -> "PossibleModel":
        return cls(
            one.parameters, one.config.layers, one.config.width, one.recipe.steps, one.tokens_per_second,
            one.tokens, one.tokens / one.parameters, one.flops_per_second, one.memory.peak,
        )  # fmt: skip


@dataclass(frozen=True)
class LocalPlan:
    """What fits into the time on this machine."""

    machine: Machine
    seconds: float
    law: str | None
    """By which sizes were compared; None: by tokens a parameter."""
    context: int
    rows: int
    models: list[PossibleModel]
    best: PossibleModel
    recipe: PretrainRecipe
    """Of the best one, with the rates for its width."""

    def as_dict(self) -> JSONObject:
        """The plan as JSON has it."""
        found: JSONObject = plain({name: value for name, value in vars(self).items() if name != "recipe"})
        return found | {"settings": self.recipe.model_dump(mode="json", exclude_defaults=True)}


def candidates(base: PretrainRecipe, seconds: float, vocab_size: int | None = None) -> list[Candidate]:
    """Models of growing size with as many steps as fit into `seconds`, as long as they see enough tokens.

    Args:
        base: everything but the sizes, the steps and what follows from them.
        vocab_size: where there is no tokens folder yet; steps are then timed on random tokens.

    Raises:
        HeadstartError: not even the smallest fits into the machine's memory.
    """
    found: list[Candidate] = []
    for layers, width in SIZES:
        recipe, config = _sized(base, layers, width, vocab_size)
        memory = run_memory(recipe, config)
        if memory.peak > MEMORY_SHARE * memory_bytes(on_gpu(recipe)):
            break
        cost = step_cost(recipe) if vocab_size is None else random_step_cost(config, recipe)
        steps = max(FEWEST_STEPS, int(seconds * SUSTAINED / cost.seconds))
        seen = steps * recipe.rows * recipe.context
        if found and seen < TOKENS_PER_PARAMETER * cost.parameters:
            break
        settings = {
            "steps": steps,
            "evaluate_every": max(1, steps // EVALUATIONS),
            "checkpoint_every": max(1, int(CHECKPOINT_SECONDS / cost.seconds)),
        }
        recipe = recipe.model_copy(update=settings)
        found.append(Candidate(recipe, config, cost.parameters, cost.seconds, memory))
    if not found:
        raise HeadstartError(
            f"a model of {SIZES[0][0]} layers and width {SIZES[0][1]} needs more memory than this machine "
            "has; lower rows or context"
        )
    return found


def best_of(found: list[Candidate], law: LossLaw | None = None) -> Candidate:
    """The largest candidate, or the one of the lowest loss by a law."""
    if law is None:
        return found[-1]
    return min(found, key=lambda one: law.loss(counted_parameters(law, one.config), one.tokens))


def plan_here(
    seconds: float, family: str, tokens: Path | None = None, law: LossLaw | None = None
) -> LocalPlan:
    """The model to train here in `seconds`, and the figures of all that were measured.

    Args:
        tokens: the tokens folder; None: random tokens of a usual vocabulary are trained on.
        law: of one's own runs, by which to choose the size; None: the largest that sees enough tokens.
    """
    machine = describe_machine()
    base = PretrainRecipe(
        tokens=tokens or Path("TOKENS"),
        model=ModelRecipe(family=family),
        objective=ObjectiveRecipe.checked({"kind": family_named(family).objective}),
        precision=machine["precision"],
    )
    found = candidates(base, seconds, None if tokens else VOCABULARY)
    best = best_of(found, law)
    return LocalPlan(
        machine, seconds, law.name if law else None, base.context, base.rows,
        [PossibleModel.of(one) for one in found], PossibleModel.of(best), tuned_for_width(best.recipe),
    )  # fmt: skip


def run_memory(recipe: PretrainRecipe, config: TransformerConfig) -> Memory:
    """What a run holds on its fullest process."""
    parallel, gpu = recipe.parallel, on_gpu(recipe)
    layout = Layout(
        data=(parallel.replicate or 1) * parallel.shard,
        tensor=parallel.tensor,
        pipeline=parallel.pipeline,
        shard=3 if parallel.shard > 1 else 0,
    )
    return training_memory(
        config,
        min(recipe.micro_rows, recipe.rows),
        recipe.context,
        layout,
        recipe.precision,
        recipe.optimiser.kind,
        "full" if recipe.checkpoint_activations else "none",
        recipe.objective.scored_share,
        recipe.context if config.architecture == "encoder-decoder" else 0,
        "gpu" if gpu else "cpu",
        recipe.documents_apart and not gpu,
    )


def on_gpu(recipe: PretrainRecipe) -> bool:
    """Whether the recipe trains on a GPU here."""
    return recipe.device == "cuda" or (recipe.device == "auto" and torch.cuda.is_available())


def _sized(
    base: PretrainRecipe, layers: int, width: int, vocab_size: int | None
) -> tuple[PretrainRecipe, TransformerConfig]:
    """The recipe with a model of that size in the family's usual proportions, and its configuration."""
    shape = shaped(base.model.family, layers, width, vocab_size or VOCABULARY, base.context)
    sizes = {"layers": layers, "width": width, "heads": shape.heads}
    sizes["feedforward_width"] = shape.feedforward_width
    recipe = base.model_copy(update={"model": base.model.model_copy(update=sizes)})
    if vocab_size is None:
        return recipe, configuration(recipe)
    return recipe, make_config(base.model.family, sizes | {"vocab_size": vocab_size, "context": base.context})
