"""The Generation view: a model's facts, a forward pass, one row of attention, a beam search."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from headstart.studio.export import Asked as Request
from headstart.studio.state import Studio, StudioState, frame

router = APIRouter()

Ids = Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=8192)]


class Asked(BaseModel):
    """Who asks: of the requests of a view that wait, the one with the largest turn is answered."""

    at: str
    view: str = ""
    turn: int = 0


class Text(Asked):
    """A text to cut into tokens."""

    text: str = Field(max_length=20_000)


class Trace(Asked):
    """A forward pass."""

    ids: Ids
    prompt: int = Field(ge=0)
    source: Ids | None = None
    repetition_penalty: float = Field(1.0, gt=0, le=10)


class Row(Asked):
    """One row of one attention map."""

    ids: Ids
    name: str = Field(pattern=r"^(encoder|decoder)\.\d+\.(self|cross)$")
    head: int = Field(ge=0)
    place: int = Field(ge=0)
    source: Ids | None = None


class Beams(Asked):
    """A beam search."""

    ids: Ids
    beams: int = Field(4, ge=1, le=8)
    tokens: int = Field(8, ge=1, le=24)
    source: Ids | None = None


class Settings(BaseModel):
    """Settings of generation."""

    temperature: float = Field(0.8, ge=0)
    top_k: int = Field(50, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    min_p: float = Field(0.0, ge=0, le=1)
    repetition_penalty: float = Field(1.0, gt=0)
    seed: int = 0
    max_new_tokens: int = Field(12, ge=1, le=200)


class Continue(Asked):
    """A text that Python's `generate` writes."""

    ids: Ids
    settings: Settings = Settings()
    source: Ids | None = None


@router.get("/model")
async def model(studio: StudioState, at: str, seed: int = 0) -> Response:
    """What a model is, its vocabulary, and the draws of a seed (`uniforms`)."""
    return frame(await studio.worker.ask("model", studio.folders.find(at), seed=seed))


@router.post("/tokenize")
async def tokenize(studio: StudioState, asked: Text) -> Response:
    """The ids of a text."""
    folder = studio.folders.find(asked.at)
    return frame(await studio.worker.ask("tokenize", folder, asked.view, asked.turn, text=asked.text))


@router.post("/trace")
async def trace(studio: StudioState, asked: Trace) -> Response:
    """What comes after some ids, and how that came about."""
    given = asked.model_dump(include={"ids", "prompt", "source", "repetition_penalty"})
    folder = studio.folders.find(asked.at)
    return frame(await studio.worker.ask("trace", folder, asked.view, asked.turn, **given))


@router.post("/row")
async def row(studio: StudioState, asked: Row) -> Response:
    """How one row of attention came about: query, keys, scores, mask, weights, values."""
    given = asked.model_dump(include={"ids", "name", "head", "place", "source"})
    folder = studio.folders.find(asked.at)
    return frame(await studio.worker.ask("row", folder, asked.view, asked.turn, **given))


@router.post("/beams")
async def beams(studio: StudioState, asked: Beams) -> Response:
    """The tree of a beam search, lost tries included."""
    given = asked.model_dump(include={"ids", "beams", "tokens", "source"})
    folder = studio.folders.find(asked.at)
    return frame(await studio.worker.ask("beams", folder, asked.view, asked.turn, **given))


@router.post("/continue")
async def continue_text(studio: StudioState, asked: Continue) -> Response:
    """What `generate` writes with the same settings."""
    given = {"ids": asked.ids, "source": asked.source, "settings": asked.settings.model_dump()}
    folder = studio.folders.find(asked.at)
    return frame(await studio.worker.ask("continue", folder, asked.view, asked.turn, **given))


def reach(studio: Studio, asked: Sequence[Request]) -> list[Request]:
    """The text that was shown last, at every state of the run: what the scrubber moves through."""
    shown = [one.body for one in asked if one.path == "trace" and one.body is not None]
    accounts = [one.query["at"] for one in asked if one.path == "folder" and "at" in one.query]
    if not shown or not accounts:
        return []
    states = [state.at for state in studio.folders.states(accounts[-1])]
    models = [one.query for one in asked if one.path == "model"]
    return [Request("model", {**models[-1], "at": at}) for at in states if models] + [
        Request("trace", body={**shown[-1], "at": at}) for at in states
    ]
