"""How retries are told from new requests, and what they are answered with (ADR 0004)."""

import hashlib
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
_DIGEST = "understudy.digest"


class NoteRefused:
    """Watch what POSTs are answered with. Belongs inside the limit on bodies, which gives a body in one piece.

    Forms with files come in many: they are known by their digest, once they were read to their end.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        first = await receive()
        body, given = first.get("body", b""), iter([first])

        async def receive_again() -> Message:
            return next(given, None) or await receive()

        def note() -> None:
            permission: Once | None = scope.get(_ONCE)
            if permission is not None and not permission.unused:
                return
            if first.get("more_body", False) and _DIGEST not in scope:
                return
            refused, headers = services_of(scope).refused, Headers(scope=scope)
            fingerprint = _fingerprint(scope, headers, scope.get(_DIGEST, body))
            if permission is None and _retries(headers) and not refused.settle(fingerprint):
                return  # one refused again is still one; of any other, an earlier try may have been carried out
            refused.note(fingerprint)

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_retried(message["status"]):
                note()
            await send(message)

        try:
            await self._app(scope, receive_again, send_and_note)
        except Exception:
            note()  # becomes a 500 further out
            raise


def _is_retried(status: int) -> bool:
    return status in (408, 409, 429) or status >= 500


def _digest(*parts: bytes) -> str:
    """Hash the parts so that none can pass for two."""
    return hashlib.sha256(b"".join(len(part).to_bytes(8) + part for part in parts)).hexdigest()


def _fingerprint(scope: Scope, headers: Headers, body: bytes) -> str:
    """All that a retry has in common with its original: whose it is, and what it asks for."""
    return _digest(headers.get("authorization", "").encode(), scope["path"].encode(), scope["query_string"], body)


async def once(request: Request) -> Once:
    """Return a POST's permission to change something once."""
    services, project = services_of(request.scope), project_of(request.scope)
    return _permission(request, services, project, await request.body())


def once_with_form(request: Request, services: Services, project: str, digest: bytes) -> Once:
    """Return the permission of a POST whose form was read; each try of it has boundaries of its own."""
    request.scope[_DIGEST] = digest
    return _permission(request, services, project, digest)


def _permission(request: Request, services: Services, project: str, body: bytes) -> Once:
    headers = request.headers
    retry = _retries(headers)
    if key := headers.get("idempotency-key"):
        post = Post(project, _digest(request.scope["path"].encode(), key.encode()), retry, _digest(body))
    else:
        fingerprint = _fingerprint(request.scope, headers, body)
        looks_back = retry > 0 and not services.refused.settle(fingerprint)
        post = Post(project, fingerprint, retry, looks_back=looks_back)
    permission = request.scope[_ONCE] = Once(services.clock, post)
    return permission


OnceDep = Annotated[Once, Depends(once)]


def _retries(headers: Headers) -> int:
    text = headers.get("x-stainless-retry-count", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0


def install(app: FastAPI) -> None:
    """Answer retries as their originals were answered."""
    app.add_exception_handler(AnsweredBefore, _answer_again)
    app.add_middleware(NoteRefused)


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
