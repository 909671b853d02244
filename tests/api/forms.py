"""Multipart bodies, put together by hand: as well-meant clients write them, and as nobody should."""

from collections.abc import Sequence

BOUNDARY = "b0undary"


def part(disposition: str, content: bytes | str = b"", *headers: str) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    lines = [f"Content-Disposition: {disposition}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


def field(name: str, value: str) -> bytes:
    return part(f'form-data; name="{name}"', value)


def file(content: bytes | str = b"hello", filename: str = "a.txt", name: str = "file") -> bytes:
    return part(f'form-data; name="{name}"; filename="{filename}"', content, "Content-Type: text/plain")


def body(*parts: bytes, boundary: str = BOUNDARY, end: bytes | None = None) -> bytes:
    mark = b"--" + boundary.encode()
    pieces = [mark + b"\r\n" + part + b"\r\n" for part in parts]
    return b"".join(pieces) + (mark + b"--\r\n" if end is None else end)


def headers(boundary: str = BOUNDARY) -> dict[str, str]:
    return {"content-type": f"multipart/form-data; boundary={boundary}"}


def usual(content: bytes | str = b"hello", filename: str = "a.txt", purpose: str = "vision") -> Sequence[bytes]:
    return [field("purpose", purpose), file(content, filename)]
