"""Routes of models: the names that lead somewhere."""

from fastapi import APIRouter, Response

from understudy.api.answers import json_answer
from understudy.api.requests import ServicesDep
from understudy.errors import Forbidden, ModelNotFound
from understudy.protocol.base import ErrorAnswer
from understudy.protocol.models import Model, ModelList

router = APIRouter(prefix="/models", tags=["models"])

CREATED = 1767225600
"""Models here have no date of their own; the field must hold one."""


def _model(name: str) -> Model:
    return Model(id=name, created=CREATED, owned_by="understudy")


@router.get("", response_model=ModelList)
async def list_all(services: ServicesDep) -> Response:
    return json_answer(ModelList(data=[_model(name) for name in services.routes.names()]))


@router.get("/{model:path}", response_model=Model)
async def retrieve(services: ServicesDep, model: str) -> Response:
    if model not in services.routes.names():
        raise ModelNotFound(model)
    return json_answer(_model(model))


@router.delete("/{model:path}", status_code=403, responses={403: {"model": ErrorAnswer}})
async def delete(services: ServicesDep, model: str) -> Response:
    services.routes.find(model)
    raise Forbidden("Models cannot be deleted through the API: they are routes of this server's configuration.")
