"""The ingestion that this room's tests work with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.ingest.shelf import Shelf, open_shelf


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    """Return an ingestion without a worker: tests that want one call `shelf.work()`."""
    async with open_shelf(tmp_path) as shelf:
        yield shelf
