"""Which processes make up a deployment, and what has to lie between them."""

from typing import Literal

from understudy.config import Settings
from understudy.errors import ConfigurationError

Role = Literal["all", "api", "worker"]
"""What a process does: answer requests, work on runs, or both."""


def keeps_in_file(settings: Settings) -> bool:
    """Tell whether the database is a file of one server's own, not a server that many share."""
    return settings.database_url.startswith("sqlite:")


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
    if settings.bus_url is None and not alone:
        raise ConfigurationError(
            "a server without a worker, or a worker without a server, needs database_url=postgresql://… and "
            "bus_url=nats://…, to work together with the others"
        )
