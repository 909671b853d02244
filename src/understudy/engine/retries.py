"""What a request changes, it changes once, however often its client has to send it.

The answer is remembered in the transaction of the change. A try that finds an earlier one's answer changes nothing
and is answered with that (ADR 0004).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar

from sqlalchemy import Connection

from understudy.errors import InvalidRequest
from understudy.ids import Clock
from understudy.protocol.base import WireModel
from understudy.storage import posts
from understudy.storage.base import Store
from understudy.storage.faults import InDoubt
from understudy.storage.posts import Done, Post
from understudy.storage.runs import RunRecord

T = TypeVar("T")

REMEMBERED_S = 60.0
REMEMBERED_WITH_KEY_S = 24 * 3600.0
SOON_S = 0.25
"""Within which time no client has given a request up and sent it again: the SDKs pause for longer than this."""
CLOCKS_AGREE_S = 1.0
"""How far the clocks of a cluster's machines may be apart."""
REFUSED_S = 75.0
"""How long a refusal is remembered: the SDKs wait as they are told, for up to a minute, and then come again."""
MAX_REFUSED = 10_000
OTHER_BODY = (
    "This Idempotency-Key was used for a request with another body. Send the same body to get the same answer, "
    "or another key to do something else."
)


class AnsweredBefore(Exception):
    """Not a failure: an earlier try of this request was carried out, and this is its answer."""

    def __init__(self, done: Done) -> None:
        super().__init__(f"answered before: {done.object}")
        self.done = done


def itself(made: Any) -> Any:
    """The change's own result is what the client gets."""
    return made


class Once:
    """One request's permission to change something. Without a `post` it is not remembered.

    `changed` tells whether it has made use of that, or may have. `is_heard` tells a change, in its thread, whether the
    client still waits for the answer; one that is not known does not.
    """

    def __init__(
        self, clock: Clock | None = None, post: Post | None = None, is_heard: Callable[[], bool] = lambda: False
    ) -> None:
        self.clock = clock
        self.post = post
        self.changed = False
        self.is_heard = is_heard
        self._began = clock.now() if clock else 0.0

    @property
    def retried(self) -> bool:
        """Tell whether the client has sent this before."""
        return self.post is not None and self.post.retry > 0

    @property
    def unused(self) -> bool:
        """Tell whether nothing was done for this request: not now, and not by an earlier try that may be out there."""
        return not self.changed and not (self.post is not None and self.post.looks_back)

    async def write(
        self,
        store: Store,
        change: Callable[[Connection], T],
        shown: Callable[[T], WireModel | RunRecord] = itself,
        *,
        repeatable: bool = False,
    ) -> T:
        """Make a change and remember its answer with it. Raises AnsweredBefore if that was done before.

        `shown` finds in the change's result what the client gets. A repeatable change does the same when it is done
        again: it is remembered only under an idempotency key.
        """
        post, clock = self.post, self.clock
        if post is None or clock is None or (repeatable and not post.keyed):
            return await store.write(change)
        now, tries = clock.now(), count()

        def write(connection: Connection) -> tuple[T, None] | tuple[None, Done]:
            late = next(tries) > 0 or clock.now() > self._began + SOON_S
            posts.hold(connection, post, late=late)
            before = _before(connection, post, now) or (self._overtaken(connection, post) if late else None)
            if before is not None:
                return None, before
            made = change(connection)
            keep_s = REMEMBERED_WITH_KEY_S if post.keyed else REMEMBERED_S
            posts.add(connection, post, _done(shown(made)), now + keep_s)
            return made, None

        try:
            made, before = await store.write(write)
        except (InDoubt, asyncio.CancelledError):  # a change under way goes on without its request
            self.changed = True
            raise
        if before is not None:
            raise AnsweredBefore(before)
        self.changed = True
        return made  # type: ignore[return-value]  # the pair has one or the other

    def _overtaken(self, connection: Connection, post: Post) -> Done | None:
        """Return what this request's own retry has done since it began: its client gave up, and sent it again.

        Whoever still listens has sent no retry: what is found then was done for somebody else's equal request.
        """
        since = self._began - CLOCKS_AGREE_S
        done = None if post.keyed else posts.done_later(connection, post, since + REMEMBERED_S)
        return None if done is None or self.is_heard() else done


ALWAYS = Once()
"""For callers that are no request, and send nothing twice."""


class Refused:
    """Requests that were answered with an error which the SDKs retry: their retries have nothing to look back to.

    Without this, a retry after a 429 would be taken for the retry of somebody else's equal request.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recent: deque[tuple[float, str]] = deque(maxlen=MAX_REFUSED)

    def note(self, fingerprint: str) -> None:
        """Remember one for as long as its retry may come."""
        self._drop_old()
        self._recent.append((self._clock.now(), fingerprint))

    def settle(self, fingerprint: str) -> bool:
        """Tell whether a retry may be that of a refused request; if so, that one is done with."""
        self._drop_old()
        for entry in self._recent:
            if entry[1] == fingerprint:
                self._recent.remove(entry)
                return True
        return False

    def _drop_old(self) -> None:
        limit = self._clock.now() - REFUSED_S
        while self._recent and self._recent[0][0] < limit:
            self._recent.popleft()


def _before(connection: Connection, post: Post, now: float) -> Done | None:
    if post.body is not None:
        found = posts.of_key(connection, post)
        if found is None:
            return None
        done, body = found
        if body != post.body:
            raise InvalidRequest(OTHER_BODY, code="idempotency_key_in_use")
        return done
    return posts.claim(connection, post, now) if post.looks_back else None


def _done(answer: WireModel | RunRecord) -> Done:
    run_id, attempt = None, 0
    if isinstance(answer, RunRecord):
        run_id, attempt, answer = answer.id, answer.attempt, answer.shown()
    name: str = getattr(answer, "object")  # noqa: B009  # every noun has it, their base does not
    thread_id = getattr(answer, "id" if name == "thread" else "thread_id", None)
    return Done(name, answer.model_dump_json(), thread_id, run_id, attempt)
