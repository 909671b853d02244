"""`understudy doctor`: look at everything the server needs, and say what is missing and how to mend it."""

import asyncio
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from understudy import config, model_download
from understudy.config import Settings
from understudy.config_file import without_password
from understudy.config_models import models_config
from understudy.errors import UnderstudyError
from understudy.inference.dialect import Upstream
from understudy.storage import api_keys
from understudy.storage.api_keys import ApiKey
from understudy.topology import keeps_in_file

_MIN_PYTHON = (3, 11)
_MIN_FREE_BYTES = 200 * 1024 * 1024
_MODEL_BYTES = 1_400_000_000  # the file, and room for a piece of it on its way
_UPSTREAM_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. `mend` says what to do about it; `broken` means that the server needs it."""

    part: str
    state: Literal["ok", "note", "broken"]
    what: str
    mend: str = ""


def report(flags: Mapping[str, object]) -> int:
    """Print every finding; return the exit code."""
    worst = 0
    for finding in findings(flags):
        print(f"{_SIGNS[finding.state]} {finding.part}: {finding.what}", flush=True)
        if finding.mend:
            print(f"       {finding.mend}", flush=True)
        worst |= finding.state == "broken"
    print("Something needed is broken." if worst else "All that is needed is there.")
    return worst


_SIGNS = {"ok": "[ ok ]", "note": "[note]", "broken": "[BAD ]"}


def findings(flags: Mapping[str, object]) -> Iterator[Finding]:
    """Check one thing after the other. Without readable settings the rest cannot be known."""
    yield _python()
    try:
        settings = config.load(flags)
        routes = model_download.routes(settings)
    except UnderstudyError as problem:
        yield Finding("settings", "broken", str(problem), "docs/configuration.md lists every setting")
        return
    yield Finding("settings", "ok", f"read {settings.config}" if settings.config else "no configuration file is given")
    for remark in config.unknown_variables():
        yield Finding("settings", "note", remark)
    for check in _CHECKS:
        yield check(settings)
    yield from _models(settings, routes)
    yield _code_interpreter(settings)
    yield _document_readers()


# --- this machine -------------------------------------------------------------------------------------------------


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _MIN_PYTHON:
        return Finding("Python", "broken", f"this is {version}", "install Python 3.11 or newer")
    return Finding("Python", "ok", version)


def _data_dir(settings: Settings) -> Finding:
    folder, there = settings.data_dir, _nearest(settings.data_dir)
    if not there.is_dir():
        return Finding("data folder", "broken", f"{there} is not a folder", "give another --data-dir")
    try:
        tempfile.TemporaryFile(dir=there).close()  # permissions alone do not tell: a disk may be read-only
    except OSError as problem:
        what = f"{there} cannot be written to: {problem.strerror}"
        return Finding("data folder", "broken", what, "change its owner, or give another --data-dir")
    return Finding("data folder", "ok", f"{folder}{'' if there == folder else ' (will be made)'}")


def _database(settings: Settings) -> Finding:
    if not keeps_in_file(settings):
        return _shared_database(settings)
    path = Path(settings.database_url.removeprefix("sqlite:///"))
    if not path.exists():
        return Finding("database", "ok", f"{path} (will be made)")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=5)) as connection:
            trouble = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as problem:
        trouble = str(problem)
    if trouble != "ok":
        return Finding("database", "broken", f"{path}: {trouble}", "restore a copy, or give another --data-dir")
    return Finding("database", "ok", str(path))


def _shared_database(settings: Settings) -> Finding:
    place = without_password(settings.database_url)
    try:
        _shared_keys(settings)
    except UnderstudyError as problem:
        return Finding("database", "broken", f"{place}: {problem}", "docs/deployment.md says how it is set up")
    return Finding("database", "ok", f"{place}, with this version's schema")


def _shared_keys(settings: Settings) -> list[ApiKey]:
    """Return the keys in a database that many share. Raises UnderstudyError if that cannot be read."""
    from understudy.adapters import store_of

    async def look() -> list[ApiKey]:
        store = store_of(settings)
        try:
            await store.open()
            return await store.read(api_keys.all_of)
        finally:
            await store.close()

    return asyncio.run(look())


def _disk(settings: Settings) -> Finding:
    needed = {settings.data_dir: _MIN_FREE_BYTES}
    if model_download.is_wanted(settings) and not settings.model_path and not model_download.is_there(settings):
        needed[settings.cache_dir] = _MODEL_BYTES
    for folder, wanted in needed.items():
        free = shutil.disk_usage(_nearest(folder)).free
        if free < wanted:
            what = f"{free / 1e9:.1f} GB are free for {folder}, and {wanted / 1e9:.1f} GB are needed"
            return Finding("disk", "broken", what, "make room, or give another --data-dir or --cache-dir")
    free = shutil.disk_usage(_nearest(settings.data_dir)).free
    return Finding("disk", "ok", f"{free / 1e9:.1f} GB free for {settings.data_dir}")


def _port(settings: Settings) -> Finding:
    from understudy.serve import bind

    try:
        bind(settings.host, settings.port).close()
    except UnderstudyError as problem:
        return Finding("port", "broken", str(problem), "if that is this server, running, all is well")
    return Finding("port", "ok", f"{settings.host} port {settings.port or 'of any number'} is free")


def _keys(settings: Settings) -> Finding:
    """A server that others can reach does not start without keys."""
    from understudy.topology import is_for_this_machine

    try:
        reachable = not is_for_this_machine(settings.host)
    except OSError:
        return Finding("keys", "note", f"nobody knows whether others can reach {settings.host}")
    if not reachable:
        return Finding("keys", "ok", f"none are needed: {settings.host} is for this machine alone")
    if settings.api_key or settings.admin_key or _has_stored_keys(settings):
        return Finding("keys", "ok", f"others can reach {settings.host}, and there are keys")
    mend = "make one with `understudy keys create`, or set UNDERSTUDY_API_KEY"
    return Finding("keys", "broken", f"others can reach {settings.host}, and there is no key yet", mend)


def _has_stored_keys(settings: Settings) -> bool:
    path = Path(settings.database_url.removeprefix("sqlite:///"))
    try:
        if not keeps_in_file(settings):
            return bool(_shared_keys(settings))
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            return connection.execute("SELECT 1 FROM api_keys LIMIT 1").fetchone() is not None
    except (sqlite3.Error, UnderstudyError):  # told elsewhere; a database of an older version has no keys
        return False


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


_CHECKS: tuple[Callable[[Settings], Finding], ...] = (_data_dir, _database, _disk, _port, _keys)


# --- code ---------------------------------------------------------------------------------------------------------


def _code_interpreter(settings: Settings) -> Finding:
    """Try the jail. What does not need it works without."""
    from understudy.sandbox_setup import why_off

    if settings.sandbox == "off":
        return Finding("code interpreter", "ok", "it is off, as the setting `sandbox` says")
    if why := why_off(settings):
        return Finding("code interpreter", "note", f"it is off: {why}", "all else works without it")
    return Finding("code interpreter", "ok", "its jail holds")


def _document_readers() -> Finding:
    from understudy.sandbox.reader_jail import ReaderJail

    if why := asyncio.run(ReaderJail().tried()):
        what = f"documents are read without a jail: {why}"
        return Finding("document readers", "note", what, "a hostile document may read what the server's account may")
    return Finding("document readers", "ok", "their jail holds")


# --- models -------------------------------------------------------------------------------------------------------


def _models(settings: Settings, routes: list[str]) -> Iterator[Finding]:
    for route in routes:
        yield Finding("route", "ok", route)
    for name, upstream in models_config(settings).upstreams.items():
        yield _upstream(name, upstream)
    if model_download.is_wanted(settings):
        yield _embedded(settings)


def _embedded(settings: Settings) -> Finding:
    path = model_download.path(settings)
    if lack := model_download.missing_library():
        return Finding("embedded model", "broken", lack, "or give --model-url: another model needs no engine here")
    if model_download.is_there(settings):
        how = "your own file" if settings.model_path else "checked by its sha256"
        return Finding("embedded model", "ok", f"{path}, {how}")
    if settings.model_path:
        return Finding("embedded model", "broken", f"there is no {path}", "give another --model-path, or none")
    return Finding("embedded model", "broken", "it is not there yet", "run `understudy models fetch` (1.1 GB)")


def _upstream(name: str, upstream: Upstream) -> Finding:
    """Ask the endpoint for its models: that shows whether it is there and takes the key."""
    import openai

    part, place = f"upstream {name}", without_password(upstream.base_url)
    client = openai.OpenAI(
        base_url=upstream.base_url, api_key=upstream.api_key or "none", timeout=_UPSTREAM_TIMEOUT_S, max_retries=0
    )
    with client:
        try:
            known = [model.id for model in client.models.list()]
        except (openai.AuthenticationError, openai.PermissionDeniedError):
            mend = "check the key: UNDERSTUDY_MODEL_KEY, or key or key_env of the upstream"
            return Finding(part, "broken", f"{place} refuses the key", mend)
        except openai.APIConnectionError:
            mend = "start it, or correct the URL (for most servers it ends with /v1)"
            return Finding(part, "broken", f"{place} cannot be reached", mend)
        except openai.APIStatusError as answer:
            what = f"{place} answers, but GET /models brings status {answer.status_code}"
            return Finding(part, "note", what, "some have no such list; if runs fail too, correct the URL")
        except (openai.OpenAIError, ValueError, AttributeError, TypeError):
            return Finding(part, "broken", f"{place} is no OpenAI-compatible endpoint", "correct the URL")
    if upstream.model and known and upstream.model not in known:
        what = f"{place} does not list the model {upstream.model}"
        return Finding(part, "note", what, f"it lists {', '.join(known[:8])}")
    return Finding(part, "ok", f"{place} answers, {len(known)} models")
