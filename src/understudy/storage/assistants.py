"""Queries on assistants."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update

from understudy.errors import NotFound
from understudy.protocol.assistants import Assistant
from understudy.protocol.base import Metadata
from understudy.protocol.tools import ReasoningEffort, ResponseFormat, Tool, ToolResources
from understudy.storage import file_uses, posts
from understudy.storage.rows import Window, allot_in_project, given, insert, page
from understudy.storage.schema import assistants

NOUN = "assistant"


@dataclass(frozen=True, slots=True)
class AssistantRecord:
    """An assistant as it was given: what the user never set is None."""

    id: str
    created_at: int
    name: str | None
    description: str | None
    model: str
    instructions: str | None
    tools: list[Tool]
    top_p: float | None
    temperature: float | None
    reasoning_effort: ReasoningEffort | None
    tool_resources: ToolResources
    metadata: Metadata
    response_format: ResponseFormat | None

    def shown(self) -> Assistant:
        """Render with the API's defaults in the place of what was never set."""
        return Assistant.model_construct(
            **{name: getattr(self, name) for name in self.__slots__}
            | {
                "top_p": 1.0 if self.top_p is None else self.top_p,
                "temperature": 1.0 if self.temperature is None else self.temperature,
                "response_format": "auto" if self.response_format is None else self.response_format,
            }
        )


_COLUMNS = AssistantRecord.__slots__
_MINE = (given(assistants.c.id), given(assistants.c.project), ~assistants.c.deleted)
_GET = select(*(assistants.c[name] for name in _COLUMNS)).where(*_MINE)


def _record(row: RowMapping) -> AssistantRecord:
    return AssistantRecord(**{name: row[name] for name in _COLUMNS})


def add(connection: Connection, project: str, assistant: AssistantRecord) -> None:
    """Store a new assistant."""
    place = allot_in_project(connection, project)
    insert(connection, assistants, asdict(assistant) | {"project": project, "seq": place})
    file_uses.keep(connection, assistant.id, assistant.tool_resources, new=True)


def get(connection: Connection, project: str, assistant_id: str) -> AssistantRecord:
    """Raises NotFound."""
    row = connection.execute(_GET, {"given_id": assistant_id, "given_project": project}).first()
    if row is None:
        raise NotFound(NOUN, assistant_id)
    return AssistantRecord(*row)


def list_page(connection: Connection, project: str, window: Window) -> tuple[list[AssistantRecord], bool]:
    """Return a page of a project's assistants, and whether there are more."""
    mine = assistants.c.project == project
    rows, more = page(connection, assistants, mine, [~assistants.c.deleted], window, NOUN)
    return [_record(row) for row in rows], more


def change(connection: Connection, project: str, assistant_id: str, values: dict[str, Any]) -> AssistantRecord:
    """Set columns and return the result. Raises NotFound."""
    get(connection, project, assistant_id)
    if values:
        connection.execute(update(assistants).where(assistants.c.id == assistant_id).values(values))
    if "tool_resources" in values:
        file_uses.keep(connection, assistant_id, values["tool_resources"])
    return get(connection, project, assistant_id)


def delete(connection: Connection, project: str, assistant_id: str) -> None:
    """Leave a tombstone without content. Raises NotFound."""
    get(connection, project, assistant_id)
    emptied: dict[str, Any] = {
        "name": None,
        "description": None,
        "instructions": None,
        "tools": [],
        "tool_resources": {},
    }
    tombstone = emptied | {"metadata": {}, "deleted": True}
    connection.execute(update(assistants).where(assistants.c.id == assistant_id).values(tombstone))
    file_uses.forget(connection, assistant_id)
    posts.forget_object(connection, assistant_id)
