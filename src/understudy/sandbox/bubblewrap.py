"""The Sandbox in jails of bubblewrap. It is off until its self-test has passed, and says why if it does not pass.

The self-test runs in the background when the server starts, and again, at most every few seconds, when code is to be
run and the last one failed: what `understudy sandbox setup` puts there is found without a restart.
"""

import asyncio
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from understudy.errors import Unavailable
from understudy.sandbox import environment, seccomp, selftest
from understudy.sandbox.jail import Jail, JailFailed, Walls, launch
from understudy.sandbox.limits import Limits
from understudy.sandbox.mending import container_advice, mend
from understudy.sandbox.pool import Pool, PoolSize
from understudy.sandbox.session import JailSession
from understudy.sandbox.watchdog import Watchdog

log = logging.getLogger(__name__)

KIND = "bubblewrap"
_MIN_VERSION = (0, 8)
_LAUNCHERS = 4
_AGAIN_S = 5.0
_POLL_S = 0.02
_NOT_ON_PATH = "/usr/bin/bwrap"


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """`folder` is where environments are kept; `uid` is the user that code runs as if the server is root."""

    folder: Path
    uid: int = 61_100
    limits: Limits = field(default_factory=Limits)
    size: PoolSize = field(default_factory=PoolSize)
    enabled: bool = True


class BubblewrapSandbox:
    """See `base.Sandbox`. To be made and used within one event loop."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._launchers = ThreadPoolExecutor(_LAUNCHERS, "sandbox launcher")  # the kernel ends jails with their thread
        self._launching: set[asyncio.Future[Jail]] = set()
        self._begun: set[socket.socket] = set()
        self._watchdog = Watchdog()
        self._pool = Pool(self._start, settings.size)
        self._walls: Walls | None = None
        self._why = "it has not been tried yet"
        self._tried = 0.0
        self._trial: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start the self-test in the background."""
        self._try()

    @property
    def live(self) -> int:
        """Sessions that keys have."""
        return self._pool.live

    @property
    def spares(self) -> int:
        """Sessions that wait for a key."""
        return self._pool.spares

    @asynccontextmanager
    async def session(self, key: str) -> AsyncIterator[JailSession]:
        await self.ready()
        async with self._pool.session(key) as session:
            yield session

    async def ready(self) -> None:
        if self._walls is None:
            if self._trial is None or not self._trial.done() or time.monotonic() - self._tried > _AGAIN_S:
                await asyncio.shield(self._try())
            if self._walls is None:
                raise Unavailable(f"The code interpreter is off: {self._why}")

    def warm(self) -> None:
        if self._walls is not None:
            self._pool.warm()

    def holds(self, key: str) -> bool:
        return self._pool.holds(key)

    async def end(self, key: str) -> None:
        await self._pool.end(key)

    def status(self) -> dict[str, str]:
        if self._walls is not None:
            return {"state": "ok", "kind": KIND}
        if self._trial is not None and not self._trial.done():
            return {"state": "starting", "kind": KIND}
        return {"state": "off", "kind": KIND, "why": self._why}

    async def tried(self) -> str | None:
        """Wait for the self-test; return why the sandbox is off, or None."""
        await asyncio.shield(self._try())
        return None if self._walls else self._why

    async def aclose(self) -> None:
        if self._trial is not None:
            self._trial.cancel()
            await asyncio.gather(self._trial, return_exceptions=True)
        await self._pool.aclose()
        self._launchers.shutdown(wait=False, cancel_futures=True)
        while self._launching:  # the interpreter does not end before its launchers do
            for connection in list(self._begun):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            await asyncio.wait(self._launching, timeout=_POLL_S)

    # --- is it on -------------------------------------------------------------------------------------------------

    def _try(self) -> "asyncio.Task[None]":
        if self._trial is None or (self._trial.done() and self._walls is None):
            self._trial = asyncio.get_running_loop().create_task(self._test(), name="sandbox self-test")
        return self._trial

    async def _test(self) -> None:
        try:
            walls = await asyncio.to_thread(_walls, self._settings)
            await self._probe(walls)
        except Unavailable as problem:
            self._why = str(problem)
        except JailFailed as problem:
            self._why = mend(str(problem))
        else:
            self._walls = walls
        self._tried = time.monotonic()
        log.info("code interpreter: %s", "ok" if self._walls else f"off: {self._why}")

    async def _probe(self, walls: Walls) -> None:
        session = await self._session(walls, rehearse=False)
        try:
            limits = walls.limits
            found = await selftest.findings(
                session, uid=walls.uid, processes=limits.processes, disk=max(limits.disk, limits.temp)
            )
        finally:
            await session.end()
        if found:
            raise Unavailable(f"its jail does not hold: {'; '.join(found)}.{container_advice()}")

    # --- sessions -------------------------------------------------------------------------------------------------

    async def _start(self) -> JailSession:
        if self._walls is None:
            raise Unavailable(f"The code interpreter is off: {self._why}")
        try:
            return await self._session(self._walls, rehearse=True)
        except JailFailed as problem:
            raise Unavailable(f"No session of the code interpreter could be started: {mend(str(problem))}") from None

    async def _session(self, walls: Walls, *, rehearse: bool) -> JailSession:
        loop = asyncio.get_running_loop()
        launching = loop.run_in_executor(self._launchers, partial(launch, walls, self._begun, rehearse=rehearse))
        self._launching.add(launching)
        launching.add_done_callback(self._launching.discard)
        try:
            jail = await asyncio.shield(launching)
        except asyncio.CancelledError:
            launching.add_done_callback(_close_unwanted)
            raise
        return JailSession(jail, walls.limits, self._watchdog)


def _close_unwanted(launching: "asyncio.Future[Jail]") -> None:
    if not launching.cancelled() and launching.exception() is None:
        launching.result().close()


# --- what there must be -------------------------------------------------------------------------------------------


def _walls(settings: SandboxSettings) -> Walls:
    """Return what jails are made of here. Raises Unavailable for what is missing."""
    if not settings.enabled:
        raise Unavailable("the setting `sandbox` is off")
    if not sys.platform.startswith("linux"):
        raise Unavailable("code is run on Linux only, in jails that other systems do not have")
    if not seccomp.is_known():
        raise Unavailable("there is no filter of system calls for this kind of processor; x86_64 and aarch64 have one")
    found = environment.find(settings.folder)
    setup = [] if found else [f"its Python is not there ({settings.folder}); run `understudy sandbox setup`"]
    try:
        program = bubblewrap_path()
    except Unavailable as fault:
        raise Unavailable("; and ".join([str(fault), *setup])) from None
    if found is None:
        raise Unavailable(*setup)
    return Walls(program, found, settings.limits, _uid(settings.uid))


def bubblewrap_path() -> str:
    """Return where bubblewrap is. Raises Unavailable if it is not there, or too old."""
    path = shutil.which("bwrap") or (_NOT_ON_PATH if Path(_NOT_ON_PATH).exists() else None)
    if path is None:
        raise Unavailable("bubblewrap is not there; install it (Debian, Ubuntu: apt-get install bubblewrap)")
    told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout  # noqa: S603
    numbers = re.search(r"(\d+)\.(\d+)", told)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < _MIN_VERSION:
        raise Unavailable(f"{path} is {told.strip() or 'of an unknown version'}; 0.8 or newer is needed")
    return str(Path(path).resolve())


def _uid(uid: int) -> int | None:
    """Return the user to become: none, if the server is not root."""
    if os.geteuid() != 0:
        return None
    if uid == 0:
        raise Unavailable("sandbox_uid is 0, and code is never run as root; give another number")
    return uid


def without_spares(settings: SandboxSettings) -> SandboxSettings:
    """Return the settings for who wants a single session: the doctor, a test."""
    return replace(settings, size=replace(settings.size, warm=0))
