"""Routes of assistants."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from understudy.api.answers import json_answer
from understudy.api.requests import AssistantId, ProjectDep, ServicesDep, WindowDep, body
from understudy.api.retries import OnceDep
from understudy.engine.creation import stored_resources
from understudy.engine.passing_stores import are_described, plant
from understudy.engine.references import check_resources
from understudy.ids import new_id
from understudy.protocol.assistants import Assistant, AssistantFields, CreateAssistant, ModifyAssistant
from understudy.protocol.base import Deleted, Page, page_of
from understudy.protocol.tools import ToolResources, as_given, echo
from understudy.storage import assistants
from understudy.storage.assistants import AssistantRecord

router = APIRouter(prefix="/assistants", tags=["assistants"])


@router.post("", response_model=Assistant)
async def create(
    services: ServicesDep, project: ProjectDep, once: OnceDep, given: CreateAssistant = body(CreateAssistant)
) -> Response:
    services.routes.find(given.model)
    tools = [echo(tool) for tool in given.tools or []]
    record = AssistantRecord(
        id=new_id("assistant"),
        created_at=int(services.clock.now()),
        name=given.name,
        description=given.description,
        model=given.model,
        instructions=given.instructions,
        tools=tools,
        top_p=given.top_p,
        temperature=given.temperature,
        reasoning_effort=given.reasoning_effort,
        tool_resources=stored_resources(given.tool_resources, tools),
        metadata=given.metadata or {},
        response_format=as_given(given.response_format),
    )

    todo: list[str] = []

    def write(connection: Connection) -> Assistant:
        now, resources = services.clock.now(), record.tool_resources
        check_resources(connection, project, resources, now)
        resources = plant(connection, project, given.tool_resources, resources, now, todo=todo)
        made = replace(record, tool_resources=resources)
        assistants.add(connection, project, made)
        return made.shown()

    made = await once.write(services.store, write)
    await services.vector_stores.enqueue(todo)
    return json_answer(made)


@router.get("", response_model=Page[Assistant])
async def list_all(services: ServicesDep, project: ProjectDep, window: WindowDep) -> Response:
    records, more = await services.store.read(lambda connection: assistants.list_page(connection, project, window))
    return json_answer(page_of([record.shown() for record in records], has_more=more))


@router.get("/{assistant_id}", response_model=Assistant)
async def retrieve(services: ServicesDep, project: ProjectDep, assistant_id: AssistantId) -> Response:
    record = await services.store.read(lambda connection: assistants.get(connection, project, assistant_id))
    return json_answer(record.shown())


@router.post("/{assistant_id}", response_model=Assistant)
async def modify(
    services: ServicesDep,
    project: ProjectDep,
    assistant_id: AssistantId,
    once: OnceDep,
    given: ModifyAssistant = body(ModifyAssistant),
) -> Response:
    if given.model is not None:
        services.routes.find(given.model)
    todo: list[str] = []

    def write(connection: Connection) -> Assistant:
        changes, now = _changes(given, assistants.get(connection, project, assistant_id)), services.clock.now()
        check_resources(connection, project, stored_resources(given.tool_resources), now)
        if are_described(given.tool_resources):
            resources = changes["tool_resources"]
            changes["tool_resources"] = plant(connection, project, given.tool_resources, resources, now, todo=todo)
        return assistants.change(connection, project, assistant_id, changes).shown()

    repeatable = not are_described(given.tool_resources)
    changed = await once.write(services.store, write, repeatable=repeatable)
    await services.vector_stores.enqueue(todo)
    return json_answer(changed)


@router.delete("/{assistant_id}", response_model=Deleted)
async def delete(services: ServicesDep, project: ProjectDep, assistant_id: AssistantId) -> Response:
    await services.store.write(lambda connection: assistants.delete(connection, project, assistant_id))
    return json_answer(Deleted(id=assistant_id, object="assistant.deleted"))


_PLAIN = ("name", "description", "instructions", "reasoning_effort", "temperature", "top_p")


def _changes(given: ModifyAssistant, before: AssistantRecord) -> dict[str, Any]:
    """Take what the request names; null takes a value back to its default."""
    changes: dict[str, Any] = {name: getattr(given, name) for name in _PLAIN if given.given(name)}
    if given.model is not None:
        changes["model"] = given.model
    if given.given("metadata"):
        changes["metadata"] = given.metadata or {}
    if given.given("response_format"):
        changes["response_format"] = as_given(given.response_format)
    if given.given("tools") or given.given("tool_resources"):
        changes |= _tool_changes(given, before)
    return changes


def _tool_changes(given: AssistantFields, before: AssistantRecord) -> dict[str, Any]:
    """Resources of one tool are replaced without touching another's; null empties them all."""
    tools = [echo(tool) for tool in given.tools or []] if given.given("tools") else before.tools
    emptied = given.given("tool_resources") and given.tool_resources is None
    kept: ToolResources = {} if emptied else before.tool_resources
    resources = {**stored_resources(None, tools), **kept, **stored_resources(given.tool_resources)}
    return {"tools": tools, "tool_resources": resources}
