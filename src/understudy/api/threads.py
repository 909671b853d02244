"""Routes of threads."""

from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from understudy.api.answers import json_answer
from understudy.api.requests import ProjectDep, ServicesDep, ThreadId, body
from understudy.api.retries import OnceDep
from understudy.engine.creation import stored_resources
from understudy.engine.references import check_resources
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
    changes: dict[str, Any] = {}
    if given.given("metadata"):
        changes["metadata"] = given.metadata or {}
    if given.given("tool_resources"):
        changes["tool_resources"] = stored_resources(given.tool_resources)

    def write(connection: Connection) -> Thread:
        check_resources(connection, project, changes.get("tool_resources", {}), services.clock.now())
        return threads.change(connection, project, thread_id, changes)

    return json_answer(await once.write(services.store, write, repeatable=True))


@router.delete("/{thread_id}", response_model=Deleted)
async def delete(services: ServicesDep, project: ProjectDep, thread_id: ThreadId) -> Response:
    await services.runs.delete_thread(project, thread_id)
    return json_answer(Deleted(id=thread_id, object="thread.deleted"))
