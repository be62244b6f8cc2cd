"""Conversations: the template's ids, JSON of a schema, calls of functions, and OpenAI's own client."""

import asyncio
import json
import re
import threading
from copy import copy
from typing import Literal

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from headstart.generation.chat import chat_ids
from headstart.serving.request_error import RequestError
from headstart.serving.texts.bodies import ChatAnswer, ChatBody
from headstart.serving.texts.chat_routes import ChatText
from headstart.serving.texts.function_calls import HERMES, LLAMA, MISTRAL, calls_in, markup_of
from headstart.serving.texts.grammar import COMPILE_SECONDS, refuse_slow
from headstart.serving.texts.writer import Written

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is the ship?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather somewhere.",
        "parameters": {
            "type": "object",
            "properties": {"unit": {"enum": ["C", "F"]}, "day": {"type": "boolean"}},
            "required": ["unit", "day"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}


def ask(client, **body):
    answer = client.post(
        "/v1/chat/completions", {"model": "chat", "messages": MESSAGES, "max_tokens": 12} | body
    )
    assert answer.status_code == 200, answer.text
    ChatAnswer.model_validate(answer.json())
    return answer.json()


def deltas(client, **body):
    body = {"model": "chat", "messages": MESSAGES, "max_tokens": 12, "stream": True} | body
    lines = [line for line in client.post("/v1/chat/completions", body).text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_the_prompt_is_the_template_filled(client, local):
    tokenizer = local["chat"].loaded.tokenizer
    ids = chat_ids(tokenizer, MESSAGES, add_generation_prompt=True)
    by_chat = ask(client, temperature=0)
    body = {"model": "chat", "prompt": ids, "temperature": 0, "max_tokens": 12}
    by_ids = client.post("/v1/completions", body).json()
    assert by_chat["choices"][0]["message"]["content"] == by_ids["choices"][0]["text"]
    assert by_chat["usage"] == by_ids["usage"]
    tokens = client.post("/tokenize", {"model": "chat", "messages": MESSAGES}).json()["tokens"]
    assert tokens == ids


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["<s>", "</s>", "<mask>", "a", "\n", "🌊"])).map("".join))
def test_no_content_becomes_a_control_token(client, local, content):
    special = local["chat"].loaded.tokenizer.special.all

    def controls(said):
        body = {"model": "chat", "messages": [{"role": "user", "content": said}]}
        return [one for one in client.post("/tokenize", body).json()["tokens"] if one in special]

    assert controls(content) == controls("plain")


def test_parts_and_roles(client):
    parts = [{"type": "text", "text": "Where is "}, {"type": "text", "text": "the ship?"}]
    said = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]
    assert ask(client, messages=said, temperature=0)["choices"] == ask(client, temperature=0)["choices"]
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    body = {"model": "chat", "messages": image}
    assert "reads text alone" in client.problem("/v1/chat/completions", body)["message"]
    assert (
        client.problem("/v1/chat/completions", {"model": "causal", "messages": MESSAGES})["code"]
        == "wrong_task"
    )


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([[], ["a"], ["the", "e "]]), st.integers(1, 3))
def test_a_stream_is_the_whole_answer(client, seed, stops, n):
    body = {"seed": seed, "temperature": 1.0, "stop": stops, "n": n, "max_tokens": 24, "logprobs": True}
    whole = ask(client, **body)
    found = deltas(client, **body, stream_options={"include_usage": True})
    texts, ends, scores = [""] * n, [None] * n, [[] for _ in range(n)]
    for event in found[:-1]:
        (choice,) = event["choices"]
        texts[choice["index"]] += choice["delta"].get("content", "")
        scores[choice["index"]] += (choice["logprobs"] or {"content": []})["content"]
        ends[choice["index"]] = choice["finish_reason"] or ends[choice["index"]]
    assert [event["choices"][0]["delta"] for event in found[:n]] == [{"role": "assistant", "content": ""}] * n
    assert texts == [one["message"]["content"] for one in whole["choices"]]
    assert scores == [one["logprobs"]["content"] for one in whole["choices"]]
    assert ends == [one["finish_reason"] for one in whole["choices"]]
    assert found[-1]["usage"] == whole["usage"]


def test_logprobs(client):
    (choice,) = ask(client, logprobs=True, top_logprobs=2, temperature=0)["choices"]
    for token in choice["logprobs"]["content"]:
        assert len(token["top_logprobs"]) == 2
        assert token["logprob"] == token["top_logprobs"][0]["logprob"]
    written = b"".join(bytes(token["bytes"]) for token in choice["logprobs"]["content"])
    assert written.decode("utf-8", "replace") == choice["message"]["content"]
    body = {"model": "chat", "messages": MESSAGES, "top_logprobs": 2}
    assert client.problem("/v1/chat/completions", body)["param"] == "top_logprobs"


CLOSED = {"type": "object", "additionalProperties": False}
SCHEMAS = [
    CLOSED | {"properties": {"a": {"type": "boolean"}, "b": {"enum": ["x", "y"]}}, "required": ["a", "b"]},
    {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "minItems": 2, "maxItems": 3},
    {"const": {"deep": [1, "zwei", None]}},
    {"type": "string", "pattern": "^[ab]{2,4}$"},
    {"anyOf": [{"const": "left"}, {"const": "right"}]},
    CLOSED | {"properties": {"s": {"type": "string", "maxLength": 5}}, "required": ["s"]},
]


def format_of(schema):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_json_of_a_schema(client, schema):
    answer = ask(client, response_format=format_of(schema), max_tokens=120, n=4, seed=3, temperature=1.5)
    ended = [one["message"]["content"] for one in answer["choices"] if one["finish_reason"] == "stop"]
    assert ended
    for text in ended:
        value = json.loads(text)
        if "const" in schema:
            assert value == schema["const"]
        elif schema.get("type") == "array":
            assert 2 <= len(value) <= 3
            assert all(0 <= one <= 9 for one in value)
        elif "pattern" in schema:
            assert re.search(schema["pattern"], value)
        elif "anyOf" in schema:
            assert value in ("left", "right")
        else:
            assert set(value) == set(schema["required"])
    whole = client.post(
        "/v1/completions",
        {"model": "chat", "prompt": "x", "max_tokens": 120, "response_format": format_of(schema), "seed": 3},
    ).json()["choices"][0]
    if whole["finish_reason"] == "stop":
        json.loads(whole["text"])


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"type": "string", "pattern": "("},
        {"$ref": "#/nowhere"},
        {"allOf": [{"type": "string"}, {"type": "number"}]},
        {"description": "x" * (65 << 10)},
        {"properties": {"a": {"properties": {"a": 1}}}},
    ],
    ids=lambda schema: str(schema)[:40],
)
def test_schemas_that_cannot_be_kept_to_are_refused(client, schema):
    body = {"model": "chat", "messages": MESSAGES, "response_format": format_of(schema)}
    assert client.problem("/v1/chat/completions", body)["code"] == "invalid_schema"


def test_a_grammar_that_takes_too_long_is_given_up(monkeypatch):
    slow = (
        f"import resource\nresource.setrlimit(resource.RLIMIT_CPU, ({COMPILE_SECONDS}, {COMPILE_SECONDS}))\n"
    )
    monkeypatch.setattr("headstart.serving.texts.grammar.COMPILE", slow + "while True: pass")
    with pytest.raises(RequestError, match="takes more than"):
        refuse_slow("x")


def test_slow_schemas_keep_nothing_else_waiting(client, monkeypatch):
    """However many there are; and those whose clients left are not compiled."""
    begun, go_on, compiled = threading.Event(), threading.Event(), []

    def slow(grammar):
        compiled.append(grammar)
        begun.set()
        assert go_on.wait(600)

    monkeypatch.setattr("headstart.serving.texts.grammar.refuse_slow", slow)
    ask(client, max_tokens=1)
    body = {"model": "chat", "messages": MESSAGES, "max_tokens": 9}

    async def everything():
        asked = [
            asyncio.ensure_future(
                client.http.post(
                    "/v1/chat/completions",
                    json=body | {"response_format": format_of({"const": f"slow {one}"})},
                )
            )
            for one in range(100)
        ]
        await asyncio.to_thread(begun.wait, 60)
        said = await client.http.post("/v1/chat/completions", json=body)
        for one in asked[1:]:
            one.cancel()
        await asyncio.wait(asked[1:])
        go_on.set()
        return said, await asked[0]

    said, first = client.run(everything())
    assert (said.status_code, first.status_code) == (200, 200)
    assert len(compiled) == 1


def test_a_call_that_has_to_be_made(client):
    body = {"tools": [WEATHER, CLOCK], "max_tokens": 150, "temperature": 1.0, "seed": 1}
    for choice_of_tool in ("required", {"type": "function", "function": {"name": "weather"}}):
        (choice,) = ask(client, **body, tool_choice=choice_of_tool)["choices"]
        assert choice["finish_reason"] == "tool_calls"
        (call,) = choice["message"]["tool_calls"]
        assert choice["message"]["content"] is None
        arguments = json.loads(call["function"]["arguments"])
        if call["function"]["name"] == "weather":
            assert set(arguments) == {"unit", "day"}
        else:
            assert (call["function"]["name"], arguments) == ("clock", {})
    found = deltas(client, **body, tool_choice="required")
    calls = [
        event["choices"][0]["delta"]["tool_calls"]
        for event in found
        if "tool_calls" in event["choices"][0]["delta"]
    ]
    assert calls[0][0]["index"] == 0
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"
    cut = ask(client, **body | {"max_tokens": 3}, tool_choice="required")["choices"][0]
    assert cut["finish_reason"] == "length"
    assert "tool_calls" not in cut["message"]


class Stop(BaseModel):
    kind: Literal["harbour", "island"]


class Route(BaseModel):
    stops: list[Stop] = Field(min_length=1, max_length=2)


class Island(BaseModel):
    warm: bool


class Trip(BaseModel):
    stops: list[Island] = Field(min_length=1, max_length=1)


NODE = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "$ref": "#/definitions/Node",
    "definitions": {
        "Node": {
            "type": "object",
            "properties": {"next": {"anyOf": [{"type": "null"}, {"$ref": "#/definitions/Node"}]}},
            "required": ["next"],
        }
    },
}
"""As tools for TypeScript write a schema that names itself."""


def test_functions_may_name_parts_of_their_schemas(client):
    """Several have parts of the same name, as the tools that are made of classes do."""
    made = {"Route": Route, "Trip": Trip}
    tools = [
        {"type": "function", "function": {"name": name, "parameters": one.model_json_schema()}}
        for name, one in made.items()
    ]
    tools[1]["function"]["parameters"]["$defs"] = {"Stop": Island.model_json_schema()}
    tools[1]["function"]["parameters"]["properties"]["stops"]["items"] = {"$ref": "#/$defs/Stop"}
    node = {"type": "function", "function": {"name": "node", "parameters": NODE}}
    called = set()
    for seed in range(6):
        for choice_of_tool in ("required", {"type": "function", "function": {"name": "node"}}):
            body = {"tools": [*tools, node], "tool_choice": choice_of_tool, "max_tokens": 180, "seed": seed}
            (choice,) = ask(client, **body)["choices"]
            if choice["finish_reason"] == "length":
                continue
            (call,) = choice["message"]["tool_calls"]
            called.add(call["function"]["name"])
            if call["function"]["name"] in made:
                made[call["function"]["name"]].model_validate_json(call["function"]["arguments"])
            else:
                assert set(json.loads(call["function"]["arguments"])) == {"next"}
    assert len(called) > 1
    broken = {"name": "f", "parameters": {"$ref": "#/$defs/None"}}
    body = {"model": "chat", "messages": MESSAGES, "tools": [{"function": broken}], "tool_choice": "required"}
    assert client.problem("/v1/chat/completions", body)["param"] == "tools"


def test_tools_that_cannot_be_meant(client):
    body = {"model": "chat", "messages": MESSAGES, "tools": [WEATHER]}
    assert "no markup" in client.problem("/v1/chat/completions", body)["message"]
    named = body | {"tool_choice": {"type": "function", "function": {"name": "wether"}}}
    assert "did you mean 'weather'" in client.problem("/v1/chat/completions", named)["message"]
    without = {"model": "chat", "messages": MESSAGES, "tool_choice": "required"}
    assert client.problem("/v1/chat/completions", without)["param"] == "tool_choice"
    assert ask(client, tools=[WEATHER], tool_choice="none")["choices"][0]["message"].get("tool_calls") is None


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (HERMES, 'Well.\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'),
        (HERMES, '<tool_call>{"name": "f", "arguments": {"a": 1}}'),
        (MISTRAL, '[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}}]'),
        (LLAMA, '<|python_tag|>{"name": "f", "parameters": {"a": 1}}'),
    ],
)
def test_markups_of_calls(markup, text):
    before, (call,) = calls_in(text, markup)
    assert call["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert before == ("Well." if text.startswith("Well") else "")
    assert calls_in("A plain answer.", markup)[1] == []
    (call,) = calls_in(text.replace('{"a": 1}', "null"), markup)[1]
    assert call["function"]["arguments"] == "{}"


@pytest.mark.parametrize(("parallel", "count"), [(None, 2), (True, 2), (False, 1)])
def test_what_is_said_before_calls_stays_and_one_call_is_one(local, parallel, count):
    body = ChatBody.model_validate(
        {"model": "chat", "messages": MESSAGES, "tools": [CLOCK], "parallel_tool_calls": parallel}
    )
    answer = ChatText(local["chat"].loaded.tokenizer, 0, body, HERMES)
    call = '<tool_call>{"name": "clock", "arguments": {}}</tool_call>'
    answer.take(Written(f"One moment.\n{call}\n{call}", None, "stop"))
    message = answer.message()
    assert message["content"] == "One moment."
    assert len(message["tool_calls"]) == count
    assert answer.finish == "tool_calls"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (HERMES, "  Well, <b> and <tool. \n\n<tool_call>{CALL}</tool_call>"),
        (HERMES, '<tool_call>{CALL}</tool_call>\n<tool_call>{"name": "g"</tool_call>'),
        (HERMES, "Nothing is called. <tool_call"),
        (MISTRAL, "[TOOL_CALLS][{CALL}]"),
        (MISTRAL, " See [1] and [2]."),
        (MISTRAL, "[1] says so."),
        (LLAMA, ' {"name": "Ada", "age": 36}'),
        (LLAMA, "{CALL}"),
        (LLAMA, " No {CALL}"),
    ],
)
@settings(max_examples=20)
@given(data=st.data())
def test_a_stream_tells_what_is_no_call_at_once_and_in_all_the_same(client, local, markup, text, data):
    text = text.replace("{CALL}", '{"name": "clock", "arguments": {"a": [1]}}')
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1))))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    body = ChatBody.model_validate({"model": "chat", "messages": MESSAGES, "tools": [CLOCK]})

    def messages(pieces):
        answer = ChatText(local["chat"].loaded.tokenizer, 0, body, markup)
        ends = [None] * (len(pieces) - 1) + ["stop"]
        for piece, end in zip(pieces, ends, strict=True):
            answer.take(Written(piece, None, end))
            yield answer.message()

    def known(said):
        calls = [call["function"] for message in said for call in message.get("tool_calls", ())]
        return "".join(message["content"] or "" for message in said), calls

    streamed = list(messages(pieces))
    (whole,) = messages([text])
    assert known(streamed) == known([whole])
    assert whole["content"] == text or whole["tool_calls"]
    (*early, _) = messages([*text, ""])
    if "tool_calls" not in whole and text[0] not in "[<{" and "{" not in text[:2]:
        said = known(early)[0]
        assert text.startswith(said)
        assert len(said) >= len(text) - len(" <tool_call")


def test_templates_that_call_in_other_ways_are_refused(local):
    """Of the published models' templates, the line that shows how a call is written."""
    body = ChatBody.model_validate({"messages": MESSAGES, "tools": [CLOCK]})
    known = {
        HERMES: [
            '<tool_call>\\n{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}\\n</tool_call>',
            '<tool_call>\n{"arguments": <args-dict>, "name": <function-name>}\n</tool_call>',
            '{{ \'<tool_call>\\n{"name": "\' }}{{ tool_call.name }}',
        ],
        MISTRAL: ['{{ "[TOOL_CALLS] [" }}'],
        LLAMA: ['Environment: ipython\\n{"name": function name, "parameters": dictionary}'],
        None: [
            "<tool_call>\n<function=example>\n<parameter=a>1</parameter>\n</function>\n</tool_call>",
            "<tool_call>{function-name}\n<arg_key>{arg-key-1}</arg_key>",
            "{{ '[TOOL_CALLS]' + name + '[ARGS]' + arguments }}",
        ],
    }
    for markup, templates in known.items():
        for template in templates:
            tokenizer = copy(local["chat"].loaded.tokenizer)
            tokenizer.config = tokenizer.config | {"chat_template": template}
            if markup is not None:
                assert markup_of(tokenizer, body) == markup
            else:
                with pytest.raises(RequestError, match="no markup"):
                    markup_of(tokenizer, body)


def test_earlier_calls_in_a_conversation(client):
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    said = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None, "annotations": []},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]
    ask(client, messages=said)
    call["function"]["arguments"] = "{"
    body = {"model": "chat", "messages": said}
    assert "no JSON" in client.problem("/v1/chat/completions", body)["message"]


# --- OpenAI's client ------------------------------------------------------------------------------


class Answer(BaseModel):
    sure: bool
    word: Literal["ship", "garden"]


@pytest.fixture
def official(client):
    """Its asynchronous client inside the process."""
    http = httpx.AsyncClient(transport=httpx.ASGITransport(client.application))
    return openai.AsyncOpenAI(base_url="http://localhost/v1", api_key="none", http_client=http, max_retries=0)


def test_openai_client_round_trips(client, official):
    async def everything():
        models = [model.id async for model in await official.models.list()]
        whole = await official.chat.completions.create(model="chat", messages=MESSAGES, seed=4, max_tokens=9)
        stream = await official.chat.completions.create(
            model="chat",
            messages=MESSAGES,
            seed=4,
            max_tokens=9,
            stream=True,
            stream_options={"include_usage": True},
        )
        parts = [chunk async for chunk in stream]
        text = await official.completions.create(
            model="causal", prompt="The", max_tokens=4, logprobs=2, echo=True
        )
        vectors = await official.embeddings.create(model="vectors", input=["a", "b"])
        parsed = await official.chat.completions.parse(
            model="chat", messages=MESSAGES, response_format=Answer, max_tokens=200, seed=1
        )
        return models, whole, parts, text, vectors, parsed

    models, whole, parts, text, vectors, parsed = client.run(everything())
    assert "chat" in models
    joined = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert joined == whole.choices[0].message.content
    assert parts[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert text.choices[0].text.startswith("The")
    assert len(vectors.data[0].embedding) == 32
    assert isinstance(parsed.choices[0].message.parsed, Answer)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (openai.NotFoundError, {"model": "chta"}),
        (openai.BadRequestError, {"temperature": -1}),
        (openai.BadRequestError, {"extra_body": {"no_such_field": 1}}),
    ],
)
def test_errors_are_the_clients_exceptions(client, official, kind, body):
    with pytest.raises(kind) as caught:
        client.run(official.chat.completions.create(**{"model": "chat", "messages": MESSAGES} | body))
    assert caught.value.body["message"]


def test_a_body_with_every_field(client):
    """Neutral values of all known fields are taken."""
    body = dict.fromkeys(ChatBody.model_fields)
    body |= {"model": "chat", "messages": MESSAGES, "max_tokens": 1, "store": False, "n": 1}
    assert client.post("/v1/chat/completions", body).status_code == 200
