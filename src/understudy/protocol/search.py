"""Searching a vector store. Source of shapes: surface.md, section 3, and section 6, item 14."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag
from typing_extensions import TypedDict

from understudy.protocol.attributes import Attributes, FilterParam
from understudy.protocol.base import RequestModel, RequestPart, WireModel
from understudy.protocol.tools import HybridSearch
from understudy.protocol.vector_stores import TextContent

MAX_RESULTS = 50
MAX_QUERIES = 20

SearchRanker = Literal["none", "auto", "default-2024-11-15"]


class SearchRanking(RequestPart):
    ranker: SearchRanker = "auto"
    score_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    hybrid_search: HybridSearch | None = None


def _query_form(value: object) -> str | None:
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else None


QueryParam = Annotated[
    Annotated[str, Tag("string")] | Annotated[list[str], Field(min_length=1, max_length=MAX_QUERIES), Tag("array")],
    Discriminator(_query_form, "one_of", "one of a string or an array of strings"),
]


class SearchVectorStore(RequestModel):
    query: QueryParam
    rewrite_query: bool | None = None
    max_num_results: Annotated[int, Field(ge=1, le=MAX_RESULTS)] | None = None
    filters: FilterParam | None = None
    ranking_options: SearchRanking | None = None

    def queries(self) -> list[str]:
        """Return the queries, be it one."""
        return [self.query] if isinstance(self.query, str) else self.query


class SearchResult(TypedDict):
    """A passage that was found. `chunk_id` opens it again, among those of its file."""

    file_id: str
    filename: str
    score: float
    attributes: Attributes
    content: list[TextContent]
    chunk_id: str


class SearchPage(WireModel):
    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[SearchResult]
    has_more: bool = False
    next_page: str | None = None


class Passage(WireModel):
    """A passage by itself: our extension. Offsets are characters of the file's text, the end exclusive."""

    id: str
    object: Literal["vector_store.file.chunk"] = "vector_store.file.chunk"
    vector_store_id: str
    file_id: str
    filename: str
    text: str
    start_index: int
    end_index: int
    page: int | None
    heading: list[str]
