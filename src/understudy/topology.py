"""Which processes make up a deployment, what has to lie between them, and how that is."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import Any, Literal, Protocol

from understudy import __version__
from understudy.bus.base import Bus
from understudy.config import Settings
from understudy.errors import ConfigurationError
from understudy.storage.base import Store

HEALTH_S = 5
_PROBE = "UPDATE alembic_version SET version_num = version_num"

Role = Literal["all", "api", "worker"]
"""What a process does: answer requests, work on runs, or both."""


class FileBytes(Protocol):
    """Where the bytes of files lie."""

    @property
    def kind(self) -> str: ...

    async def check(self) -> None:
        """Raise if they cannot be reached."""
        ...


def keeps_in_file(settings: Settings) -> bool:
    """Tell whether the database is a file of one server's own, not a server that many share."""
    return settings.database_url.startswith("sqlite:")


def is_for_this_machine(host: str) -> bool:
    """Tell whether nobody else can reach a server on this host. Raises OSError for a name that leads nowhere."""
    found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return all(ip_address(str(place[0]).partition("%")[0]).is_loopback for *_, place in found)


def check_scale(settings: Settings, *, alone: bool) -> None:
    """Raise ConfigurationError where processes are to work together that could not find each other."""
    if settings.bus_url is not None and keeps_in_file(settings):
        raise ConfigurationError(
            "bus_url is given, but the database is a file of one server's; give database_url=postgresql://… too"
        )
    if settings.bus_url is None and not keeps_in_file(settings):
        raise ConfigurationError(
            "the database is PostgreSQL's, which many servers may share, and no bus is given; give bus_url=nats://… too"
        )
    if settings.bus_url is not None and "files_url" not in settings.model_fields_set:
        raise ConfigurationError(
            "files_url is not given, and each server's own folder would hide its files from the others; "
            "give files_url=s3://… or the file:///… of a folder that all share"
        )
    if settings.bus_url is None and not alone:
        raise ConfigurationError(
            "a server without a worker, or a worker without a server, needs database_url=postgresql://… and "
            "bus_url=nats://…, to work together with the others"
        )


async def condition(
    settings: Settings, store: Store, bus: Bus, files: FileBytes, others: Mapping[str, Callable[[], Any]]
) -> dict[str, Any]:
    """The state of each part, and why it is off. The database is well if it can be written to.

    Without its bus a server still answers, but runs wait: it is degraded.
    """
    kind, carrier = "sqlite" if keeps_in_file(settings) else "postgresql", "nats" if settings.bus_url else "local"
    database = await _state(kind, store.write(lambda connection: connection.exec_driver_sql(_PROBE)))
    trouble = await bus.trouble()
    lines = {"state": "failed", "kind": carrier, "why": trouble} if trouble else {"state": "ok", "kind": carrier}
    status = "failed" if database["state"] != "ok" else "degraded" if trouble else "ok"
    parts = {"database": database, "bus": lines, "files": await _state(files.kind, files.check())}
    return {"status": status, "version": __version__, "parts": parts | {name: say() for name, say in others.items()}}


async def _state(kind: str, probe: Awaitable[object]) -> dict[str, str]:
    try:
        async with asyncio.timeout(HEALTH_S):
            await probe
    except Exception as problem:
        why = f"It did not answer within {HEALTH_S} s." if isinstance(problem, TimeoutError) else str(problem)
        return {"state": "failed", "kind": kind, "why": why.partition("\n")[0]}
    return {"state": "ok", "kind": kind}
