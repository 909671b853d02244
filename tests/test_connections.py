"""Head and body of an answer leave together, and nothing waits for long."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from understudy.connections import HeadWithBody

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


class Sent:
    """A transport that notes what leaves at once."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.closed_after: int | None = None

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def writelines(self, some: Sequence[bytes]) -> None:
        self.pieces.append(b"".join(some))

    def close(self) -> None:
        self.closed_after = len(self.pieces)

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


def joined(sent: Sent) -> HeadWithBody:
    return HeadWithBody(cast("asyncio.Transport", sent), asyncio.get_running_loop())


async def test_a_head_leaves_with_the_body_behind_it() -> None:
    sent = Sent()
    transport = joined(sent)
    transport.write(HEAD)
    assert sent.pieces == []
    transport.write(b"body")
    assert sent.pieces == [HEAD + b"body"]
    await asyncio.sleep(0)
    assert sent.pieces == [HEAD + b"body"]


async def test_a_head_without_a_body_waits_for_one_turn_only() -> None:
    sent = Sent()
    joined(sent).write(HEAD)
    await asyncio.sleep(0)
    assert sent.pieces == [HEAD]


async def test_pieces_of_a_stream_leave_at_once() -> None:
    sent = Sent()
    transport = joined(sent)
    for piece in (HEAD, b"one", b"two"):
        transport.write(piece)
    assert sent.pieces == [HEAD + b"one", b"two"]


async def test_answers_to_requests_that_came_together_keep_their_order() -> None:
    sent = Sent()
    transport = joined(sent)
    for piece in (HEAD, HEAD, HEAD, b"body"):
        transport.write(piece)
    await asyncio.sleep(0)
    assert b"".join(sent.pieces) == HEAD * 3 + b"body"


async def test_what_waits_leaves_before_the_connection_closes() -> None:
    sent = Sent()
    transport = joined(sent)
    transport.write(HEAD)
    transport.close()
    assert (sent.pieces, sent.closed_after) == ([HEAD], 1)


async def test_all_else_is_done_by_the_transport() -> None:
    other: Any = joined(Sent())
    assert other.get_extra_info("peername") == "the peername"
