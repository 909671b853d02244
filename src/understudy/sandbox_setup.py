"""`understudy sandbox setup`: the Python that model-written code runs with, and whether code can be run here.

Nothing but this builds it, and nothing but its absence is needed to have it built again.
"""

import asyncio
import sys
from typing import TextIO

from understudy.adapters import sandbox_of
from understudy.config import Settings
from understudy.errors import Unavailable
from understudy.sandbox import environment, environment_build

_TAKES = "fetching and unpacking about 150 MB; this takes a few minutes"


def setup(settings: Settings, stream: TextIO | None = None) -> str:
    """Build the environment if need be, try a jail with it, and return a line that says how it went.

    Raises Unavailable if the environment cannot be built, or if code cannot be run with it.
    """
    stream = stream or sys.stderr
    folder = settings.sandbox_dir or environment.default_folder(settings.cache_dir)
    if environment.find(folder) is None:
        _say(stream, f"The code interpreter's Python: {_TAKES}")
    built = environment_build.setup(folder, lambda step: _say(stream, f"  {step}"))
    if why := why_off(settings):
        raise Unavailable(f"the code interpreter's Python is at {built.folder}, but no code can be run: {why}")
    return f"The code interpreter is ready; its Python is at {built.folder}"


def why_off(settings: Settings) -> str | None:
    """Try the jail as a server does when it starts. Return why code cannot be run, or None."""

    async def ask() -> str | None:
        sandbox = sandbox_of(settings, spares=False)
        try:
            return await sandbox.tried()
        finally:
            await sandbox.aclose()

    return asyncio.run(ask())


def _say(stream: TextIO, line: str) -> None:
    stream.write(f"{line}\n")
    stream.flush()
