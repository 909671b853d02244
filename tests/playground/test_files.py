"""Files and vector stores, in a browser: uploads, ingestion, searches, citations, pictures."""

import struct
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.harness.replies import Call, Reply
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire
from tests.playground.conftest import OpenPage
from tests.playground.test_chat import say
from tests.playground.test_hostile import INSPECT, watch

HANDBOOK = """# Handbook

Employees have 27 days of holiday in a year. Unused days go over to March.

Seoul's office is open from nine to six; 부산 지사는 열 시에 엽니다.
"""
INDEX_MS = 60_000  # the first file waits for the embedder to start
EVIL = "<img src=x onerror=window.hacked=1>.md"


def picture() -> bytes:
    """A red PNG of 40 by 40."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 40, 40, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\xff\x20\x20" * 40) * 40
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def upload(wire: Wire, name: str, content: str) -> Json:
    answer = wire.http.post("/files", files={"file": (name, content.encode())}, data={"purpose": "assistants"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_files_are_uploaded_indexed_and_searched(
    page: Any, server: Server, wire: Wire, tmp_path: Path, shoot: Any
) -> None:
    (tmp_path / "handbook.md").write_text(HANDBOOK)
    (tmp_path / "empty.md").write_text("")
    page.goto("/#/files")
    page.get_by_label("Name of a new vector store").fill("사내 규정 Handbook")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("heading", name="사내 규정 Handbook").wait_for()
    page.locator("input[type=file]").set_input_files([tmp_path / "handbook.md", tmp_path / "empty.md"])
    good = page.locator(".file-rows li").filter(has_text="handbook.md")
    good.get_by_text("completed").wait_for(timeout=INDEX_MS)
    page.get_by_label("What are you looking for?").fill("how many days of holiday")
    page.keyboard.press("Enter")
    result = page.locator(".results li").first
    result.get_by_text("27 days of holiday").wait_for()
    assert 0 < float(result.locator(".score").inner_text()) <= 1
    shoot(page, "store")
    page.get_by_role("link", name="Back").click()
    rows = page.locator(".rows li").filter(has_text="사내 규정 Handbook")
    rows.first.wait_for()
    page.get_by_label("Search files").fill("handbook")
    expect(page.locator(".file-rows li").filter(has_text="handbook.md")).to_have_count(1)
    assert page.get_by_role("button", name="Download").count() == 0, "the API does not give it back"
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete handbook.md").click()
    expect(page.locator(".file-rows li").filter(has_text="handbook.md")).to_have_count(0)


def test_what_cannot_be_read_says_why(page: Any, server: Server, wire: Wire) -> None:
    store = wire.make("/vector_stores", {"name": "bad files"})
    file = upload(wire, "broken.pdf", "this is no PDF at all")
    wire.make(f"/vector_stores/{store['id']}/files", {"file_id": file["id"]})
    page.goto(f"/#/files/{store['id']}")
    row = page.locator(".file-rows li").filter(has_text="broken.pdf")
    row.get_by_text("failed").wait_for(timeout=INDEX_MS)
    assert row.locator(".problem").inner_text()


def librarian(wire: Wire, name: str) -> Json:
    """Make an assistant that knows the handbook, which goes by a name."""
    store = wire.make("/vector_stores", {"name": "Handbook"})
    wire.make(f"/vector_stores/{store['id']}/files", {"file_id": upload(wire, name, HANDBOOK)["id"]})
    until = time.monotonic() + INDEX_MS / 1000
    while wire.read(f"/vector_stores/{store['id']}")["status"] != "completed":
        assert time.monotonic() < until
        time.sleep(0.05)
    resources = {"file_search": {"vector_store_ids": [store["id"]]}}
    return wire.assistant(name="Librarian", tools=[{"type": "file_search"}], tool_resources=resources)


@pytest.mark.parametrize("name", ["handbook.md", EVIL], ids=["plain", "hostile"])
def test_a_citation_opens_the_passage_in_its_file(
    server: Server, wire: Wire, upstream: Upstream, open_page: OpenPage, shoot: Any, name: str
) -> None:
    """The file's name is told in results, citations and the passage's title."""
    librarian(wire, name)

    def cite(body: Any) -> Reply:
        mark = next(m["content"] for m in reversed(body["messages"]) if m["role"] == "tool")
        start = mark.index("【")
        return Reply(f"You have 27 days of holiday {mark[start : mark.index('】') + 1]}.")

    page = open_page(server.url + "/")
    seen = watch(page, server.url)
    upstream.script(Reply(calls=[Call("file_search", '{"query": "days of holiday"}')]))
    upstream.brain = cite
    say(page, "How much holiday do I have?")
    mark = page.locator(".citation")
    mark.wait_for()
    expect(page.locator(".ending")).to_be_visible()
    assert page.evaluate(INSPECT) == []
    mark.click()
    dialog = page.get_by_role("dialog")
    dialog.locator("mark, blockquote.passage").first.get_by_text("27 days").wait_for()
    assert name in dialog.get_by_role("heading").first.inner_text()
    assert page.evaluate(INSPECT) == []
    if name != EVIL:
        shoot(page, "citation")
    assert seen == []


def test_dropped_files_go_with_the_message(
    page: Any, server: Server, wire: Wire, upstream: Upstream, tmp_path: Path
) -> None:
    wire.assistant(name="Reader", tools=[{"type": "file_search"}])
    page.goto("/")
    page.get_by_label("Write a message").wait_for()
    page.evaluate(
        """([name, text, bytes]) => {
          const files = new DataTransfer();
          files.items.add(new File([text], name, {type: "text/markdown"}));
          files.items.add(new File([new Uint8Array(bytes)], "red.png", {type: "image/png"}));
          const drop = new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true});
          document.querySelector(".chat").dispatchEvent(drop);
        }""",
        [EVIL, HANDBOOK, list(picture())],
    )
    expect(page.locator(".composer .chip")).to_have_count(2)
    expect(page.locator(".composer progress")).to_have_count(0)
    upstream.script(Reply("Thank you."))
    say(page, "Here they are.")
    page.get_by_text("Thank you.").wait_for()
    page.locator(".message .chip").get_by_text(EVIL).wait_for()
    drawn = page.locator("img.picture")
    drawn.wait_for()
    assert drawn.evaluate("image => [image.naturalWidth, image.src.slice(0, 5)]") == [40, "blob:"]
    thread = page.url.split("/")[-1].split("?")[0]
    message = wire.read(f"/threads/{thread}/messages", order="asc")["data"][0]
    assert [part["type"] for part in message["content"]] == ["text", "image_file"]
    assert [tool["type"] for tool in message["attachments"][0]["tools"]] == ["file_search"]
    assert page.evaluate(INSPECT) == []


def test_a_file_that_is_no_picture_is_not_drawn(page: Any, server: Server, wire: Wire) -> None:
    """An SVG could hold scripts; only bytes that begin as a picture's do are shown, from memory."""
    answer = wire.http.post(
        "/files",
        files={"file": ("x.png", b"<svg xmlns='http://www.w3.org/2000/svg' onload='window.hacked=1'/>")},
        data={"purpose": "vision"},
    )
    if answer.status_code != 200:
        pytest.skip("the server itself refuses it")
    part = {"type": "image_file", "image_file": {"file_id": answer.json()["id"]}}
    thread = wire.make("/threads", {"messages": [{"role": "user", "content": [part]}]})
    page.goto(f"/#/chat/{thread['id']}")
    page.get_by_text("this is not a picture").wait_for()
    assert page.evaluate(INSPECT) == []


def test_what_a_tool_made_can_be_downloaded(page: Any, server: Server, wire: Wire) -> None:
    answer = wire.http.post("/files", files={"file": ("table.csv", b"a,b\n1,2\n")}, data={"purpose": "batch"})
    assert answer.status_code == 200, answer.text
    page.goto("/#/files")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download table.csv").first.click()
    assert Path(download.value.path()).read_text() == "a,b\n1,2\n"
    assert download.value.suggested_filename == "table.csv"


def test_code_and_its_results_are_drawn(page: Any, server: Server, wire: Wire, upstream: Upstream, shoot: Any) -> None:
    """The step is put into the API's answer: this is about what the page makes of it."""
    answer = wire.http.post("/files", files={"file": ("plot.png", picture())}, data={"purpose": "vision"})
    run = wire.settle(wire.assistant(name="Analyst"), wire.thread("Plot it."))
    code = "import statistics\nprint(statistics.mean([19, 21]))"
    logs = "20\n<img src=x onerror=window.hacked=1>"
    outputs = [{"type": "logs", "logs": logs}, {"type": "image", "image": {"file_id": answer.json()["id"]}}]

    def with_code(route: Any) -> None:
        body = route.fetch().json()
        call = {"id": "call_1", "type": "code_interpreter", "code_interpreter": {"input": code, "outputs": outputs}}
        details = {"type": "tool_calls", "tool_calls": [call]}
        body["data"].insert(0, {**body["data"][0], "id": "step_1", "type": "tool_calls", "step_details": details})
        route.fulfill(json=body)

    page.route("**/steps?*", with_code)
    page.goto(f"/#/chat/{run['thread_id']}")
    step = page.locator(".step")
    step.locator("pre code .hljs-keyword").get_by_text("import").wait_for()
    assert step.locator("pre.logs").inner_text() == logs
    step.locator("img.picture").wait_for()
    before = step.evaluate("node => node.compareDocumentPosition(document.querySelector('.of-assistant'))")
    assert before & 4, "the code stands before what was said of it"
    assert page.evaluate(INSPECT) == []
