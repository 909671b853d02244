"""The port for what is under way: jobs to do, events as they happen, signals to whoever works on a run.

Nothing here is the truth: a lost job, event or signal costs time, never data (the sweeper and the rows mend it).
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from understudy.protocol.events import Event


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


class Subscription(Protocol):
    """A follower's place in a run's events."""

    async def next(self, timeout_s: float) -> LiveEvent | None:
        """Return the next event, or None if none came in time."""
        ...


class Bus(Protocol):
    """One process's, or a whole cluster's, nervous system."""

    async def open(self) -> None:
        """Be ready for all that follows. Raises ConfigurationError."""
        ...

    async def trouble(self) -> str | None:
        """Say what is wrong with the bus; None if it is well."""
        ...

    async def enqueue(self, run_id: str) -> None:
        """Put a run where some worker will take it."""
        ...

    def jobs(self) -> AsyncGenerator[str, None]:
        """Yield run ids, each to one worker of all that listen."""
        ...

    async def taken(self, run_id: str) -> None:
        """Confirm a job: its rows tell who has it now. One that is not confirmed in time comes again."""
        ...

    async def depth(self) -> int:
        """Return how many runs wait for a worker."""
        ...

    async def publish(self, run_id: str, attempt: int, events: Sequence[Event]) -> list[EventId]:
        """Append events to a run's log and wake its followers."""
        ...

    async def subscribe(self, run_id: str, after: EventId | None = None) -> Subscription | None:
        """Follow a run from just after an id, or from what is still logged of its beginning.

        Returns None if the log does not reach back to `after`: then the rows have to tell.
        """
        ...

    async def subscribe_live(self, run_id: str) -> Subscription:
        """Follow a run from now on."""
        ...

    async def forget(self, run_id: str) -> None:
        """Let go of the log of a run that is no more, and wake its followers."""
        ...

    async def signal(self, run_id: str) -> None:
        """Tell whoever works on a run to look at its row: it is no longer theirs to work on."""
        ...

    def signalled(self, run_id: str) -> AbstractAsyncContextManager["Signal"]:
        """Listen for a run's signal for as long as the context lasts."""
        ...

    async def close(self) -> None:
        """Stop handing out jobs and wake every follower."""
        ...


class Signal(Protocol):
    """Something to wait for."""

    async def wait(self) -> object:
        """Return once the signal was given."""
        ...
