"""The HTTP side over a real engine with a scripted model, without a socket."""

from functools import cache
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from tests.engine.house import House

from understudy.api.keyring import Keyring
from understudy.api.requests import Services
from understudy.config import Settings
from understudy.engine.retries import Refused
from understudy.inference.rewriting import QueryRewriter
from understudy.ingest.files import Files
from understudy.ingest.search import Search
from understudy.ingest.stores import VectorStores
from understudy.ingest.uploads import Uploads
from understudy.ingest.waiting import Waits
from understudy.storage import vector_store_files
from understudy.web import web

MAX_BODY = 100_000


def services(house: House) -> Services:
    files = Files(house.store, house.file_store, house.clock, [vector_store_files.remove_everywhere])

    async def health() -> dict[str, Any]:
        return {"status": "ok", "version": "0", "parts": {}}

    return Services(
        store=house.store,
        runs=house.runs,
        followers=house.followers,
        conversations=house.conversations,
        refused=Refused(house.clock),
        keyring=Keyring(house.store, house.clock),
        routes=house.routes,
        clock=house.clock,
        files=files,
        uploads=Uploads(house.store, house.file_store, files, house.clock),
        vector_stores=VectorStores(house.store, house.bus, house.clock),
        waits=Waits(house.store, house.bus, house.clock),
        search=Search(house.store, house.index, QueryRewriter(house.routes, None).rewrite, house.clock),
        health=health,
    )


@cache
def app_of(**settings: Any) -> FastAPI:
    """A server with these settings. Its services are put in per test: the making of an app takes a while."""
    unused: Any = None
    return web(Settings(data_dir=Path("unused"), max_body_bytes=MAX_BODY, **settings), unused)


def client_of(house: House, **settings: Any) -> httpx2.AsyncClient:
    app = app_of(**settings)
    app.state.services = services(house)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers={"authorization": "Bearer any"})
