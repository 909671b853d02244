"""Messages. Source of shapes: surface.md, section 3, and sections 6 and 6.1 on what is always sent."""

from typing import (
    Annotated,
    Literal,
    NotRequired,  # pydantic wants this one before Python 3.12
)

from pydantic import Discriminator, Field, Tag
from typing_extensions import TypedDict

from understudy.protocol.annotations import Annotation
from understudy.protocol.base import JsonObject, Metadata, MetadataParam, RequestModel, RequestPart, WireModel
from understudy.protocol.tools import CodeInterpreterTool

MAX_MESSAGE_CHARACTERS = 256_000

Role = Literal["user", "assistant"]
Detail = Literal["auto", "low", "high"]
MessageStatus = Literal["in_progress", "incomplete", "completed"]
IncompleteReason = Literal["content_filter", "max_tokens", "run_cancelled", "run_expired", "run_failed"]


class TextPart(RequestPart):
    type: Literal["text"]
    text: Annotated[str, Field(max_length=MAX_MESSAGE_CHARACTERS)]


class ImageUrl(RequestPart):
    url: str
    detail: Detail = "auto"


class ImageUrlPart(RequestPart):
    type: Literal["image_url"]
    image_url: ImageUrl


class ImageFile(RequestPart):
    file_id: str
    detail: Detail = "auto"


class ImageFilePart(RequestPart):
    type: Literal["image_file"]
    image_file: ImageFile


ContentPart = Annotated[TextPart | ImageUrlPart | ImageFilePart, Field(discriminator="type")]


def _content_form(value: object) -> str | None:
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else None


_EXPECTED = "one of a string or an array of objects"
MessageContent = Annotated[
    Annotated[str, Field(max_length=MAX_MESSAGE_CHARACTERS), Tag("string")]
    | Annotated[list[ContentPart], Field(min_length=1), Tag("array")],
    Discriminator(_content_form, "one_of", _EXPECTED),
]


class FileSearchTypeOnly(RequestPart):
    type: Literal["file_search"]


class Attachment(RequestPart):
    file_id: str | None = None
    tools: list[Annotated[CodeInterpreterTool | FileSearchTypeOnly, Field(discriminator="type")]] | None = None


class CreateMessage(RequestModel):
    role: Role
    content: MessageContent
    attachments: list[Attachment] | None = None
    metadata: MetadataParam | None = None


class ModifyMessage(RequestModel):
    metadata: MetadataParam | None = None


class Text(TypedDict):
    value: str
    annotations: list[Annotation]


class Content(TypedDict):
    """One part of a message: text, refusal, image_url or image_file."""

    type: Literal["text", "refusal", "image_url", "image_file"]
    text: NotRequired[Text]
    refusal: NotRequired[str]
    image_url: NotRequired[JsonObject]
    image_file: NotRequired[JsonObject]


class IncompleteDetails(TypedDict):
    reason: IncompleteReason


class Message(WireModel):
    id: str
    object: Literal["thread.message"] = "thread.message"
    created_at: int
    assistant_id: str | None
    thread_id: str
    run_id: str | None
    status: MessageStatus
    incomplete_details: IncompleteDetails | None
    incomplete_at: int | None
    completed_at: int | None
    role: Role
    content: list[Content]
    attachments: list[JsonObject]
    metadata: Metadata


def text_content(value: str) -> Content:
    """A text part without annotations."""
    return {"type": "text", "text": {"value": value, "annotations": []}}


def image_content(file_id: str) -> Content:
    """An image that a tool has drawn."""
    return {"type": "image_file", "image_file": {"file_id": file_id}}


def stored_content(content: str | list[TextPart | ImageUrlPart | ImageFilePart]) -> list[Content]:
    """Turn a request's content into the parts that are stored and answered."""
    return [text_content(content)] if isinstance(content, str) else [_stored_part(part) for part in content]


def _stored_part(part: TextPart | ImageUrlPart | ImageFilePart) -> Content:
    match part:
        case TextPart():
            return text_content(part.text)
        case ImageUrlPart():
            return {"type": "image_url", "image_url": part.image_url.model_dump()}
        case ImageFilePart():
            return {"type": "image_file", "image_file": part.image_file.model_dump()}
