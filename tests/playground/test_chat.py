"""The playground's conversation, in a browser: streams, tools, stops, second thoughts."""

import re
from typing import Any

from playwright.sync_api import expect
from tests.harness.replies import Call, Gate, Refusal, Reply
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire, function_tool
from tests.playground.conftest import WAIT_MS, OpenPage

RICH = """Here is a **table**:

| city | °C |
|---|---:|
| 부산 | 21 |
| 上海 | 19 |

```python
def mean(values: list[float]) -> float:
    return sum(values) / len(values)  # 평균
```

The mean is $\\bar{x} = \\frac{1}{n}\\sum_i x_i$, so:

$$\\int_0^1 x^2\\,dx = \\frac{1}{3}$$

1. one
2. two [with a link](https://example.com/path?a=1&b=2)
"""


def say(page: Any, text: str) -> None:
    """Type, and send as soon as the page would: Enter does nothing while an answer still comes."""
    page.get_by_label("Write a message").fill(text)
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_enabled(timeout=WAIT_MS)
    page.keyboard.press("Enter")


def thread_of(page: Any) -> str:
    page.wait_for_url(re.compile("#/chat/thread_"))
    return re.search(r"thread_\w+", page.url).group()  # type: ignore[union-attr]


def test_text_streams_in(page: Any, wire: Wire, upstream: Upstream) -> None:
    wire.assistant(name="Echo")
    gate = Gate()
    upstream.script(Reply("one two three", pause=gate, pause_after=2))
    page.goto("/")
    say(page, "Count, please.")
    log = page.get_by_role("log")
    log.get_by_text("one two", exact=True).wait_for()
    assert page.get_by_role("button", name="Stop").is_visible()
    gate.open()
    log.get_by_text("one two three", exact=True).wait_for()
    page.get_by_text("30 tokens").wait_for()
    assert wire.texts(thread_of(page)) == ["Count, please.", "one two three"]


def test_markdown_code_tables_and_math_are_drawn(page: Any, wire: Wire, upstream: Upstream, shoot: Any) -> None:
    wire.assistant(name="Explainer")
    upstream.script(Reply(tokens=[RICH[place : place + 7] for place in range(0, len(RICH), 7)]))
    page.goto("/")
    say(page, "부산과 上海의 평균 기온은?")
    log = page.get_by_role("log")
    log.get_by_role("cell", name="부산").wait_for()
    log.locator("math[display=block] mfrac").wait_for()
    expect(log.locator("math")).to_have_count(2)
    assert log.locator("pre code .hljs-keyword").first.inner_text() == "def"
    expect(log.locator("ol li")).to_have_count(2)
    link = log.get_by_role("link", name="with a link")
    assert link.get_attribute("href") == "https://example.com/path?a=1&b=2"
    assert link.get_attribute("rel") == "noopener noreferrer nofollow"
    page.get_by_text("tokens, ").wait_for()
    shoot(page, "chat")


def test_function_calls_wait_for_what_is_typed(page: Any, wire: Wire, upstream: Upstream, shoot: Any) -> None:
    place = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = [function_tool("weather", place), function_tool("rain", place)]
    wire.assistant(name="Weather", tools=tools)
    asks = [Call("weather", '{"city": "부산"}', "call_1"), Call("rain", '{"city": "부산"}', "call_2")]
    upstream.script(Reply("Let me look.", calls=asks), Reply("It is 21 °C and dry."), Reply(calls=asks))
    page.goto("/")
    say(page, "How is 부산?")
    page.get_by_label("Output of weather").fill("21 °C")
    page.get_by_label("Output of rain").fill("0.06")
    expect(page.get_by_text('"city": "부산"')).to_have_count(2, timeout=WAIT_MS)
    shoot(page, "functions")
    page.keyboard.press("Control+Enter")
    page.get_by_text("It is 21 °C and dry.").wait_for()
    assert [m["content"] for m in upstream.bodies[1]["messages"] if m["role"] == "tool"] == ["21 °C", "0.06"]
    say(page, "And now?")
    page.get_by_role("button", name="21 °C").click()
    page.get_by_role("button", name="0.06").click()
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("The tools said: 21 °C; 0.06").wait_for()


def test_a_run_is_stopped_by_button_and_by_key(page: Any, wire: Wire, upstream: Upstream) -> None:
    wire.assistant(name="Slow")
    page.goto("/")
    for answer, stop in (
        ("one long answer", lambda: page.get_by_role("button", name="Stop").click()),
        ("another long answer", lambda: page.keyboard.press("Escape")),
    ):
        upstream.script(Reply(answer, pause=Gate()))
        say(page, "Go on.")
        page.get_by_role("log").get_by_text(answer.split()[0], exact=True).wait_for()
        stop()
        page.locator(".ending").get_by_text("cancelled").wait_for()
        page.get_by_role("button", name="Send").wait_for()


def test_a_run_can_be_stopped_before_it_is_known(page: Any, wire: Wire, upstream: Upstream) -> None:
    """The run before it has ended: the key is not meant for that one."""
    wire.assistant(name="Echo")
    page.goto("/")
    say(page, "first")
    page.get_by_text("You said: first").wait_for()
    page.get_by_text("30 tokens").wait_for()
    upstream.script(Reply("a long answer", hold=Gate()))
    say(page, "second")
    page.keyboard.press("Escape")
    page.locator(".ending").get_by_text("cancelled").wait_for()


def test_an_edited_message_runs_again_in_a_new_thread(page: Any, wire: Wire) -> None:
    wire.assistant(name="Echo")
    page.goto("/")
    say(page, "first")
    page.get_by_text("You said: first").wait_for()
    say(page, "second")
    page.get_by_text("You said: second").wait_for()
    page.get_by_text("30 tokens").wait_for()
    old = thread_of(page)
    page.get_by_role("button", name="Edit and run again").nth(1).click()
    expect(page.get_by_role("textbox", name="Edit and run again")).to_be_focused()
    page.get_by_role("textbox", name="Edit and run again").fill("另一个")
    page.keyboard.press("Control+Enter")
    page.get_by_text("You said: 另一个").wait_for()
    assert thread_of(page) != old
    assert wire.texts(old) == ["first", "You said: first", "second", "You said: second"]
    assert wire.texts(thread_of(page)) == ["first", "You said: first", "另一个", "You said: 另一个"]


def test_a_failed_run_says_why(page: Any, wire: Wire, upstream: Upstream) -> None:
    wire.assistant(name="Echo")
    upstream.script(Refusal(400, "The context is too long."))
    page.goto("/")
    say(page, "Hi")
    page.locator(".ending").get_by_text("failed").wait_for()
    assert "too long" in page.locator(".ending").inner_text()


def test_a_thread_is_taken_up_again_while_its_run_goes_on(
    wire: Wire, upstream: Upstream, server: Any, open_page: OpenPage
) -> None:
    gate = Gate()
    upstream.script(Reply("one two three", pause=gate, pause_after=2))
    thread = wire.thread("Count.")
    run = wire.run(wire.assistant(name="Echo"), thread)
    upstream.wait_for_request()
    page = open_page(f"{server.url}/#/chat/{thread['id']}")
    page.get_by_role("log").get_by_text("one two", exact=True).wait_for()
    gate.open()
    page.get_by_role("log").get_by_text("one two three", exact=True).wait_for()
    wire.until(run, {"completed"})


def test_a_call_that_waits_is_answered_after_a_reload(page: Any, wire: Wire) -> None:
    wire.assistant("weather", name="Weather")
    page.goto("/")
    say(page, "How is it?")
    page.get_by_label("Output of weather").wait_for()
    page.reload()
    page.get_by_label("Output of weather").fill("dry")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("The tools said: dry").wait_for()


def test_the_keyboard_is_enough(page: Any, wire: Wire) -> None:
    wire.assistant(name="Echo")
    page.goto("/")
    expect(page.get_by_label("Write a message")).to_be_focused(timeout=WAIT_MS)
    page.keyboard.type("two")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("lines")
    page.keyboard.press("Enter")
    page.get_by_text("You said: two").wait_for()
    page.get_by_text("30 tokens").wait_for()
    first = thread_of(page)
    assert wire.texts(first)[0] == "two\nlines"
    page.keyboard.press("Alt+n")
    page.get_by_text("Say something to Echo.").wait_for()
    page.keyboard.press("Alt+3")
    page.get_by_role("heading", name="Threads").wait_for()
    page.get_by_role("link", name="New").focus()
    page.keyboard.press("/")
    page.keyboard.type("two lines nowhere")
    page.get_by_text("Nothing found").wait_for()
    page.get_by_role("link", name="New").focus()
    page.keyboard.press("?")
    page.get_by_role("dialog").get_by_text("Stop the run").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    expect(page.get_by_role("link", name="New")).to_be_focused()
