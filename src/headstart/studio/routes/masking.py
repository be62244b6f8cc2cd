"""The Masking view: sentences of the held-out text, fates, guesses, influence."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from headstart.recipe import read_yaml
from headstart.studio.export import Asked as Request
from headstart.studio.folders import small_json
from headstart.studio.routes.generation import Asked, Ids
from headstart.studio.state import Studio, StudioState, frame

router = APIRouter()

Fates = Annotated[list[Annotated[int, Field(ge=-1, le=2)]], Field(max_length=8192)]
READ = 20_000  # held-out tokens that are looked through
SENTENCES = 60
LENGTHS = (40, 110)  # characters of a sentence that fits the view
SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’»)]*\s+|\s*\n\s*\n\s*")


class Sentences(BaseModel):
    """Held-out sentences of a run, which it never learned from, and its objective."""

    sentences: list[str]
    tokens: str | None
    """The folder of tokens; None: the run names none inside the studio's folders."""
    objective: dict[str, object]


class Hide(Asked):
    """A text to choose tokens of."""

    text: str = Field(max_length=20_000)
    rate: float = Field(0.15, gt=0, lt=1)
    whole_words: bool = False
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    mean_span: float = Field(3.0, ge=1)
    seed: int = Field(0, ge=0)


class Fill(Asked):
    """A text with the fates of its tokens."""

    ids: Ids
    fates: Fates
    strangers: Ids


class Influence(Asked):
    """A text whose tokens are taken away in turn."""

    ids: Ids
    fates: Fates


@router.get("/sentences")
def sentences(studio: StudioState, at: str) -> Sentences:
    """Sentences of the text that a run has kept back."""
    recipe = studio.folders.find(at) / "recipe.yaml"
    settings = read_yaml(recipe)[0] if recipe.is_file() else {}
    objective = settings.get("objective")
    tokens = tokens_of(studio, recipe)
    return Sentences(
        sentences=[] if tokens is None else _held_out(tokens),
        tokens=None if tokens is None else studio.folders.address(tokens),
        objective=objective if isinstance(objective, dict) else {},
    )


@router.post("/hide")
async def hide(studio: StudioState, asked: Hide) -> Response:
    """Which tokens the objective chooses, and what becomes of each."""
    given = asked.model_dump(include={"text", "rate", "whole_words", "shares", "mean_span", "seed"})
    folder = studio.folders.find(asked.at)
    return frame(await studio.worker.ask("hide", folder, asked.view, asked.turn, **given))


@router.post("/fill")
async def fill(studio: StudioState, asked: Fill) -> Response:
    """What the model says in the gaps."""
    given = asked.model_dump(include={"ids", "fates", "strangers"})
    folder = studio.folders.find(asked.at)
    return frame(await studio.worker.ask("fill", folder, asked.view, asked.turn, **given))


@router.post("/influence")
async def influence(studio: StudioState, asked: Influence) -> Response:
    """What each token is worth to each."""
    given = asked.model_dump(include={"ids", "fates"})
    folder = studio.folders.find(asked.at)
    return frame(await studio.worker.ask("influence", folder, asked.view, asked.turn, **given))


def reach(studio: Studio, asked: Sequence[Request]) -> list[Request]:
    """The gaps that were shown last, at every state of the run: what the scrubber moves through."""
    shown = [one.body for one in asked if one.path == "fill" and one.body is not None]
    accounts = [one.query["at"] for one in asked if one.path == "folder" and "at" in one.query]
    if not shown or not accounts:
        return []
    states = studio.folders.states(accounts[-1])
    return [Request("fill", body={**shown[-1], "at": state.at}) for state in states]


def tokens_of(studio: Studio, recipe: Path) -> Path | None:
    """The tokens folder that a run's recipe names, where it lies in the studio's folders."""
    named = read_yaml(recipe)[0].get("tokens") if recipe.is_file() else None
    path = studio.folders.named(named, recipe)
    if path is None or small_json(path / "manifest.json").get("format") != "headstart.tokens":
        return None
    return path


def _held_out(folder: Path) -> list[str]:
    """Sentences of a usual length from the beginning of the held-out split."""
    from headstart.tokenizer.folder import open_tokenizer
    from headstart.tokenizer.shards import TokenRows

    ids, documents = TokenRows(folder, "heldout", 1).beginning(READ)
    tokenizer, found = open_tokenizer(folder), []
    for text in np.split(ids, np.flatnonzero(np.diff(documents)) + 1):
        for sentence in SENTENCE_END.split(tokenizer.decode(text.tolist())):
            words = " ".join(sentence.split())
            if LENGTHS[0] <= len(words) <= LENGTHS[1] and words not in found:
                found.append(words)
        if len(found) >= SENTENCES:
            break
    return found[:SENTENCES]
