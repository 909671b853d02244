"""Bodies of multipart/form-data, read as they come: one file, streamed to where it is kept, and short fields.

Lenient where clients differ: quotes around names or none, names in raw UTF-8, RFC 5987's `filename*`, encoded words,
fields before or after the file. Strict where a file would come out other than it went in.
"""

import hashlib
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Any, Generic, TypeVar
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter
from fastapi.routing import APIRoute
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from starlette.requests import ClientDisconnect, Request
from starlette.types import Scope

from understudy.errors import InvalidRequest

T = TypeVar("T")

MAX_PARTS = 64
MAX_FIELD_BYTES = 64 * 1024
MAX_HEADER_BYTES = 32 * 1024  # for a name of 10 kB, which is refused in better words
CUT_SHORT = "The multipart body ends before its last boundary: it was cut short on its way, or not put together well."
_PARAMETER = re.compile(r""";\s*([A-Za-z0-9!#$&+.^_`|~*-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)""")
_ENCODED_WORDS = re.compile(r"(=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=\s*)+")


_FORM_DATA = "multipart/form-data"


def documented(schema: dict[str, Any]) -> dict[str, Any]:
    """Describe a route's form for the OpenAPI document; `takes_form` knows the route by it."""
    return {"requestBody": {"content": {_FORM_DATA: {"schema": schema}}, "required": True}}


def takes_form(routers: Sequence[APIRouter], prefix: str) -> Callable[[Scope], bool]:
    """Return what tells whether a request goes to a route that reads a form as it comes."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    paths = [route.path_regex for route in routes if _FORM_DATA in str(route.openapi_extra)]

    def tell(scope: Scope) -> bool:
        path: str = scope["path"]
        below = path.removeprefix(prefix)
        return scope["method"] == "POST" and below != path and any(regex.match(below) for regex in paths)

    return tell


@dataclass(frozen=True, slots=True)
class PartHead:
    """What a part says of itself; `filename` is None for a plain field."""

    name: str
    filename: str | None


@dataclass(slots=True)
class Form(Generic[T]):
    """A form as far as it was read. `file` is what became of its file, `filename` the name that came with it.

    `digest` is the same for each try of a request, whatever its boundaries; it is there when all was read.
    """

    file_field: str
    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    file: T | None = None
    digest: bytes = b""

    async def read(self, request: Request, take: Callable[[AsyncIterator[bytes]], Awaitable[T]]) -> None:
        """Read a request's body; the file's bytes go to `take` as they come.

        Raises InvalidRequest, and what `take` raises. A file that was taken by then is not taken back.
        """
        source, whole = _Source(request), hashlib.sha256()
        while (head := await source.next_part()) is not None:
            part = _Hashed(source.content())
            if head.name == self.file_field:
                await self._read_file(head, part, take)
            else:
                self._note(head, await _field_value(head, part))
            whole.update(_frame(head.name, head.filename or "") + part.digest())
        self.digest = whole.digest()

    async def _read_file(
        self, head: PartHead, part: "_Hashed", take: Callable[[AsyncIterator[bytes]], Awaitable[T]]
    ) -> None:
        if self.filename is not None:
            text = f"There are two parts named '{self.file_field}'; send one file at a time."
            raise InvalidRequest(text, param=self.file_field)
        self.filename = self.file_field if head.filename is None else head.filename
        self.file = await take(part.chunks())

    def _note(self, head: PartHead, value: str) -> None:
        if head.name in self.fields:
            raise InvalidRequest(f"The field '{head.name}' is given twice.", param=head.name)
        self.fields[head.name] = value


async def _field_value(head: PartHead, part: "_Hashed") -> str:
    content = bytearray()
    async for chunk in part.chunks():
        content += chunk
        if len(content) > MAX_FIELD_BYTES:
            text = f"The field '{head.name[:80]}' is larger than {MAX_FIELD_BYTES} bytes."
            raise InvalidRequest(text, param=head.name[:80])
    return _text(bytes(content))


def _frame(*texts: str) -> bytes:
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    return b"".join(len(part).to_bytes(8) + part for part in parts)


class _Hashed:
    """Chunks that are hashed as they pass."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._hash = hashlib.sha256()

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self._hash.update(chunk)
            yield chunk

    def digest(self) -> bytes:
        return self._hash.digest()


# --- from bytes to parts -----------------------------------------------------------------------------------------


_END_OF_PART = None


class _Source:
    """A body's parts, one after the other; each must be read to its end before the next."""

    def __init__(self, request: Request) -> None:
        """Raises InvalidRequest."""
        self._stream = request.stream()
        self._events: deque[PartHead | bytes | None] = deque()
        self._header, self._value = bytearray(), bytearray()
        self._headers: dict[str, str] = {}
        self._ended = False
        self._parts = 0
        boundary = _boundary(request.headers.get("content-type", ""))
        try:
            self._parser = MultipartParser(boundary, self._callbacks(), max_header_size=MAX_HEADER_BYTES)
        except FormParserError as problem:
            raise _unreadable(problem) from None

    async def next_part(self) -> PartHead | None:
        """Return what the next part says of itself; None at the end of the body."""
        if not await self._more():
            return None
        head = self._events.popleft()
        assert isinstance(head, PartHead)
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidRequest(f"The multipart body has more than {MAX_PARTS} parts.")
        return head

    async def content(self) -> AsyncIterator[bytes]:
        """Yield the present part's bytes."""
        while await self._more():
            event = self._events.popleft()
            if event is _END_OF_PART:
                return
            assert isinstance(event, bytes)
            yield event

    async def _more(self) -> bool:
        """Read on until there is an event; false at the end of the body, which must be where the form ends."""
        while not self._events:
            chunk = await self._next_chunk()
            if chunk is None:
                if not self._ended:
                    raise InvalidRequest(CUT_SHORT)
                return False
            if chunk and not self._ended:
                try:
                    self._parser.write(chunk)
                except FormParserError as problem:
                    raise _unreadable(problem) from None
        return True

    async def _next_chunk(self) -> bytes | None:
        try:
            return await anext(self._stream, None)
        except ClientDisconnect:
            raise InvalidRequest(CUT_SHORT) from None

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": lambda: self._events.append(_head(self._headers)),
            "on_part_data": lambda data, start, end: self._events.append(bytes(data[start:end])),
            "on_part_end": lambda: self._events.append(_END_OF_PART),
            "on_end": self._end,
        }

    def _end_header(self) -> None:
        self._headers[self._header.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._header.clear()
        self._value.clear()

    def _end(self) -> None:
        self._ended = True


def _unreadable(problem: FormParserError) -> InvalidRequest:
    return InvalidRequest(f"The multipart body cannot be read: {problem}.")


def _boundary(content_type: str) -> bytes:
    kind, parameters = content_type.split(";")[0].strip().lower(), _parameters(content_type)
    if kind != _FORM_DATA:
        got = f"'{kind[:80]}'" if kind else "missing"
        raise InvalidRequest(f"The request must be multipart/form-data, with the file as a part; its type is {got}.")
    if not parameters.get("boundary"):
        raise InvalidRequest("The request's content type, multipart/form-data, must name a boundary.")
    return parameters["boundary"].encode("latin-1", "replace")


# --- names -------------------------------------------------------------------------------------------------------


def _head(headers: dict[str, str]) -> PartHead:
    disposition = headers.get("content-disposition", "")
    given = _parameters(disposition)
    if "name" not in given:
        raise InvalidRequest("A part of the multipart body has no name in its Content-Disposition header.")
    return PartHead(_text(given["name"].encode("latin-1")), _filename(given))


def _parameters(header: str) -> dict[str, str]:
    """Read a header's parameters; quotes are optional, the first of a name counts. Text is still Latin-1."""
    found: dict[str, str] = {}
    for name, value in _PARAMETER.findall(header):
        found.setdefault(name.lower(), _unquoted(value.strip()))
    return found


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return re.sub(r'\\(["\\])', r"\1", value[1:-1])  # other backslashes are parts of names


def _filename(given: dict[str, str]) -> str | None:
    extended = _extended(given.get("filename*", ""))
    if extended is not None:
        return extended
    if "filename" not in given:
        return None
    name = _text(given["filename"].encode("latin-1"))
    return _decoded_words(name) if _ENCODED_WORDS.fullmatch(name) else name


def _extended(value: str) -> str | None:
    """Decode `UTF-8''%EC%95%88` (RFC 5987); None for what is not of that form."""
    charset, _, rest = value.partition("'")
    _, mark, encoded = rest.partition("'")
    try:
        return unquote_to_bytes(encoded).decode(charset) if mark else None
    except (LookupError, ValueError):
        return None


def _decoded_words(name: str) -> str:
    try:
        return str(make_header(decode_header(name)))
    except (LookupError, ValueError, HeaderParseError):
        return name


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
