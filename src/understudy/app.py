"""The composition root: the only file that names adapters."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

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
from understudy.bus.base import Bus
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
from understudy.metrics import Metrics
from understudy.storage import folder
from understudy.storage import runs as run_rows
from understudy.storage.base import Store
from understudy.storage.sqlite import SqliteStore, sqlite_path
from understudy.topology import Role, check_scale, keeps_in_file

log = logging.getLogger(__name__)

V1 = "/v1"
HEALTH_S = 5
_PROBE = "UPDATE alembic_version SET version_num = version_num"
NOUNS = (assistants, runs, threads, messages, steps, models)


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs beside the requests. No worker: others do the work."""

    store: Store
    bus: Bus
    providers: ModelRoutes
    worker: Worker | None
    sweepers: list[Sweeper | Retention]
    services: Services
    metrics: Metrics

    async def measured(self) -> bytes:
        """Return the page for Prometheus."""
        return self.metrics.page(await self.store.read(run_rows.active_by_status), await self.bus.depth())

    async def wind_down(self) -> None:
        """Hand every run back and end the streams of those who follow: the server is about to stop."""
        if self.worker is not None:
            await self.worker.stop()
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


def store_of(settings: Settings, on_commit: Callable[[float], None] | None = None) -> Store:
    """Return the database of these settings; it is not opened yet. `on_commit` hears how long each write took, in s."""
    if keeps_in_file(settings):
        return SqliteStore(sqlite_path(settings.database_url), settings.sqlite_synchronous, on_commit=on_commit)
    from understudy.storage.postgres import PostgresStore

    return PostgresStore(settings.database_url, settings.database_connections, on_commit=on_commit)


def migrate(settings: Settings) -> str:
    """Bring the database to this version's schema; return a line about it. Raises ConfigurationError."""
    if keeps_in_file(settings):
        return "nothing to do: a server on SQLite upgrades its file itself when it starts, and keeps a copy"
    from understudy.storage import postgres

    before, after = postgres.migrate_database(settings.database_url)
    if before == after:
        return f"nothing to do: the database has schema {after} already"
    return f"the database has schema {after} now; it had {before or 'none'}"


def _bus_of(settings: Settings, clock: SystemClock, metrics: Metrics) -> Bus:
    if settings.bus_url is None:
        return LocalBus(clock, linger_s=settings.event_log_s, listener=metrics.told)
    from understudy.bus.nats import NatsBus

    kept_s = settings.event_log_s + settings.run_expiry_s  # the first events come long before the last
    return NatsBus(settings.bus_url, settings.bus_name, log_s=kept_s, listener=metrics.told)


def web(
    settings: Settings, services: Services, lifespan: Any = None, meter: Meter | None = None, *, api: bool = True
) -> FastAPI:
    """Put the HTTP side together, over services that somebody else has made. No `api`: health and counters only."""
    app = FastAPI(title="Understudy", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.services = services
    if api:
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


def _parts(settings: Settings, role: Role) -> Parts:
    clock = SystemClock()
    metrics = Metrics(clock)
    store = store_of(settings, metrics.write_ended)
    bus = _bus_of(settings, clock, metrics)
    providers = ModelRoutes(
        models_config(settings), settings.cache_dir, fetch_image=ImageFetch() if settings.fetch_images else None
    )
    worker = None if role == "api" else _worker(settings, store, bus, providers, clock)
    services = Services(
        store=store,
        runs=RunService(store, bus, providers, clock, run_expiry_s=settings.run_expiry_s),
        followers=Followers(store, bus, clock),
        conversations=Conversations(store, clock),
        refused=Refused(clock),
        routes=providers,
        clock=clock,
        keyring=_keyring(settings, store, clock),
        health=lambda: _health(settings, store, bus, providers),
    )
    sweepers: list[Sweeper | Retention] = [Sweeper(store, bus, clock)]
    if settings.delete_threads_after_days is not None:
        sweepers.append(Retention(store, clock, settings.delete_threads_after_days))
    return Parts(store, bus, providers, worker, sweepers, services, metrics)


def _worker(settings: Settings, store: Store, bus: Bus, providers: ModelRoutes, clock: SystemClock) -> Worker:
    loop = Loop(store, bus, providers, tokens.count_messages, clock, settings.lease_s)
    name = f"{socket.gethostname()[:48]}-{os.getpid()}"
    return Worker(store, bus, loop, clock, name=name, lease_s=settings.lease_s, concurrency=settings.worker_concurrency)


def _keyring(settings: Settings, store: Store, clock: SystemClock) -> Keyring:
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
        with _alone(settings):
            await parts.store.open()
            await _refuse_strangers(settings.host, parts.services.keyring)
            await parts.bus.open()
            if keeps_in_file(settings):
                await parts.store.write(run_rows.release_all)  # alone on its database: whoever held a run is gone
            async with _background(parts):
                yield

    return lifespan


def _alone(settings: Settings) -> AbstractContextManager[None]:
    """Keep a database file from other servers; a database server is there for many."""
    if not keeps_in_file(settings):
        return nullcontext()
    return folder.held(settings.data_dir, sqlite_path(settings.database_url))


@asynccontextmanager
async def _background(parts: Parts) -> AsyncIterator[None]:
    working = [asyncio.create_task(parts.worker.serve(), name="worker")] if parts.worker else []
    sweeping = [asyncio.create_task(sweeper.serve(), name=type(sweeper).__name__) for sweeper in parts.sweepers]
    try:
        yield
    finally:
        for task in sweeping:
            task.cancel()
        await parts.wind_down()
        await asyncio.gather(*working, *sweeping, return_exceptions=True)
        await parts.providers.aclose()
        await parts.store.close()


async def _health(settings: Settings, store: Store, bus: Bus, providers: ModelRoutes) -> dict[str, Any]:
    """The state of each part, and why it is off. The database is well if it can be written to.

    Without its bus a server still answers, but runs wait: it is degraded.
    """
    kind = "sqlite" if keeps_in_file(settings) else "postgresql"
    try:
        async with asyncio.timeout(HEALTH_S):
            await store.write(lambda connection: connection.exec_driver_sql(_PROBE))
        database = {"state": "ok", "kind": kind}
    except Exception as problem:
        why = f"It did not answer within {HEALTH_S} s." if isinstance(problem, TimeoutError) else str(problem)
        database = {"state": "failed", "kind": kind, "why": why.partition("\n")[0]}
    trouble, carrier = await bus.trouble(), "local" if settings.bus_url is None else "nats"
    lines = {"state": "failed", "kind": carrier, "why": trouble} if trouble else {"state": "ok", "kind": carrier}
    status = "failed" if database["state"] != "ok" else "degraded" if trouble else "ok"
    parts = {"database": database, "bus": lines, "models": providers.status()}
    return {"status": status, "version": __version__, "parts": parts}
