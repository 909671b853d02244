"""Tools as assistants and runs carry them, tool choice, response formats and tool resources."""

from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # pydantic wants this one before Python 3.12
    Self,
)

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from understudy.protocol.base import JsonObject, MetadataParam, RequestModel, RequestPart
from understudy.protocol.vector_stores import ChunkingParam

MAX_TOOLS = 128
MAX_RUN_TOOLS = 20
MAX_SEED_FILES = 10_000
NAME_PATTERN = r"^[a-zA-Z0-9_-]+$"

Ranker = Literal["auto", "default_2024_08_21"]
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
ToolType = Literal["function", "code_interpreter", "file_search"]


class CodeInterpreterTool(RequestPart):
    type: Literal["code_interpreter"]


class HybridSearch(RequestPart):
    embedding_weight: Annotated[float, Field(ge=0)] | None = None
    text_weight: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _weighs_something(self) -> Self:
        if not self.embedding_weight and not self.text_weight:
            text = "expected at least one of embedding_weight and text_weight to be above 0"
            raise PydanticCustomError("weightless", text)
        return self


class RankingOptions(RequestPart):
    ranker: Ranker = "default_2024_08_21"
    score_threshold: Annotated[float, Field(ge=0, le=1)]
    hybrid_search: HybridSearch | None = None


class FileSearchOptions(RequestPart):
    max_num_results: Annotated[int, Field(ge=1, le=50)] | None = None
    ranking_options: RankingOptions | None = None


class FileSearchTool(RequestPart):
    type: Literal["file_search"]
    file_search: FileSearchOptions | None = None


class FunctionDefinition(RequestPart):
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=NAME_PATTERN)]
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class FunctionTool(RequestPart):
    type: Literal["function"]
    function: FunctionDefinition


ToolParam = Annotated[CodeInterpreterTool | FileSearchTool | FunctionTool, Field(discriminator="type")]


class FunctionEcho(TypedDict):
    name: str
    description: NotRequired[str]
    parameters: JsonObject
    strict: bool


class Tool(TypedDict):
    """A tool as it is stored and answered: what the caller left out is filled in (recorded)."""

    type: ToolType
    function: NotRequired[FunctionEcho]
    file_search: NotRequired[JsonObject]


def echo(tool: CodeInterpreterTool | FileSearchTool | FunctionTool) -> Tool:
    """Fill a tool in as the hosted API echoes it (surface.md, section 6, item 6)."""
    match tool:
        case CodeInterpreterTool():
            return {"type": "code_interpreter"}
        case FileSearchTool():
            return {"type": "file_search", "file_search": _file_search_echo(tool.file_search or FileSearchOptions())}
        case FunctionTool():
            return {"type": "function", "function": _function_echo(tool.function)}


def _file_search_echo(options: FileSearchOptions) -> JsonObject:
    ranking = options.ranking_options or RankingOptions(score_threshold=0.0)
    echoed: JsonObject = {"ranking_options": ranking.model_dump()}
    if options.max_num_results is not None:
        echoed = {"max_num_results": options.max_num_results, **echoed}
    return echoed


def _function_echo(function: FunctionDefinition) -> FunctionEcho:
    described: dict[str, Any] = {} if function.description is None else {"description": function.description}
    parameters = function.parameters if function.parameters is not None else {"type": "object", "properties": {}}
    return {"name": function.name, **described, "parameters": parameters, "strict": bool(function.strict)}  # type: ignore[typeddict-item]


# --- tool choice -----------------------------------------------------------------------------------------------


class NamedFunction(RequestPart):
    name: str


class NamedToolChoice(RequestPart):
    type: ToolType
    function: NamedFunction | None = None

    @model_validator(mode="after")
    def _function_is_named(self) -> Self:
        if self.type == "function" and self.function is None:
            raise PydanticCustomError("part_missing", "a function is to be named", {"under": "function"})
        return self

    @property
    def name(self) -> str:
        """The tool that is chosen; a built-in one goes by its type, whatever else is said."""
        return self.function.name if self.type == "function" and self.function else self.type


def _string_or_object(value: object) -> str | None:
    return "string" if isinstance(value, str) else "object" if isinstance(value, dict | RequestPart) else None


def string_or_object(choice: str) -> Discriminator:
    """Tell the two forms apart by their JSON type, so that an error speaks of one form only."""
    return Discriminator(_string_or_object, "one_of", choice)


ToolChoiceParam = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("string")] | Annotated[NamedToolChoice, Tag("object")],
    string_or_object("one of a string or an object"),
]


class ToolChoiceObject(TypedDict):
    type: ToolType
    function: NotRequired[JsonObject]


ToolChoice = Literal["none", "auto", "required"] | ToolChoiceObject


# --- response format -------------------------------------------------------------------------------------------


class TextFormat(RequestPart):
    type: Literal["text"]


class JsonObjectFormat(RequestPart):
    type: Literal["json_object"]


class JsonSchemaDefinition(RequestPart):
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=NAME_PATTERN)]
    description: str | None = None
    schema_: Annotated[JsonObject | None, Field(alias="schema")] = None
    strict: bool | None = None


class JsonSchemaFormat(RequestPart):
    type: Literal["json_schema"]
    json_schema: JsonSchemaDefinition


FormatObject = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]
ResponseFormatParam = Annotated[
    Annotated[Literal["auto"], Tag("string")] | Annotated[FormatObject, Tag("object")],
    string_or_object("one of a string or an object"),
]


class ResponseFormatObject(TypedDict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: NotRequired[JsonObject]


ResponseFormat = Literal["auto"] | ResponseFormatObject


def as_given(value: RequestPart | str | None) -> Any:
    """Return a choice or a format as the caller wrote it: strings stay, objects keep just their given keys."""
    return value.model_dump(exclude_unset=True, by_alias=True) if isinstance(value, RequestPart) else value


# --- tool resources --------------------------------------------------------------------------------------------


class CodeInterpreterResources(RequestPart):
    file_ids: Annotated[list[str], Field(max_length=20)] = Field(default_factory=list)


class VectorStoreSeed(RequestPart):
    """A vector store to be made in passing (`vector_stores: [{file_ids}]`)."""

    file_ids: Annotated[list[str], Field(max_length=MAX_SEED_FILES)] = Field(default_factory=list)
    chunking_strategy: ChunkingParam | None = None
    metadata: MetadataParam | None = None


class FileSearchResources(RequestPart):
    vector_store_ids: Annotated[list[str], Field(max_length=1)] | None = None
    vector_stores: Annotated[list[VectorStoreSeed], Field(max_length=1)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.vector_store_ids and self.vector_stores:
            raise PydanticCustomError(
                "both_given", "'vector_store_ids' and 'vector_stores'", {"under": "vector_stores"}
            )
        return self


def _absent_if_null(value: object) -> object:
    return {} if value is None else value


class ToolResourcesParam(RequestModel):
    code_interpreter: Annotated[CodeInterpreterResources | None, BeforeValidator(_absent_if_null)] = None
    file_search: Annotated[FileSearchResources | None, BeforeValidator(_absent_if_null)] = None


class FileIds(TypedDict):
    file_ids: list[str]


class VectorStoreIds(TypedDict):
    vector_store_ids: list[str]


class ToolResources(TypedDict, total=False):
    """Files and vector stores at hand, as stored and answered."""

    code_interpreter: FileIds
    file_search: VectorStoreIds
