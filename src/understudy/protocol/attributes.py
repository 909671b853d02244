"""Attributes of a vector store's files, and the filters over them. Source: surface.md, sections 3 and 5.

A filter compares values of one kind only: a number with numbers, a string with strings (by code points), a boolean
with booleans; what is of another kind is neither equal nor above nor below. A file without the key fails every
comparison but `ne` and `nin`.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, StrictBool, StrictFloat, StrictInt, StrictStr, Tag
from pydantic_core import PydanticCustomError

from understudy.protocol.base import MAX_METADATA_KEY, MAX_METADATA_PAIRS, MAX_METADATA_VALUE, RequestModel

MAX_COMPARISONS = 256
"""In one filter, all levels together: each is made with every file of a store."""

AttributeValue = str | int | float | bool
Attributes = dict[str, AttributeValue]
"""Up to 16 pairs; keys up to 64 characters; strings up to 512, numbers, booleans."""


def _kind(value: object) -> str | None:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return None


def _scalar_kind(value: object) -> str | None:
    return None if isinstance(value, list) else _kind(value)


def _within_limits(given: dict[str, Any] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    if len(given) > MAX_METADATA_PAIRS:
        raise PydanticCustomError("too_many_properties", "too many", {"max": MAX_METADATA_PAIRS, "got": len(given)})
    for key in given:
        if len(key) > MAX_METADATA_KEY:
            raise PydanticCustomError("key_too_long", "key too long", {"max": MAX_METADATA_KEY, "got": len(key)})
    return given


_String = Annotated[StrictStr, Field(max_length=MAX_METADATA_VALUE), Tag("string")]
_Number = Annotated[StrictInt | StrictFloat, Tag("number")]
_Boolean = Annotated[StrictBool, Tag("boolean")]
_Scalar = Annotated[
    _String | _Number | _Boolean, Discriminator(_scalar_kind, "one_of", "one of a string, a number or a boolean")
]

AttributesParam = Annotated[dict[str, _Scalar] | None, AfterValidator(_within_limits)]

# --- filters -----------------------------------------------------------------------------------------------------


def _of_a_list(value: object) -> str | None:
    kind = _kind(value)
    return kind if kind in ("string", "number") else None


_Listed = Annotated[
    Annotated[StrictStr, Tag("string")] | _Number, Discriminator(_of_a_list, "one_of", "one of a string or a number")
]
_Compared = Annotated[
    Annotated[StrictStr, Tag("string")] | _Number | _Boolean,
    Discriminator(_scalar_kind, "one_of", "one of a string, a number or a boolean"),
]


class Comparison(RequestModel):
    """One attribute against one value."""

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte"]
    key: str
    value: _Compared

    def matches(self, attributes: Mapping[str, AttributeValue]) -> bool:
        """Tell whether a file with these attributes passes."""
        found = attributes.get(self.key)
        order = None if found is None else _order(found, self.value)
        return _HOLDS[self.type](order)


class Membership(RequestModel):
    """One attribute against a list of values."""

    type: Literal["in", "nin"]
    key: str
    value: list[_Listed]

    def matches(self, attributes: Mapping[str, AttributeValue]) -> bool:
        """Tell whether a file with these attributes passes."""
        found = attributes.get(self.key)
        among = found is not None and any(_order(found, value) == 0 for value in self.value)
        return among == (self.type == "in")


class Compound(RequestModel):
    """All of some filters, or at least one of them."""

    type: Literal["and", "or"]
    filters: "list[AttributeFilter]"

    def matches(self, attributes: Mapping[str, AttributeValue]) -> bool:
        """Tell whether a file with these attributes passes. All of none holds; one of none does not."""
        outcomes = (part.matches(attributes) for part in self.filters)
        return all(outcomes) if self.type == "and" else any(outcomes)


AttributeFilter = Annotated[Comparison | Membership | Compound, Field(discriminator="type")]


def _bounded(given: Comparison | Membership | Compound) -> Comparison | Membership | Compound:
    if (count := _comparisons(given)) > MAX_COMPARISONS:
        text = "expected at most {max} comparisons in all, but got {got}"
        raise PydanticCustomError("too_many_comparisons", text, {"max": MAX_COMPARISONS, "got": count})
    return given


def _comparisons(given: Comparison | Membership | Compound) -> int:
    """Count what there is to compare; what is empty counts too. How deep filters nest, the JSON parser bounds."""
    match given:
        case Compound():
            return max(1, sum(_comparisons(part) for part in given.filters))
        case Membership():
            return max(1, len(given.value))
        case Comparison():
            return 1


FilterParam = Annotated[AttributeFilter, AfterValidator(_bounded)]


def _order(found: AttributeValue, value: AttributeValue) -> int | None:
    """-1, 0 or 1 as `found` lies below, at or above `value`; None if they cannot be compared."""
    if _kind(found) != _kind(value):
        return None
    return (found > value) - (found < value)  # type: ignore[operator]  # both are of one kind here


_HOLDS: dict[str, Callable[[int | None], bool]] = {
    "eq": lambda order: order == 0,
    "ne": lambda order: order != 0,
    "gt": lambda order: order == 1,
    "gte": lambda order: order in (0, 1),
    "lt": lambda order: order == -1,
    "lte": lambda order: order in (-1, 0),
}
