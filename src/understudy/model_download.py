"""The embedded model, as the command line cares for it: is it wanted, is its file there, fetch it with a bar."""

import ctypes
import shutil
import sys
import time
from pathlib import Path
from typing import TextIO

from understudy.config import Settings
from understudy.config_file import without_password
from understudy.config_models import models_config
from understudy.errors import ConfigurationError
from understudy.inference import model_file
from understudy.inference.registry import EMBEDDED, EMBEDDED_MODEL, ModelRoutes, ModelsConfig

_OPENMP = "libgomp.so.1"
_REDRAW_S = 0.1
_LINE_EVERY = 10  # percent; a log file gets a line now and then, a terminal a bar


def is_wanted(settings: Settings) -> bool:
    """Say whether some model name leads to the embedded model."""
    states = ModelRoutes(models_config(settings), settings.cache_dir).status()
    return any(state["kind"] == "embedded" for state in states.values())


def routes(settings: Settings) -> list[str]:
    """Return a line for each model name that leads somewhere. Raises ConfigurationError for dangling names."""
    models = models_config(settings)
    ModelRoutes(models, settings.cache_dir)  # checks the names
    lines = [f"{route.name} -> {_target(models, route.upstream, route.model)}" for route in models.routes]
    default = models.default or (None if models.routes else next(iter(models.upstreams), EMBEDDED))
    rest = "every other name" if lines else "every name"
    return [*lines, f"{rest} -> {_target(models, default, None) if default else 'unknown model (404)'}"]


def _target(models: ModelsConfig, upstream: str, model: str | None) -> str:
    if (known := models.upstreams.get(upstream)) is None:
        return f"the embedded model, {EMBEDDED_MODEL}"
    return f"{upstream}, {model or known.model or 'by the same name'}, at {without_password(known.base_url)}"


def path(settings: Settings) -> Path:
    """Return where the model's file is expected."""
    return settings.model_path or model_file.model_path(settings.cache_dir)


def is_there(settings: Settings) -> bool:
    """Say whether the file is there: checked by its sha256 once, unless it is the user's own."""
    return settings.model_path.is_file() if settings.model_path else model_file.is_present(settings.cache_dir)


def missing_library() -> str | None:
    """Say which library of the system the engine lacks, and how to get it. Its package brings all others itself."""
    if sys.platform != "linux":
        return None
    try:
        ctypes.CDLL(_OPENMP)
    except OSError:
        how = "Debian, Ubuntu: apt-get install libgomp1; Fedora, Amazon Linux: dnf install libgomp"
        return f"its engine needs {_OPENMP}, which is not there; install it ({how})"
    return None


def fetch(settings: Settings, stream: TextIO | None = None) -> Path:
    """Return the file's path, downloading and checking it first if need be. Raises Unavailable."""
    if settings.model_path:
        if not settings.model_path.is_file():
            raise ConfigurationError(f"model_path is '{settings.model_path}', and there is no such file")
        return settings.model_path
    from understudy.inference import model_mirrors

    bar = Bar(stream or sys.stderr)
    try:
        return model_file.fetch(settings.cache_dir, model_mirrors.default_mirrors(), progress=bar.show)
    finally:
        bar.close()


class Bar:
    """How far a download is, on a terminal as a bar, elsewhere as a line for every ten percent."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._what = ""
        self._begun, self._begun_at = 0.0, 0
        self._drawn = 0.0
        self._percent = -1
        self._open_line = False

    def show(self, done: int, total: int, what: str) -> None:
        """Take note of progress, and show it if it is time to."""
        now = time.monotonic()
        kind = "checking" if what == "checking" else "fetching"
        if kind != self._what:
            self._what, self._begun, self._begun_at, self._percent = kind, now, done, -1
        percent = 100 * done // total
        if self._terminal:
            if now - self._drawn >= _REDRAW_S or done == total:
                self._drawn = now
                self._draw(done, total, what, now)
        elif percent // _LINE_EVERY > self._percent // _LINE_EVERY:
            self._percent = percent
            self._stream.write(f"embedded model: {self._text(done, total, what, now)}\n")
            self._stream.flush()

    def close(self) -> None:
        """End the bar's line."""
        if self._open_line:
            self._stream.write("\n")
            self._stream.flush()
            self._open_line = False

    def _draw(self, done: int, total: int, what: str, now: float) -> None:
        width = max(10, min(30, shutil.get_terminal_size().columns - 70))
        filled = width * done // total
        text = f"[{'#' * filled}{'.' * (width - filled)}] {self._text(done, total, what, now)}"
        self._stream.write(f"\r\x1b[K{text}")
        self._stream.flush()
        self._open_line = True

    def _text(self, done: int, total: int, what: str, now: float) -> str:
        rate = (done - self._begun_at) / max(now - self._begun, 0.001)
        left = f", {(total - done) / rate:.0f} s left" if rate > 0 and done < total else ""
        return f"{100 * done // total:3d}% of {total / 1e6:,.0f} MB, {rate / 1e6:.1f} MB/s{left}, {what}"
