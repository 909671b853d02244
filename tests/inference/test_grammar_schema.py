from typing import Any

import pytest

from understudy.inference.grammar_schema import FREE_OBJECT, arguments_schema, grammar_schema

LOOP: dict[str, Any] = {
    "type": "object",
    "properties": {"next": {"$ref": "#/$defs/node"}},
    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
}


def test_what_a_grammar_cannot_hold_is_left_out() -> None:
    schema = {
        "type": "object",
        "properties": {
            "at": {"type": "string", "pattern": "^[0-9]+$", "format": "date", "maxLength": 100_000},
            "unit": {"type": "string", "enum": ["C", "F"]},
            "many": {"type": "array", "items": {"type": ["string", "null"]}, "maxItems": 5000, "minItems": 1},
            "place": {"$ref": "#/$defs/place"},
        },
        "required": ["at", "unknown"],
        "$defs": {"place": {"type": "object", "properties": {"x": {"type": "number", "minimum": 0.5}}}},
    }
    assert grammar_schema(schema) == {
        "type": "object",
        "properties": {
            "at": {"type": "string"},
            "unit": {"enum": ["C", "F"]},
            "many": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "minItems": 1},
            "place": {
                "type": "object",
                "properties": {"x": {"type": "number"}},
                "required": [],
                "additionalProperties": False,
            },
        },
        "required": ["at"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        LOOP,
        {"type": "object", "properties": {"a": {"$ref": "other.json"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}},
        {"type": "object", "properties": {"a": {"not": {}}}},
        {"type": "object", "properties": {"a": {"allOf": [{}, {}]}}},
        {"type": "object", "properties": 5},
        {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(2000)}},
        {"type": "string"},
        {},
    ],
)
def test_a_schema_beyond_grammars_becomes_a_free_object(schema: dict[str, Any]) -> None:
    assert arguments_schema(schema) == FREE_OBJECT


def test_a_function_without_parameters_takes_an_empty_object() -> None:
    empty = {"type": "object", "properties": {}}
    assert arguments_schema(empty) == {**empty, "required": [], "additionalProperties": False}
