"""A jail for programs of our own that read hostile documents, until a document has taken one over.

The walls are bubblewrap's, as around model-written code (`jail.py`), but what runs inside is the server's own
interpreter with its packages: shown to be read, beside the system's programs, and nothing else is. There is nothing to
write to, no `/proc`, no network. What a program reads comes to it as an open file.

Where no such jail can be had the program runs without: it is told, and limits and an empty environment remain.
"""

import asyncio
import json
import logging
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import understudy
from understudy.errors import Unavailable
from understudy.sandbox import seccomp
from understudy.sandbox.bubblewrap import KIND, bubblewrap_path
from understudy.sandbox.jail import ALONE, system_mounts
from understudy.sandbox.mending import mend
from understudy.sandbox.probes import WAYS, bait

log = logging.getLogger(__name__)

WITHOUT = "process"
"""What stands in the jail's place where there is none."""
INSIDE = "UNDERSTUDY_IN_JAIL"
"""The variable that tells a program that it is inside: it may limit what would be its user's limit outside."""

_TRIAL_S = 20.0
_FOLDERS_OF_A_PYTHON = ("bin", "lib", "lib64", "pyvenv.cfg")  # a virtual environment may lie in a folder of secrets
_PLACES_IN_VARIABLES = ("TESSDATA_PREFIX", "LD_LIBRARY_PATH")

_PROBES = (
    WAYS
    + r"""
import json, sys
canary, port, abstract, *places = json.loads(sys.argv[1])
found = []
def probe(name, attempt):
    try:
        if attempt():
            found.append(name)
    except (OSError, AttributeError):
        pass
probe("it reads the server's files", lambda: open(canary, "rb").read())
probe("it sees processes", lambda: os.listdir("/proc"))
probe("it reaches the network", lambda: connects(socket.AF_INET, ("127.0.0.1", port)))
probe("it opens network sockets", lambda: socket.socket(socket.AF_INET))
probe("it reaches the machine's abstract sockets", lambda: connects(socket.AF_UNIX, "\0" + abstract))
probe("it makes memory that nobody counts", lambda: os.memfd_create("x"))
for place in ("/", "/tmp", "/dev", "/dev/shm", "/usr", *places):
    probe("it writes to " + place, lambda: writes(place + "/understudy-probe"))
print(json.dumps(found))
"""
)


class ReaderJail:
    """Puts a command into the jail, once that was tried with hostile probes. To be used within one event loop."""

    def __init__(self, shown: Sequence[Path] = ()) -> None:
        """`shown` are files and folders that the program needs besides the interpreter and our package."""
        self._shown = tuple(_outermost([*_program(), *shown]))
        self._trial: asyncio.Task[None] | None = None
        self._bubblewrap: str | None = None
        self._why = "it has not been tried yet"
        self._held = False

    def begin(self) -> None:
        """Try the jail in the background."""
        if self._trial is None:
            self._trial = asyncio.get_running_loop().create_task(self._try(), name="reader jail's trial")

    async def tried(self) -> str | None:
        """Wait for the trial; return why there is no jail, or None."""
        self.begin()
        assert self._trial is not None
        await asyncio.shield(self._trial)
        return None if self._bubblewrap else self._why

    async def around(self, command: Sequence[str]) -> tuple[list[str], list[int]]:
        """Return a command as it is to be started, and open files that it must be given: the caller closes them."""
        await self.tried()
        if self._bubblewrap is None:
            return list(command), []
        rules = _rules()
        return [self._bubblewrap, *self._arguments(rules), *command], [rules]

    def stood(self) -> None:
        """Hear that a program came up inside: from now on there is no going without the jail."""
        self._held = True

    def fell(self) -> bool:
        """Hear that a program did not come up. Tell whether it is to be tried again, without the jail.

        Only where none ever came up inside, and so none has read anything: a document must not talk its way out.
        """
        if self._bubblewrap is None or self._held:
            return False
        self._bubblewrap, self._why = None, "the program that reads documents does not start inside; the log says more"
        log.warning("documents are read without a jail: %s", self._why)
        return True

    def status(self) -> dict[str, str]:
        """How documents are read: for `/health`."""
        if self._bubblewrap is not None:
            return {"state": "ok", "kind": KIND}
        if self._trial is not None and not self._trial.done():
            return {"state": "starting", "kind": KIND}
        if self._trial is None:
            return {"state": "off", "kind": KIND, "why": "No documents are read here."}
        return {"state": "ok", "kind": WITHOUT, "why": f"There is no jail: {self._why}"}

    async def aclose(self) -> None:
        """End a trial that is under way."""
        if self._trial is not None:
            self._trial.cancel()
            await asyncio.gather(self._trial, return_exceptions=True)

    async def _try(self) -> None:
        try:
            self._bubblewrap = await asyncio.to_thread(_walls_that_hold, self._arguments)
        except Unavailable as problem:
            self._why = str(problem)
        log.info("documents are read %s", "in a jail" if self._bubblewrap else f"without a jail: {self._why}")

    def _arguments(self, rules: int) -> list[str]:
        """Return bubblewrap's arguments; `rules` is the open file with the filter of system calls."""
        return [
            *ALONE,
            "--unshare-cgroup-try",
            *("--ro-bind", "/usr", "/usr", *system_mounts(), "--dev", "/dev"),
            *(word for path in self._shown for word in ("--ro-bind-try", str(path), str(path))),
            *(
                "--remount-ro",
                "/dev",
                "--remount-ro",
                "/",
                "--setenv",
                INSIDE,
                "1",
                "--chdir",
                "/",
                "--seccomp",
                str(rules),
                "--",
            ),
        ]


def _program() -> Iterator[Path]:
    """Yield where the interpreter, its packages and ours lie."""
    for prefix in dict.fromkeys((sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix)):
        yield from (Path(prefix, name) for name in _FOLDERS_OF_A_PYTHON)
    paths = sysconfig.get_paths()
    yield from (Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    ours = Path(understudy.__file__).parent
    yield ours.parent if ours.parent.name.endswith("-packages") else ours  # never the rest of a source tree
    for name in _PLACES_IN_VARIABLES:
        yield from (Path(place) for place in os.environ.get(name, "").split(":") if place.startswith("/"))


def _outermost(paths: Sequence[Path]) -> Iterator[Path]:
    """Leave out what lies in another one."""
    known = set(paths)
    yield from (path for path in dict.fromkeys(paths) if known.isdisjoint(path.parents))


def _rules() -> int:
    """Return an open file with the filter of system calls."""
    rules = os.memfd_create("reader jail")
    os.write(rules, seccomp.program())
    os.lseek(rules, 0, os.SEEK_SET)
    return rules


# --- the trial ----------------------------------------------------------------------------------------------------


def _walls_that_hold(arguments: Callable[[int], list[str]]) -> str:
    """Run the probes in a jail; return the path of bubblewrap. Raises Unavailable, saying what is missing."""
    if not sys.platform.startswith("linux") or not seccomp.is_known():
        raise Unavailable("it is made on Linux only, on x86_64 and aarch64")
    path, rules = bubblewrap_path(), _rules()
    places = [str(Path(understudy.__file__).parent), sysconfig.get_paths()["purelib"]]
    with bait() as laid:
        told = json.dumps([laid.canary, laid.port, laid.abstract, *places])
        command = [path, *arguments(rules), sys.executable, "-I", "-S", "-c", _PROBES, told]
        try:
            done = subprocess.run(  # noqa: S603  # every word of it is ours
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TRIAL_S,
                env={},
                pass_fds=[rules],
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise Unavailable(f"{path}: {problem}") from None
        finally:
            os.close(rules)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        raise Unavailable(mend((done.stderr.strip() or "it ended without a word")[-2000:])) from None
    if found:
        raise Unavailable(f"it does not hold: {'; '.join(found)}")
    return path
