"""The runs of all threads: an extension."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from understudy.api.answers import json_answer
from understudy.api.requests import ProjectDep, ServicesDep, WindowDep, checked_id
from understudy.protocol.base import Page, page_of
from understudy.protocol.runs import Run, RunStatus
from understudy.storage import run_list
from understudy.storage.run_list import RunFilter

router = APIRouter(prefix="/runs", tags=["runs"])


@router.get("", response_model=Page[Run])
async def list_all(
    services: ServicesDep,
    project: ProjectDep,
    window: WindowDep,
    status: Annotated[list[RunStatus] | None, Query()] = None,
    assistant_id: str | None = None,
) -> Response:
    """List the project's runs; `status` may be given several times."""
    if assistant_id:
        checked_id(assistant_id, "assistant", "assistant_id")
    wanted = RunFilter(tuple(status or ()), assistant_id or None)
    found, more = await services.store.read(lambda c: run_list.list_page(c, project, window, wanted))
    return json_answer(page_of([run.shown() for run in found], has_more=more))
