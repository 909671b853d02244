"""The engine that this room's tests work with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.engine.house import House, open_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Return an engine without a worker: tests that want one call `house.work()`. Its model has no script yet."""
    async with open_house(tmp_path) as house:
        yield house
