"""From what the validator found to the hosted API's sentence about it (behaviours.md, section 1, rows 17 to 23)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from understudy.errors import quoted


@dataclass(frozen=True, slots=True)
class Complaint:
    """A sentence, the parameter it is about, and its code."""

    message: str
    param: str | None
    code: str | None


_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "int_parsing": "an integer",
    "float_type": "a decimal",
    "float_parsing": "a decimal",
    "bool_type": "a boolean",
    "bool_parsing": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dataclass_type": "an object",
}

NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The API expects a JSON payload, but what was sent was not valid JSON: {detail})"
)

Found = Mapping[str, Any]


def complaint(found: Found, body: object) -> Complaint:
    """Say what is wrong with a request; `found` is one of pydantic's errors, `body` what was sent."""
    kind = found["type"]
    path = _path(found["loc"], body, absent=kind == "missing")
    if kind in _EXPECTED:
        return _wrong_type(path, _EXPECTED[kind], found["input"])
    if kind in _SENTENCES:
        return _SENTENCES[kind](path, found)
    return Complaint(
        f"Invalid '{path}': {found['msg']}." if path else f"{found['msg']}.", path or None, "invalid_value"
    )


def _wrong_type(path: str, expected: str, got: object) -> Complaint:
    where = f"'{path}'" if path else "the body"
    message = f"Invalid type for {where}: expected {expected}, but got {_noun(got)} instead."
    return Complaint(message, path or None, "invalid_type")


def _noun(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case list():
            return "an array"
        case _:
            return "an object"


def _missing(path: str, _: Found) -> Complaint:
    return Complaint(f"Missing required parameter: '{path}'.", path, "missing_required_parameter")


def _missing_type(path: str, found: Found) -> Complaint:
    if not isinstance(found["input"], Mapping):
        return _wrong_type(path, "an object", found["input"])
    return _missing(f"{path}.type" if path else "type", found)


def _unknown(path: str, _: Found) -> Complaint:
    return Complaint(f"Unknown parameter: '{path}'.", path, "unknown_parameter")


def _one_of(path: str, found: Found) -> Complaint:
    return _wrong_type(path, found["msg"], found["input"])


def _not_listed(path: str, found: Found) -> Complaint:
    got = found["input"]
    if not isinstance(got, str):
        return _wrong_type(path, "a string", got)
    return _bad_value(path, got, found["ctx"]["expected"])


def _bad_tag(path: str, found: Found) -> Complaint:
    where, context = f"{path}.type" if path else "type", found["ctx"]
    got = found["input"]["type"]  # the tag of the context is Python's writing of it
    if not isinstance(got, str):
        return _wrong_type(where, "a string", got)
    return _bad_value(where, got, context["expected_tags"].replace(", ", " or "))


def _bad_value(path: str, got: str, expected: str) -> Complaint:
    values = [value.strip() for part in expected.split(" or ") for value in part.split(", ")]
    joined = f"{', '.join(values[:-1])}{',' if len(values) > 2 else ''} and {values[-1]}" if values[1:] else values[0]
    supported = f"Supported values are: {joined}"
    return Complaint(f"Invalid value: '{quoted(got)}'. {supported}.", path, "invalid_value")


def _number(bound: str, sign: str, field: str) -> Callable[[str, Found], Complaint]:
    word = "maximum" if bound == "above" else "minimum"

    def sentence(path: str, found: Found) -> Complaint:
        limit, got = found["ctx"][field], found["input"]
        kind, shown = ("decimal", f"{limit:g}") if isinstance(limit, float) else ("integer", str(limit))
        message = (
            f"Invalid '{path}': {kind} {bound} {word} value. "
            f"Expected a value {sign} {shown}, but got {quoted(got)} instead."
        )
        return Complaint(message, path, f"{kind}_{bound}_{word[:3]}_value")

    return sentence


def _string_length(path: str, found: Found) -> Complaint:
    context = found["ctx"]
    limit = context["max_length"]
    got = context.get("got", len(found["input"]) if isinstance(found["input"], str) else 0)
    where = f"{path}.{context['under']}" if "under" in context else path
    message = (
        f"Invalid '{where}': string too long. Expected a string with maximum length {limit}, "
        f"but got a string with length {got} instead."
    )
    return Complaint(message, where, "string_above_max_length")


def _string_empty(path: str, found: Found) -> Complaint:
    limit, got = found["ctx"]["min_length"], len(found["input"])
    message = (
        f"Invalid '{path}': {'empty string' if got == 0 else 'string too short'}. Expected a string with minimum "
        f"length {limit}, but got {'an empty string' if got == 0 else f'a string with length {got}'} instead."
    )
    return Complaint(message, path, "empty_string" if got == 0 else "string_below_min_length")


def _array(bound: str) -> Callable[[str, Found], Complaint]:
    word, problem = ("maximum", "too long") if bound == "above" else ("minimum", "too short")

    def sentence(path: str, found: Found) -> Complaint:
        context = found["ctx"]
        limit = context["max_length" if bound == "above" else "min_length"]
        got = context["actual_length"] if context["actual_length"] is not None else len(found["input"])
        message = (
            f"Invalid '{path}': {'empty array' if got == 0 else f'array {problem}'}. Expected an array with {word} "
            f"length {limit}, but got {'an empty array' if got == 0 else f'an array with length {got}'} instead."
        )
        return Complaint(message, path, "empty_array" if got == 0 else f"array_{bound}_{word[:3]}_length")

    return sentence


def _too_many_pairs(path: str, found: Found) -> Complaint:
    context = found["ctx"]
    message = (
        f"Invalid '{path}': too many properties. Expected an object with at most {context['max']} properties, "
        f"but got an object with {context['got']} properties instead."
    )
    return Complaint(message, path, "object_above_max_properties")


def _key_too_long(path: str, found: Found) -> Complaint:
    context = found["ctx"]
    message = (
        f"Invalid '{path}': property name too long. Expected a property name with maximum length {context['max']}, "
        f"but got a property name with length {context['got']} instead."
    )
    return Complaint(message, path, "string_above_max_length")


def _pattern(path: str, found: Found) -> Complaint:
    message = (
        f"Invalid '{path}': string does not match pattern. "
        f"Expected a string that matches the pattern '{found['ctx']['pattern']}'."
    )
    return Complaint(message, path, "invalid_value")


def null_character(path: str) -> Complaint:
    """Say that a text, at a path or in an address, holds what PostgreSQL cannot keep."""
    where = f"Invalid '{path}'" if path else "Invalid body"
    return Complaint(f"{where}: it contains a null character (\\u0000).", path or None, "invalid_value")


def _part_missing(path: str, found: Found) -> Complaint:
    under = found["ctx"]["under"]
    return _missing(f"{path}.{under}" if path else under, found)


def _both(path: str, found: Found) -> Complaint:
    context = found["ctx"]
    message = (
        f"Mutually exclusive parameters: {found['msg']}. Ensure you are only providing one of: "
        f"{found['msg'].replace(' and ', ' or ')}."
    )
    under = f"{path}.{context['under']}" if path else context["under"]
    return Complaint(message, under, "mutually_exclusive_parameters")


def _not_json(_: str, found: Found) -> Complaint:
    return Complaint(NOT_JSON.format(detail=found.get("ctx", {}).get("error", found["msg"])), None, None)


_SENTENCES: dict[str, Callable[[str, Found], Complaint]] = {
    "missing": _missing,
    "union_tag_not_found": _missing_type,
    "extra_forbidden": _unknown,
    "one_of": _one_of,
    "literal_error": _not_listed,
    "union_tag_invalid": _bad_tag,
    "less_than_equal": _number("above", "<=", "le"),
    "greater_than_equal": _number("below", ">=", "ge"),
    "string_too_long": _string_length,
    "string_too_short": _string_empty,
    "string_pattern_mismatch": _pattern,
    "too_long": _array("above"),
    "too_short": _array("below"),
    "too_many_properties": _too_many_pairs,
    "key_too_long": _key_too_long,
    "part_missing": _part_missing,
    "both_given": _both,
    "json_invalid": _not_json,
    "null_character": lambda path, _: null_character(path),
}

_FLAT = ("query", "path", "header")


def _path(location: Sequence[str | int], body: object, *, absent: bool) -> str:
    """Write a place as the hosted API does: `tools[0].function.name`.

    The validator's own steps (which member of a union it tried) are not the caller's: they are left out. What is
    told of as `absent` is the last step.
    """
    if location and location[0] in _FLAT:
        return str(location[1])
    steps = list(location[1:] if location and location[0] == "body" else location)
    path, here = "", body
    for position, step in enumerate(steps):
        if not _is_there(here, step) and not (absent and position == len(steps) - 1):
            continue
        if step == "[key]":
            continue
        path += f"[{step}]" if isinstance(step, int) else f".{quoted(step)}" if path else quoted(step)
        here = here[step] if _is_there(here, step) else None  # type: ignore[index]
    return path


def _is_there(here: object, step: str | int) -> bool:
    if isinstance(step, int):
        return isinstance(here, list) and step < len(here)
    return isinstance(here, Mapping) and step in here
