"""What an experiment is: a claim, how far it is tried, what is measured, and how that is drawn.

Nothing here imports torch: claims are listed, registered and reported without it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from headstart.lab.rules import Evidence, Rule
from headstart.lab.runs import RunSpec

LEVELS = ("quick", "full")
CHAPTERS = (
    "why", "context", "BERT", "GPT", "choose", "data", "scaling", "training", "Llama", "all", "yours",
)  # fmt: skip

Checked = Literal["abstract", "text", "memory"]


@dataclass(frozen=True)
class Source:
    """Where a claim was published, and what it says there."""

    name: str
    where: str
    says: str
    checked: Checked = "memory"
    """Against what the figure was compared: the paper's abstract, its text, or nothing at hand."""


@dataclass(frozen=True)
class Claim:
    """What is claimed, in our own words."""

    id: str
    chapter: str
    title: str
    statement: str
    quantity: str
    """What is measured, with its unit."""
    lesson: str = ""
    """What the usual telling has wrong, or loose; empty: nothing was found."""
    scale: str = ""
    """Where it should show, if it does not here."""
    sources: tuple[Source, ...] = ()
    confounders: tuple[str, ...] = ()
    """What else could make the difference, and what was done about it."""


@dataclass(frozen=True)
class Level:
    """How much is spent on a claim."""

    seeds: int = 1
    minutes: float = 0.1
    """Core-minutes beyond runs that are shared, about."""
    tokens: float = 0.0
    """Of each training run."""
    shape: str = "XS"
    exclusive: bool = False
    """Times are measured: nothing else of the laboratory runs beside it."""


@dataclass(frozen=True)
class Series:
    """Points of a figure under one name."""

    name: str
    points: Sequence[tuple[float, float]]
    spreads: Sequence[float] = ()


@dataclass(frozen=True)
class Figure:
    """A picture as data: whoever shows it draws it."""

    kind: Literal["lines", "bars", "table"]
    title: str
    caption: str = ""
    x: str = ""
    y: str = ""
    """Titles of the axes, with units; of bars y alone."""
    log_x: bool = False
    log_y: bool = False
    series: Sequence[Series] = ()
    bars: Sequence[tuple[str, float]] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def by_level(name: str, levels: Sequence[float], values: Sequence[Any]) -> Series:
    """A series of the mean over seeds by level, with the standard deviation as spread."""
    table = np.asarray(values, float)  # [seeds, levels]
    spread = table.std(axis=0, ddof=1) if len(table) > 1 else np.zeros(table.shape[1])
    points = [(float(x), float(y)) for x, y in zip(levels, table.mean(axis=0), strict=True)]
    return Series(name, points, [float(one) for one in spread])


def largest(values: Sequence[Any]) -> dict[str, float]:
    """Of each named unit the largest value over seeds."""
    return {unit: max(seed[unit] for seed in values) for unit in values[0]}


Numbers = Mapping[str, Any]
"""Name -> a number, or one for each test unit or level: a list, an array, a tensor, a dict by the unit's
name."""


@dataclass(frozen=True)
class Experiment:
    """A claim with everything that decides it, as its file holds it."""

    claim: Claim
    levels: Mapping[str, Level]
    rule: Rule
    measure: Callable[[Any], Numbers]
    """Numbers of one seed, from its bench, and of one arm where there are arms."""
    arms: Callable[[Any], Mapping[str, RunSpec]] | None = None
    """The runs of one seed that are compared."""
    together: Callable[[Evidence], Evidence] | None = None
    """Numbers that take all arms of a seed: a fit, the better of two; one value a seed."""
    picture: Callable[[Evidence], Sequence[Figure]] | None = None
    file: Path = field(default=Path())
    own: bool = False
    """Whether it is a user's, not one that comes with headstart."""

    @property
    def id(self) -> str:
        return self.claim.id

    def level(self, name: str) -> Level:
        """Its level of that name; a claim of one's own may have a single one."""
        return self.levels.get(name) or next(iter(self.levels.values()))


def jsonable(value: Any) -> Any:
    """Dataclasses and tuples as JSON knows them."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: jsonable(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): jsonable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(one) for one in value]
    return str(value) if isinstance(value, Path) else value
