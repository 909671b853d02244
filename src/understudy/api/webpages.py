"""Web pages at the door: which may use this server, and how a server without keys is closed to all others.

A server on loopback without keys is for the person at the machine, not for the pages in their browser. A page cannot
choose the headers this looks at: Host tells that a foreign name was bound to this address (DNS rebinding), Origin
and Sec-Fetch-Site tell whose page it is. With keys none of this matters: a page does not have one.
"""

import socket
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from understudy.api.errors import refusal
from understudy.api.requests import services_of
from understudy.errors import Forbidden, Unavailable

METHODS = ("GET", "POST", "DELETE")
EXPOSED = (
    "x-request-id",
    "openai-processing-ms",
    "openai-poll-after-ms",
    "retry-after",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
)
_REMEMBER_S = 600
_OWN = frozenset({"same-origin", "none"})  # none: typed into the address bar, or no page at all

FOREIGN_HOST = (
    "This server has no keys, so it answers under a loopback name only, and {} is none: use http://127.0.0.1 or "
    "http://localhost, or make a key with `understudy keys create`."
)
FOREIGN_PAGE = "A web page of {} may not use this server: name its origin in UNDERSTUDY_CORS_ORIGINS to allow it."


class WebPages:
    """Refuse what a foreign page had the browser send. Origins that the settings name may do all that others may."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)
        self._app = app if not origins else _with_cors(app, origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope, keys_are_on=await services_of(scope).keyring.are_on())
            except (Forbidden, Unavailable) as problem:
                await refusal(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope, *, keys_are_on: bool) -> None:
        """Raises Forbidden."""
        headers = Headers(scope=scope)
        asks_first = scope["method"] == "OPTIONS" and "access-control-request-method" in headers
        if keys_are_on and not (asks_first and self._origins):
            return
        if not keys_are_on:
            _check_host(headers)
        origin = headers.get("origin")
        if origin is not None and origin.lower() in self._origins:
            return
        if origin is not None and not _is_own(origin, headers):
            raise Forbidden(FOREIGN_PAGE.format(repr(origin)))
        if headers.get("sec-fetch-site", "none") not in _OWN:
            raise Forbidden(FOREIGN_PAGE.format("another site"))


def _check_host(headers: Headers) -> None:
    """Raises Forbidden unless every Host is a name that leads nowhere but to this machine."""
    hosts = headers.getlist("host")
    for host in hosts or [""]:
        if not is_loopback(_without_port(host)):
            raise Forbidden(FOREIGN_HOST.format(repr(host)))


def _without_port(host: str) -> str:
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        return name if not port or _is_port(port) else ""
    name, colon, port = host.partition(":")
    return name if not colon or _is_port(colon + port) else ""


def _is_port(text: str) -> bool:
    return text.startswith(":") and text[1:].isdecimal() and text.isascii()


@lru_cache(maxsize=64)
def is_loopback(name: str) -> bool:
    """Tell whether a name or an address always means this machine. No other name does: names can be bound anew."""
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _is_own(origin: str, headers: Headers) -> bool:
    """Tell whether a page came from this very server."""
    host = headers.get("host", "").lower()
    return origin.lower() in (f"http://{host}", f"https://{host}")


def _with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=["*"],
        expose_headers=EXPOSED,
        max_age=_REMEMBER_S,
    )
