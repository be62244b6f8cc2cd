"""A sweep of one's own as it grows: its runs, the forecast fixed before the larger run, and the score.

Nothing is fitted here: the law is that of `fit.json`, which was written with the forecast.
"""

from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, ValidationError

from headstart.errors import HeadstartError
from headstart.folder import read_json
from headstart.scaling.fit_report import DESIGN, FIT, FORECAST, SCORE
from headstart.scaling.plan import law_named
from headstart.studio.routes.scaling import Law, as_law
from headstart.studio.state import StudioState
from headstart.training.metrics import FILE, read_metrics

router = APIRouter()

Facts = TypeVar("Facts", bound=BaseModel)
MOST = 400  # runs of a sweep that are read


class Designed(BaseModel):
    """A run as `design.json` has it."""

    name: str
    parameters: float
    tokens: float


class Design(BaseModel):
    """What a sweep notes before its first run."""

    grid: list[Designed]
    final: Designed


class SweepRun(BaseModel):
    """A run of a sweep, and how far it has come."""

    name: str
    at: str | None
    """Its folder; None: it has not begun."""
    parameters: float
    tokens: float
    """That it reads in all."""
    state: Literal["waiting", "running", "finished"]
    evaluations: list[tuple[float, float]]
    """Tokens read and the loss on held-out text, in nats a token."""


class Forecast(BaseModel):
    """What `forecast.json` says of the larger run."""

    parameters: float
    tokens: float
    times_the_largest_run: float
    loss: float
    band: tuple[float, float]
    level: float
    runs: int
    written: float | None = None
    """Seconds since 1970."""


class Scored(BaseModel):
    """How it came out."""

    measured: float
    error: float
    inside: bool


class Sweep(BaseModel):
    """A sweep, as far as it has come."""

    at: str
    grid: list[SweepRun]
    final: SweepRun | None
    law: Law | None
    """Fitted to the grid, before the larger run; None until the grid is trained."""
    forecast: Forecast | None
    score: Scored | None


@router.get("/sweep")
def sweep(studio: StudioState, at: str) -> Sweep:
    """The runs of a sweep, its law, its forecast and its score."""
    folder = studio.folders.find(at)
    if not any((folder / name).exists() for name in (DESIGN, FIT)):
        raise HeadstartError(f"{at} is no sweep; choose a folder of `headstart plan sweep`")
    planned = _read(folder / DESIGN, Design)
    found = {kind: _folders(folder, kind) for kind in ("grid", "final")}
    grid = planned.grid if planned else [_undesigned(run) for run in found["grid"].values()]
    last = planned.final if planned else next(map(_undesigned, found["final"].values()), None)

    def told(run: Designed, kind: str) -> SweepRun:
        place = found[kind].get(run.name)
        evaluations, finished = _progress(place) if place else ((), False)
        return SweepRun(
            name=run.name, at=studio.folders.address(place) if place else None,
            parameters=run.parameters, tokens=run.tokens, evaluations=list(evaluations),
            state="finished" if finished else "running" if place else "waiting",
        )  # fmt: skip

    law = None
    if (folder / FIT).exists():
        law = as_law(law_named(str(folder / FIT)))
        law.name, law.source = f"{at} (own runs)", f"{at}/{FIT}"
    return Sweep(
        at=at, grid=[told(run, "grid") for run in grid[:MOST]], law=law,
        final=told(last, "final") if last else None,
        forecast=_read(folder / FORECAST, Forecast), score=_read(folder / SCORE, Scored),
    )  # fmt: skip


def _folders(sweep: Path, kind: str) -> dict[str, Path]:
    """The run folders of a sweep by name; links to elsewhere are passed over."""
    places = [path.parent for path in sorted(sweep.glob(f"{kind}/*/{FILE}"))]
    return {place.name: place for place in places if place.resolve().is_relative_to(sweep)}


def _undesigned(run: Path) -> Designed:
    """A run of a sweep that noted no design: what its own files say."""
    from headstart.scaling.runs import count_weights

    weights, (evaluations, _) = run / "model" / "model.safetensors", _progress(run)
    count = count_weights(weights) if weights.exists() else 0
    return Designed(name=run.name, parameters=count, tokens=evaluations[-1][0] if evaluations else 0)


def _progress(run: Path) -> tuple[tuple[tuple[float, float], ...], bool]:
    finished = (run / "model" / "model.safetensors").exists()
    facts = (run / FILE).stat()
    return _evaluations(run, facts.st_mtime_ns, facts.st_size), finished


@lru_cache(maxsize=MOST)
def _evaluations(run: Path, changed: int, size: int) -> tuple[tuple[float, float], ...]:
    """Tokens and loss of every evaluation; read once for each state of the file."""
    found = [event for event in read_metrics(run) if event["kind"] == "evaluation"]
    return tuple((float(event["tokens"]), float(event["loss"])) for event in found if event["tokens"])


def _read(path: Path, kind: type[Facts]) -> Facts | None:
    """A JSON file of a sweep, or None while it is not there."""
    if not path.exists():
        return None
    try:
        return kind.model_validate(read_json(path, object))
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise HeadstartError(
            f"{path.name} of the sweep is not what a sweep writes ({where}); run the sweep again"
        ) from None
