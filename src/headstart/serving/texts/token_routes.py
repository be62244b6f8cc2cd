"""Texts as tokens and back, as evaluation tools ask for them."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from headstart.generation.chat import special_tokens
from headstart.serving.body import Body, Several, refuse_long
from headstart.serving.embedding_routes import TokenId
from headstart.serving.request_error import RequestError
from headstart.serving.served_model import TOKENIZE
from headstart.serving.service import Service, json_answer
from headstart.serving.texts.asked_texts import loaded_of, off_the_loop
from headstart.serving.texts.bodies import ChatMessage
from headstart.serving.texts.chat_routes import chat_prompt
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.published import chat_template


class TokenizeBody(Body):
    """A text, or a conversation."""

    prompt: str | None = None
    messages: Several[ChatMessage] | None = Field(None, min_length=1)
    add_special_tokens: bool = Field(True, description="Of a text: with what the model reads around it.")
    add_generation_prompt: bool = Field(True, description="Of a conversation: with what opens the answer.")
    return_token_strs: bool | None = None


class TokenizeAnswer(BaseModel):
    """The ids, and the characters of the text that each stands for; special tokens stand for none."""

    count: int
    max_model_len: int | None
    tokens: list[int]
    offsets: list[Annotated[list[int], Field(min_length=2, max_length=2)]] | None
    token_strs: list[str] | None


class DetokenizeBody(Body):
    """Ids."""

    tokens: Several[TokenId]


class DetokenizeAnswer(BaseModel):
    """Their text."""

    prompt: str


class TokenizerAnswer(BaseModel):
    """What a tool has to know of the tokenizer."""

    vocab_size: int
    max_model_len: int | None
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    bos_token_id: int | None
    eos_token_id: int | None
    pad_token_id: int | None
    chat_template: str | None


def token_routes(service: Service) -> APIRouter:
    """The routes of tokens."""
    router = service.router("tokens")

    @router.post(TOKENIZE, responses={200: {"model": TokenizeAnswer}})
    async def tokenize(request: Request, body: TokenizeBody) -> Response:
        """A text's ids, or those of a conversation by the model's chat template."""
        if (body.prompt is None) == (body.messages is None):
            raise RequestError(400, "missing_field", "give either prompt or messages", "prompt")
        refuse_long(body.prompt, "prompt")
        async with service.asked(request, body, TOKENIZE) as asked:
            loaded = loaded_of(asked)
            tokenizer = loaded.tokenizer
            offsets: list[list[int]] | None = None
            if body.prompt is not None:
                ids, offsets = await off_the_loop(
                    with_offsets, tokenizer, body.prompt, body.add_special_tokens
                )
            else:
                assert body.messages is not None
                ids = await off_the_loop(
                    chat_prompt, loaded, body.messages, None, {}, body.add_generation_prompt
                )
        names = [tokenizer.token_text(index) for index in ids] if body.return_token_strs else None
        found = {"count": len(ids), "max_model_len": asked.description.context, "tokens": ids}
        return json_answer(found | {"offsets": offsets, "token_strs": names})

    @router.post("/detokenize", responses={200: {"model": DetokenizeAnswer}})
    async def detokenize(request: Request, body: DetokenizeBody) -> Response:
        """The text of ids; special tokens vanish."""
        async with service.asked(request, body, TOKENIZE) as asked:
            tokenizer = loaded_of(asked).tokenizer
            if any(index >= tokenizer.vocab_size for index in body.tokens):
                raise RequestError(
                    400,
                    "unsupported_value",
                    f"the model has tokens 0 to {tokenizer.vocab_size - 1}",
                    "tokens",
                )
            return json_answer({"prompt": await off_the_loop(tokenizer.decode, body.tokens)})

    @router.get("/tokenizer_info", responses={200: {"model": TokenizerAnswer}})
    async def tokenizer_info(request: Request, model: str | None = None) -> Response:
        """Special tokens and sizes."""
        async with service.asked(request, Body(model=model), TOKENIZE) as asked:
            tokenizer = loaded_of(asked).tokenizer
        said, special = special_tokens(tokenizer), tokenizer.special
        answer: dict[str, Any] = {
            "vocab_size": tokenizer.vocab_size,
            "max_model_len": asked.description.context,
        }
        answer |= {name: said.get(name) for name in ("bos_token", "eos_token", "pad_token")}
        answer |= {"bos_token_id": special.start, "eos_token_id": special.end, "pad_token_id": special.pad}
        return json_answer(answer | {"chat_template": chat_template(tokenizer.config, False)})

    return router


def with_offsets(tokenizer: Tokenizer, text: str, special: bool) -> tuple[list[int], list[list[int]]]:
    """A text's ids with the characters of each; with special tokens, which stand for none."""
    ids, spans = tokenizer.encode_spans(text)
    places = [[int(start), int(end)] for start, end in spans]
    if not special:
        return ids, places
    framed = tokenizer.with_special(ids)[0]
    before = tokenizer.with_special([])[0]
    front = next((count for count in range(len(before) + 1) if framed[count : count + len(ids)] == ids), 0)
    behind = len(framed) - front - len(ids)
    return framed, [[0, 0]] * front + places + [[len(text), len(text)]] * behind
