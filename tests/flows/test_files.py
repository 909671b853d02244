"""Files and uploads with the official SDK, against the real server; and clients that are not the SDK."""

import hashlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest
from openai import OpenAI
from tests.api import forms
from tests.conftest import MakeServer
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire

PNG = b"\x89PNG\r\n\x1a\n" + bytes(5_000)


def test_a_file_with_the_sdk(client: OpenAI) -> None:
    made = client.files.create(file=("한국어 문서.txt", "안녕".encode()), purpose="assistants")
    assert (made.filename, made.bytes, made.status, made.object) == ("한국어 문서.txt", 6, "processed", "file")
    assert client.files.retrieve(made.id) == made
    assert made in list(client.files.list(purpose="assistants"))
    assert client.files.wait_for_processing(made.id, poll_interval=0.01) == made
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError, match=f"No such File object: {made.id}"):
        client.files.retrieve(made.id)


def test_the_ways_to_give_a_file(client: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "notes on 날씨.md"
    path.write_text("sunny")
    with path.open("rb") as opened:
        names = [client.files.create(file=file, purpose="vision").filename for file in (path, opened, b"bare bytes")]
    assert names == [path.name, path.name, "upload"]


def test_content_with_the_sdk(client: OpenAI) -> None:
    content = os.urandom(300_000)
    made = client.files.create(file=("a.png", content), purpose="vision")
    assert client.files.content(made.id).read() == content
    with client.files.with_streaming_response.content(made.id) as streamed:
        assert b"".join(streamed.iter_bytes(1000)) == content
    kept = client.files.create(file=b"secret", purpose="assistants")
    with pytest.raises(openai.BadRequestError, match="Not allowed to download files of purpose: assistants"):
        client.files.content(kept.id)


def test_an_expiry_with_the_sdk(client: OpenAI) -> None:
    made = client.files.create(
        file=b"soon gone", purpose="batch", expires_after={"anchor": "created_at", "seconds": 7200}
    )
    assert made.expires_at == made.created_at + 7200
    with pytest.raises(openai.BadRequestError, match="5 is less than the minimum of 3600") as caught:
        client.files.create(file=b"x", purpose="batch", expires_after={"anchor": "created_at", "seconds": 5})
    assert caught.value.param == "expires_after.seconds"


def test_a_list_pages_with_the_sdk(make_server: MakeServer) -> None:
    with OpenAI(base_url=make_server().url + "/v1", api_key="k") as client:
        made = [client.files.create(file=b"%d" % number, purpose="vision").id for number in range(7)]
        assert [file.id for file in client.files.list(limit=3)] == made[::-1]
        assert [file.id for file in client.files.list(limit=2, order="asc")] == made


def test_a_chunked_upload_with_the_sdk(client: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "큰 파일.bin"
    content = os.urandom(2_500_000)
    path.write_bytes(content)
    done = client.uploads.upload_file_chunked(
        file=path,
        mime_type="application/octet-stream",
        purpose="vision",
        part_size=1_000_000,
        md5=hashlib.md5(content).hexdigest(),
    )
    assert done.status == "completed"
    assert done.file is not None
    assert (done.file.filename, done.file.bytes) == ("큰 파일.bin", 2_500_000)
    assert client.files.content(done.file.id).read() == content
    with pytest.raises(openai.BadRequestError, match="The md5 checksum of the parts is"):
        client.uploads.upload_file_chunked(
            file=path, mime_type="text/plain", purpose="vision", part_size=1_000_000, md5="0" * 32
        )


def test_an_upload_by_hand_with_the_sdk(client: OpenAI) -> None:
    upload = client.uploads.create(filename="a.txt", purpose="assistants", bytes=6, mime_type="text/plain")
    parts = [client.uploads.parts.create(upload.id, data=data).id for data in (b"def", b"abc")]
    done = client.uploads.complete(upload.id, part_ids=parts[::-1])
    assert done.file is not None
    assert done.file.bytes == 6
    other = client.uploads.create(filename="a.txt", purpose="assistants", bytes=6, mime_type="text/plain")
    assert client.uploads.cancel(other.id).status == "cancelled"


def test_a_picture_reaches_a_model_that_takes_pictures(client: OpenAI, wire: Wire, upstream: Upstream) -> None:
    picture = client.files.create(file=("chart.png", PNG), purpose="vision")
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_file", "image_file": {"file_id": picture.id, "detail": "low"}},
    ]
    thread = wire.make("/threads", {"messages": [{"role": "user", "content": content}]})
    wire.settle(wire.assistant(), thread)
    [said] = [message for message in upstream.bodies[-1]["messages"] if message["role"] == "user"]
    assert said["content"][0] == {"type": "text", "text": "What is this?"}
    assert said["content"][1]["image_url"]["detail"] == "low"
    assert said["content"][1]["image_url"]["url"].startswith("data:image/png;base64,iVBORw0KGgo")
    client.files.delete(picture.id)
    wire.settle(wire.assistant(), thread)
    [said, *_] = [message for message in upstream.bodies[-1]["messages"] if message["role"] == "user"]
    assert said["content"][1]["text"] == "[A picture was attached here. It is not there any more.]"


def test_a_deleted_file_leaves_assistants_and_threads(client: OpenAI, wire: Wire) -> None:
    file = client.files.create(file=("a.csv", b"1,2"), purpose="assistants")
    mine = {"code_interpreter": {"file_ids": [file.id]}}
    assistant = wire.assistant(tool_resources=mine, tools=[{"type": "code_interpreter"}])
    attachment = {"file_id": file.id, "tools": [{"type": "code_interpreter"}]}
    message = {"role": "user", "content": "see", "attachments": [attachment]}
    thread = wire.make("/threads", {"messages": [message]})
    assert thread["tool_resources"]["code_interpreter"] == {"file_ids": [file.id]}
    client.files.delete(file.id)
    for path in (f"/assistants/{assistant['id']}", f"/threads/{thread['id']}"):
        assert wire.read(path)["tool_resources"]["code_interpreter"] == {"file_ids": []}


# --- clients that are not the SDK --------------------------------------------------------------------------------


@pytest.fixture
def connection(server: Server) -> Iterator[socket.socket]:
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=15) as connection:
        yield connection


def head(length: int | str, path: str = "/v1/files") -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "host: localhost",
        "authorization: Bearer k",
        f"content-type: {forms.headers()['content-type']}",
        f"content-length: {length}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def answered(connection: socket.socket) -> bytes:
    found = b""
    while b"\r\n\r\n" not in found or b"}" not in found:
        piece = connection.recv(65_536)
        if not piece:
            break
        found += piece
    return found


def test_a_body_byte_by_byte(connection: socket.socket) -> None:
    body = forms.body(*forms.usual())
    connection.sendall(head(len(body)))
    for place in range(len(body)):
        connection.sendall(body[place : place + 1])
    assert b'"bytes":5' in answered(connection)


def test_a_client_that_leaves_midway_leaves_nothing(server: Server, wire: Wire) -> None:
    place = urlsplit(server.url)
    before = folder(server)
    with socket.create_connection((place.hostname, place.port), timeout=15) as connection:
        body = forms.body(*forms.usual(b"x" * 3_000_000))
        connection.sendall(head(len(body)) + body[:2_000_000])
        deadline = time.monotonic() + 10
        while folder(server) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert folder(server) != before, "the bytes go to the folder as they come"
    deadline = time.monotonic() + 10
    while folder(server) != before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert folder(server) == before
    assert "Traceback" not in server.stderr


def folder(server: Server) -> set[str]:
    url = server.environment.get("UNDERSTUDY_FILES_URL")
    there = Path(urlsplit(url).path) if url else server.data_dir / "files"
    return {file.name for file in there.iterdir()} if there.exists() else set()


@pytest.mark.parametrize("length", [10, 100, 190])
def test_a_length_that_ends_in_the_midst_of_the_form(connection: socket.socket, length: int) -> None:
    connection.sendall(head(length) + forms.body(*forms.usual())[:length])
    answer = answered(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"cut short" in answer


def test_a_length_that_the_body_never_reaches(make_server: MakeServer) -> None:
    place = urlsplit(make_server(UNDERSTUDY_BODY_TIMEOUT_S="0.5").url)
    with socket.create_connection((place.hostname, place.port), timeout=15) as connection:
        body = forms.body(forms.file(b"x" * 10_000, name="file"))
        connection.sendall(head(len(body) + 5) + body)
        answer = answered(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not come within 0.5 s" in answer
    assert b"connection: close" in answer


def test_an_early_refusal_is_heard_by_a_client_that_goes_on_sending(connection: socket.socket) -> None:
    """The upload is not there, but the client has 20 MB to say before it listens."""
    body = forms.body(forms.file(b"x" * 20_000_000, name="data"))
    connection.sendall(head(len(body), "/v1/uploads/upload_none/parts") + body)
    answer = answered(connection)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"connection: close" in answer


def test_a_chunked_body(connection: socket.socket) -> None:
    body = forms.body(*forms.usual(b"z" * 10_000))
    lines = head(0).replace(b"content-length: 0", b"transfer-encoding: chunked")
    pieces = [body[place : place + 777] for place in range(0, len(body), 777)]
    connection.sendall(lines + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n")
    assert b'"bytes":10000' in answered(connection)
