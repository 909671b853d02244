"""Requests that were refused with an error which the SDKs retry: their retries take effect as if they were new."""

from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from understudy.api.retries import NoteRefused, once
from understudy.engine.retries import MAX_REFUSED, REFUSED_S, Refused
from understudy.storage.posts import Post
from understudy.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def refused(clock: FakeClock) -> Refused:
    return Refused(clock)


def test_each_refusal_counts_for_one_retry(refused: Refused) -> None:
    for fingerprint in ("a", "b", "a"):
        refused.note(fingerprint)
    assert [refused.settle("a") for _ in range(3)] == [True, True, False]
    assert refused.settle("b")


def test_a_refusal_counts_as_long_as_its_retry_may_come(refused: Refused, clock: FakeClock) -> None:
    refused.note("a")
    clock.advance(60 + 1)  # the longest wait that a refusal asks for, and the way
    assert refused.settle("a")
    refused.note("a")
    clock.advance(REFUSED_S + 1)
    assert not refused.settle("a")


def test_the_memory_is_bounded(refused: Refused) -> None:
    for number in range(MAX_REFUSED + 1):
        refused.note(str(number))
    assert not refused.settle("0")
    assert refused.settle(str(MAX_REFUSED))


class Api:
    """One POST at a time to an application that answers it with a status, or fails."""

    def __init__(self, clock: FakeClock, refused: Refused) -> None:
        self.services: Any = SimpleNamespace(refused=refused, clock=clock)
        self.refused = refused
        self.seen: Post | None = None

    async def post(
        self, retry: int, status: int, *, changes: bool = False, early: bool = False, **other: str
    ) -> Post | None:
        headers = [(b"authorization", b"Bearer k"), (b"x-stainless-retry-count", str(retry).encode())]
        headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in other.items()]
        server = SimpleNamespace(state=SimpleNamespace(services=self.services))
        scope = {
            "app": server,
            "caller": SimpleNamespace(project="p"),
            "type": "http",
            "method": "POST",
            "path": "/v1/threads",
            "query_string": b"",
            "headers": headers,
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def send(_: Any) -> None:
            pass

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if early:
                await Response(status_code=status)(scope, receive, send)
                return
            permission = await once(Request(scope, receive))
            permission.changed = changes
            self.seen = permission.post
            if status == 500:
                raise RuntimeError("a defect")
            await Response(status_code=status)(scope, receive, send)

        try:
            await NoteRefused(app)(scope, receive, send)
        except RuntimeError:
            assert status == 500
        return self.seen


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_retry_after_such_an_error_does_not_look_back(clock: FakeClock, refused: Refused, status: int) -> None:
    api = Api(clock, refused)
    await api.post(0, status)
    looked_back = []
    for _ in range(2):
        post = await api.post(1, 200)
        assert post is not None
        looked_back.append(post.looks_back)
    assert looked_back == [False, True]


@pytest.mark.parametrize(("status", "changes"), [(200, True), (400, False), (404, False), (500, True)])
async def test_after_other_answers_it_does(clock: FakeClock, refused: Refused, status: int, changes: bool) -> None:
    """Also after a failure behind a change: the change is there to be found."""
    api = Api(clock, refused)
    await api.post(0, status, changes=changes)
    post = await api.post(1, 200)
    assert post is not None
    assert post.looks_back


@pytest.mark.parametrize("early", [True, False])
async def test_a_retry_that_is_refused_itself_is_owed_nothing(clock: FakeClock, refused: Refused, early: bool) -> None:
    """Its original may have been carried out: the next try has to look for that too."""
    api = Api(clock, refused)
    await api.post(0, 200, changes=True)
    await api.post(1, 503, early=early)
    post = await api.post(2, 200)
    assert post is not None
    assert post.looks_back


async def test_a_client_that_is_refused_again_and_again_is_owed_one(clock: FakeClock, refused: Refused) -> None:
    api = Api(clock, refused)
    for retry in range(4):
        await api.post(retry, 429, early=True)
    looked_back = [(await api.post(4, 200)).looks_back, (await api.post(5, 200)).looks_back]  # type: ignore[union-attr]
    assert looked_back == [False, True]


@pytest.mark.parametrize(("length", "looks_back"), [("2", False), ("3", True), ("", True)])
async def test_a_request_that_was_not_read_is_known_by_its_length(
    clock: FakeClock, refused: Refused, length: str, looks_back: bool
) -> None:
    api = Api(clock, refused)
    await api.post(0, 503, early=True, content_length="2")
    post = await api.post(1, 200, **({"content_length": length} if length else {}))
    assert post is not None
    assert post.looks_back == looks_back


@pytest.mark.parametrize("early", [True, False])
async def test_a_refusal_with_a_key_is_no_others(clock: FakeClock, refused: Refused, early: bool) -> None:
    api = Api(clock, refused)
    await api.post(0, 503, early=early, idempotency_key="k")
    post = await api.post(1, 200)
    assert post is not None
    assert post.looks_back
