"""A session: the conversation with one worker in one jail. See `base.Session` for what it promises.

Each exchange is a task of its own, which cancelling its caller does not cancel: the wire is never left in the midst of
a frame. Every exchange has a clock that ends in the jail's death, so none hangs.
"""

import asyncio
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from understudy.errors import NoRoom, SessionEnded
from understudy.sandbox.base import Output, OutputFile, Result
from understudy.sandbox.call import Call, reported
from understudy.sandbox.channel import Broken, Channel
from understudy.sandbox.inside.frames import PIECE
from understudy.sandbox.jail import Jail
from understudy.sandbox.limits import Limits, MiB
from understudy.sandbox.names import file_name
from understudy.sandbox.watchdog import Watchdog

_LOST = "The session has ended: its variables and files are lost, and the next call begins a new one."
_SIGNALLED = 128

Reply = tuple[dict[str, Any], bytes]
T = TypeVar("T")


class JailSession:
    """One worker's life."""

    def __init__(self, jail: Jail, limits: Limits, watchdog: Watchdog) -> None:
        self._jail = jail
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._channel = Channel(jail.connection, max(limits.image, PIECE))
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._names: dict[str, str] = {}
        self._calls = 0
        self._closing: asyncio.Task[None] | None = None
        self._ended: str | None = None
        self.restarted = False
        self.born = self.used = time.monotonic()
        self._watched = watchdog.watch(jail, limits, self._turn.locked)
        self._loop.add_reader(jail.worker, self._die)

    @property
    def is_new(self) -> bool:
        return self._calls == 0

    @property
    def alive(self) -> bool:
        """Say whether it can be used."""
        return self._ended is None

    @property
    def busy(self) -> bool:
        """Say whether something is under way."""
        return self._turn.locked()

    @property
    def jail(self) -> Jail:
        """The handles, for who examines it from outside."""
        return self._jail

    # --- what it is for -------------------------------------------------------------------------------------------

    async def put(self, name: str, content: bytes | AsyncIterable[bytes], *, also: Sequence[str] = ()) -> str:
        clean, others = file_name(name), [file_name(other) for other in also]
        links = [other for other in others if other != clean]
        first = True
        async for piece, is_last in _pieces(content):
            request = {"do": "put", "name": clean, "first": first, "also": links if is_last else []}
            answer, _ = await self._ask(request, piece)
            if problem := answer.get("problem"):
                raise NoRoom(f"{clean} cannot be written into the session's folder: {str(problem)[:100]}")
            first = False
        return clean

    async def run(
        self, code: str, timeout_s: float | None = None, on_output: Callable[[Output], None] | None = None
    ) -> Result:
        await self._take_turn()
        call = Call(self._jail, self._limits, timeout_s or self._limits.timeout_s, on_output)
        try:
            return await self._on_its_own(self._converse(call, code))
        except asyncio.CancelledError:
            call.mute()
            call.stop("cancelled")
            raise

    async def fetch(self, name: str) -> AsyncGenerator[bytes, None]:
        sent = 0
        while sent <= self._limits.disk:
            request = {"do": "fetch", "name": self._names.get(name, name), "offset": sent}
            answer, piece = await self._ask(request)
            if answer.get("is") != "piece":
                raise FileNotFoundError(name)
            if piece:
                yield piece
            sent += len(piece)
            if len(piece) < PIECE:
                return

    # --- its end --------------------------------------------------------------------------------------------------

    async def settled(self) -> None:
        """Return when nothing is under way any more."""
        async with self._turn:
            pass

    async def end(self, why: str = "it was ended") -> None:
        """Kill what is in the jail and give everything back. What is under way ends with it."""
        if self._closing is None:  # after that the handles may be others' already
            self._jail.kill()
        await asyncio.shield(self._over(why))

    def _die(self) -> None:
        """The worker has ended, of its own or not."""
        self._over("")

    def _over(self, why: str) -> "asyncio.Task[None]":
        """Have what is under way find the wire broken; after it, give everything back. `why` is empty for a death."""
        if self._closing is None:
            self._ended = why
            self._loop.remove_reader(self._jail.worker)
            self._channel.abort()
            self._closing = self._loop.create_task(self._close())
        return self._closing

    async def _close(self) -> None:
        async with self._turn:
            await asyncio.to_thread(self._give_back)

    def _give_back(self) -> None:
        self._watched.forget()
        self._jail.close()

    # --- the wire -------------------------------------------------------------------------------------------------

    async def _take_turn(self) -> None:
        await self._turn.acquire()
        if not self.alive:
            self._turn.release()
            raise SessionEnded(_LOST)

    async def _on_its_own(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something that has the turn, whether or not somebody still waits for it; then give the turn back."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._is_done)
        return await asyncio.shield(task)

    def _is_done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        self.used = time.monotonic()
        self._turn.release()
        if not task.cancelled():
            task.exception()  # whoever waited for it may be gone

    async def _ask(self, request: dict[str, Any], payload: bytes | memoryview = b"") -> Reply:
        await self._take_turn()
        return await self._on_its_own(self._exchange(request, payload))

    async def _exchange(self, request: dict[str, Any], payload: bytes | memoryview) -> Reply:
        clock = self._loop.call_later(self._limits.answer_s, self._jail.kill)
        try:
            await self._channel.send(request, payload)
            for _ in range(self._limits.frames):
                message, content = await self._channel.receive()
                if message.get("is") in ("put", "piece", "missing"):
                    return message, content
            raise Broken("it does not answer")
        except Broken as problem:
            self._over(str(problem))
            raise SessionEnded(_LOST) from None
        finally:
            clock.cancel()

    async def _converse(self, call: Call, code: str) -> Result:
        self._calls += 1
        call.begin()
        try:
            await self._channel.send({"do": "run", "id": self._calls, "code": code})
            message = await self._until_done(call, self._calls)
        except Broken as problem:
            call.end()
            cause = await self._cause(call, str(problem))
            self._over(str(problem))
            return call.result("ended", f"{cause} {_LOST}", ())
        call.end()
        files = reported(message.get("files"), self._limits)
        call.truncated |= message.get("more") is True
        self._names |= {clean: name for clean, (name, _) in files.items()}
        return self._result(call, message, tuple(OutputFile(clean, size) for clean, (_, size) in files.items()))

    async def _until_done(self, call: Call, number: int) -> dict[str, Any]:
        for _ in range(self._limits.frames):
            message, payload = await self._channel.receive()
            if message.get("is") == "image":
                call.image(payload)
                if message.get("wait") is True:
                    await self._channel.send({"do": "go on"})
            elif message.get("is") == "done" and message.get("id") == number and message["id"] is not True:
                return message
        raise Broken("it sent more than it may")

    def _result(self, call: Call, message: dict[str, Any], files: tuple[OutputFile, ...]) -> Result:
        match call.stopped:
            case "timeout":
                remark = f"The code was stopped: it ran for more than {call.timeout_s:g} s. Its variables are kept."
                return call.result("timeout", remark, files)
            case "output":
                remark = f"The code was stopped: it printed more than {self._limits.output_stop // MiB} MiB."
                return call.result("error", remark, files)
            case "cancelled":
                return call.result("error", "The code was stopped.", files)
            case None:
                return call.result("ok" if message.get("ok") is True else "error", "", files)

    async def _cause(self, call: Call, problem: str) -> str:
        """Say why a session died in the midst of a call."""
        if self._watched.verdict:
            return f"The code was stopped: {self._watched.verdict}."
        if call.killed:
            return f"The code was stopped: it went on for {self._limits.grace_s:g} s after it had been interrupted."
        if self._ended:
            return f"The code was stopped: {self._ended}."
        code = await asyncio.to_thread(self._jail.exit_code)
        if code is None:
            return f"The code was stopped: {problem}."
        if code > _SIGNALLED:
            return f"The Python process was killed by {_signal_name(code - _SIGNALLED)}."
        return f"The Python process ended with exit code {code}."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


async def _pieces(content: bytes | AsyncIterable[bytes]) -> AsyncGenerator[tuple[bytes | memoryview, bool], None]:
    """Yield a file's content in pieces of the wire's size, at least one, and whether each is the last."""
    waiting: bytes | memoryview = b""
    if isinstance(content, bytes):
        waiting = content
    else:
        async for chunk in content:
            waiting = chunk if not waiting else bytes(waiting) + chunk
            while len(waiting) > PIECE:
                waiting = memoryview(waiting)
                yield waiting[:PIECE], False
                waiting = waiting[PIECE:]
    view = memoryview(waiting)
    while len(view) > PIECE:
        yield view[:PIECE], False
        view = view[PIECE:]
    yield view, True
