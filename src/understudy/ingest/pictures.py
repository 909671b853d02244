"""Files that are pictures, as a model takes them: whole, in a `data:` URL."""

import base64

from understudy.errors import NoSuchFile
from understudy.files.base import NoBytes
from understudy.ingest.files import Files

MAX_PICTURE_BYTES = 20 * 1024 * 1024
_KINDS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}


async def data_url(files: Files, project: str, file_id: str) -> str | None:
    """Return a picture's bytes in a URL; None if it is gone, too large, or no picture. Raises FileFault.

    What it is is read off its first bytes: a name may say anything, and upstreams refuse what does not match.
    """
    try:
        file = await files.find(project, file_id)
        if file.bytes > MAX_PICTURE_BYTES:
            return None
        content = b"".join([chunk async for chunk in await files.content(project, file_id)])
    except (NoSuchFile, NoBytes):
        return None
    kind = _kind(content)
    return None if kind is None else f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _kind(content: bytes) -> str | None:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _KINDS.items() if content.startswith(start)), None)
