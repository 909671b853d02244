"""What the way to the server asks for: an end to requests that take for ever, and a path to live below."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from understudy.api.errors import answer

_BUSY = "understudy.busy"
_COARSENESS = 0.05
"""Within which part of the limit its end is not put off: a new timer for every request's body would be dear."""
FULL_RETRY_S = 1
FULL = f"The server has as many connections as it may have. Please try again in {FULL_RETRY_S}s."


def busy(scope: Scope) -> None:
    """Say that a request is being worked on, and that this may take a while yet."""
    scope.get(_BUSY, lambda: None)()


async def full(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer on a connection that is one too many."""
    headers = {"retry-after": str(FULL_RETRY_S), "connection": "close"}
    await answer(503, FULL, kind="server_error", headers=headers)(scope, receive, send)


class TimeLimit:
    """End a request that has not begun to answer in time. Event streams begin at once and last as long as their run.

    The time begins anew with each piece of the body: how slowly that may come is another's to say. A route that is
    busy with many bytes says so now and then (`busy`).
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        now = asyncio.get_running_loop().time
        began = now()
        limit = asyncio.timeout_at(began + self._seconds)

        def restart() -> None:
            nonlocal began
            if not started and now() - began > self._seconds * _COARSENESS:
                began = now()
                limit.reschedule(began + self._seconds)

        async def hearing() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                restart()
            return message

        async def watching(message: Message) -> None:
            nonlocal started
            if not started:
                started = True
                limit.reschedule(None)  # from here on the client's own pace counts
            await send(message)

        scope[_BUSY] = restart
        try:
            async with limit:
                await self._app(scope, hearing, watching)
        except TimeoutError:
            if started or not limit.expired():
                raise
            text = f"The server took longer than {self._seconds:g} s over this request, and gave up."
            await answer(503, text, kind="server_error")(scope, receive, send)


class RootPath:
    """Serve below a path: behind a proxy that passes it on as well as behind one that takes it off."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(f"{self._path}/"):
            raw = scope["raw_path"].removeprefix(self._path.encode("ascii"))
            scope = {**scope, "path": scope["path"].removeprefix(self._path), "raw_path": raw}
        await self._app(scope, receive, send)
