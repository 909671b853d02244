"""Routes of files. Their mistakes are told in the words of the hosted API's files service, which has its own."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, get_args
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from understudy.api.answers import json_answer
from understudy.api.multipart import Form, documented
from understudy.api.requests import READABLE, ProjectDep, Services, ServicesDep
from understudy.api.retries import once_with_form
from understudy.errors import InvalidRequest
from understudy.ingest.files import Received, limited
from understudy.protocol.base import Deleted, Page, page_of
from understudy.protocol.files import (
    GIVEN_PURPOSES,
    MAX_EXPIRY_S,
    MAX_FILE_BYTES,
    MAX_FILENAME,
    MIN_EXPIRY_S,
    NOT_GIVEN_OUT,
    ExpiresAfter,
    FileObject,
    GivenPurpose,
    has_controls,
)
from understudy.storage import files
from understudy.storage.rows import Order, Window

router = APIRouter(prefix="/files", tags=["files"])

_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"
_KNOWN = ("purpose", _ANCHOR, _SECONDS)
_ANCHORS = list(get_args(ExpiresAfter.model_fields["anchor"].annotation))
_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "purpose": {"type": "string", "enum": list(GIVEN_PURPOSES)},
        _ANCHOR: {"type": "string", "enum": _ANCHORS},
        _SECONDS: {"type": "integer", "minimum": MIN_EXPIRY_S, "maximum": MAX_EXPIRY_S},
    },
}


@router.post("", response_model=FileObject, openapi_extra=documented(_FORM))
async def create(request: Request, services: ServicesDep, project: ProjectDep) -> Response:
    form = Form[Received]("file")
    try:
        await form.read(request, lambda chunks: services.files.receive("file", limited(chunks, MAX_FILE_BYTES)))
        return json_answer(await _create(request, services, project, form))
    except Exception:
        if form.file is not None:
            await services.files.discard(form.file.key)
        raise


async def _create(request: Request, services: Services, project: str, form: Form[Received]) -> FileObject:
    received, filename = given_file(form)
    purpose, expires_after = _purpose(form.fields), _expires_after(form.fields)
    form.file = None  # from here on it is looked after
    once = once_with_form(request, services, project, form.digest)
    write = partial(once.write, services.store)
    return await services.files.keep(project, received, filename, purpose, expires_after, write)


@router.get("", response_model=Page[FileObject])
async def list_all(
    services: ServicesDep,
    project: ProjectDep,
    limit: Annotated[int, Query(ge=1, le=10_000), READABLE] = 10_000,
    order: Order = "desc",
    after: str | None = None,
    purpose: str | None = None,
) -> Response:
    window, now = Window(limit, order, after or None), services.clock.now()
    found, more = await services.store.read(
        lambda connection: files.list_page(connection, project, window, now, purpose or None)
    )
    return json_answer(page_of(found, has_more=more))


@router.get("/{file_id}", response_model=FileObject)
async def retrieve(services: ServicesDep, project: ProjectDep, file_id: str) -> Response:
    return json_answer(await services.files.find(project, file_id))


@router.delete("/{file_id}", response_model=Deleted)
async def delete(services: ServicesDep, project: ProjectDep, file_id: str) -> Response:
    await services.files.delete(project, file_id)
    return json_answer(Deleted(id=file_id, object="file"))


_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "The file's bytes."}
}


@router.get("/{file_id}/content", response_class=StreamingResponse, responses=_BYTES)
async def content(services: ServicesDep, project: ProjectDep, file_id: str) -> Response:
    file = await services.files.find(project, file_id)
    if file.purpose in NOT_GIVEN_OUT:
        raise InvalidRequest(f"Not allowed to download files of purpose: {file.purpose}")
    headers = {
        "content-length": str(file.bytes),
        "content-disposition": f"attachment; filename*=utf-8''{quote(file.filename, safe='')}",
    }
    chunks = await services.files.content(project, file_id)
    return StreamingResponse(chunks, media_type="application/octet-stream", headers=headers)


# --- what a form says of its file --------------------------------------------------------------------------------


def given_file(form: Form[Received]) -> tuple[Received, str]:
    """Return a form's file and its name. Raises InvalidRequest."""
    if form.file is None or form.filename is None:
        raise InvalidRequest(f"'{form.file_field}' is a required property")
    name = form.filename
    if not name or len(name) > MAX_FILENAME:
        text = f"The file's name has {len(name)} characters; give it 1 to {MAX_FILENAME}."
        raise InvalidRequest(text, param=form.file_field)
    if has_controls(name):
        raise InvalidRequest("The file's name has control characters in it; leave them out.", param=form.file_field)
    return form.file, name


def _purpose(fields: Mapping[str, str]) -> GivenPurpose:
    for name in fields:
        if name not in _KNOWN:
            raise InvalidRequest(f"Additional properties are not allowed ({name[:80]!r} was unexpected)")
    if "purpose" not in fields:
        raise InvalidRequest("'purpose' is a required property")
    purpose = fields["purpose"]
    if purpose not in GIVEN_PURPOSES:
        raise InvalidRequest(f"{purpose[:80]!r} is not one of {list(GIVEN_PURPOSES)} - 'purpose'", param="purpose")
    return purpose


def _expires_after(fields: Mapping[str, str]) -> ExpiresAfter | None:
    if _ANCHOR not in fields and _SECONDS not in fields:
        return None
    for name, key in ((_ANCHOR, "anchor"), (_SECONDS, "seconds")):
        if name not in fields:
            raise InvalidRequest(f"'{key}' is a required property - 'expires_after'", param="expires_after")
    if fields[_ANCHOR] not in _ANCHORS:
        text = f"{fields[_ANCHOR][:80]!r} is not one of {_ANCHORS} - 'expires_after.anchor'"
        raise InvalidRequest(text, param="expires_after.anchor")
    return ExpiresAfter(anchor="created_at", seconds=_seconds(fields[_SECONDS]))


def _seconds(text: str) -> int:
    param = "expires_after.seconds"
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InvalidRequest(f"{text[:80]!r} is not of type 'integer' - '{param}'", param=param)
    seconds = int(text)
    if seconds < MIN_EXPIRY_S:
        raise InvalidRequest(f"{seconds} is less than the minimum of {MIN_EXPIRY_S} - '{param}'", param=param)
    if seconds > MAX_EXPIRY_S:
        raise InvalidRequest(f"{seconds} is greater than the maximum of {MAX_EXPIRY_S} - '{param}'", param=param)
    return seconds
