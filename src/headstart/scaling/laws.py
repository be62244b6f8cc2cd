"""Scaling laws as objects: what they say, where they come from, how far they reach, how sure they are.

Three kinds. A `PowerLaw` gives the loss from one quantity, everything else being ample. An `Allocation`
says how to split compute between parameters and tokens, and nothing of the loss. A `LossLaw` gives the
loss of any model on any amount of data, from which every other answer follows.

N parameters, D training tokens, C = 6 N D floating-point operations, L loss in nats a token.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from headstart.errors import HeadstartError
from headstart.page.numbers import amount

Interval = tuple[float, float]

FLOPS_PER_PARAMETER_AND_TOKEN = 6.0
SMALLEST_MODEL = 1e3
LOG_MOST_COMPUTE = math.log(1e34)
"""All compute in the world, in FLOPs."""
DRAWS = 400


@dataclass(frozen=True)
class Reach:
    """The runs that a law was fitted to; beyond them it extrapolates."""

    parameters: Interval
    tokens: Interval

    def beyond(self, parameters: float, tokens: float) -> float:
        """How many times beyond the largest or below the smallest run; 1 inside."""
        factors = [1.0]
        for value, (low, high) in ((parameters, self.parameters), (tokens, self.tokens)):
            factors += [low / value, value / high]
        return max(factors)


@dataclass(frozen=True)
class Optimum:
    """How a law splits compute."""

    DERIVED: ClassVar = ("tokens_per_parameter",)

    law: str
    compute: float
    """Training FLOPs."""
    parameters: float
    tokens: float
    loss: float | None
    """Nats a token, if the law says."""
    beyond: float
    """How many times outside the runs that the law was fitted to; 1 inside."""

    @property
    def tokens_per_parameter(self) -> float:
        return self.tokens / self.parameters


@dataclass(frozen=True)
class PowerLaw:
    """L = (scale / x) ^ exponent, where x alone limits the loss."""

    name: str
    source: str
    of: Literal["parameters", "tokens", "compute"]
    scale: float
    exponent: float
    reach: Interval
    note: str = ""

    def loss(self, value: float) -> float:
        loss: float = (self.scale / value) ** self.exponent
        return loss

    def lower(self, factor: float) -> float:
        """By which share the loss falls when the quantity grows `factor` times."""
        return float(1 - factor**-self.exponent)


@dataclass(frozen=True)
class Allocation:
    """N = coefficient * C ^ exponent, and D = C / 6 N."""

    name: str
    source: str
    coefficient: float
    exponent: float
    reach: Reach
    exponent_interval: Interval | None = None
    """As published, with the level in `note`."""
    note: str = ""

    def optimum(self, compute: float) -> Optimum:
        parameters = self.coefficient * compute**self.exponent
        tokens = compute / (FLOPS_PER_PARAMETER_AND_TOKEN * parameters)
        return Optimum(self.name, compute, parameters, tokens, None, self.reach.beyond(parameters, tokens))


class LossLaw(ABC):
    """L(N, D), and what follows from it; a law with a closed form overrides what it knows better."""

    counts_embeddings: ClassVar[bool] = True
    """Whether N holds the weights of embeddings, positions and output."""

    name: str
    source: str
    reach: Reach
    note: str

    @abstractmethod
    def loss(self, parameters: float, tokens: float) -> float:
        """Nats a token."""

    def floor(self) -> float:
        """What no amount of parameters and data gets below."""
        return 0.0

    def optimum(self, compute: float) -> Optimum:
        """The N and D of lowest loss with 6 N D = `compute`."""

        def loss_at(log_parameters: float) -> float:
            parameters = math.exp(log_parameters)
            return self.loss(parameters, compute / (FLOPS_PER_PARAMETER_AND_TOKEN * parameters))

        if compute <= FLOPS_PER_PARAMETER_AND_TOKEN * SMALLEST_MODEL:
            raise HeadstartError(f"{amount(compute)} FLOPs train nothing; give more compute")
        highest = math.log(compute / FLOPS_PER_PARAMETER_AND_TOKEN)
        return self._at(math.exp(lowest_point(loss_at, math.log(SMALLEST_MODEL), highest)), compute)

    def _at(self, parameters: float, compute: float) -> Optimum:
        tokens = compute / (FLOPS_PER_PARAMETER_AND_TOKEN * parameters)
        beyond = self.reach.beyond(parameters, tokens)
        return Optimum(self.name, compute, parameters, tokens, self.loss(parameters, tokens), beyond)

    def cheapest(self, loss: float) -> Optimum:
        """The smallest training compute that reaches `loss`, and its split.

        Raises:
            HeadstartError: the law says that no compute does.
        """

        def excess(log_compute: float) -> float:
            return (self.optimum(math.exp(log_compute)).loss or 0.0) - loss

        low, high = math.log(1e6), LOG_MOST_COMPUTE
        if excess(high) > 0:
            raise HeadstartError(
                f"{self.name} knows no way to a loss of {loss:g}: with all compute in the world it comes to "
                f"{excess(high) + loss:.3f} nats a token; ask for more than that"
            )
        return self.optimum(math.exp(zero_of(excess, low, high)))

    def tokens_for(self, parameters: float, loss: float) -> float:
        """Tokens after which a model of that size has that loss; infinite if it never gets there."""

        def excess(log_tokens: float) -> float:
            return self.loss(parameters, math.exp(log_tokens)) - loss

        low, high = 0.0, math.log(1e24)
        return math.inf if excess(high) > 0 else math.exp(zero_of(excess, low, high))

    def lifetime_optimum(
        self, loss: float, inference_tokens: float, inference_weight: float = 1.0
    ) -> Optimum:
        """The N and D that reach `loss` at the least compute over the model's whole life.

        Training costs 6 N D, and answering 2 N for each token read or written (Sardana et al. 2023,
        eq. 2): the more a model is used, the smaller it should be and the longer it should train.

        Args:
            inference_weight: what a FLOP of inference costs over one of training, for hardware that is
                used less well or priced differently (their section 4).
        """
        start = self.cheapest(loss)

        def cost(log_parameters: float) -> float:
            parameters = math.exp(log_parameters)
            tokens = self.tokens_for(parameters, loss)
            training = FLOPS_PER_PARAMETER_AND_TOKEN * parameters * tokens
            return training + 2 * parameters * inference_tokens * inference_weight

        # Never larger than the training optimum, and never so small that no data suffices: much use comes
        # close to that end.
        high = low = math.log(start.parameters)
        beyond = 0.0
        while low - beyond > 1e-9:
            middle = (low + beyond) / 2
            low, beyond = (middle, beyond) if math.isfinite(cost(middle)) else (low, middle)
        parameters = math.exp(lowest_point(cost, low, high))
        tokens = self.tokens_for(parameters, loss)
        return replace(
            self._at(parameters, FLOPS_PER_PARAMETER_AND_TOKEN * parameters * tokens),
            tokens=tokens,
            loss=loss,
        )


@dataclass(frozen=True)
class Parametric(LossLaw):
    """L = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, eq. 2)."""

    CONSTANTS: ClassVar = ("E", "A", "B", "alpha", "beta")

    name: str
    source: str
    E: float
    A: float
    B: float
    alpha: float
    beta: float
    reach: Reach
    errors: dict[str, float] | None = None
    """Standard errors of the constants, as published."""
    covariance: tuple[tuple[float, ...], ...] | None = None
    """Of (ln A, ln B, ln E, alpha, beta): the constants err together, so `errors` alone say little."""
    draws: np.ndarray | None = field(default=None, compare=False, repr=False)
    """Rows of (E, A, B, alpha, beta) from a bootstrap; they take the place of `covariance`."""
    note: str = ""

    @property
    def parameter_exponent(self) -> float:
        """a in N ~ C^a."""
        return self.beta / (self.alpha + self.beta)

    def loss(self, parameters: float, tokens: float) -> float:
        loss: float = self.E + self.A / parameters**self.alpha + self.B / tokens**self.beta
        return loss

    def floor(self) -> float:
        return self.E

    def optimum(self, compute: float) -> Optimum:
        """In closed form: N = G (C/6)^a with G = (alpha A / beta B)^(1/(alpha+beta)) (Hoffmann, eq. 4)."""
        log_balance = math.log(self.alpha * self.A / (self.beta * self.B)) / (self.alpha + self.beta)
        spent = math.log(compute / FLOPS_PER_PARAMETER_AND_TOKEN)
        # At least one parameter and one token, where a law fitted to noise asks for less.
        parameters = math.exp(min(max(log_balance + self.parameter_exponent * spent, 0.0), spent))
        return self._at(parameters, compute)

    def cheapest(self, loss: float) -> Optimum:
        """In closed form: at the least compute, alpha A / N^alpha = beta B / D^beta."""
        left, both = loss - self.E, self.alpha + self.beta
        if left > 0:
            log_parameters = math.log(self.A * both / (self.beta * left)) / self.alpha
            log_tokens = math.log(self.B * both / (self.alpha * left)) / self.beta
            log_compute = math.log(FLOPS_PER_PARAMETER_AND_TOKEN) + log_parameters + log_tokens
            if min(log_parameters, log_tokens) >= 0 and log_compute <= LOG_MOST_COMPUTE:
                return self._at(math.exp(log_parameters), math.exp(log_compute))
        return super().cheapest(loss)

    def tokens_for(self, parameters: float, loss: float) -> float:
        left = loss - self.E - self.A / parameters**self.alpha
        return (self.B / left) ** (1 / self.beta) if left > 0 else math.inf

    @cached_property
    def variants(self) -> "list[Parametric]":
        """The same law with constants as they might as well be; empty where nobody said."""
        if self.draws is not None:
            rows = self.draws
        elif self.covariance is not None:
            centre = [math.log(self.A), math.log(self.B), math.log(self.E), self.alpha, self.beta]
            random = np.random.default_rng(0)
            drawn = random.multivariate_normal(centre, np.array(self.covariance), DRAWS)
            rows = np.column_stack([np.exp(drawn[:, [2, 0, 1]]), drawn[:, 3:]])
        else:
            return []
        known = {"name": self.name, "source": self.source, "reach": self.reach}
        constants = (dict(zip(self.CONSTANTS, map(float, row), strict=True)) for row in rows)
        return [Parametric(**known, **values) for values in constants]  # type: ignore[arg-type]

    def interval(self, answer: Callable[["Parametric"], float], level: float = 0.9) -> Interval | None:
        """Where an answer lies with that probability, by asking all variants; None where nobody said."""
        if not self.variants:
            return None
        values = [answer(variant) for variant in self.variants]
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


@dataclass(frozen=True)
class KaplanLoss(LossLaw):
    """L = [ (N_c / N)^(alpha_N / alpha_D) + D_c / D ]^alpha_D (Kaplan et al. 2020, eq. 1.5)."""

    counts_embeddings: ClassVar[bool] = False

    name: str
    source: str
    N_c: float
    D_c: float
    alpha_N: float
    alpha_D: float
    reach: Reach
    note: str = ""

    def loss(self, parameters: float, tokens: float) -> float:
        size = (self.N_c / parameters) ** self._ratio
        return float((size + self.D_c / tokens) ** self.alpha_D)

    @property
    def _ratio(self) -> float:
        return self.alpha_N / self.alpha_D

    def optimum(self, compute: float) -> Optimum:
        """In closed form: there r (N_c / N)^r = D_c / D, with r = alpha_N / alpha_D."""
        ratio = self._ratio
        balance = math.log(ratio * compute / (FLOPS_PER_PARAMETER_AND_TOKEN * self.D_c))
        return self._at(math.exp((balance + ratio * math.log(self.N_c)) / (1 + ratio)), compute)

    def tokens_for(self, parameters: float, loss: float) -> float:
        left = loss ** (1 / self.alpha_D) - (self.N_c / parameters) ** self._ratio
        return self.D_c / left if left > 0 else math.inf


@dataclass(frozen=True)
class Repeated(LossLaw):
    """A parametric law for data that is repeated (Muennighoff et al. 2023, eq. 5 and 6).

    A token's n-th repetition is worth less than the one before, and so are parameters beyond what
    the unique tokens can train. Both are turned into the fresh ones that they are worth.
    """

    base: Parametric
    unique: float
    """Different tokens at hand."""
    tokens_decay: float
    """R_D*: after so many repetitions data has lost most of its worth."""
    parameters_decay: float
    """R_N*"""
    name: str
    source: str
    reach: Reach
    note: str = ""

    def effective_tokens(self, tokens: float) -> float:
        """How many fresh tokens `tokens` are worth, of which only `unique` are different."""
        unique = min(self.unique, tokens)
        return unique + unique * self.tokens_decay * -math.expm1(-(tokens / unique - 1) / self.tokens_decay)

    def effective_parameters(self, parameters: float, tokens: float) -> float:
        unique = min(self._parameters_for(min(self.unique, tokens)), parameters)
        decay = self.parameters_decay
        return unique + unique * decay * -math.expm1(-(parameters / unique - 1) / decay)

    def _parameters_for(self, tokens: float) -> float:
        """The size for which that many tokens are optimal."""
        base = self.base
        balance = (base.alpha * base.A / (base.beta * base.B)) ** (1 / (base.alpha + base.beta))
        return float((tokens * balance) ** (base.beta / base.alpha) * balance)

    def loss(self, parameters: float, tokens: float) -> float:
        return self.base.loss(self.effective_parameters(parameters, tokens), self.effective_tokens(tokens))

    def floor(self) -> float:
        return self.base.E

    def epochs(self, tokens: float) -> float:
        return max(1.0, tokens / self.unique)


def lowest_point(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one valley between `low` and `high` is lowest."""
    from scipy.optimize import minimize_scalar  # slow to load, and the studio's server needs none

    return float(minimize_scalar(function, bounds=(low, high), method="bounded", options={"xatol": 1e-9}).x)


def zero_of(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function passes zero; `low` where it is below zero from there on."""
    from scipy.optimize import brentq  # slow to load, and the studio's server needs none

    return low if function(low) <= 0 else float(brentq(function, low, high, xtol=1e-10))
