"""The other pages, in a browser: assistants, threads with their timelines, the overview; keys, languages, widths."""

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import expect
from tests.harness.replies import Call, Refusal, Reply
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire, function_tool
from tests.playground.conftest import ADMIN_KEY, CHROMIUM, KEY, WAIT_MS, OpenPage, visit

WORDS = Path(__file__).parents[2] / "src/understudy/playground/static/words"
FUNCTION = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}


# --- assistants --------------------------------------------------------------------------------------------------


def save_by_key(page: Any) -> None:
    with page.expect_response(lambda answer: answer.request.method == "POST") as saved:
        page.keyboard.press("Control+s")
    assert saved.value.ok


def test_an_assistant_is_made_changed_doubled_and_deleted(page: Any, server: Server, wire: Wire, shoot: Any) -> None:
    page.goto("/#/assistants/new")
    form = page.get_by_role("form")
    expect(form.get_by_label("Name")).to_be_focused()
    form.get_by_label("Name").fill("날씨 봇")
    form.get_by_label("Model", exact=True).fill("gpt-4o")
    form.get_by_label("Instructions").fill("Answer in the user's language.")
    form.get_by_label("Code interpreter").check()
    form.get_by_role("button", name="Add a function").click()
    form.get_by_label("Schema of get_weather").fill(json.dumps(FUNCTION, indent=2))
    form.get_by_text("The schema is valid.").wait_for()
    shoot(page, "assistant")
    form.get_by_role("button", name="Save").click()
    page.get_by_role("status").get_by_text("Saved").wait_for()
    (made,) = wire.read("/assistants")["data"]
    assert (made["name"], made["model"], made["temperature"]) == ("날씨 봇", "gpt-4o", 1.0)
    assert [tool["type"] for tool in made["tools"]] == ["code_interpreter", "function"]
    assert made["tools"][1]["function"] | FUNCTION == made["tools"][1]["function"]

    form = page.get_by_role("form", name="날씨 봇")
    form.get_by_role("heading", name="날씨 봇").wait_for()
    form.get_by_role("spinbutton", name="Temperature").fill("0.2")
    form.get_by_label("Description").fill("Knows the weather")
    form.get_by_label("Response format").select_option("json_object")
    form.get_by_label("Up to 16 pairs").fill('{"team": "red"}')
    save_by_key(page)
    changed = wire.read(f"/assistants/{made['id']}")
    assert (changed["temperature"], changed["description"]) == (0.2, "Knows the weather")
    assert (changed["response_format"], changed["metadata"]) == ({"type": "json_object"}, {"team": "red"})
    assert (changed["instructions"], changed["tools"]) == (made["instructions"], made["tools"])

    form.get_by_role("spinbutton", name="Temperature").fill("1")
    save_by_key(page)
    changed = wire.read(f"/assistants/{made['id']}")
    assert changed["temperature"] == 1, "what was changed can be changed back"

    page.get_by_role("button", name="Duplicate").click()
    page.get_by_role("heading", name="Copy of 날씨 봇").wait_for()
    copied = next(one for one in wire.read("/assistants")["data"] if one["id"] != made["id"])
    same = {"instructions", "tools", "temperature", "metadata", "response_format", "model"}
    assert {name: copied[name] for name in same} == {name: changed[name] for name in same}

    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Copy of 날씨 봇").wait_for(state="detached")
    assert [one["id"] for one in wire.read("/assistants")["data"]] == [made["id"]]


def test_assistants_are_found_by_any_of_their_words(page: Any, server: Server, wire: Wire) -> None:
    wire.assistant(name="Weather", instructions="rain and sun")
    wire.assistant(name="Cook", metadata={"team": "kitchen"})
    page.goto("/#/assistants")
    search = page.get_by_label("Search assistants")
    for sought, found in [("sun", "Weather"), ("KITCHEN", "Cook"), ("gpt cook", "Cook")]:
        search.fill(sought)
        page.get_by_role("main").locator(".rows li").first.get_by_text(found).wait_for()
        expect(page.locator(".rows li")).to_have_count(1)
    search.fill("nobody")
    page.get_by_text("Nothing found").wait_for()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ('{"name": "f",}', "Line 1, column 14"),
        ('{\n "name": "f"\n "x": 1}', "Line 3, column 2"),
        ("[]", "Give an object"),
        ('{"name": "two words"}', '"name" needs 1 to 64'),
        ('{"type": "function", "function": {"name": "f"}}', 'Give only what is inside of "function"'),
        ('{"name": "f", "arguments": {}}', '"arguments" is unknown'),
        ('{"name": "f", "parameters": {"type": "objekt"}}', "At /type"),
        ('{"name": "f", "parameters": {"type": "string"}}', 'must be "object"'),
        ('{"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": 1}}}}', "At /properties/a/type"),
        ('{"name": "f", "parameters": {"type": "object", "required": ["a"]}}', '"a" is required, but not among'),
        (
            '{"name": "f", "strict": true, "parameters": {"type": "object", "properties": {}}}',
            'strict functions need "additionalProperties"',
        ),
        (json.dumps(FUNCTION), "The schema is valid."),
    ],
)
def test_schemas_are_checked_as_they_are_typed(schemas: Any, typed: str, told: str) -> None:
    box = schemas.get_by_role("textbox", name="Schema of")
    box.fill(typed)
    schemas.locator("details [role=status]").get_by_text(told).wait_for()
    save = expect(schemas.get_by_role("button", name="Save"))  # the two follow one another
    save.to_be_enabled() if "is valid" in told else save.to_be_disabled()


@pytest.fixture(scope="module")
def schemas(chromium: Any, _page_server: Server) -> Any:
    """Return a form with the editor of one function."""
    page = chromium.new_context(locale="en-US").new_page()
    page.goto(_page_server.url + "/#/assistants/new")
    page.get_by_role("form").get_by_label("Model", exact=True).fill("m")
    page.get_by_role("button", name="Add a function").click()
    yield page
    page.context.close()


# --- threads -----------------------------------------------------------------------------------------------------


def test_a_thread_is_found_and_its_runs_are_told(
    page: Any, server: Server, wire: Wire, upstream: Upstream, shoot: Any
) -> None:
    upstream.script(Reply("Let me look.", calls=[Call("weather", '{"city": "부산"}')]), Reply("맑고 21 °C입니다."))
    assistant = wire.assistant("weather", name="Weather", instructions="Be brief.")
    for number in range(3):
        wire.make("/threads", {"messages": [{"role": "user", "content": f"another thread {number}"}]})
    body = {"metadata": {"customer": "민수"}, "messages": [{"role": "user", "content": "부산 날씨는?"}]}
    thread = wire.make("/threads", body)
    run = wire.settle(assistant, thread)
    wire.submit(run, "21 °C, dry")
    wire.until(run, {"completed"})
    page.goto("/#/threads")
    search = page.get_by_label("Search: text, or key:value")
    for sought in ("날씨", "customer:민수", 'customer:"민수" 부산'):
        search.fill(sought)
        expect(page.locator(".rows li")).to_have_count(1)
        assert "부산 날씨는?" in page.locator(".rows li").inner_text()
    row = page.locator(".rows li")
    assert all(word in row.inner_text() for word in ("Weather", "completed", "customer: 민수", "60 tokens"))
    row.get_by_role("link").click()
    timeline = page.get_by_role("article", name=thread["id"])
    timeline.get_by_role("button", name="Model call 2").wait_for()
    spans = timeline.locator(".spans .cut").all_inner_texts()
    assert spans == ["queued", "Model call 1", "weather", "Model call 2"]
    expect(timeline.get_by_text(re.compile("first token .* m?s"))).to_have_count(2)
    shoot(page, "timeline")
    timeline.get_by_role("button", name="Model call 2").click()
    sent = page.get_by_role("dialog", name="What was sent to the model")
    sent.locator(".sent").nth(3).wait_for()
    texts = [" ".join(part.split("\n")) for part in sent.locator(".sent").all_inner_texts()]
    assert sent.locator(".sent .tag").all_inner_texts() == ["system", "user", "assistant", "tool"]
    assert "Be brief." in texts[0]
    assert 'weather({"city": "부산"})' in texts[2]
    assert "21 °C, dry" in texts[3]
    assert "20" in sent.get_by_text("Prompt tokens").locator("..").inner_text()
    shoot(page, "prompt")
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Messages").click()
    page.get_by_role("article", name="Assistant").last.get_by_text("맑고 21 °C입니다.").wait_for()
    page.get_by_role("link", name="Continue").click()
    page.get_by_role("log").get_by_text("맑고 21 °C입니다.").wait_for()


def test_a_thread_is_exported_and_deleted(page: Any, server: Server, wire: Wire) -> None:
    thread = wire.thread("keep me")
    wire.settle(wire.assistant(), thread)
    page.goto(f"/#/threads/{thread['id']}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    exported = json.loads(Path(download.value.path()).read_text())
    assert [m["content"][0]["text"]["value"] for m in exported["messages"]] == ["keep me", "You said: keep me"]
    assert exported["runs"][0]["steps"][0]["type"] == "message_creation"
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("status").get_by_text("Deleted").wait_for()
    assert wire.get(f"/threads/{thread['id']}").status_code == 404


def test_long_lists_go_on(page: Any, server: Server, wire: Wire) -> None:
    for number in range(45):
        wire.make("/threads", {"metadata": {"pile": "long", "n": str(number)}})
    page.goto("/#/threads")
    page.get_by_label("Search: text, or key:value").fill("pile:long")
    expect(page.locator(".rows li").filter(has_text="pile: long")).to_have_count(40)
    page.get_by_role("button", name="More").click()
    expect(page.locator(".rows li").filter(has_text="pile: long")).to_have_count(45)


# --- overview ----------------------------------------------------------------------------------------------------


def test_the_overview_adds_up(open_page: OpenPage, make_server: Any, upstream: Upstream, shoot: Any) -> None:
    server = make_server()
    wire = server.wire()
    assistant = wire.assistant(name="Echo")
    for _ in range(3):
        wire.settle(assistant)
    upstream.script(*[Refusal(400, "The context is too long.")] * 2)
    failed = [wire.settle(assistant) for _ in range(2)]
    page = open_page(server.url + "/#/overview")
    runs = page.locator("figure").filter(has=page.get_by_text("Runs per hour"))
    assert runs.locator("figcaption strong").inner_text() == "5"
    assert page.locator("figure").nth(1).locator("figcaption strong").inner_text() == "90"
    rows = [row.locator("td").all_inner_texts() for row in runs.locator("table tbody tr").all()[-2:]]
    counts = [sum(int(row[column]) for row in rows) for column in range(3)]
    assert counts == [3, 0, 2], "of the last two hours: one may just have ended"
    cause = page.locator(".causes li")
    assert "too long" in cause.inner_text()
    assert cause.locator(".count").inner_text() == "2"
    goal = (cause.get_by_role("link").get_attribute("href") or "").rsplit("/", 1)[1]
    assert goal in {run["thread_id"] for run in failed}
    page.get_by_text("Understudy 0").wait_for()
    assert page.locator(".lamp-ok").count() >= 3
    shoot(page, "overview")


# --- keys --------------------------------------------------------------------------------------------------------


def type_key(page: Any, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")


def test_a_server_with_keys_asks_for_one(keyed: Server, open_page: OpenPage, shoot: Any) -> None:
    page = open_page(keyed.url + "/", alone=True)
    page.get_by_label("API key").wait_for()
    shoot(page, "key")
    type_key(page, "sk-wrong-key-that-is-long")
    page.get_by_role("alert").get_by_text("Incorrect API key provided").wait_for()
    type_key(page, KEY)
    page.get_by_text("There is no assistant yet.").wait_for()
    page.reload()
    page.get_by_text("There is no assistant yet.").wait_for()
    expect(page.get_by_role("button", name="Project")).to_have_count(0)
    other = page.context.new_page()
    other.goto(keyed.url + "/")
    other.get_by_text("There is no assistant yet.").wait_for()
    stored = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, history.state, name])"
    assert KEY not in page.evaluate(stored)
    page.get_by_role("button", name="Forget the key").click()
    page.get_by_label("API key").wait_for()


def test_the_key_is_nowhere_on_disk(keyed: Server, tmp_path: Path, chromium: Any) -> None:
    """Neither in the browser's profile, once it is closed, nor in the server's log."""
    profile = tmp_path / "profile"

    def kept(text: str) -> list[Path]:
        seen = [(file, file.read_bytes()) for file in profile.rglob("*") if file.is_file()]
        return [file for file, content in seen if text.encode() in content or text.encode("utf-16-le") in content]

    context = chromium.browser_type.launch_persistent_context(
        profile, executable_path=CHROMIUM, args=["--no-sandbox"], locale="en-US"
    )
    page = context.pages[0]
    page.goto(keyed.url + "/")
    type_key(page, KEY)
    page.get_by_text("There is no assistant yet.").wait_for()
    page.evaluate("localStorage.setItem('marker', 'a-text-that-is-kept')")
    until = time.monotonic() + WAIT_MS / 1000
    while not kept("a-text-that-is-kept"):
        assert time.monotonic() < until, "the search would not find the key either"
        page.wait_for_timeout(100)
    context.close()
    assert kept("a-text-that-is-kept")
    assert kept(KEY) == []
    assert KEY not in keyed.stderr


def test_an_admins_key_chooses_its_project(keyed: Server, open_page: OpenPage) -> None:
    """Those that are there are offered, and a new one is entered by its name; a reload stays in it."""
    with httpx2.Client(base_url=keyed.url + "/v1", headers={"authorization": f"Bearer {ADMIN_KEY}"}) as http:
        body = {"model": "m", "name": "of the shop"}
        assert http.post("/assistants", json=body, headers={"openai-project": "shop"}).status_code == 200
    page = open_page(keyed.url + "/#/assistants", alone=True)
    type_key(page, ADMIN_KEY)
    chooser = page.get_by_role("button", name="Project proj_default")
    chooser.click()
    page.get_by_role("dialog").get_by_role("button", name="shop").click()
    page.locator(".rows li").get_by_text("of the shop").wait_for()
    page.reload()
    page.locator(".rows li").get_by_text("of the shop").wait_for()
    page.get_by_role("button", name="Project shop").click()
    box = page.get_by_label("Another project")
    box.fill("no such name!")
    page.keyboard.press("Enter")
    assert box.evaluate("box => box.validity.patternMismatch"), "the browser says what is allowed"
    box.fill("bakery")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Project bakery").wait_for()
    page.get_by_text("No assistants yet.").wait_for()
    page.get_by_role("button", name="Forget the key").click()
    type_key(page, KEY)
    page.get_by_text("No assistants yet.").wait_for()
    expect(page.get_by_role("button", name="Project")).to_have_count(0)


def test_it_works_over_plain_http_from_another_machine(keyed: Server, tmp_path: Path, chromium: Any) -> None:
    """There browsers withhold what they keep for secure pages: the clipboard, ids, and others."""
    port = keyed.url.rpartition(":")[2]
    browser = chromium.browser_type.launch(
        executable_path=CHROMIUM, args=["--no-sandbox", "--host-resolver-rules=MAP far.test 127.0.0.1"]
    )
    page = browser.new_page(locale="en-US")
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(f"http://far.test:{port}/#/assistants")
    assert not page.evaluate("isSecureContext")
    type_key(page, ADMIN_KEY)
    page.get_by_role("button", name="Project proj_default").click()
    page.get_by_label("Another project").fill("far")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Project far").wait_for()
    page.goto(f"http://far.test:{port}/#/files")
    (tmp_path / "far.md").write_text("from afar")
    page.locator("input[type=file]").set_input_files(tmp_path / "far.md")
    page.locator(".file-rows li").get_by_text("far.md").wait_for()
    page.goto(f"http://far.test:{port}/#/assistants/new")
    page.get_by_label("Name").fill("Far")
    page.get_by_label("Model", exact=True).fill("m")
    save_by_key(page)
    page.get_by_role("link", name="Try").click()
    page.get_by_label("Write a message").fill("how far?")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("You said: how far?").wait_for()
    page.get_by_role("button", name="Copy").first.click()
    page.get_by_role("button", name="Copied").wait_for()
    page.get_by_label("Write a message").press("Control+v")
    expect(page.get_by_label("Write a message")).to_have_value("how far?")
    browser.close()
    assert troubles == []


# --- languages, widths, lights -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "placeholder", "heading"),
    [
        ("ko-KR", "메시지를 입력하세요", "스레드"),
        ("zh-CN", "输入消息", "会话"),
        ("zh-TW", "输入消息", "会话"),
        ("fr-FR", "Write a message", "Threads"),
    ],
)
def test_the_page_speaks_the_browsers_language(
    server: Server, wire: Wire, open_page: OpenPage, locale: str, placeholder: str, heading: str, shoot: Any
) -> None:
    wire.assistant(name="날씨 봇 天气")
    page = open_page(server.url + "/", locale=locale)
    say_box = page.get_by_placeholder(placeholder)
    say_box.fill("부산的天气 How?")
    page.keyboard.press("Enter")
    page.get_by_text("You said: 부산的天气 How?").wait_for()
    assert page.evaluate("document.documentElement.lang") == (locale[:2] if locale[:2] in ("ko", "zh") else "en")
    if locale in ("ko-KR", "zh-CN"):
        shoot(page, f"chat-{locale[:2]}")
    page.goto("/#/threads")
    page.get_by_role("heading", name=heading).wait_for()


def test_all_languages_have_all_words() -> None:
    names = {file.stem: set(re.findall(r'^  "([\w.]+)":', file.read_text(), re.M)) for file in WORDS.glob("*.js")}
    assert set(names) == {"en", "ko", "zh"}
    assert names["en"] == names["ko"] == names["zh"]
    used = set()
    for file in WORDS.parent.glob("*.js"):
        used |= set(re.findall(r'\bt\(\s*"([\w.]+)"[,)]', file.read_text()))
    assert used <= names["en"], used - names["en"]


OVER = """nodes => nodes.filter(node => node.getBoundingClientRect().right > 401 && !node.closest('.scroll, pre'))
  .map(node => node.outerHTML)"""


def test_it_works_on_a_narrow_screen_in_the_dark(
    server: Server, wire: Wire, upstream: Upstream, open_page: OpenPage, shoot: Any
) -> None:
    place = {"type": "object", "properties": {"a_very_long_name_of_a_parameter": {"type": "string"}}}
    assistant = wire.assistant(name="An assistant with a rather long name", tools=[function_tool("weather", place)])
    upstream.script(Reply("| a | b |\n|---|---|\n| " + "wide " * 40 + " | x |\n\n`" + "x" * 300 + "`"))
    run = wire.settle(assistant, wire.thread("A question " * 20))
    narrow = {"width": 400, "height": 800}
    page = open_page(server.url + f"/#/chat/{run['thread_id']}", viewport=narrow, color_scheme="dark")
    page.get_by_role("log").get_by_role("table").wait_for()
    shoot(page, "narrow")
    for where in (
        "",
        "assistants",
        f"assistants/{assistant['id']}",
        f"threads/{run['thread_id']}",
        "files",
        "overview",
    ):
        visit(page, where)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, where
        visible = page.locator("main :is(button, a, input, select, textarea):visible")
        assert visible.evaluate_all(OVER) == [], where
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(15, 17, 21)"
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"


def test_everything_that_can_be_used_has_a_name(page: Any, server: Server, wire: Wire) -> None:
    """What a screen reader says of buttons, links and fields."""
    assistant = wire.assistant("weather", name="Weather")
    run = wire.settle(assistant)
    unnamed = """nodes => nodes.filter(node => !(node.getAttribute('aria-label') || node.innerText?.trim()
      || node.labels?.length || node.placeholder || node.title)).map(node => node.outerHTML)"""
    where = ["", f"chat/{run['thread_id']}", "assistants/new", f"assistants/{assistant['id']}"]
    for place in [*where, f"threads/{run['thread_id']}", "files", "overview"]:
        visit(page, place)
        assert page.locator(":is(button, a, input, select, textarea):visible").evaluate_all(unnamed) == [], place
