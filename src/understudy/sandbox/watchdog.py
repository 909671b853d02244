"""Limits that the kernel does not keep for a group of processes: their memory, files and processor time together.

A thread, so that nothing which holds up the event loop holds up this. It looks ten times a second at sessions whose
code runs and once a second at the others. (A cgroup would do more, and is rarely given to a program that did not ask.)
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from understudy.sandbox.jail import Jail
from understudy.sandbox.limits import Limits, MiB

_TICK_S = 0.1
_IDLE_TICKS = 10
_MOST_PROCESSES = 1_000  # more than any limit lets be


@dataclass(slots=True)
class Watched:
    """A jail under watch. `verdict` says why it was killed."""

    jail: Jail
    limits: Limits
    is_busy: Callable[[], bool]
    verdict: str | None = None
    gone: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def forget(self) -> None:
        """Stop watching: the jail's handles are about to be closed."""
        with self.lock:
            self.gone = True

    def look(self) -> None:
        """Kill the jail if it takes more than it may."""
        with self.lock:
            if not self.gone and self.verdict is None and (verdict := examine(self.jail, self.limits)):
                self.verdict = verdict
                self.jail.kill()


class Watchdog:
    """Watches jails for as long as there are any."""

    def __init__(self) -> None:
        self._watched: list[Watched] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, jail: Jail, limits: Limits, is_busy: Callable[[], bool]) -> Watched:
        """Begin to watch a jail."""
        watched = Watched(jail, limits, is_busy)
        with self._lock:
            self._watched.append(watched)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="sandbox watchdog", daemon=True)
                self._thread.start()
        return watched

    def _serve(self) -> None:
        pause, ticks = threading.Event(), 0
        while True:
            with self._lock:
                self._watched = [watched for watched in self._watched if not watched.gone]
                if not self._watched:
                    self._thread = None
                    return
                due = [watched for watched in self._watched if ticks % _IDLE_TICKS == 0 or watched.is_busy()]
            for watched in due:
                watched.look()
            ticks += 1
            pause.wait(_TICK_S)


def examine(jail: Jail, limits: Limits) -> str | None:
    """Return what a jail takes too much of, if it does."""
    processes = list(_processes(jail.init_id))
    if _resident(processes) > limits.memory and _proportional(processes) > limits.memory:
        return f"its processes used more than {limits.memory // MiB} MiB of memory"
    if sum(_files(place) for place in jail.places) > limits.files:
        return f"it made more than {limits.files} files"
    if sum(map(_cpu_s, processes)) > limits.cpu_s:
        return f"its processes used more than {limits.cpu_s:g} s of processor time"
    return None


def _processes(first: int) -> Iterator[int]:
    """Yield a process and all below it. Orphans are the jail's first process's, so none is missed for long."""
    waiting, count = [first], 0
    while waiting and count < _MOST_PROCESSES:
        process = waiting.pop()
        yield process
        count += 1
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{process}/task"):
                waiting += map(int, _words(f"/proc/{process}/task/{thread}/children"))


def _resident(processes: list[int]) -> int:
    """Return their memory in bytes, shared pages counted for each."""
    page = os.sysconf("SC_PAGE_SIZE")
    pages = (_words(f"/proc/{process}/statm")[1:2] for process in processes)
    return sum(int(word) * page for words in pages for word in words)


def _proportional(processes: list[int]) -> int:
    """Return their memory in bytes, shared pages counted once. Slow: it walks through all of it."""
    total = 0
    for process in processes:
        words = _words(f"/proc/{process}/smaps_rollup")
        with suppress(ValueError, IndexError):
            total += int(words[words.index("Pss:") + 1]) * 1024
    return total


def _cpu_s(process: int) -> float:
    """Return the processor time of a process and of its children that have ended."""
    with suppress(OSError, ValueError, IndexError):
        after_name = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return sum(map(int, after_name[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _files(place: int) -> int:
    status = os.fstatvfs(place)
    return status.f_files - status.f_ffree


def _words(path: str) -> list[str]:
    try:
        return Path(path).read_text(errors="replace").split()
    except OSError:
        return []
