"""The door: every request needs a key, or, where the server has none, to come from a person at this machine.

All paths are closed but those of OPEN and the playground's. Nothing of a request is read before its key is known.
"""

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from understudy.api.errors import refusal
from understudy.api.keyring import Caller
from understudy.api.requests import services_of
from understudy.errors import ApiError, Forbidden, InvalidRequest, Unauthorized, Unavailable
from understudy.storage.api_keys import PROJECT_NAME, PROJECT_NAME_ALLOWED

OPEN = frozenset({"/health", "/metrics", "/openapi.json"})
PROJECT_HEADER = "openai-project"
_SHOWN_AT_START, _SHOWN_AT_END = 8, 4
_MAX_STARS = 100

NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY)."
)
NO_KEYS_YET = f"{NO_KEY} This server has no keys yet, so any value will do."
WRONG_KEY = "Incorrect API key provided: {}. You can find your API key at https://platform.openai.com/account/api-keys."


class Door:
    """Let in whoever has a key, and put the Caller into the scope, where `api/requests.py` finds it.

    Open paths get None for a caller who has shown no key; `also_open` are those of a page that asks for it.
    """

    def __init__(self, app: ASGIApp, also_open: frozenset[str] = frozenset()) -> None:
        self._app = app
        self._open = OPEN | also_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            scope["caller"] = await self._caller(scope)
        except (ApiError, Unavailable) as problem:
            await refusal(problem)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller | None:
        """Raises Unauthorized, InvalidRequest."""
        headers, is_open = Headers(scope=scope), route_path(scope) in self._open
        keyring = services_of(scope).keyring
        if not await keyring.are_on():
            if not is_open and not headers.get("authorization", "").strip():
                raise Unauthorized(NO_KEYS_YET)
            return Caller()
        secret = bearer(headers)
        found = await keyring.find(secret) if secret else None
        if found is None and not is_open:
            raise Unauthorized(WRONG_KEY.format(masked(secret)), code="invalid_api_key") if secret else _no_key()
        return _in_project(found, headers) if found else None


def require_admin(scope: Scope) -> None:
    """Let in admins only, where there are keys. Raises Unauthorized, Forbidden."""
    caller: Caller | None = scope["caller"]
    if caller is None:
        raise _no_key()
    if caller.key_id is not None and not caller.admin:
        raise Forbidden("This needs an admin key: make one with `understudy keys create --admin`.")


def _no_key() -> Unauthorized:
    return Unauthorized(NO_KEY)


def route_path(scope: Scope) -> str:
    """Return a request's path as routes know it: without the root path that a proxy puts before it."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "").rstrip("/"))


def bearer(headers: Headers) -> bytes:
    """Return the key of an Authorization header, as its bytes; empty if there is none."""
    scheme, _, secret = headers.get("authorization", "").strip().partition(" ")
    return secret.strip().encode("latin-1") if scheme.lower() == "bearer" else b""


def masked(secret: bytes) -> str:
    """Return a wrong key as the hosted API repeats it: the ends only, unless it is too short to be a key."""
    text, ends = secret.decode("latin-1"), _SHOWN_AT_START + _SHOWN_AT_END
    if len(text) <= ends:
        return text
    return text[:_SHOWN_AT_START] + "*" * min(len(text) - ends, _MAX_STARS) + text[-_SHOWN_AT_END:]


def _in_project(caller: Caller, headers: Headers) -> Caller:
    """An admin may enter any project; all others stay in their own, whatever project their SDK is set up with.

    Raises InvalidRequest.
    """
    named = headers.get(PROJECT_HEADER, "").strip()
    if not caller.admin or not named:
        return caller
    if not re.fullmatch(PROJECT_NAME, named):
        raise InvalidRequest(f"Invalid OpenAI-Project header: '{named}'. Give {PROJECT_NAME_ALLOWED}.")
    return Caller(named, caller.key_id, caller.admin, caller.limits)
