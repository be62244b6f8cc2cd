"""What there is to look at."""

import time
from dataclasses import asdict
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from headstart import __version__
from headstart.recipe import read_yaml
from headstart.studio.folders import Kind, small_json
from headstart.studio.state import StudioState

router = APIRouter()


class Status(BaseModel):
    """The studio itself."""

    version: str
    roots: list[str]
    given: dict[str, str]
    """Where the folders lie that come with headstart, by the name of their root."""
    read_only: bool
    time: float


class FolderAnswer(BaseModel):
    """A folder that a view can show."""

    at: str
    kind: Kind
    modified: float
    family: str | None
    architecture: str | None
    answers: bool
    live: bool
    course: bool


class StateAnswer(BaseModel):
    """One state of a model over its training."""

    at: str
    step: int | None
    kind: Literal["snapshot", "checkpoint", "model"]


class Provenance(BaseModel):
    """What is known of how a folder came about."""

    at: str
    id: str | None
    commit: str | None
    seed: int | None
    recipe: dict[str, object]
    machine: dict[str, object]
    steered: bool
    """Whether it obeys commands while it runs, as a pre-training does."""
    states: list[StateAnswer]


@router.get("/status")
def status(studio: StudioState) -> Status:
    """The studio's version and folders."""
    known = studio.folders
    return Status(
        version=__version__, roots=[str(root) for root in known.roots],
        given={name: str(root) for name, root in known.given.items()}, read_only=studio.read_only,
        time=time.time(),
    )  # fmt: skip


@router.get("/folders")
def folders(studio: StudioState) -> list[FolderAnswer]:
    """Every folder of a known kind, the newest first."""
    return [FolderAnswer(**asdict(one)) for one in studio.folders.listing()]


@router.get("/folder")
def folder(studio: StudioState, at: str) -> Provenance:
    """A folder's own account of itself, and the states of its model."""
    path = studio.folders.find(at)
    facts, recipe = small_json(path / "run.json"), path / "recipe.yaml"
    settings = read_yaml(recipe)[0] if recipe.is_file() else {}
    machine, seed = facts.get("machine"), facts.get("seed")
    return Provenance(
        at=at,
        id=str(facts["id"]) if "id" in facts else None,
        commit=str(facts["commit"]) if facts.get("commit") else None,
        seed=seed if isinstance(seed, int) else None,
        recipe=settings,
        machine=machine if isinstance(machine, dict) else {},
        steered="fingerprint" in facts,
        states=[StateAnswer(**asdict(one)) for one in studio.folders.states(at)],
    )
