"""Events to bytes, as text/event-stream."""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing

from fastapi.responses import StreamingResponse

from understudy.bus.base import LiveEvent
from understudy.engine.follow import LOOK_EVERY_S
from understudy.errors import Unavailable
from understudy.protocol.events import DONE, ERROR

log = logging.getLogger(__name__)

COMMENT_EVERY_S = 15.0
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
_DONE = f"event: {DONE}\ndata: [DONE]\n\n".encode()
_COMMENT = b": keep-alive\n"
"""No blank line after it: the Python SDK keeps the last id it saw, and would read the two as one more event."""
_FAILED = "The server lost track of this run's events. Retrieve the run to see how it stands."


def event_stream(
    events: AsyncGenerator[LiveEvent | None, None], headers: Mapping[str, str] | None = None
) -> StreamingResponse:
    """Answer with a run's events; after the last comes `done`."""
    return StreamingResponse(_encoded(events), media_type="text/event-stream", headers=HEADERS | dict(headers or {}))


async def _encoded(events: AsyncGenerator[LiveEvent | None, None]) -> AsyncIterator[bytes]:
    silent_s = 0.0
    try:
        async with aclosing(events):
            async for live in events:
                silent_s = 0.0 if live else silent_s + LOOK_EVERY_S
                if live is not None:
                    yield encode(live)
                elif silent_s >= COMMENT_EVERY_S:
                    silent_s = 0.0
                    yield _COMMENT
    except Unavailable as reason:
        yield _error(str(reason))
        return
    except Exception:
        log.exception("a stream broke off")
        yield _error(_FAILED)
        return
    yield _DONE


def encode(live: LiveEvent) -> bytes:
    """One event. The id comes last: the SDKs ignore it, and some older readers want the event's name first."""
    return f"event: {live.event.name}\ndata: {live.event.data}\nid: {live.id}\n\n".encode()


def _error(message: str) -> bytes:
    """The specification has the error itself as data, the SDKs look for it under `error`: both are given."""
    error = {"message": message, "type": "server_error", "param": None, "code": None}
    return f"event: {ERROR}\ndata: {json.dumps(error | {'error': error})}\n\n".encode()
