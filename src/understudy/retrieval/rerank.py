"""Put passages into a better order by a model that reads query and passage together (Cohere's rerank API)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from understudy.errors import Unavailable

if TYPE_CHECKING:
    import httpx2

_TIMEOUT_S = 10.0


class Reranker(Protocol):
    """Scores passages for a query."""

    async def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return a score for each text, 0 to 1. Raises Unavailable."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


class EndpointReranker:
    """A Reranker behind an endpoint that takes `model`, `query` and `documents`, and gives `results`."""

    def __init__(self, url: str, key: str | None, model: str) -> None:
        """`url` is the whole address that is posted to."""
        self._url = url
        self._key = key
        self._model = model
        self._client: httpx2.AsyncClient | None = None

    async def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """See `Reranker`."""
        if not texts:
            return []
        answer = await self._post({"model": self._model, "query": query, "documents": list(texts), "top_n": len(texts)})
        try:
            found = {int(one["index"]): float(one["relevance_score"]) for one in answer["results"]}
            return [min(1.0, max(0.0, found[place])) for place in range(len(texts))]
        except (KeyError, TypeError, ValueError) as fault:
            raise Unavailable("The rerank endpoint's answer is not in the form of Cohere's.") from fault

    async def aclose(self) -> None:
        """See `Reranker`."""
        if self._client is not None:
            await self._client.aclose()

    async def _post(self, body: dict[str, Any]) -> Any:
        import httpx2

        client = self._client = self._client or httpx2.AsyncClient(timeout=_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            answer = await client.post(self._url, json=body, headers=headers)
        except httpx2.HTTPError as fault:
            raise Unavailable("The rerank endpoint could not be reached.") from fault
        if not answer.is_success:
            raise Unavailable(f"The rerank endpoint answered with status {answer.status_code}.")
        try:
            return answer.json()
        except ValueError as fault:
            raise Unavailable("The rerank endpoint's answer is no JSON.") from fault
