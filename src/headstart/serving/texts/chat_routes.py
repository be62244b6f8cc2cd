"""`/v1/chat/completions`: a conversation gone on with; if asked in JSON of a schema, or as calls."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from headstart.errors import HeadstartError
from headstart.generation.chat import chat_ids
from headstart.generation.engine.request import Scored
from headstart.interchange.model_folder import LoadedModel
from headstart.serving.body import plain, refuse_long
from headstart.serving.request_error import RequestError
from headstart.serving.served_model import CHAT
from headstart.serving.service import Asked, Service, json_answer
from headstart.serving.texts.asked_texts import Texts, begin, finite, loaded_of, off_the_loop
from headstart.serving.texts.bodies import ChatAnswer, ChatBody, ChatMessage, Tool
from headstart.serving.texts.event_stream import EventStream
from headstart.serving.texts.function_calls import HERMES, calls_in, certain, choice_schema, forced, markup_of
from headstart.serving.texts.grammar import grammars_for, json_grammars
from headstart.serving.texts.writer import Written
from headstart.tokenizer.base import Tokenizer


class ChatText:
    """One answer in the making."""

    def __init__(self, tokenizer: Tokenizer, number: int, body: ChatBody, markup: str | None) -> None:
        """
        Args:
            markup: how the answer writes calls of functions; None: it cannot hold one.
        """
        self.tokenizer, self.number, self.body, self.markup = tokenizer, number, body, markup
        self.text = ""
        self.scored: list[Scored] = []
        self.finish: str | None = None

    def take(self, written: Written) -> None:
        """What the text grows by."""
        self.text += written.text
        if self.body.logprobs and written.scored is not None and not written.ended:
            self.scored.append(written.scored)
        self.finish = written.finish

    def message(self) -> dict[str, Any]:
        """What has come since this was last asked, as a message, without what may be the beginning of a call;
        sets why the text ended."""
        text, self.text = self.text, ""
        if self.markup is None:
            return {"content": text}
        if self.finish is None:
            sure = certain(text, self.markup)
            self.text = text[sure:]
            if sure and self.markup != HERMES:  # other markups are the whole of an answer, or none of it
                self.markup = None
            return {"content": text[:sure]}
        before, calls = calls_in(text, self.markup)
        if not calls:
            return {"content": text}
        if self.finish == "stop":
            self.finish = "tool_calls"
        if self.body.parallel_tool_calls is False:
            calls = calls[:1]
        return {"content": before or None, "tool_calls": calls}

    def logprobs(self) -> dict[str, Any] | None:
        """Of the tokens since this was last asked."""
        if not self.body.logprobs:
            return None
        scored, self.scored = self.scored, []
        return {"content": [self._told(one) for one in scored]}

    def _told(self, scored: Scored) -> dict[str, Any]:
        top = [self._token(token, logprob) for token, logprob in scored.top[: self.body.top_logprobs or 0]]
        return self._token(scored.token, scored.logprob or 0.0) | {"top_logprobs": top}

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        text = self.tokenizer.token_text(token)
        return {"token": text, "logprob": finite(logprob), "bytes": list(self.tokenizer.pieces[token])}


def chat_routes(service: Service) -> APIRouter:
    """The route of conversations."""
    router = service.router("texts")

    @router.post(CHAT, responses={200: {"model": ChatAnswer}})
    async def chat(request: Request, body: ChatBody) -> Response:
        """The assistant's next turn, as the model's chat template opens it. Text that users write never
        becomes a control token. `stream` gives server-sent events that end with `[DONE]`."""
        if body.top_logprobs and not body.logprobs:
            raise RequestError(400, "unsupported_value", "top_logprobs needs logprobs: true", "top_logprobs")
        async with AsyncExitStack() as stack:
            asked = await stack.enter_async_context(service.asked(request, body, CHAT))
            loaded = loaded_of(asked)
            markup = markup_of(loaded.tokenizer, body)
            tools = None if body.tool_choice == "none" else body.tools
            variables = body.chat_template_kwargs or {}
            prompt = await off_the_loop(chat_prompt, loaded, body.messages, tools, variables, True)
            longest = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
            top = (body.top_logprobs or 0) if body.logprobs else None
            grammars = await chat_grammars(asked, body)
            texts = begin(service, asked, body, [prompt], longest, "chatcmpl", top, False, grammars)
            stack.callback(texts.writer.cancel)
            rows = range(len(texts.writer.rows))
            answers = [ChatText(loaded.tokenizer, number, body, markup) for number in rows]
            if body.stream:
                events = streamed(texts, answers, body)
                return EventStream(events, stack.pop_all(), asked.record, service.settings.limits)
            async for piece in texts.writer.pieces():
                if piece is not None:
                    answers[piece[0]].take(piece[1])
            answer = texts.head("chat.completion")
            answer["choices"] = [whole(one) for one in answers]
            return json_answer(answer | {"usage": texts.usage})

    return router


def whole(answer: ChatText) -> dict[str, Any]:
    """An answer that has ended."""
    message = {"role": "assistant", "refusal": None} | answer.message()
    return {
        "index": answer.number,
        "message": message,
        "logprobs": answer.logprobs(),
        "finish_reason": answer.finish,
    }


async def streamed(
    texts: Texts, answers: list[ChatText], body: ChatBody
) -> AsyncIterator[dict[str, Any] | None]:
    """The role, what each answer grows by, why it ended, and the usage where it was asked for; None where
    there is nothing to tell yet. Calls of functions come as a whole, since only their end says what they are.
    """

    def event(number: int, delta: dict[str, Any], **more: Any) -> dict[str, Any]:
        choice = {"index": number, "delta": delta, "logprobs": None, "finish_reason": None} | more
        return texts.head("chat.completion.chunk") | {"choices": [choice]}

    for answer in answers:
        yield event(answer.number, {"role": "assistant", "content": ""})
    async for piece in texts.writer.pieces():
        if piece is None:
            yield None
            continue
        answer = answers[piece[0]]
        answer.take(piece[1])
        delta = answer.message()
        if answer.scored or any(delta.values()):
            for place, call in enumerate(delta.get("tool_calls", ())):
                call["index"] = place
            yield event(answer.number, delta, logprobs=answer.logprobs())
        elif answer.finish is None:
            yield None
        if answer.finish is not None:
            yield event(answer.number, {}, finish_reason=answer.finish)
    if body.stream_options is not None and body.stream_options.include_usage:
        yield texts.head("chat.completion.chunk") | {"choices": [], "usage": texts.usage}


async def chat_grammars(asked: Asked, body: ChatBody) -> Sequence[Any]:
    """What each answer has to keep to: the call of a function that is asked for, or a schema."""
    if forced(body):
        return await json_grammars(asked, choice_schema(body), body.n or 1, "tools")
    return await grammars_for(asked, body.response_format, body.n or 1)


def chat_prompt(
    loaded: LoadedModel,
    messages: Sequence[ChatMessage],
    tools: Sequence[Tool] | None,
    variables: Mapping[str, Any],
    opens: bool,
) -> list[int]:
    """The ids of a conversation.

    Raises:
        HeadstartError: the template refuses it, or a part of a message is no text.
    """
    said = [message_of(message) for message in messages]
    refuse_long(said, "messages")
    if reserved := set(variables) & {"messages", "tools", "add_generation_prompt", "tokenizer"}:
        raise HeadstartError(f"chat_template_kwargs may not set {', '.join(sorted(reserved))}")
    functions = [plain(tool) for tool in tools] if tools else None
    return chat_ids(loaded.tokenizer, said, opens, functions, **variables)


def message_of(message: ChatMessage) -> dict[str, Any]:
    """A message as templates read it: one text, and arguments of calls as objects."""
    content = message.content
    if isinstance(content, list):
        others = [part.type for part in content if part.type != "text" or part.text is None]
        if others:
            raise HeadstartError(
                f"a message has a part of the type {others[0]!r}; this model reads text alone"
            )
        content = "".join(part.text or "" for part in content)
    role = "system" if message.role == "developer" else message.role
    said: dict[str, Any] = {"role": role, "content": "" if content is None else content}
    for name in ("name", "tool_call_id", "reasoning_content"):
        if (value := getattr(message, name)) is not None:
            said[name] = value
    if message.tool_calls:
        said["tool_calls"] = [plain(call) for call in message.tool_calls]
        for call in said["tool_calls"]:
            call["function"]["arguments"] = arguments_of(call["function"]["arguments"])
    return said


def arguments_of(text: str) -> Any:
    """The arguments of a call, which clients send as JSON."""
    try:
        return orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        raise HeadstartError(f"the arguments of a call are no JSON: {text[:60]!r}") from None
