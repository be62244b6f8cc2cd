"""The Scaling view: published laws with their constants, and the models that were trained.

The browser draws the curves from these constants; `web/src/arithmetic/law.ts` is held to `scaling.laws`.
"""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from headstart.errors import HeadstartError
from headstart.scaling.hardware import device_named
from headstart.scaling.laws import Allocation, KaplanLoss, LossLaw, Parametric
from headstart.scaling.plan import Question, compute_of
from headstart.scaling.published import ALLOCATIONS, LOSS_LAWS, models
from headstart.scaling.units import read_devices, read_duration, read_quantity
from headstart.studio.export import Asked
from headstart.studio.state import Studio

router = APIRouter()

Range = tuple[float, float]
BY_DEFAULT = "besiroglu-2024"


class Law(BaseModel):
    """A law that splits compute: by a loss of both (`constants`), or by a power of compute alone."""

    name: str
    source: str
    note: str
    parameters: Range
    """The smallest and the largest model that it was fitted to."""
    tokens: Range
    constants: tuple[float, float, float, float, float] | None
    """E, A, B, alpha, beta of (E + A / N^alpha + B / D^beta)^outer."""
    outer: float = 1.0
    counts_embeddings: bool = True
    draws: list[tuple[float, float, float, float, float]]
    """Constants as they might as well be."""
    power: Range | None
    """Coefficient and exponent of N = coefficient C^exponent."""


class Trained(BaseModel):
    """A published model."""

    name: str
    parameters: float
    without_embeddings: float
    """Parameters, as some laws count them."""
    tokens: float
    source: str


class Said(BaseModel):
    """A compute that was said in words."""

    compute: float


class Laws(BaseModel):
    """All that the view draws."""

    laws: list[Law]
    models: list[Trained]


@router.get("/laws")
def laws() -> Laws:
    """The published laws, and the models whose training tokens are known."""
    known = [as_law(law) for law in LOSS_LAWS.values()] + [as_law(law) for law in ALLOCATIONS.values()]
    trained = [
        Trained(
            name=one.name, parameters=one.parameters, without_embeddings=one.without_embeddings,
            tokens=one.tokens, source=one.source,
        )
        for one in models()
    ]  # fmt: skip
    return Laws(laws=known, models=trained)


@router.get("/compute")
def compute(said: Annotated[str, Query(max_length=200)]) -> Said:
    """The compute of `1e21`, `10 PF-days`, or `64xH100 30 days`, used as published runs used theirs."""
    first, _, rest = said.strip().partition(" ")
    if not first[:1].isdigit() or "x" not in first.lower():
        return Said(compute=read_quantity(said, "FLOPs"))
    if not rest.strip():
        raise HeadstartError(f"{first} for how long? write it as in 64xH100 30 days")
    devices, kind = read_devices(first)
    question = Question(
        LOSS_LAWS[BY_DEFAULT], seconds=read_duration(rest), hardware=device_named(kind), devices=devices
    )
    return Said(compute=compute_of(question))


def as_law(law: LossLaw | Allocation) -> Law:
    """A law as the browser computes with it. Kaplan's is a sum of two terms to the power alpha_D."""
    known = {
        "name": law.name, "source": law.source, "note": law.note, "parameters": law.reach.parameters,
        "tokens": law.reach.tokens,
    }  # fmt: skip
    match law:
        case Allocation():
            return Law(**known, constants=None, draws=[], power=(law.coefficient, law.exponent))
        case Parametric():
            draws = [(one.E, one.A, one.B, one.alpha, one.beta) for one in law.variants]
            constants = (law.E, law.A, law.B, law.alpha, law.beta)
            return Law(**known, constants=constants, draws=draws, power=None)
        case KaplanLoss():
            exponent = law.alpha_N / law.alpha_D
            return Law(
                **known, constants=(0.0, law.N_c**exponent, law.D_c, exponent, 1.0), draws=[], power=None,
                outer=law.alpha_D, counts_embeddings=False,
            )  # fmt: skip
    raise TypeError(f"{law.name} is of no kind that the browser knows")


def reach(studio: Studio, asked: Sequence[Asked]) -> list[Asked]:
    """The laws are all that the sliders need."""
    return [Asked("laws")]
