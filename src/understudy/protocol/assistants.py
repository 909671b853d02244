"""Assistants. Source of shapes: surface.md, section 3, and section 6, item 1."""

from typing import Annotated, Literal

from pydantic import Field

from understudy.protocol.base import Metadata, MetadataParam, RequestModel, WireModel
from understudy.protocol.tools import (
    MAX_TOOLS,
    ReasoningEffort,
    ResponseFormat,
    ResponseFormatParam,
    Tool,
    ToolParam,
    ToolResources,
    ToolResourcesParam,
)

MAX_INSTRUCTIONS = 256_000

Name = Annotated[str, Field(max_length=256)]
Description = Annotated[str, Field(max_length=512)]
Instructions = Annotated[str, Field(max_length=MAX_INSTRUCTIONS)]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(ge=0, le=1)]


class AssistantFields(RequestModel):
    """What creation and modification share."""

    name: Name | None = None
    description: Description | None = None
    instructions: Instructions | None = None
    reasoning_effort: ReasoningEffort | None = None
    tools: Annotated[list[ToolParam], Field(max_length=MAX_TOOLS)] | None = None
    tool_resources: ToolResourcesParam | None = None
    metadata: MetadataParam | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    response_format: ResponseFormatParam | None = None


class CreateAssistant(AssistantFields):
    model: Annotated[str, Field(min_length=1)]


class ModifyAssistant(AssistantFields):
    model: Annotated[str, Field(min_length=1)] | None = None


class Assistant(WireModel):
    id: str
    object: Literal["assistant"] = "assistant"
    created_at: int
    name: str | None
    description: str | None
    model: str
    instructions: str | None
    tools: list[Tool]
    top_p: float
    temperature: float
    reasoning_effort: ReasoningEffort | None
    tool_resources: ToolResources
    metadata: Metadata
    response_format: ResponseFormat
