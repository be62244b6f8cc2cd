"""The Scaling view: published laws with their constants, and the models that were trained.

The browser draws the curves from these constants; `web/src/arithmetic/law.ts` is held to `scaling.laws`.
"""

from collections.abc import Sequence

from fastapi import APIRouter
from pydantic import BaseModel

from headstart.scaling.laws import Allocation, Parametric
from headstart.scaling.published import ALLOCATIONS, LOSS_LAWS, models
from headstart.studio.export import Asked
from headstart.studio.state import Studio

router = APIRouter()

Range = tuple[float, float]


class Law(BaseModel):
    """A law that splits compute: by a loss of both (`constants`), or by a power of compute alone."""

    name: str
    source: str
    note: str
    parameters: Range
    """The smallest and the largest model that it was fitted to."""
    tokens: Range
    constants: tuple[float, float, float, float, float] | None
    """E, A, B, alpha, beta of E + A / N^alpha + B / D^beta."""
    draws: list[tuple[float, float, float, float, float]]
    """Constants as they might as well be."""
    power: Range | None
    """Coefficient and exponent of N = coefficient C^exponent."""


class Trained(BaseModel):
    """A published model."""

    name: str
    parameters: float
    tokens: float
    source: str


class Laws(BaseModel):
    """All that the view draws."""

    laws: list[Law]
    models: list[Trained]


@router.get("/laws")
def laws() -> Laws:
    """The published laws, and the models whose training tokens are known."""
    known = [_parametric(law) for law in LOSS_LAWS.values() if isinstance(law, Parametric)]
    known += [_allocation(law) for law in ALLOCATIONS.values()]
    trained = [
        Trained(name=one.name, parameters=one.parameters, tokens=one.tokens, source=one.source)
        for one in models()
    ]
    return Laws(laws=known, models=trained)


def _parametric(law: Parametric) -> Law:
    return Law(
        name=law.name, source=law.source, note=law.note, parameters=law.reach.parameters,
        tokens=law.reach.tokens, constants=(law.E, law.A, law.B, law.alpha, law.beta),
        draws=[(one.E, one.A, one.B, one.alpha, one.beta) for one in law.variants], power=None,
    )  # fmt: skip


def _allocation(law: Allocation) -> Law:
    return Law(
        name=law.name, source=law.source, note=law.note, parameters=law.reach.parameters,
        tokens=law.reach.tokens, constants=None, draws=[], power=(law.coefficient, law.exponent),
    )  # fmt: skip


def reach(studio: Studio, asked: Sequence[Asked]) -> list[Asked]:
    """The laws are all that the sliders need."""
    return [Asked("laws")]
