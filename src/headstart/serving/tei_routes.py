"""The bodies of text-embeddings-inference, for its clients: one input gives one answer, a list a list."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, RootModel

from headstart import __version__
from headstart.serving.body import MOST_INPUTS, Body, Several, listed
from headstart.serving.embedding_routes import TokenId, relevance, shortened, text_of
from headstart.serving.guard import record_of
from headstart.serving.request_error import RequestError
from headstart.serving.served_model import CLASSIFY, EMBEDDINGS, RERANK
from headstart.serving.service import Service, json_answer


class TeiBody(Body):
    """What its bodies share."""

    truncate: bool | None = Field(
        None, description="Let the end of a text go that is longer than vectors are made of."
    )
    truncation_direction: str | None = None


class EmbedBody(TeiBody):
    """Texts to be embedded."""

    NEUTRAL = {"normalize": (True,), "truncation_direction": ("Right", "right")}
    inputs: str | Several[str] | Several[TokenId] | Several[Several[TokenId]]
    normalize: bool = Field(True, description="Vectors have length 1; false is not supported.")
    prompt_name: str | None = None
    dimensions: int | None = Field(None, ge=1)


class TeiPredictBody(TeiBody):
    """A text, a pair, or a list of either."""

    NEUTRAL = {"raw_scores": (False,)}
    inputs: str | Several[str] | Several[Several[str]]
    raw_scores: bool = False


class TeiRerankBody(TeiBody):
    """A query and texts."""

    NEUTRAL = {"raw_scores": (False,), "truncation_direction": ("Right", "right")}
    query: str
    texts: Several[str]
    raw_scores: bool = False
    return_text: bool = False


class Prediction(BaseModel):
    """A label and its probability."""

    label: str
    score: float


class Rank(BaseModel):
    """A text and how well it fits."""

    index: int
    score: float
    text: str | None = None


class Vectors(RootModel[list[list[float]]]):
    """A vector a text."""


class Predictions(RootModel[list[Prediction] | list[list[Prediction]]]):
    """Of one input, or a list for a list."""


class Ranks(RootModel[list[Rank]]):
    """The best first."""


class Info(BaseModel):
    """What is served."""

    model_config = ConfigDict(protected_namespaces=())
    model_id: str
    model_dtype: str
    model_type: dict[str, Any]
    max_input_length: int | None
    max_client_batch_size: int
    version: str


def tei_routes(service: Service) -> APIRouter:
    """Its routes."""
    router = service.router("text-embeddings-inference")

    @router.post("/embed", responses={200: {"model": Vectors}})
    async def embed_texts(request: Request, body: EmbedBody) -> Response:
        """A vector for each text."""
        ids = isinstance(body.inputs, list) and body.inputs and isinstance(body.inputs[0], int)
        given = listed([body.inputs] if ids else body.inputs, "inputs")
        async with service.asked(request, body, EMBEDDINGS) as asked:
            tokenizer = asked.resident.model.tokenizer
            texts = [one if isinstance(one, str) else text_of(tokenizer, one) for one in given]
            vectors, _ = await asked.embed(texts, body.prompt_name, bool(body.truncate))
            return json_answer(shortened(vectors, body.dimensions))

    @router.post("/predict", responses={200: {"model": Predictions}})
    async def predict(request: Request, body: TeiPredictBody) -> Response:
        """The labels with their probabilities, the likeliest first."""
        async with service.asked(request, body, CLASSIFY) as asked:
            given: Any = body.inputs
            pair = isinstance(given, list) and len(given) == 2 and all(isinstance(one, str) for one in given)
            single = isinstance(given, str) or bool(pair and asked.description.pairs)
            inputs = [given] if single else listed(given, "inputs")
            listed(inputs, "inputs")
            answers = await asked.compute("predict", None, [tei_input(one) for one in inputs])
            if answers and "probabilities" not in answers[0]:
                answers = [{"probabilities": {"score": answer["score"]}} for answer in answers]
            ranked = [labels_first(answer["probabilities"]) for answer in answers]
            return json_answer(ranked[0] if single else ranked)

    @router.post("/rerank", responses={200: {"model": Ranks}})
    async def rerank(request: Request, body: TeiRerankBody) -> Response:
        """The texts sorted by how well they fit the query."""
        listed([*body.texts, body.query], "texts")
        async with service.asked(request, body, RERANK) as asked:
            _, scores, _ = await relevance(asked, body.query, body.texts, bool(body.truncate))
        best = sorted(range(len(scores)), key=lambda place: -scores[place])
        own = [{"text": text} if body.return_text else {} for text in body.texts]
        return json_answer([{"index": place, "score": scores[place]} | own[place] for place in best])

    @router.get("/info", responses={200: {"model": Info}})
    async def info(request: Request, model: str | None = None) -> Response:
        """The model that the other routes ask."""
        described = service.store.resolve(model, EMBEDDINGS)
        record_of(request.scope).model = described.name
        kind: dict[str, Any] = {"embedding": {"pooling": "see the folder"}}
        if CLASSIFY in described.routes:
            labels = dict(enumerate(described.labels))
            kind = {"classifier": {"id2label": {str(number): label for number, label in labels.items()}}}
        return json_answer(
            {
                "model_id": described.name,
                "model_dtype": described.dtype,
                "model_type": kind,
                "max_input_length": described.context,
                "max_client_batch_size": MOST_INPUTS,
                "version": __version__,
            }
        )

    return router


def tei_input(given: str | list[str]) -> str | tuple[str, ...]:
    """A text, or a pair.

    Raises:
        RequestError: a list of more than two.
    """
    if isinstance(given, str):
        return given
    if not 1 <= len(given) <= 2:
        raise RequestError(
            400, "unsupported_value", "an input is a text or a pair of two; send others apart", "inputs"
        )
    return given[0] if len(given) == 1 else tuple(given)


def labels_first(probabilities: dict[str, float]) -> list[dict[str, Any]]:
    """Labels with their probabilities, the likeliest first."""
    ranked = sorted(probabilities.items(), key=lambda pair: -pair[1])
    return [{"label": label, "score": score} for label, score in ranked]
