"""The Chat view: a conversation with a model that is served, and other ways from any of its tokens."""

from collections.abc import Callable, Generator, Iterator
from functools import lru_cache
from http.client import HTTPResponse
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, atomic
from headstart.output import output_file
from headstart.studio.chat_server import ChatServer, model_in
from headstart.studio.state import Studio, StudioState
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.published import chat_template

router = APIRouter()

CHAT, COMPLETIONS, TOKENIZE = "/v1/chat/completions", "/v1/completions", "/tokenize"
TOP = 8  # likeliest tokens that are told of each place
Text = Annotated[str, Field(max_length=100_000)]


class Turn(BaseModel):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


class ChatModel(BaseModel):
    """Who is talked to."""

    template: bool
    """Whether it has a chat template; else a text is gone on with."""
    functions: bool
    """Whether its template knows functions."""
    special: list[str]
    context: int | None


class Rendered(BaseModel):
    """What the model reads, token by token."""

    ids: list[int]
    texts: list[str]
    special: list[bool]


class Ask(BaseModel):
    """A conversation, or a text, to be gone on with."""

    at: str
    messages: list[Turn] = Field([], max_length=400)
    """Empty: the text alone."""
    text: Text = ""
    prefix: list[str] = Field([], max_length=20_000)
    """Tokens with which the answer begins, as an earlier answer had them: another way from there."""
    temperature: float = Field(0.7, ge=0, le=10)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, le=100_000)
    min_p: float = Field(0.0, ge=0, le=1)
    repetition_penalty: float = Field(1.0, gt=0, le=10)
    max_tokens: int = Field(120, ge=1, le=4096)
    seed: int = Field(0, ge=0, le=2**53)
    tools: list[dict[str, object]] = Field([], max_length=32)
    """Functions, as OpenAI's API has them."""
    must_call: bool = False
    json_schema: dict[str, object] | None = Field(None, alias="schema")


class Written(BaseModel):
    """One token of an answer, or its end."""

    text: str
    """The token, as people read it."""
    content: str = ""
    """What the answer grows by: a character comes with the last of its tokens."""
    logprob: float | None = None
    top: list[tuple[str, float]] = []
    finish: str | None = None
    calls: list[dict[str, object]] = []


class Answer(BaseModel):
    """A whole answer."""

    pieces: list[Written]


class Save(BaseModel):
    """Conversations to learn from."""

    out: str = Field(min_length=1, max_length=200)
    """Relative to the studio's first folder."""
    conversations: list[list[Turn]] = Field(min_length=1, max_length=1000)


class Saved(BaseModel):
    """Where they are."""

    at: str
    conversations: int


@router.get("/chat/model")
def model(studio: StudioState, at: str) -> ChatModel:
    """Who is talked to; its process starts at the first question."""
    tokenizer = _tokenizer(model_in(studio.folders.find(at)))
    template = chat_template(tokenizer.config, False)
    functions = chat_template(tokenizer.config, True) or ""
    context = tokenizer.config.get("model_max_length")
    return ChatModel(
        template=template is not None, functions="tool" in functions,
        special=[tokenizer.tokens[index] for index in sorted(tokenizer.special.all)],
        context=context if isinstance(context, int) else None,
    )  # fmt: skip


@router.post("/chat/rendered")
def rendered(studio: StudioState, asked: Ask) -> Rendered:
    """The row that the model reads before it answers."""
    folder = studio.folders.find(asked.at)
    studio.chat.open(folder)
    tokenizer = _tokenizer(model_in(folder))
    ids = _read(studio.chat, asked)
    return Rendered(
        ids=ids, texts=[tokenizer.token_text(index) for index in ids],
        special=[index in tokenizer.special.all for index in ids],
    )  # fmt: skip


@router.post("/chat/stream")
def stream(studio: StudioState, asked: Ask) -> StreamingResponse:
    """The answer as it is written, a JSON line a piece. Whoever leaves stops it."""
    pieces = _pieces(studio, asked)
    first = next(pieces, None)  # a refusal is an answer of its own

    def lines() -> Iterator[bytes]:
        try:
            if first is not None:
                yield first.model_dump_json().encode() + b"\n"
                for piece in pieces:
                    yield piece.model_dump_json().encode() + b"\n"
        finally:
            pieces.close()

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@router.post("/chat/answer")
def answer(studio: StudioState, asked: Ask) -> Answer:
    """The same answer as a whole: with its seed it is the same text again."""
    return Answer(pieces=list(_pieces(studio, asked)))


@router.post("/chat/save")
def save(studio: StudioState, asked: Save) -> Saved:
    """Write conversations as a file that `headstart finetune --task chat` learns from."""
    studio.may_change()
    root = studio.folders.roots[0]
    out = (root / asked.out).resolve()
    if not out.is_relative_to(root) or out.suffix != ".jsonl":
        raise HeadstartError(f"{asked.out} is no name in the studio's folder that ends in .jsonl; choose one")
    lacking = [talk for talk in asked.conversations if not any(turn.role == "assistant" for turn in talk)]
    if lacking:
        raise HeadstartError("a conversation without an answer teaches nothing; ask the model first")
    rows = [{"messages": [turn.model_dump() for turn in talk]} for talk in asked.conversations]
    with output_file(out) as place, atomic(place) as made:
        made.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))
    return Saved(at=studio.folders.address(out), conversations=len(rows))


def _pieces(studio: Studio, asked: Ask) -> Generator[Written, None, None]:
    """The pieces of an answer, from the server's events."""
    folder = studio.folders.find(asked.at)
    if asked.messages and chat_template(_tokenizer(model_in(folder)).config, False) is None:
        raise HeadstartError(f"{asked.at} has no chat template; give it a text, with which it goes on")
    studio.chat.open(folder)
    settings: JSONObject = asked.model_dump(
        include={
            "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens", "seed",
        }
    )  # fmt: skip
    settings |= {"stream": True}
    if asked.json_schema is not None:
        wanted = {"name": "answer", "schema": asked.json_schema}
        settings["response_format"] = {"type": "json_schema", "json_schema": wanted}
    if asked.messages and not asked.prefix:
        messages = [turn.model_dump() for turn in asked.messages]
        body = settings | {"messages": messages, "logprobs": True, "top_logprobs": TOP}
        if asked.tools:
            body |= {"tools": asked.tools, "tool_choice": "required" if asked.must_call else "auto"}
        return _events(studio.chat.post(CHAT, body), _of_chat)
    prompt: Any = asked.text + "".join(asked.prefix)
    if asked.messages:
        if asked.tools:
            raise HeadstartError("another way of an answer that may call functions cannot be gone; ask anew")
        prompt = _read(studio.chat, asked) + _ids(_tokenizer(model_in(folder)), asked.prefix)
    body = settings | {"prompt": prompt, "logprobs": TOP}
    return _events(studio.chat.post(COMPLETIONS, body), _of_text)


def _events(
    response: HTTPResponse, read: Callable[[JSONObject], Iterator[Written]]
) -> Generator[Written, None, None]:
    with response:
        for line in response:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            event = orjson.loads(line[6:])
            if "choices" not in event:
                raise HeadstartError(str(event.get("error", event).get("message", "the answer broke off")))
            for choice in event["choices"]:
                yield from read(choice)


def _of_chat(choice: JSONObject) -> Iterator[Written]:
    delta, tokens = choice["delta"], (choice.get("logprobs") or {}).get("content") or []
    for place, one in enumerate(tokens, 1):
        top = [(other["token"], other["logprob"]) for other in one["top_logprobs"]]
        content = (delta.get("content") or "") if place == len(tokens) else ""
        yield Written(text=one["token"], content=content, logprob=one["logprob"], top=top)
    calls = [one["function"] for one in delta.get("tool_calls") or []]
    rest = "" if tokens else delta.get("content") or ""
    if calls or rest or choice["finish_reason"]:
        yield Written(text="", content=rest, finish=choice["finish_reason"], calls=calls)


def _of_text(choice: JSONObject) -> Iterator[Written]:
    scores = choice.get("logprobs") or {}
    tokens, logprobs, tops = (scores.get(name) or [] for name in ("tokens", "token_logprobs", "top_logprobs"))
    for place, (text, logprob, top) in enumerate(zip(tokens, logprobs, tops, strict=True), 1):
        content = choice["text"] if place == len(tokens) else ""
        likeliest = sorted((top or {}).items(), key=lambda one: -one[1])
        yield Written(text=text, content=content, logprob=logprob, top=likeliest)
    rest = "" if tokens else choice["text"]
    if rest or choice["finish_reason"]:
        yield Written(text="", content=rest, finish=choice["finish_reason"])


def _read(server: ChatServer, asked: Ask) -> list[int]:
    """The ids of the conversation as its template opens the answer, or of the text."""
    said: JSONObject = {"messages": [turn.model_dump() for turn in asked.messages]}
    found = server.json(TOKENIZE, said if asked.messages else {"prompt": asked.text})
    ids: list[int] = found["tokens"]
    return ids


def _ids(tokenizer: Tokenizer, texts: list[str]) -> list[int]:
    """The tokens of these texts.

    Raises:
        HeadstartError: a part of a character, whose token cannot be told by what it looks like.
    """
    known = _by_text(tokenizer)
    for text in texts:
        if text not in known:
            raise HeadstartError(
                f"{text!r} is a part of a character, and several tokens look like it; branch at another place"
            )
    return [known[text] for text in texts]


@lru_cache(maxsize=4)
def _by_text(tokenizer: Tokenizer) -> dict[str, int]:
    found = {}
    for index in reversed(range(tokenizer.vocab_size)):
        text = tokenizer.token_text(index)
        if index not in tokenizer.special.all and text and "\ufffd" not in text:
            found[text] = index
    return found


@lru_cache(maxsize=4)
def _opened(folder: Path, changed: int) -> Tokenizer:
    return open_tokenizer(folder)


def _tokenizer(folder: Path) -> Tokenizer:
    return _opened(folder, folder.stat().st_mtime_ns)
