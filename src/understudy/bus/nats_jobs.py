"""Jobs in a JetStream work queue: one message for each, in one of two lanes, and who asks for them.

A lane's consumer is asked for one job at a time. Where both lanes have some, they are taken in turn; where neither has,
both are asked to answer once there is one, and a second answer that finds no room any more is handed back at once.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import BadRequestError

from understudy.bus.base import Work
from understudy.bus.nats_streams import lane_of, lanes_of

log = logging.getLogger(__name__)

PUBLISH_S = 1.0
ASK_S = 3.0
"""How long a request for a job stands. One of a worker that hangs stands no longer than the leases of its runs."""
_WAITS_ALREADY = 10077
_NOTHING_THERE = ("404", "408")
_AT_ONCE = json.dumps({"batch": 1, "no_wait": True}).encode()
_STANDING = json.dumps({"batch": 1, "expires": int(ASK_S * 1e9)}).encode()


class JobQueue:
    """The work queue, as one process uses it. `mend` makes the stream anew where it is gone."""

    def __init__(self, client: Client, stream: str, prefix: str, mend: Callable[[], Awaitable[None]]) -> None:
        self._client = client
        self._stream = stream
        self._prefix = prefix
        self._mend = mend
        self._taken: dict[tuple[Work, str], Msg] = {}
        self._takers: set[_Taker] = set()
        self._closed = False

    async def enqueue(self, job: str, work: Work, *, behind: bool) -> None:
        """Put a job into its lane. Raises nothing: what NATS does not take is for the sweeper."""
        subject = f"{self._prefix}.jobs.{lane_of(work, behind=behind)}.{job}"
        try:
            await self._jetstream().publish(subject, timeout=PUBLISH_S)
        except BadRequestError as refused:
            if refused.err_code != _WAITS_ALREADY:
                raise
        except (NatsError, OSError, TimeoutError) as problem:
            words = str(problem) or type(problem).__name__
            log.warning("%s could not be enqueued; the sweeper will. %s", job, words)

    async def jobs(self, work: Work) -> AsyncGenerator[str, None]:
        """Yield jobs until the bus is closed."""
        taker = _Taker(self._client, self._stream, lanes_of(work), self._mend)
        self._takers.add(taker)
        listening = await self._client.subscribe(f"{taker.inbox}.*", cb=taker.arrived)
        try:
            while not self._closed and (message := await taker.next()) is not None:
                job = message.subject.rpartition(".")[2]
                self._taken[work, job] = message
                yield job
        finally:
            self._takers.discard(taker)
            with suppress(NatsError):
                await listening.unsubscribe()

    async def taken(self, job: str, work: Work) -> None:
        """Confirm a job, and wait until that is heard."""
        message = self._taken.pop((work, job), None)
        if message is None:
            return
        try:
            await self._client.request(message.reply, b"+ACK", timeout=PUBLISH_S)
        except (NatsError, OSError, TimeoutError):
            log.info("%s could not be confirmed as taken: it will come again, and be of no use", job)

    async def depth(self, work: Work) -> int:
        """Return how many jobs wait in all lanes; 0 where NATS does not say."""
        try:
            found = [await self._jetstream().consumer_info(self._stream, lane) for lane in lanes_of(work)]
        except (NatsError, OSError, TimeoutError):
            return 0
        return sum((lane.num_pending or 0) + (lane.num_ack_pending or 0) for lane in found)

    def begin_anew(self) -> None:
        """Ask again: the connection was lost, and what was asked with it."""
        for taker in self._takers:
            taker.forget()

    def close(self) -> None:
        """Let everybody who waits for a job go."""
        self._closed = True
        for taker in self._takers:
            taker.close()

    def _jetstream(self) -> JetStreamContext:
        return self._client.jetstream(timeout=PUBLISH_S)


@dataclass(slots=True, eq=False)
class _Lane:
    name: str
    may_have_some: bool = True
    asked: bool = False


class _Taker:
    """Asks for one job after the other."""

    def __init__(
        self, client: Client, stream: str, lanes: tuple[str, ...], mend: Callable[[], Awaitable[None]]
    ) -> None:
        self.inbox = client.new_inbox()
        self._client = client
        self._request = f"$JS.API.CONSUMER.MSG.NEXT.{stream}"
        self._lanes = {name: _Lane(name) for name in lanes}
        self._mend = mend
        self._awaited: asyncio.Future[Msg | None] | None = None
        self._is_broken = False
        self._closed = False

    async def next(self) -> Msg | None:
        """Return a job's message; None once the bus is closed."""
        self._await_anew()
        try:
            while not self._closed:
                if self._is_broken:
                    self._is_broken = False
                    await self._mend()
                if (message := await self._look()) is not None:
                    return self._served(message)
            return None
        finally:
            self._awaited = None

    def forget(self) -> None:
        """Nothing of what was asked holds any more."""
        for lane in self._lanes.values():
            lane.asked, lane.may_have_some = False, True
        self._answer(None)

    def close(self) -> None:
        self._closed = True
        self._answer(None)

    async def arrived(self, message: Msg) -> None:
        """Take an answer: a job, or that there is none. A job that nobody waits for any more is handed back."""
        status = (message.headers or {}).get("Status") if not message.reply else None
        lane = self._lanes[message.subject.split(".")[-1 if status else -2]]
        lane.asked = False
        lane.may_have_some = status is None
        if status is not None:
            self._is_broken = self._is_broken or status not in _NOTHING_THERE
            self._answer(None)
        elif not self._answer(message):
            with suppress(NatsError, OSError):
                await self._client.publish(message.reply, b"-NAK")

    def _answer(self, message: Msg | None) -> bool:
        if self._awaited is None or self._awaited.done():
            return False
        self._awaited.set_result(message)
        return True

    async def _look(self) -> Msg | None:
        """Return the first job there is or that comes; None if there was none for a while, or something has changed.

        A lane that had nothing is asked to answer when it has, also while the other has plenty.
        """
        lanes = list(self._lanes.values())
        for lane in lanes:
            if not lane.asked and not lane.may_have_some:
                await self._ask(lane, _STANDING)
        for lane in lanes:
            if not lane.asked:
                await self._ask(lane, _AT_ONCE)
                if (message := await self._next_answer(PUBLISH_S)) is not None or self._closed:
                    return message
        if all(lane.asked for lane in lanes):
            return await self._next_answer(ASK_S + 1)
        return None

    async def _ask(self, lane: _Lane, wanted: bytes) -> None:
        lane.asked = True
        if not self._client.is_connected:
            return  # once it is, everything is asked anew
        with suppress(NatsError, OSError):
            await self._client.publish(f"{self._request}.{lane.name}", wanted, f"{self.inbox}.{lane.name}")

    async def _next_answer(self, patience_s: float) -> Msg | None:
        """Wait for the next answer of any lane; what was asked and stays unanswered is forgotten."""
        assert self._awaited is not None
        try:
            async with asyncio.timeout(patience_s):
                message = await self._awaited
        except TimeoutError:
            self.forget()
            message = None
        if message is None:
            self._await_anew()
        return message

    def _await_anew(self) -> None:
        self._awaited = asyncio.get_running_loop().create_future()

    def _served(self, message: Msg) -> Msg:
        """The lane that gave is asked last next time."""
        name = message.subject.split(".")[-2]
        self._lanes[name] = self._lanes.pop(name)
        return message
