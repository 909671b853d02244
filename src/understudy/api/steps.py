"""Routes of run steps."""

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from understudy.api.answers import json_answer
from understudy.api.requests import ProjectDep, RunId, ServicesDep, StepId, ThreadId, WindowDep
from understudy.errors import InvalidRequest
from understudy.protocol.base import Page, page_of
from understudy.protocol.steps import INCLUDE_RESULTS, RunStep
from understudy.storage import runs, steps, threads

router = APIRouter(prefix="/threads/{thread_id}/runs/{run_id}/steps", tags=["steps"])


@router.get("", response_model=Page[RunStep])
async def list_all(
    request: Request, services: ServicesDep, project: ProjectDep, thread_id: ThreadId, run_id: RunId, window: WindowDep
) -> Response:
    included(request)

    def read(connection: Connection) -> tuple[list[RunStep], bool]:
        threads.get(connection, project, thread_id)
        runs.get(connection, project, thread_id, run_id)
        return steps.list_page(connection, run_id, window)

    found, more = await services.store.read(read)
    return json_answer(page_of(found, has_more=more))


@router.get("/{step_id}", response_model=RunStep)
async def retrieve(
    request: Request, services: ServicesDep, project: ProjectDep, thread_id: ThreadId, run_id: RunId, step_id: StepId
) -> Response:
    included(request)

    def read(connection: Connection) -> RunStep:
        threads.get(connection, project, thread_id)
        runs.get(connection, project, thread_id, run_id)
        return steps.get(connection, project, run_id, step_id)

    return json_answer(await services.store.read(read))


def included(request: Request) -> frozenset[str]:
    """Read `include[]` in all the forms that SDKs send it (surface.md, section 0.1)."""
    given = [*request.query_params.getlist("include[]"), *request.query_params.getlist("include")]
    values = frozenset(value for joined in given for value in joined.split(",") if value)
    for value in sorted(values - {INCLUDE_RESULTS}):
        message = f"Invalid value: '{value}'. Supported values are: '{INCLUDE_RESULTS}'."
        raise InvalidRequest(message, param="include", code="invalid_value")
    return values
