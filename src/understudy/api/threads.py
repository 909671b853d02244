"""Routes of threads."""

from fastapi import APIRouter, Response

from understudy.api.answers import json_answer
from understudy.api.requests import ProjectDep, ServicesDep, ThreadId, body
from understudy.api.retries import OnceDep
from understudy.protocol.base import Deleted
from understudy.protocol.threads import CreateThread, ModifyThread, Thread
from understudy.storage import threads

router = APIRouter(prefix="/threads", tags=["threads"])


@router.post("", response_model=Thread)
async def create(
    services: ServicesDep, project: ProjectDep, once: OnceDep, given: CreateThread = body(CreateThread)
) -> Response:
    return json_answer(await services.conversations.create_thread(project, given, once))


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
