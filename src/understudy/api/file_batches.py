"""Routes of batches of files."""

from functools import partial

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from understudy.api.answers import json_answer
from understudy.api.polls import HELD, NOT_HELD, HoldDep
from understudy.api.requests import BatchId, ProjectDep, ServicesDep, VectorStoreId, WindowDep, body
from understudy.api.retries import OnceDep
from understudy.protocol.base import Page, page_of
from understudy.protocol.vector_stores import AddFileBatch, FileBatch, FileStatus, VectorStoreFile
from understudy.storage import file_batches, vector_store_files, vector_stores

router = APIRouter(prefix="/vector_stores/{vector_store_id}/file_batches", tags=["file batches"])


@router.post("", response_model=FileBatch)
async def create(
    services: ServicesDep,
    project: ProjectDep,
    vector_store_id: VectorStoreId,
    once: OnceDep,
    given: AddFileBatch = body(AddFileBatch),
) -> Response:
    write = partial(once.write, services.store)
    return json_answer(await services.vector_stores.add_batch(project, vector_store_id, given, write))


@router.get("/{batch_id}", response_model=FileBatch)
async def retrieve(
    services: ServicesDep, project: ProjectDep, vector_store_id: VectorStoreId, batch_id: BatchId, hold_s: HoldDep
) -> Response:
    batch = await services.waits.batch(project, vector_store_id, batch_id, hold_s or 0.0)
    return json_answer(batch, NOT_HELD if hold_s is None else HELD)


@router.post("/{batch_id}/cancel", response_model=FileBatch)
async def cancel(
    services: ServicesDep, project: ProjectDep, vector_store_id: VectorStoreId, batch_id: BatchId, once: OnceDep
) -> Response:
    write = partial(once.write, services.store, repeatable=True)
    return json_answer(await services.vector_stores.cancel_batch(project, vector_store_id, batch_id, write))


@router.get("/{batch_id}/files", response_model=Page[VectorStoreFile])
async def list_files(
    services: ServicesDep,
    project: ProjectDep,
    vector_store_id: VectorStoreId,
    batch_id: BatchId,
    window: WindowDep,
    filter: FileStatus | None = None,  # noqa: A002  # the parameter's name on the wire
) -> Response:
    def read(connection: Connection) -> tuple[list[VectorStoreFile], bool]:
        vector_stores.get(connection, project, vector_store_id)
        file_batches.get(connection, project, vector_store_id, batch_id)
        return vector_store_files.list_page(connection, vector_store_id, window, filter, batch_id)

    found, more = await services.store.read(read)
    return json_answer(page_of(found, has_more=more))
