"""A limit on how long one waits for the next piece of a stream.

`asyncio.timeout` does the same for six times the price, which a stream pays for every token.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Patience:
    """Belongs to the task that makes it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._gave_up = False

    async def wait(self, piece: Awaitable[T], seconds: float) -> T:
        """Wait for a piece. Raises TimeoutError."""
        self._gave_up = False
        timer = self._loop.call_later(seconds, self._give_up)
        try:
            return await piece
        except asyncio.CancelledError as cancelled:
            if not self._gave_up or (self._task and self._task.uncancel()):
                raise  # somebody else has called the task off
            raise TimeoutError from cancelled
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        self._gave_up = True
        if self._task:
            self._task.cancel()
