"""Forms as they come: every client's way of writing them, every way to cut them, and what cannot be read."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request
from tests.api import forms

from understudy.api.multipart import MAX_FIELD_BYTES, MAX_PARTS, Form
from understudy.errors import ApiError, InvalidRequest


async def taken(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def request(raw: bytes, content_type: str, cuts: list[int] | None = None, *, leaves: bool = False) -> Request:
    """A request whose body comes in pieces, cut at the given places; one who leaves does so before the end."""
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts or [])})
    pieces = [raw[a:b] for a, b in itertools.pairwise(places)] or [b""]
    messages: list[Any] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.disconnect"} if leaves else {"type": "http.request", "body": b""})

    async def receive() -> Any:
        return messages.pop(0)

    head = [(b"content-type", content_type.encode("latin-1"))] if content_type else []
    return Request({"type": "http", "headers": head, "method": "POST", "path": "/"}, receive)


async def read(raw: bytes, content_type: str | None = None, **options: Any) -> Form[bytes]:
    form = Form[bytes]("file")
    kind = forms.headers()["content-type"] if content_type is None else content_type
    await form.read(request(raw, kind, **options), taken)
    return form


async def refused(raw: bytes, content_type: str | None = None, **options: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        await read(raw, content_type, **options)
    return caught.value.message


CONTENTS = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from([b"\r\n--b0undary", b"\r\n--b0undar", b"\r\n", b"--", b"-", b"\r", b"\n", b"x"])).map(
        b"".join
    ),
).filter(lambda content: b"\r\n--b0undary" not in b"\r\n" + content)


@settings(max_examples=200)
@given(
    content=CONTENTS, value=st.text(max_size=50), cuts=st.lists(st.integers(0, 2_000), max_size=12), last=st.booleans()
)
async def test_what_goes_in_comes_out_however_it_is_cut(
    content: bytes, value: str, cuts: list[int], last: bool
) -> None:
    if b"\r\n--b0undary" in b"\r\n" + value.encode():
        return
    parts = [forms.field("purpose", value), forms.file(content)]
    form = await read(forms.body(*(parts if last else parts[::-1])), cuts=cuts)
    assert (form.file, form.filename, form.fields) == (content, "a.txt", {"purpose": value})


DISPOSITIONS = {
    'form-data; name="file"; filename="a.txt"': "a.txt",
    "form-data; name=file; filename=a.txt": "a.txt",
    "form-data; name=file; filename=images_dog_and_cat.png; filename*=utf-8''images_dog_and_cat.png": (
        "images_dog_and_cat.png"
    ),
    'form-data;name="file";filename="a b;c=d.txt"': "a b;c=d.txt",
    "FORM-DATA; NAME=file; FileName=a.txt": "a.txt",
    'form-data ; filename = "a.txt" ; name = "file"': "a.txt",
    'form-data; name="file"; filename="안녕.txt"': "안녕.txt",
    'form-data; name="file"; filename="x.txt"; filename*=UTF-8\'\'%EC%95%88%EB%85%95.txt': "안녕.txt",
    "form-data; name=\"file\"; filename*=utf-8'ko'%EC%95%88%EB%85%95.txt": "안녕.txt",
    'form-data; name="file"; filename="x.txt"; filename*=nonsense\'\'%EC': "x.txt",
    'form-data; name="file"; filename="x.txt"; filename*=%EC': "x.txt",
    'form-data; name="file"; filename="x.txt"; filename*=utf-8\'\'%FF%FE': "x.txt",
    'form-data; name="file"; filename="=?utf-8?B?7JWI64WVLnR4dA==?="': "안녕.txt",
    'form-data; name="file"; filename="=?utf-8?B?7JWI64W?="': "=?utf-8?B?7JWI64W?=",
    'form-data; name="file"; filename="=?nonsense?B?7JWI?="': "=?nonsense?B?7JWI?=",
    r'form-data; name="file"; filename="a \"b\" \\ c.txt"': r'a "b" \ c.txt',
    r'form-data; name="file"; filename="C:\dir\new.txt"': r"C:\dir\new.txt",
    'form-data; name="file"; filename="../../etc/passwd"': "../../etc/passwd",
    'form-data; name="file"; filename="%22quoted%22.txt"': "%22quoted%22.txt",
    'form-data; name="file"; filename=""': "",
    'form-data; name="file"': "file",
    'form-data; name="file"; filename="gpj.\u202eexe"': "gpj.\u202eexe",
    'form-data; name="file"; filename="a.txt"; filename="b.txt"': "a.txt",
}


@pytest.mark.parametrize("disposition", DISPOSITIONS)
async def test_every_way_to_write_a_name(disposition: str) -> None:
    form = await read(forms.body(forms.part(disposition, b"bytes")))
    assert (form.filename, form.file) == (DISPOSITIONS[disposition], b"bytes")


async def test_a_name_that_is_no_utf_8_is_read_as_latin_1() -> None:
    raw = forms.body(forms.part('form-data; name="file"; filename="NAME"', b"x")).replace(b"NAME", b"caf\xe9.txt")
    assert (await read(raw)).filename == "café.txt"


@pytest.mark.parametrize(
    "kind",
    [
        'multipart/form-data; boundary="b0undary"',
        "Multipart/Form-Data;charset=utf-8;BOUNDARY=b0undary",
        "multipart/form-data; boundary=b0undary; charset=utf-8",
    ],
)
async def test_every_way_to_name_a_boundary(kind: str) -> None:
    assert (await read(forms.body(*forms.usual()), kind)).file == b"hello"


async def test_a_boundary_with_signs_in_it() -> None:
    """As one of the recorded clients writes it."""
    boundary = "jm8Jp64qjCMdSe18PcsAPBCnQWH74ALl=CVuAKboeuPpkvZnozyxlIZAihYBrDdhJkeNo7"
    raw = forms.body(*forms.usual(), boundary=boundary)
    assert (await read(raw, f'multipart/form-data; boundary="{boundary}"')).file == b"hello"


async def test_what_stands_around_the_form_is_skipped() -> None:
    assert (await read(forms.body(*forms.usual()) + b"epilogue\r\n")).fields == {"purpose": "vision"}
    assert (await read(b"\r\n" + forms.body(*forms.usual()))).fields == {"purpose": "vision"}


async def test_an_empty_form_has_nothing() -> None:
    form = await read(b"--b0undary--\r\n")
    assert (form.file, form.fields) == (None, {})


WHOLE = forms.body(*forms.usual())


@pytest.mark.parametrize("length", range(0, len(WHOLE) - 4, 3))
async def test_what_is_cut_short_is_refused(length: int) -> None:
    for leaves in (False, True):
        text = await refused(WHOLE[:length], leaves=leaves)
        assert text.startswith("The multipart body ends before its last boundary"), text


UNREADABLE: dict[str, tuple[bytes, str | None, str]] = {
    "no content type": (WHOLE, "", "multipart/form-data, with the file as a part; its type is missing"),
    "another content type": (b"{}", "application/json", "its type is 'application/json'"),
    "no boundary": (WHOLE, "multipart/form-data", "must name a boundary"),
    "an empty boundary": (WHOLE, 'multipart/form-data; boundary=""', "must name a boundary"),
    "a boundary without end": (WHOLE, f"multipart/form-data; boundary={'b' * 5000}", "cannot be read: Boundary length"),
    "another boundary": (WHOLE, "multipart/form-data; boundary=other", "cannot be read"),
    "no form at all": (b"hello there", None, "cannot be read"),
    "no name": (forms.body(forms.part("form-data", b"x")), None, "has no name"),
    "no disposition": (b"--b0undary\r\nContent-Type: a\r\n\r\nx\r\n--b0undary--\r\n", None, "has no name"),
    "a header without a colon": (b"--b0undary\r\nnonsense\r\n\r\nx\r\n--b0undary--\r\n", None, "cannot be read"),
    "a header without end": (b"--b0undary\r\na: " + b"x" * 100_000, None, "cannot be read: Maximum header size"),
    "headers without end": (b"--b0undary\r\n" + b"a: b\r\n" * 10_000, None, "cannot be read: Maximum header count"),
    "two files": (forms.body(forms.file(), forms.file()), None, "There are two parts named 'file'"),
    "a field twice": (forms.body(forms.field("a", "1"), forms.field("a", "2")), None, "The field 'a' is given twice"),
    "a large field": (forms.body(forms.field("a", "x" * (MAX_FIELD_BYTES + 1))), None, "is larger than 65536 bytes"),
    "many parts": (
        forms.body(*(forms.field(str(number), "") for number in range(MAX_PARTS + 1))),
        None,
        "more than 64 parts",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_what_cannot_be_read_is_told(name: str) -> None:
    raw, kind, text = UNREADABLE[name]
    assert text in await refused(raw, kind)


async def test_the_digest_is_the_same_for_every_boundary_and_no_other_form() -> None:
    async def digest(*parts: bytes, boundary: str = "b0undary") -> bytes:
        kind = forms.headers(boundary)["content-type"]
        return (await read(forms.body(*parts, boundary=boundary), kind)).digest

    mine = await digest(*forms.usual())
    assert mine == await digest(*forms.usual(), boundary="another")
    others = [
        forms.usual(b"hellp"),
        forms.usual(filename="b.txt"),
        forms.usual(purpose="evals"),
        forms.usual()[1:],
        [*forms.usual(), forms.field("x", "")],
    ]
    assert mine not in [await digest(*parts) for parts in others]


async def test_what_breaks_after_the_file_leaves_it_to_its_owner() -> None:
    form = Form[bytes]("file")
    raw = forms.body(forms.file(), forms.field("a", "1"), end=b"")
    with pytest.raises(ApiError):
        await form.read(request(raw, forms.headers()["content-type"]), taken)
    assert form.file == b"hello"
    assert form.digest == b""


async def test_a_client_that_leaves_is_not_a_defect() -> None:
    async def receive() -> Any:
        raise ClientDisconnect

    asked = Request({"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=b")]}, receive)
    with pytest.raises(InvalidRequest, match="cut short"):
        await Form[bytes]("file").read(asked, taken)


@settings(max_examples=300)
@given(raw=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=4))
async def test_noise_is_refused_and_nothing_else(raw: bytes, cuts: list[int]) -> None:
    for prefix in (b"", b"--b0undary\r\n", b'--b0undary\r\nContent-Disposition: form-data; name="file"\r\n'):
        try:
            await read(prefix + raw, cuts=cuts)
        except InvalidRequest:
            continue
