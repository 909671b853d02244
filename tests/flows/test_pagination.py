"""Lists neither skip nor repeat, however they are walked, although all their items were made within one second."""

from collections.abc import Iterator

import pytest
from tests.harness.wire import Json, Wire, text_of

TEXTS = [f"message {number}" for number in range(25)]


@pytest.fixture
def messages(wire: Wire) -> str:
    return f"/threads/{wire.thread(*TEXTS)['id']}/messages"


def pages(wire: Wire, path: str, **params: object) -> Iterator[Json]:
    """Walk by `after` until a page is empty, as the old SDKs do; check each page's frame."""
    after: dict[str, str] = {}
    while True:
        page = wire.read(path, **params, **after)
        ids = [item["id"] for item in page["data"]]
        frame = (page["object"], page["first_id"], page["last_id"])
        assert frame == ("list", *((ids[0], ids[-1]) if ids else (None, None)))
        yield page
        if not ids:
            assert page["has_more"] is False
            return
        after = {"after": ids[-1]}


@pytest.mark.parametrize("limit", [1, 7, 25, 100])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_walking_shows_every_message_once(wire: Wire, messages: str, limit: int, order: str) -> None:
    walked = list(pages(wire, messages, limit=limit, order=order))
    texts = [text_of(item) for page in walked for item in page["data"]]
    assert texts == (TEXTS if order == "asc" else TEXTS[::-1])
    last_full = -(-len(TEXTS) // limit)
    assert [page["has_more"] for page in walked[:-1]] == [True] * (last_full - 1) + [False]


def test_twenty_newest_come_first_by_default(wire: Wire, messages: str) -> None:
    page = wire.read(messages)
    assert [text_of(item) for item in page["data"]] == TEXTS[:-21:-1]
    assert page["has_more"] is True


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_before_is_the_way_back(wire: Wire, messages: str, order: str) -> None:
    first, second, third = list(pages(wire, messages, limit=5, order=order))[:3]
    back = wire.read(messages, limit=5, order=order, before=third["first_id"])
    assert back["data"] == second["data"]
    assert wire.read(messages, limit=5, order=order, before=second["first_id"])["data"] == first["data"]
    assert wire.read(messages, limit=5, order=order, before=first["first_id"])["data"] == []


def test_after_and_before_enclose(wire: Wire, messages: str) -> None:
    ids = [item["id"] for item in wire.read(messages, limit=100)["data"]]
    between = wire.read(messages, after=ids[3], before=ids[7])["data"]
    assert [item["id"] for item in between] == ids[4:7]


def test_after_the_last_is_empty(wire: Wire, messages: str) -> None:
    last = wire.read(messages, limit=100)["last_id"]
    expected = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert wire.read(messages, after=last) == expected


def test_messages_that_arrive_between_two_pages_shift_nothing(wire: Wire, messages: str) -> None:
    first = wire.read(messages, limit=10)
    wire.make(messages, {"role": "user", "content": "late"})
    second = wire.read(messages, limit=10, after=first["last_id"])
    assert [text_of(item) for item in second["data"]] == TEXTS[14:4:-1]


def test_a_deleted_message_leaves_no_hole(wire: Wire, messages: str) -> None:
    ids = [item["id"] for item in wire.read(messages, limit=100, order="asc")["data"]]
    wire.delete(f"{messages}/{ids[4]}")
    page = wire.read(messages, order="asc", limit=6)
    assert [item["id"] for item in page["data"]] == ids[:4] + ids[5:7]


def test_assistants_runs_and_steps_are_walked_alike(wire: Wire) -> None:
    assistant, thread = wire.assistant(), wire.thread()
    runs = [wire.settle(assistant, thread)["id"] for _ in range(5)]
    path = f"/threads/{thread['id']}/runs"
    walked = [item["id"] for page in pages(wire, path, limit=2, order="asc") for item in page["data"]]
    assert walked == runs
    made = [wire.assistant()["id"] for _ in range(5)]
    newest = [item["id"] for item in wire.read("/assistants", limit=5)["data"]]
    assert newest == made[::-1]
    steps = list(pages(wire, f"{path}/{runs[0]}/steps", limit=1))
    assert [len(page["data"]) for page in steps] == [1, 0]


def test_empty_lists(wire: Wire) -> None:
    expected = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    thread = wire.make("/threads")
    assert wire.read(f"/threads/{thread['id']}/messages") == expected
    assert wire.read(f"/threads/{thread['id']}/runs") == expected
