"""`/v1/completions`: prompts continued, answered or scored."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headstart.errors import HeadstartError
from headstart.generation.engine.request import Scored
from headstart.generation.text import opened
from headstart.generation.text_stream import TextStream
from headstart.interchange.model_folder import LoadedModel
from headstart.serving.body import listed
from headstart.serving.request_error import RequestError
from headstart.serving.served_model import COMPLETIONS
from headstart.serving.service import Service, json_answer
from headstart.serving.texts.asked_texts import Texts, begin, finite, loaded_of, off_the_loop
from headstart.serving.texts.bodies import MOST_PROMPTS, CompletionAnswer, CompletionBody
from headstart.serving.texts.event_stream import EventStream
from headstart.serving.texts.grammar import grammars_for
from headstart.serving.texts.writer import Written
from headstart.tokenizer.base import Tokenizer

USUAL_TOKENS = 16
"""OpenAI's `max_tokens` where none is given."""


@dataclass
class Logprobs:
    """Tokens with their log-probabilities, and where each begins in the text."""

    tokenizer: Tokenizer
    tokens: list[str] = field(default_factory=list)
    token_logprobs: list[float | None] = field(default_factory=list)
    top_logprobs: list[dict[str, float] | None] = field(default_factory=list)
    text_offset: list[int] = field(default_factory=list)

    def add(self, scored: Scored, offset: int) -> None:
        """One more token; its map holds the likeliest ones and itself, of equal texts the likelier."""
        own = self.tokenizer.token_text(scored.token)
        self.tokens.append(own)
        self.text_offset.append(offset)
        if scored.logprob is None:
            self.token_logprobs.append(None)
            self.top_logprobs.append(None)
            return
        self.token_logprobs.append(finite(scored.logprob))
        by_text: dict[str, float] = {}
        for token, logprob in [*scored.top, (scored.token, scored.logprob)]:
            text = self.tokenizer.token_text(token)
            by_text[text] = max(finite(logprob), by_text.get(text, finite(logprob)))
        self.top_logprobs.append(by_text)

    def take(self) -> dict[str, Any]:
        """What has come since this was last asked."""
        names = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
        found = {name: getattr(self, name) for name in names}
        for name in names:
            setattr(self, name, [])
        return found


@dataclass(frozen=True)
class Prompt:
    """A prompt as the model reads it."""

    ids: list[int]
    opening: int = 0
    """So many of them stand before the text that was sent, and are no part of its echo."""


class Choice:
    """One text in the making, as the route gives it."""

    def __init__(self, texts: Texts, number: int, prompt: Prompt, body: CompletionBody) -> None:
        self.texts, self.number, self.prompt, self.body = texts, number, prompt, body
        self.tokenizer = loaded_of(texts.asked).tokenizer
        self.logprobs = None if body.logprobs is None else Logprobs(self.tokenizer)
        self.text, self.length = "", 0
        """Not given yet, and the characters of all that came."""
        self.finish: str | None = None
        self._begun = False

    def take(self, written: Written) -> None:
        """What the text grows by; at first, with `echo`, also the prompt."""
        if not self._begun:
            self._begun = True
            if self.body.echo:
                self._echo()
        if self.logprobs is not None and written.scored is not None and (self.body.echo or not written.ended):
            self.logprobs.add(written.scored, self.length)
        self.text += written.text
        self.length += len(written.text)
        self.finish = written.finish

    def given(self) -> dict[str, Any]:
        """What has come since this was last asked."""
        text, self.text = self.text, ""
        logprobs = None if self.logprobs is None else self.logprobs.take()
        return {"index": self.number, "text": text, "logprobs": logprobs, "finish_reason": self.finish}

    def _echo(self) -> None:
        stream = TextStream()
        scores = self.texts.writer.handles[self.number].prompt_scores
        for place, token in enumerate(self.prompt.ids[self.prompt.opening :], self.prompt.opening):
            if self.logprobs is not None:
                self.logprobs.add(scores[place], self.length)
            text = stream.push(self.tokenizer.pieces[token])
            self.text += text
            self.length += len(text)
        rest = stream.finish()
        self.text += rest
        self.length += len(rest)


def completion_routes(service: Service) -> APIRouter:
    """The route of completions."""
    router = service.router("texts")

    @router.post(COMPLETIONS, responses={200: {"model": CompletionAnswer}})
    async def completions(request: Request, body: CompletionBody) -> Response:
        """Continue prompts with a decoder, or answer them with an encoder-decoder; with `echo` and `logprobs`
        score them too. `stream` gives server-sent events that end with `[DONE]`."""
        if body.best_of is not None and body.best_of > (body.n or 1):
            raise RequestError(
                400, "unsupported_value", "best_of above n is not supported; leave it out", "best_of"
            )
        async with AsyncExitStack() as stack:
            asked = await stack.enter_async_context(service.asked(request, body, COMPLETIONS))
            loaded = loaded_of(asked)
            if body.echo and loaded.model.config.architecture == "encoder-decoder":
                raise RequestError(
                    400,
                    "unsupported_value",
                    "an encoder-decoder does not continue its prompt; leave out echo",
                    "echo",
                )
            prompts: list[Prompt] = await off_the_loop(prompts_of, loaded, body.prompt)
            longest = USUAL_TOKENS if body.max_tokens is None else body.max_tokens
            scores = bool(body.echo) and body.logprobs is not None
            grammars = await grammars_for(asked, body.response_format, len(prompts) * (body.n or 1))
            ids = [prompt.ids for prompt in prompts]
            texts = begin(service, asked, body, ids, longest, "cmpl", body.logprobs, scores, grammars)
            stack.callback(texts.writer.cancel)
            rows = range(len(texts.writer.rows))
            choices = [Choice(texts, number, prompts[number // texts.n], body) for number in rows]
            if body.stream:
                events = streamed(texts, choices, body)
                return EventStream(events, stack.pop_all(), asked.record, service.settings.limits)
            async for piece in texts.writer.pieces():
                if piece is not None:
                    choices[piece[0]].take(piece[1])
            answer = texts.head("text_completion")
            answer["choices"] = [choice.given() for choice in choices]
            return json_answer(answer | {"usage": texts.usage})

    return router


async def streamed(
    texts: Texts, choices: list[Choice], body: CompletionBody
) -> AsyncIterator[dict[str, Any] | None]:
    """An event for each piece of text that is certain, None where none is, and the usage at the end where it
    was asked for."""
    async for piece in texts.writer.pieces():
        if piece is None:
            yield None
            continue
        choice = choices[piece[0]]
        choice.take(piece[1])
        if choice.text or choice.finish:
            yield texts.head("text_completion") | {"choices": [choice.given()]}
        else:
            yield None
    if body.stream_options is not None and body.stream_options.include_usage:
        yield texts.head("text_completion") | {"choices": [], "usage": texts.usage}


def prompts_of(loaded: LoadedModel, prompt: Any) -> list[Prompt]:
    """Prompts as the model reads them, special tokens and all; ids are taken as they are.

    Raises:
        RequestError: too many prompts, or an id that the model has not.
        HeadstartError: an empty prompt, to a model that has nothing to begin with.
    """
    ids = isinstance(prompt, list) and bool(prompt) and isinstance(prompt[0], int)
    prompts = listed([prompt] if ids else prompt, "prompt")
    if len(prompts) > MOST_PROMPTS:
        raise RequestError(400, "unsupported_value", f"send at most {MOST_PROMPTS} prompts at once", "prompt")
    return [
        prompt_of_text(loaded, one) if isinstance(one, str) else prompt_of_ids(loaded.tokenizer, one)
        for one in prompts
    ]


def prompt_of_text(loaded: LoadedModel, text: str) -> Prompt:
    """A text behind what the tokenizer puts before one; a text that begins with that, as evaluation tools
    write it out, has it already."""
    tokenizer = loaded.tokenizer
    ids = tokenizer.encode(text)
    if loaded.model.config.architecture == "encoder-decoder":
        return Prompt(tokenizer.with_special(ids)[0])
    read = opened(tokenizer, ids)
    opening = read[: len(read) - len(ids)]
    first = opening or tokenizer.opening or tokenizer.closing
    written = "".join(tokenizer.tokens[index] for index in first)
    if written and text.startswith(written):
        return Prompt([*first, *tokenizer.encode(text.removeprefix(written))])
    return Prompt(read, len(opening))


def prompt_of_ids(tokenizer: Tokenizer, ids: list[int]) -> Prompt:
    """Ids, where the model has all of them."""
    if not ids:
        raise HeadstartError("a prompt without tokens gives the model nothing to go on from")
    if max(ids) >= tokenizer.vocab_size:
        raise RequestError(
            400,
            "unsupported_value",
            f"{max(ids)} is no token of this model, which has {tokenizer.vocab_size}",
            "prompt",
        )
    return Prompt(ids)
