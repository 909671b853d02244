"""Routes of uploads: large files, sent in parts."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from understudy.api.answers import json_answer
from understudy.api.limits import busy
from understudy.api.multipart import Form, documented
from understudy.api.requests import ProjectDep, ServicesDep, body
from understudy.api.retries import OnceDep, once_with_form
from understudy.errors import InvalidRequest
from understudy.ingest.files import Received, limited
from understudy.protocol.uploads import (
    MAX_PART_BYTES,
    CompleteUpload,
    CreateUpload,
    Upload,
    UploadPart,
)

router = APIRouter(prefix="/uploads", tags=["uploads"])

_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "string", "format": "binary"}},
}


@router.post("", response_model=Upload)
async def create(
    services: ServicesDep, project: ProjectDep, once: OnceDep, given: CreateUpload = body(CreateUpload)
) -> Response:
    return json_answer(await services.uploads.create(project, given, partial(once.write, services.store)))


@router.post("/{upload_id}/parts", response_model=UploadPart, openapi_extra=documented(_FORM))
async def add_part(request: Request, services: ServicesDep, project: ProjectDep, upload_id: str) -> Response:
    await services.uploads.expect_part(project, upload_id)
    form = Form[Received]("data")
    try:
        await form.read(request, lambda chunks: services.files.receive("part", limited(chunks, MAX_PART_BYTES, "Part")))
        received = _part(form)
        form.file = None  # from here on it is looked after
    except Exception:
        if form.file is not None:
            await services.files.discard(form.file.key)
        raise
    once = once_with_form(request, services, project, form.digest)
    write = partial(once.write, services.store)
    return json_answer(await services.uploads.add_part(project, upload_id, received, write))


@router.post("/{upload_id}/complete", response_model=Upload)
async def complete(
    request: Request,
    services: ServicesDep,
    project: ProjectDep,
    upload_id: str,
    once: OnceDep,
    given: CompleteUpload = body(CompleteUpload),
) -> Response:
    write, still_busy = partial(once.write, services.store), partial(busy, request.scope)
    return json_answer(await services.uploads.complete(project, upload_id, given, write, still_busy))


@router.post("/{upload_id}/cancel", response_model=Upload)
async def cancel(services: ServicesDep, project: ProjectDep, upload_id: str, once: OnceDep) -> Response:
    return json_answer(await services.uploads.cancel(project, upload_id, partial(once.write, services.store)))


def _part(form: Form[Received]) -> Received:
    for name in form.fields:
        raise InvalidRequest(f"Unknown parameter: '{name[:80]}'.", param=name[:80], code="unknown_parameter")
    if form.file is None:
        raise InvalidRequest("Missing required parameter: 'data'.", param="data", code="missing_required_parameter")
    return form.file
