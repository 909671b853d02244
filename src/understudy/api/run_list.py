"""The runs of all threads: an extension."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from understudy.api.answers import json_answer
from understudy.api.requests import ProjectDep, ServicesDep, WindowDep, checked_id, listed
from understudy.protocol.base import Page, page_of
from understudy.protocol.runs import Run, RunStatus
from understudy.storage import run_list
from understudy.storage.run_list import RunFilter

router = APIRouter(prefix="/runs", tags=["runs"])

_STATUSES: TypeAdapter[list[RunStatus]] = TypeAdapter(list[RunStatus])
_STATUS: dict[str, Any] = {"name": "status", "in": "query", "required": False, "schema": _STATUSES.json_schema()}


async def _wanted(request: Request) -> tuple[RunStatus, ...]:
    try:
        return tuple(_STATUSES.validate_python(listed(request, "status")))
    except ValidationError as problem:
        errors = [{**error, "loc": ("query", "status", *error["loc"])} for error in problem.errors(include_url=False)]
        raise RequestValidationError(errors) from None


@router.get("", response_model=Page[Run], openapi_extra={"parameters": [_STATUS]})
async def list_all(
    services: ServicesDep,
    project: ProjectDep,
    window: WindowDep,
    statuses: Annotated[tuple[RunStatus, ...], Depends(_wanted)],
    assistant_id: str | None = None,
) -> Response:
    """List the project's runs; `status` may be given several times."""
    if assistant_id:
        checked_id(assistant_id, "assistant", "assistant_id")
    wanted = RunFilter(statuses, assistant_id or None)
    found, more = await services.store.read(lambda c: run_list.list_page(c, project, window, wanted))
    return json_answer(page_of([run.shown() for run in found], has_more=more))
