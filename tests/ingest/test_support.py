"""The sentence that bears a statement out is found by its letters or by what it means, in whatever language."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from understudy.errors import Unavailable
from understudy.ingest import support
from understudy.ingest.support import Support
from understudy.retrieval.embed_local import LocalEmbedder

HAMLET = (
    "Ophelia is the daughter of Polonius. Hamlet tells her to go to a nunnery. She falls into the brook from a willow "
    "branch and drowns. Her brother Laertes swears revenge on Hamlet. The court buries her without full rites, for "
    "some doubt that her death was an accident."
)
TEA = "北京是中国的首都。龙井茶产于杭州西湖一带。上海是最大的城市。注册资本为人民币500万元。"
WORK = (
    "Die Kündigungsfrist beträgt drei Monate zum Quartalsende. Der Urlaub umfasst 30 Tage im Jahr. "
    "Überstunden werden mit Freizeit ausgeglichen."
)
OPHELIA = "오필리아는 폴로니어스의 딸이다. 햄릿은 그녀에게 수녀원으로 가라고 말한다. 그녀는 강물에 빠져 죽는다."

with_the_others = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def by_meaning() -> AsyncIterator[Support]:
    embedder = LocalEmbedder(processes=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(support, "WAIT_S", 100.0)  # on a busy machine the child takes a while to start
        yield Support(embedder.embed)
    await embedder.aclose()


@with_the_others
@pytest.mark.parametrize(
    ("before", "passage", "quote"),
    [
        ("오필리아는 버드나무 가지에서 시냇물로 떨어져 익사했습니다", HAMLET, "She falls into the brook"),
        ("她的哥哥发誓要向哈姆雷特复仇", HAMLET, "Her brother Laertes"),
        ("Er sagt ihr, sie solle in ein Kloster gehen", HAMLET, "Hamlet tells her"),  # letters alone mislead here
        ("Longjing tea comes from the West Lake area", TEA, "龙井茶产于杭州西湖一带。"),
        ("등록 자본금은 500만 위안입니다", TEA, "注册资本为人民币500万元。"),
        ("Employees get 30 days of vacation per year", WORK, "Der Urlaub"),
        ("초과 근무는 휴가로 보상됩니다", WORK, "Überstunden"),
        ("She drowned in the river", OPHELIA, "그녀는 강물에 빠져 죽는다."),
        (
            "She drowned in the brook【4:0†a.txt】. She had to go to a nunnery【4:1†a.txt】 first",
            HAMLET,
            "Hamlet tells her",
        ),
    ],
)
async def test_across_languages(by_meaning: Support, before: str, passage: str, quote: str) -> None:
    found = await by_meaning.quote(before, passage)
    assert found in passage
    assert found.startswith(quote)


@with_the_others
@pytest.mark.parametrize(
    "before", ["The weather is fine today", "오늘 날씨가 좋습니다", "股市暴跌", "Guten Tag", "", " "]
)
@pytest.mark.parametrize("passage", [HAMLET, TEA, WORK, OPHELIA])
async def test_where_nothing_supports_it_nothing_is_quoted(by_meaning: Support, before: str, passage: str) -> None:
    assert await by_meaning.quote(before, passage) == ""


async def test_what_is_alike_to_the_letter_needs_no_embedder() -> None:
    async def never(texts: Sequence[str], *, urgent: bool = False) -> list[bytes]:
        raise AssertionError

    assert await Support(never).quote("그녀는 강물에 빠져 죽는다", OPHELIA) == "그녀는 강물에 빠져 죽는다."


async def test_without_the_embedder_letters_must_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "WAIT_S", 0.01)

    async def ill(texts: Sequence[str], *, urgent: bool = False) -> list[bytes]:
        raise Unavailable("ill")

    async def slow(texts: Sequence[str], *, urgent: bool = False) -> list[bytes]:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # it never comes

    stated: Any = ("She had to enter a nunnery, as Hamlet told her", HAMLET)
    for embed in (ill, slow):
        assert await Support(embed).quote(*stated) == "Hamlet tells her to go to a nunnery."
        assert await Support(embed).quote("그녀는 죽었다", HAMLET) == ""


async def test_a_passage_without_end_is_looked_at_in_part() -> None:
    sizes = []

    async def count(texts: Sequence[str], *, urgent: bool = False) -> list[bytes]:
        assert urgent
        sizes.append(len(texts))
        raise Unavailable("counted")

    await Support(count).quote("무엇인가", "One. " * 5000)
    assert sizes == [support.MOST_SENTENCES + 1]
