"""Whose key is it? The keys of this server, as its requests see them.

All keys are read at once, at most every second, so a flood of wrong keys costs no query, and a key that is made or
revoked beside the running server counts within a second. A key is looked up by its hash: what the time of a
comparison could tell about a hash says nothing about the key.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from understudy.ids import Clock
from understudy.storage import api_keys
from understudy.storage.api_keys import NO_LIMITS, ApiKey, Limits
from understudy.storage.base import Store

log = logging.getLogger(__name__)

DEFAULT_PROJECT = "proj_default"
FRESH_S = 1.0
TOUCH_EVERY_S = 60.0
"""How coarsely a key's last use is kept: a write for every request would be too dear."""


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a request is made. `key_id` is None where the server has no keys."""

    project: str = DEFAULT_PROJECT
    key_id: str | None = None
    admin: bool = False
    limits: Limits = NO_LIMITS


class Keyring:
    """The keys in the database, and those that the settings bring."""

    def __init__(self, store: Store, clock: Clock, *, key: str | None = None, admin_key: str | None = None) -> None:
        self._store = store
        self._clock = clock
        self._given = [
            ApiKey(name, DEFAULT_PROJECT, name, api_keys.hash_of(secret.encode()), 0, admin=name == "key_of_admin")
            for name, secret in (("key_of_settings", key), ("key_of_admin", admin_key))
            if secret
        ]
        self._keys: dict[str, ApiKey] = {}
        self._touched: dict[str, float] = {}
        self._any = False
        self._read_once = False
        self._fresh_until = 0.0
        self._reading = asyncio.Lock()

    async def are_on(self) -> bool:
        """Tell whether requests need a key: once there was one, they do, be it revoked since."""
        await self._refresh()
        return self._any

    async def find(self, secret: bytes) -> Caller | None:
        """Return whose key it is; None for one that is unknown or revoked."""
        await self._refresh()
        key = self._keys.get(api_keys.hash_of(secret))
        if key is None:
            return None
        await self._touch(key)
        return Caller(key.project, key.id, key.admin, key.limits)

    async def _refresh(self) -> None:
        if time.monotonic() < self._fresh_until:  # the clock of the wall may be set back
            return
        async with self._reading:
            if time.monotonic() >= self._fresh_until:
                await self._read()
                self._fresh_until = time.monotonic() + FRESH_S

    async def _read(self) -> None:
        """Read the keys. While the database fails, those known last go on: /health is to say what is wrong."""
        try:
            self._hold(await self._store.read(api_keys.all_of))
        except Exception as problem:
            if not self._read_once:
                raise
            log.warning("the API keys could not be read anew: %s", str(problem).splitlines()[0])

    def _hold(self, stored: Sequence[ApiKey]) -> None:
        self._read_once = True
        self._any = bool(stored or self._given)
        self._keys = {key.hash: key for key in (*stored, *self._given) if key.revoked_at is None}

    async def _touch(self, key: ApiKey) -> None:
        now = self._clock.now()
        if key in self._given or now - self._touched.get(key.id, key.last_used_at or 0) < TOUCH_EVERY_S:
            return
        self._touched[key.id] = now
        try:
            await self._store.write(lambda connection: api_keys.touch(connection, key.id, int(now)))
        except Exception:  # a disk that takes no writes may still be read
            log.exception("the last use of a key could not be kept")
