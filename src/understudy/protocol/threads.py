"""Threads. Source of shapes: surface.md, section 3, and section 6, item 2."""

from typing import Literal

from understudy.protocol.base import Metadata, MetadataParam, RequestModel, WireModel
from understudy.protocol.messages import CreateMessage
from understudy.protocol.tools import ToolResources, ToolResourcesParam


class CreateThread(RequestModel):
    messages: list[CreateMessage] | None = None
    tool_resources: ToolResourcesParam | None = None
    metadata: MetadataParam | None = None


class ModifyThread(RequestModel):
    tool_resources: ToolResourcesParam | None = None
    metadata: MetadataParam | None = None


class Thread(WireModel):
    id: str
    object: Literal["thread"] = "thread"
    created_at: int
    metadata: Metadata
    tool_resources: ToolResources
