"""Schemas as texts are written by them: closed, in the order of their properties."""

import orjson
import pytest

from headstart.serving.texts.json_schema import closed, moved

PLACE = {"type": "object", "properties": {"place": {"enum": ["sea", "home"]}, "a": {"type": "boolean"}}}


def test_objects_are_closed_wherever_they_stand():
    shut = PLACE | {"additionalProperties": False}
    assert closed(PLACE) == shut
    assert closed({"type": "array", "items": PLACE})["items"] == shut
    assert closed({"anyOf": [PLACE, {"type": "null"}]})["anyOf"] == [shut, {"type": "null"}]
    assert closed({"$ref": "#/$defs/A", "$defs": {"A": PLACE}})["$defs"]["A"] == shut
    alone = {
        "properties": {"p": {"allOf": [{"$ref": "#/$defs/A"}], "description": "x"}},
        "$defs": {"A": PLACE},
    }
    assert closed(alone)["$defs"]["A"] == shut
    assert closed({"items": [PLACE, True]})["items"] == [shut, True]
    named = {"type": "object", "properties": {"properties": {"type": "string"}}}  # a property of that name
    assert closed(named)["properties"] == named["properties"]


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [PLACE, {"properties": {"b": {}}}]},
        PLACE | {"anyOf": [{"properties": {"b": {"type": "null"}}}]},
        {"$defs": {"A": PLACE}, "allOf": [{"$ref": "#/$defs/A"}, {"required": ["a"]}]},
        PLACE | {"allOf": [{"properties": {"b": {"type": "null"}}}]},
        PLACE | {"additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {}, "patternProperties": {"^x": {"type": "null"}}},
        {"type": "object"},
        True,
    ],
)
def test_what_says_more_of_its_properties_stays_as_it_is(schema):
    assert closed(schema) == schema


def test_a_moved_schema_refers_to_its_own_parts():
    schema = {
        "properties": {
            "a": {"$ref": "#/$defs/A"},
            "b": {"type": "array", "items": {"anyOf": [{"$ref": "#"}, {"$ref": "#named"}]}},
            "c": {"$ref": "https://example.org/x#/$defs/A"},
            "d": {"$id": "urn:d", "$ref": "#/$defs/A"},
            "$ref": {"const": {"$ref": "#/$defs/A"}},  # a property of that name, and a value
        },
        "$defs": {"A": {"allOf": [{"$ref": "#/$defs/B"}]}, "B": {"not": {"$ref": "#/$defs/A"}}},
    }
    found = moved(schema, "/p/q")
    assert found["properties"]["a"] == {"$ref": "#/p/q/$defs/A"}
    assert found["properties"]["b"]["items"] == {"anyOf": [{"$ref": "#/p/q"}, {"$ref": "#named"}]}
    assert [found["properties"][name] for name in ("c", "d", "$ref")] == [
        schema["properties"][name] for name in ("c", "d", "$ref")
    ]
    assert found["$defs"] == {
        "A": {"allOf": [{"$ref": "#/p/q/$defs/B"}]},
        "B": {"not": {"$ref": "#/p/q/$defs/A"}},
    }


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
