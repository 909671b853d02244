"""What somebody asked, as a query to search for: `rewrite_query` of a vector store's search."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing

from understudy.errors import ConfigurationError, ModelNotFound, UpstreamError
from understudy.inference.base import ChatMessage, CompletionRequest, Routes, TextDelta

log = logging.getLogger(__name__)

_PATIENCE_S = 20.0
_MOST_CHARACTERS_READ = 8_000
_MOST_CHARACTERS = 500
_MOST_TOKENS = 1_024  # some models think before they answer
_QUOTES = ('""', "''", "``", "“”", "„“", "„”", "‘’", "«»", "»«", "「」", "『』", "《》")

_TASK = (
    "Turn what the user writes into one query for a search engine over documents. Answer with the query alone, in one "
    "line, in the user's language. Keep names, numbers, dates and terms as they are; leave out greetings, politeness, "
    "what the user tells about themselves, and how the answer shall look. Never answer the question."
)
_EXAMPLES = (
    (
        "Hi! I'd like to know how long I can send back shoes I bought online, thanks.",
        "return period shoes bought online",
    ),
    ("안녕하세요, 혹시 오필리아가 왜 물에 빠져 죽었는지 알려 주실 수 있나요?", "오필리아가 물에 빠져 죽은 이유"),
    ("你好，请问一下2025年的年假最多可以休几天？请用表格回答。", "2025年 年假 最多天数"),
)


class QueryRewriter:
    """Has a model rewrite queries."""

    def __init__(self, routes: Routes, model: str | None) -> None:
        """`model` None takes the first that has a name; where none has, queries stay as they are.

        Raises ConfigurationError for a model without a route.
        """
        self._routes = routes
        self._model = model
        try:
            if model is not None:
                routes.find(model)
        except ModelNotFound:
            known = ", ".join(routes.names())
            raise ConfigurationError(f"rewrite_model is {model!r}, which has no route; known are {known}") from None

    async def rewrite(self, queries: Sequence[str]) -> list[str]:
        """Return each query as a model puts it, or as it is where the model fails or takes more than 20 s."""
        return list(await asyncio.gather(*(self._rewritten(query) for query in queries)))

    async def _rewritten(self, query: str) -> str:
        model = self._model or next(iter(self._routes.names()), None)
        if model is None or not query.strip():
            return query
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return _query_in(await self._answer(model, query)) or query
        except (UpstreamError, ModelNotFound, TimeoutError) as fault:
            log.warning("a query is searched for as it is: %s", fault or "the model took too long to rewrite it")
            return query

    async def _answer(self, model: str, query: str) -> str:
        route = self._routes.find(model)
        request = CompletionRequest(route.model, _prompt(query), max_tokens=_MOST_TOKENS)
        async with aclosing(route.provider.stream(request)) as deltas:
            return "".join([delta.text async for delta in deltas if isinstance(delta, TextDelta)])


def _prompt(query: str) -> list[ChatMessage]:
    turns = [*_EXAMPLES, (query[:_MOST_CHARACTERS_READ], "")]
    talk = [
        {"role": role, "content": said}
        for turn in turns
        for role, said in zip(("user", "assistant"), turn, strict=True)
    ]
    return [{"role": "system", "content": _TASK}, *talk[:-1]]


def _query_in(said: str) -> str:
    """Return the query that a model wrote, after its thoughts; nothing where it wrote something else."""
    words = _without_quotes(said.rpartition("</think>")[2].strip())
    return words if len(words) <= _MOST_CHARACTERS and "\n" not in words else ""


def _without_quotes(words: str) -> str:
    """Take away quotation marks around the whole; those of a part belong to the query."""
    outside, inside = words[:1] + words[-1:], words[1:-1]
    if len(words) < 2 or outside not in _QUOTES or set(outside) & set(inside):
        return words
    return _without_quotes(inside.strip())
