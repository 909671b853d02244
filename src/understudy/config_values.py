"""What values of settings look like: types that check themselves, and what is said about each.

Part of `config`, and imported by nothing else.
"""

import ipaddress
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

MiB = 1024 * 1024
MIN_KEY_LENGTH = 16  # of keys that people make up: shorter ones are guessed


@dataclass(frozen=True, slots=True)
class About:
    """What a setting is for, and which values it takes: shown by --help, the documentation and error messages."""

    what: str
    allowed: str


def base_dir(variable: str, unix: str, mac: str) -> Path:
    """Return the user's folder of a kind, where this system keeps it."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if os.environ.get(variable):
        return Path(os.environ[variable])
    return Path.home() / (mac if sys.platform == "darwin" else unix)


def default_data_dir() -> Path:
    return base_dir("XDG_DATA_HOME", ".local/share", "Library/Application Support") / "understudy"


def default_cache_dir() -> Path:
    if sys.platform == "win32":
        return base_dir("", "", "") / "understudy" / "Cache"
    return base_dir("XDG_CACHE_HOME", ".cache", "Library/Caches") / "understudy"


def default_database(validated: dict[str, Any]) -> str:
    return f"sqlite:///{validated['data_dir'] / 'understudy.sqlite3'}"


def default_files(validated: dict[str, Any]) -> str:
    return str((validated["data_dir"] / "files").as_uri())


def files_place(url: str) -> str:
    if not re.fullmatch(r"file:///[^?]+|s3://[a-zA-Z0-9.-]+(/[^?#]*)?", url):
        raise ValueError("no place for files")
    return url


def database_place(url: str) -> str:
    if not re.fullmatch(r"sqlite:///.+|postgresql://[^/]*/.+", url):
        raise ValueError("not a database's URL")
    return url


def nats_servers(url: str | None) -> str | None:
    if url is not None and not re.fullmatch(r"(nats|tls)://[^,/\s]+(,(nats|tls)://[^,/\s]+)*", url):
        raise ValueError("not NATS's URL")
    return url


def long_enough(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and not re.fullmatch(rf"[!-~]{{{MIN_KEY_LENGTH},}}", secret.get_secret_value()):
        raise ValueError("not a key")
    return secret


def split(value: Any) -> Any:
    return tuple(item for item in value.replace(",", " ").split()) if isinstance(value, str) else value


def web_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if not re.fullmatch(r"https?://[^/*@\s]+", origin):
            raise ValueError("not an origin")
    return tuple(origin.lower() for origin in origins)


def root_path_of(path: str) -> str:
    if path and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
        raise ValueError("not a path")
    return path


def proxies(text: str) -> str:
    for part in filter(None, (part.strip() for part in text.split(","))):
        ipaddress.ip_network(part)
    return text


Folder = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
LowerCase = BeforeValidator(lambda text: text.lower() if isinstance(text, str) else text)
UpperCase = BeforeValidator(lambda text: text.upper() if isinstance(text, str) else text)
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
