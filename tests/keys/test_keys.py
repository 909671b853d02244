"""Who is let in: keys of the database and of the settings, made and revoked beside the running server."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import httpx2
import openai
import pytest
from tests.conftest import MakeServer
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire
from tests.keys.keys import make_key, revoke_key

NOTICED_S = 2.0
GIVEN = "given-by-the-settings-1"
ADMIN = "given-for-the-admin-2"
NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY)."
)


@pytest.fixture(scope="module")
def server(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    given = {"UNDERSTUDY_API_KEY": GIVEN, "UNDERSTUDY_ADMIN_KEY": ADMIN}
    server = Server(tmp_path_factory.mktemp("keys") / "data", _upstream.url, given).start()
    yield server
    server.stop()


def ask(server: Server, path: str = "/v1/assistants", **headers: str) -> httpx2.Response:
    return httpx2.get(server.url + path, headers=headers)


def bearer(server: Server, key: str) -> httpx2.Response:
    return ask(server, authorization=f"Bearer {key}")


def within(seconds: float, check: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.05)


def refusal(response: httpx2.Response) -> tuple[int, str, str | None]:
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert response.headers["x-request-id"]
    return response.status_code, response.json()["error"]["message"], response.json()["error"]["code"]


def command(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UNDERSTUDY_")}
    return subprocess.run(
        [sys.executable, "-m", "understudy", "keys", *arguments, "--data-dir", str(folder)],
        env=kept,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": f"Basic {GIVEN}"}]
)
def test_without_a_key_nothing_is_told(server: Server, headers: Mapping[str, str]) -> None:
    assert refusal(ask(server, **headers)) == (401, NO_KEY, None)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("test-key", "test-key"),
        ("fake_api_key", "fake_api_key"),
        ("test-openai-key", "test-ope***-key"),
        ("sk-4yNZz" + "x" * 39 + "6mjw", "sk-4yNZz" + "*" * 39 + "6mjw"),
    ],
)
def test_a_wrong_key_is_masked_as_the_hosted_api_masks(server: Server, key: str, shown: str) -> None:
    """Its 401s in public reports: keys of up to twelve characters whole, of others the first eight and last four."""
    said = f"Incorrect API key provided: {shown}. You can find your API key at "
    assert refusal(bearer(server, key)) == (
        401,
        said + "https://platform.openai.com/account/api-keys.",
        "invalid_api_key",
    )


@pytest.mark.parametrize(
    "path", ["/v1/assistants", "/v1/no/such/path", "//v1/assistants", "/V1/assistants", "/docs", "/metrics"]
)
def test_every_path_is_closed(server: Server, path: str) -> None:
    assert ask(server, path).status_code == 401


def test_a_body_is_not_read_before_the_key_is_known(server: Server) -> None:
    """Who has no key cannot make the server hold a body: the answer comes while it is still being sent."""

    def endless() -> object:
        yield b"{"
        time.sleep(1.0)
        yield b"}"

    begun = time.monotonic()
    with httpx2.stream("POST", server.url + "/v1/threads", content=endless()) as response:
        assert response.status_code == 401
        assert time.monotonic() - begun < 5


def test_keys_of_the_settings(server: Server) -> None:
    for key in (GIVEN, ADMIN):
        assert bearer(server, key).status_code == 200
        assert ask(server, authorization=f"bearer  {key}").status_code == 200
    assert bearer(server, GIVEN + "x").status_code == 401
    strange = httpx2.get(server.url + "/v1/models", headers={"authorization": "Bearer kéy".encode("latin-1")})
    assert refusal(strange)[1].startswith("Incorrect API key provided: kéy.")


def test_the_sdk_sees_its_own_errors(server: Server) -> None:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="sk-wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided: sk-wrong"):
            client.beta.assistants.list()
        assert client.with_options(api_key=GIVEN).beta.assistants.list().data == []


def test_health_tells_strangers_only_whether_it_is_well(server: Server) -> None:
    assert ask(server, "/health").json() == {"status": "ok"}
    assert ask(server, "/health", authorization="Bearer wrong-key-of-a-stranger").json() == {"status": "ok"}
    assert set(ask(server, "/health", authorization=f"Bearer {GIVEN}").json()) == {"status", "version", "parts"}


def test_a_key_made_beside_the_server_closes_it_and_opens_it(make_server: MakeServer) -> None:
    server = make_server()
    assert bearer(server, "any").status_code == 200
    made = command(server.data_dir, "create", "--project", "acme", "--name", "the app")
    key = made.stdout.strip()
    assert made.returncode == 0
    assert key.startswith("sk-understudy-")
    assert len(key) == len("sk-understudy-") + 43  # 256 bits
    within(NOTICED_S, lambda: bearer(server, "any").status_code == 401)
    assert bearer(server, key).status_code == 200
    key_id = made.stderr.split()[1]
    assert command(server.data_dir, "revoke", key_id).returncode == 0
    within(NOTICED_S, lambda: bearer(server, key).status_code == 401)
    assert bearer(server, "any").status_code == 401, "a server whose last key is revoked must not stand open"


def test_the_list_shows_what_a_key_is_for_and_never_the_key(make_server: MakeServer) -> None:
    server = make_server()
    made = command(server.data_dir, "create", "--project", "acme", "--name", "app", "--tokens-per-day", "1000").stdout
    key_id, admin = make_key(server, admin=True)
    revoke_key(server, key_id)
    within(NOTICED_S, lambda: bearer(server, "any").status_code == 401)
    assert bearer(server, made.strip()).status_code == 200
    table = command(server.data_dir, "list").stdout
    head, *rows = table.splitlines()
    first, second = sorted(rows, key=lambda row: "revoked" in row)
    assert head.split() == ["ID", "PROJECT", "NAME", "MADE", "LAST", "USED", "STATE"]
    assert first.split()[1:3] == ["acme", "app"]
    assert "never" not in first
    assert first.endswith("1000 tokens/day")
    assert "never" in second
    assert second.endswith("revoked, admin")
    assert made.strip() not in table
    assert admin not in table


def test_the_database_has_no_key_in_it(make_server: MakeServer) -> None:
    server = make_server()
    _, key = make_key(server)
    assert bearer(server, key).status_code == 200
    server.stop()
    for file in server.data_dir.iterdir():
        assert key.encode() not in file.read_bytes()
        assert key.removeprefix("sk-understudy-").encode() not in file.read_bytes()
    with closing(sqlite3.connect(server.data_dir / "understudy.sqlite3")) as connection:
        assert connection.execute("SELECT length(hash) FROM api_keys").fetchall() == [(64,)]
    assert key not in server.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["revoke", "key_none"], "there is no key 'key_none'; `understudy keys list` shows them"),
        (["create", "--project", "a b"], "project is 'a b' (from --project); allowed: up to 64 letters"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = command(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {said}")
    assert command(tmp_path, "create", "--runs-at-once", "0").returncode == 2


def test_an_admin_key_enters_the_project_that_a_header_names(server: Server) -> None:
    _, key = make_key(server, "acme")
    acme, admin, given = Wire(server.url, key), Wire(server.url, ADMIN), Wire(server.url, GIVEN)
    within(NOTICED_S, lambda: acme.get("/assistants").status_code == 200)
    theirs = acme.assistant()["id"]
    named = {"headers": {"OpenAI-Project": "acme"}}
    assert admin.get(f"/assistants/{theirs}").status_code == 404
    assert admin.get(f"/assistants/{theirs}", **named).status_code == 200
    assert given.get(f"/assistants/{theirs}", **named).status_code == 404, "only an admin may choose"
    strange = admin.get("/assistants", headers={"OpenAI-Project": "a b"})
    assert refusal(strange)[:2] == (
        400,
        "Invalid OpenAI-Project header: 'a b'. Give up to 64 letters, digits, dots, dashes and underscores, "
        "a letter or digit first.",
    )
    for wire in (acme, admin, given):
        wire.close()
