"""Routes of model calls: what was sent to the model, and how long it took. An extension."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from understudy.api.answers import json_answer
from understudy.api.requests import ProjectDep, RunId, ServicesDep, ThreadId, checked_id
from understudy.engine import record
from understudy.protocol.base import Page, page_of
from understudy.protocol.model_calls import ModelCall

router = APIRouter(prefix="/threads/{thread_id}/runs/{run_id}/model_calls", tags=["model calls"])


async def _model_call_id(model_call_id: str) -> str:
    return checked_id(model_call_id, "call", "model_call_id")


ModelCallId = Annotated[str, Depends(_model_call_id)]


@router.get("", response_model=Page[ModelCall])
async def list_all(services: ServicesDep, project: ProjectDep, thread_id: ThreadId, run_id: RunId) -> Response:
    """List them all, oldest first: a run makes a bounded number."""
    found = await services.store.read(lambda connection: record.calls_of(connection, project, thread_id, run_id))
    return json_answer(page_of(found, has_more=False))


@router.get("/{model_call_id}", response_model=ModelCall)
async def retrieve(
    services: ServicesDep, project: ProjectDep, thread_id: ThreadId, run_id: RunId, model_call_id: ModelCallId
) -> Response:
    """Show one, with its prompt."""
    return json_answer(
        await services.store.read(
            lambda connection: record.call_with_prompt(connection, project, thread_id, run_id, model_call_id)
        )
    )
