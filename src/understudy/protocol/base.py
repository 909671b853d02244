"""What all nouns share: model bases, metadata, lists and deletions."""

from collections.abc import Sequence
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, StrictStr
from pydantic_core import PydanticCustomError

MAX_METADATA_PAIRS = 16
MAX_METADATA_KEY = 64
MAX_METADATA_VALUE = 512


class RequestModel(BaseModel):
    """A request's body: unknown keys are refused, JSON types are not bent into one another."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def given(self, field: str) -> bool:
        """Tell whether the caller wrote this key, be it with null."""
        return field in self.model_fields_set


class RequestPart(BaseModel):
    """A nested object of a request. The specification leaves these open: unknown keys are dropped."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class WireModel(BaseModel):
    """An object as it is answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _within_limits(metadata: dict[str, str]) -> dict[str, str]:
    if len(metadata) > MAX_METADATA_PAIRS:
        raise PydanticCustomError("too_many_properties", "too many", {"max": MAX_METADATA_PAIRS, "got": len(metadata)})
    for key, value in metadata.items():
        if len(key) > MAX_METADATA_KEY:
            raise PydanticCustomError("key_too_long", "key too long", {"max": MAX_METADATA_KEY, "got": len(key)})
        if len(value) > MAX_METADATA_VALUE:
            limits = {"max_length": MAX_METADATA_VALUE, "got": len(value), "under": key}
            raise PydanticCustomError("string_too_long", "too long", limits)
    return metadata


Metadata = dict[str, str]
"""Up to 16 pairs; keys up to 64 characters, values up to 512."""

MetadataParam = Annotated[dict[StrictStr, StrictStr], AfterValidator(_within_limits)]

JsonObject = dict[str, Any]


class Identified(Protocol):
    """Anything that a list can page through."""

    @property
    def id(self) -> str: ...


T = TypeVar("T")


class Page(WireModel, Generic[T]):
    """One page of a list. An empty one has null ids (recorded)."""

    object: Literal["list"] = "list"
    data: list[T]
    first_id: str | None
    last_id: str | None
    has_more: bool


def page_of(items: Sequence[Any], *, has_more: bool) -> Page[Any]:
    """Wrap objects that have an id into a page."""
    first, last = (items[0].id, items[-1].id) if items else (None, None)
    return Page(data=list(items), first_id=first, last_id=last, has_more=has_more)


class Deleted(WireModel):
    """Answer to a deletion; `object` is `assistant.deleted` and the like."""

    id: str
    object: str
    deleted: Literal[True] = True


class ErrorBody(WireModel):
    """The inside of an error answer (surface.md, section 0.2)."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(WireModel):
    """Every answer that is not a success."""

    error: ErrorBody
