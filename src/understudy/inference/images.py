"""Picture parts of messages, made fit for an upstream.

A picture is an address (`image_url`), which is the client's, or a file of ours (`image_file`, with its project), which
no upstream could fetch: its bytes are put in its place.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from understudy.errors import Unavailable, UpstreamError
from understudy.inference.base import ChatMessage
from understudy.inference.dialect import ImageFetcher, ImageReader

MAX_INLINE = 64 * 1024 * 1024
"""Characters of pictures in one prompt. Beyond it the oldest are left out."""
_NOTE = "[A picture was attached here. You cannot see pictures.]"
_GONE = "[A picture was attached here. It is not there any more.]"
_TOO_MANY = "[A picture was attached here. It is left out: there are too many.]"


async def adapt_images(
    messages: Sequence[ChatMessage],
    mode: Literal["url", "inline", "none"],
    fetch: ImageFetcher | None,
    read: ImageReader | None = None,
) -> Sequence[ChatMessage]:
    """Return the messages with their pictures as the mode wants them.

    `inline` fetches addresses through `fetch`; files are read through `read`, both the newest first and as far as
    there is room for them.
    """
    if not any(isinstance(message.get("content"), list | tuple) for message in messages):
        return messages
    pictures = _Pictures(mode, fetch, read)
    return [await pictures.adapt(message) for message in reversed(messages)][::-1]


def plain(content: Any) -> str:
    """Return a message's content as one text, whatever its form."""
    return as_text(content) if isinstance(content, list | tuple) else str(content or "")


def as_text(parts: Sequence[Mapping[str, Any]]) -> str:
    """Return content parts as one text, a note in each picture's place."""
    return "\n".join(str(part["text"]) if part.get("type") == "text" else _NOTE for part in parts)


class _Pictures:
    """One prompt's pictures."""

    def __init__(self, mode: str, fetch: ImageFetcher | None, read: ImageReader | None) -> None:
        self._mode = mode
        self._fetch = fetch
        self._read = read
        self._left = MAX_INLINE

    async def adapt(self, message: ChatMessage) -> ChatMessage:
        parts = message.get("content")
        if not isinstance(parts, list | tuple):
            return message
        if self._mode == "none":
            return {**message, "content": as_text(parts)}
        return {**message, "content": [await self._part(part) for part in reversed(parts)][::-1]}

    async def _part(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        match part.get("type"):
            case "image_file":
                return await self._file(part["image_file"])
            case "image_url" if self._mode == "inline":
                return await self._inlined(part)
        return part

    async def _file(self, image: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._read is None:
            return _text(_NOTE)
        if self._left <= 0:
            return _text(_TOO_MANY)
        try:
            url = await self._read(image["project"], image["file_id"])
        except Unavailable:
            raise UpstreamError("A picture of this thread could not be read from the file store.") from None
        if url is None:
            return _text(_GONE)
        return self._within(url, {"type": "image_url", "image_url": {"detail": image.get("detail", "auto")}})

    async def _inlined(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        image = part.get("image_url")
        if not isinstance(image, Mapping) or str(image["url"]).startswith("data:"):
            return part
        if self._fetch is None:
            return _text(_NOTE)
        if self._left <= 0:
            return _text(_TOO_MANY)
        try:
            url = await self._fetch(str(image["url"]))
        except UpstreamError:
            raise
        except Exception:
            raise UpstreamError("A picture of this thread could not be fetched.", "invalid_prompt") from None
        return self._within(url, part)

    def _within(self, url: str, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a part with a picture's bytes in it, as long as the prompt has room for them."""
        self._left -= len(url)
        return _text(_TOO_MANY) if self._left < 0 else {**part, "image_url": {**part["image_url"], "url": url}}


def _text(note: str) -> Mapping[str, Any]:
    return {"type": "text", "text": note}
