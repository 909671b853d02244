"""The port for what is under way: jobs to do, events as they happen, signals to whoever watches a row.

Nothing here is the truth: a lost job, event or signal costs time, never data (the sweeper and the rows mend it).
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from understudy.errors import Unavailable
from understudy.protocol.events import Event

Work = Literal["runs", "files"]
"""What is to be done: a run to be driven, or a vector store's file to be read in. Each has workers of its own."""


@dataclass(frozen=True, slots=True, order=True)
class EventId:
    """Where an event stands: `attempt.n`, with n rising along a run whatever restarts in between."""

    attempt: int
    n: int

    def __str__(self) -> str:
        return f"{self.attempt}.{self.n}"

    @classmethod
    def parse(cls, text: str) -> "EventId | None":
        """Read an id as clients send it back; None if it is not one."""
        attempt, _, n = text.strip().partition(".")
        if not (attempt.isascii() and attempt.isdigit() and n.isascii() and n.isdigit()):
            return None
        return cls(int(attempt[:18]), int(n[:18]))


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """An event with its place."""

    id: EventId
    event: Event


class FellBehind(Unavailable):
    """A follower read so slowly that what it has not read is no longer logged."""

    def __init__(self) -> None:
        super().__init__(
            "This stream was read too slowly: events that it had not come to are no longer kept. Retrieve the run, "
            "or follow it from its beginning at GET /v1/threads/{thread_id}/runs/{run_id}/events."
        )


class Subscription(Protocol):
    """A follower's place in a run's events."""

    async def next(self, timeout_s: float) -> LiveEvent | None:
        """Return the next event, or None if none came in time. Raises FellBehind."""
        ...


class Bus(Protocol):
    """One process's, or a whole cluster's, nervous system."""

    async def open(self) -> None:
        """Be ready for all that follows. Raises ConfigurationError."""
        ...

    async def trouble(self) -> str | None:
        """Say what is wrong with the bus; None if it is well."""
        ...

    async def enqueue(self, job: str, work: Work = "runs", *, behind: bool = False) -> None:
        """Put a job where some worker will take it: a run's id, or a store's id and a file's with a slash between.

        There are two lanes, which workers take from in turn. A job of a project that has many waiting already goes into
        the one `behind`, so that those of others need not wait for all of these.
        """
        ...

    def jobs(self, work: Work = "runs") -> AsyncGenerator[str, None]:
        """Yield jobs of one kind, each to one worker of all that listen."""
        ...

    async def taken(self, job: str, work: Work = "runs") -> None:
        """Confirm a job: its rows tell who has it now. One that is not confirmed in time comes again."""
        ...

    async def depth(self, work: Work = "runs") -> int:
        """Return how many jobs of a kind wait for a worker."""
        ...

    async def offer(self, thread_id: str, run_id: str) -> bool:
        """Offer a run to who keeps something of its thread; True if it has made the run its own.

        False soon where nobody does.
        """
        ...

    def offered(self, thread_id: str, take: Callable[[str], Awaitable[bool]]) -> AbstractAsyncContextManager[None]:
        """Be offered the runs of a thread for as long as the context lasts; `take` says whether a run is ours then."""
        ...

    async def publish(self, run_id: str, attempt: int, events: Sequence[Event]) -> list[EventId]:
        """Append events to a run's log and wake its followers."""
        ...

    async def subscribe(self, run_id: str, after: EventId | None = None) -> Subscription | None:
        """Follow a run from just after an id, or from what is still logged of its beginning.

        Returns None if the log does not reach back to `after`: then the rows have to tell. Raises Unavailable if that
        cannot be said now.
        """
        ...

    async def subscribe_live(self, run_id: str, *, new: bool = False) -> Subscription:
        """Follow a run from now on; a `new` one, of which nothing was told yet, from its beginning."""
        ...

    async def forget(self, run_id: str) -> None:
        """Let go of the log of a run that is no more, and wake its followers."""
        ...

    async def signal(self, row: str) -> None:
        """Tell whoever works on a run, or waits for a file, to look at its row: it has changed under them."""
        ...

    def signalled(self, row: str) -> AbstractAsyncContextManager["Signal"]:
        """Listen for a row's signal for as long as the context lasts."""
        ...

    async def close(self) -> None:
        """Stop handing out jobs and wake every follower."""
        ...


class Signal(Protocol):
    """Something to wait for."""

    async def wait(self) -> object:
        """Return once the signal was given."""
        ...

    def clear(self) -> None:
        """Wait for the next one."""
        ...
