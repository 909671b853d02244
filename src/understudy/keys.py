"""`understudy keys`: make, show and revoke API keys, in the database itself; a running server notices."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

from understudy.adapters import store_of
from understudy.config import Settings
from understudy.errors import ConfigurationError
from understudy.ids import SystemClock, new_id, new_secret
from understudy.storage import api_keys
from understudy.storage.api_keys import PROJECT_NAME, PROJECT_NAME_ALLOWED, ApiKey, Limits
from understudy.storage.base import Store

T = TypeVar("T")

_HEAD = ("ID", "PROJECT", "NAME", "MADE", "LAST USED", "STATE")
_WORDS = {"requests_per_minute": "requests/min", "runs_at_once": "runs at once", "tokens_per_day": "tokens/day"}


def create(settings: Settings, project: str, name: str | None, limits: Limits, *, admin: bool) -> tuple[ApiKey, str]:
    """Make a key; return what is kept of it, and the key itself, which nobody can tell again."""
    if not re.fullmatch(PROJECT_NAME, project):
        raise ConfigurationError(f"project is {project!r} (from --project); allowed: {PROJECT_NAME_ALLOWED}")
    secret = new_secret()
    hashed, now = api_keys.hash_of(secret.encode()), int(SystemClock().now())
    key = ApiKey(new_id("key"), project, name, hashed, now, admin, limits)
    _with_store(settings, lambda store: store.write(lambda connection: api_keys.add(connection, key)))
    return key, secret


def revoke(settings: Settings, key_id: str) -> None:
    """Make a key useless. Raises ConfigurationError if there is none of that id."""
    now = int(SystemClock().now())
    known = _with_store(
        settings, lambda store: store.write(lambda connection: api_keys.revoke(connection, key_id, now))
    )
    if not known:
        raise ConfigurationError(f"there is no key {key_id!r}; `understudy keys list` shows them")


def table(settings: Settings) -> Iterator[str]:
    """Yield the lines of a table of all keys."""
    found = _with_store(settings, lambda store: store.read(api_keys.all_of))
    rows = [_HEAD, *(_row(key) for key in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(key: ApiKey) -> tuple[str, ...]:
    state = ["revoked"] if key.revoked_at else []
    state += ["admin"] if key.admin else []
    given = ((words, getattr(key.limits, limit)) for limit, words in _WORDS.items())
    state += [f"{number} {words}" for words, number in given if number is not None]
    used = _moment(key.last_used_at) if key.last_used_at else "never"
    return key.id, key.project, key.name or "", _moment(key.created_at), used, ", ".join(state) or "good"


def _moment(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _with_store(settings: Settings, work: Callable[[Store], Awaitable[T]]) -> T:
    async def run() -> T:
        store = store_of(settings)
        await store.open()
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())
