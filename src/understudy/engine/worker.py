"""Takes runs from the bus, holds them by a lease, and brings each to rest whatever happens."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from sqlalchemy import Connection

from understudy import logs, tracing
from understudy.bus.base import Bus, Signal
from understudy.engine.endings import Change, end, take_over
from understudy.engine.loop import Loop
from understudy.engine.transitions import move
from understudy.errors import LeaseLost, UnderstudyError, UpstreamError
from understudy.ids import Clock
from understudy.protocol.runs import FINAL, LastError
from understudy.storage import runs
from understudy.storage.base import Store
from understudy.storage.faults import StorageFault
from understudy.storage.runs import RunRecord
from understudy.workload import Held, Workload, claim_wholly

log = logging.getLogger(__name__)

UNKNOWN: LastError = {"code": "server_error", "message": "Sorry, something went wrong."}
RENEWED_AT_ONCE = 50
PLACE_LOOK_S = 10.0
CALL_OFF_S = 1.0
"""How long a drive that is called off may take to let go of its upstream."""


class Sessions(Protocol):
    """What workers keep of threads between runs, each for itself: the code interpreter's sessions."""

    def holds(self, project: str, thread_id: str) -> bool:
        """Say whether the thread's session is here."""
        ...

    async def forget(self, project: str, thread_id: str) -> None:
        """End the thread's session, if there is one."""
        ...


class Worker:
    """One of possibly many; `name` tells it from the others.

    A run that may run code is offered to the worker that has its thread's session. Where that one is gone, the run is
    worked on here. A worker that did not take what was offered ends its session: its state is out of date then.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        loop: Loop,
        clock: Clock,
        *,
        name: str,
        lease_s: float,
        concurrency: int,
        sessions: Sessions | None = None,
    ) -> None:
        self._sessions = sessions
        self._places: dict[str, asyncio.Task[None]] = {}
        self._store = store
        self._bus = bus
        self._loop = loop
        self._clock = clock
        self._name = name
        self._lease_s = lease_s
        self._attended: set[tuple[str, int]] = set()
        self._load = Workload(bus, "runs", "a run", self._work, self._renew, lease_s=lease_s, concurrency=concurrency)

    async def serve(self) -> None:
        """Take jobs until the bus closes."""
        try:
            await self._load.serve()
        finally:
            for place in self._places.values():
                place.cancel()

    async def stop(self) -> None:
        """Hand back what is under way, at once."""
        await self._load.stop()

    async def _work(self, run_id: str, taken: "asyncio.Future[bool] | None" = None) -> None:
        """Work on a run; one that was offered hears by `taken` whether it is ours."""
        logs.tag(run_id=run_id)
        async with self._bus.signalled(run_id) as signal:  # first listen, then claim: no signal falls in between
            run = await claim_wholly(self._begin(run_id, taken), self._hand_back)
            if run is not None:
                logs.tag(thread_id=run.thread_id)
                await self._attend(run, signal)

    async def _begin(self, run_id: str, taken: "asyncio.Future[bool] | None") -> RunRecord | None:
        """Claim a run and tell so; return it if it is ours to work on."""
        if taken is None:
            change = await self._own(run_id)
        else:
            change = await self._store.write(lambda connection: self._claim(connection, run_id))
            taken.set_result(change is not None)
        await self._bus.taken(run_id)
        if change is None:
            return None
        await self._bus.publish(run_id, change.run.attempt, change.events)
        return change.run if change.run.status == "in_progress" else None

    async def _own(self, run_id: str) -> Change | None:
        """Claim a run, unless the worker that has its thread's session does so when it is asked."""
        if self._sessions is None:
            return await self._store.write(lambda connection: self._claim(connection, run_id))
        found = await self._store.write(lambda connection: self._claim_or_find(connection, run_id))
        if not isinstance(found, RunRecord):
            return found
        if await self._bus.offer(found.thread_id, run_id):
            return None
        return await self._store.write(lambda connection: self._claim(connection, run_id))

    def _claim_or_find(self, connection: Connection, run_id: str) -> Change | RunRecord | None:
        """Claim a run; return one whose session may be elsewhere."""
        run = runs.find(connection, run_id)
        if run is not None and run.status == "queued" and _may_run_code(run) and run.thread_id not in self._places:
            return run
        return self._claim(connection, run_id)

    async def _keep_place(self, run: RunRecord, sessions: Sessions) -> None:
        """Be offered the runs of a thread for as long as its session is here."""
        of = (run.project, run.thread_id)
        take = partial(self._take_offered, of=of, sessions=sessions)
        try:
            async with self._bus.offered(run.thread_id, take):
                mine = (run.id, run.attempt)
                while mine in self._attended or sessions.holds(*of):  # noqa: ASYNC110 - sessions end silently
                    await asyncio.sleep(PLACE_LOOK_S)
        finally:
            self._places.pop(run.thread_id, None)

    async def _take_offered(self, run_id: str, of: tuple[str, str], sessions: Sessions) -> bool:
        """Take a run that another worker offers, if the session of its thread is here and there is room."""
        taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if sessions.holds(*of) and (working := await self._load.begin(self._work(run_id, taken))):
            either: set[asyncio.Future[Any]] = {working, taken}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if taken.done() and taken.result():
            return True
        await sessions.forget(*of)
        return False

    def _claim(self, connection: Connection, run_id: str) -> Change | None:
        """Make a run this worker's own, if nobody else holds it."""
        run = runs.find(connection, run_id)
        if run is None or run.status in FINAL or run.status == "requires_action":
            return None
        now = self._clock.now()
        lease_until = now + self._lease_s
        if run.status == "queued":
            holds = {"worker": self._name, "attempt": run.attempt + 1, "tries": run.tries + 1}
            claimed, told = move(run, "in_progress", now, lease_until=lease_until, **holds)
            return Change(claimed, [told]) if runs.save(connection, claimed, was=run) else None
        if run.lease_until >= now:
            return None
        if run.status == "cancelling":
            return end(connection, run, "cancelled", now)
        if (run.id, run.attempt) in self._attended:  # so much was to do that the lease lapsed: nobody is gone
            runs.renew(connection, run, lease_until)
            return None
        return take_over(connection, run, self._name, now, lease_until)

    async def _attend(self, run: RunRecord, signal: Signal) -> None:
        """Drive a run, and let go of it the moment it is no longer ours."""
        self._attended.add((run.id, run.attempt))
        if self._sessions is not None and _may_run_code(run) and run.thread_id not in self._places:
            self._places[run.thread_id] = asyncio.create_task(self._keep_place(run, self._sessions))
        driving = asyncio.ensure_future(self._drive(run))
        try:
            with self._load.hold(run) as held:
                await held.watch(driving, signal.wait())
                await _call_off(driving)
                if not _has_rested(driving):
                    await self._settle(run)
        except asyncio.CancelledError:
            await _call_off(driving)
            await self._hand_back(run)
            raise
        finally:
            self._attended.discard((run.id, run.attempt))

    async def _drive(self, run: RunRecord) -> bool:
        """Return whether the run has come to rest."""
        about = tracing.ids(run.id, run.thread_id, run.attempt)
        about |= {"gen_ai.agent.id": run.assistant_id, "gen_ai.request.model": run.model}
        try:
            with tracing.span("invoke_agent", run.assistant_id, about):
                await self._loop.drive(run)
            return True
        except LeaseLost:
            log.info("run %s was taken away", run.id)
        except StorageFault as fault:
            log.warning("run %s is left to be taken up again. %s", run.id, fault)
        except UpstreamError as failure:
            log.warning("the model's server failed: %s", failure.code)
            await self._settle(run, {"code": failure.code, "message": failure.message})
        except UnderstudyError as failure:
            await self._settle(run, {"code": "server_error", "message": str(failure)})
        except Exception:
            log.exception("run %s failed on a defect of this server", run.id)
            await self._settle(run, UNKNOWN)
        return False

    async def _settle(self, run: RunRecord, error: LastError | None = None) -> None:
        """Fail a run with its error; carry out a cancellation or an expiry that came meanwhile."""

        def write(connection: Connection) -> Change | None:
            found = runs.find(connection, run.id)
            if found is None or found.attempt != run.attempt:
                return None
            now = self._clock.now()
            if found.status == "cancelling":
                return end(connection, found, "cancelled", now)
            if found.status != "in_progress":
                return None
            if error is not None:
                return end(connection, found, "failed", now, error)
            due = found.expires_at is not None and found.expires_at <= now
            return end(connection, found, "expired", now) if due else None

        change = await self._store.write(write)
        if change is not None:
            await self._bus.publish(run.id, run.attempt, change.events)

    async def _hand_back(self, run: RunRecord) -> None:
        """Let the lease lapse now. A server that stops in good order has not failed at the run: it is not a try."""
        with suppress(UnderstudyError):
            await self._store.write(lambda connection: runs.hand_back(connection, run))
            await self._bus.enqueue(run.id)

    async def _renew(self, held: Sequence[Held[RunRecord]]) -> list[Held[RunRecord]]:
        """Renew in batches: one that meets many commits of the same runs would often have to be made anew."""
        lost: set[str] = set()
        for batch in (held[start : start + RENEWED_AT_ONCE] for start in range(0, len(held), RENEWED_AT_ONCE)):
            mine = [each.record for each in batch]
            until = self._clock.now() + self._lease_s
            lost |= await self._store.write(partial(runs.renew_all, held=mine, lease_until=until))
        return [each for each in held if each.record.id in lost]


def _may_run_code(run: RunRecord) -> bool:
    return any(tool["type"] == "code_interpreter" for tool in run.tools)


def _has_rested(driving: asyncio.Future[bool]) -> bool:
    """Tell whether a drive has brought its run to rest by itself; then there is nothing to settle."""
    return driving.done() and not driving.cancelled() and driving.exception() is None and driving.result()


async def _call_off(driving: asyncio.Future[bool]) -> None:
    """Stop the drive if it still goes on; closing its model stream aborts the call upstream."""
    if not driving.done():
        driving.cancel()
        await asyncio.wait({driving}, timeout=CALL_OFF_S)
