"""The Duel view: the scoreboard of a duel, its examples, and gaps whose context is hidden by hand."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from headstart.evaluation.duel_result import AnsweredExample, Duel, read_duel, shown_examples
from headstart.studio.export import Asked as Request
from headstart.studio.routes.generation import Asked
from headstart.studio.state import Studio, StudioState, frame

router = APIRouter()

Ids = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=512)]
Task = Literal["classification", "gaps", "writing"]


class DuelGap(Asked):
    """A text with a gap, and how much of it is shown at either side."""

    ids: Ids
    place: int = Field(ge=0)
    left: int = Field(ge=0)
    right: int = Field(ge=0)


class DuelText(Asked):
    """A text of one's own, and where the word begins that is to be found."""

    text: str = Field(min_length=1, max_length=4000)
    start: int = Field(ge=0)


class DuelBoard(BaseModel):
    """A duel as far as it has come."""

    duel: Duel
    at: dict[str, str]
    """By model, the address of its run."""


class DuelExamples(BaseModel):
    """The examples of a task, with what every model says."""

    examples: list[AnsweredExample]


@router.get("/duel")
def duel(studio: StudioState, at: str) -> DuelBoard:
    """The scoreboard."""
    folder = studio.folders.find(at)
    result = read_duel(folder)
    names = [one["name"] for one in result["models"] if (folder / one["name"] / "model").is_dir()]
    return DuelBoard(duel=result, at={name: studio.folders.address(folder / name) for name in names})


@router.get("/duel/examples")
def examples(studio: StudioState, at: str, task: Task) -> DuelExamples:
    """The examples of a task."""
    return DuelExamples(examples=shown_examples(studio.folders.find(at), task))


@router.post("/duel/gap")
async def gap(studio: StudioState, asked: DuelGap) -> Response:
    """What a model says in a gap, and what more context at either side is worth."""
    given = asked.model_dump(include={"ids", "place", "left", "right"})
    folder = studio.folders.find(asked.at)
    return frame(await studio.worker.ask("gap", folder, asked.view, asked.turn, **given))


@router.post("/duel/text")
async def text(studio: StudioState, asked: DuelText) -> Response:
    """The tokens of a text, and which is the gap."""
    folder = studio.folders.find(asked.at)
    given = asked.model_dump(include={"text", "start"})
    return frame(await studio.worker.ask("gap_text", folder, asked.view, asked.turn, **given))


def reach(studio: Studio, asked: Sequence[Request]) -> list[Request]:
    """The gap that was shown last, with every number of tokens at its right, for every model of the duel."""
    shown = [one.body for one in asked if one.path == "duel/gap" and one.body is not None]
    if not shown:
        return []
    last, models = shown[-1], {str(one["at"]) for one in shown}
    found = []
    for right in range(len(last["ids"]) - last["place"]):
        found += [Request("duel/gap", body={**last, "at": at, "right": right}) for at in sorted(models)]
    return found
