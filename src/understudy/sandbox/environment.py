"""The Python of the sandbox: where it lies on this machine, and where the jail shows it.

It is a virtual environment of its own, never the server's. `environment_build.py` makes it; inside the jail its
parts lie under fixed paths, and only there does it run. Its folder's name is a digest of what it is made from, so
an environment is either the one this version wants or not there.
"""

import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from understudy.sandbox.inside.places import CONFIG_HOME, PYTHON, VENV

LAYOUT = 1
"""To be raised when environments are built in another way."""

SYSTEM_PREFIX = Path("/usr")
SHARED_CACHE = Path("/var/cache/understudy/sandbox")
"""Where root keeps it if root's own cache is closed to the user that code is run as."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A finished environment. `folder` holds `venv`, `fonts` and, unless the system's Python is used, `python`."""

    folder: Path

    @property
    def venv(self) -> Path:
        return self.folder / "venv"

    @property
    def python(self) -> Path:
        """The copy of the interpreter; it does not exist if the system's own is used."""
        return self.folder / "python"

    @property
    def font_lists(self) -> Path:
        """A folder with matplotlib's list of fonts: made once, for it takes a second."""
        return self.folder / "fonts"

    def mounts(self) -> Iterator[tuple[Path, str]]:
        """Yield what the jail shows, read-only: a path here, and its path inside."""
        yield self.venv, VENV
        if self.python.exists():
            yield self.python, PYTHON
        for file in sorted(self.font_lists.iterdir()):
            yield file, f"{CONFIG_HOME}/{file.name}"


def requirements() -> str:
    """Return the pins of the packages."""
    return resources.files("understudy.sandbox").joinpath("requirements.txt").read_text(encoding="utf-8")


def uses_system_python() -> bool:
    """Say whether the interpreter lies where the jail can see it anyway."""
    return Path(sys.base_prefix).resolve() == SYSTEM_PREFIX


def identity() -> str:
    """Return the name of the environment that this version, on this Python, wants."""
    interpreter = f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor} {platform.machine()}"
    made_from = f"{LAYOUT}\n{interpreter}\n{uses_system_python()}\n{requirements()}"
    return hashlib.sha256(made_from.encode()).hexdigest()[:16]


def default_folder(cache_dir: Path) -> Path:
    """Return where environments are kept when nobody said where.

    Code is never run as root, and root's home is closed to others: then it is a folder that all can read.
    """
    if os.name == "posix" and os.geteuid() == 0 and not is_open_to_all(cache_dir):
        return SHARED_CACHE
    return cache_dir / "sandbox"


def is_open_to_all(folder: Path) -> bool:
    """Say whether any user can reach a folder; one that does not exist is made with open doors."""
    return all(place.stat().st_mode & 0o001 for place in (folder, *folder.parents) if place.exists())


def find(folder: Path) -> Environment | None:
    """Return the environment that this version wants, if it has been built."""
    place = folder / identity()
    return Environment(place) if place.is_dir() else None
