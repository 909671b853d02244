"""What a client may do with runs: start, answer, cancel. Each is one transaction, then its events, then the job."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from understudy.bus.base import Bus, Subscription
from understudy.engine import creation
from understudy.engine.assemble import with_calls
from understudy.engine.endings import Change, end
from understudy.engine.limits import Backlog, refuse_beyond
from understudy.engine.orderly import Orderly, about
from understudy.engine.retries import ALWAYS, Once
from understudy.engine.sweeper import QUEUE_PATIENCE_S
from understudy.engine.transitions import LEGAL, end_step, move
from understudy.errors import InvalidRequest, quoted
from understudy.ids import Clock, new_id
from understudy.inference.base import Routes
from understudy.protocol.events import Event, alike, event
from understudy.protocol.runs import CreateRun, CreateThreadAndRun, Run, RunFields, ToolOutput
from understudy.protocol.steps import RunStep
from understudy.protocol.threads import Thread
from understudy.storage import assistants, messages, model_calls, runs, steps, threads
from understudy.storage.api_keys import NO_LIMITS, Limits
from understudy.storage.base import Store
from understudy.storage.runs import RunRecord

NOTHING_TO_ANSWER = "Run creation requires a Thread with a user message or an assistant with instructions."


@dataclass(frozen=True, slots=True)
class Started:
    """A run that was started or goes on, and a place in its events just before that."""

    run: RunRecord
    events: Subscription


Forget = Callable[[str, str], Awaitable[None]]
"""Lets go of what is kept for a thread, given as project and id, that is no more."""


class RunService:
    """Runs, as requests see them."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        routes: Routes,
        clock: Clock,
        *,
        run_expiry_s: int,
        most_queued: int = 10_000,
        forget: Forget | None = None,
    ) -> None:
        """`forget`: what else has to happen once a thread is deleted."""
        self._store = store
        self._bus = bus
        self._routes = routes
        self._clock = clock
        self._run_expiry_s = run_expiry_s
        self._backlog = Backlog(store, bus, most_queued)
        self._forget = forget

    async def start(
        self,
        project: str,
        thread_id: str,
        request: CreateRun,
        once: Once = ALWAYS,
        *,
        limits: Limits = NO_LIMITS,
        with_results: bool = False,
    ) -> Started:
        """Start a run on a thread; `with_results`: its events show the passages that searches find.

        Raises NotFound, TooManyRequests, InvalidRequest (also for a busy thread).
        """
        todo: list[str] = []

        def write(connection: Connection) -> tuple[RunRecord, list[Event]]:
            refuse_beyond(connection, project, limits, self._clock.now())
            thread = threads.lock(connection, project, thread_id)
            refuse_if_busy(connection, thread_id, "Thread {thread} already has an active run {run}.")
            extra = request.additional_messages or []
            now = self._clock.now()
            creation.add_messages(connection, project, thread_id, extra, now, "additional_messages", todo=todo)
            thread = creation.with_attached(connection, project, thread, extra)
            return self._new_run(connection, project, thread, request, with_results=with_results)

        await self._backlog.refuse_if_full()
        return await self._begin(write, once, todo=todo)

    async def start_with_thread(
        self, project: str, request: CreateThreadAndRun, once: Once = ALWAYS, *, limits: Limits = NO_LIMITS
    ) -> Started:
        """Create a thread and start a run on it. Raises as `start`."""
        todo: list[str] = []

        def write(connection: Connection) -> tuple[RunRecord, list[Event]]:
            refuse_beyond(connection, project, limits, self._clock.now())
            resources = creation.merged_resources(request.thread, request.tool_resources)
            now = self._clock.now()
            thread = creation.add_thread(
                connection, project, request.thread, resources, now, "thread.messages", todo=todo
            )
            run, events = self._new_run(connection, project, thread, request)
            return run, [event("thread.created", thread), *events]

        await self._backlog.refuse_if_full()
        return await self._begin(write, once, todo=todo)

    async def submit(
        self, project: str, thread_id: str, run_id: str, outputs: Sequence[ToolOutput], once: Once = ALWAYS
    ) -> Started:
        """Answer a run's open calls, all at once; the run goes on. Raises NotFound, InvalidRequest."""
        await self._expire_if_due(project, thread_id, run_id)

        answered = frozenset[str]()

        def write(connection: Connection) -> tuple[RunRecord, list[Event]]:
            nonlocal answered
            run = self._get(connection, project, thread_id, run_id)
            _check_outputs(run, outputs)
            now = self._clock.now()
            closed = _close_open_step(connection, run, {output.tool_call_id: output.output for output in outputs}, now)
            answered = frozenset({about(closed)})
            queued, queued_told = move(run, "queued", now, tries=0, lease_until=now + QUEUE_PATIENCE_S)
            if not runs.save(connection, queued, was=run):
                raise InvalidRequest(_not_waiting(runs.get(connection, project, thread_id, run_id)))
            return queued, [closed, queued_told]

        started = await self._begin(write, once, run_id)
        return replace(started, events=Orderly(started.events, passed=started.run.attempt, unfinished=answered))

    async def cancel(self, project: str, thread_id: str, run_id: str, once: Once = ALWAYS) -> Run:
        """Ask for a run's end. Answers with `cancelling`; the run is `cancelled` in a moment.

        Who asks again is told how far it is.
        """

        def write(connection: Connection) -> Change:
            run = self._get(connection, project, thread_id, run_id)
            if once.retried and run.status in ("cancelling", "cancelled"):
                return Change(run, [])
            if "cancelling" not in LEGAL[run.status]:
                raise InvalidRequest(f"Cannot cancel run with status '{run.status}'.")
            held = run.status == "in_progress"
            cancelling, cancelling_told = move(
                run, "cancelling", self._clock.now(), lease_until=run.lease_until if held else 0.0
            )
            if not runs.save(connection, cancelling, was=run):
                raise InvalidRequest(f"Cannot cancel run with status '{run.status}'.")
            return Change(cancelling, [cancelling_told])

        change = await once.write(self._store, write, lambda change: change.run, repeatable=True)
        if not change.events:
            return change.run.shown()
        await self._bus.publish(run_id, change.run.attempt, change.events)
        if change.run.worker is not None:
            await self._bus.signal(run_id)
        else:
            await self._close_cancelled(change.run)
        return change.run.shown()

    async def _close_cancelled(self, cancelling: RunRecord) -> None:
        """Cancel at once what nobody works on. Should this not come to pass, the sweeper does it."""
        now = self._clock.now()
        change = await self._store.write(lambda connection: end(connection, cancelling, "cancelled", now))
        if change is not None:
            await self._bus.publish(cancelling.id, cancelling.attempt, change.events)

    async def delete_thread(self, project: str, thread_id: str) -> None:
        """Delete a thread; whoever works on a run of it is told to stop. Raises NotFound."""

        def write(connection: Connection) -> RunRecord | None:
            threads.lock(connection, project, thread_id)
            holder = runs.active_in(connection, thread_id)
            threads.delete(connection, project, thread_id)
            return holder

        holder = await self._store.write(write)
        if holder is not None:
            await self._bus.signal(holder.id)
            await self._bus.forget(holder.id)
        if self._forget is not None:
            await self._forget(project, thread_id)

    # --- beginnings --------------------------------------------------------------------------------------------------

    async def _begin(
        self,
        write: Callable[[Connection], tuple[RunRecord, list[Event]]],
        once: Once,
        run_id: str | None = None,
        todo: Sequence[str] = (),
    ) -> Started:
        """Commit, let a follower in, tell, and give files to be taken in and the run to workers."""
        events_of_known = None if run_id is None else await self._bus.subscribe_live(run_id)
        run, events = await once.write(self._store, write, lambda begun: begun[0])
        subscription = events_of_known or await self._bus.subscribe_live(run.id, new=True)
        await self._bus.publish(run.id, run.attempt, events)
        for job in todo:
            await self._bus.enqueue(job, "files")
        await self._bus.enqueue(run.id, behind=await self._backlog.goes_behind(run.project))
        return Started(run, subscription)

    def _new_run(
        self,
        connection: Connection,
        project: str,
        thread: Thread,
        request: RunFields,
        *,
        with_results: bool = False,
    ) -> tuple[RunRecord, list[Event]]:
        assistant = assistants.get(connection, project, request.assistant_id)
        now = self._clock.now()
        run = creation.new_run(request, assistant, thread, project, int(now), self._run_expiry_s)
        self._routes.find(run.model)
        if not run.instructions and not messages.has_user_message(connection, thread.id):
            raise InvalidRequest(NOTHING_TO_ANSWER, code="invalid_thread")
        patience = now + QUEUE_PATIENCE_S
        run = replace(run, id=new_id("run"), lease_until=patience, include_results=with_results)
        runs.add(connection, run)
        return run, alike(("thread.run.created", "thread.run.queued"), run.shown())

    # --- checks ------------------------------------------------------------------------------------------------------

    def _get(self, connection: Connection, project: str, thread_id: str, run_id: str) -> RunRecord:
        threads.get(connection, project, thread_id)
        return runs.get(connection, project, thread_id, run_id)

    async def _expire_if_due(self, project: str, thread_id: str, run_id: str) -> None:
        """Whether outputs come too late is a matter of time, not of the sweeper's next round."""

        def write(connection: Connection) -> Change | None:
            now = self._clock.now()
            run = self._get(connection, project, thread_id, run_id)
            due = run.status == "requires_action" and run.expires_at is not None and run.expires_at <= now
            return end(connection, run, "expired", now) if due else None

        change = await self._store.write(write)
        if change is not None:
            await self._bus.publish(run_id, change.run.attempt, change.events)


def refuse_if_busy(connection: Connection, thread_id: str, text: str) -> None:
    """Raise InvalidRequest, with the text filled in, if a run holds the thread. The thread must be locked."""
    holder = runs.active_in(connection, thread_id)
    if holder is not None:
        raise InvalidRequest(text.format(thread=thread_id, run=holder.id))


def _not_waiting(run: RunRecord) -> str:
    return f'Runs in status "{run.status}" do not accept tool outputs.'


def _check_outputs(run: RunRecord, outputs: Sequence[ToolOutput]) -> None:
    if run.status != "requires_action" or run.required_action is None:
        raise InvalidRequest(_not_waiting(run))
    expected = [call["id"] for call in run.required_action["submit_tool_outputs"]["tool_calls"]]
    got = [output.tool_call_id for output in outputs]
    if sorted(expected) != sorted(got):
        raise InvalidRequest(f"Expected tool outputs for call_ids {expected}, got {[quoted(one) for one in got]}")


def _close_open_step(connection: Connection, run: RunRecord, outputs: dict[str, str], now: float) -> Event:
    """Write the outputs into the step that waited for them, and complete it."""
    step = next(step for step in steps.of_run(connection, run.id) if step.status == "in_progress")
    ended, step_told = end_step(
        _answered(step, outputs),
        "completed",
        now,
        used=model_calls.usage_of_step(connection, step.id),
        with_results=run.include_results,
    )
    steps.save(connection, ended)
    return step_told


def _answered(step: RunStep, outputs: dict[str, str]) -> RunStep:
    calls = step.step_details.get("tool_calls", [])
    for call in calls:
        if call["id"] in outputs:
            call["function"]["output"] = outputs[call["id"]]
    return with_calls(step, calls)
