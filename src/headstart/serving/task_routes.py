"""Questions to task models: what `Model.predict` and `fill_mask` give, over HTTP."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from headstart.serving.body import Body, Part, Several, listed, plain, refuse_long
from headstart.serving.request_error import RequestError
from headstart.serving.served_model import ANSWER, CHOOSE, CLASSIFY, FILL_MASK, PREDICT, TAG, Description
from headstart.serving.service import Service, json_answer

Offsets = Literal["code-points", "utf-16", "bytes"]
"""What `start` and `end` count: characters of Python, of JavaScript and Java, or of Go and Rust."""
Pair = Several[str]


class PredictBody(Body):
    """Inputs as `Model.predict` takes them."""

    inputs: Any = Field(
        description="One input or a list: texts, pairs, questions, words, messages, as the task has them."
    )


class TwoTexts(Part):
    """Two texts that are read together."""

    text_a: str
    text_b: str


class ClassifyBody(Body):
    """Texts, or pairs of texts, to be labelled or measured."""

    input: str | TwoTexts | Several[str | Pair | TwoTexts] = Field(
        description="A text, a pair, or a list of them."
    )


class TagBody(Body):
    """Texts, or lists of words, to be tagged."""

    input: str | Several[str | Several[str]] = Field(
        description="A text, or a list of texts or of lists of words."
    )
    offsets: Offsets = "code-points"


class Question(Part):
    """A question and the text that holds its answer."""

    question: str
    context: str


class AnswerBody(Body):
    """A question with its context, or several as `inputs`."""

    question: str | None = None
    context: str | None = None
    inputs: Several[Question] | None = None
    offsets: Offsets = "code-points"


class Choice(Part):
    """A question and what may be its answer."""

    question: str
    context: str | None = None
    options: Several[str] = Field(min_length=2, max_length=64)


class ChooseBody(Body):
    """A question with its options, or several as `inputs`."""

    question: str | None = None
    context: str | None = None
    options: Several[str] | None = Field(None, min_length=2, max_length=64)
    inputs: Several[Choice] | None = None


class FillMaskBody(Body):
    """Texts with gaps, written as the model's mask token."""

    input: str | Several[str]
    top_k: int = Field(5, ge=1, le=1000)


class TaskAnswer(BaseModel):
    """One result for each input, in order; what it holds depends on the task."""

    model: str
    task: str
    results: list[dict[str, Any]]


class Candidate(BaseModel):
    """What may stand in a gap."""

    token: str
    token_id: int | None
    probability: float


class FillMaskAnswer(BaseModel):
    """For each text, for each of its gaps, the likeliest tokens."""

    model: str
    results: list[list[list[Candidate]]]


def task_routes(service: Service) -> APIRouter:
    """The routes of tasks."""
    router = service.router("tasks")

    async def answer(
        request: Request, body: Body, route: str, inputs: list[Any], offsets: Offsets = "code-points"
    ) -> Response:
        async with service.asked(request, body, route) as asked:
            given = [python_input(one, asked.description) for one in inputs]
            results = await asked.compute("predict", None, given)
            for one, result in zip(given, results, strict=True):
                count_in(offsets, one, result)
            found = {"model": asked.description.name, "task": asked.description.task, "results": results}
            return json_answer(found)

    @router.post(PREDICT, responses={200: {"model": TaskAnswer}})
    async def predict(request: Request, body: PredictBody) -> Response:
        """What `Model.predict` gives, for every task."""
        return await answer(request, body, PREDICT, listed(body.inputs, "inputs"))

    @router.post(CLASSIFY, responses={200: {"model": TaskAnswer}})
    async def classify(request: Request, body: ClassifyBody) -> Response:
        """A label, several, or a number for each text: `{label, probability, probabilities}`,
        `{labels, probabilities}` or `{score}`."""
        given: Any = body.input
        pair = isinstance(given, list) and len(given) == 2 and all(isinstance(one, str) for one in given)
        if pair and service.store.resolve(body.model, CLASSIFY).pairs:
            given = [given]
        return await answer(request, body, CLASSIFY, [plain(one) for one in listed(given, "input")])

    @router.post(TAG, responses={200: {"model": TaskAnswer}})
    async def tag(request: Request, body: TagBody) -> Response:
        """A tag for each word, and the spans that tags mark, with their places in the text."""
        return await answer(request, body, TAG, listed(body.input, "input"), body.offsets)

    @router.post(ANSWER, responses={200: {"model": TaskAnswer}})
    async def answer_question(request: Request, body: AnswerBody) -> Response:
        """The words of a context that answer a question; `answer` is empty where there is none."""
        inputs = one_or_several(body, {"question": body.question, "context": body.context}, body.inputs)
        return await answer(request, body, ANSWER, inputs, body.offsets)

    @router.post(CHOOSE, responses={200: {"model": TaskAnswer}})
    async def choose(request: Request, body: ChooseBody) -> Response:
        """The likeliest of a question's options."""
        own = {"question": body.question, "options": body.options}
        own |= {} if body.context is None else {"context": body.context}
        return await answer(request, body, CHOOSE, one_or_several(body, own, body.inputs))

    @router.post(FILL_MASK, responses={200: {"model": FillMaskAnswer}})
    async def fill_mask(request: Request, body: FillMaskBody) -> Response:
        """The likeliest tokens for each gap of each text."""
        texts = listed(body.input, "input")
        async with service.asked(request, body, FILL_MASK) as asked:
            results = await asked.compute("fill-mask", body.top_k, texts)
        gaps = [[[one._asdict() for one in gap] for gap in text] for text in results]
        return json_answer({"model": asked.description.name, "results": gaps})

    return router


def one_or_several(body: Body, own: Mapping[str, Any], inputs: list[Any] | None) -> list[Any]:
    """The input that stands in the body itself, or those in its list.

    Raises:
        RequestError: neither, or both.
    """
    given = any(value is not None for value in own.values())
    if inputs is not None and not given:
        return [plain(one) for one in listed(inputs, "inputs")]
    missing = [name for name, value in own.items() if value is None]
    if inputs is not None or missing:
        wanted = f"{missing[0]!r} is missing" if missing and inputs is None else "'inputs' comes alone"
        names = " and ".join(own)
        raise RequestError(
            400, "missing_field", f"{wanted}; give {names}, or a list of inputs", (missing or ["inputs"])[0]
        )
    refuse_long(dict(own), next(iter(own)))
    return [dict(own)]


def python_input(given: Any, description: Description) -> Any:
    """What JSON writes as a list of two, where a task reads pairs: a tuple."""
    reads_pairs = description.task == "embedding" or (
        description.pairs is not False and description.task in PAIR_TASKS
    )
    two = isinstance(given, list) and len(given) == 2 and all(isinstance(one, str) for one in given)
    return tuple(given) if reads_pairs and two else given


PAIR_TASKS = ("classification", "multi-label", "regression")


def count_in(offsets: Offsets, given: Any, result: dict[str, Any]) -> None:
    """Let `start` and `end` of a result count something else than code points, in place."""
    if offsets == "code-points":
        return
    spans = [*result.get("entities", ()), *([result] if "start" in result else [])]
    if not spans:
        return
    text = (
        given["context"] if isinstance(given, dict) else given if isinstance(given, str) else " ".join(given)
    )
    units = units_before(text, offsets)
    for span in spans:
        span["start"], span["end"] = int(units[span["start"]]), int(units[span["end"]])


def units_before(text: str, offsets: Offsets) -> np.ndarray:
    """How many units stand before each code point of a text, and before its end: `[characters + 1]`."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    borders = (0xFFFF,) if offsets == "utf-16" else (0x7F, 0x7FF, 0xFFFF)
    widths = 1 + sum((points > border).astype(np.int64) for border in borders)
    return np.concatenate([[0], np.cumsum(widths)])
