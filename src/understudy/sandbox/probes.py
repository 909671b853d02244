"""What hostile probes of both jails share: what is laid out for them, and how they try for it."""

import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

WAYS = r"""
import os, socket
def connects(family, address):
    with socket.socket(family) as one:
        one.settimeout(2)
        one.connect(address)
    return True
def writes(path):
    with open(path, "w"):
        os.unlink(path)
    return True
"""
"""Source that probes begin with. What gets through leaves nothing behind."""


@dataclass(frozen=True, slots=True)
class Bait:
    """A file, a port of loopback, and the name of an abstract socket (without its zero) that listen."""

    canary: str
    port: int
    abstract: str


@contextmanager
def bait() -> Iterator[Bait]:
    """Lay out what nobody inside may reach."""
    abstract = f"understudy-{secrets.token_hex(8)}"
    with (
        tempfile.NamedTemporaryFile() as canary,
        socket.socket() as loopback,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        Path(canary.name).chmod(0o644)  # its mode would let the jail's user read it: the walls must not
        canary.write(secrets.token_bytes())
        canary.flush()
        loopback.bind(("127.0.0.1", 0))
        loopback.listen()
        unix.bind(f"\0{abstract}")
        unix.listen()
        yield Bait(canary.name, loopback.getsockname()[1], abstract)
