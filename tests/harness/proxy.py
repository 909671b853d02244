"""A TCP proxy that loses requests on their way in, or answers on their way back, as a test wants it."""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Fate = Literal["pass", "lose request", "lose answer"]
_PATIENCE_S = 30.0
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Head:
    """What a request is, as far as its first lines tell."""

    method: str
    path: str
    retry: int


class Proxy:
    """Stands before a server on a port of its own. `fate` decides on each request; one request per connection."""

    def __init__(self, server_url: str, fate: Callable[[Head], Fate]) -> None:
        self._server = (urlsplit(server_url).hostname, urlsplit(server_url).port)
        self._fate = fate
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.lost: list[tuple[Fate, Head]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(_PATIENCE_S)
        with client, contextlib.suppress(OSError):
            raw = _request(client)
            head = _head(raw)
            fate = self._fate(head)
            if fate == "lose request":
                self._lose(client, fate, head)
                return
            with socket.create_connection(self._server, _PATIENCE_S) as server:
                server.sendall(raw.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                answer = server.recv(65536)  # the server answers when it has committed
                if fate == "lose answer":
                    self._lose(client, fate, head)
                    return
                while answer:
                    client.sendall(answer)
                    answer = server.recv(65536)

    def _lose(self, client: socket.socket, fate: Fate, head: Head) -> None:
        self.lost.append((fate, head))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _request(client: socket.socket) -> bytes:
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += _more(client)
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", raw)
    end = raw.index(b"\r\n\r\n") + 4 + (int(length[1]) if length else 0)
    while len(raw) < end:
        raw += _more(client)
    return re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", raw, count=1)


def _more(client: socket.socket) -> bytes:
    received = client.recv(65536)
    if not received:
        raise ConnectionError("the client left")
    return received


def _head(raw: bytes) -> Head:
    method, path, _ = raw.split(b"\r\n", 1)[0].decode().split(" ")
    retry = re.search(rb"(?i)\r\nx-stainless-retry-count: *(\d+)", raw)
    return Head(method, path, int(retry[1]) if retry else 0)
