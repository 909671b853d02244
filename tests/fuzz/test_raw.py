"""What no well-meant client sends: bytes that are no JSON, headers, forms and positions out of order.

Whatever comes, the answer is a success or a plain 4xx error, it comes soon, and the server lives on.
"""

import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.test_mutations import QUICK, REQUESTS, check
from tests.fuzz.test_schemathesis import known_ids
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, run_path

SOON_S = 10.0
DEEP = 10_000
JSON = {"content-type": "application/json"}


def _deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def _with_parameters(parameters: bytes) -> bytes:
    function = b'{"name": "f", "parameters": ' + parameters + b"}"
    return b'{"model": "gpt-4o", "tools": [{"type": "function", "function": ' + function + b"}]}"


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "spaces": b" \n\t ",
    "null": b"null",
    "no object": b"[]",
    "a number": b"1",
    "truncated": b'{"model": "gpt-4o", "name": "a',
    "half an escape": b'{"name": "\\u12"}',
    "two values": b"{} {}",
    "trailing comma": b'{"name": "a",}',
    "single quotes": b"{'name': 'a'}",
    "NaN": b'{"temperature": NaN}',
    "Infinity": b'{"temperature": -Infinity}',
    "a huge number": b'{"temperature": 1e999999}',
    "a long number": b'{"temperature": ' + b"9" * 5000 + b"}",
    "a long negative number": b'{"max_prompt_tokens": -' + b"9" * 5000 + b"}",
    "deep arrays": b'{"metadata": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep arrays, open": b"[" * DEEP,
    "deep objects": b'{"metadata": ' + _deep(DEEP) + b"}",
    "deep parameters": _with_parameters(_deep(DEEP)),
    "less deep parameters": _with_parameters(_deep(190)),
    "infinite parameters": _with_parameters(b'{"default": 1e999, "minimum": -1e999}'),
    "deep schema": b'{"model": "gpt-4o", "response_format": {"type": "json_schema", "json_schema": '
    + b'{"name": "a", "schema": '
    + _deep(190)
    + b"}}}",
    "a lone surrogate": b'{"model": "gpt-4o", "name": "\\ud83d"}',
    "a lone surrogate in a key": b'{"model": "gpt-4o", "metadata": {"\\udc00": "a"}}',
    "surrogates the wrong way round": b'{"model": "gpt-4o", "name": "\\udc00\\ud83d"}',
    "NUL": b'{"model": "gpt-4o", "name": "a\\u0000b"}',
    "a raw NUL": b'{"model": "gpt-4o", "name": "a\x00b"}',
    "wrong UTF-8": b'{"model": "gpt-4o", "name": "\xff\xfe"}',
    "overlong UTF-8": b'{"model": "gpt-4o", "name": "\xc0\xaf"}',
    "UTF-16": '{"model": "gpt-4o"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"model": "gpt-4o"}',
    "a key twice": b'{"model": 1, "model": "gpt-4o", "name": "a", "name": "b"}',
    "many keys": json.dumps({f"key{number}": 1 for number in range(20_000)}).encode(),
    "a wide array": b'{"messages": [' + b"{}," * 20_000 + b"{}]}",
    "a long string": b'{"model": "gpt-4o", "instructions": "' + b"a" * 2_000_000 + b'"}',
    "only bytes": bytes(range(256)),
    "__proto__": b'{"__proto__": {}, "model_fields_set": [], "self": 1, "__class__": "a"}',
}


@pytest.fixture(scope="module")
def places() -> dict[str, Json]:
    """Return a place for ids that a module's tests share."""
    return {}


@pytest.fixture
def ids(places: dict[str, Json], wire: Wire, upstream: Upstream) -> Json:
    if "ids" not in places:
        places["ids"] = known_ids(wire)
    return places["ids"]


@pytest.fixture(autouse=True)
def alive(server: Server) -> Iterator[None]:
    """Insist that the server answers after whatever was sent."""
    yield
    assert httpx2.get(server.url + "/health", timeout=SOON_S).status_code == 200


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_nobody_means(wire: Wire, ids: Json, name: str) -> None:
    for path in REQUESTS:
        check(wire.http.post(path.format(**ids), content=BODIES[name], headers=JSON, timeout=SOON_S))


def test_what_was_accepted_can_be_read_again(wire: Wire) -> None:
    """A string that cannot be stored or shown must not be taken in the first place."""
    for body in BODIES.values():
        answer = wire.http.post("/assistants", content=body, headers=JSON)
        if answer.status_code == 200:
            assert wire.read(f"/assistants/{answer.json()['id']}") == answer.json()
    listing = wire.get("/assistants", params={"limit": 100})
    assert listing.status_code == 200


def test_what_was_accepted_can_be_run(wire: Wire, upstream: Upstream) -> None:
    """Also what is strange about an assistant leads to a run that ends, and not on a defect of this server."""
    for name, body in BODIES.items():
        answer = wire.http.post("/assistants", content=body, headers=JSON)
        if answer.status_code == 200:
            ended = wire.settle(answer.json())
            assert ended["status"] in ("completed", "requires_action"), (name, ended["last_error"])


@pytest.mark.parametrize("path", ["/assistants", "/threads", "/threads/runs", "/threads/{thread_id}/messages"])
def test_any_bytes(wire: Wire, ids: Json, path: str) -> None:
    valid = json.dumps(REQUESTS[path]).encode()

    @QUICK
    @given(cut=st.integers(0, len(valid)), inserted=st.binary(max_size=8), dropped=st.integers(0, 8))
    def send(cut: int, inserted: bytes, dropped: int) -> None:
        content = valid[:cut] + inserted + valid[cut + dropped :]
        check(wire.http.post(path.format(**ids), content=content, headers=JSON, timeout=SOON_S))

    send()


# --- headers -----------------------------------------------------------------------------------------------------

NAMES = [
    "authorization",
    "openai-beta",
    "content-type",
    "accept",
    "accept-encoding",
    "idempotency-key",
    "x-stainless-retry-count",
    "x-stainless-poll-helper",
    "x-stainless-read-timeout",
    "last-event-id",
    "origin",
    "x-forwarded-for",
    "x-request-id",
    "openai-organization",
]
_STRANGE = [
    b"",
    b"\xff\xfe",
    "한국어".encode(),
    b"nan",
    b"inf",
    b"-1",
    b"1e309",
    b"9" * 400,
    b"a" * 8000,
    b"\t",
    b"'\";--",
]
VALUES = st.sampled_from(_STRANGE) | st.binary(max_size=30).map(
    lambda raw: bytes(b for b in raw if b >= 32 and b != 127)
)


def test_strange_headers(wire: Wire, ids: Json) -> None:
    @QUICK
    @given(headers=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5))
    def send(headers: dict[str, bytes]) -> None:
        given_headers = [(name.encode(), value.strip()) for name, value in headers.items()]
        for method, path in (("POST", "/threads"), ("GET", "/threads/{thread_id}/runs/{run_id}")):
            body = b"{}" if method == "POST" else None
            check(wire.http.request(method, path.format(**ids), content=body, headers=given_headers, timeout=SOON_S))

    send()


def raw(server: Server, request: bytes) -> bytes:
    """Send bytes over a socket; return the first bytes that come back, none if the server hung up."""
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), SOON_S) as connection:
        connection.sendall(request)
        try:
            return connection.recv(4096)
        except ConnectionError:
            return b""


LINES: dict[str, bytes] = {
    "many headers": b"".join(b"x-%d: a\r\n" % number for number in range(3000)),
    "one header often": b"x-a: a\r\n" * 3000,
    "a long header": b"x-a: " + b"a" * 200_000 + b"\r\n",
    "two lengths": b"content-length: 2\r\ncontent-length: 5\r\n",
    "a length and chunks": b"content-length: 2\r\ntransfer-encoding: chunked\r\n",
    "a negative length": b"content-length: -1\r\n",
    "a huge length": b"content-length: 99999999999999999999\r\n",
    "a length that is no number": b"content-length: a\r\n",
    "no colon": b"nonsense\r\n",
    "a name with spaces": b"x a: b\r\n",
    "a folded line": b"x-a: b\r\n c\r\n",
    "a NUL": b"x-a: \x00\r\n",
    "an unknown coding": b"transfer-encoding: gzip\r\n",
    "a bad upgrade": b"connection: upgrade\r\nupgrade: h2c\r\n",
    "expects": b"expect: 100-continue\r\ncontent-length: 2\r\n",
}


@pytest.mark.parametrize("name", LINES)
def test_requests_that_are_no_http(server: Server, name: str) -> None:
    request = b"POST /v1/threads HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer k\r\n" + LINES[name] + b"\r\n{}"
    try:
        answer = raw(server, request + b"\r\n")
    except TimeoutError:
        assert "length" in name, "the server waits for what was not announced"
        return
    assert not answer or not answer.startswith(b"HTTP/1.1 5"), answer


@pytest.mark.parametrize(
    "line", [b"GET", b"GET /v1/threads", b"\x16\x03\x01\x02\x00", b"GET /%00 HTTP/1.1", b"GET //// HTTP/9.9"]
)
def test_first_lines_that_are_none(server: Server, line: bytes) -> None:
    answer = raw(server, line + b"\r\nhost: a\r\nauthorization: Bearer k\r\n\r\n")
    assert not answer.startswith(b"HTTP/1.1 5"), answer


# --- forms -------------------------------------------------------------------------------------------------------

FORMS: dict[str, tuple[str, bytes]] = {
    "a form": (
        "multipart/form-data; boundary=x",
        b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\na\r\n--x--',
    ),
    "no boundary": ("multipart/form-data", b"--x--"),
    "an unfinished form": ("multipart/form-data; boundary=x", b"--x\r\ncontent-disposition: form-data"),
    "an endless boundary": ("multipart/form-data; boundary=" + "x" * 5000, b"--x"),
    "fields": ("application/x-www-form-urlencoded", b"model=gpt-4o&name=%ff"),
    "text": ("text/plain; charset=utf-16", b"{}"),
    "an unknown charset": ("application/json; charset=nonsense", b"{}"),
    "no type": ("", b"{}"),
    "a type that is none": (";;;/=", b"{}"),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_where_json_is_expected(wire: Wire, ids: Json, name: str) -> None:
    kind, content = FORMS[name]
    for path in REQUESTS:
        headers = {"content-type": kind}
        check(wire.http.post(path.format(**ids), content=content, headers=headers, timeout=SOON_S))


# --- positions ---------------------------------------------------------------------------------------------------


def follow(wire: Wire, run: Json, position: bytes) -> None:
    """Insist that the stream of a run that rests comes to its end."""
    headers = [(b"last-event-id", position)]
    with wire.http.stream("GET", f"{run_path(run)}/events", headers=headers, timeout=SOON_S) as response:
        assert response.status_code == 200
        assert response.read().endswith(b"event: done\ndata: [DONE]\n\n")


def test_positions_in_a_stream(wire: Wire) -> None:
    other = wire.stream(f"/threads/{wire.thread()['id']}/runs", {"assistant_id": wire.assistant()["id"]})
    body = {"assistant_id": wire.assistant()["id"]}
    events = wire.stream(f"/threads/{wire.thread()['id']}/runs", body)
    run = events[0].data
    attempt, _, number = str(events[-2].id).partition(".")
    known = [str(event.id) for event in (*events[:-1], *other[:-1])]
    near = [f"{attempt}.{int(number) + step}" for step in (-10_000, -1, 1, 10**20)]
    strange = [
        b"1",
        b".",
        b"1.",
        b".1",
        b"1.1.1",
        b"+1.1",
        b"1.-1",
        b"1e3.1",
        b"\xff.\xff",
        "１.１".encode(),
        b"9" * 5000,
    ]
    fixed = [text.encode() for text in known + near] + strange + [b"9" * 200 + b"." + b"9" * 200, b"1 . 1", b"0x1.1"]
    numbers = st.integers(-1, 2**70).map(str)

    @QUICK
    @given(position=st.sampled_from(fixed) | st.tuples(numbers, numbers).map(lambda two: ".".join(two).encode()))
    def read(position: bytes) -> None:
        follow(wire, run, position)

    read()


@pytest.mark.parametrize(
    "query", ["%", "%ff=%fe", "limit=%00", "limit[]=1", "limit=1&limit=2", "a" * 9000, "order=asc%0d%0a", "&&&==="]
)
def test_questions_that_are_none(wire: Wire, ids: Json, query: str) -> None:
    for path in ("/assistants", "/threads/{thread_id}/messages", "/threads/{thread_id}/runs/{run_id}/steps", "/models"):
        check(wire.http.get(path.format(**ids) + "?" + query, timeout=SOON_S))
