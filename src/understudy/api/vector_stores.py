"""Routes of vector stores."""

from functools import partial

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from understudy.api.answers import json_answer
from understudy.api.requests import ProjectDep, ServicesDep, VectorStoreId, WindowDep, body
from understudy.api.retries import OnceDep
from understudy.protocol.base import Deleted, Page, page_of
from understudy.protocol.search import SearchPage, SearchVectorStore
from understudy.protocol.vector_stores import CreateVectorStore, ModifyVectorStore, VectorStore
from understudy.storage import vector_stores

router = APIRouter(prefix="/vector_stores", tags=["vector stores"])


@router.post("", response_model=VectorStore)
async def create(
    services: ServicesDep, project: ProjectDep, once: OnceDep, given: CreateVectorStore = body(CreateVectorStore)
) -> Response:
    write = partial(once.write, services.store)
    return json_answer(await services.vector_stores.create(project, given, write))


@router.get("", response_model=Page[VectorStore])
async def list_all(services: ServicesDep, project: ProjectDep, window: WindowDep) -> Response:
    now = services.clock.now()
    found, more = await services.store.read(
        lambda connection: vector_stores.list_page(connection, project, window, now)
    )
    return json_answer(page_of(found, has_more=more))


@router.get("/{vector_store_id}", response_model=VectorStore)
async def retrieve(services: ServicesDep, project: ProjectDep, vector_store_id: VectorStoreId) -> Response:
    def read(connection: Connection) -> VectorStore:
        found = vector_stores.get(connection, project, vector_store_id)
        return vector_stores.shown(connection, [found], services.clock.now())[0]

    return json_answer(await services.store.read(read))


@router.post("/{vector_store_id}", response_model=VectorStore)
async def modify(
    services: ServicesDep,
    project: ProjectDep,
    vector_store_id: VectorStoreId,
    once: OnceDep,
    given: ModifyVectorStore = body(ModifyVectorStore),
) -> Response:
    write = partial(once.write, services.store, repeatable=True)
    return json_answer(await services.vector_stores.modify(project, vector_store_id, given, write))


@router.delete("/{vector_store_id}", response_model=Deleted)
async def delete(services: ServicesDep, project: ProjectDep, vector_store_id: VectorStoreId) -> Response:
    await services.vector_stores.delete(project, vector_store_id)
    return json_answer(Deleted(id=vector_store_id, object="vector_store.deleted"))


@router.post("/{vector_store_id}/search", response_model=SearchPage)
async def search(
    services: ServicesDep,
    project: ProjectDep,
    vector_store_id: VectorStoreId,
    given: SearchVectorStore = body(SearchVectorStore),
) -> Response:
    return json_answer(await services.search.page(project, vector_store_id, given))
