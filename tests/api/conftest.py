"""Fixtures of this room: an engine whose worker serves, and a client of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from tests.api.server import client_of
from tests.engine.house import House, open_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Return an engine whose worker serves."""
    async with open_house(tmp_path) as house:
        house.work()
        yield house


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    """Return a client of a server without strict settings."""
    async with client_of(house) as client:
        yield client
