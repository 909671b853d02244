"""A model's words that came before its connection broke are not lost, however late they are asked for."""

import asyncio
import gzip

import pytest
from tests.inference.fake_upstream import Reply, chunk, framed, upstream
from tests.inference.provider_contract import SAY

from understudy.errors import UpstreamError
from understudy.inference.base import Delta, TextDelta
from understudy.inference.dialect import Dialect, Upstream
from understudy.inference.openai_compatible import OpenAICompatible

CHUNKED = ("transfer-encoding: chunked",)


async def heard(reply: Reply, pause_s: float) -> list[Delta]:
    """Return what is heard by somebody who is busy with the first delta while the rest and the fault arrive."""
    found: list[Delta] = []

    async def listen(provider: OpenAICompatible) -> None:
        async for delta in provider.stream(SAY):
            found.append(delta)
            await asyncio.sleep(pause_s if len(found) == 1 else 0)

    async with upstream(reply) as fake:
        provider = OpenAICompatible(Upstream(fake.base_url, None, None, Dialect(max_retries=0)))
        with pytest.raises(UpstreamError):
            await listen(provider)
        await provider.aclose()
    return found


@pytest.mark.parametrize("pause_s", [0.0, 0.2])
@pytest.mark.parametrize("last", [b"", b"7\r\ndat"])
async def test_words_before_a_cut_are_heard(pause_s: float, last: bytes) -> None:
    one, *others = (framed(chunk({"content": text})) for text in ("one", " two", " 셋"))
    reply = Reply([one, 0.05, *others, last], headers=CHUNKED)
    assert await heard(reply, pause_s) == [TextDelta("one"), TextDelta(" two"), TextDelta(" 셋")]


async def test_half_a_line_is_not_taken_for_a_whole_one() -> None:
    one, two = framed(chunk({"content": "one"})), framed(chunk({"content": " two"})[:-9])
    assert await heard(Reply([one, 0.05, two], headers=CHUNKED), 0.2) == [TextDelta("one")]


async def test_a_compressed_rest_is_left_alone() -> None:
    one, two = (gzip.compress(chunk({"content": text})) for text in ("one", " two"))
    reply = Reply([framed(one), 0.05, framed(two)], headers=(*CHUNKED, "content-encoding: gzip"))
    assert (await heard(reply, 0.2))[:1] == [TextDelta("one")]
