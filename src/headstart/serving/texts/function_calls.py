"""Calls of functions: which have to be made, and how models write those that they make of themselves.

Where a call has to be made (`tool_choice` is `required` or names a function), the text is JSON of a schema
made of the functions, so that any model gives valid calls. Where it may be made (`auto`), the markup of the
model's chat template is recognised.
"""

import re
from typing import Any
from uuid import uuid4

import orjson

from headstart.errors import nearest
from headstart.generation.text_stream import overlap
from headstart.serving.request_error import RequestError
from headstart.serving.texts.bodies import ChatBody, Function, ToolChoice
from headstart.serving.texts.json_schema import moved
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.published import chat_template

HERMES, MISTRAL, LLAMA, PLAIN = "hermes", "mistral", "llama", "plain"
"""`<tool_call>{...}</tool_call>` of Hermes and Qwen; `[TOOL_CALLS][{...}]`; a JSON object with `parameters`;
what a schema makes."""
TOOL_CALL = "<tool_call>"
_HERMES = re.compile(TOOL_CALL + r"\s*(\{.*?\})\s*(?:</tool_call>|$)", re.DOTALL)
_HERMES_TEMPLATE = re.compile(TOOL_CALL + r"(?:\\n|\W)*(?:name|arguments)\b")
"""How a template shows a call that is JSON. Others put XML between the same tags."""
_BEGINNINGS = {MISTRAL: ("[",), LLAMA: ("{", "<"), PLAIN: ("{",)}
"""With what an answer begins if it is a call."""


def forced(body: ChatBody) -> bool:
    """Whether a function has to be called."""
    return bool(body.tools) and (body.tool_choice == "required" or isinstance(body.tool_choice, ToolChoice))


def markup_of(tokenizer: Tokenizer, body: ChatBody) -> str | None:
    """How an answer writes calls; None: there are no functions to call.

    Raises:
        RequestError: a choice without functions or of an unknown one, or a model whose markup is not known.
    """
    if not body.tools:
        if body.tool_choice not in (None, "none", "auto"):
            raise RequestError(
                400, "unsupported_value", "tool_choice needs tools to choose from", "tool_choice"
            )
        return None
    if body.tool_choice == "none":
        return None
    if forced(body):
        return PLAIN
    template = chat_template(tokenizer.config, True) or ""
    if _HERMES_TEMPLATE.search(template):
        return HERMES
    if "[TOOL_CALLS]" in template and "[ARGS]" not in template:  # a later form has the name outside of JSON
        return MISTRAL
    if '"parameters"' in template and "ipython" in template:
        return LLAMA
    raise RequestError(
        400,
        "unsupported_value",
        "this model's chat template has no markup of calls that is known here; set tool_choice to required "
        "or to a function, or leave out tools",
        "tools",
    )


def choice_schema(body: ChatBody) -> dict[str, Any]:
    """The schema of a call that has to be made.

    Raises:
        RequestError: the function that is named is not among the tools.
    """
    functions = [tool.function for tool in body.tools or ()]
    if isinstance(body.tool_choice, ToolChoice):
        name = body.tool_choice.function.name
        chosen = [one for one in functions if one.name == name]
        if not chosen:
            hint = nearest(name, [one.name for one in functions])
            raise RequestError(400, "unsupported_value", f"there is no tool {name!r}{hint}", "tool_choice")
        return _call(chosen[0], "")
    if len(functions) == 1:
        return _call(functions[0], "")
    return {"anyOf": [_call(one, f"/anyOf/{number}") for number, one in enumerate(functions)]}


def certain(text: str, markup: str) -> int:
    """How many characters of a text that goes on belong to no call, whatever comes behind them."""
    if markup == HERMES:
        begun = text.find(TOOL_CALL)
        end = begun if begun >= 0 else len(text) - overlap(text, TOOL_CALL)
        return len(text[:end].rstrip())
    said = text.lstrip()
    return len(text) if said and not said.startswith(_BEGINNINGS[markup]) else 0


def calls_in(text: str, markup: str) -> tuple[str, list[dict[str, Any]]]:
    """What a text says before the first call, and the calls that it holds, in order; none where it is plain
    text, or the JSON of one is cut or wrong."""
    found: list[Any] = []
    before = ""
    if markup == HERMES:
        found = [_parsed(part) for part in _HERMES.findall(text)]
        before = text.partition(TOOL_CALL)[0].rstrip()
    elif markup == MISTRAL:
        parsed = _parsed(text.strip().removeprefix("[TOOL_CALLS]").strip())
        found = parsed if isinstance(parsed, list) else []
    else:
        parsed = _parsed(text.strip().removeprefix("<|python_tag|>"))
        call = isinstance(parsed, dict) and ("arguments" in parsed or "parameters" in parsed)
        found = [parsed] if call else []  # an answer may be JSON, and have a name too
    calls = []
    for one in found:
        if not (isinstance(one, dict) and isinstance(one.get("name"), str)):
            return "", []
        arguments = one.get("arguments", one.get("parameters")) or {}
        written = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
        function = {"name": one["name"], "arguments": written}
        calls.append({"id": f"call_{uuid4().hex[:24]}", "type": "function", "function": function})
    return before, calls


def _call(function: Function, place: str) -> dict[str, Any]:
    """The schema of a call of one function, which stands at `place`, a JSON pointer."""
    nothing = {"type": "object", "properties": {}, "additionalProperties": False}
    return {
        "type": "object",
        "properties": {
            "name": {"const": function.name},
            "arguments": moved(function.parameters or nothing, f"{place}/properties/arguments"),
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
