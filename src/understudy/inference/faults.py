"""From an upstream's failure to an UpstreamError: its own words, without its keys and addresses."""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from understudy.errors import UpstreamError
from understudy.protocol.text import storable

Code = Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]

_MAX_WORDS = 1_000  # characters of an upstream's message that a run's last_error keeps
_SECRETS = re.compile(r"(?i)\bbearer\s+\S+|\b(?:sk|pk|rk|gsk|xai|key|api|hf)[-_][\w*-]{6,}")
_URLS = re.compile(r"(?i)\b[a-z][a-z0-9+.-]*://[^\s'\"<>)\]]+")
_HOSTS = re.compile(
    r"(?i)\blocalhost(?::\d+)?\b"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"
    r"|\[[0-9a-f]*:[0-9a-f:.]*\](?::\d+)?"
    r"|\b[a-z0-9-]+(?:\.[a-z0-9-]+)+:\d{2,5}\b"
    r"|\b[a-z][a-z0-9-]*:\d{4,5}\b"
)
_PROMPT_FAULT = re.compile(
    r"(?i)context.{0,12}(?:length|size|window)|maximum context|too many tokens|prompt.{0,20}too long|invalid.prompt"
)
_RATE_FAULT = re.compile(r"(?i)rate.?limit|too.many.requests|insufficient_quota")


class Redactor:
    """Takes an upstream's key and address, and all that looks like one, out of a text."""

    def __init__(self, base_url: str, api_key: str | None) -> None:
        parts = urlsplit(base_url)
        self._hidden = [word for word in (api_key, parts.netloc, parts.hostname) if word and len(word) > 2]

    def clean(self, text: str) -> str:
        """Return the text without secrets, on one line, at most 1,000 characters long, fit to be stored."""
        text = _URLS.sub("[address]", storable(text))
        for word in self._hidden:
            text = text.replace(word, "[redacted]")
        text = _HOSTS.sub("[address]", _SECRETS.sub("[key]", text))
        return " ".join(text.split())[:_MAX_WORDS]


def from_status(status: int, body: object, redactor: Redactor) -> UpstreamError:
    """Return the error for an HTTP answer that is no success; `body` is its decoded JSON, or its text."""
    words, hint = _words(body)
    if words is None or words.lstrip().startswith("<"):
        words = f"The model's server answered with status {status}."
    return UpstreamError(redactor.clean(words), _code(status, f"{hint} {words}"))


def from_error_object(error: object, redactor: Redactor) -> UpstreamError:
    """Return the error for an `error` object inside a stream."""
    words, hint = _words({"error": error})
    status = error.get("code") if isinstance(error, Mapping) else None
    words = words or "The model's server reported an error without a message."
    return UpstreamError(redactor.clean(words), _code(status if isinstance(status, int) else 400, f"{hint} {words}"))


def _words(body: object) -> tuple[str | None, str]:
    """Return an error body's message and its type and code, whichever of the common shapes it has."""
    if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping | str):
        body = body["error"]
    if isinstance(body, str):
        return body.strip() or None, ""
    if not isinstance(body, Mapping):
        return None, ""
    message: Any = body.get("message") or body.get("detail")
    if message is not None and not isinstance(message, str):
        message = json.dumps(message, ensure_ascii=False)
    return message, f"{body.get('type')} {body.get('code')}"


def _code(status: int, words: str) -> Code:
    if status == 429 or (status < 500 and _RATE_FAULT.search(words)):
        return "rate_limit_exceeded"
    if status in (400, 413, 422) and _PROMPT_FAULT.search(words):
        return "invalid_prompt"
    return "server_error"
