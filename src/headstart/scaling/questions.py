"""What people ask of scaling laws: where a model stands, and how far the laws disagree."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.models.config import TransformerConfig
from headstart.models.parameters import block_parameters, parameters
from headstart.scaling.laws import (
    FLOPS_PER_PARAMETER_AND_TOKEN,
    Allocation,
    Interval,
    LossLaw,
    Optimum,
    Parametric,
)
from headstart.scaling.published import ALLOCATIONS, LOSS_LAWS


@dataclass(frozen=True)
class Standing:
    """A model beside the best that its compute, or its loss, could have been had with."""

    DERIVED: ClassVar = (
        "tokens_per_parameter", "loss_lost", "extra_compute", "inference_saved", "pays_off_after", "verdict",
    )  # fmt: skip

    name: str
    parameters: float
    tokens: float
    compute: float
    loss: float
    best: Optimum
    """With the same compute."""
    equal: Optimum
    """The cheapest training that comes to the same loss."""

    @property
    def tokens_per_parameter(self) -> float:
        return self.tokens / self.parameters

    @property
    def size_ratio(self) -> float:
        """Its size over the optimal one for its compute: above 1 it is too large and saw too little."""
        return self.parameters / self.best.parameters

    @property
    def loss_lost(self) -> float:
        """Nats a token above the best that its compute allows."""
        return self.loss - (self.best.loss or math.nan)

    @property
    def extra_compute(self) -> float:
        """Share of training compute spent beyond what its loss costs."""
        return self.compute / self.equal.compute - 1

    @property
    def inference_saved(self) -> float:
        """Share by which each generated token is cheaper than with the cheapest-to-train equal; negative
        where it is dearer."""
        return 1 - self.parameters / self.equal.parameters

    @property
    def pays_off_after(self) -> float:
        """Inference tokens after which the extra training is paid back; infinite if it never is."""
        saved = 2 * (self.equal.parameters - self.parameters)
        return max(self.compute - self.equal.compute, 0.0) / saved if saved > 0 else math.inf

    @property
    def side(self) -> str:
        """On which side of the optimum of training compute it lies."""
        if self.size_ratio > 2:
            return "too large"
        return "too small" if self.size_ratio < 0.5 else "near"

    @property
    def verdict(self) -> str:
        return {
            "too large": "too large for its data",
            "too small": "small on purpose: dearer to train, cheaper to use",
            "near": "near the optimum of training compute",
        }[self.side]


def counted_parameters(law: LossLaw, config: TransformerConfig) -> int:
    """A model's N as a law counts it: Kaplan's law counts no embeddings."""
    return parameters(config) if law.counts_embeddings else block_parameters(config)


def standing(law: LossLaw, name: str, parameters: float, tokens: float) -> Standing:
    """Where a model of so many parameters, as the law counts them, stands under it."""
    compute = FLOPS_PER_PARAMETER_AND_TOKEN * parameters * tokens
    loss = law.loss(parameters, tokens)
    return Standing(name, parameters, tokens, compute, loss, law.optimum(compute), law.cheapest(loss + 1e-12))


@dataclass(frozen=True)
class StandingBands:
    """Where the figures of a `Standing` lie with 90 %, by the doubt about the law's constants alone."""

    optimal_parameters: Interval
    loss_lost: Interval
    extra_compute: Interval


def standing_bands(law: LossLaw, parameters: float, tokens: float) -> StandingBands | None:
    """The same under all constants that the law might have; None where nobody said how sure they are."""
    if not isinstance(law, Parametric) or not law.variants:
        return None
    stands = [standing(one, "", parameters, tokens) for one in law.variants]

    def band(values: list[float]) -> Interval:
        low, high = np.quantile(values, [0.05, 0.95])
        return float(low), float(high)

    return StandingBands(
        band([stand.best.parameters for stand in stands]),
        band([stand.loss_lost for stand in stands]),
        band([stand.extra_compute for stand in stands]),
    )


def opinions(compute: float, *own: LossLaw) -> list[Optimum]:
    """How every published law, and one's own, would split that compute."""
    laws: list[LossLaw | Allocation] = [*own, *LOSS_LAWS.values(), *ALLOCATIONS.values()]
    return [law.optimum(compute) for law in laws]


def disagreement(optima: list[Optimum]) -> float:
    """Largest over smallest recommended number of parameters."""
    sizes = [optimum.parameters for optimum in optima]
    return max(sizes) / min(sizes)
