"""The composition root: parts, the HTTP side over them, and how a server begins and ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any

from fastapi import FastAPI

from understudy.api.keyring import Keyring
from understudy.config import Settings
from understudy.errors import ConfigurationError
from understudy.parts import Parts, parts_of
from understudy.storage import folder, loose_bytes
from understudy.storage import runs as run_rows
from understudy.storage import vector_store_files as store_file_rows
from understudy.storage.sqlite import sqlite_path
from understudy.topology import Role, check_scale, is_for_this_machine, keeps_in_file
from understudy.web import web


def build(settings: Settings, role: Role = "all") -> FastAPI:
    """Put a server together. Nothing is opened before its lifespan begins. Raises ConfigurationError."""
    check_scale(settings, alone=role == "all")
    parts = parts_of(settings, role)
    app = web(settings, parts.services, _lifespan(settings, parts), parts.metrics, api=role != "worker")
    app.state.wind_down = parts.wind_down
    app.state.measured = parts.measured
    return app


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
