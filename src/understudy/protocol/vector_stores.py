"""Vector stores, their files and batches of files. Source of shapes: surface.md, section 3, and section 6, item 11."""

from typing import (
    Annotated,
    Literal,
    NotRequired,  # pydantic wants this one before Python 3.12
    Self,
)

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from understudy.protocol.attributes import Attributes, AttributesParam
from understudy.protocol.base import Metadata, MetadataParam, RequestModel, WireModel

MAX_FILE_IDS = 500
MAX_BATCH = 2000
DAY_S = 86_400
DEFAULT_CHUNK_TOKENS = 800
DEFAULT_OVERLAP_TOKENS = 400

StoreStatus = Literal["expired", "in_progress", "completed"]
FileStatus = Literal["in_progress", "completed", "cancelled", "failed"]
BatchStatus = Literal["in_progress", "completed", "cancelled", "failed"]

# --- chunking ----------------------------------------------------------------------------------------------------


class AutoChunking(RequestModel):
    type: Literal["auto"]


class StaticChunkingSizes(RequestModel):
    max_chunk_size_tokens: Annotated[int, Field(ge=100, le=4096)]
    chunk_overlap_tokens: Annotated[int, Field(ge=0)]


def _overlap_fits(sizes: StaticChunkingSizes) -> StaticChunkingSizes:
    if sizes.chunk_overlap_tokens * 2 > sizes.max_chunk_size_tokens:
        text = "expected chunk_overlap_tokens to be at most {half}, half of max_chunk_size_tokens, but got {got}"
        limits = {"half": sizes.max_chunk_size_tokens // 2, "got": sizes.chunk_overlap_tokens}
        raise PydanticCustomError("overlap_too_large", text, limits)
    return sizes


class StaticChunking(RequestModel):
    type: Literal["static"]
    static: Annotated[StaticChunkingSizes, AfterValidator(_overlap_fits)]


ChunkingParam = Annotated[AutoChunking | StaticChunking, Field(discriminator="type")]


class ChunkSizes(TypedDict):
    max_chunk_size_tokens: int
    chunk_overlap_tokens: int


class ChunkingStrategy(TypedDict):
    """How a file is cut, as stored: `auto` without sizes. It is answered as `static` (recorded)."""

    type: Literal["auto", "static"]
    static: NotRequired[ChunkSizes]


_AUTO_SHOWN: ChunkingStrategy = {
    "type": "static",
    "static": {"max_chunk_size_tokens": DEFAULT_CHUNK_TOKENS, "chunk_overlap_tokens": DEFAULT_OVERLAP_TOKENS},
}


def auto_chunking() -> ChunkingStrategy:
    """Return the strategy of who names none."""
    return {"type": "auto"}


def stored_chunking(given: AutoChunking | StaticChunking | None) -> ChunkingStrategy:
    """Return a strategy as it is stored."""
    if not isinstance(given, StaticChunking):
        return auto_chunking()
    sizes = given.static
    return {
        "type": "static",
        "static": {
            "max_chunk_size_tokens": sizes.max_chunk_size_tokens,
            "chunk_overlap_tokens": sizes.chunk_overlap_tokens,
        },
    }


def shown_chunking(stored: ChunkingStrategy) -> ChunkingStrategy:
    """Return a strategy as it is answered."""
    return stored if stored["type"] == "static" else _AUTO_SHOWN


# --- requests ----------------------------------------------------------------------------------------------------


class ExpiresAfterParam(RequestModel):
    anchor: Literal["last_active_at"]
    days: Annotated[int, Field(ge=1, le=365)]


class CreateVectorStore(RequestModel):
    file_ids: Annotated[list[str], Field(max_length=MAX_FILE_IDS)] | None = None
    name: str | None = None
    description: str | None = None
    expires_after: ExpiresAfterParam | None = None
    chunking_strategy: ChunkingParam | None = None
    metadata: MetadataParam | None = None


class ModifyVectorStore(RequestModel):
    name: str | None = None
    expires_after: ExpiresAfterParam | None = None
    metadata: MetadataParam | None = None


class AddFile(RequestModel):
    file_id: str
    chunking_strategy: ChunkingParam | None = None
    attributes: AttributesParam = None


class ModifyFile(RequestModel):
    attributes: AttributesParam


class AddFileBatch(RequestModel):
    """`file_ids`, which share the strategy and attributes, or `files`, of which each has its own."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["file_ids"]}, {"required": ["files"]}]})

    file_ids: Annotated[list[str], Field(min_length=1, max_length=MAX_BATCH)] | None = None
    files: Annotated[list[AddFile], Field(min_length=1, max_length=MAX_BATCH)] | None = None
    chunking_strategy: ChunkingParam | None = None
    attributes: AttributesParam = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.file_ids is None and self.files is None:
            raise PydanticCustomError("part_missing", "'file_ids' or 'files'", {"under": "file_ids"})
        if self.file_ids is not None and self.files is not None:
            raise PydanticCustomError("both_given", "'file_ids' and 'files'", {"under": "files"})
        return self

    def each(self) -> list[AddFile]:
        """Return the files one by one."""
        if self.files is not None:
            return self.files
        chunking, attributes = self.chunking_strategy, self.attributes
        return [
            AddFile.model_construct(file_id=file_id, chunking_strategy=chunking, attributes=attributes)
            for file_id in self.file_ids or ()
        ]


# --- answers -----------------------------------------------------------------------------------------------------


class FileCounts(TypedDict):
    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class ExpiresAfter(TypedDict):
    anchor: Literal["last_active_at"]
    days: int


class VectorStore(WireModel):
    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str | None
    description: str | None
    usage_bytes: int
    file_counts: FileCounts
    status: StoreStatus
    expires_after: ExpiresAfter | None
    expires_at: int | None
    last_active_at: int
    metadata: Metadata


RETRIEVABLE = (
    *("c", "cpp", "cs", "css", "csv", "doc", "docx", "eml", "epub", "go", "html", "java", "js", "json", "md"),
    *("odt", "pdf", "php", "pptx", "py", "rb", "rtf", "sh", "tex", "ts", "txt", "xlsx"),
)
"""The extensions of files that are read; those of `retrieval.parse`."""


class FileError(TypedDict):
    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class VectorStoreFile(WireModel):
    """A file in a vector store; its id is the file's own."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    usage_bytes: int
    created_at: int
    vector_store_id: str
    status: FileStatus
    last_error: FileError | None
    chunking_strategy: ChunkingStrategy
    attributes: Attributes


class FileBatch(WireModel):
    """The hosted API writes `vector_store.file_batch` (recorded), its types `vector_store.files_batch`."""

    id: str
    object: Literal["vector_store.file_batch"] = "vector_store.file_batch"
    created_at: int
    status: BatchStatus
    vector_store_id: str
    file_counts: FileCounts


def file_counts(of_status: dict[str, int]) -> FileCounts:
    """Return counts by status, with their sum."""
    return {
        "in_progress": of_status.get("in_progress", 0),
        "completed": of_status.get("completed", 0),
        "failed": of_status.get("failed", 0),
        "cancelled": of_status.get("cancelled", 0),
        "total": sum(of_status.values()),
    }


# --- what is in a file -------------------------------------------------------------------------------------------


class TextContent(TypedDict):
    type: Literal["text"]
    text: str


class FileContentPage(WireModel):
    """A file's text as it was read."""

    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: list[TextContent]
    has_more: bool = False
    next_page: str | None = None
