"""The file_search tool: the assistant's and the thread's stores searched together, passages marked for citing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from understudy.errors import UnderstudyError
from understudy.protocol.annotations import label, mark, without_marks
from understudy.protocol.base import JsonObject
from understudy.protocol.tools import Tool as ToolOptions
from understudy.protocol.tools import ToolResources
from understudy.tools.arguments import object_of
from understudy.tools.base import Description, RunContext, ToolOutput, ToolSession

MAX_QUERIES = 5
MAX_QUERY = 2_000
DEFAULT_RESULTS = 20
TOKENS = 16_000
WINDOW_SHARE = 4  # of a smaller model's window, at most one part in so many
SMALL_WINDOW = 16_384
SMALL_RESULTS = 5
SMALL_TOKENS = 1_500
CHARACTERS_PER_TOKEN = 3
WAIT_S = 60.0
"""How long a run waits for files that are still on their way into the thread's own store (behaviours.md, section 4)."""

ASSISTANT_WAIT_S = 10.0
"""How long for the assistant's store: documented is no wait, recorded is a run that finds a file of a second before."""

DEFAULT_RANKING: JsonObject = {"ranker": "default_2024_08_21", "score_threshold": 0.0}

DESCRIPTION = (
    "Search the files that the user and the assistant have given. Search before you answer a question, even one that "
    "you could answer yourself: they are given for the answer to come from them. Search again in other words if the "
    "passages do not answer it. Each passage begins with its mark, such as 【4:0†name】: copy the mark right behind "
    "each statement that rests on the passage, and never make one up."
)
PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "description": "What to look for, in the words of the files' language"},
        "queries": {
            "type": "array",
            "items": {"type": "string"},
            "maxItems": MAX_QUERIES,
            "description": "Several searches at once, for a question of several parts",
        },
    },
    "required": ["query"],
    "additionalProperties": False,
}

NO_STORE = "There are no files to search: neither the assistant nor the thread has a vector store."
NO_RESULT = "No passage was found. Search in other words, or tell the user that the files do not say."
NO_QUERY = "Error: there is nothing to search for. Give 'query' as a string."


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a file that a search has found. `score` is from 0 to 1; `where` tells its page or its headings."""

    file_id: str
    file_name: str
    vector_store_id: str
    chunk_id: str
    text: str
    tokens: int
    score: float
    where: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Library(Protocol):
    """The vector stores."""

    async def wait_ready(self, project: str, store_ids: Sequence[str], timeout_s: float) -> None:
        """Wait until all files of stores are in, or the time is over. Raises ToolUnavailable for an expired store."""
        ...

    async def search(
        self,
        project: str,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        max_results: int,
        ranking: Mapping[str, Any],
    ) -> Sequence[Passage]:
        """Return the best passages, best first. `ranking` are the tool's `ranking_options`."""
        ...


Excerpt = Callable[[Sequence[str], str, int], str]
"""From queries, a passage and a number of characters: the part of the passage that is most to the point."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much the model can take: passages, and tokens of all of them together."""

    results: int
    tokens: int
    small: bool


class FileSearch:
    """The tool."""

    def __init__(self, library: Library, excerpt: Excerpt) -> None:
        self._library = library
        self._excerpt = excerpt

    async def prepare(self, tool: ToolOptions, run: RunContext) -> Description:
        """Wait for the thread's files. Raises ToolUnavailable for a store that has expired."""
        await self._library.wait_ready(run.project, _stores_of(run.assistant_resources), ASSISTANT_WAIT_S)
        await self._library.wait_ready(run.project, _stores_of(run.thread_resources), WAIT_S)
        return Description("file_search", DESCRIPTION, PARAMETERS)

    async def call(self, arguments: str, session: ToolSession) -> ToolOutput:
        """Search. See `base.Tool`."""
        options = session.tool.get("file_search", {})
        ranking = options.get("ranking_options") or DEFAULT_RANKING
        shown = {"ranking_options": {key: ranking.get(key, value) for key, value in DEFAULT_RANKING.items()}}
        try:
            queries = _queries(arguments)
            found = await self._search(queries, session, ranking, options.get("max_num_results"))
        except (ValueError, UnderstudyError) as problem:
            return ToolOutput({**shown, "results": []}, f"Error: {problem}")
        if isinstance(found, str):
            return ToolOutput({**shown, "results": []}, found)
        labels = [label(session.place, session.first_result + number) for number in range(len(found))]
        results = [_result(passage, labelled) for passage, labelled in zip(found, labels, strict=True)]
        told = self._told(found, labels, queries, room_of(session.run.context_window))
        return ToolOutput({**shown, "results": results}, told)

    async def _search(
        self, queries: Sequence[str], session: ToolSession, ranking: Mapping[str, Any], wanted: int | None
    ) -> list[Passage] | str:
        run = session.run
        store_ids = [*_stores_of(run.assistant_resources), *_stores_of(run.thread_resources)]
        if not store_ids:
            return NO_STORE
        room = room_of(run.context_window)
        found = await self._library.search(
            run.project, store_ids, queries, max_results=min(wanted or DEFAULT_RESULTS, room.results), ranking=ranking
        )
        return _fitting(found, room) or NO_RESULT

    def _told(self, found: Sequence[Passage], labels: Sequence[str], queries: Sequence[str], room: Room) -> str:
        """Write down what the model reads: each passage behind its mark, free of what looks like one."""
        share = room.tokens * CHARACTERS_PER_TOKEN // len(found)
        parts = []
        for passage, labelled in zip(found, labels, strict=True):
            text = self._excerpt(queries, passage.text, share) if room.small else passage.text
            where = f" ({passage.where})" if passage.where else ""
            parts.append(f"{mark(labelled, passage.file_name)}{without_marks(where)}\n{without_marks(text)}")
        return "\n\n".join(parts)


def room_of(context_window: int) -> Room:
    """Return how much a model with this window can take."""
    if context_window < SMALL_WINDOW:
        return Room(SMALL_RESULTS, min(SMALL_TOKENS, context_window // WINDOW_SHARE), small=True)
    return Room(50, min(TOKENS, context_window // WINDOW_SHARE), small=False)


def _fitting(found: Sequence[Passage], room: Room) -> list[Passage]:
    """Return the passages that fit, the best ones first; of small models each passage gets an excerpt."""
    if room.small:
        return list(found[: room.results])
    fitting, left = list[Passage](), room.tokens
    for passage in found[: room.results]:
        left -= passage.tokens
        if left < 0 and fitting:
            break
        fitting.append(passage)
    return fitting


def _queries(arguments: str) -> list[str]:
    """Read what to search for. Raises ValueError, with a sentence for the model."""
    given = object_of(arguments)
    several = given.get("queries")
    asked = [given.get("query"), *(several if isinstance(several, list) else [])]
    queries = [query.strip()[:MAX_QUERY] for query in asked if isinstance(query, str) and query.strip()]
    if not queries:
        raise ValueError(NO_QUERY.removeprefix("Error: "))
    return list(dict.fromkeys(queries))[:MAX_QUERIES]


def _result(passage: Passage, labelled: str) -> JsonObject:
    return {
        "file_id": passage.file_id,
        "file_name": passage.file_name,
        "score": passage.score,
        "attributes": dict(passage.attributes),
        "content": [{"type": "text", "text": passage.text}],
        "vector_store_id": passage.vector_store_id,
        "chunk_id": passage.chunk_id,
        "label": labelled,
    }


def _stores_of(resources: ToolResources) -> list[str]:
    return resources.get("file_search", {}).get("vector_store_ids", [])
