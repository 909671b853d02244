"""Routes of files in vector stores."""

from functools import partial

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from understudy.api.answers import json_answer
from understudy.api.polls import HELD, NOT_HELD, HoldDep
from understudy.api.requests import ProjectDep, ServicesDep, VectorStoreId, WindowDep, body
from understudy.api.retries import OnceDep
from understudy.protocol.base import Deleted, Page, page_of
from understudy.protocol.search import Passage
from understudy.protocol.vector_stores import AddFile, FileContentPage, FileStatus, ModifyFile, VectorStoreFile
from understudy.storage import vector_store_files, vector_stores

router = APIRouter(prefix="/vector_stores/{vector_store_id}/files", tags=["vector store files"])


@router.post("", response_model=VectorStoreFile)
async def create(
    services: ServicesDep,
    project: ProjectDep,
    vector_store_id: VectorStoreId,
    once: OnceDep,
    given: AddFile = body(AddFile),
) -> Response:
    write = partial(once.write, services.store, repeatable=True)
    return json_answer(await services.vector_stores.add_file(project, vector_store_id, given, write))


@router.get("", response_model=Page[VectorStoreFile])
async def list_all(
    services: ServicesDep,
    project: ProjectDep,
    vector_store_id: VectorStoreId,
    window: WindowDep,
    filter: FileStatus | None = None,  # noqa: A002  # the parameter's name on the wire
) -> Response:
    def read(connection: Connection) -> tuple[list[VectorStoreFile], bool]:
        vector_stores.get(connection, project, vector_store_id)
        return vector_store_files.list_page(connection, vector_store_id, window, filter)

    found, more = await services.store.read(read)
    return json_answer(page_of(found, has_more=more))


@router.get("/{file_id}", response_model=VectorStoreFile)
async def retrieve(
    services: ServicesDep, project: ProjectDep, vector_store_id: VectorStoreId, file_id: str, hold_s: HoldDep
) -> Response:
    file = await services.waits.file(project, vector_store_id, file_id, hold_s or 0.0)
    return json_answer(file, NOT_HELD if hold_s is None else HELD)


@router.post("/{file_id}", response_model=VectorStoreFile)
async def modify(
    services: ServicesDep,
    project: ProjectDep,
    vector_store_id: VectorStoreId,
    file_id: str,
    once: OnceDep,
    given: ModifyFile = body(ModifyFile),
) -> Response:
    write = partial(once.write, services.store, repeatable=True)
    attributes = given.attributes or {}
    return json_answer(
        await services.vector_stores.set_attributes(project, vector_store_id, file_id, attributes, write)
    )


@router.delete("/{file_id}", response_model=Deleted)
async def delete(services: ServicesDep, project: ProjectDep, vector_store_id: VectorStoreId, file_id: str) -> Response:
    await services.vector_stores.remove_file(project, vector_store_id, file_id)
    return json_answer(Deleted(id=file_id, object="vector_store.file.deleted"))


@router.get("/{file_id}/content", response_model=FileContentPage)
async def content(services: ServicesDep, project: ProjectDep, vector_store_id: VectorStoreId, file_id: str) -> Response:
    return json_answer(await services.search.content(project, vector_store_id, file_id))


@router.get("/{file_id}/chunks/{chunk_id}", response_model=Passage)
async def chunk(
    services: ServicesDep, project: ProjectDep, vector_store_id: VectorStoreId, file_id: str, chunk_id: str
) -> Response:
    """Open a passage that a search or a citation names. An extension."""
    return json_answer(await services.search.passage(project, vector_store_id, file_id, chunk_id))
