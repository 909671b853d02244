"""Counting tokens where no upstream has counted them: o200k, offline, loaded at first use (about 70 MB)."""

import json
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from understudy.inference.base import ChatMessage, ToolSpec

_PIECE_CHARS = 100_000  # the encoder refuses input that makes 200,000 tokens or more
_TOKENS_PER_MESSAGE = 4  # role, separators: what the hosted chat format adds to each message
TOKENS_PER_REPLY = 3  # the reply's own header
_TOKENS_PER_IMAGE = 765  # the hosted price of a 1024 x 1024 image; the true size is unknown here


@lru_cache(maxsize=1)
def _encoding() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it reads its tables in a way that Python deprecates
        import bpe_openai

        return bpe_openai.get_encoding("o200k_base")


def count(text: str) -> int:
    """Return the number of tokens in a text. Takes CPU time: about 1 s for 5 million characters."""
    encode = _encoding().encode
    # lone surrogates are legal in Python strings and in JSON escapes, and the encoder refuses them
    clean = text.encode("utf-8", "replace").decode()
    pieces = (clean[at : at + _PIECE_CHARS] for at in range(0, len(clean), _PIECE_CHARS))
    return sum(len(encode(piece, disallowed_special=())) for piece in pieces)


def count_messages(messages: Sequence[ChatMessage], tools: Sequence[ToolSpec] = ()) -> int:
    """Return about how many tokens a prompt takes: exact for texts, an estimate for the format around them.

    Of parts, it is the sum; a whole prompt takes TOKENS_PER_REPLY more.
    """
    return sum(map(_message_tokens, messages)) + sum(map(_tool_tokens, tools))


def _message_tokens(message: ChatMessage) -> int:
    calls = message.get("tool_calls") or ()
    return _TOKENS_PER_MESSAGE + _content_tokens(message.get("content")) + sum(map(_call_tokens, calls))


def _content_tokens(content: Any) -> int:
    if isinstance(content, str):
        return count(content)
    parts = content if isinstance(content, Sequence) else ()
    return sum(count(str(part["text"])) if "text" in part else _TOKENS_PER_IMAGE for part in parts)


def _call_tokens(call: Mapping[str, Any]) -> int:
    function = call.get("function") or {}
    return _TOKENS_PER_MESSAGE + count(str(function.get("name", "")) + str(function.get("arguments", "")))


def _tool_tokens(tool: ToolSpec) -> int:
    schema = json.dumps(tool.parameters, ensure_ascii=False)
    return _TOKENS_PER_MESSAGE + count(f"{tool.name} {tool.description or ''} {schema}")
