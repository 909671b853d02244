"""JSON Schemas cut down to what grammar converters take: they hold the reply's form; the prompt tells the rest."""

import json
from collections.abc import Mapping
from typing import Any

_MAX_SCHEMA_CHARS = 20_000  # beyond this the grammar slows every token down
_MAX_DEPTH = 12
_MAX_COUNT = 64  # a grammar repeats a rule as often as maxItems says
_SCALARS = {"string", "number", "integer", "boolean", "null"}
FREE_OBJECT: Mapping[str, Any] = {"type": "object"}


class _TooRich(Exception):
    """The schema says more than a grammar can hold."""


def grammar_schema(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema without patterns, formats and references; a free object where that is not possible."""
    try:
        narrowed = _narrow(schema, schema, 0)
    except (_TooRich, AttributeError, KeyError, TypeError, ValueError):
        return FREE_OBJECT
    return narrowed if len(json.dumps(narrowed)) <= _MAX_SCHEMA_CHARS else FREE_OBJECT


def arguments_schema(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a tool's arguments are held to: always an object."""
    schema = grammar_schema(parameters)
    return schema if schema.get("type") == "object" else FREE_OBJECT


def _narrow(schema: Any, root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if depth > _MAX_DEPTH:
        raise _TooRich  # a reference to itself ends here
    if schema is True or schema == {}:
        return {}
    if not isinstance(schema, Mapping) or "not" in schema or "if" in schema:
        raise _TooRich
    if "$ref" in schema:
        return _narrow(_resolve(schema["$ref"], root), root, depth + 1)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return {"anyOf": [_narrow(option, root, depth + 1) for option in schema[choice]]}
    if "allOf" in schema:
        if len(schema["allOf"]) != 1:
            raise _TooRich
        return _narrow(schema["allOf"][0], root, depth + 1)
    return _narrow_value(schema, root, depth)


def _narrow_value(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if "const" in schema:
        return {"const": schema["const"]}
    if "enum" in schema:
        return {"enum": list(schema["enum"])}
    kind = schema.get("type", "object" if "properties" in schema else None)
    if isinstance(kind, list):
        return {"anyOf": [_narrow_value({**schema, "type": one}, root, depth) for one in kind]}
    if kind == "object":
        return _narrow_object(schema, root, depth)
    if kind == "array":
        return _narrow_array(schema, root, depth)
    if kind in _SCALARS:
        return {"type": kind}
    if kind is None:
        return {}
    raise _TooRich


def _narrow_object(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    if properties is None:
        return dict(FREE_OBJECT)
    return {
        "type": "object",
        "properties": {name: _narrow(value, root, depth + 1) for name, value in properties.items()},
        "required": [name for name in schema.get("required", ()) if name in properties],
        "additionalProperties": False,
    }


def _narrow_array(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    counts = {name: schema[name] for name in ("minItems", "maxItems") if schema.get(name, _MAX_COUNT + 1) <= _MAX_COUNT}
    return {"type": "array", "items": _narrow(schema.get("items", {}), root, depth + 1), **counts}


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    if not reference.startswith("#"):
        raise _TooRich
    found: Any = root
    for step in reference.split("/")[1:]:
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found
