"""The host of the readers: `python -m understudy.ingest.parsing_child LINE LIMITS`.

LINE is the number of an open socket, LIMITS the readers' limits in JSON. Each request is a line of JSON and comes with
two open files: what is to be read, and where the result goes. For each a process is forked, which has the parsers
loaded already, no network where the kernel allows that, and no more time and memory than it may take. How it ended is
told in a line `[number, status]`; one without a number says that the host is ready. The host ends when its line does.
"""

import ctypes
import gc
import json
import os
import resource
import selectors
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from understudy.orphans import die_with_parent
from understudy.retrieval.chunk import Auto, Static, Strategy, chunks
from understudy.retrieval.documents import Document, Section, Unreadable
from understudy.retrieval.parse import parse
from understudy.retrieval.tokens import count

MAX_TOKENS = 5_000_000  # the hosted API's limit for a file

_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x1000_0000, 0x4000_0000
_MAX_LINE = 1 << 16
_OPEN_FILES = 64
_MAX_HOST_FILES = 4096
_JAILED = "UNDERSTUDY_IN_JAIL"
_PROCESSES = 256
"""In a jail, of all readers together, threads included; outside it would count all that the account runs."""
NICE = 5
"""Where there is more to do than processors, the server's own work goes first."""


def main() -> None:
    """Fork readers until the line ends, then end them."""
    line, limits = socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2])
    os.nice(NICE)
    _load()
    ended, noticed = socket.socketpair()
    ended.setblocking(False)
    noticed.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(noticed.fileno(), warn_on_full_buffer=False)
    host = _Host(line, limits)
    with selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        line.sendall(b"[null, 0]\n")
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if ended in ready:
                ended.recv(4096)
                host.reap()
            if line in ready and not host.hear():
                host.stop_all()
                return


def _load() -> None:
    """Load what nearly every file needs: 250 MB, which the readers share, and 0.5 s, which they are spared."""
    import charset_normalizer  # noqa: F401
    import lxml.etree  # noqa: F401
    import pypdfium2  # noqa: F401

    text = "x " * 2000
    chunks(Document(text, (Section(0, len(text)),)), Auto(100))
    gc.freeze()  # a reader's collector would copy the pages that it shares


class _Host:
    """The readers that are at work, by the number of their request."""

    def __init__(self, line: socket.socket, limits: dict[str, Any]) -> None:
        self._line = line
        self._limits = limits
        self._rest = b""
        self._files: list[int] = []
        self._readers: dict[int, int] = {}  # numbers by process

    def hear(self) -> bool:
        """Take what came over the line; tell whether it is still open."""
        piece, files, _, _ = socket.recv_fds(self._line, _MAX_LINE, 16)
        self._files += files
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "stop" in request:
                self._stop(request["stop"])
            else:
                self._start(request, self._files[:2])
                del self._files[:2]
        return bool(piece)

    def reap(self) -> None:
        """Tell how readers ended that have ended."""
        while self._readers:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            number = self._readers.pop(process, None)
            if number is not None:
                with suppress(ProcessLookupError):
                    os.killpg(process, signal.SIGKILL)  # whatever it has started
                self._line.sendall(json.dumps([number, status]).encode() + b"\n")

    def stop_all(self) -> None:
        for number in list(self._readers.values()):
            self._stop(number)

    def _stop(self, number: int) -> None:
        for process, its_number in self._readers.items():
            if its_number == number:
                os.killpg(process, signal.SIGKILL)

    def _start(self, request: dict[str, Any], files: list[int]) -> None:
        host, process = os.getpid(), os.fork()
        if process == 0:
            _read(request, files, self._limits, host)
        for file in files:
            os.close(file)
        os.setpgid(process, process)  # as the reader does itself: whoever comes first
        self._readers[process] = request["number"]


def _read(request: dict[str, Any], files: list[int], limits: dict[str, Any], host: int) -> None:
    """Be the reader of one file, and end."""
    ending = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        die_with_parent(host)
        os.setpgid(0, 0)
        _let_go_of_all_but(files)
        _confine(limits)
        with os.fdopen(files[0], "rb") as content, os.fdopen(files[1], "w", encoding="utf-8") as found:
            for fields in _answer(content.read(), request):
                found.write(json.dumps(fields, ensure_ascii=False) + "\n")
        ending = 0
    except MemoryError:
        os.kill(os.getpid(), signal.SIGABRT)
    finally:
        os._exit(ending)


def _let_go_of_all_but(files: list[int]) -> None:
    """Close what the host has open: its line, over which other files come."""
    low = 3
    for file in sorted(files):
        os.closerange(low, file)
        low = file + 1
    os.closerange(low, _MAX_HOST_FILES)


def _answer(content: bytes, request: dict[str, Any]) -> list[Any]:
    strategy: Strategy = {"Auto": Auto, "Static": Static}[request["kind"]](**request["sizes"])
    try:
        document = parse(content, request["filename"])
        tokens = count(document.text)
        if tokens > MAX_TOKENS:
            raise Unreadable(
                "invalid_file", f"The file has {tokens:,} tokens of text; at most {MAX_TOKENS:,} are taken. Split it."
            )
        found = chunks(document, strategy)
    except Unreadable as refusal:
        return [("refusal", refusal.code, refusal.message)]
    return [("piece", piece.text, piece.start, piece.end, piece.page, piece.heading, piece.tokens) for piece in found]


def _confine(limits: dict[str, Any]) -> None:
    """Take from this process what reading a file does not need."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)  # no network; in a jail that is refused, and there is none
    for what, most in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_CPU, limits["cpu_s"]),
        (resource.RLIMIT_FSIZE, limits["result_bytes"]),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    if os.environ.get(_JAILED):
        resource.setrlimit(resource.RLIMIT_NPROC, (_PROCESSES, _PROCESSES))


if __name__ == "__main__":
    main()
