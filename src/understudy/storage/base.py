"""The port to the database: work is a function of a connection, done in a thread of the store's own."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from understudy.errors import UnderstudyError

T = TypeVar("T")


class TryAgain(UnderstudyError):
    """Raised in a change that has to come after another one, which is under way: the store makes it anew."""


class Store(Protocol):
    """Runs queries (the functions of this package) against one database.

    The functions are synchronous and know no database by name; the same ones serve every store.
    """

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query that changes nothing, on a consistent snapshot."""
        ...

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run a change in a transaction of its own: committed when this returns, undone if it raises.

        All that it reads is of one moment, and nobody has changed meanwhile what it writes. Where changes run side by
        side, one that lost such a race is made anew: it must have no effect but on the database, and one that reads
        a row in order to write another has to lock the first (`rows.lock_project`, `threads.lock`).
        """
        ...

    async def open(self) -> None:
        """Bring the schema up to date, or refuse one that is another. Raises ConfigurationError."""
        ...

    async def close(self) -> None:
        """Finish what is under way and let go of the database."""
        ...
