"""Server-sent events as upstreams send them, and the one JSON body that some send in their place."""

import json
from collections.abc import AsyncGenerator, AsyncIterator

from understudy.inference.wire import NotUnderstood

DONE = b"[DONE]"

_MAX_LINE_BYTES = 32 * 1024 * 1024  # an upstream that never ends a line must not fill the memory


async def payloads(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the data of each event, `[DONE]` included; a body that is one JSON object comes out whole.

    An event named `error` comes out as `{"error": data}`. Lines end at LF alone: other line readers also split at
    U+2028, which is legal inside JSON strings. Raises NotUnderstood for a page of HTML and for any other text.
    """
    buffer, event = b"", b""
    events_begun = False
    async for chunk in chunks:
        buffer += chunk
        if len(buffer) > _MAX_LINE_BYTES:
            raise NotUnderstood("The model's server sent a line without an end.")
        if not events_begun and buffer.lstrip()[:1] in (b"", b"{"):
            continue  # one JSON object so far: wait for its end
        events_begun = True
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            name, value = _field(line)
            event = value if name == b"event" else event if name else b""
            if name == b"data" and value:
                yield b'{"error": %s}' % value if event == b"error" else value
    if last := _last(buffer):
        yield last


def _field(line: bytes) -> tuple[bytes, bytes]:
    """Return a line's field name (empty for blank lines and comments) and value."""
    name, _, value = line.strip().partition(b":")
    if name not in (b"data", b"event", b"id", b"retry", b""):
        raise NotUnderstood("The model's server answered with something that is not an event stream.")
    return name, value.strip()


def _last(rest: bytes) -> bytes:
    """Return what an unended last line carries; nothing if the connection was cut in its midst."""
    rest = rest.strip()
    data = rest if rest.startswith(b"{") else _field(rest)[1]
    try:
        json.loads(data)
    except ValueError:
        return data if data == DONE else b""
    except RecursionError:  # whoever decodes it says so
        return data
    return data
