"""Routes of threads."""

from fastapi import APIRouter, Request, Response

from understudy.api.answers import json_answer
from understudy.api.requests import ProjectDep, ServicesDep, ThreadId, WindowDep, body
from understudy.api.retries import OnceDep
from understudy.api.straight import StraightRoute
from understudy.protocol.base import Deleted, Page, page_of
from understudy.protocol.thread_list import ListedThread
from understudy.protocol.threads import CreateThread, ModifyThread, Thread
from understudy.storage import thread_list, threads
from understudy.storage.thread_list import ThreadFilter

router = APIRouter(prefix="/threads", tags=["threads"], route_class=StraightRoute)

_METADATA = {
    "name": "metadata",
    "in": "query",
    "style": "deepObject",
    "explode": True,
    "schema": {"type": "object", "additionalProperties": {"type": "string"}},
}


@router.post("", response_model=Thread)
async def create(
    services: ServicesDep, project: ProjectDep, once: OnceDep, given: CreateThread = body(CreateThread)
) -> Response:
    return json_answer(await services.conversations.create_thread(project, given, once))


@router.get("", response_model=Page[ListedThread], openapi_extra={"parameters": [_METADATA]})
async def list_all(
    request: Request, services: ServicesDep, project: ProjectDep, window: WindowDep, query: str | None = None
) -> Response:
    """List the project's threads, by `metadata[key]=value` and by a text that a message holds. An extension."""
    wanted = ThreadFilter(_metadata(request), query or None)
    found, more = await services.store.read(lambda c: thread_list.list_page(c, project, window, wanted))
    return json_answer(page_of(found, has_more=more))


@router.get("/{thread_id}", response_model=Thread)
async def retrieve(services: ServicesDep, project: ProjectDep, thread_id: ThreadId) -> Response:
    return json_answer(await services.store.read(lambda connection: threads.get(connection, project, thread_id)))


@router.post("/{thread_id}", response_model=Thread)
async def modify(
    services: ServicesDep,
    project: ProjectDep,
    thread_id: ThreadId,
    once: OnceDep,
    given: ModifyThread = body(ModifyThread),
) -> Response:
    return json_answer(await services.conversations.modify_thread(project, thread_id, given, once))


@router.delete("/{thread_id}", response_model=Deleted)
async def delete(services: ServicesDep, project: ProjectDep, thread_id: ThreadId) -> Response:
    await services.runs.delete_thread(project, thread_id)
    return json_answer(Deleted(id=thread_id, object="thread.deleted"))


def _metadata(request: Request) -> dict[str, str]:
    """Read `metadata[key]=value`; a key that stands there twice means its last value."""
    pairs = request.query_params.multi_items()
    return {name[9:-1]: value for name, value in pairs if name.startswith("metadata[") and name.endswith("]")}
