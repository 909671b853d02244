"""Pictures are fetched from the open internet only; a server on loopback stands in for it, by permission."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest

from understudy.errors import UpstreamError
from understudy.inference.image_fetch import Address, ImageFetch, is_public

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100


class Pictures(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        port = self.server.server_address[1]
        hops = {
            "/away": f"http://127.0.0.2:{port}/png",
            "/here": "/png",
            "/round": "/round",
            "/file": "file:///etc/passwd",
        }
        if self.path in hops:
            self.send_response(302)
            self.send_header("location", hops[self.path])
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("content-type", "text/html" if self.path == "/html" else "image/png")
        self.end_headers()
        self.wfile.write(PNG)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output quiet."""


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pictures) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def only_here(address: Address) -> bool:
    return str(address) == "127.0.0.1"


async def test_a_picture_becomes_a_data_url(base: str) -> None:
    fetch = ImageFetch(allowed=only_here)
    assert (await fetch(f"{base}/png")).startswith("data:image/png;base64,iVBORw0KGgo")
    assert await fetch(f"{base}/here") == await fetch(f"{base}/png")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/away", "not on the open internet"),
        ("/round", "redirects too often"),
        ("/file", "not an http or https one"),
        ("/html", "type 'text/html'"),
    ],
)
async def test_what_is_refused_says_why(base: str, path: str, why: str) -> None:
    with pytest.raises(UpstreamError, match=why) as refused:
        await ImageFetch(allowed=only_here)(base + path)
    assert refused.value.code == "invalid_prompt"


async def test_a_large_picture_is_refused(base: str) -> None:
    with pytest.raises(UpstreamError, match="larger than 50 bytes"):
        await ImageFetch(allowed=only_here, max_bytes=50)(f"{base}/png")


async def test_loopback_is_refused_by_default(base: str) -> None:
    with pytest.raises(UpstreamError, match="not on the open internet"):
        await ImageFetch()(f"{base}/png")


PRIVATE = """
127.0.0.1 10.1.2.3 192.168.0.1 172.16.0.1 169.254.169.254 0.0.0.0 100.64.0.1 224.0.0.1
::1 ::ffff:10.0.0.1 fe80::1 fd00::1 64:ff9b::a00:1 2002:a00:1::
"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_private_addresses_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34"])
def test_addresses_of_the_open_internet_are_public(address: str) -> None:
    assert is_public(ip_address(address))
