"""One jail: bubblewrap's walls around one worker process, and the handles by which it is held.

What each wall is for, and what stands where a wall is missing, is told in docs/adr/0009. `launch` blocks, and is called
from a thread that lives as long as the server: the kernel ends a jail together with the thread that started it.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from understudy.sandbox import seccomp
from understudy.sandbox.environment import Environment
from understudy.sandbox.inside import frames
from understudy.sandbox.inside.places import (
    CONFIG_HOME,
    DATA,
    HOME,
    PYTHON,
    SHARED_MEMORY,
    SOURCES,
    TEMP,
    VENV,
    WRITABLE,
)
from understudy.sandbox.limits import Limits, MiB

START_S = 30.0
"""How long a worker may take to say that it is there."""

_LAST_S = 1.0
_WORKER = "understudy.sandbox.inside.worker"
_INSIDE_UID = "1000"
_ROOT_SIZE = 4 * MiB
_HOME_SIZE = 16 * MiB
_SHOWN_OF_SYSTEM = ("/etc/ld.so.cache", "/etc/fonts", "/etc/alternatives", "/etc/mime.types")
_USERS = f"sandbox:x:{_INSIDE_UID}:{_INSIDE_UID}:sandbox:{HOME}:/bin/sh\n"
_GROUPS = f"sandbox:x:{_INSIDE_UID}:\n"
_ENVIRONMENT = {
    "PATH": f"{VENV}/bin:/usr/bin:/bin",
    "HOME": HOME,
    "USER": "sandbox",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "COLUMNS": "120",  # how wide tables are printed
    "TMPDIR": TEMP,
    "PYTHONPATH": SOURCES,
    "PYTHONDONTWRITEBYTECODE": "1",
    "LD_LIBRARY_PATH": f"{PYTHON}/lib",
    "MPLBACKEND": "module://understudy.sandbox.inside.figures",
    "MPLCONFIGDIR": CONFIG_HOME,
    "MATPLOTLIBRC": f"{VENV}/matplotlibrc",
    "IPYTHONDIR": f"{HOME}/.ipython",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}


ALONE = (
    *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
    *("--disable-userns", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
)
"""What every jail of ours takes from who is inside, the readers' (`reader_jail.py`) too."""


class JailFailed(Exception):
    """No worker came up. The message is what bubblewrap or the worker said."""


@dataclass(frozen=True, slots=True)
class Walls:
    """What every jail of a server is made of. `uid` is the user that bubblewrap is run as; None is the server's own."""

    bubblewrap: str
    environment: Environment
    limits: Limits
    uid: int | None


@dataclass(slots=True)
class Jail:
    """A jail with its worker. The handles are of this process; nothing in here trusts the worker."""

    process: subprocess.Popen[bytes]
    connection: socket.socket
    output: int
    init: int  # pidfd of the jail's first process: when that dies, the kernel kills all others first
    init_id: int
    worker: int  # pidfd
    worker_id: int
    places: tuple[int, ...]  # of the file systems that can be written to

    def interrupt(self) -> None:
        """Send SIGINT to the worker and to its process group: `os.system` waits for what it has started."""
        if not _has_ended(self.worker):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(os.getpgid(self.worker_id), signal.SIGINT)

    def kill(self) -> None:
        """Kill all that is in the jail: with its first process the kernel kills the rest. Does not wait."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.init, signal.SIGKILL)

    def worker_time(self) -> tuple[float, bool]:
        """Return the processor time that the worker has had, in seconds, and whether it wants some now."""
        with suppress(OSError, ValueError, IndexError):
            words = Path(f"/proc/{self.worker_id}/stat").read_text(errors="replace").rpartition(")")[2].split()
            return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"), words[0] == "R"
        return 0.0, False

    def exit_code(self) -> int | None:
        """Return how the worker ended, as shells count; None if it lives."""
        try:
            return self.process.wait(_LAST_S)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """Kill, wait until nothing of the jail is left, and give the handles back."""
        self.kill()
        if self.exit_code() is None:
            self.process.kill()
            self.process.wait()
        frames.has_news(self.init, START_S)
        for handle in (self.output, self.init, self.worker, *self.places):
            os.close(handle)
        self.connection.close()


def _has_ended(handle: int) -> bool:
    return frames.has_news(handle, 0)


# --- walls --------------------------------------------------------------------------------------------------------


def arguments(walls: Walls, passed: dict[str, int]) -> list[str]:
    """Return bubblewrap's arguments. `passed` are descriptors by the path that their content gets, or their option."""
    return [
        *ALONE,
        "--unshare-cgroup",
        *("--uid", _INSIDE_UID, "--gid", _INSIDE_UID, "--hostname", "sandbox"),
        *_sized("/", _ROOT_SIZE),
        *("--ro-bind", "/usr", "/usr", *_sized("/usr/local", MiB), "--remount-ro", "/usr/local"),
        *system_mounts(),
        *("--proc", "/proc", "--dev", "/dev"),
        *_sized(DATA, walls.limits.disk),
        *_sized(TEMP, walls.limits.temp),
        *_sized(SHARED_MEMORY, walls.limits.temp),
        *_sized(HOME, _HOME_SIZE),
        *(word for here, inside in walls.environment.mounts() for word in ("--ro-bind", str(here), inside)),
        *(word for path, fd in passed.items() if path.startswith("/") for word in ("--file", str(fd), path)),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", DATA, "--clearenv"),
        *(word for name, value in _ENVIRONMENT.items() for word in ("--setenv", name, value)),
        *("--seccomp", str(passed["seccomp"]), "--info-fd", str(passed["info"])),
    ]


def _sized(place: str, size: int) -> tuple[str, ...]:
    return ("--size", str(size), "--tmpfs", place)


def system_mounts() -> Iterator[str]:
    """Yield what makes the system's programs find their libraries."""
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        place = Path("/", name)
        if place.is_symlink():
            yield from ("--symlink", f"usr/{name}", str(place))
        elif place.is_dir():
            yield from ("--ro-bind", str(place), str(place))
    for shown in _SHOWN_OF_SYSTEM:
        yield from ("--ro-bind-try", shown, shown)


def _files() -> dict[str, bytes]:
    """Return the small files of the jail's own, by their path inside."""
    package = resources.files("understudy.sandbox.inside")
    below = f"{SOURCES}/understudy/sandbox/inside"
    sources = [entry for entry in package.iterdir() if entry.name.endswith(".py")]
    return {f"{below}/{entry.name}": entry.read_bytes() for entry in sources} | {
        "/etc/passwd": _USERS.encode(),
        "/etc/group": _GROUPS.encode(),
    }


# --- start --------------------------------------------------------------------------------------------------------


def launch(walls: Walls, begun: set[socket.socket], *, rehearse: bool = False) -> Jail:
    """Start a jail and wait until its worker is there. Raises JailFailed.

    `begun` holds its connection for as long as it is waited for. Whoever shuts that down ends the wait: the worker
    ends when it finds the wire broken. To kill bubblewrap while it builds could leave the half of it behind that waits
    for the other.
    To `rehearse` is to import what most code needs while there is nothing else to do.
    """
    with ExitStack() as ours, ExitStack() as theirs:
        connection, end = socket.socketpair()
        ours.callback(connection.close)
        theirs.callback(end.close)
        output, output_end = _pipe(ours, theirs)
        info, info_end = _pipe(ours, theirs)
        passed = {"seccomp": _held(seccomp.program(), theirs), "info": info_end}
        passed |= {path: _held(content, theirs) for path, content in _files().items()}
        words = _held(b"".join(word.encode() + b"\0" for word in arguments(walls, passed)), theirs)
        process = _start(walls, words, end.fileno(), output_end, [*passed.values()])
        theirs.close()
        begun.add(connection)
        try:
            jail = _introduce(process, connection, output, info, _start_message(walls.limits, rehearse))
        except (OSError, ValueError, EOFError):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            raise JailFailed(_last_words(process, output)) from None
        finally:
            begun.discard(connection)
        ours.pop_all()
        os.close(info)
        os.set_blocking(output, False)
        return jail


def _start(walls: Walls, words: int, connection: int, output: int, passed: list[int]) -> "subprocess.Popen[bytes]":
    """Start bubblewrap with an empty environment: the jail's first process shows its own to those inside."""
    command = [walls.bubblewrap, "--args", str(words), f"{VENV}/bin/python", "-s", "-P", "-m", _WORKER, str(connection)]
    user: dict[str, Any] = {}
    if walls.uid is not None:
        user = {"user": walls.uid, "group": walls.uid, "extra_groups": ()}
    try:
        return subprocess.Popen(  # noqa: S603  # every word of it is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={},
            cwd="/",
            pass_fds=[words, connection, *passed],
            start_new_session=True,
            **user,
        )
    except (OSError, subprocess.SubprocessError) as problem:
        raise JailFailed(f"{walls.bubblewrap}: {problem}") from None


def _introduce(
    process: "subprocess.Popen[bytes]", connection: socket.socket, output: int, info: int, start: dict[str, Any]
) -> Jail:
    """Tell the worker what to be, and learn from bubblewrap and from the kernel who it is."""
    told = b""
    while not told.rstrip().endswith(b"}"):
        told += _read(info)
    init_id = int(json.loads(told)["child-pid"])
    connection.settimeout(START_S)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    frames.send(connection, start)
    worker_id, places = _greeting(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
    init, worker = os.pidfd_open(init_id), os.pidfd_open(worker_id)
    return Jail(process, connection, output, init, init_id, worker, worker_id, places)


def _greeting(connection: socket.socket) -> tuple[int, tuple[int, ...]]:
    """Read the worker's first frame; return its process id, as the kernel says, and the descriptors it brought."""
    room = socket.CMSG_SPACE(12) + socket.CMSG_SPACE(4 * len(WRITABLE))
    frame, ancillary, _, _ = connection.recvmsg(4096, room, socket.MSG_CMSG_CLOEXEC)
    if not frame:
        raise EOFError
    worker_id, places = 0, memoryview(b"").cast("i")
    for _, kind, content in ancillary:
        if kind == socket.SCM_CREDENTIALS:
            worker_id = int.from_bytes(content[:4], "little")
        elif kind == socket.SCM_RIGHTS:
            places = memoryview(content).cast("i")
    return worker_id, tuple(places)


def _start_message(limits: Limits, rehearse: bool) -> dict[str, Any]:
    return {
        "limits": limits.inside(),
        "rehearse": rehearse,
        "reported_files": limits.reported_files,
        "images": limits.images,
        "image": limits.image,
    }


def _pipe(ours: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    read, write = os.pipe()
    ours.callback(os.close, read)
    theirs.callback(os.close, write)
    return read, write


def _held(content: bytes, stack: ExitStack) -> int:
    """Return a descriptor of a nameless file."""
    fd = os.memfd_create("sandbox")
    stack.callback(os.close, fd)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _read(fd: int) -> bytes:
    if not frames.has_news(fd, START_S):
        raise TimeoutError
    if not (content := os.read(fd, 4096)):
        raise EOFError
    return content


def _last_words(process: "subprocess.Popen[bytes]", output: int) -> str:
    with suppress(subprocess.TimeoutExpired):
        process.wait(START_S)
    process.kill()
    process.wait()
    end, words = time.monotonic() + 1, b""
    while time.monotonic() < end and frames.has_news(output, 0.1) and (piece := os.read(output, 4096)):
        words += piece
    return words.decode(errors="replace").strip()[-2000:] or "it ended without a word"
