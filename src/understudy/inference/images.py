"""Picture parts of messages, made fit for an upstream."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from understudy.errors import UpstreamError
from understudy.inference.base import ChatMessage
from understudy.inference.dialect import ImageFetcher

_NOTE = "[A picture was attached here. You cannot see pictures.]"


async def adapt_images(
    messages: Sequence[ChatMessage], mode: Literal["url", "inline", "none"], fetch: ImageFetcher | None
) -> Sequence[ChatMessage]:
    """Return the messages with their pictures as the mode wants them; `inline` fetches them through `fetch`."""
    if mode == "url" or not any(isinstance(message.get("content"), list | tuple) for message in messages):
        return messages
    return [await _adapt(message, mode, fetch) for message in messages]


async def _adapt(message: ChatMessage, mode: str, fetch: ImageFetcher | None) -> ChatMessage:
    parts = message.get("content")
    if not isinstance(parts, list | tuple):
        return message
    if mode == "none":
        return {**message, "content": as_text(parts)}
    return {**message, "content": [await _inlined(part, fetch) for part in parts]}


def as_text(parts: Sequence[Mapping[str, Any]]) -> str:
    """Return content parts as one text, a note in each picture's place."""
    return "\n".join(str(part["text"]) if part.get("type") == "text" else _NOTE for part in parts)


async def _inlined(part: Mapping[str, Any], fetch: ImageFetcher | None) -> Mapping[str, Any]:
    image = part.get("image_url")
    if part.get("type") != "image_url" or not isinstance(image, Mapping) or str(image["url"]).startswith("data:"):
        return part
    if fetch is None:
        return {"type": "text", "text": _NOTE}
    try:
        return {**part, "image_url": {**image, "url": await fetch(str(image["url"]))}}
    except UpstreamError:
        raise
    except Exception:
        raise UpstreamError("A picture of this thread could not be fetched.", "invalid_prompt") from None
