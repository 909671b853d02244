"""The bus of many machines: NATS JetStream for jobs and events, plain NATS for signals.

Jobs lie in a work queue, one message for a run at most; one that is taken and not confirmed comes again (`nats_jobs`).
Events lie in a stream bounded in age and bytes (`nats_log`). While NATS is away, events wait for a moment and then are
let go: the rows are the truth, and followers look at them.
"""

import asyncio
import logging
import os
import secrets
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.errors import APIError

from understudy.bus import nats_streams
from understudy.bus.base import EventId, LiveEvent, Subscription, Work
from understudy.bus.nats_jobs import PUBLISH_S, JobQueue
from understudy.bus.nats_log import (
    ANSWER_S,
    EVENTS_PER_MESSAGE,
    Follower,
    LogReader,
    Outbox,
    Sizes,
    Stored,
    decoded,
    encoded,
)
from understudy.bus.signals import Listeners
from understudy.errors import ConfigurationError, Unavailable
from understudy.protocol.events import BEGINNINGS, Event

log = logging.getLogger(__name__)

LOG_S = 1200.0
LOG_BYTES = 8 * 1024 * 1024
OFFER_S = 1.0
_TAKEN = b"taken"
CONNECT_S = 30.0  # a start may coincide with a restart of NATS
RECONNECT_EVERY_S = 0.25
CLOSE_S = 3.0


class NatsBus:
    """One process's place in the cluster's bus. `prefix` keeps several clusters apart on one NATS."""

    def __init__(
        self,
        url: str,
        prefix: str = "understudy",
        *,
        log_s: float = LOG_S,
        listener: Callable[[str, Sequence[Event]], None] | None = None,
    ) -> None:
        """`log_s`: how long an event is kept; `listener` hears every event that this process publishes."""
        self._url, self._prefix, self._log_s, self._listener = url, prefix, log_s, listener
        jobs_stream, self._events_stream = nats_streams.names(prefix)
        self._sizes = Sizes(LOG_BYTES)
        self._client = Client()
        self._jobs = JobQueue(self._client, jobs_stream, prefix, self._mend)
        self._outbox = Outbox(f"{os.getpid():x}{secrets.token_hex(6)}")
        self._reader = LogReader(self._events_stream)
        self._followers: weakref.WeakSet[Follower] = weakref.WeakSet()
        self._listeners = Listeners()
        self._generation = 0
        self._closed = False
        self._keeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, and make the streams if there are none yet. Raises ConfigurationError."""
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._client.connect(
                    self._url.split(","),
                    name="understudy",
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_EVERY_S,  # type: ignore[arg-type]  # it takes fractions
                    ping_interval=3,
                    pending_size=16 * 1024 * 1024,
                    error_cb=_quietly,
                    disconnected_cb=self._lost,
                    reconnected_cb=self._found,
                )
                await self._make_streams()
        except (NatsError, OSError, TimeoutError) as problem:
            await self._disconnect()
            raise ConfigurationError(f"the bus at NATS cannot be used: {_words(problem)}") from None
        await self._outbox.open(self._client)
        self._reader.open(self._client)
        await self._client.subscribe(f"{self._prefix}.signal.*", cb=self._signalled)
        with suppress(NatsError, OSError, TimeoutError):
            await reached(self._client)  # from now on NATS knows that signals are wanted here
        self._keeping = asyncio.create_task(self._keep_sending(), name="outbox")

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._jobs.close()
        for follower in list(self._followers):
            follower.end()
        if self._keeping is not None:
            self._keeping.cancel()
        await self._disconnect()

    # --- jobs --------------------------------------------------------------------------------------------------------

    async def enqueue(self, job: str, work: Work = "runs", *, behind: bool = False) -> None:
        await self._jobs.enqueue(job, work, behind=behind)

    def jobs(self, work: Work = "runs") -> AsyncGenerator[str, None]:
        return self._jobs.jobs(work)

    async def taken(self, job: str, work: Work = "runs") -> None:
        await self._jobs.taken(job, work)

    async def depth(self, work: Work = "runs") -> int:
        return await self._jobs.depth(work)

    async def offer(self, thread_id: str, run_id: str) -> bool:
        try:
            answer = await self._client.request(f"{self._prefix}.offer.{thread_id}", run_id.encode(), timeout=OFFER_S)
        except (NatsError, OSError, TimeoutError):
            return False
        return answer.data == _TAKEN

    @asynccontextmanager
    async def offered(self, thread_id: str, take: Callable[[str], Awaitable[bool]]) -> AsyncIterator[None]:
        async def asked(message: Msg) -> None:
            answer = _TAKEN if await take(message.data.decode()) else b""
            with suppress(NatsError, OSError):
                await message.respond(answer)

        listening = await self._client.subscribe(f"{self._prefix}.offer.{thread_id}", cb=asked)
        with suppress(NatsError, OSError, TimeoutError):
            await reached(self._client)
        try:
            yield
        finally:
            with suppress(NatsError):
                await listening.unsubscribe()

    # --- events ------------------------------------------------------------------------------------------------------

    async def publish(self, run_id: str, attempt: int, events: Sequence[Event]) -> list[EventId]:
        if not events:
            return []
        sent = []
        for content, count in encoded(attempt, events, self._client.max_payload):
            sent.append((await self._outbox.send(f"{self._prefix}.run.{run_id}", attempt, content), count))
            if (keep := self._sizes.added(run_id, len(content))) is not None:
                await self._shorten(run_id, keep)
        if self._listener is not None:
            self._listener(run_id, events)
        if self._outbox.is_stuck or not self._client.is_connected:
            return []
        _, late = await asyncio.wait([stored for stored, _ in sent], timeout=PUBLISH_S) if sent else ((), ())
        if late:
            return []
        places = [(stored.result(), count) for stored, count in sent]
        return [
            EventId(attempt, place * EVENTS_PER_MESSAGE + index)
            for place, count in places
            if place is not None
            for index in range(count)
        ]

    async def _shorten(self, run_id: str, keep: int) -> None:
        """Let the older part of a long log go. Who asks for its beginning then is told by the rows."""
        try:
            await self._jetstream().purge_stream(self._events_stream, subject=f"{self._prefix}.run.{run_id}", keep=keep)
        except (NatsError, OSError, TimeoutError) as problem:
            log.info("the log of run %s stays as long as it is: %s", run_id, _words(problem))

    async def subscribe(self, run_id: str, after: EventId | None = None) -> Subscription | None:
        try:
            follower = await self._follower(run_id)
            beginning = await self._beginning(follower, after)
            if beginning is None:
                return None
            follower.begin(beginning)
            for stored in await self._reader.since(follower.subject, follower.last + 1):
                follower.take(stored)
        except (NatsError, OSError, TimeoutError) as problem:
            raise Unavailable(f"The log of run {run_id} cannot be read at NATS: {_words(problem)}") from None
        return follower

    async def _beginning(self, follower: Follower, after: EventId | None) -> tuple[int, list[LiveEvent]] | None:
        """Return the place to begin at, and what follows in its message; None if the log does not reach back to it."""
        if after is None:
            stored = await self._reader.first(follower.subject)
        else:
            stored = await self._reader.at(after.n // EVENTS_PER_MESSAGE)
        if stored is None or stored.subject != follower.subject:
            return None
        events = decoded(stored.sequence, stored.content)
        known = [live.id for live in events]
        if after is None and events and events[0].event.name in BEGINNINGS:
            return stored.sequence, events
        return (stored.sequence, events[known.index(after) + 1 :]) if after in known else None

    async def subscribe_live(self, run_id: str, *, new: bool = False) -> Subscription:
        follower = await self._follower(run_id)
        if not new:
            follower.knows_place = False
            with suppress(NatsError, OSError, TimeoutError):  # also makes sure that the subscription is heard of
                follower.begin_after(await self._reader.last(follower.subject))
        return follower

    async def forget(self, run_id: str) -> None:
        subject = f"{self._prefix}.run.{run_id}"
        try:
            woken = await self._outbox.send(subject, 0, b"")  # wakes who follows, after what was told
            await asyncio.wait([woken], timeout=PUBLISH_S)
            await self._jetstream().purge_stream(self._events_stream, subject=subject)
        except (NatsError, OSError, TimeoutError) as problem:
            log.warning("the events of run %s stay until they are too old: %s", run_id, _words(problem))

    async def _follower(self, run_id: str) -> Follower:
        follower = Follower(f"{self._prefix}.run.{run_id}", self._reader, lambda: self._generation)
        if self._closed:
            follower.end()
            return follower
        self._followers.add(follower)
        heard = _hearing(weakref.ref(follower))
        subscription = await self._client.subscribe(f"{self._prefix}.live.{run_id}", cb=heard)
        weakref.finalize(follower, _unsubscribe, asyncio.get_running_loop(), subscription)
        return follower

    # --- signals -----------------------------------------------------------------------------------------------------

    async def signal(self, row: str) -> None:
        try:
            await self._client.publish(f"{self._prefix}.signal.{row}")
            await reached(self._client)
        except (NatsError, OSError, TimeoutError) as problem:
            log.warning(
                "%s could not be signalled; whoever watches it will notice by its row. %s", row, _words(problem)
            )

    def signalled(self, row: str) -> AbstractAsyncContextManager[asyncio.Event]:
        return self._listeners.listening(row)

    async def _signalled(self, message: Msg) -> None:
        self._listeners.tell(message.subject.rpartition(".")[2])

    # --- the connection ----------------------------------------------------------------------------------------------

    async def trouble(self) -> str | None:
        if not self._client.is_connected:
            return "NATS cannot be reached; the server goes on by itself when it can."
        return None

    def _jetstream(self) -> JetStreamContext:
        return self._client.jetstream(timeout=PUBLISH_S)

    async def _make_streams(self) -> None:
        await nats_streams.make(self._client.jetstream(timeout=ANSWER_S), self._prefix, self._log_s)

    async def _mend(self) -> None:
        """Make the streams anew where a NATS came back without them."""
        try:
            await self._make_streams()
        except (NatsError, OSError, TimeoutError) as problem:
            log.warning("the streams at NATS are not there: %s", _words(problem))
            await asyncio.sleep(RECONNECT_EVERY_S)

    async def _lost(self) -> None:
        if not self._closed:
            log.warning("the connection to NATS is lost; trying on")

    async def _found(self) -> None:
        log.info("the connection to NATS is back")
        await self._mend()
        self._generation += 1
        self._jobs.begin_anew()
        await self._outbox.send_again(0)
        for follower in list(self._followers):
            follower.woken.set()

    async def _keep_sending(self) -> None:
        while True:
            await asyncio.sleep(RECONNECT_EVERY_S)
            try:
                await self._outbox.send_again()
            except Exception:
                log.exception("events could not be sent again")

    async def _disconnect(self) -> None:
        with suppress(Exception):  # whatever state it is in: it is not needed any more
            await asyncio.wait_for(self._client.close(), CLOSE_S)


async def reached(client: Client, within_s: float = 1.0) -> None:
    """Return when NATS has had what was asked of it before. Raises NatsError, OSError, TimeoutError.

    A question to nobody, which is answered at once and in its turn. nats-py's own `flush` is not for this: its PING
    overtakes what waits to be sent, and the PONG of one that is not awaited any more ends the client's reading.
    """
    with suppress(NoRespondersError):
        await client.request(client.new_inbox(), timeout=within_s)


def _hearing(place: "weakref.ref[Follower]") -> Callable[[Msg], Any]:
    """Hand what comes to a follower, without keeping it alive."""

    async def heard(message: Msg) -> None:
        follower, headers = place(), message.headers or {}
        if follower is None or "Nats-Sequence" not in headers:
            return
        stored = Stored(int(headers["Nats-Sequence"]), headers["Nats-Subject"], message.data)
        follower.take(stored, int(headers.get("Nats-Last-Sequence", 0)))

    return heard


def _unsubscribe(loop: asyncio.AbstractEventLoop, subscription: Any) -> None:
    async def leave() -> None:
        with suppress(Exception):  # the connection may be gone, and the subscription with it
            await subscription.unsubscribe()

    if not loop.is_closed():
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: loop.create_task(leave()))


async def _quietly(problem: Exception) -> None:
    """What goes wrong on the connection shows where it is used."""
    log.debug("NATS: %s", problem)


def _words(problem: BaseException) -> str:
    if isinstance(problem, APIError):
        return str(problem.description)
    return str(problem) or type(problem).__name__
