"""A real browser in front of a real server: Debian's Chromium, driven by playwright, which downloads none."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WAIT_MS = 15_000
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
_KNOWN = re.compile(r"Failed to load resource: the server responded with a status of (401|404)")

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
    server = Server(tmp_path_factory.mktemp("playground") / "data", _upstream.url).start()
    yield server
    server.close()


@pytest.fixture
def server(_page_server: Server, upstream: Upstream) -> Server:
    """Return the server that these tests share."""
    return _page_server


@pytest.fixture
def open_page(chromium: Any) -> Iterator[OpenPage]:
    """Open pages, each in a browser session of its own; none of them may break the policy or raise."""
    contexts: list[Any] = []
    troubles: list[str] = []

    def note(message: Any) -> None:
        if message.type in ("error", "warning") and not _KNOWN.match(message.text):
            troubles.append(message.text)

    def new(url: str, **options: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 760}, "locale": "en-US"} | options)
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(url)
        return page

    yield new
    for context in contexts:
        context.close()
    assert not troubles, "\n".join(troubles)


@pytest.fixture
def page(server: Server, open_page: OpenPage) -> Any:
    """Return a page at the playground."""
    return open_page(server.url + "/")


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
