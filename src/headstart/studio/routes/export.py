"""A view as one file."""

from collections.abc import Sequence

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from headstart.studio import export
from headstart.studio.export import Asked, Reach
from headstart.studio.routes import corpus, duel, generation, head_start, masking, run, scaling
from headstart.studio.state import Studio, StudioState

router = APIRouter()

REACH: dict[str, Reach] = {
    "corpus": corpus.reach,
    "duel": duel.reach,
    "generation": generation.reach,
    "head-start": head_start.reach,
    "masking": masking.reach,
    "run": run.reach,
    "scaling": scaling.reach,
}
"""By view: what its sliders reach beyond what it has asked for."""


class AskedBefore(BaseModel):
    """A request that the view has made, and that was answered."""

    method: str
    path: str = Field(pattern=r"^[a-z][a-z/-]*$", max_length=60)
    query: dict[str, str] = {}
    body: dict[str, object] | None = None


class Export(BaseModel):
    """Which view, where it stands, and what it has."""

    view: str = Field(pattern=r"^[a-z][a-z-]*$", max_length=40)
    hash: str = Field(max_length=20_000)
    asked: list[AskedBefore] = Field(max_length=400)


@router.post("/export", response_class=HTMLResponse)
async def one_file(request: Request, studio: StudioState, wanted: Export) -> HTMLResponse:
    """The view as one HTML file that needs no network."""
    asked = [Asked(one.path, one.query, one.body) for one in wanted.asked]
    return HTMLResponse(
        await export.page(
            request.app, studio, wanted.view, wanted.hash, with_reach(studio, wanted.view, asked)
        )
    )


def with_reach(studio: Studio, view: str, asked: Sequence[Asked]) -> list[Asked]:
    """What a view has asked, behind what its sliders reach beyond."""
    reach = REACH.get(view)
    return [*(reach(studio, asked) if reach is not None else []), *asked]
