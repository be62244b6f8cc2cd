"""Vectors of texts, and documents in the order of their closeness to a query."""

import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from headstart.serving.body import Body, Part, Several, listed
from headstart.serving.request_error import RequestError
from headstart.serving.served_model import EMBEDDINGS, RERANK, Description
from headstart.serving.service import Asked, Service, json_answer
from headstart.tokenizer.base import Tokenizer

RELEVANT = ("relevant", "entailment", "duplicate", "match", "similar", "true", "yes", "1", "label_1")
"""What data call the label of a pair that belongs together."""
PAIR_KINDS = ("classification", "regression")

TokenId = Annotated[int, Field(ge=0)]


class EmbeddingsBody(Body):
    """OpenAI's body."""

    input: str | Several[str] | Several[TokenId] | Several[Several[TokenId]] = Field(
        description="A text, texts, the ids of one, or lists of ids."
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1, description="Keep that many numbers, at length 1.")
    prompt_name: str | None = Field(
        None, description="Which of the folder's prompts is written before a text."
    )
    user: str | None = None


class Vector(BaseModel):
    """The vector of one text."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class TextUsage(BaseModel):
    """What was read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """Vectors in the order of the texts."""

    object: Literal["list"] = "list"
    data: list[Vector]
    model: str
    usage: TextUsage


class Document(Part):
    """A text to be ranked."""

    text: str


class RerankBody(Body):
    """A query and the texts to be ranked by it."""

    query: str
    documents: Several[str | Document]
    top_n: int | None = Field(None, ge=1)
    return_documents: bool = False


class Ranked(BaseModel):
    """One text and how well it fits the query."""

    index: int
    relevance_score: float
    document: Document | None = None


class RerankAnswer(BaseModel):
    """The texts, the best first. `score` says what was compared."""

    model: str
    score: str
    results: list[Ranked]
    usage: TextUsage


def embedding_routes(service: Service) -> APIRouter:
    """The routes of vectors."""
    router = service.router("embeddings")

    @router.post(EMBEDDINGS, responses={200: {"model": EmbeddingsAnswer}})
    async def embeddings(request: Request, body: EmbeddingsBody) -> Response:
        """A vector of length 1 for each text, of long texts in windows; a folder of sentence-transformers
        makes it of so many tokens and refuses longer texts."""
        ids = isinstance(body.input, list) and body.input and isinstance(body.input[0], int)
        given = listed([body.input] if ids else body.input, "input")
        async with service.asked(request, body, EMBEDDINGS) as asked:
            tokenizer = asked.resident.model.tokenizer
            texts = [one if isinstance(one, str) else text_of(tokenizer, one) for one in given]
            vectors, tokens = await asked.embed(texts, body.prompt_name)
            vectors = shortened(vectors, body.dimensions)
        data = [
            {"object": "embedding", "index": index, "embedding": encoded(vector, body.encoding_format)}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return json_answer({"object": "list", "data": data, "model": asked.description.name, "usage": usage})

    @router.post(RERANK, responses={200: {"model": RerankAnswer}})
    async def rerank(request: Request, body: RerankBody) -> Response:
        """Documents sorted by what a model of pairs says of query and document, else by the cosine of their
        vectors."""
        documents = [one if isinstance(one, str) else one.text for one in body.documents]
        listed([*documents, body.query], "documents")
        async with service.asked(request, body, RERANK) as asked:
            scored, scores, tokens = await relevance(asked, body.query, documents)
        best = sorted(range(len(documents)), key=lambda place: -scores[place])[: body.top_n]
        results: list[dict[str, Any]] = [{"index": place, "relevance_score": scores[place]} for place in best]
        if body.return_documents:
            for one in results:
                one["document"] = {"text": documents[one["index"]]}
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        found = {"model": asked.description.name, "score": scored, "results": results, "usage": usage}
        return json_answer(found)

    return router


def shortened(vectors: np.ndarray, dimensions: int | None) -> np.ndarray:
    """Vectors `[texts, D]`, or the first `dimensions` of their numbers, at length 1.

    Raises:
        RequestError: there are fewer.
    """
    if dimensions is None:
        return vectors
    if dimensions > vectors.shape[1]:
        raise RequestError(
            400,
            "unsupported_value",
            f"dimensions={dimensions} is more than the {vectors.shape[1]} there are",
            "dimensions",
        )
    kept = vectors[:, :dimensions]
    short: np.ndarray = kept / np.maximum(np.linalg.norm(kept, axis=1, keepdims=True), 1e-12)
    return short


def encoded(vector: np.ndarray, encoding: str) -> np.ndarray | str:
    """Numbers, or base64 of little-endian float32."""
    floats = np.ascontiguousarray(vector, dtype="<f4")
    return floats if encoding == "float" else base64.b64encode(floats.tobytes()).decode()


def text_of(tokenizer: Tokenizer | None, ids: list[int]) -> str:
    """The text that ids stand for, where the tokenizer makes these ids of it.

    Raises:
        RequestError: ids of another tokenizer, or cut in an unusual way: the vector would be another text's.
    """
    refused = "these ids are not how this model's tokenizer cuts a text; send the text"
    if tokenizer is None:
        raise RequestError(
            400, "unsupported_value", "this model reads words and has no ids; send the text", "input"
        )
    if any(index >= tokenizer.vocab_size for index in ids):
        raise RequestError(400, "unsupported_value", refused, "input")
    text = tokenizer.decode(ids)
    plain = [index for index in ids if index not in tokenizer.special.all]
    if tokenizer.encode(text) != plain or ids not in (plain, tokenizer.with_special(plain)[0]):
        raise RequestError(400, "unsupported_value", refused, "input")
    return text


async def relevance(
    asked: Asked, query: str, documents: Sequence[str], cuts: bool = False
) -> tuple[str, list[float], int]:
    """What the figures are, how well each document fits a query, and how many tokens the texts have; for
    `cuts` see `Asked.embed`."""
    description = asked.description
    if not documents:
        raise RequestError(400, "unsupported_value", "there is no text to rank; send at least one")
    if description.pairs and description.task in PAIR_KINDS:
        label = relevant_label(description)
        answers = await asked.compute("predict", None, [(query, document) for document in documents])
        tokens = await asked.count_tokens([query, *documents])
        if label is None:
            return "score", [one["score"] for one in answers], tokens
        return f"probability of {label!r}", [one["probabilities"][label] for one in answers], tokens
    vectors, tokens = await asked.embed([query, *documents], cuts=cuts)
    return "cosine", (vectors[1:] @ vectors[0]).tolist(), tokens


def relevant_label(description: Description) -> str | None:
    """The label that says that two texts belong together; None: the model gives a number.

    Raises:
        RequestError: none of its labels says so.
    """
    if description.task == "regression":
        return None
    names = {label.lower(): label for label in description.labels}
    found = next((names[name] for name in RELEVANT if name in names), None)
    if found is None and len(description.labels) == 2:
        found = description.labels[1]
    if found is None:
        known = ", ".join(description.labels)
        raise RequestError(
            400, "wrong_task", f"none of the labels {known} says that a document fits; ask /v1/classify"
        )
    return found
