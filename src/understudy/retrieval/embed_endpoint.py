"""An embedder behind an OpenAI-compatible embeddings endpoint."""

import asyncio
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from understudy.errors import Unavailable
from understudy.little_endian import packed

if TYPE_CHECKING:
    import openai

TEXTS_AT_ONCE = 64
REQUESTS_AT_ONCE = 4
"""Of those that nobody waits for."""
_TIMEOUT_S = 60.0
_URGENT_S = 10.0
_RETRIES = 3


class EndpointEmbedder:
    """An Embedder that asks a server. `model` names the vectors too: another one makes the index stale."""

    def __init__(self, url: str, key: str | None, model: str) -> None:
        self._url = url
        self._key = key
        self._model = model
        self._client: openai.AsyncOpenAI | None = None
        self._turns = asyncio.Semaphore(REQUESTS_AT_ONCE)

    @property
    def name(self) -> str:
        """See `embed.Embedder`."""
        return f"endpoint/{self._model}"

    async def embed(self, texts: Sequence[str], *, urgent: bool = False) -> list[bytes]:
        """See `embed.Embedder`."""
        groups = [texts[start : start + TEXTS_AT_ONCE] for start in range(0, len(texts), TEXTS_AT_ONCE)]
        made = await asyncio.gather(*(self._embed(group, urgent) for group in groups))
        return [vector for vectors in made for vector in vectors]

    async def aclose(self) -> None:
        """See `embed.Embedder`."""
        if self._client is not None:
            await self._client.close()

    async def _embed(self, texts: Sequence[str], urgent: bool) -> list[bytes]:
        if urgent:
            return await self._asked(texts, _URGENT_S)
        async with self._turns:
            return await self._asked(texts, _TIMEOUT_S)

    async def _asked(self, texts: Sequence[str], timeout_s: float) -> list[bytes]:
        import openai

        client = self._client = self._client or openai.AsyncOpenAI(
            base_url=self._url, api_key=self._key or "none", max_retries=_RETRIES
        )
        given = [text.encode(errors="replace").decode() or " " for text in texts]  # servers refuse an empty one
        try:
            answer = await client.embeddings.create(
                model=self._model, input=given, encoding_format="float", timeout=timeout_s
            )
        except openai.APIStatusError as fault:
            raise Unavailable(f"The embeddings endpoint answered with status {fault.status_code}.") from fault
        except openai.OpenAIError as fault:
            raise Unavailable("The embeddings endpoint could not be reached, or gave no embeddings.") from fault
        rows = sorted(answer.data, key=lambda row: row.index)
        if len(rows) != len(given):
            raise Unavailable(f"The embeddings endpoint gave {len(rows)} vectors for {len(given)} texts.")
        return [normed(row.embedding) for row in rows]


def normed(numbers: Sequence[float]) -> bytes:
    """Return a vector as little-endian float32, of length 1; one without direction stays zero."""
    length = math.sqrt(math.fsum(number * number for number in numbers)) or 1.0
    if not math.isfinite(length):
        raise Unavailable("The embeddings endpoint gave a vector that is not made of numbers.")
    return packed("f", [number / length for number in numbers])
