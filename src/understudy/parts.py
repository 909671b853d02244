"""What a server's process is made of: every part, each over the ports of those below it."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from understudy.adapters import bus_of, embedder_of, file_store_of, index_of, sandbox_of, store_of
from understudy.api.keyring import Keyring
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
from understudy.files.store import UrlFileStore
from understudy.ids import SystemClock
from understudy.inference import tokens
from understudy.inference.image_fetch import ImageFetch
from understudy.inference.registry import ModelRoutes
from understudy.inference.rewriting import QueryRewriter
from understudy.ingest import pictures
from understudy.ingest.files import Files
from understudy.ingest.index import Index
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
from understudy.retrieval import cite
from understudy.retrieval.embed import Embedder
from understudy.sandbox.bubblewrap import BubblewrapSandbox
from understudy.sandbox.reader_jail import ReaderJail
from understudy.storage import runs as run_rows
from understudy.storage import vector_store_files as store_file_rows
from understudy.storage.base import Store
from understudy.tools.code_interpreter import CodeInterpreter
from understudy.tools.file_search import FileSearch
from understudy.topology import Role, condition


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


@dataclass(frozen=True, slots=True)
class _Ground:
    """What all other parts stand on."""

    settings: Settings
    clock: SystemClock
    metrics: Metrics
    store: Store
    bus: Bus
    file_store: UrlFileStore
    files: Files
    providers: ModelRoutes
    name: str
    """Tells this process from others."""


@dataclass(frozen=True, slots=True)
class _Tools:
    """What built-in tools work with, and searches too."""

    sandbox: BubblewrapSandbox
    reader_jail: ReaderJail
    parsing: Parsing
    embedder: Embedder
    index: Index
    search: Search
    waits: Waits
    code: CodeInterpreter


def parts_of(settings: Settings, role: Role) -> Parts:
    """Make the parts of a process. Nothing is opened. Raises ConfigurationError."""
    ground = _ground(settings)
    tools = _tools(ground)
    return Parts(
        ground.store,
        ground.bus,
        ground.providers,
        [] if role == "api" else [_run_worker(ground, tools), _file_worker(ground, tools)],
        _sweepers(ground, tools.index),
        tools.sandbox,
        tools.reader_jail,
        [tools.parsing.close, tools.reader_jail.aclose, tools.index.aclose, tools.sandbox.aclose],
        _services(ground, tools),
        ground.metrics,
    )


def _ground(settings: Settings) -> _Ground:
    clock = SystemClock()
    metrics = Metrics(clock)
    store, file_store = store_of(settings, metrics.write_ended), file_store_of(settings)
    files = Files(store, file_store, clock, [store_file_rows.remove_everywhere])
    providers = ModelRoutes(
        models_config(settings),
        settings.cache_dir,
        fetch_image=ImageFetch() if settings.fetch_images else None,
        read_image=partial(pictures.data_url, files),
    )
    name = f"{socket.gethostname()[:48]}-{os.getpid()}"
    bus = bus_of(settings, clock, metrics)
    return _Ground(settings, clock, metrics, store, bus, file_store, files, providers, name)


def _tools(ground: _Ground) -> _Tools:
    sandbox, jail, embedder = sandbox_of(ground.settings), ReaderJail(), embedder_of(ground.settings)
    index = index_of(ground.settings, ground.store, embedder)
    rewriter = QueryRewriter(ground.providers, ground.settings.rewrite_model)
    return _Tools(
        sandbox,
        jail,
        Parsing(concurrency=ground.settings.ingest_concurrency, jail=jail),
        embedder,
        index,
        Search(ground.store, index, rewriter.rewrite, ground.clock),
        Waits(ground.store, ground.bus, ground.clock),
        CodeInterpreter(sandbox, ground.files),
    )


def _run_worker(ground: _Ground, tools: _Tools) -> Worker:
    settings = ground.settings
    library = VectorLibrary(ground.store, tools.search, tools.waits, ground.clock)
    loop = Loop(
        ground.store,
        ground.bus,
        ground.providers,
        tokens.count_messages,
        ground.clock,
        settings.lease_s,
        {"code_interpreter": tools.code, "file_search": FileSearch(library, cite.excerpt)},
        cite.quote,
        Support(tools.embedder.embed).quote,
    )
    return Worker(
        ground.store,
        ground.bus,
        loop,
        ground.clock,
        name=ground.name,
        lease_s=settings.lease_s,
        concurrency=settings.worker_concurrency,
        sessions=tools.code if settings.bus_url is not None else None,
    )


def _file_worker(ground: _Ground, tools: _Tools) -> FileWorker:
    return FileWorker(
        ground.store,
        ground.bus,
        FileIntake(ground.files, tools.parsing.cut, tools.index),
        ground.clock,
        name=ground.name,
        lease_s=ground.settings.lease_s,
        concurrency=ground.settings.ingest_concurrency,
        listener=ground.metrics.file_ended,
    )


def _sweepers(ground: _Ground, index: Index) -> list[Serving]:
    store, bus, clock, days = ground.store, ground.bus, ground.clock, ground.settings.delete_threads_after_days
    sweepers: list[Serving] = [
        Sweeper(store, bus, clock),
        FileSweeper(store, bus, clock),
        Upkeep(store, ground.file_store, ground.files, clock),
        Reindexing(store, index, clock, name=ground.name),
    ]
    return sweepers if days is None else [*sweepers, Retention(store, clock, days)]


def _services(ground: _Ground, tools: _Tools) -> Services:
    """Put together what requests ask for."""
    settings, store, bus, clock = ground.settings, ground.store, ground.bus, ground.clock
    runs = RunService(
        store,
        bus,
        ground.providers,
        clock,
        run_expiry_s=settings.run_expiry_s,
        most_queued=settings.max_queued_runs,
        forget=tools.code.forget,
    )
    parts = {
        "models": ground.providers.status,
        "code_interpreter": tools.sandbox.status,
        "document_readers": tools.reader_jail.status,
    }
    return Services(
        store=store,
        runs=runs,
        followers=Followers(store, bus, clock),
        conversations=Conversations(store, bus, clock),
        refused=Refused(clock),
        routes=ground.providers,
        clock=clock,
        keyring=_keyring(settings, store, clock),
        files=ground.files,
        uploads=Uploads(store, ground.file_store, ground.files, clock),
        vector_stores=VectorStores(store, bus, clock),
        waits=tools.waits,
        search=tools.search,
        health=lambda: condition(settings, store, bus, ground.file_store, parts),
    )


def _keyring(settings: Settings, store: Store, clock: SystemClock) -> Keyring:
    key, admin_key = (
        secret.get_secret_value() if secret else None for secret in (settings.api_key, settings.admin_key)
    )
    if key is not None and key == admin_key:
        raise ConfigurationError("api_key and admin_key are the same; give two different keys")
    return Keyring(store, clock, key=key, admin_key=admin_key)
