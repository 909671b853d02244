"""Embeddings and reranking by servers of others, on real sockets."""

import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.inference.fake_upstream import FakeUpstream, Reply, upstream

from understudy.errors import Unavailable
from understudy.retrieval.embed_endpoint import TEXTS_AT_ONCE, EndpointEmbedder
from understudy.retrieval.rerank import EndpointReranker

KEY = "sk-secret-of-the-endpoint"


def says(body: object, status: int = 200) -> Reply:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply([text], status, "application/json", ("retry-after-ms: 1",))


def embeddings(request: dict[str, Any]) -> Reply:
    """A vector of each text's length, in the wrong order."""
    rows = [
        {"object": "embedding", "index": place, "embedding": [float(len(text)), 0.0, 1.0]}
        for place, text in enumerate(request["input"])
    ]
    return says({"object": "list", "data": rows[::-1], "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}})


@asynccontextmanager
async def embedder(*replies: Reply | Callable[[Any], Reply]) -> AsyncIterator[tuple[EndpointEmbedder, FakeUpstream]]:
    async with upstream(*replies) as server:
        made = EndpointEmbedder(server.base_url, KEY, "embed-large")
        yield made, server
        await made.aclose()


@asynccontextmanager
async def reranker(*replies: Reply | Callable[[Any], Reply]) -> AsyncIterator[tuple[EndpointReranker, FakeUpstream]]:
    async with upstream(*replies) as server:
        made = EndpointReranker(f"{server.base_url}/rerank", KEY, "rerank-1")
        yield made, server
        await made.aclose()


async def test_vectors_come_in_the_order_of_their_texts_and_have_length_1() -> None:
    async with embedder(embeddings) as (made, server):
        vectors = [struct.unpack("<3f", vector) for vector in await made.embed(["a", "", "한국어로"])]
    assert [round(vector[0] / vector[2]) for vector in vectors] == [1, 1, 4]
    assert all(sum(number * number for number in vector) == pytest.approx(1, abs=1e-6) for vector in vectors)
    assert server.requests[0]["model"] == "embed-large"
    assert server.requests[0]["input"] == ["a", " ", "한국어로"]
    assert f"Bearer {KEY}" in server.heads[0]


async def test_many_texts_go_in_groups() -> None:
    async with embedder(embeddings) as (made, server):
        vectors = await made.embed(["x" * (number + 1) for number in range(2 * TEXTS_AT_ONCE + 1)])
    assert len(vectors) == 2 * TEXTS_AT_ONCE + 1
    assert sorted(len(request["input"]) for request in server.requests) == [1, TEXTS_AT_ONCE, TEXTS_AT_ONCE]
    first = [struct.unpack("<3f", vector) for vector in vectors]
    assert [round(vector[0] / vector[2]) for vector in first] == list(range(1, 2 * TEXTS_AT_ONCE + 2))


async def test_a_busy_endpoint_is_asked_again() -> None:
    async with embedder(says({"error": {"message": "slow down"}}, 429), embeddings) as (made, server):
        assert len(await made.embed(["a"])) == 1
    assert len(server.requests) == 2


def short(request: dict[str, Any]) -> Reply:
    return says({"object": "list", "data": [], "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}})


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (says({"error": {"message": f"wrong key {KEY}"}}, 401), "answered with status 401"),
        (short, "0 vectors for 1 texts"),
    ],
)
async def test_an_endpoint_that_fails_is_told_of_without_its_key(reply: Any, words: str) -> None:
    async with embedder(reply) as (made, server):
        with pytest.raises(Unavailable, match=words) as told:
            await made.embed(["a"])
    assert KEY not in str(told.value)
    assert server.base_url not in str(told.value)


async def test_an_endpoint_that_is_not_there_is_told_of() -> None:
    made = EndpointEmbedder("http://127.0.0.1:9/v1", None, "m")
    with pytest.raises(Unavailable, match="could not be reached"):
        await made.embed(["a"])
    await made.aclose()


async def test_the_vectors_are_named_after_their_model() -> None:
    assert EndpointEmbedder("http://a/v1", None, "x").name != EndpointEmbedder("http://a/v1", None, "y").name


async def test_scores_come_in_the_order_of_the_texts() -> None:
    results = [{"index": 1, "relevance_score": 1.7}, {"index": 0, "relevance_score": 0.25}]
    async with reranker(says({"results": results})) as (made, server):
        assert await made.scores("q", ["a", "b"]) == [0.25, 1.0]
        assert await made.scores("q", []) == []
    assert server.requests == [{"model": "rerank-1", "query": "q", "documents": ["a", "b"], "top_n": 2}]
    assert f"Bearer {KEY}" in server.heads[0]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (says({"message": KEY}, 500), "status 500"),
        (says(b"<html>"), "no JSON"),
        (says({"results": [{"index": 0}]}), "not in the form"),
        (says({"results": [{"index": 7, "relevance_score": 1}]}), "not in the form"),
        (says([1]), "not in the form"),
    ],
)
async def test_a_reranker_that_fails_is_told_of(reply: Reply, words: str) -> None:
    async with reranker(reply) as (made, _):
        with pytest.raises(Unavailable, match=words) as told:
            await made.scores("q", ["a"])
    assert KEY not in str(told.value)


async def test_a_reranker_that_is_not_there_is_told_of() -> None:
    made = EndpointReranker("http://127.0.0.1:9/rerank", None, "m")
    with pytest.raises(Unavailable, match="could not be reached"):
        await made.scores("q", ["a"])
    await made.aclose()
