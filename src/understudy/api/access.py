"""What is noted of every request: a line in the log, and a count for whoever measures."""

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from understudy import logs

log = logging.getLogger("understudy.requests")

_V1 = "/v1"
_HUNG_UP = 499
_QUIET = frozenset({"/health", "/metrics"})
_IDS = ("thread_id", "run_id", "assistant_id", "message_id", "step_id", "file_id", "upload_id")


class Meter(Protocol):
    """Counts requests."""

    def stream_began(self) -> None:
        """Note that an event stream is open."""
        ...

    def request_ended(self, method: str, route: str, status: int, seconds: float, *, streamed: bool) -> None:
        """Note how a request went; `route` is the template, not the path."""
        ...


class Access:
    """Log and count each request at its end; its lines carry its id."""

    def __init__(self, app: ASGIApp, meter: Meter | None, log_content: bool) -> None:
        self._app = app
        self._meter = meter
        self._log_content = log_content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, streamed = time.perf_counter(), 0, False

        async def noting(message: Message) -> None:
            nonlocal status, streamed
            if message["type"] == "http.response.start":
                status = message["status"]
                streamed = (b"content-type", b"text/event-stream; charset=utf-8") in message["headers"]
                if streamed and self._meter:
                    self._meter.stream_began()
            await send(message)

        said: list[bytes] = []
        heard = _hearing(receive, said) if self._log_content and not _brings_a_file(scope) else receive
        with logs.about(request_id=scope["request_id"]):
            try:
                await self._app(scope, heard, noting)
            except Exception:
                status = status or 500
                raise
            finally:
                status = status or _HUNG_UP
                seconds = time.perf_counter() - began
                if self._meter:
                    self._meter.request_ended(scope["method"], _route(scope), status, seconds, streamed=streamed)
                if log.isEnabledFor(level := logging.DEBUG if scope["path"] in _QUIET else logging.INFO):
                    log.log(level, "request", extra={"facts": _facts(scope, status, seconds, said)})


def _brings_a_file(scope: Scope) -> bool:
    """Files are never logged: they may be large, and are not what a person wrote."""
    return Headers(scope=scope).get("content-type", "").lower().startswith("multipart/")


def _route(scope: Scope) -> str:
    """The route's template: paths are as many as clients make up."""
    template = getattr(scope.get("route"), "path", None)
    if template is None:
        return "none"
    below = scope["path"].startswith(f"{_V1}/") and not template.startswith(f"{_V1}/")
    return f"{_V1}{template}" if below else str(template)  # an included router's routes are told without its prefix


def _facts(scope: Scope, status: int, seconds: float, said: list[bytes]) -> dict[str, Any]:
    ids = scope.get("path_params", {})
    facts = {name: ids[name] for name in _IDS if name in ids}
    facts |= {"client": scope["client"][0]} if scope.get("client") else {}
    facts |= {"method": scope["method"], "path": scope["path"], "status": status, "ms": round(seconds * 1000, 1)}
    return facts | ({"body": b"".join(said).decode("utf-8", "replace")} if said else {})


def _hearing(receive: Receive, said: list[bytes]) -> Callable[[], Any]:
    async def hear() -> Message:
        message = await receive()
        said.append(message.get("body", b""))
        return message

    return hear
