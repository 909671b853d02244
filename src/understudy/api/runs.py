"""Routes of runs: started, answered, cancelled; followed as a stream or by polling."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from sqlalchemy import Connection

from understudy.api.answers import json_answer
from understudy.api.polls import HELD, NOT_HELD, HoldDep
from understudy.api.requests import (
    CallerDep,
    ProjectDep,
    RunId,
    ServicesDep,
    ThreadId,
    WindowDep,
    WithResultsDep,
    body,
    checked_id,
)
from understudy.api.retries import OnceDep
from understudy.api.sse import event_stream
from understudy.api.straight import StraightRoute
from understudy.bus.base import EventId
from understudy.engine.service import Started
from understudy.errors import InvalidRequest
from understudy.protocol.base import Page, page_of
from understudy.protocol.runs import FINAL, CreateRun, CreateThreadAndRun, ModifyRun, Run, SubmitToolOutputs
from understudy.storage import runs, threads
from understudy.storage.runs import RunRecord

router = APIRouter(prefix="/threads", tags=["runs"], route_class=StraightRoute)

STREAMED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "A run, or its events."}
}


def _answer(services: ServicesDep, started: Started, *, stream: bool | None) -> Response:
    if stream:
        return event_stream(services.followers.follow(started.run.id, started.events))
    return json_answer(started.run.shown())


@router.post("/runs", response_model=Run, responses=STREAMED)
async def create_with_thread(
    services: ServicesDep, caller: CallerDep, once: OnceDep, given: CreateThreadAndRun = body(CreateThreadAndRun)
) -> Response:
    checked_id(given.assistant_id, "assistant", "assistant_id")
    started = await services.runs.start_with_thread(caller.project, given, once, limits=caller.limits)
    return _answer(services, started, stream=given.stream)


@router.post("/{thread_id}/runs", response_model=Run, responses=STREAMED)
async def create(
    services: ServicesDep,
    caller: CallerDep,
    thread_id: ThreadId,
    once: OnceDep,
    with_results: WithResultsDep,
    given: CreateRun = body(CreateRun),
) -> Response:
    checked_id(given.assistant_id, "assistant", "assistant_id")
    started = await services.runs.start(
        caller.project, thread_id, given, once, limits=caller.limits, with_results=with_results
    )
    return _answer(services, started, stream=given.stream)


@router.get("/{thread_id}/runs", response_model=Page[Run])
async def list_all(services: ServicesDep, project: ProjectDep, thread_id: ThreadId, window: WindowDep) -> Response:
    def read(connection: Connection) -> tuple[list[RunRecord], bool]:
        threads.get(connection, project, thread_id)
        return runs.list_page(connection, thread_id, window)

    found, more = await services.store.read(read)
    return json_answer(page_of([run.shown() for run in found], has_more=more))


@router.get("/{thread_id}/runs/{run_id}", response_model=Run)
async def retrieve(
    services: ServicesDep, project: ProjectDep, thread_id: ThreadId, run_id: RunId, hold_s: HoldDep
) -> Response:
    if hold_s is not None:
        run = await services.followers.wait(project, thread_id, run_id, hold_s)
        return json_answer(run.shown(), HELD)
    run = await services.store.read(lambda connection: _find(connection, project, thread_id, run_id))
    return json_answer(run.shown(), NOT_HELD)


@router.post("/{thread_id}/runs/{run_id}", response_model=Run)
async def modify(
    services: ServicesDep,
    project: ProjectDep,
    thread_id: ThreadId,
    run_id: RunId,
    once: OnceDep,
    given: ModifyRun = body(ModifyRun),
) -> Response:
    def write(connection: Connection) -> RunRecord:
        run = _find(connection, project, thread_id, run_id)
        if run.status not in FINAL and run.status != "requires_action":
            raise InvalidRequest(f"Cannot update run with status '{run.status}'.")
        if given.given("metadata"):
            runs.set_metadata(connection, run_id, given.metadata or {})
        return runs.get(connection, project, thread_id, run_id)

    return json_answer((await once.write(services.store, write, repeatable=True)).shown())


@router.post("/{thread_id}/runs/{run_id}/cancel", response_model=Run)
async def cancel(
    services: ServicesDep, project: ProjectDep, thread_id: ThreadId, run_id: RunId, once: OnceDep
) -> Response:
    return json_answer(await services.runs.cancel(project, thread_id, run_id, once))


@router.post("/{thread_id}/runs/{run_id}/submit_tool_outputs", response_model=Run, responses=STREAMED)
async def submit_tool_outputs(
    services: ServicesDep,
    project: ProjectDep,
    thread_id: ThreadId,
    run_id: RunId,
    once: OnceDep,
    given: SubmitToolOutputs = body(SubmitToolOutputs),
) -> Response:
    started = await services.runs.submit(project, thread_id, run_id, given.tool_outputs, once)
    return _answer(services, started, stream=given.stream)


@router.get("/{thread_id}/runs/{run_id}/events", responses=STREAMED)
async def events(
    services: ServicesDep,
    project: ProjectDep,
    thread_id: ThreadId,
    run_id: RunId,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Follow any run, live or finished, from any position. An extension."""
    await services.store.read(lambda connection: _find(connection, project, thread_id, run_id))
    after = None if last_event_id is None else EventId.parse(last_event_id) or EventId(0, 0)
    return event_stream(services.followers.replay(project, thread_id, run_id, after))


def _find(connection: Connection, project: str, thread_id: str, run_id: str) -> RunRecord:
    threads.get(connection, project, thread_id)
    return runs.get(connection, project, thread_id, run_id)
