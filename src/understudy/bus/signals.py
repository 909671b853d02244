"""Who in this process listens for which row's signal."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Listeners:
    """Those who wait to be told that a row has changed under them."""

    def __init__(self) -> None:
        self._of_rows: dict[str, set[asyncio.Event]] = {}

    def tell(self, row: str) -> None:
        """Wake all that listen for a row's signal."""
        for listener in self._of_rows.get(row, ()):
            listener.set()

    @asynccontextmanager
    async def listening(self, row: str) -> AsyncIterator[asyncio.Event]:
        """Listen for as long as the context lasts."""
        listener = asyncio.Event()
        listeners = self._of_rows.setdefault(row, set())
        listeners.add(listener)
        try:
            yield listener
        finally:
            listeners.discard(listener)
            if not listeners:
                self._of_rows.pop(row, None)
