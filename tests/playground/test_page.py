"""The page's files as they are served: open to all, and nothing but them; whole, pinned and licensed."""

import re
import tomllib
from pathlib import Path

import httpx2
import pytest
from tests.conftest import MakeServer
from tests.harness.server import Server
from tests.playground.conftest import KEY

from understudy.playground import page

ROOT = Path(__file__).parents[2]
VENDOR = page.STATIC / "vendor"


def test_the_page_is_served_to_who_has_no_key_and_the_api_is_not(keyed: Server) -> None:
    for path in sorted(page.paths()):
        answer = httpx2.get(keyed.url + path)
        assert answer.status_code == 200, path
        assert answer.headers["content-security-policy"] == page.POLICY
        assert answer.content, path
    for path in ("/v1/assistants", "/playground", "/playground/", "/playground/nothing.js", "/index.html"):
        assert httpx2.get(keyed.url + path).status_code == 401, path


@pytest.mark.parametrize(
    "path",
    [
        "/playground/../page.py",
        "/playground/%2e%2e/page.py",
        "/playground/..%2fpage.py",
        "/playground//etc/passwd",
        "/playground/app.js/../../page.py",
        "/playground/vendor/../../page.py",
        "/playground/app.js%00.css",
    ],
)
def test_nothing_beside_the_folder_is_served(keyed: Server, path: str) -> None:
    for headers in ({}, {"authorization": f"Bearer {KEY}"}):
        with httpx2.Client() as client:
            answer = client.get(httpx2.URL(keyed.url).copy_with(raw_path=path.encode()), headers=headers)
        assert answer.status_code in (401, 404), path
        assert answer.json()["error"]["message"]
        assert "POLICY" not in answer.text


def test_unchanged_files_are_not_sent_again(keyed: Server) -> None:
    first = httpx2.get(keyed.url + "/playground/app.js")
    again = httpx2.get(keyed.url + "/playground/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"


def test_it_can_be_switched_off(make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_PLAYGROUND="false")
    for path in ("/", "/playground/app.js"):
        assert httpx2.get(server.url + path).status_code == 401
        assert httpx2.get(server.url + path, headers={"authorization": "Bearer x"}).status_code == 404


def test_it_works_below_a_path(make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_ROOT_PATH="/assistants")
    text = httpx2.get(server.url + "/assistants/").text
    for found in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert not found.startswith("/")
        assert httpx2.get(f"{server.url}/assistants/{found}").status_code == 200, found


def test_a_foreign_page_may_not_have_it_either(make_server: MakeServer) -> None:
    """A server without keys is closed to other sites, its page included."""
    url = make_server().url + "/"
    assert httpx2.get(url).status_code == 200
    assert httpx2.get(url, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert httpx2.get(url, headers={"host": "evil.test"}).status_code == 403


def test_every_module_that_is_imported_is_there() -> None:
    static = r'(?:^|[;}\s])(?:import|export)[^;"\']*?from\s*"([^"]+)"'
    for file in page.STATIC.rglob("*.js"):
        text = file.read_text(encoding="utf-8")
        found = re.findall(static, text) + re.findall(r'import\("([^"]+)"\)', text)
        for goal in found:
            assert goal.startswith("."), f"{file.name} imports {goal}: bare names need an import map"
            assert (file.parent / goal).is_file(), f"{file.name} imports {goal}"


def test_what_is_vendored_is_listed_licensed_and_named() -> None:
    table = tomllib.loads((ROOT / "requirements" / "vendored.toml").read_text())
    listed = {goal for package in table.values() for goal in package["files"].values()}
    assert {file.relative_to(VENDOR).as_posix() for file in VENDOR.rglob("*.js")} == listed
    notice = (ROOT / "NOTICE").read_text()
    for name, package in table.items():
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package["integrity"]), name
        assert (VENDOR / f"{name.removeprefix('@').replace('/', '-')}.LICENSE").read_text().strip()
        assert name.removeprefix("@highlightjs/").replace("cdn-assets", "highlight.js").lower() in notice.lower(), name


def test_no_module_of_ours_parses_html_or_evaluates() -> None:
    """The sanitiser is the only one that may; the policy would stop the others, and this says where they are."""
    parsing = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "srcdoc", "eval(", "new Function")
    for file in page.STATIC.glob("*.js"):
        text = re.sub(r"(?m)//.*$", "", file.read_text(encoding="utf-8"))
        for word in parsing:
            assert word not in text, f"{file.name}: {word}"
        assert "localStorage" not in text or file.name == "app.js", "only the theme is kept"
