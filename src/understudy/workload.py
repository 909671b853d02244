"""What a worker has in hand: jobs taken while there is room, each held by a lease, all handed back at a stop."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from understudy.bus.base import Bus, Work
from understudy.errors import Unavailable, UnderstudyError

log = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 3
STOP_S = 1.5

Record = TypeVar("Record")


@dataclass(slots=True, eq=False)
class Held(Generic[Record]):
    """A row that is being worked on; `lost` once its lease could not be renewed."""

    record: Record
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self, working: "asyncio.Future[Any]", told: Awaitable[object]) -> None:
        """Return once the work is done or is to be called off: `told` has come, or the row is no longer ours."""
        called_off = {asyncio.ensure_future(told), asyncio.ensure_future(self.lost.wait())}
        try:
            await asyncio.wait({working, *called_off}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in called_off:
                waiting.cancel()


async def claim_wholly(
    claim: Coroutine[Any, Any, Record | None], hand_back: Callable[[Record], Awaitable[None]]
) -> Record | None:
    """Return what a claim made ours. A stop that falls into it waits for its end, and hands back what that was."""
    claiming = asyncio.ensure_future(claim)
    try:
        return await asyncio.shield(claiming)
    except asyncio.CancelledError:
        with suppress(UnderstudyError):
            if (record := await claiming) is not None:
                await hand_back(record)
        raise


class Workload(Generic[Record]):
    """The jobs of one kind that a worker has taken; `do` works on one, `renew` returns those whose lease is lost.

    `what` names such a job in the log: "a run".
    """

    def __init__(
        self,
        bus: Bus,
        work: Work,
        what: str,
        do: Callable[[str], Awaitable[None]],
        renew: Callable[[Sequence[Held[Record]]], Awaitable[Sequence[Held[Record]]]],
        *,
        lease_s: float,
        concurrency: int,
    ) -> None:
        self._bus = bus
        self._work = work
        self._what = what
        self._do = do
        self._renew = renew
        self._lease_s = lease_s
        self._slots = asyncio.Semaphore(concurrency)
        self.held: set[Held[Record]] = set()
        self.tasks: set[asyncio.Future[None]] = set()
        self._stopping = False

    async def serve(self) -> None:
        """Take jobs until the bus closes."""
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(self.keep_leases())
            async for job in self._jobs():
                task = asyncio.ensure_future(self._do(job))
                self.tasks.add(task)
                task.add_done_callback(self._done)
            renewing.cancel()

    async def begin(self, doing: Coroutine[Any, Any, None]) -> "asyncio.Future[None] | None":
        """Work on what came another way than from the queue; None if there is no room."""
        if self._stopping or self._slots.locked():
            doing.close()
            return None
        await self._slots.acquire()
        task = asyncio.ensure_future(doing)
        self.tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def stop(self) -> None:
        """Have everything under way handed back, at once: whoever takes it over need not wait for leases to lapse."""
        self._stopping = True
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=STOP_S)  # a disk that hangs must not hold up the goodbyes

    @contextmanager
    def hold(self, record: Record) -> Iterator[Held[Record]]:
        """Have a row's lease renewed for as long as it is worked on."""
        held = Held(record)
        self.held.add(held)
        try:
            yield held
        finally:
            self.held.discard(held)

    async def _jobs(self) -> AsyncGenerator[str, None]:
        """Take a job only when there is room for it: what waits may be another worker's."""
        async with aclosing(self._bus.jobs(self._work)) as jobs:
            while True:
                await self._slots.acquire()
                job = await anext(jobs, None)
                if job is None or self._stopping:
                    return
                yield job
                await asyncio.sleep(0)  # one new job a turn of the event loop: the tokens of runs come in between

    def _done(self, task: "asyncio.Future[None]") -> None:
        self.tasks.discard(task)
        self._slots.release()
        if task.cancelled() or (failure := task.exception()) is None:
            return
        if isinstance(failure, Unavailable):
            log.warning("%s could not be brought to an end; the sweeper will see to it. %s", self._what, failure)
        else:
            log.error("%s could not be brought to an end; the sweeper will see to it", self._what, exc_info=failure)

    async def keep_leases(self) -> None:
        """Renew all leases three times within the time of one, until cancelled."""
        while True:
            await asyncio.sleep(self._lease_s / RENEWALS_PER_LEASE)
            if not self.held:
                continue
            try:
                lost = await self._renew(list(self.held))
            except Unavailable as fault:
                log.warning("leases could not be renewed. %s", fault)
                continue
            except Exception:
                log.exception("leases could not be renewed")
                continue
            for held in lost:
                held.lost.set()  # not through the bus: whoever has the row now would hear it too
