"""What an upstream had sent before its connection broke.

The client's transport (aiohttp) raises the fault of a connection before it gives what came ahead of that fault, if
nobody was waiting for it at that moment: words of a model that had arrived would be lost.
"""

from typing import Any


def unread(response: Any) -> bytes:
    """Return the bytes of a body that were received and not read; nothing where they are compressed."""
    if "content-encoding" in response.headers:
        return b""
    transported = getattr(getattr(response.stream, "_stream", None), "_aiohttp_response", None)
    if transported is None:
        return b""
    transported.content.set_exception(None)  # it refuses to read as long as it holds one
    rest: bytes = transported.content.read_nowait()
    return rest
