"""A real browser in front of a real server: Debian's Chromium, driven by playwright, which downloads none."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WAIT_MS = 15_000
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
_KNOWN = re.compile(r"Failed to load resource: the server responded with a status of (401|404)")

SESSION: dict[str, Any] = {"viewport": {"width": 1200, "height": 760}, "locale": "en-US"}
KEY = "sk-for-the-page-itself"
ADMIN_KEY = "sk-for-all-of-the-projects"

OpenPage = Callable[..., Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say why, where there is no browser."""
    missing = pytest.mark.skip(reason="chromium is not installed (`make browser` does, as root)")
    for item in items:
        if CHROMIUM is None and "page" in getattr(item, "fixturenames", ()):
            item.add_marker(missing)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """Return the browser. It is not kept for the whole session: its driver's loop is in the way of async tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def _page_server(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"UNDERSTUDY_SANDBOX": "auto"}
    server = Server(tmp_path_factory.mktemp("playground") / "data", _upstream.url, settings).start()
    yield server
    server.close()
    assert "Traceback" not in server.stderr, server.stderr


@pytest.fixture(scope="package")
def _keyed_server(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"UNDERSTUDY_API_KEY": KEY, "UNDERSTUDY_ADMIN_KEY": ADMIN_KEY}
    server = Server(tmp_path_factory.mktemp("keyed") / "data", _upstream.url, settings).start()
    yield server
    server.close()


@pytest.fixture
def keyed(_keyed_server: Server, upstream: Upstream) -> Server:
    """Return the server with keys that these tests share; in the key's own project nothing is made."""
    return _keyed_server


@pytest.fixture
def server(_page_server: Server, upstream: Upstream) -> Server:
    """Return the server that these tests share."""
    return _page_server


@pytest.fixture(scope="package")
def _context(chromium: Any, _page_server: Server) -> Iterator[Any]:
    """Return the browser session that most tests share: what it has fetched and compiled once stays there."""
    context = chromium.new_context(**SESSION, base_url=_page_server.url)
    yield context
    context.close()


@pytest.fixture
def open_page(request: pytest.FixtureRequest, chromium: Any) -> Iterator[OpenPage]:
    """Open pages; none of them may break the policy or raise. With options each has a browser session of its own."""
    contexts: list[Any] = []
    pages: list[Any] = []
    troubles: list[str] = []

    def note(message: Any) -> None:
        if message.type in ("error", "warning") and not _KNOWN.match(message.text):
            troubles.append(message.text)

    def new(url: str | None = None, *, alone: bool = False, **options: Any) -> Any:
        context = request.getfixturevalue("_context")
        if alone or options:
            context = chromium.new_context(**SESSION | {"base_url": request.getfixturevalue("server").url} | options)
            contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        pages.append(page)
        page.on("console", note)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        if url:
            page.goto(url)
        return page

    yield new
    for closable in [*pages, *contexts]:
        closable.close()
    assert not troubles, "\n".join(troubles)


@pytest.fixture
def page(open_page: OpenPage) -> Any:
    """Return a page of the shared server's: it is empty until the test goes to where it wants, as to `/#/files`."""
    return open_page()


def visit(page: Any, place: str) -> None:
    """Go to a place of the page's, and wait until what it shows has come."""
    page.goto(f"/#/{place}")
    kind, _, one = place.partition("/")
    signs = {
        "": "[role=log]",
        "chat": ".message",
        "assistants": "form h2" if one else ".rows li",
        "threads": ".spans li" if one else ".rows li",
        "files": ".cards > .card + .card",
        "overview": ".health li",
    }
    page.locator(f"main .page {signs[kind]}").first.wait_for()
    expect(page.locator("main .card:empty, main .card:has(> h2:only-child)")).to_have_count(0, timeout=WAIT_MS)


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    wire = Wire(server.url)
    yield wire
    wire.calm()
    for assistant in wire.read("/assistants", limit=100)["data"]:
        wire.delete(f"/assistants/{assistant['id']}")
    wire.close()


@pytest.fixture
def shoot(request: pytest.FixtureRequest) -> Callable[[Any, str], None]:
    """Keep a picture in docs/images, where `UNDERSTUDY_SCREENSHOTS=1` asks for it."""
    import os

    folder = Path(__file__).parents[2] / "docs" / "images"

    def keep(page: Any, name: str) -> None:
        if os.environ.get("UNDERSTUDY_SCREENSHOTS"):
            folder.mkdir(exist_ok=True)
            page.screenshot(path=folder / f"{name}.png", animations="disabled", caret="hide")

    return keep
