"""What is particular about an upstream: plain values that the configuration file gives."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

ImageFetcher = Callable[[str], Awaitable[str]]
"""Turns an image's address into a `data:` URL. Whoever hands it in decides which addresses may be fetched."""

ImageReader = Callable[[str, str], Awaitable[str | None]]
"""Turns a project and a file's id into a `data:` URL; None if there is no such picture any more."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an upstream differs from the hosted chat completions API. Times are in seconds.

    `refuses` names request fields that are never sent. `tool_protocol` `constrained` holds the reply to a JSON
    envelope, for models that know no tool calls. `images` `none` replaces a picture by a note in words.
    """

    token_limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"  # noqa: S105 - a field's name
    stream_usage: bool = True
    parallel_tool_calls: bool = True
    images: Literal["url", "inline", "none"] = "url"
    refuses: frozenset[str] = frozenset()
    tool_protocol: Literal["native", "constrained"] = "native"
    concurrency: int = 64
    max_retries: int = 2
    connect_timeout_s: float = 10
    first_byte_timeout_s: float = 180
    idle_timeout_s: float = 120
    context_window: int = 128_000


@dataclass(frozen=True, slots=True)
class Upstream:
    """An OpenAI-compatible endpoint. `model` None passes the asked name through; `api_key` None sends a dummy."""

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    dialect: Dialect = field(default_factory=Dialect)
