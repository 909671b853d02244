"""Reads files in processes of their own: documents are hostile input.

One process, started at the first file and let go after a while without any, loads the parsers and their tables once
and forks for each file (`parsing_child.py`). A file that crashes its reader, or goes over its limits, fails alone.
"""

import asyncio
import itertools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Protocol, get_args

import understudy
from understudy.retrieval.chunk import Strategy
from understudy.retrieval.documents import Chunk, Fault, Unreadable

log = logging.getLogger(__name__)

MiB = 1 << 20
_TRIES = 3
_MAX_MESSAGE = 1000
_START_S = 60.0
_PASSED_ON = ("TESSDATA_PREFIX", "LD_LIBRARY_PATH")  # where tesseract's languages and an unusual Python's libraries are


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may take. A page that must go through OCR takes seconds, hence the long way to `wall_s`."""

    memory_bytes: int = 2048 * MiB
    cpu_s: int = 120
    wall_s: float = 600.0
    result_bytes: int = 512 * MiB


class Jail(Protocol):
    """What is put around the host of the readers, where it can be had."""

    async def around(self, command: Sequence[str]) -> tuple[list[str], list[int]]:
        """Return a command as it is to be started, and open files that it must be given: the caller closes them."""
        ...

    def stood(self) -> None:
        """Hear that a host came up inside."""
        ...

    def fell(self) -> bool:
        """Hear that a host did not come up; tell whether it is to be tried again, without the jail."""
        ...


class NoJail:
    """Nothing is put around the host: readers are limited, but see what the server's account may see."""

    async def around(self, command: Sequence[str]) -> tuple[list[str], list[int]]:
        """See `Jail`."""
        return list(command), []

    def stood(self) -> None:
        """See `Jail`."""

    def fell(self) -> bool:
        """See `Jail`."""
        return False


class Parsing:
    """Cuts files into pieces, several at once. To be used within one event loop."""

    def __init__(
        self,
        *,
        concurrency: int = 2,
        limits: Limits | None = None,
        jail: Jail | None = None,
        folder: Path | None = None,
        idle_s: float = 60.0,
    ) -> None:
        self._limits = limits or Limits()
        self._jail = jail or NoJail()
        self._folder = folder
        self._idle_s = idle_s
        self._slots = asyncio.Semaphore(concurrency)
        self._host: _Host | None = None
        self._starting = asyncio.Lock()
        self._users = 0
        self._leaving: asyncio.TimerHandle | None = None

    async def cut(self, content: AsyncIterator[bytes], filename: str, strategy: Strategy) -> list[Chunk]:
        """Return a file's pieces in the text's order; the file is read as its name's extension says.

        Cancelling it stops the work. Raises Unreadable, with `server_error` for a file that went over its limits or
        whose parser crashed.
        """
        async with self._slots:
            with tempfile.TemporaryFile(dir=self._folder) as kept:
                async for piece in content:
                    await asyncio.to_thread(kept.write, piece)
                await asyncio.to_thread(kept.flush)
                return await self._read(kept, filename, strategy)

    async def close(self) -> None:
        """Stop all work at once; whoever waits for it is cancelled."""
        if self._leaving:
            self._leaving.cancel()
        self._leave()

    async def _read(self, kept: IO[bytes], filename: str, strategy: Strategy) -> list[Chunk]:
        for _ in range(_TRIES):
            with tempfile.TemporaryFile(dir=self._folder) as found:
                kept.seek(0)
                try:
                    status = await self._run(kept, found, filename, strategy)
                except _Gone:
                    continue  # its host died, perhaps of another file
                if status != 0:
                    raise _failure(status)
                return await asyncio.to_thread(_result, found)
        raise Unreadable("server_error", "The server could not read the file: its reader ended. Its log may say why.")

    async def _run(self, kept: IO[bytes], found: IO[bytes], filename: str, strategy: Strategy) -> int:
        """Return how the reader of a file ended: as `os.waitpid` says it. Raises _Gone."""
        self._users += 1
        if self._leaving:
            self._leaving.cancel()
        try:
            host = await self._started()
            request = {"filename": filename, "kind": type(strategy).__name__, "sizes": asdict(strategy)}
            return await host.run(request, [kept.fileno(), found.fileno()], self._limits.wall_s)
        finally:
            self._users -= 1
            if self._users == 0:
                self._leaving = asyncio.get_running_loop().call_later(self._idle_s, self._leave)

    async def _started(self) -> "_Host":
        """Return the host, once it has come up: until then it has seen no document. Raises _Gone."""
        async with self._starting:
            while True:
                host = self._host
                if host is None or host.is_gone:
                    host = self._host = await _Host.start(self._jail, self._limits)
                if host is not None and await host.is_up():
                    self._jail.stood()
                    return host
                if not self._jail.fell():
                    raise _Gone

    def _leave(self) -> None:
        if self._host:
            self._host.close()
            self._host = None


class _Gone(Exception):
    """The host of the readers has ended."""


class _Host:
    """The process that forks a reader for each file, and the line over which it is asked to."""

    def __init__(self, process: "subprocess.Popen[bytes]", line: socket.socket) -> None:
        self._process = process
        self._line = line
        self._line.setblocking(False)
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._came_up: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.is_gone = False
        self._listening = asyncio.create_task(self._listen(), name="readers of files")

    @classmethod
    async def start(cls, jail: Jail, limits: Limits) -> "_Host | None":
        """Start a host; None if it cannot be started, which the log says more of."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "understudy.ingest.parsing_child", str(theirs.fileno())]
        files: list[int] = []
        try:
            command, files = await jail.around([*command, json.dumps(asdict(limits))])
            process = subprocess.Popen(  # noqa: S603, ASYNC220  # our own program; it is not waited for here
                command,
                env=_environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), *files],
                start_new_session=True,
            )
            return cls(process, ours)
        except OSError:
            log.exception("the process that reads files cannot be started")
            ours.close()
            return None
        finally:
            theirs.close()
            for file in files:
                os.close(file)

    async def is_up(self) -> bool:
        """Wait until the host is ready; tell whether it is."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._came_up), _START_S)
        except TimeoutError:
            self._process.kill()
            return False

    async def run(self, request: dict[str, Any], files: list[int], wall_s: float) -> int:
        """Have a file read and return how that ended. Raises _Gone; and Unreadable if it takes too long."""
        number = next(self._numbers)
        ending = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send({"number": number} | request, files)
            return await asyncio.wait_for(ending, wall_s)
        except TimeoutError:
            raise _too_slow() from None
        finally:
            del self._waiting[number]
            if not ending.done() or ending.cancelled():
                with suppress(_Gone):
                    self._send({"stop": number}, [])

    def close(self) -> None:
        """End the host and, with it, its readers; whoever waits for one is cancelled."""
        self.is_gone = True
        self._came_up.cancel()
        for ending in self._waiting.values():
            ending.cancel()
        self._line.close()
        self._listening.cancel()
        self._process.kill()
        self._process.wait()

    def _send(self, message: dict[str, Any], files: list[int]) -> None:
        try:
            socket.send_fds(self._line, [json.dumps(message).encode() + b"\n"], files)
        except OSError as fault:
            raise _Gone from fault

    async def _listen(self) -> None:
        loop, rest = asyncio.get_running_loop(), b""
        with suppress(OSError):
            while piece := await loop.sock_recv(self._line, 4096):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    number, status = json.loads(line)
                    if number is None and not self._came_up.done():
                        self._came_up.set_result(True)
                    if (ending := self._waiting.get(number)) and not ending.done():
                        ending.set_result(status)
        self._lost()

    def _lost(self) -> None:
        """Tell those who wait that nothing will come."""
        self.is_gone = True
        self._line.close()
        self._process.kill()
        log.warning("the reader of files ended with %s; it is started anew", self._process.wait())
        if not self._came_up.done():
            self._came_up.set_result(False)
        for ending in self._waiting.values():
            if not ending.done():
                ending.set_exception(_Gone())


def _environment() -> dict[str, str]:
    """Return what the host may know: where its program is, and none of the server's secrets."""
    known = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return known | {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(Path(understudy.__file__).parent.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
    }


def _result(found: IO[bytes]) -> list[Chunk]:
    """Return what a reader wrote: a line per piece, or one with what is wrong with the file.

    Line by line, so that the thread lets others run: a file of 5,000,000 tokens is some 40 MB. Whoever took over the
    reader may have written anything.
    """
    found.seek(0)
    try:
        pieces = [_chunk(*json.loads(line)) for line in found]
        if not pieces:
            raise ValueError("nothing")
        return pieces
    except (ValueError, TypeError) as fault:
        log.warning("a reader of a file answered with what is no answer: %s", fault)
        raise Unreadable("server_error", "The parser failed on the file. Save it anew, or as PDF or text.") from None


def _chunk(kind: str, *fields: Any) -> Chunk:
    """Return a line's piece. Raises Unreadable if the line refuses the file."""
    if kind != "piece":
        code, message = fields
        if code not in get_args(Fault):
            raise ValueError(code)
        raise Unreadable(code, str(message)[:_MAX_MESSAGE])
    text, start, end, page, heading, tokens = fields
    return Chunk(
        str(text), int(start), int(end), None if page is None else int(page), tuple(map(str, heading)), int(tokens)
    )


def _too_slow() -> Unreadable:
    return Unreadable(
        "server_error", "Reading the file takes longer than is allowed. Split it, or save it as plain text or PDF."
    )


def _failure(status: int) -> Unreadable:
    """Say why a reader ended."""
    ended_by = os.waitstatus_to_exitcode(status)
    log.warning("a reader of a file ended with %d", ended_by)
    if -ended_by in (signal.SIGXCPU, signal.SIGKILL):
        return _too_slow()
    if -ended_by in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS):
        return Unreadable(
            "server_error",
            "The parser crashed on the file, or ran out of the memory that it may take. Save it anew, or as a PDF.",
        )
    return Unreadable("server_error", "The parser failed on the file. Save it anew, or as PDF or plain text.")
