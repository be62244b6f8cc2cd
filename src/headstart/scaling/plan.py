"""A plan: from a question (so much compute, such hardware, this loss, that model) to all its answers.

The answers are a `Plan`, from which the terminal, the page and JSON are made.
"""

import math
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, read_json
from headstart.models.config import TransformerConfig
from headstart.models.flops import Checkpointing
from headstart.models.registry import preset_config, presets
from headstart.page.numbers import amount
from headstart.scaling.hardware import Bill, Hardware, bill, comparable
from headstart.scaling.laws import (
    FLOPS_PER_PARAMETER_AND_TOKEN,
    Interval,
    LossLaw,
    Optimum,
    Parametric,
    Reach,
    zero_of,
)
from headstart.scaling.layout import Proposal, critical_batch, propose
from headstart.scaling.memory import Layout
from headstart.scaling.model_cost import ModelCost, model_cost
from headstart.scaling.published import loss_law, repeated
from headstart.scaling.questions import Standing, counted_parameters, disagreement, opinions, standing
from headstart.scaling.shape import shape_for
from headstart.scaling.units import read_quantity

VOCABULARY, CONTEXT = 32_000, 2048
"""Of a planned model, unless the question says otherwise."""


@dataclass(frozen=True)
class Question:
    """What is given; the rest is answered."""

    law: LossLaw
    compute: float | None = None
    seconds: float | None = None
    hardware: Hardware | None = None
    devices: int = 1
    loss: float | None = None
    model: TransformerConfig | None = None
    tokens: float | None = None
    unique: float | None = None
    """Different tokens at hand."""
    inference: float | None = None
    """Tokens that the finished model will read and write."""
    utilisation: float | None = None
    price: float | None = None
    """Of a device hour."""
    family: str = "headstart-decoder"
    vocab_size: int = VOCABULARY
    context: int = CONTEXT
    batch: float | None = None
    """Tokens in a step; None: the critical batch for the loss, of at most a hundredth of the run."""


@dataclass(frozen=True)
class LawUsed:
    """The law that answered."""

    name: str
    source: str
    note: str


@dataclass(frozen=True)
class BestSplit(Optimum):
    """The split that the law advises, with 90 % intervals where the law has them."""

    parameters_interval: Interval | None = None
    tokens_interval: Interval | None = None
    loss_interval: Interval | None = None


@dataclass(frozen=True)
class RepeatedSplit(Optimum):
    """The best split where only so many different tokens are at hand."""

    unique: float
    epochs: float
    worth: float
    """Fresh tokens that the repeated ones are worth."""


@dataclass(frozen=True)
class LifetimeSplit(Optimum):
    """The split that costs least over training and use."""

    inference: float
    total: float
    """FLOPs of training and use."""
    total_of_cheapest_training: float


@dataclass(frozen=True)
class PlannedLayout:
    """A way to spread the training over devices, with what it holds and takes."""

    layout: str
    degrees: Layout
    micro_rows: int
    micro_batches: int
    interleaving: int
    checkpointing: Checkpointing
    bytes_a_device: float
    memory: dict[str, float]
    step_seconds: float
    utilisation_estimated: float
    losses: dict[str, float]

    @classmethod
    def of(cls, found: Proposal) -> "PlannedLayout":
        return cls(
            str(found.layout), found.layout, found.micro_rows, found.micro_batches, found.interleaving,
            found.checkpointing, found.memory.peak, found.memory.parts, found.seconds, found.utilisation,
            found.losses,
        )  # fmt: skip


@dataclass(frozen=True)
class HardwareUsed:
    """Whose figures were taken, and from where."""

    name: str
    source: str


@dataclass(frozen=True)
class WrittenRecipe:
    """A recipe that was written from a plan."""

    file: str
    settings: JSONObject


@dataclass(frozen=True)
class Plan:
    """All answers to a question; None where nothing was asked."""

    law: LawUsed
    compute: float
    """Training FLOPs."""
    optimum: BestSplit
    opinions: list[Optimum]
    """How every published law would split that compute."""
    disagreement: float
    """Largest over smallest size among them."""
    model: ModelCost
    tokens: float
    batch: float
    """Tokens in a step."""
    repeated: RepeatedSplit | None = None
    lifetime: LifetimeSplit | None = None
    standing: Standing | None = None
    hardware: HardwareUsed | None = None
    bill: Bill | None = None
    layouts: list[PlannedLayout] | None = None
    recipe: WrittenRecipe | None = None

    def as_dict(self) -> JSONObject:
        """The plan as JSON has it, without what was not asked."""
        return {name: value for name, value in plain(self).items() if value is not None}


def plain(value: object) -> Any:
    """Dataclasses as JSON has them: with what follows from their fields (`DERIVED`), None for infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if is_dataclass(value):
        names = [*(field.name for field in fields(value)), *getattr(value, "DERIVED", ())]
        return {name: plain(getattr(value, name)) for name in names}
    return value


def answer(question: Question) -> Plan:
    """All that the laws, the counts and the hardware say.

    Raises:
        HeadstartError: a question that lacks something, says one thing twice, or asks for more than a law
            knows.
    """
    compute = compute_of(question)
    law = question.law
    best = law.optimum(compute)
    every = opinions(compute, *([law] if law.name == "own-fit" else []))
    config, tokens = model_of(question)
    plan = Plan(
        law=LawUsed(law.name, law.source, law.note),
        compute=compute,
        optimum=_with_intervals(best, law, compute),
        opinions=every,
        disagreement=disagreement(every),
        model=model_cost(config),
        tokens=tokens,
        batch=_batch(question, config, tokens),
        repeated=_repeated(question.unique, compute) if question.unique else None,
        lifetime=_lifetime(question, best) if question.inference else None,
    )
    if question.model is not None or question.tokens is not None:
        stand = standing(law, config.family, counted_parameters(law, config), tokens)
        plan = replace(plan, standing=stand)
    return plan if question.hardware is None else _costed(plan, question, question.hardware, config)


def law_named(name: str) -> LossLaw:
    """A published law by name, or one's own from the JSON that `headstart plan fit` wrote."""
    path = Path(name)
    if path.suffix != ".json":
        return loss_law(name)
    values = read_json(path, JSONObject)
    try:
        reach = Reach(tuple(values["reach"]["parameters"]), tuple(values["reach"]["tokens"]))
        constants = {key: float(values[key]) for key in Parametric.CONSTANTS}
        covariance = tuple(tuple(map(float, row)) for row in values["covariance"])
    except (KeyError, TypeError, ValueError):
        raise HeadstartError(
            f"{path} is no fit; write one with `headstart plan fit RUNS --out {path}`"
        ) from None
    return Parametric("own-fit", f"{path}", **constants, reach=reach, covariance=covariance)  # type: ignore[arg-type]


def model_named(name: str, family: str, vocab_size: int, context: int) -> TransformerConfig:
    """A published model's configuration, or one of the usual shape for a size such as `1.3B`."""
    if name in presets():
        return preset_config(name)
    if name[:1].isdigit() or name[:1] == ".":
        return shape_for(family, read_quantity(name, "parameters"), vocab_size, context)
    return preset_config(name)  # says which names are near


def compute_of(question: Question) -> float:
    """The training FLOPs that a question gives, or that what it gives comes to.

    Raises:
        HeadstartError: it gives none, or more than one.
    """
    law = question.law
    ways = {
        "--compute": question.compute is not None,
        "--hardware with --time": question.hardware is not None and question.seconds is not None,
        "--loss": question.loss is not None,
        "--model with --tokens": question.model is not None and question.tokens is not None,
    }
    first, *others = [way for way, given in ways.items() if given] or [""]
    if others:
        raise HeadstartError(f"{first} and {others[0]} both say how much to train; leave one of them out")
    if question.compute is not None:
        return question.compute
    if first == "--hardware with --time":
        return _compute_of_time(question)
    if question.loss is not None:
        return _compute_of_loss(question, question.loss)
    if question.model is None:
        raise HeadstartError(
            "nothing to plan from: give --compute 1e21, or --hardware 64xH100 with --time '30 days', or "
            "--loss 2.1, or --model llama-3-8b with --tokens 15T"
        )
    count = counted_parameters(law, question.model)
    if question.tokens is not None:
        return FLOPS_PER_PARAMETER_AND_TOKEN * count * question.tokens

    def missing(log_compute: float) -> float:
        return count - law.optimum(math.exp(log_compute)).parameters

    # The compute for which that size is optimal: the optimal size grows with compute.
    return math.exp(zero_of(missing, math.log(1e9), math.log(1e33)))


def _compute_of_time(question: Question) -> float:
    """What the hardware computes in the time, as published runs used theirs."""
    assert question.hardware is not None
    assert question.seconds is not None
    shares = [run.utilisation for run in comparable(question.hardware)]
    share = question.utilisation or math.sqrt(min(shares) * max(shares))
    return question.devices * question.hardware.flops * share * question.seconds


def _compute_of_loss(question: Question, loss: float) -> float:
    """The least compute that reaches the loss; with a model, that model's."""
    if question.tokens is not None:
        raise HeadstartError("--loss says how many tokens it takes; leave --tokens out, or --loss")
    if question.model is None:
        return question.law.cheapest(loss).compute
    count = counted_parameters(question.law, question.model)
    tokens = question.law.tokens_for(count, loss)
    if not math.isfinite(tokens):
        raise HeadstartError(
            f"by {question.law.name} {amount(count)} parameters never come to a loss of {loss:g}, however "
            "many tokens they see; take a larger model or a higher loss"
        )
    return FLOPS_PER_PARAMETER_AND_TOKEN * count * tokens


def model_of(question: Question) -> tuple[TransformerConfig, float]:
    """The model asked about, or one of the usual shape and the best size, and its tokens."""
    compute, counted = compute_of(question), partial(counted_parameters, question.law)
    if question.model is not None:
        each = FLOPS_PER_PARAMETER_AND_TOKEN * counted(question.model)
        return question.model, question.tokens or compute / each
    best = question.law.optimum(compute)
    tokens = question.tokens or best.tokens
    size = compute / (FLOPS_PER_PARAMETER_AND_TOKEN * tokens)
    return shape_for(question.family, size, question.vocab_size, question.context, counted), tokens


def _batch(question: Question, config: TransformerConfig, tokens: float) -> float:
    """Tokens in a step: as asked for, or what pays, in at least one row.

    Raises:
        HeadstartError: more than the whole run, or less than a row.
    """
    if question.batch is None:
        critical = critical_batch(question.law.loss(counted_parameters(question.law, config), tokens))
        return max(min(critical, tokens / 100), config.context)
    if not config.context <= question.batch <= tokens:
        raise HeadstartError(
            f"a step of {amount(question.batch)} tokens is no part of a run of {amount(tokens)} in rows of "
            f"{config.context:,}; give another --batch or --context"
        )
    return question.batch


def _with_intervals(best: Optimum, law: LossLaw, compute: float) -> BestSplit:
    """The split with 90 % intervals, where the law has them."""
    if not isinstance(law, Parametric):
        return BestSplit(**vars(best))
    return BestSplit(
        **vars(best),
        parameters_interval=law.interval(lambda one: one.optimum(compute).parameters),
        tokens_interval=law.interval(lambda one: one.optimum(compute).tokens),
        loss_interval=law.interval(lambda one: one.optimum(compute).loss or math.nan),
    )


def _repeated(unique: float, compute: float) -> RepeatedSplit:
    law = repeated(unique)
    best = law.optimum(compute)
    worth = law.effective_tokens(best.tokens)
    return RepeatedSplit(**vars(best), unique=unique, epochs=law.epochs(best.tokens), worth=worth)


def _lifetime(question: Question, best: Optimum) -> LifetimeSplit:
    target = question.loss if question.loss is not None else best.loss
    assert target is not None
    assert question.inference is not None
    lifetime = question.law.lifetime_optimum(target, question.inference)
    trained = question.law.cheapest(target)
    return LifetimeSplit(
        **vars(lifetime),
        inference=question.inference,
        total=lifetime.compute + 2 * lifetime.parameters * question.inference,
        total_of_cheapest_training=trained.compute + 2 * trained.parameters * question.inference,
    )


def _costed(plan: Plan, question: Question, hardware: Hardware, config: TransformerConfig) -> Plan:
    """The plan with what the hardware takes, and the layouts that fit."""
    flops = plan.model.training_flops_per_token * plan.tokens
    shares = (question.utilisation, question.utilisation) if question.utilisation else None
    proposals = propose(config, hardware, question.devices, config.context, plan.batch)
    return replace(
        plan,
        hardware=HardwareUsed(hardware.name, hardware.source),
        bill=bill(flops, hardware, question.devices, shares, question.price),
        layouts=[PlannedLayout.of(proposal) for proposal in proposals],
    )
