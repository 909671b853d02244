"""The configuration file: TOML with the settings by their names, and tables for upstreams and routes.

Part of `config`, and imported by nothing else. Whatever is wrong raises ConfigurationError, naming the file.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, model_validator

from understudy.errors import ConfigurationError
from understudy.inference.dialect import Dialect, Upstream

_ABOVE_ZERO = ("concurrency", "connect_timeout_s", "first_byte_timeout_s", "idle_timeout_s", "context_window")
_DIALECT = tuple(field.name for field in fields(Dialect))
_PATHS = ("data_dir", "cache_dir", "model_path", "sandbox_dir")


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an http:// or https:// URL")
    return url.rstrip("/")


HttpUrl = Annotated[str, AfterValidator(_http_url)]


class UpstreamTable(BaseModel):
    """`[upstreams.NAME]`: an OpenAI-compatible endpoint; the dialect's fields stand beside url and key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: HttpUrl
    key: SecretStr | None = None
    key_env: str | None = None
    model: str | None = None
    dialect: Dialect = Dialect()

    @model_validator(mode="before")
    @classmethod
    def _gather_dialect(cls, table: dict[str, Any]) -> dict[str, Any]:
        own = {name: value for name, value in table.items() if name not in _DIALECT}
        return own | {"dialect": {name: value for name, value in table.items() if name in _DIALECT}}

    def upstream(self, name: str) -> Upstream:
        """Return what the table says; its key may stand in the environment. Raises ConfigurationError."""
        key = self.key.get_secret_value() if self.key else None
        if self.key_env is not None:
            key = os.environ.get(self.key_env)
            if not key:
                raise ConfigurationError(
                    f"upstreams.{name}.key_env names the variable {self.key_env}, which is not set"
                )
        return Upstream(self.url, key, self.model, self.dialect)


class RouteTable(BaseModel):
    """`[models."NAME"]`: which upstream serves a model name, and as which of its models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    upstream: str
    model: str | None = None


UPSTREAM_KEYS = (*(name for name in UpstreamTable.model_fields if name != "dialect"), *_DIALECT)
ROUTE_KEYS = tuple(RouteTable.model_fields)


def read(path: Path, settings: Iterable[str]) -> dict[str, Any]:
    """Return the file's contents after a check of its names. `settings` are the names allowed at its top."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(f"the configuration file {path} cannot be read: {reason}") from None
    except tomllib.TOMLDecodeError as problem:
        raise ConfigurationError(f"the configuration file {path} is not TOML: {problem}") from None
    try:
        _check_names(table, list(settings))
    except ValueError as problem:
        raise ConfigurationError(f"{problem} (from {path})") from None
    for name in _PATHS:  # a path in the file is relative to the file
        if isinstance(table.get(name), str):
            table[name] = path.parent / Path(table[name]).expanduser()
    return table


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a remark on the nearest known name, if one is near."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def shown(value: object) -> str:
    """Return a value for a message; a password within a URL is left out."""
    return without_password(repr(str(value) if isinstance(value, Path) else value))


def without_password(text: str) -> str:
    """Return the text with the user and password of a URL left out."""
    return re.sub(r"//[^/@]*@", "//…@", text)


def _check_names(table: dict[str, Any], settings: list[str]) -> None:
    _refuse_unknown(table, settings, "")
    for where, known, value in _tables(table):
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {value!r}; allowed: a table, [{where}]")
        _refuse_unknown(value, known, where)
        _check_upstream(where, value)


def _tables(table: dict[str, Any]) -> Iterator[tuple[str, Iterable[str], Any]]:
    """Yield each table below the top: where it stands, the keys it may have, its value."""
    for parent, known in (("upstreams", UPSTREAM_KEYS), ("models", ROUTE_KEYS)):
        children = table.get(parent, {})
        if not isinstance(children, dict):
            raise ValueError(f"{parent} is {children!r}; allowed: tables, [{parent}.NAME]")
        for name, value in children.items():
            yield f"{parent}.{name}" if name.isidentifier() else f'{parent}."{name}"', known, value


def _refuse_unknown(table: dict[str, Any], known: Iterable[str], where: str) -> None:
    for name in table:
        if name not in known:
            place = f" in [{where}]" if where else ""
            raise ValueError(f"unknown setting {name!r}{place}{did_you_mean(name, known)}")


def _check_upstream(where: str, table: dict[str, Any]) -> None:
    """Check what types alone cannot say."""
    if "key" in table and "key_env" in table:
        raise ValueError(f"{where} has key and key_env; allowed: one of them")
    for name in _ABOVE_ZERO:
        if isinstance(table.get(name), int | float) and table[name] <= 0:
            raise ValueError(f"{where}.{name} is {table[name]}; allowed: a number above 0")
    if isinstance(table.get("max_retries"), int) and table["max_retries"] < 0:
        raise ValueError(f"{where}.max_retries is {table['max_retries']}; allowed: 0 or more")
