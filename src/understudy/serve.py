"""`understudy serve`: the socket, the server on it, the line that says it listens, and a quiet end."""

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from understudy import config, logs, model_download
from understudy.app import build
from understudy.config import Settings
from understudy.connections import LINGER_S, Connection, connections, make_room
from understudy.errors import ConfigurationError, UnderstudyError
from understudy.topology import Role
from understudy.web import full

log = logging.getLogger(__name__)

_GRACE_S = 5  # how long streams may go on after a SIGTERM
_PARTING_S = 2  # how long clients then have to take their streams' last event
_LAST_S = 9  # when the process ends whatever still hangs: a disk, an upstream, a client that does not read
_KEEP_ALIVE_S = 75  # longer than the SDKs keep an idle connection: theirs to close, so no request meets a closed one
_BACKLOG = 2048
_COLLECT_EVERY = (10_000, 10, 5)
"""How many new objects make Python look for garbage among them, and how many such looks one among those that stayed."""


def serve(settings: Settings, role: Role = "all") -> None:
    """Serve until a signal comes. Raises UnderstudyError if the server cannot start."""
    logs.set_up(settings.log_level, settings.log_format, content=settings.log_content)
    logging.getLogger("uvicorn.error").addFilter(lambda record: not _is_known(record))
    for remark in config.unknown_variables():
        log.warning("%s", remark)
    if model_download.is_wanted(settings) and not model_download.is_there(settings):
        log.warning("the embedded model is not there yet: run `understudy models fetch`, or give --model-url")
    if model_download.is_wanted(settings) and (lack := model_download.missing_library()):
        log.warning("the embedded model cannot be used: %s", lack)
    check_tls(settings)
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn hands the signal on to these when it is done
        signal.signal(number, lambda *_: sys.exit(0))
    listener = bind(settings.host, settings.port)
    app = build(settings, role)
    start = _Start(app)
    server_config = _server_config(start, settings, full(app, settings.root_path))
    server = _Server(server_config, address(settings.host, listener, tls=settings.tls_cert is not None), app)
    try:
        server.run(sockets=[listener])
    except SystemExit:
        if start.failure is None:
            raise
        raise start.failure from None
    finally:
        listener.close()


def check_tls(settings: Settings) -> None:
    """Raise ConfigurationError if the certificate and its key are not a pair that can be served."""
    if settings.tls_cert is None:
        if settings.tls_key is not None:
            raise ConfigurationError("tls_key is given without tls_cert; give both")
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except OSError as problem:  # ssl's own errors are of this kind
        why = problem.strerror or str(problem)
        raise ConfigurationError(f"tls_cert {settings.tls_cert} and its key cannot be used: {why}") from None


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; who connects before the server is up waits a moment. Raises ConfigurationError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise ConfigurationError(f"host is {host!r}, which is no name or address of this machine") from None
    family, kind, protocol, _, place = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # there, the option would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(_BACKLOG)
    except OSError as problem:
        listener.close()
        raise ConfigurationError(f"cannot listen on {host} port {port}: {_words(problem)}") from None
    return listener


def address(host: str, listener: socket.socket, *, tls: bool = False) -> str:
    """Return the server's URL, with the port it really has."""
    name = f"[{host}]" if ":" in host else host
    return f"http{'s' if tls else ''}://{name}:{listener.getsockname()[1]}"


def _words(problem: OSError) -> str:
    if problem.errno == errno.EADDRINUSE:
        return "another program uses it; stop that one, or give another --port (0 picks a free one)"
    return problem.strerror or str(problem)


class _Server(uvicorn.Server):
    """Says where it listens, once it does; ends in good order, and in time."""

    def __init__(self, server_config: uvicorn.Config, url: str, app: FastAPI) -> None:
        super().__init__(server_config)
        self._url = url
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _leave_out_of_collections()
            print(f"Understudy is listening on {self._url}", flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal. From here on the clock runs, also where the event loop itself hangs."""
        if not self.should_exit:
            last = threading.Timer(_LAST_S, _end_now)
            last.daemon = True
            last.start()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing new, answer held polls; after the grace hand runs back and end streams."""
        services = self._app.state.services
        services.followers.release_polls()
        services.waits.release()
        ending = asyncio.create_task(self._end_streams(), name="end of the grace")
        await self._take_in(sockets or [])
        await super().shutdown(sockets)
        ending.cancel()

    async def _take_in(self, listeners: list[socket.socket]) -> None:
        """Stop listening, but take in who has connected by now: the system would cut them off with their requests."""
        waiting = [connected for listener in listeners for connected in _accepted(listener)]
        for server in self.servers:
            server.close()
        protocol = cast("type[Connection]", self.config.http_protocol_class)
        protocol.is_stopping = True
        of_this = partial(protocol, self.config, self.server_state, self.lifespan.state)
        taking = [asyncio.create_task(_taken(connected, of_this, self.config.ssl)) for connected in waiting]
        if taking:
            await asyncio.wait(taking, timeout=LINGER_S)  # with TLS, a client may say nothing

    async def _end_streams(self) -> None:
        await asyncio.sleep(_GRACE_S)
        await self._app.state.wind_down()


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    listener.setblocking(False)
    with suppress(OSError):  # nobody waits, or nobody any more
        while True:
            yield listener.accept()[0]


async def _taken(connected: socket.socket, protocol: Callable[[], Connection], tls: ssl.SSLContext | None) -> None:
    with suppress(OSError):  # gone by now
        await asyncio.get_running_loop().connect_accepted_socket(protocol, connected, ssl=tls)


def _leave_out_of_collections() -> None:
    """Spare the garbage collector all that was loaded by now, which stays; and let it look less often.

    With Python's own thresholds it took a fifth of the time of 500 streams, in pauses of up to 0.3 s.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_EVERY)


def _end_now() -> None:
    log.warning("something still hangs %d s after the signal to stop: ending without it", _LAST_S)
    os._exit(0)  # the truth is in the database, and the next start takes up what was under way


class _Start:
    """The app, but a reason of ours not to start is kept for one sentence instead of logged as a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.failure: UnderstudyError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def told(message: MutableMapping[str, Any]) -> None:
            reason = sys.exc_info()[1]
            if message["type"] == "lifespan.startup.failed" and isinstance(reason, UnderstudyError):
                self.failure = reason
                message = {"type": message["type"], "message": ""}
            await send(message)

        await self._app(scope, receive, told)


def _server_config(app: ASGIApp, settings: Settings, turned_away: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=connections(settings.head_timeout_s, make_room(settings.max_connections), turned_away),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # api/access.py has one with ids
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S + _PARTING_S,
        backlog=_BACKLOG,
    )


def _is_known(record: logging.LogRecord) -> bool:
    """No traceback for a stream that is cut on purpose, and no second one for what the API has logged."""
    problem = record.exc_info[1] if record.exc_info else None
    return isinstance(problem, asyncio.CancelledError) or getattr(problem, "is_logged", False)
