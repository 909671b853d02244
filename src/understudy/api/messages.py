"""Routes of messages."""

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from understudy.api.answers import json_answer
from understudy.api.requests import MessageId, ProjectDep, ServicesDep, ThreadId, WindowDep, body, checked_id
from understudy.api.retries import OnceDep
from understudy.api.straight import StraightRoute
from understudy.protocol.base import Deleted, Page, page_of
from understudy.protocol.messages import CreateMessage, Message, ModifyMessage
from understudy.storage import messages, threads

router = APIRouter(prefix="/threads/{thread_id}/messages", tags=["messages"], route_class=StraightRoute)


@router.post("", response_model=Message)
async def create(
    services: ServicesDep,
    project: ProjectDep,
    thread_id: ThreadId,
    once: OnceDep,
    given: CreateMessage = body(CreateMessage),
) -> Response:
    return json_answer(await services.conversations.add_message(project, thread_id, given, once))


@router.get("", response_model=Page[Message])
async def list_all(
    services: ServicesDep, project: ProjectDep, thread_id: ThreadId, window: WindowDep, run_id: str | None = None
) -> Response:
    if run_id:  # an empty one counts as absent, as empty cursors do
        checked_id(run_id, "run", "run_id")

    def read(connection: Connection) -> tuple[list[Message], bool]:
        threads.get(connection, project, thread_id)
        return messages.list_page(connection, thread_id, window, run_id or None)

    found, more = await services.store.read(read)
    return json_answer(page_of(found, has_more=more))


@router.get("/{message_id}", response_model=Message)
async def retrieve(services: ServicesDep, project: ProjectDep, thread_id: ThreadId, message_id: MessageId) -> Response:
    def read(connection: Connection) -> Message:
        threads.get(connection, project, thread_id)
        return messages.get(connection, project, thread_id, message_id)

    return json_answer(await services.store.read(read))


@router.post("/{message_id}", response_model=Message)
async def modify(
    services: ServicesDep,
    project: ProjectDep,
    thread_id: ThreadId,
    message_id: MessageId,
    once: OnceDep,
    given: ModifyMessage = body(ModifyMessage),
) -> Response:
    def write(connection: Connection) -> Message:
        threads.get(connection, project, thread_id)
        messages.get(connection, project, thread_id, message_id)
        if given.given("metadata"):
            messages.change(connection, message_id, {"metadata": given.metadata or {}})
        return messages.get(connection, project, thread_id, message_id)

    return json_answer(await once.write(services.store, write, repeatable=True))


@router.delete("/{message_id}", response_model=Deleted)
async def delete(services: ServicesDep, project: ProjectDep, thread_id: ThreadId, message_id: MessageId) -> Response:
    def write(connection: Connection) -> None:
        threads.get(connection, project, thread_id)
        messages.get(connection, project, thread_id, message_id)
        messages.delete(connection, message_id)

    await services.store.write(write)
    return json_answer(Deleted(id=message_id, object="thread.message.deleted"))
