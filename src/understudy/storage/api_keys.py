"""Queries on API keys. Their rows are never deleted: a revoked key still says that this server has keys."""

from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, select, update

from understudy.storage.rows import insert
from understudy.storage.schema import api_keys

PROJECT_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
PROJECT_NAME_ALLOWED = "up to 64 letters, digits, dots, dashes and underscores, a letter or digit first"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key's bearer may use up; None is no limit. Runs and tokens are those of the key's project."""

    requests_per_minute: int | None = None
    runs_at_once: int | None = None
    tokens_per_day: int | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key: its hash, never the key itself. `last_used_at` is a minute old at most."""

    id: str
    project: str
    name: str | None
    hash: str
    created_at: int
    admin: bool = False
    limits: Limits = NO_LIMITS
    last_used_at: int | None = None
    revoked_at: int | None = None


def hash_of(secret: bytes) -> str:
    """Return what a key is looked up by. A key has 256 random bits, so a plain hash cannot be guessed back."""
    return sha256(secret).hexdigest()


def add(connection: Connection, key: ApiKey) -> None:
    """Store a new key."""
    values: dict[str, Any] = asdict(key)
    insert(connection, api_keys, values | values.pop("limits"))


def all_of(connection: Connection) -> list[ApiKey]:
    """Return every key of every project, revoked ones too, oldest first."""
    statement = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
    return [_key(dict(row)) for row in connection.execute(statement).mappings()]


def _key(row: dict[str, Any]) -> ApiKey:
    limits = Limits(**{name: row.pop(name) for name in Limits.__slots__})
    return ApiKey(**row, limits=limits)


def touch(connection: Connection, key_id: str, now: int) -> None:
    """Note that a key was used."""
    connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=now))


def revoke(connection: Connection, key_id: str, now: int) -> bool:
    """Make a key useless for ever; False if there is none of that id. The first time counts."""
    known = connection.execute(select(api_keys.c.id).where(api_keys.c.id == key_id)).first()
    unrevoked = (api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    connection.execute(update(api_keys).where(*unrevoked).values(revoked_at=now))
    return known is not None
