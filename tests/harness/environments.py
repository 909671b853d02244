"""Environments with other versions of the official SDKs, made once in the user's cache folder and used again.

`UNDERSTUDY_TEST_CACHE` names another folder. A missing registry or a missing Node skips; any other failure fails.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_INSTALL_S = 300.0
_UNREACHABLE = re.compile(
    r"No matching distribution|Connection (refused|error|broken)|NewConnectionError|Name or service|Read timed out"
    r"|ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ETIMEDOUT|ENETUNREACH|proxy",
    re.IGNORECASE,
)


def python_with(*requirements: str) -> Path:
    """Return the Python of an environment that holds the requirements."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = _cache() / re.sub(r"[^\w.=-]+", "_", f"python{version}-" + "-".join(requirements))
    python = folder / "bin" / "python"

    def install() -> None:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])

    _once(folder, install)
    return python


def node_with(package: str) -> Path:
    """Return a folder in whose `node_modules` the package lies."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        pytest.skip("Node and npm are not installed")
    folder = _cache() / re.sub(r"[^\w.=-]+", "_", f"node-{package}")

    def install() -> None:
        folder.mkdir()
        (folder / "package.json").write_text(json.dumps({"private": True}))
        _run([npm, "install", "--no-save", "--no-package-lock", "--silent", "--prefix", str(folder), package])

    _once(folder, install)
    return folder


def _cache() -> Path:
    folder = Path(os.environ.get("UNDERSTUDY_TEST_CACHE") or Path.home() / ".cache" / "understudy-tests")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _once(folder: Path, install: Callable[[], None]) -> None:
    """Install unless that was done before; one process at a time; never leave a half-made folder in use."""
    ready = folder.parent / f"{folder.name}.ready"
    with _locked(folder.parent / f"{folder.name}.lock"):
        if ready.exists() and folder.exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        install()
        ready.touch()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    said = done.stdout + done.stderr
    if done.returncode and _UNREACHABLE.search(said):
        pytest.skip(f"not installed, the package registry cannot be reached: {command[-1]}")
    assert done.returncode == 0, f"{' '.join(command)}\n{said}"
