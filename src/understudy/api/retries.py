"""How retries are told from new requests, and what they are answered with (ADR 0004)."""

import hashlib
from asyncio import AbstractEventLoop, get_running_loop, run_coroutine_threadsafe
from functools import partial
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from understudy.api.requests import Services, project_of, services_of
from understudy.api.sse import event_stream
from understudy.engine.retries import AnsweredBefore, Once
from understudy.storage.posts import Post

REPLAYED = {"idempotent-replayed": "true"}
_ONCE = "understudy.once"
_ASK_S = 2.0


class NoteRefused:
    """Watch what POSTs are answered with. Belongs outside of all that may refuse one before its body is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_retried(message["status"]):
                _note(scope)
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            _note(scope)  # becomes a 500 further out
            raise


def _note(scope: Scope) -> None:
    """Note a refusal. With an idempotency key there is nothing to note: the key decides."""
    refused, headers = services_of(scope).refused, Headers(scope=scope)
    permission: Once | None = scope.get(_ONCE)
    if "idempotency-key" in headers:
        return
    if permission is None:
        unread = _unread(scope, headers)
        if _retries(headers) == 0 or refused.settle(unread):  # one refused again is still one;
            refused.note(unread)  # of any other, an earlier try may have been carried out
    elif permission.post is not None and permission.unused:
        refused.note(permission.post.fingerprint)


def _is_retried(status: int) -> bool:
    return status in (408, 409, 429) or status >= 500


def _digest(*parts: bytes) -> str:
    """Hash the parts so that none can pass for two."""
    return hashlib.sha256(b"".join(len(part).to_bytes(8) + part for part in parts)).hexdigest()


def _fingerprint(scope: Scope, headers: Headers, body: bytes) -> str:
    """All that a retry has in common with its original: whose it is, and what it asks for."""
    return _digest(headers.get("authorization", "").encode(), scope["path"].encode(), scope["query_string"], body)


def _unread(scope: Scope, headers: Headers) -> str:
    """What is known of a request without its body: how long that is, in the place of what it says."""
    content = b"unread", headers.get("content-length", "").encode()
    return _digest(headers.get("authorization", "").encode(), scope["path"].encode(), scope["query_string"], *content)


async def once(request: Request) -> Once:
    """Return a POST's permission to change something once."""
    services, project = services_of(request.scope), project_of(request.scope)
    return _permission(request, services, project, await request.body())


def once_with_form(request: Request, services: Services, project: str, digest: bytes) -> Once:
    """Return the permission of a POST whose form was read; each try of it has boundaries of its own."""
    return _permission(request, services, project, digest)


def _permission(request: Request, services: Services, project: str, body: bytes) -> Once:
    headers = request.headers
    retry = _retries(headers)
    if key := headers.get("idempotency-key"):
        post = Post(project, _digest(request.scope["path"].encode(), key.encode()), retry, _digest(body))
    else:
        fingerprint = _fingerprint(request.scope, headers, body)
        looks_back = retry > 0 and not _was_refused(request.scope, services, fingerprint)
        post = Post(project, fingerprint, retry, looks_back=looks_back)
    permission = request.scope[_ONCE] = Once(services.clock, post, partial(_is_heard, request, get_running_loop()))
    return permission


def _is_heard(request: Request, loop: AbstractEventLoop) -> bool:
    """Tell, in a thread, whether a client still waits for its answer. The request must have been read to its end."""
    asked = run_coroutine_threadsafe(request.is_disconnected(), loop)
    try:
        return not asked.result(_ASK_S)
    except TimeoutError:
        asked.cancel()
        return True


def _was_refused(scope: Scope, services: Services, fingerprint: str) -> bool:
    """Tell whether a retry may be that of a refused request; if so, that one is done with."""
    return services.refused.settle(fingerprint) or services.refused.settle(_unread(scope, Headers(scope=scope)))


OnceDep = Annotated[Once, Depends(once)]


def _retries(headers: Headers) -> int:
    text = headers.get("x-stainless-retry-count", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0


def install(app: FastAPI) -> None:
    """Answer retries as their originals were answered."""
    app.add_exception_handler(AnsweredBefore, _answer_again)


async def _answer_again(request: Request, earlier: Exception) -> Response:
    assert isinstance(earlier, AnsweredBefore)
    services: Services = request.app.state.services
    done = earlier.done
    if done.run_id is not None and _wants_stream(await request.body()):
        return event_stream(services.followers.again(done.run_id, done.attempt), REPLAYED)
    return Response(done.answer, media_type="application/json", headers=REPLAYED)


def _wants_stream(body: bytes) -> bool:
    """The body was accepted before: what it says of streams is valid."""
    content = from_json(body) if body.strip() else None
    return isinstance(content, dict) and content.get("stream") is True
