"""The port to the database: work is a function of a connection, done in a thread of the store's own."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")


class Store(Protocol):
    """Runs queries (the functions of this package) against one database.

    The functions are synchronous and know no database by name; the same ones serve every store.
    """

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query that changes nothing, on a consistent snapshot."""
        ...

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run a change in a transaction of its own: committed when this returns, undone if it raises."""
        ...

    async def open(self) -> None:
        """Bring the schema up to date, or refuse one that is newer. Raises ConfigurationError."""
        ...

    async def close(self) -> None:
        """Finish what is under way and let go of the database."""
        ...
