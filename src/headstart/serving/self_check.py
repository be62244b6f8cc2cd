"""`headstart serve --check`: every model is loaded and asked one request of each kind it answers."""

from collections.abc import Callable
from typing import Any

from headstart.errors import HeadstartError
from headstart.serving.app import Application
from headstart.serving.served_model import (
    ANSWER,
    CHAT,
    CHOOSE,
    CLASSIFY,
    COMPLETIONS,
    EMBEDDINGS,
    FILL_MASK,
    PREDICT,
    RERANK,
    TAG,
    TOKENIZE,
    Description,
)

TEXT = "The old ship waits in the harbour."
SHOWN = 160
"""Characters of an answer that are printed."""


async def self_check(application: Application, say: Callable[[str], None]) -> None:
    """Ask, and say in a line for each model and route what was answered.

    Raises:
        HeadstartError: an answer was an error.
    """
    for described in application.service.store.descriptions.values():
        for route in described.routes:
            status, answer = await application.ask(route, example(described, route))
            shown = answer[:SHOWN].decode("utf-8", "replace") + ("..." if len(answer) > SHOWN else "")
            if status != 200:
                raise HeadstartError(f"{described.name} answered {route} with {status}: {shown}")
            say(f"{described.name} {route} {shown}")
    await application.service.store.close()


def example(described: Description, route: str) -> dict[str, Any]:
    """A request that a model can answer."""
    question = {"question": "Where does the ship wait?"}
    inputs: Any = [TEXT, TEXT] if described.pairs else TEXT
    if described.task == "question-answering":
        inputs = question | {"context": TEXT}
    if described.task == "multiple-choice":
        inputs = question | {"options": ["harbour", "kitchen"]}
    bodies: dict[str, dict[str, Any]] = {
        PREDICT: {"inputs": [inputs]},
        CLASSIFY: {"input": [inputs] if described.pairs else inputs},
        TAG: {"input": TEXT},
        ANSWER: question | {"context": TEXT},
        CHOOSE: question | {"options": ["harbour", "kitchen"]},
        FILL_MASK: {"input": f"The old {described.mask} waits.", "top_k": 1},
        EMBEDDINGS: {"input": TEXT},
        RERANK: {"query": "a ship", "documents": [TEXT, "a kitchen"]},
        COMPLETIONS: {"prompt": "The old", "max_tokens": 4, "temperature": 0},
        CHAT: {
            "messages": [{"role": "user", "content": "Where is the ship?"}],
            "max_tokens": 4,
            "temperature": 0,
        },
        TOKENIZE: {"prompt": TEXT},
    }
    return {"model": described.name} | bodies[route]
