"""The port of the code interpreter: sessions of Python, one per key, that keep their state and lie in a jail.

    async with sandbox.session(key) as session:
        if session.is_new:
            name = await session.put("sales.csv", chunks, also=[file_id])
        result = await session.run(code)
        for file in result.files:
            await store(session.fetch(file.name))

Errors are those of `understudy.errors`. `Unavailable` comes where no jail can be had: code is run in one or not at all.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

FOLDER = "/mnt/data"
"""Where the files of a session lie, as the code inside sees it."""


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that the code has shown: a plot, or an image that was a cell's value."""

    content: bytes
    mime: Literal["image/png", "image/jpeg"]


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A regular file that a call has made or changed. `name` is its path below FOLDER; `size` is in bytes."""

    name: str
    size: int


Outcome = Literal["ok", "error", "timeout", "ended"]
"""How a call went: it raised nothing; it raised; it was stopped for its time; its session is no more."""

Output = str | Image
"""A piece of what a call gives: text of its logs, or an image."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one call gave. A mistake of the code is a result like any other.

    `logs` is what the model should read: what was printed, the value of the last expression, the traceback, and
    remarks in brackets on what the sandbox did (stopped the code, cut its output). `truncated` says that some of
    it was cut, or that images or files were left out.
    """

    logs: str = ""
    images: tuple[Image, ...] = ()
    files: tuple[OutputFile, ...] = ()
    outcome: Outcome = "ok"
    truncated: bool = False

    @property
    def error(self) -> bool:
        """Say whether the call failed, for whatever reason."""
        return self.outcome != "ok"


class Session(Protocol):
    """One Python that lives on from call to call. Everything in it may be hostile.

    One object for as long as it lives, equal to itself alone: what is known of a session can be kept by it.
    """

    @property
    def is_new(self) -> bool:
        """Say whether no code has run in it yet: it has no state, and no files but those put into it."""
        ...

    @property
    def restarted(self) -> bool:
        """Say whether the key had a session before, whose state is lost."""
        ...

    async def put(self, name: str, content: bytes | AsyncIterable[bytes], *, also: Sequence[str] = ()) -> str:
        """Write a file into FOLDER, over what had that name, and return the name it has there.

        Signs that a file's name cannot have become `_`. `also` are further names that lead to the same file.
        Raises NoRoom, SessionEnded.
        """
        ...

    async def run(
        self, code: str, timeout_s: float | None = None, on_output: Callable[[Output], None] | None = None
    ) -> Result:
        """Run code and say what came of it. `timeout_s` None is the configured one.

        `on_output` is called from the event loop with each piece of output as it comes; what it was told adds up to
        the result's logs and images. Cancelling this interrupts the code; the session stays busy until the code has
        stopped, and whoever asks for the key's session next waits for that. Raises SessionEnded if the session was
        gone before the code began.
        """
        ...

    def fetch(self, name: str) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a regular file in FOLDER. Raises FileNotFoundError, SessionEnded."""
        ...


class Sandbox(Protocol):
    """All sessions of a server."""

    def session(self, key: str) -> AbstractAsyncContextManager[Session]:
        """Hold the key's session: the one there is, or a new one. One holder at a time; others wait.

        While it is held it is not evicted. Raises Unavailable: the sandbox is off (the message says why and how to
        mend it), or every session is busy and none became free in time.
        """
        ...

    async def ready(self) -> None:
        """Return once code can be run. Raises Unavailable, saying why it cannot and how to mend it."""
        ...

    def warm(self) -> None:
        """Make a session ready in the background, for code is about to come. Cheap, and without effect if there is."""
        ...

    def holds(self, key: str) -> bool:
        """Say whether the key has a session that lives."""
        ...

    async def end(self, key: str) -> None:
        """End the key's session, if there is one, and forget that there was."""
        ...

    def status(self) -> dict[str, str]:
        """Return `state` (`ok`, `starting` or `off`), `kind`, and where it is off, `why`: for /health."""
        ...

    async def aclose(self) -> None:
        """End every session. Nothing of any is left behind."""
        ...
