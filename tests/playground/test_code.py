"""Code that a model writes, in a browser, over the real jail: the code, what it printed, its plot, the file it made."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.harness.jail import insist_on_jail
from tests.harness.replies import Call, Reply
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire
from tests.playground.conftest import WAIT_MS
from tests.playground.test_chat import say
from tests.playground.test_hostile import INSPECT

from understudy.playground.page import STATIC
from understudy.protocol.vector_stores import RETRIEVABLE

JAIL_MS = 90_000  # a jail takes its time to start on a busy machine
SALES = "month,sales\n1월,120\n2월,90\n3월,150\n"
ANALYSIS = """import matplotlib.pyplot as plt
import pandas as pd

sales = pd.read_csv("/mnt/data/sales.csv")
print("mean:", sales["sales"].mean())
sales.assign(share=sales["sales"] / sales["sales"].sum()).to_csv("/mnt/data/shares.csv", index=False)
sales.plot.bar(x="month", y="sales")
plt.show()
"""
ANSWER = "On average **120**. The chart is above, the shares are [in this file](sandbox:/mnt/data/shares.csv)."


def python(code: str) -> Reply:
    return Reply(calls=[Call("code_interpreter", json.dumps({"code": code}))])


@pytest.mark.timeout(240)
def test_code_runs_and_what_it_made_is_shown(
    page: Any, server: Server, wire: Wire, upstream: Upstream, tmp_path: Path, shoot: Any
) -> None:
    """From a file that is dropped to one that is downloaded, live and once more after a reload."""
    insist_on_jail(server)
    (tmp_path / "sales.csv").write_text(SALES)
    wire.assistant(name="Analyst", tools=[{"type": "code_interpreter"}])
    upstream.script(python(ANALYSIS), Reply(ANSWER))
    page.goto("/")
    page.get_by_label("Write a message").wait_for()
    page.locator(".composer input[type=file]").set_input_files(tmp_path / "sales.csv")
    expect(page.locator(".composer progress")).to_have_count(0)
    say(page, "What is the mean? Plot it, and give me the shares.")
    page.get_by_role("log").get_by_role("button", name="in this file").wait_for(timeout=JAIL_MS)
    page.locator(".ending").wait_for()
    for _ in range(2):
        step = page.locator(".step")
        step.locator("pre code .hljs-keyword").first.wait_for()
        assert step.locator("pre code").inner_text().strip() == ANALYSIS.strip()
        assert step.locator("pre.logs").inner_text().strip() == "mean: 120.0"
        plot = page.locator("img.picture").first
        plot.wait_for()
        expect(plot).to_have_js_property("complete", value=True)
        assert plot.evaluate("image => image.naturalWidth") > 100
        assert page.evaluate(INSPECT) == []
        with page.expect_download() as download:
            page.get_by_role("log").get_by_role("button", name="in this file").click()
        assert download.value.suggested_filename == "shares.csv"
        rows = Path(download.value.path()).read_text().splitlines()
        assert rows[0] == "month,sales,share"
        assert rows[1].startswith("1월,120,0.33")
        step.evaluate("node => node.scrollIntoView({block: 'start'})")
        shoot(page, "code")
        page.reload()


@pytest.mark.timeout(240)
def test_code_that_fails_says_so(page: Any, server: Server, wire: Wire, upstream: Upstream) -> None:
    insist_on_jail(server)
    wire.assistant(name="Analyst", tools=[{"type": "code_interpreter"}])
    upstream.script(python("print('<b>before</b>')\n1 / 0"), Reply("That did not work."))
    page.goto("/")
    say(page, "Divide.")
    page.get_by_text("That did not work.").wait_for(timeout=JAIL_MS)
    logs = page.locator(".step pre.logs")
    expect(logs).to_contain_text("<b>before</b>", timeout=WAIT_MS)
    expect(logs).to_contain_text("ZeroDivisionError")
    assert page.evaluate(INSPECT) == []


def test_what_cannot_be_searched_is_attached_for_code_alone(page: Any, wire: Wire, tmp_path: Path) -> None:
    wire.assistant(name="Analyst", tools=[{"type": "file_search"}, {"type": "code_interpreter"}])
    for name in ("photos.zip", "NOTES.MD"):
        (tmp_path / name).write_text("x")
    page.goto("/")
    page.get_by_label("Write a message").wait_for()
    page.locator(".composer input[type=file]").set_input_files([tmp_path / "photos.zip", tmp_path / "NOTES.MD"])
    expect(page.locator(".composer .chip")).to_have_count(2)
    expect(page.locator(".composer progress")).to_have_count(0)
    say(page, "Here they are.")
    page.locator(".message .chip").get_by_text("photos.zip").wait_for()
    thread = page.url.split("/")[-1].split("?")[0]
    [message] = wire.read(f"/threads/{thread}/messages", order="asc", limit=1)["data"]
    readers = {
        wire.read(f"/files/{one['file_id']}")["filename"]: [tool["type"] for tool in one["tools"]]
        for one in message["attachments"]
    }
    assert readers == {"photos.zip": ["code_interpreter"], "NOTES.MD": ["file_search", "code_interpreter"]}


def test_the_page_knows_what_can_be_searched() -> None:
    [kinds] = re.findall(r'SEARCHABLE = new Set\("([^"]+)"', (STATIC / "chat.js").read_text(encoding="utf-8"))
    assert kinds.split() == list(RETRIEVABLE)
