"""The process that runs the code. `python -m understudy.sandbox.inside.worker FD`: FD is the connection to the server.

It limits itself before any code comes. Once some came, nothing that it says can be relied upon: the server does not.
"""

import io
import os
import resource
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any, NoReturn

from understudy.sandbox.inside import frames, outlet, rehearsal
from understudy.sandbox.inside.folder import Folder
from understudy.sandbox.inside.places import DATA, WRITABLE

_NICE = 5  # the server comes first
_IDLE_S = 2.0  # without a request: then there is time to tidy up
_FIRST_TO_DIE = "1000"  # should the machine run out of memory


class Worker:
    """Answers the server, one request after the other. The main thread runs the code, for signals go to that."""

    def __init__(self, connection: socket.socket, start: dict[str, Any]) -> None:
        """`start` is what the server said first: the limits, and whether to rehearse."""
        self._connection = connection
        self._process = os.getpid()
        self._folder = Folder(DATA)
        self._most_files: int = start["reported_files"]
        self._most_images: int = start["images"]
        self._largest_image: int = start["image"]
        self._images = 0
        self._sending = threading.Lock()
        self._output = os.dup(1)
        self._stdout = _text()
        self._shell: Any = None
        outlet.send_image = self._send_image

    def announce(self) -> None:
        """Say that this process is there: the kernel adds its id, and what comes along leads to the file systems."""
        places = [os.open(place, os.O_RDONLY | os.O_DIRECTORY) for place in WRITABLE]
        socket.send_fds(self._connection, [frames.pack({"is": "ready"})], places)
        for place in places:
            os.close(place)

    def prepare(self) -> None:
        """Do in advance what most code needs, until a request comes."""
        for step in (self._make_shell, *rehearsal.steps()):
            if frames.has_news(self._connection, 0):
                return
            with suppress(Exception):
                step()

    def serve(self) -> NoReturn:
        """Answer for ever. Raises EOFError when the server is gone."""
        while True:
            if not frames.has_news(self._connection, _IDLE_S):
                with suppress(Exception):
                    rehearsal.give_back()
            request, payload = frames.receive(self._connection)
            match request["do"]:
                case "run":
                    self._run(request["id"], request["code"])
                case "put":
                    self._put(request, payload)
                case "fetch":
                    self._fetch(request)

    # --- code -----------------------------------------------------------------------------------------------------

    def _run(self, call: int, code: str) -> None:
        self._images = 0
        succeeded = False
        try:
            self._mend()
            shell = self._make_shell()
            signal.signal(signal.SIGINT, signal.default_int_handler)  # it concerns the code and nothing of this
            try:
                succeeded = shell.run(code)
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
        except BaseException as problem:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # it may be the line above that was interrupted
            with suppress(Exception):
                print(f"{type(problem).__name__} {problem}".rstrip())
        if os.getpid() != self._process:  # the code has forked, and its child has come out here
            os._exit(0)
        files, more = self._folder.changed(self._most_files)
        with suppress(Exception):
            sys.stdout.flush()
        self._send({"is": "done", "id": call, "ok": succeeded, "files": files, "more": more})

    def _make_shell(self) -> Any:
        if self._shell is None:
            from understudy.sandbox.inside.shell import make

            self._shell = make()
        return self._shell

    def _mend(self) -> None:
        """Put right what an earlier cell may have changed: the output, where it is."""
        for descriptor in (1, 2):
            os.dup2(self._output, descriptor)
        if self._stdout.closed:
            self._stdout = _text()
        sys.stdout = sys.stderr = self._stdout
        try:
            os.getcwd()
        except OSError:
            os.chdir(DATA)

    def _send_image(self, content: bytes, mime: str) -> None:
        if os.getpid() != self._process:
            return
        self._images += 1
        if self._images > self._most_images or len(content) > self._largest_image:
            if self._images <= self._most_images + 1:
                print("[An image was left out: there are too many, or it is too large.]")
            return
        in_turn = threading.current_thread() is threading.main_thread()
        unmasked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # the wire knows no half frames
        try:
            with suppress(Exception):
                sys.stdout.flush()
            self._send({"is": "image", "mime": mime, "wait": in_turn}, content)
            if in_turn:  # what is printed next comes another way, and must not overtake it
                frames.receive(self._connection)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unmasked)

    # --- files ----------------------------------------------------------------------------------------------------

    def _put(self, request: dict[str, Any], payload: bytearray) -> None:
        problem = None
        try:
            self._folder.put(request["name"], request["also"], payload, first=request["first"])
        except OSError as error:
            problem = error.strerror or "it cannot be written"
        self._send({"is": "put", "problem": problem})

    def _fetch(self, request: dict[str, Any]) -> None:
        try:
            piece = self._folder.piece(request["name"], request["offset"], frames.PIECE)
        except (OSError, ValueError):
            self._send({"is": "missing"})
        else:
            self._send({"is": "piece"}, piece)

    def _send(self, message: dict[str, Any], payload: bytes = b"") -> None:
        with self._sending:
            frames.send(self._connection, message, payload)


def _text() -> io.TextIOWrapper:
    """Return the standard output, line by line; standard errors go the same way, so that their order is true."""
    raw = io.BufferedWriter(io.FileIO(1, "w", closefd=False))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _limit(limits: dict[str, int]) -> None:
    for name, most in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    os.nice(_NICE)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(_FIRST_TO_DIE)


def main() -> None:
    """Serve one server."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    sys.argv = [""]
    sys.modules["jedi"] = None  # type: ignore[assignment]  # IPython completes words with it: 10 MB for nobody here
    sys.path.append(DATA)
    try:
        start, _ = frames.receive(connection)
        _limit(start["limits"])
        worker = Worker(connection, start)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        worker.announce()
        if start["rehearse"]:
            worker.prepare()
        worker.serve()
    except (EOFError, OSError):
        os._exit(0)  # the server is gone


if __name__ == "__main__":
    main()
