"""The embedded model: an engine in a child process, spoken to like any other upstream.

The child is started at first use or by `warm()`, and again when it is found dead. A call that has given nothing yet
is tried once more on a new child; one that has is an UpstreamError. Nothing here blocks the event loop.
"""

import asyncio
import json
import logging
import os
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from understudy.errors import UpstreamError
from understudy.inference.base import CompletionRequest, Delta, Provider
from understudy.inference.constrained import Constrained
from understudy.inference.dialect import Dialect, Upstream
from understudy.inference.openai_compatible import OpenAICompatible

log = logging.getLogger(__name__)

CONTEXT_WINDOW = 8_192
"""Tokens. Two cores read about 45 a second, so a full window is 3 minutes of waiting; its cache takes 235 MiB."""

_MAX_REPLY_TOKENS = 2_048  # nothing else stops a small model that repeats itself; about 100 s
_START_TIMEOUT_S = 180  # a cold disk reads 1.1 GB
_FIRST_BYTE_TIMEOUT_S = 600  # a full window on a busy machine
_CONNECT_TIMEOUT_S = 60  # it is a process of this machine: if it lives it answers, however busy all are
_ATTEMPTS = 2


@dataclass(slots=True)
class _Child:
    process: asyncio.subprocess.Process
    provider: Provider

    @property
    def alive(self) -> bool:
        return self.process.returncode is None


class EmbeddedModel:
    """A Provider over a model file (see `model_file`)."""

    def __init__(self, model: Path, *, context_window: int = CONTEXT_WINDOW, threads: int | None = None) -> None:
        """`threads` None leaves the number to the engine: one per physical core."""
        self.model = model
        self.context_window = context_window
        self._threads = threads
        self._child: _Child | None = None
        self._starting = asyncio.Lock()
        self._turn = asyncio.Semaphore(1)
        self.last_error: str | None = None

    @property
    def running(self) -> bool:
        """Say whether the child process is up."""
        return self._child is not None and self._child.alive

    @property
    def process_id(self) -> int | None:
        """Return the child's process id while it is up."""
        return self._child.process.pid if self._child is not None and self._child.alive else None

    async def warm(self) -> None:
        """Start the child if it is not up. Raises UpstreamError."""
        await self._ready()

    async def stream(self, request: CompletionRequest) -> AsyncGenerator[Delta, None]:
        """Yield the deltas of one completion. See `base.Provider`."""
        request = replace(request, max_tokens=_bounded(request.max_tokens))
        async with self._turn:
            for attempt in range(1, _ATTEMPTS + 1):
                child = await self._ready()
                begun = False
                try:
                    async with aclosing(child.provider.stream(request)) as deltas:
                        async for delta in deltas:
                            begun = True
                            yield delta
                    return
                except UpstreamError:
                    if begun or attempt == _ATTEMPTS or not await _has_died(child):
                        raise

    async def aclose(self) -> None:
        """Kill the child."""
        async with self._starting:
            child, self._child = self._child, None
            if child is not None:
                await _end(child)

    async def _ready(self) -> _Child:
        async with self._starting:
            if self._child is not None and not self._child.alive:
                await _end(self._child)
                self._child = None
            if self._child is None:
                self._child = await self._start()
            return self._child

    async def _start(self) -> _Child:
        if not self.model.is_file():
            raise self._failed("The embedded model's file is missing; run `understudy models fetch`.")
        api_key = secrets.token_urlsafe(24)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "understudy.inference.embedded_child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )
        try:
            address = await self._introduce(process, api_key)
        except BaseException:
            await _kill(process)
            raise
        upstream = Upstream(f"{address}/v1", api_key, "embedded", self._dialect())
        self.last_error = None
        return _Child(process, Constrained(OpenAICompatible(upstream, trust_environment=False), goes_on=True))

    async def _introduce(self, process: asyncio.subprocess.Process, api_key: str) -> str:
        """Tell a new child what to do and return the address it answers with."""
        assert process.stdin is not None
        assert process.stdout is not None
        settings: dict[str, Any] = {
            "model": str(self.model),
            "api_key": api_key,
            "context_window": self.context_window,
            "threads": self._threads,
        }
        line = b""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_START_TIMEOUT_S):
                process.stdin.write(json.dumps(settings).encode() + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
        try:
            return str(json.loads(line)["address"])
        except (ValueError, KeyError):
            said = line.decode(errors="replace").strip()
            log.warning("the embedded model could not be started: %s", said or "it said nothing")
            raise self._failed("The embedded model could not be started; `understudy doctor` says more.") from None

    def _failed(self, reason: str) -> UpstreamError:
        self.last_error = reason
        return UpstreamError(reason)

    def _dialect(self) -> Dialect:
        return Dialect(
            images="none",
            refuses=frozenset({"reasoning_effort"}),
            concurrency=1,
            max_retries=0,
            connect_timeout_s=_CONNECT_TIMEOUT_S,
            first_byte_timeout_s=_FIRST_BYTE_TIMEOUT_S,
            idle_timeout_s=_FIRST_BYTE_TIMEOUT_S,
            context_window=self.context_window,
        )


def _bounded(asked: int | None) -> int:
    return _MAX_REPLY_TOKENS if asked is None else min(asked, _MAX_REPLY_TOKENS)


async def _has_died(child: _Child) -> bool:
    """Say whether the child is gone; its connections break a moment before its exit is known."""
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            await child.process.wait()
    return not child.alive


async def _end(child: _Child) -> None:
    await child.provider.aclose()
    await _kill(child.process)


async def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.communicate()  # drains and closes the pipes, which wait() alone leaves open
