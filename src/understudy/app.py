"""The composition root: the only file that names adapters."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from fastapi import FastAPI

from understudy import __version__
from understudy.adapters import bus_of, embedder_of, file_store_of, index_of, sandbox_of, store_of
from understudy.api import (
    assistants,
    auth,
    errors,
    file_batches,
    files,
    health,
    messages,
    middleware,
    model_calls,
    models,
    multipart,
    openapi,
    projects,
    rates,
    retries,
    run_list,
    runs,
    steps,
    threads,
    uploads,
    usage,
    vector_store_files,
    vector_stores,
    webpages,
)
from understudy.api import metrics as api_metrics
from understudy.api.access import Access, Meter
from understudy.api.keyring import Keyring
from understudy.api.limits import RootPath, TimeLimit
from understudy.api.limits import full as too_many
from understudy.api.requests import Services
from understudy.bus.base import Bus
from understudy.config import Settings
from understudy.config_models import models_config
from understudy.engine.conversation import Conversations
from understudy.engine.follow import Followers
from understudy.engine.loop import Loop
from understudy.engine.retention import Retention
from understudy.engine.retries import Refused
from understudy.engine.service import RunService
from understudy.engine.sweeper import Sweeper
from understudy.engine.worker import Worker
from understudy.errors import ConfigurationError
from understudy.ids import SystemClock
from understudy.inference import tokens
from understudy.inference.image_fetch import ImageFetch
from understudy.inference.registry import ModelRoutes
from understudy.ingest import pictures
from understudy.ingest.files import Files
from understudy.ingest.intake import FileIntake
from understudy.ingest.library import VectorLibrary
from understudy.ingest.parsing import Parsing
from understudy.ingest.reindexing import Reindexing
from understudy.ingest.search import Search
from understudy.ingest.stores import VectorStores
from understudy.ingest.support import Support
from understudy.ingest.sweeper import FileSweeper
from understudy.ingest.upkeep import Upkeep
from understudy.ingest.uploads import Uploads
from understudy.ingest.waiting import Waits
from understudy.ingest.worker import FileWorker
from understudy.metrics import Metrics
from understudy.playground import page
from understudy.retrieval import cite
from understudy.sandbox.bubblewrap import BubblewrapSandbox
from understudy.sandbox.reader_jail import ReaderJail
from understudy.storage import folder, loose_bytes
from understudy.storage import runs as run_rows
from understudy.storage import vector_store_files as store_file_rows
from understudy.storage.base import Store
from understudy.storage.sqlite import sqlite_path
from understudy.tools.base import Toolbox
from understudy.tools.code_interpreter import CodeInterpreter
from understudy.tools.file_search import FileSearch
from understudy.topology import Role, check_scale, condition, is_for_this_machine, keeps_in_file

log = logging.getLogger(__name__)

V1 = "/v1"
full = middleware.ResponseHeaders(too_many)
"""Answers connections that are more than there may be."""
NOUNS = (
    assistants,
    runs,
    threads,
    messages,
    steps,
    models,
    files,
    uploads,
    vector_stores,
    vector_store_files,
    file_batches,
    run_list,
    model_calls,
    projects,
    usage,
)


class Serving(Protocol):
    """What goes on until it is cancelled."""

    async def serve(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs beside the requests. No workers: others do the work."""

    store: Store
    bus: Bus
    providers: ModelRoutes
    workers: list[Worker | FileWorker]
    sweepers: list[Serving]
    sandbox: BubblewrapSandbox
    reader_jail: ReaderJail
    children: Sequence[Callable[[], Awaitable[None]]]
    services: Services
    metrics: Metrics

    async def measured(self) -> bytes:
        """Return the page for Prometheus."""
        active, waiting = await self.store.read(run_rows.active_by_status), await self.bus.depth()
        return self.metrics.page(active, waiting, await self.bus.depth("files"), self.sandbox.live)

    async def wind_down(self) -> None:
        """Hand every run back and end the streams of those who follow: the server is about to stop."""
        self.services.waits.release()
        await asyncio.gather(*(worker.stop() for worker in self.workers))
        self.services.followers.close()
        await self.bus.close()


def build(settings: Settings, role: Role = "all") -> FastAPI:
    """Put a server together. Nothing is opened before its lifespan begins. Raises ConfigurationError."""
    check_scale(settings, alone=role == "all")
    parts = _parts(settings, role)
    app = web(settings, parts.services, _lifespan(settings, parts), parts.metrics, api=role != "worker")
    app.state.wind_down = parts.wind_down
    app.state.measured = parts.measured
    return app


def web(
    settings: Settings, services: Services, lifespan: Any = None, meter: Meter | None = None, *, api: bool = True
) -> FastAPI:
    """Put the HTTP side together, over services that somebody else has made. No `api`: health and counters only."""
    nouns = NOUNS if api else ()
    app = FastAPI(title="Understudy", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.services = services
    for noun in nouns:  # each by itself: FastAPI matches a path once more for every router around a router
        app.include_router(noun.router, prefix=V1, responses=errors.DOCUMENTED)
    app.include_router(health.router)
    app.include_router(api_metrics.router)
    if settings.playground and api:
        app.router.routes.extend(page.routes())
    errors.install(app)
    retries.install(app)
    app.openapi = lambda: openapi.document(app, [noun.router for noun in NOUNS], V1)  # type: ignore[method-assign]  # FastAPI's own way to extend it
    if settings.strict_beta_header:
        app.add_middleware(middleware.BetaHeader)
    app.add_middleware(TimeLimit, seconds=settings.request_timeout_s)
    max_bytes = int(settings.max_body_bytes)
    streamed = multipart.takes_form([noun.router for noun in NOUNS], V1)
    app.add_middleware(middleware.BodyLimit, max_bytes=max_bytes, timeout_s=settings.body_timeout_s, streamed=streamed)
    app.add_middleware(rates.RequestRates)
    app.add_middleware(auth.Door, also_open=page.paths() if settings.playground else frozenset())
    app.add_middleware(webpages.WebPages, origins=settings.cors_origins)
    app.add_middleware(Access, meter=meter, log_content=settings.log_content)
    app.add_middleware(middleware.ResponseHeaders)
    if settings.root_path:
        app.add_middleware(RootPath, path=settings.root_path)
    return app


def _parts(settings: Settings, role: Role) -> Parts:
    clock = SystemClock()
    metrics = Metrics(clock)
    store, bus = store_of(settings, metrics.write_ended), bus_of(settings, clock, metrics)
    file_store = file_store_of(settings)
    kept_files = Files(store, file_store, clock, [store_file_rows.remove_everywhere])
    providers = ModelRoutes(
        models_config(settings),
        settings.cache_dir,
        fetch_image=ImageFetch() if settings.fetch_images else None,
        read_image=partial(pictures.data_url, kept_files),
    )
    name = f"{socket.gethostname()[:48]}-{os.getpid()}"
    embedder, jail = embedder_of(settings), ReaderJail()
    index = index_of(settings, store, embedder)
    parsing = Parsing(concurrency=settings.ingest_concurrency, jail=jail)
    search, waits, sandbox = Search(store, index, clock), Waits(store, bus, clock), sandbox_of(settings)
    code = CodeInterpreter(sandbox, kept_files)
    toolbox: Toolbox = {
        "code_interpreter": code,
        "file_search": FileSearch(VectorLibrary(store, search, waits, clock), cite.excerpt),
    }
    support = Support(embedder.embed).quote
    loop = Loop(store, bus, providers, tokens.count_messages, clock, settings.lease_s, toolbox, cite.quote, support)
    file_worker = FileWorker(
        store,
        bus,
        FileIntake(kept_files, parsing.cut, index),
        clock,
        name=name,
        lease_s=settings.lease_s,
        concurrency=settings.ingest_concurrency,
        listener=metrics.file_ended,
    )
    worker = Worker(
        store,
        bus,
        loop,
        clock,
        name=name,
        lease_s=settings.lease_s,
        concurrency=settings.worker_concurrency,
        sessions=code if settings.bus_url is not None else None,
    )
    services = Services(
        store=store,
        runs=RunService(
            store,
            bus,
            providers,
            clock,
            run_expiry_s=settings.run_expiry_s,
            most_queued=settings.max_queued_runs,
            forget=code.forget,
        ),
        followers=Followers(store, bus, clock),
        conversations=Conversations(store, bus, clock),
        refused=Refused(clock),
        routes=providers,
        clock=clock,
        keyring=_keyring(settings, store, clock),
        files=kept_files,
        uploads=Uploads(store, file_store, kept_files, clock),
        vector_stores=VectorStores(store, bus, clock),
        waits=waits,
        search=search,
        health=lambda: condition(
            settings,
            store,
            bus,
            file_store,
            {"models": providers.status, "code_interpreter": sandbox.status, "document_readers": jail.status},
        ),
    )
    upkeep = Upkeep(store, file_store, kept_files, clock)
    sweepers: list[Serving] = [Sweeper(store, bus, clock), FileSweeper(store, bus, clock), upkeep]
    sweepers.append(Reindexing(store, index, clock, name=name))
    if settings.delete_threads_after_days is not None:
        sweepers.append(Retention(store, clock, settings.delete_threads_after_days))
    children = [parsing.close, jail.aclose, index.aclose, sandbox.aclose]
    workers: list[Worker | FileWorker] = [] if role == "api" else [worker, file_worker]
    return Parts(store, bus, providers, workers, sweepers, sandbox, jail, children, services, metrics)


def _keyring(settings: Settings, store: Store, clock: SystemClock) -> Keyring:
    key, admin_key = (
        secret.get_secret_value() if secret else None for secret in (settings.api_key, settings.admin_key)
    )
    if key is not None and key == admin_key:
        raise ConfigurationError("api_key and admin_key are the same; give two different keys")
    return Keyring(store, clock, key=key, admin_key=admin_key)


async def _refuse_strangers(host: str, keyring: Keyring) -> None:
    """Raise ConfigurationError if others can reach a server without keys."""
    if not await keyring.are_on() and not await asyncio.to_thread(is_for_this_machine, host):
        raise ConfigurationError(
            f"host is {host!r}, which others can reach, and there is no API key yet: "
            "make one with `understudy keys create`, or set UNDERSTUDY_API_KEY"
        )


def _lifespan(settings: Settings, parts: Parts) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with _alone(settings):
            await parts.store.open()
            await _refuse_strangers(settings.host, parts.services.keyring)
            await parts.bus.open()
            if keeps_in_file(settings):
                await _release(parts)
            async with _background(parts):
                yield

    return lifespan


def _alone(settings: Settings) -> AbstractContextManager[None]:
    """Keep a database file from other servers; a database server is there for many."""
    if not keeps_in_file(settings):
        return nullcontext()
    return folder.held(settings.data_dir, sqlite_path(settings.database_url))


async def _release(parts: Parts) -> None:
    """Let go of what a server that is alone on its database held before: whoever did is gone."""
    await parts.store.write(run_rows.release_all)
    await parts.store.write(store_file_rows.release_all)
    await parts.store.write(lambda connection: loose_bytes.give_up(connection, parts.services.clock.now()))


@asynccontextmanager
async def _background(parts: Parts) -> AsyncIterator[None]:
    for jail in (parts.sandbox, parts.reader_jail) if parts.workers else ():
        jail.begin()
    working = [asyncio.create_task(worker.serve(), name=type(worker).__name__) for worker in parts.workers]
    sweeping = [asyncio.create_task(sweeper.serve(), name=type(sweeper).__name__) for sweeper in parts.sweepers]
    try:
        yield
    finally:
        for task in sweeping:
            task.cancel()
        await parts.wind_down()
        await asyncio.gather(*working, *sweeping, return_exceptions=True)
        await asyncio.gather(*(end() for end in parts.children), return_exceptions=True)
        await parts.providers.aclose()
        await parts.store.close()
