"""Routes of run steps."""

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from understudy.api.answers import json_answer
from understudy.api.requests import ProjectDep, RunId, ServicesDep, StepId, ThreadId, WindowDep, WithResultsDep
from understudy.protocol.base import Page, page_of
from understudy.protocol.steps import RunStep
from understudy.storage import runs, steps, threads

router = APIRouter(prefix="/threads/{thread_id}/runs/{run_id}/steps", tags=["steps"])


@router.get("", response_model=Page[RunStep])
async def list_all(
    services: ServicesDep,
    project: ProjectDep,
    thread_id: ThreadId,
    run_id: RunId,
    window: WindowDep,
    with_results: WithResultsDep,
) -> Response:
    def read(connection: Connection) -> tuple[list[RunStep], bool]:
        threads.get(connection, project, thread_id)
        runs.get(connection, project, thread_id, run_id)
        return steps.list_page(connection, run_id, window)

    found, more = await services.store.read(read)
    return json_answer(page_of([step.shown(with_results=with_results) for step in found], has_more=more))


@router.get("/{step_id}", response_model=RunStep)
async def retrieve(
    services: ServicesDep,
    project: ProjectDep,
    thread_id: ThreadId,
    run_id: RunId,
    step_id: StepId,
    with_results: WithResultsDep,
) -> Response:
    def read(connection: Connection) -> RunStep:
        threads.get(connection, project, thread_id)
        runs.get(connection, project, thread_id, run_id)
        return steps.get(connection, project, run_id, step_id)

    return json_answer((await services.store.read(read)).shown(with_results=with_results))
