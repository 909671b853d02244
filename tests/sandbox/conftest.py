"""Real jails, where this machine can have them; where it cannot, these tests say why they are skipped."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from understudy import config
from understudy.sandbox import environment
from understudy.sandbox.bubblewrap import BubblewrapSandbox, SandboxSettings
from understudy.sandbox.pool import PoolSize

_OUR_FAULT = ("Traceback", "does not hold", "the probes")  # all is there, and still it does not work

MakeSandbox = Callable[..., Any]


def settings(**changes: Any) -> SandboxSettings:
    """The settings of a server, with limits and sizes changed by name; no spares unless asked for."""
    found = SandboxSettings(environment.default_folder(config.Settings().cache_dir), size=PoolSize(warm=0))
    for part in ("limits", "size"):
        known = {name: value for name, value in changes.items() if name in getattr(found, part).__slots__}
        found = replace(found, **{part: replace(getattr(found, part), **known)})
    own = {name: value for name, value in changes.items() if name in SandboxSettings.__slots__}
    return replace(found, **own)


@pytest.fixture(scope="session")
def _why_not() -> str | None:
    async def ask() -> str | None:
        sandbox = BubblewrapSandbox(settings())
        try:
            return await sandbox.tried()
        finally:
            await sandbox.aclose()

    return asyncio.run(ask())


@pytest.fixture(scope="session")
def make_sandbox(_why_not: str | None) -> MakeSandbox:
    """Make sandboxes with settings of a test's own: `async with make_sandbox(memory=...) as sandbox`."""
    if _why_not:
        stop = pytest.fail if any(words in _why_not for words in _OUR_FAULT) else pytest.skip
        stop(f"no jail here: {_why_not}")

    @asynccontextmanager
    async def make(**changes: Any) -> AsyncIterator[BubblewrapSandbox]:
        sandbox = BubblewrapSandbox(settings(**changes))
        assert await sandbox.tried() is None
        try:
            yield sandbox
        finally:
            await sandbox.aclose()

    return make


@pytest.fixture
async def sandbox(make_sandbox: MakeSandbox) -> AsyncIterator[BubblewrapSandbox]:
    async with make_sandbox() as sandbox:
        yield sandbox
