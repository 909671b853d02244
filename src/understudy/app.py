"""The composition root: the only file that names adapters."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter, FastAPI

from understudy import __version__
from understudy.api import (
    assistants,
    auth,
    errors,
    health,
    messages,
    middleware,
    models,
    openapi,
    rates,
    retries,
    runs,
    steps,
    threads,
    webpages,
)
from understudy.api import metrics as api_metrics
from understudy.api.access import Access, Meter
from understudy.api.keyring import Keyring
from understudy.api.limits import RootPath, TimeLimit
from understudy.api.requests import Services
from understudy.bus.local import LocalBus
from understudy.config import Settings, models_config
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
from understudy.ingest.index import Index
from understudy.metrics import Metrics
from understudy.retrieval.embed import Embedder
from understudy.retrieval.embed_endpoint import EndpointEmbedder
from understudy.retrieval.embed_local import LocalEmbedder
from understudy.retrieval.rerank import EndpointReranker
from understudy.storage import folder
from understudy.storage import runs as run_rows
from understudy.storage.nearest import Nearest
from understudy.storage.search_sqlite import SqliteKeywords
from understudy.storage.sqlite import SqliteStore, sqlite_path

log = logging.getLogger(__name__)

V1 = "/v1"
HEALTH_S = 5
_PROBE = "UPDATE alembic_version SET version_num = version_num"
NOUNS = (assistants, runs, threads, messages, steps, models)


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs beside the requests."""

    store: SqliteStore
    bus: LocalBus
    providers: ModelRoutes
    worker: Worker
    sweepers: list[Sweeper | Retention]
    services: Services
    metrics: Metrics

    async def measured(self) -> bytes:
        """Return the page for Prometheus."""
        return self.metrics.page(await self.store.read(run_rows.active_by_status))

    async def wind_down(self) -> None:
        """Hand every run back and end the streams of those who follow: the server is about to stop."""
        await self.worker.stop()
        self.services.followers.close()
        await self.bus.close()


def build(settings: Settings) -> FastAPI:
    """Put a server together. Nothing is opened before its lifespan begins."""
    parts = _parts(settings)
    app = web(settings, parts.services, _lifespan(settings, parts), parts.metrics)
    app.state.wind_down = parts.wind_down
    app.state.measured = parts.measured
    return app


def store_of(settings: Settings) -> SqliteStore:
    """Return the database of these settings; it is not opened yet."""
    return SqliteStore(sqlite_path(settings.database_url), settings.sqlite_synchronous)


def index_of(settings: Settings, store: SqliteStore) -> Index:
    """Return the search index of these settings. Its embedder starts at first use."""
    embedder: Embedder = LocalEmbedder()
    reranker = None
    if settings.embeddings_url is not None:
        embedder = EndpointEmbedder(*_endpoint(settings, "embeddings"))
    if settings.rerank_url is not None:
        reranker = EndpointReranker(*_endpoint(settings, "rerank"))
    nearest = Nearest(int(settings.vector_memory_bytes))
    return Index(store, SqliteKeywords(), nearest, embedder, reranker)


def _endpoint(settings: Settings, what: Literal["embeddings", "rerank"]) -> tuple[str, str | None, str]:
    """Return address, key and model of an endpoint. Raises ConfigurationError."""
    url, key, model = (getattr(settings, f"{what}_{part}") for part in ("url", "key", "model"))
    if model is None:
        raise ConfigurationError(f"{what}_url is set, but {what}_model is not; name the model that it has")
    return url, key.get_secret_value() if key else None, model


def web(settings: Settings, services: Services, lifespan: Any = None, meter: Meter | None = None) -> FastAPI:
    """Put the HTTP side together, over services that somebody else has made."""
    app = FastAPI(title="Understudy", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.services = services
    app.include_router(_v1())
    app.include_router(health.router)
    app.include_router(api_metrics.router)
    errors.install(app)
    retries.install(app)
    app.openapi = lambda: openapi.document(app, [noun.router for noun in NOUNS], V1)  # type: ignore[method-assign]  # FastAPI's own way to extend it
    if settings.strict_beta_header:
        app.add_middleware(middleware.BetaHeader)
    app.add_middleware(TimeLimit, seconds=settings.request_timeout_s)
    max_bytes = int(settings.max_body_bytes)
    app.add_middleware(middleware.BodyLimit, max_bytes=max_bytes, timeout_s=settings.body_timeout_s)
    app.add_middleware(rates.RequestRates)
    app.add_middleware(auth.Door)
    app.add_middleware(webpages.WebPages, origins=settings.cors_origins)
    app.add_middleware(Access, meter=meter, log_content=settings.log_content)
    app.add_middleware(middleware.ResponseHeaders)
    if settings.root_path:
        app.add_middleware(RootPath, path=settings.root_path)
    return app


def _v1() -> APIRouter:
    v1 = APIRouter(prefix=V1, responses=errors.DOCUMENTED)
    for noun in NOUNS:
        v1.include_router(noun.router)
    return v1


def _parts(settings: Settings) -> Parts:
    clock = SystemClock()
    metrics = Metrics(clock)
    store = SqliteStore(sqlite_path(settings.database_url), settings.sqlite_synchronous, on_commit=metrics.write_ended)
    bus = LocalBus(clock, linger_s=settings.event_log_s, listener=metrics.told)
    metrics.watch_queue(bus.depth)
    providers = ModelRoutes(
        models_config(settings), settings.cache_dir, fetch_image=ImageFetch() if settings.fetch_images else None
    )
    loop = Loop(store, bus, providers, tokens.count_messages, clock, settings.lease_s)
    name = f"{socket.gethostname()}-{os.getpid()}"
    worker = Worker(
        store, bus, loop, clock, name=name, lease_s=settings.lease_s, concurrency=settings.worker_concurrency
    )
    services = Services(
        store=store,
        runs=RunService(store, bus, providers, clock, run_expiry_s=settings.run_expiry_s),
        followers=Followers(store, bus, clock),
        conversations=Conversations(store, clock),
        refused=Refused(clock),
        routes=providers,
        clock=clock,
        keyring=_keyring(settings, store, clock),
        health=lambda: _health(store, providers),
    )
    sweepers: list[Sweeper | Retention] = [Sweeper(store, bus, clock)]
    if settings.delete_threads_after_days is not None:
        sweepers.append(Retention(store, clock, settings.delete_threads_after_days))
    return Parts(store, bus, providers, worker, sweepers, services, metrics)


def _keyring(settings: Settings, store: SqliteStore, clock: SystemClock) -> Keyring:
    key, admin_key = (
        secret.get_secret_value() if secret else None for secret in (settings.api_key, settings.admin_key)
    )
    if key is not None and key == admin_key:
        raise ConfigurationError("api_key and admin_key are the same; give two different keys")
    return Keyring(store, clock, key=key, admin_key=admin_key)


async def _refuse_strangers(host: str, keyring: Keyring) -> None:
    """Raise ConfigurationError if others can reach a server without keys."""
    if not await keyring.are_on() and not await asyncio.to_thread(_is_for_this_machine, host):
        raise ConfigurationError(
            f"host is {host!r}, which others can reach, and there is no API key yet: "
            "make one with `understudy keys create`, or set UNDERSTUDY_API_KEY"
        )


def _is_for_this_machine(host: str) -> bool:
    found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return all(webpages.is_loopback(str(place[0]).partition("%")[0]) for *_, place in found)


def _lifespan(settings: Settings, parts: Parts) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with folder.held(settings.data_dir, sqlite_path(settings.database_url)):
            await parts.store.open()
            await _refuse_strangers(settings.host, parts.services.keyring)
            await parts.store.write(run_rows.release_all)  # alone on its database: whoever held a run is gone
            async with _background(parts):
                yield

    return lifespan


@asynccontextmanager
async def _background(parts: Parts) -> AsyncIterator[None]:
    working = asyncio.create_task(parts.worker.serve(), name="worker")
    sweeping = [asyncio.create_task(sweeper.serve(), name=type(sweeper).__name__) for sweeper in parts.sweepers]
    try:
        yield
    finally:
        for task in sweeping:
            task.cancel()
        await parts.wind_down()
        await asyncio.gather(working, *sweeping, return_exceptions=True)
        await parts.providers.aclose()
        await parts.store.close()


async def _health(store: SqliteStore, providers: ModelRoutes) -> dict[str, Any]:
    """The state of each part, and why it is off. The database is well if it can be written to."""
    try:
        async with asyncio.timeout(HEALTH_S):
            await store.write(lambda connection: connection.exec_driver_sql(_PROBE))
        database = {"state": "ok", "kind": "sqlite"}
    except Exception as problem:
        why = f"It did not answer within {HEALTH_S} s." if isinstance(problem, TimeoutError) else str(problem)
        database = {"state": "failed", "kind": "sqlite", "why": why.partition("\n")[0]}
    status = "ok" if database["state"] == "ok" else "failed"
    parts = {"database": database, "bus": {"state": "ok", "kind": "local"}, "models": providers.status()}
    return {"status": status, "version": __version__, "parts": parts}
