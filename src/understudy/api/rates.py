"""Requests per minute, for keys that have such a limit: counted in memory, by each server for itself."""

import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from understudy.api.errors import refusal
from understudy.api.keyring import Caller
from understudy.engine.limits import spelled
from understudy.errors import TooManyRequests

WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Count:
    """A key's requests in the last minute, in the hosted API's terms."""

    limit: int
    used: int
    oldest_age_s: float
    newest_age_s: float

    def headers(self) -> dict[str, str]:
        """Return the headers that tell a client how far it is."""
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(max(0, self.limit - self.used)),
            "x-ratelimit-reset-requests": spelled(WINDOW_S - self.newest_age_s),
        }


class RequestRates:
    """Refuse a key's requests beyond its limit in any minute, before anything of them is read."""

    def __init__(self, app: ASGIApp, now: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._now = now
        self._seen: defaultdict[str, deque[float]] = defaultdict(deque)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller | None = scope.get("caller")
        if caller is None or caller.key_id is None or caller.limits.requests_per_minute is None:
            await self._app(scope, receive, send)
            return
        limit, now = caller.limits.requests_per_minute, self._now()
        seen = self._seen[caller.key_id]
        while seen and seen[0] <= now - WINDOW_S:
            seen.popleft()
        refused = len(seen) >= limit
        if not refused:
            seen.append(now)
        count = Count(limit, len(seen), now - seen[0], now - seen[-1])
        app = refusal(_too_many(caller, count)) if refused else self._app
        await app(scope, receive, _with_headers(count.headers(), send))


def _too_many(caller: Caller, count: Count) -> TooManyRequests:
    wait_s = WINDOW_S - count.oldest_age_s
    return TooManyRequests(
        f"Rate limit reached for key {caller.key_id} in project {caller.project} on requests per min (RPM): "
        f"Limit {count.limit}, Used {count.used}, Requested 1. Please try again in {spelled(wait_s)}.",
        wait_s,
        code="rate_limit_exceeded",
    )


def _with_headers(headers: dict[str, str], send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(raw=message.setdefault("headers", [])).update(headers)
        await send(message)

    return send_with_headers
