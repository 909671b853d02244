"""Forms that are spoiled on their way: bytes lost, doubled, changed. Never a 500, and nothing is left behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api import forms
from tests.fuzz.test_mutations import QUICK, THOROUGH, check
from tests.harness.server import Server
from tests.harness.wire import Wire

WHOLE = forms.body(
    forms.field("expires_after[anchor]", "created_at"),
    forms.field("expires_after[seconds]", "3600"),
    *forms.usual(b"\r\n--\x00" * 30, "안녕.txt"),
)
PIECES = [
    b"",
    b"\r\n",
    b"\r",
    b"--",
    b"--b0undary",
    b"\r\n--b0undary--\r\n",
    b"\r\n--b0undary\r\n",
    b"Content-Disposition: form-data; name=purpose\r\n\r\n",
    b'"',
    b";",
    b"=",
    b"filename*=utf-8''%FF",
    b"filename*=utf-7''+2D0-",
    b"filename==?utf-7?Q?+2D0-?=",
    b"\x00",
    b"\xff",
    b": " * 3_000,
]
HEADERS = [
    "multipart/form-data; boundary=b0undary",
    'multipart/form-data; boundary="b0undary"',
    "multipart/form-data; boundary=b",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=\xff",
    "multipart/form-data",
    "multipart/mixed; boundary=b0undary",
    "application/json",
    ";;;=",
    "",
]


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    raw = WHOLE
    for _ in range(draw(st.integers(1, 3))):
        start, length = draw(st.integers(0, len(raw))), draw(st.sampled_from([0, 0, 1, 2, 20, 200]))
        raw = raw[:start] + draw(st.sampled_from(PIECES) | st.binary(max_size=6)) + raw[start + length :]
    return raw


@pytest.mark.parametrize("path", ["/files", "/uploads/upload_none/parts"])
def test_spoiled_forms(wire: Wire, path: str) -> None:
    @QUICK
    @given(raw=spoiled(), kind=st.sampled_from(HEADERS) | st.just(HEADERS[0]))
    def send(raw: bytes, kind: str) -> None:
        check(wire.http.post(path, content=raw, headers={"content-type": kind.encode("latin-1")}))

    send()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_spoiled_forms(wire: Wire) -> None:
    @THOROUGH
    @given(raw=spoiled())
    def send(raw: bytes) -> None:
        check(wire.http.post("/files", content=raw, headers=forms.headers()))

    send()


def test_what_is_refused_leaves_no_bytes(server: Server, wire: Wire) -> None:
    folder = server.data_dir / "files"
    wire.send_file("/files", "file", b"x", purpose="vision")
    before = {file.name for file in folder.iterdir()}
    for length in range(0, len(WHOLE) - 4, 7):
        answer = wire.http.post("/files", content=WHOLE[:length], headers=forms.headers())
        assert answer.status_code == 400, answer.text
    assert {file.name for file in folder.iterdir()} == before
