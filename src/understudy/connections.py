"""Connections of the HTTP server: uvicorn's, with limits on their number and on a request's head.

Other than uvicorn's own they send an answer's head and body together, and a stop cuts off no request that has come in.
"""

import asyncio
import logging
import sys
from typing import Any, cast

from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 64 * 1024
LINGER_S = 0.5
"""How long an idle connection stays at a stop: what its client is sending just now is answered, and then it ends."""
TURNED_AWAY = 100
"""How many connections beyond the limit are told so; those beyond them are closed at once."""
FILES_PER_CONNECTION = 2
"""A client's own, and one to the model's server for its run."""
OTHER_FILES = 200
"""What the server opens beside: database, uploads, sandboxes."""


class HeadWithBody:
    """A transport that holds an answer's head until its body follows, or the turn of the event loop is over.

    uvicorn writes the one after the other and uvloop sends each at once: one call of the system more for every answer,
    and a client that is woken twice.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        """All else is done by the transport itself."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send bytes, after the head that waits for them. A body that looks like a head is just sent a little later."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        elif data.startswith(b"HTTP/"):
            self._head = data
            self._loop.call_soon(self._send_head)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Send what waits, and close."""
        self._send_head()
        self._transport.close()

    def _send_head(self) -> None:
        head, self._head = self._head, b""
        if head:
            self._transport.write(head)


class Connection(HttpToolsProtocol):
    """Closes on clients who send a head byte by byte, or without end; one too many gets its answers of `full`.

    At a stop it ends after the next answer, which says so.
    """

    head_timeout_s: float
    most: int
    full: ASGIApp
    is_stopping = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._ends_next = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start the clock: a connection that says nothing is closed too."""
        super().connection_made(cast("asyncio.Transport", HeadWithBody(transport, self.loop)))
        if len(self.connections) > self.most + TURNED_AWAY:
            transport.abort()
        elif len(self.connections) > self.most:
            self.app = self.full
        self._await_head()
        if self.is_stopping:
            self.shutdown()

    def data_received(self, data: bytes) -> None:
        """Take bytes; those that come between two requests begin a head."""
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._await_head()
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.close()

    def on_headers_complete(self) -> None:
        """Stop the clock."""
        self._head_is_there()
        super().on_headers_complete()
        if self._ends_next:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """End in good order: a client cannot tell whether a request was carried out that is cut off unanswered."""
        self._ends_next = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LINGER_S, super().shutdown)
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._head_is_there()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._give_up)

    def _head_is_there(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        self.transport.close()


def connections(head_timeout_s: float, most: int, full: ASGIApp) -> type[Connection]:
    """Return the class of connections with these limits; `full` answers where there are more than `most`."""
    return type(
        "Connection", (Connection,), {"head_timeout_s": head_timeout_s, "most": most, "full": staticmethod(full)}
    )


def make_room(most: int) -> int:
    """Have the system allow as many files as so many connections need; return how many connections it comes to."""
    if sys.platform == "win32":
        return most  # sockets are no files there
    import resource

    wanted = FILES_PER_CONNECTION * most + OTHER_FILES
    allowed, at_most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or allowed >= wanted:
        return most
    if at_most == resource.RLIM_INFINITY or at_most >= wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, at_most))
        return most
    resource.setrlimit(resource.RLIMIT_NOFILE, (at_most, at_most))
    fewer = max((at_most - OTHER_FILES) // FILES_PER_CONNECTION, 1)
    log.warning(
        "max_connections is %d, but this system lets the server open %d files only, which is enough for %d: "
        "raise the limit (ulimit -Hn), or give a lower max_connections",
        most,
        at_most,
        fewer,
    )
    return fewer
