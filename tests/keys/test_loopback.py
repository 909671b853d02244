"""A server without keys is for the person at this machine; what a browser says of a page is believed."""

from collections.abc import Iterator

import httpx2
import openai
import pytest
from tests.conftest import MakeServer
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.keys.keys import make_key

ANY = {"authorization": "Bearer any"}
PAGE = "https://app.example.com"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}


@pytest.fixture(scope="module")
def server(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("loopback") / "data", _upstream.url).start()
    yield server
    server.stop()


def ask(server: Server, method: str = "GET", path: str = "/v1/assistants", **headers: str) -> httpx2.Response:
    return httpx2.request(method, server.url + path, headers=ANY | {k.replace("_", "-"): v for k, v in headers.items()})


def refused(response: httpx2.Response) -> str:
    assert response.status_code == 403
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}
    assert "access-control-allow-origin" not in response.headers
    return response.json()["error"]["message"]


@pytest.mark.parametrize("name", ["localhost", "LocalHost", "127.0.0.1", "127.8.9.10", "[::1]"])
@pytest.mark.parametrize("port", ["", ":8000", ":1"])
def test_loopback_names_are_served(server: Server, name: str, port: str) -> None:
    assert ask(server, host=name + port).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:8000",
        "localhost.evil.test",
        "127.0.0.1.evil.test",
        "localhost@evil.test",
        "localhost:80@evil.test",
        "127.0.0.1:80:evil.test",
        "[::1]evil.test",
        "[::1]:x",
        "10.0.0.1",
        "0.0.0.0",
        "0x7f000001",
        "2130706433",
        "localhost.",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/v1/assistants", "/health", "/openapi.json"])
def test_a_name_that_may_be_bound_anew_is_refused(server: Server, host: str, path: str) -> None:
    assert refused(ask(server, path=path, host=host)) == (
        f"This server has no keys, so it answers under a loopback name only, and {host!r} is none: use "
        "http://127.0.0.1 or http://localhost, or make a key with `understudy keys create`."
    )


@pytest.mark.parametrize(
    "origin",
    ["http://evil.test", "null", "http://localhost:3000", "file://", "http://127.0.0.1:1", "chrome-extension://x"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_a_foreign_origin_is_refused(server: Server, origin: str, method: str) -> None:
    said = refused(ask(server, method, origin=origin))
    assert (
        said
        == f"A web page of {origin!r} may not use this server: name its origin in UNDERSTUDY_CORS_ORIGINS to allow it."
    )


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_fetch_for_another_site_is_refused(server: Server, site: str) -> None:
    assert refused(ask(server, sec_fetch_site=site)).startswith("A web page of another site may not use this server")


def test_the_servers_own_pages_are_served(server: Server) -> None:
    assert ask(server, origin=server.url, sec_fetch_site="same-origin").status_code == 200
    assert ask(server, sec_fetch_site="none").status_code == 200


def test_any_authorization_is_needed_and_will_do(server: Server) -> None:
    for value in ("Bearer x", "Basic eDp5", "x"):
        assert ask(server, authorization=value).status_code == 200
    for headers in ({}, {"authorization": ""}):
        response = httpx2.get(server.url + "/v1/assistants", headers=headers)
        assert response.status_code == 401
        assert response.json()["error"]["message"] == (
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY). This server has no keys yet, so any value will do."
        )


def test_health_needs_no_key(server: Server) -> None:
    assert set(httpx2.get(server.url + "/health").json()) == {"status", "version", "parts"}


def test_the_sdk_works_with_any_key(server: Server) -> None:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="any", max_retries=0) as client:
        assert client.beta.assistants.list().data == []


def test_pages_that_the_settings_name_may_do_what_others_may(make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_CORS_ORIGINS=f"{PAGE}, http://localhost:3000")
    for origin in (PAGE, "http://localhost:3000"):
        asked = ask(server, "OPTIONS", origin=origin, sec_fetch_site="cross-site", **PREFLIGHT)
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == origin
        answered = ask(server, origin=origin, sec_fetch_site="cross-site")
        assert answered.status_code == 200
        assert answered.headers["access-control-allow-origin"] == origin
        assert "x-request-id" in answered.headers["access-control-expose-headers"]
    refused(ask(server, "OPTIONS", origin="http://evil.test", **PREFLIGHT))
    refused(ask(server, origin="http://evil.test"))
    refused(ask(server, origin=PAGE, host="evil.test"))


def test_with_keys_a_page_needs_one_and_reads_only_where_the_settings_name_it(make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_CORS_ORIGINS=PAGE)
    _, key = make_key(server)
    server.stop()
    server.start()
    for headers in ({"host": "api.example.com"}, {"origin": "http://evil.test"}, {"sec_fetch_site": "cross-site"}):
        assert ask(server, **headers).status_code == 401
        answered = ask(server, authorization=f"Bearer {key}", **headers)
        assert answered.status_code == 200
        assert "access-control-allow-origin" not in answered.headers
    wrong = ask(server, origin=PAGE)
    assert wrong.status_code == 401
    assert wrong.headers["access-control-allow-origin"] == PAGE, "a page is to read why it was refused"
    assert ask(server, "OPTIONS", origin=PAGE, **PREFLIGHT).status_code == 200
    refused(ask(server, "OPTIONS", origin="http://evil.test", **PREFLIGHT))
