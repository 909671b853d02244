"""A text as o200k tokens, offline. The tables are loaded at first use (about 140 MB): best in a process that ends."""

import warnings
from functools import lru_cache
from typing import Any

_PIECE_CHARS = 100_000  # the encoder refuses input that makes 200,000 tokens or more


@lru_cache(maxsize=1)
def _encoding() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it reads its tables in a way that Python deprecates
        import bpe_openai

        return bpe_openai.get_encoding("o200k_base")


def pieces(text: str) -> list[bytes]:
    """Return the tokens of a text as the bytes of each; a token may end within a character.

    A lone surrogate, which no encoding can hold, is counted as a question mark. 1 MB takes about 30 ms.
    """
    encoding = _encoding()
    clean = text.encode("utf-8", "replace").decode()
    found: list[bytes] = []
    for at in range(0, len(clean), _PIECE_CHARS):
        piece = encoding.encode(clean[at : at + _PIECE_CHARS], disallowed_special=())
        found += encoding.decode_tokens_bytes(piece)
    return found


def count(text: str) -> int:
    """Return the number of tokens in a text."""
    encode = _encoding().encode
    clean = text.encode("utf-8", "replace").decode()
    parts = (clean[at : at + _PIECE_CHARS] for at in range(0, len(clean), _PIECE_CHARS))
    return sum(len(encode(part, disallowed_special=())) for part in parts)
