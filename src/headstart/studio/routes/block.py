"""The Block view: the diagram of any configuration, weights, gates, shared heads."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from headstart.errors import HeadstartError
from headstart.models.catalogue.comparison import facts
from headstart.models.registry import presets as known_presets
from headstart.studio.routes.generation import Asked
from headstart.studio.routes.masking import tokens_of
from headstart.studio.state import StudioState, frame

router = APIRouter()


class PresetName(BaseModel):
    """A published model whose diagram can be had without its weights."""

    name: str
    family: str
    year: int
    parameters: int


class Gates(Asked):
    """A text that is sent through a layer."""

    text: str = Field(max_length=2000)
    layer: int = Field(0, ge=0)


class Share(Asked):
    """How many key-value heads a model is left with, to see what that costs."""

    run: str
    kv_heads: int = Field(ge=1)


@router.get("/presets")
def presets() -> list[PresetName]:
    """The published models."""
    named = [facts(name) for name in known_presets()]
    return [
        PresetName(name=one["name"], family=one["family"], year=one["year"], parameters=one["parameters"])
        for one in named
    ]


@router.get("/block")
async def block(
    studio: StudioState, at: str = "", preset: str = "", rows: int = 1, row: int = 512
) -> Response:
    """The diagram of a model in a folder, or of a published one."""
    if not (1 <= rows <= 65_536 and 1 <= row <= 10_000_000):
        raise HeadstartError("rows are 1 to 65,536, and a row has 1 to 10,000,000 tokens; change them")
    if preset:
        return frame(
            await studio.worker.ask("preset", studio.folders.roots[0], preset=preset, rows=rows, row=row)
        )
    return frame(await studio.worker.ask("block", studio.folders.find(at), rows=rows, row=row))


@router.get("/weight")
async def weight(studio: StudioState, at: str, name: str) -> Response:
    """One weight as a picture, and its singular values."""
    return frame(await studio.worker.ask("weight", studio.folders.find(at), name=name))


@router.post("/gates")
async def gates(studio: StudioState, asked: Gates) -> Response:
    """What a text does in a layer."""
    folder = studio.folders.find(asked.at)
    return frame(
        await studio.worker.ask("gates", folder, asked.view, asked.turn, text=asked.text, layer=asked.layer)
    )


@router.post("/share")
async def share(studio: StudioState, asked: Share) -> Response:
    """The measured loss of a run's model with fewer key-value heads."""
    run, folder = studio.folders.find(asked.run), studio.folders.find(asked.at)
    tokens = tokens_of(studio, run / "recipe.yaml")
    if tokens is None:
        raise HeadstartError(
            "this model's held-out tokens are not in the studio's folders, so the loss cannot be measured; "
            "start the studio with their folder as well"
        )
    given = {"run": str(run), "tokens": str(tokens), "kv_heads": asked.kv_heads}
    return frame(await studio.worker.ask("share_heads", folder, asked.view, asked.turn, **given))
