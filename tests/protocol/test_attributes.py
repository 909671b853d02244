"""Attributes and the filters over them, beside a plain model of what a filter means."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from understudy.protocol.attributes import MAX_COMPARISONS, AttributesParam, FilterParam

FILTER: TypeAdapter[Any] = TypeAdapter(FilterParam)
ATTRIBUTES: TypeAdapter[Any] = TypeAdapter(AttributesParam)

keys = st.sampled_from(["year", "author", "draft", "missing"])
scalars = st.one_of(
    st.integers(-3, 3), st.sampled_from([-0.5, 1.0, 2.5]), st.sampled_from(["", "a", "b", "가", "1"]), st.booleans()
)
listed = scalars.filter(lambda value: not isinstance(value, bool))
comparisons = st.builds(
    lambda kind, key, value: {"type": kind, "key": key, "value": value},
    st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]),
    keys,
    scalars,
)
memberships = st.builds(
    lambda kind, key, value: {"type": kind, "key": key, "value": value},
    st.sampled_from(["in", "nin"]),
    keys,
    st.lists(listed, max_size=4),
)
filters = st.recursive(
    comparisons | memberships,
    lambda inner: st.builds(
        lambda kind, parts: {"type": kind, "filters": parts},
        st.sampled_from(["and", "or"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=12,
)
attributes = st.dictionaries(keys.filter(lambda key: key != "missing"), scalars)


def kind(value: Any) -> str:
    return "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"


def same(one: Any, other: Any) -> bool:
    return kind(one) == kind(other) and one == other


def passes(wanted: dict[str, Any], has: dict[str, Any]) -> bool:
    """What a filter means, written down once more, case by case."""
    if wanted["type"] == "and":
        return not [part for part in wanted["filters"] if not passes(part, has)]
    if wanted["type"] == "or":
        return bool([part for part in wanted["filters"] if passes(part, has)])
    there, value = wanted["key"] in has, wanted["value"]
    found = has.get(wanted["key"])
    comparable = there and not isinstance(value, list) and kind(found) == kind(value)
    match wanted["type"]:
        case "eq":
            return comparable and found == value
        case "ne":
            return not (comparable and found == value)
        case "in":
            return there and any(same(found, one) for one in value)
        case "nin":
            return not (there and any(same(found, one) for one in value))
        case "gt":
            return comparable and found > value
        case "gte":
            return comparable and found >= value
        case "lt":
            return comparable and found < value
        case _:
            return comparable and found <= value


@settings(max_examples=500)
@given(wanted=filters, has=attributes)
def test_a_filter_passes_what_the_model_passes(wanted: dict[str, Any], has: dict[str, Any]) -> None:
    assert FILTER.validate_python(wanted).matches(has) == passes(wanted, has)


@pytest.mark.parametrize(
    ("wanted", "has", "outcome"),
    [
        ({"type": "eq", "key": "n", "value": 1}, {"n": 1.0}, True),
        ({"type": "eq", "key": "n", "value": 1}, {"n": True}, False),
        ({"type": "eq", "key": "n", "value": "1"}, {"n": 1}, False),
        ({"type": "ne", "key": "n", "value": 1}, {}, True),
        ({"type": "nin", "key": "n", "value": []}, {}, True),
        ({"type": "gte", "key": "n", "value": "b"}, {"n": "가"}, True),
        ({"type": "gt", "key": "n", "value": 2}, {"n": 10**400}, True),
        ({"type": "and", "filters": []}, {}, True),
        ({"type": "or", "filters": []}, {}, False),
    ],
)
def test_the_edges(wanted: dict[str, Any], has: dict[str, Any], outcome: bool) -> None:
    assert FILTER.validate_python(wanted).matches(has) is outcome


@pytest.mark.parametrize(
    "wanted",
    [
        {"type": "eq", "key": "n", "value": None},
        {"type": "eq", "key": "n", "value": [1]},
        {"type": "eq", "key": "n"},
        {"type": "eq", "key": 1, "value": 1},
        {"type": "in", "key": "n", "value": 1},
        {"type": "in", "key": "n", "value": [True]},
        {"type": "in", "key": "n", "value": [None]},
        {"type": "and", "filters": {}},
        {"type": "and"},
        {"type": "like", "key": "n", "value": "a"},
        {"type": "eq", "key": "n", "value": 1, "more": 1},
        [],
        "eq",
    ],
)
def test_what_is_no_filter_is_refused(wanted: Any) -> None:
    with pytest.raises(ValidationError):
        FILTER.validate_python(wanted)


def test_a_filter_is_bounded_over_all_its_levels() -> None:
    one = {"type": "eq", "key": "n", "value": 1}
    FILTER.validate_python({"type": "or", "filters": [one] * MAX_COMPARISONS})
    halves = [{"type": "and", "filters": [one] * (MAX_COMPARISONS // 2)}] * 2
    FILTER.validate_python({"type": "or", "filters": halves})
    for many in (
        {"type": "or", "filters": [*halves, one]},
        {"type": "or", "filters": [{"type": "and", "filters": []}] * (MAX_COMPARISONS + 1)},
        {"type": "in", "key": "n", "value": list(range(MAX_COMPARISONS + 1))},
    ):
        with pytest.raises(ValidationError, match=f"at most {MAX_COMPARISONS} comparisons in all"):
            FILTER.validate_python(many)


@given(st.dictionaries(st.text(max_size=64), scalars, max_size=16))
def test_attributes_stay_as_they_were_given(given: dict[str, Any]) -> None:
    taken = ATTRIBUTES.validate_python(given)
    assert [(key, type(value), value) for key, value in taken.items()] == [
        (key, type(value), value) for key, value in given.items()
    ]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({str(number): 1 for number in range(17)}, "too_many_properties"),
        ({"k" * 65: 1}, "key_too_long"),
        ({"k": "v" * 513}, "string_too_long"),
        ({"k": None}, "one_of"),
        ({"k": ["v"]}, "one_of"),
        ([], "dict_type"),
    ],
)
def test_attributes_have_limits(given: Any, problem: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ATTRIBUTES.validate_python(given)
    assert refused.value.errors()[0]["type"] == problem
