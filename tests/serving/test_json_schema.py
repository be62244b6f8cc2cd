"""Schemas as texts are written by them: closed, in the order of their properties."""

import orjson
import pytest

from headstart.serving.texts.json_schema import closed

PLACE = {"type": "object", "properties": {"place": {"enum": ["sea", "home"]}, "a": {"type": "boolean"}}}


def test_objects_are_closed_wherever_they_stand():
    shut = PLACE | {"additionalProperties": False}
    assert closed(PLACE) == shut
    assert closed({"type": "array", "items": PLACE})["items"] == shut
    assert closed({"anyOf": [PLACE, {"type": "null"}]})["anyOf"] == [shut, {"type": "null"}]
    assert closed({"$ref": "#/$defs/A", "$defs": {"A": PLACE}})["$defs"]["A"] == shut
    named = {"type": "object", "properties": {"properties": {"type": "string"}}}  # a property of that name
    assert closed(named)["properties"] == named["properties"]


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [PLACE, {"properties": {"b": {}}}]},
        PLACE | {"anyOf": [{"properties": {"b": {"type": "null"}}}]},
        {"$defs": {"A": PLACE}, "allOf": [{"$ref": "#/$defs/A"}]},
        PLACE | {"additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {}, "patternProperties": {"^x": {"type": "null"}}},
        {"type": "object"},
        True,
    ],
)
def test_what_says_more_of_its_properties_stays_as_it_is(schema):
    assert closed(schema) == schema


@pytest.mark.parametrize("seed", range(4))
def test_random_weights_write_the_properties_in_order_and_end(client, seed):
    schema = PLACE | {"required": ["place", "a"]}
    function = {"name": "go", "parameters": schema}
    body = {"model": "chat", "seed": seed, "messages": [{"role": "user", "content": "Where?"}]}
    body |= {"max_tokens": 90, "tools": [{"function": function}], "tool_choice": "required"}
    (choice,) = client.post("/v1/chat/completions", body).json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert list(orjson.loads(call["function"]["arguments"])) == ["place", "a"]
