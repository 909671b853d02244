"""A real browser visits a hostile page while a server without keys runs on the same machine."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import MakeServer
from tests.harness.server import Server
from tests.harness.wire import Wire
from tests.keys.hostile import CHROMIUM, SITE, WRITE, Browser, Site
from tests.keys.keys import make_key

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (`make browser` does, as root)")

KEPT = "kept by its owner"


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path / "profile")


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture
def server(make_server: MakeServer) -> Server:
    """Return a server without keys that holds one assistant."""
    server = make_server()
    wire = Wire(server.url)
    wire.assistant(name=KEPT)
    wire.close()
    return server


def names(server: Server, key: str = "any") -> list[str]:
    wire = Wire(server.url, key)
    found = [assistant["name"] for assistant in wire.read("/assistants")["data"]]
    wire.close()
    return found


def got(results: dict[str, str]) -> set[str]:
    """Which attempts got hold of anything."""
    return {name for name, result in results.items() if KEPT in result or "object" in result or "status" in result}


NOTHING = {
    "read": "TypeError",
    "read with a key": "TypeError",
    "write": "TypeError",
    "write as text": "TypeError",
    "write blindly": "",
    "write blindly with a key": "",
    "beacon": "true",  # means no more than: sent
    "image": "refused",
    "script": "refused",
    "script of health": "refused",
    "form": "unreadable",
}


def test_a_page_of_another_site_neither_reads_nor_changes_anything(
    server: Server, site: Site, browser: Browser
) -> None:
    site.aim(server.url, "any")
    assert site.visit(browser) == NOTHING
    assert names(server) == [KEPT]


def test_the_same_page_would_get_through_elsewhere(site: Site, browser: Browser) -> None:
    """Else the test above would show nothing: a server that takes all comes to see every attempt."""
    careless = Site()
    site.aim(f"http://127.0.0.1:{careless.port}", "any")
    results = site.visit(browser)
    careless.close()
    assert results["read with a key"] == results["write"] == results["write as text"] == "[]"
    assert results["script"] == "loaded"
    writes = [body for method, _, body in careless.seen if method == "POST"]
    assert [body.strip().replace("=", "") for body in writes] == [WRITE] * 6  # 4 fetches, the beacon, the form


def test_a_name_that_was_bound_anew_neither_reads_nor_changes_anything(server: Server, browser: Browser) -> None:
    rebound = Site(victim=server.url)
    rebound.aim(f"http://{SITE}:{rebound.port}", "any")
    results = rebound.visit(browser)
    rebound.close()
    assert got(results) == set(), results
    refusals = [results[name] for name in ("read", "read with a key", "write", "write as text", "form")]
    assert all("answers under a loopback name only" in said for said in refusals), results
    assert names(server) == [KEPT]


def test_the_same_name_would_get_through_with_a_key(server: Server, browser: Browser) -> None:
    """Else the test above would show nothing: to the browser, the rebound name is the page's own site."""
    _, key = make_key(server)
    server.stop()
    server.start()
    rebound = Site(victim=server.url)
    rebound.aim(f"http://{SITE}:{rebound.port}", key)
    results = rebound.visit(browser)
    rebound.close()
    assert got(results) == {"read with a key", "write"}, results
    assert names(server, key) == ["made by a page", KEPT]


def test_a_page_that_the_settings_name_may_come_in(make_server: MakeServer, site: Site, browser: Browser) -> None:
    server = make_server(UNDERSTUDY_CORS_ORIGINS=f"http://{SITE}:{site.port}")
    site.aim(server.url, "any")
    results = site.visit(browser)
    assert {"read with a key", "write"} <= got(results)
    assert names(server) == ["made by a page"], "without an Authorization header it may not either"


def test_a_person_who_types_the_address_is_answered(server: Server, browser: Browser) -> None:
    assert '"status":"ok"' in browser.dump(server.url + "/health")
    port = server.url.rsplit(":", 1)[1]
    assert "answers under a loopback name only" in browser.dump(f"http://{SITE}:{port}/health")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_person_at_the_command_line_is_answered_with_any_key(server: Server) -> None:
    command = ["curl", "--silent", "--noproxy", "*", "-H", "Authorization: Bearer any", server.url + "/v1/assistants"]
    assert KEPT in subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
