"""Fetch pictures from addresses that clients give: off unless a setting wants it, and then never from a private one.

The name is resolved once and the connection goes to the very address that was checked, on every redirect anew: a name
that changes its mind in between (DNS rebinding) gains nothing.
"""

import asyncio
import base64
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from understudy.errors import UpstreamError

Address = IPv4Address | IPv6Address

MAX_BYTES = 20 * 1024 * 1024
MAX_REDIRECTS = 3
TIMEOUT_S = 20.0
_TRANSLATED = ip_network("64:ff9b::/96")  # IPv4 behind IPv6: the address inside may be a private one


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the open internet."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _TRANSLATED or address.sixtofour is not None or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


class ImageFetch:
    """Turns a picture's address into a `data:` URL. Raises UpstreamError (`invalid_prompt`) for all it refuses."""

    def __init__(self, *, allowed: Callable[[Address], bool] = is_public, max_bytes: int = MAX_BYTES) -> None:
        self._allowed = allowed
        self._max_bytes = max_bytes

    async def __call__(self, url: str) -> str:
        import httpx2

        async with asyncio.timeout(TIMEOUT_S), httpx2.AsyncClient(trust_env=False, timeout=TIMEOUT_S) as client:
            for _ in range(MAX_REDIRECTS + 1):
                found = await self._get(client, url)
                if not found.startswith("data:"):
                    url = urljoin(url, found)
                    continue
                return found
        raise _refusal("it redirects too often")

    async def _get(self, client: Any, url: str) -> str:
        """Return the picture as a `data:` URL, or the place that the server points to instead."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise _refusal("its address is not an http or https one")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = await self._resolve(parts.hostname, port)
        host = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
        pinned = SplitResult(parts.scheme, f"{host}:{port}", parts.path or "/", parts.query, "").geturl()
        headers = {"host": parts.netloc.rpartition("@")[2], "accept": "image/*"}
        hints = {"sni_hostname": parts.hostname}
        async with client.stream("GET", pinned, headers=headers, extensions=hints) as response:
            if response.is_redirect:
                return str(response.headers.get("location", ""))
            return await self._data_url(response)

    async def _resolve(self, name: str, port: int) -> Address:
        try:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except OSError:
            raise _refusal("its host is not known") from None
        addresses = [ip_address(entry[4][0]) for entry in found]
        if not addresses or not all(self._allowed(address) for address in addresses):
            raise _refusal("its host is not on the open internet")
        return addresses[0]

    async def _data_url(self, response: Any) -> str:
        kind = response.headers.get("content-type", "").split(";")[0].strip()
        if response.status_code != 200 or not kind.startswith("image/"):
            raise _refusal(f"its server answered with status {response.status_code} and type '{kind}'")
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self._max_bytes:
                raise _refusal(f"it is larger than {self._max_bytes} bytes")
        return f"data:{kind};base64,{base64.b64encode(bytes(body)).decode()}"


def _refusal(why: str) -> UpstreamError:
    return UpstreamError(f"A picture of this thread could not be fetched: {why}.", "invalid_prompt")
