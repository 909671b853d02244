"""The data folder belongs to one process at a time: two would both work on the same runs.

The lock is the operating system's own and dies with its process, so there is nothing to clean up after a kill.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from understudy.errors import ConfigurationError

LOCK = "understudy.lock"
_PID = ".pid"


@contextmanager
def held(data_dir: Path, database: Path) -> Iterator[None]:
    """Keep a folder, and a database that lies elsewhere, from other servers. Raises ConfigurationError."""
    locks = [data_dir / LOCK]
    if database.parent != data_dir:
        locks.append(database.with_name(f"{database.name}.lock"))
    with ExitStack() as stack:
        for lock in locks:
            stack.enter_context(_locked(lock))
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0, thread_local=False)
    note = path.with_name(path.name + _PID)  # beside the lock: where locks are mandatory, nobody else could read it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        note.write_text(str(os.getpid()), encoding="ascii")
    except Timeout:
        who = f"another understudy process{_named(note)}"
        raise ConfigurationError(
            f"{path.parent} is in use by {who}; stop that one, or give another --data-dir"
        ) from None
    except OSError as problem:
        lock.release()
        what = problem.strerror or str(problem)
        raise ConfigurationError(
            f"{path.parent} cannot be written to: {what}; mend that, or give another --data-dir"
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):
            note.unlink()
        lock.release()


def _named(note: Path) -> str:
    with suppress(OSError, UnicodeError):
        number = note.read_text(encoding="ascii").strip()
        if number.isdigit():
            return f" (id {number})"
    return ""
