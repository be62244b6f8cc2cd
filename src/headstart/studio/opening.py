"""What a view asks when it opens on a folder: for an export from the command line, where no page has asked.

Each function asks as the view of the same name does (`web/src/views/NAME`); tests open what comes out of them
without a network, so that a view which asks for something else is found.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import ASGIApp

from headstart.errors import HeadstartError
from headstart.studio.export import Asked, ask
from headstart.studio.frames import MEDIA_TYPE
from headstart.studio.state import Studio

PROMPT = "It was a"
SENTENCE = "The old man opened the door of the house and looked at the rain."
FATES = [0.8, 0.1, 0.1]


@dataclass
class Opening:
    """The requests of a view, in their order."""

    app: ASGIApp
    studio: Studio
    at: str
    asked: list[Asked] = field(default_factory=list)

    async def get(self, path: str, **query: object) -> Any:
        return await self._answer(Asked(path, {name: str(value) for name, value in query.items()}))

    async def post(self, path: str, **body: object) -> Any:
        return await self._answer(Asked(path, body=body))

    async def _answer(self, one: Asked) -> Any:
        """The fields of an answer; a refusal is the sentence of the studio."""
        answer = await ask(self.app, self.studio, one)
        content = answer.content
        if answer.media.startswith(MEDIA_TYPE):
            content = content[4 : 4 + int.from_bytes(content[:4], "little")]
        fields = orjson.loads(content)
        if answer.status != 200:
            raise HeadstartError(fields["error"]["message"])
        self.asked.append(one)
        return fields

    async def newest(self) -> str:
        """The address of the newest state of the model."""
        states = (await self.get("folder", at=self.at))["states"]
        if not states:
            raise HeadstartError(f"{self.at} has no model yet: no checkpoint, no snapshot, nothing finished")
        return str(states[-1]["at"])

    async def losses(self) -> None:
        """The evaluations of a run; a model folder has none."""
        if (self.studio.folders.find(self.at) / "metrics.jsonl").exists():
            await self.get("metrics", at=self.at, points=10)


async def run(look: Opening) -> None:
    """Its reach has all the rest."""
    await look.get("metrics", at=look.at, points=2000)


async def corpus(look: Opening) -> None:
    """Its reach has all the rest."""
    await look.get("corpus", at=look.at)


async def scaling(look: Opening) -> None:
    """The laws, and the sweep in the folder."""
    await look.get("laws")
    await look.get("sweep", at=look.at)


async def generation(look: Opening) -> None:
    """A prompt through the newest state."""
    state = await look.newest()
    facts = await look.get("model", at=state, seed=0)
    await look.losses()
    ids = (await look.post("tokenize", at=state, text=PROMPT))["ids"]
    answers = facts["architecture"] == "encoder-decoder"
    begun = [facts["start"] or 0] if answers else ids
    await look.post(
        "trace", at=state, ids=begun, prompt=len(begun), source=ids if answers else None,
        repetition_penalty=facts["defaults"]["repetition_penalty"],
    )  # fmt: skip


async def masking(look: Opening) -> None:
    """The first held-out sentence, hidden as the run does it."""
    state = await look.newest()
    await look.get("model", at=state)
    kept = await look.get("sentences", at=look.at)
    await look.losses()
    objective = kept["objective"]
    hidden = await look.post(
        "hide", at=state, text=kept["sentences"][0] if kept["sentences"] else SENTENCE, rate=0.15,
        whole_words=objective.get("whole_words") or False, shares=objective.get("fates") or FATES,
        mean_span=objective.get("mean_span") or 3, seed=0,
    )  # fmt: skip
    await look.post("fill", at=state, ids=hidden["ids"], fates=hidden["fates"], strangers=hidden["strangers"])


async def block(look: Opening) -> None:
    """The diagram, and every weight that it names."""
    await look.get("presets")
    state = await look.newest()
    described = await look.get("block", at=state, rows=1, row=512)
    for name in described["names"]:
        await look.get("weight", at=state, name=name)


OPENINGS: dict[str, Callable[[Opening], Awaitable[None]]] = {
    "block": block, "corpus": corpus, "generation": generation, "masking": masking, "run": run,
    "scaling": scaling,
}  # fmt: skip
