"""How new threads, messages and runs come to be from what a request gave and what it left out."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from understudy.engine import references
from understudy.engine.passing_stores import OF_THREADS, plant
from understudy.errors import InvalidRequest, quoted
from understudy.ids import new_id
from understudy.protocol.messages import CreateMessage, Message, stored_content
from understudy.protocol.runs import CreateRun, RunFields, TruncationParam, TruncationStrategy
from understudy.protocol.threads import CreateThread, Thread
from understudy.protocol.tools import NamedToolChoice, Tool, ToolResources, ToolResourcesParam, as_given, echo
from understudy.storage import messages, threads
from understudy.storage.assistants import AssistantRecord
from understudy.storage.runs import RunRecord

T = TypeVar("T")


def add_messages(
    connection: Connection,
    project: str,
    thread_id: str,
    given: Sequence[CreateMessage],
    now: float,
    where: str = "",
    *,
    todo: list[str],
) -> list[Message]:
    """Append messages to a thread, and give their files to its tools; `where` is the list's name in the request.

    `todo` gets the jobs of files that are to be taken in. Raises FilesNotFound, InvalidRequest.
    """
    references.check_messages(connection, project, given, now, where)
    new = [_new_message(thread_id, message, int(now)) for message in given]
    messages.add(connection, project, thread_id, new)
    references.attach(connection, project, thread_id, given, now, todo=todo)
    return new


def _new_message(thread_id: str, given: CreateMessage, now: int) -> Message:
    return Message(
        id=new_id("message"),
        created_at=now,
        assistant_id=None,
        thread_id=thread_id,
        run_id=None,
        status="completed",
        incomplete_details=None,
        incomplete_at=None,
        completed_at=now,
        role=given.role,
        content=stored_content(given.content),
        attachments=[attachment.model_dump(exclude_none=True) for attachment in given.attachments or []],
        metadata=given.metadata or {},
    )


def add_thread(
    connection: Connection,
    project: str,
    given: CreateThread | None,
    tools: ToolResourcesParam | None,
    now: float,
    where: str = "messages",
    *,
    todo: list[str],
) -> Thread:
    """Store a new thread with what its tools are given, and with its first messages; `todo` as in `add_messages`.

    Returns it as it is shown.

    Raises FilesNotFound, NotFound, InvalidRequest.
    """
    given = given or CreateThread()
    resources = stored_resources(tools)
    references.check_resources(connection, project, resources, now)
    resources = plant(connection, project, tools, resources, now, todo=todo, expires_after=OF_THREADS)
    thread = Thread(id=new_id("thread"), created_at=int(now), metadata=given.metadata or {}, tool_resources=resources)
    shown = threads.add(connection, project, thread)
    add_messages(connection, project, thread.id, given.messages or [], now, where, todo=todo)
    return with_attached(connection, project, shown, given.messages or [])


def with_attached(connection: Connection, project: str, thread: Thread, added: Sequence[CreateMessage]) -> Thread:
    """Return a thread as it is after messages were added: their files may have become its own."""
    if any(message.attachments for message in added):
        return threads.get(connection, project, thread.id)
    return thread


def stored_resources(given: ToolResourcesParam | None, tools: Sequence[Tool] = ()) -> ToolResources:
    """Turn given tool resources into the stored ones; each tool that is on shows its list, be it empty (recorded).

    What they refer to is looked up where they are stored (`references.check_resources`), and what they describe is
    made there (`passing_stores.plant`).
    """
    on = {tool["type"] for tool in tools}
    stored: ToolResources = {}
    code = given.code_interpreter if given else None
    search = given.file_search if given else None
    if code is not None or "code_interpreter" in on:
        stored["code_interpreter"] = {"file_ids": code.file_ids if code else []}
    if search is not None or "file_search" in on:
        stored["file_search"] = {"vector_store_ids": (search.vector_store_ids or []) if search else []}
    return stored


def merged_resources(thread: CreateThread | None, given: ToolResourcesParam | None) -> ToolResourcesParam | None:
    """Return what the tools of a thread are given that is made together with its run: what is given at the top wins."""
    inner = thread.tool_resources if thread else None
    if inner is None or given is None:
        return given or inner
    return ToolResourcesParam.model_construct(
        code_interpreter=given.code_interpreter or inner.code_interpreter,
        file_search=given.file_search or inner.file_search,
    )


def new_run(
    given: RunFields, assistant: AssistantRecord, thread: Thread, project: str, now: int, expiry_s: int
) -> RunRecord:
    """Make a run: what the request gave, else what the assistant has. Explicit zeros are not 'unset'."""
    tools = assistant.tools if given.tools is None else [echo(tool) for tool in given.tools]
    _refuse_unknown_choice(given, tools)
    return RunRecord(
        id="",
        project=project,
        created_at=now,
        assistant_id=assistant.id,
        thread_id=thread.id,
        status="queued",
        started_at=None,
        expires_at=now + expiry_s,
        cancelled_at=None,
        failed_at=None,
        completed_at=None,
        required_action=None,
        last_error=None,
        model=_or(given.model, assistant.model),
        instructions=_instructions(given, assistant),
        tools=tools,
        tool_resources=thread.tool_resources,
        metadata=given.metadata or {},
        temperature=_or(given.temperature, assistant.temperature),
        top_p=_or(given.top_p, assistant.top_p),
        reasoning_effort=_or(given.reasoning_effort, assistant.reasoning_effort),
        max_completion_tokens=given.max_completion_tokens,
        max_prompt_tokens=given.max_prompt_tokens,
        truncation_strategy=_truncation(given.truncation_strategy),
        incomplete_details=None,
        usage=None,
        response_format=_or(as_given(given.response_format), assistant.response_format),
        tool_choice=as_given(given.tool_choice),
        parallel_tool_calls=given.parallel_tool_calls,
    )


def _or(given: T | None, otherwise: T) -> T:
    return otherwise if given is None else given


def _instructions(given: RunFields, assistant: AssistantRecord) -> str | None:
    instructions = _or(given.instructions, assistant.instructions)
    additional = given.additional_instructions if isinstance(given, CreateRun) else None
    if not additional:
        return instructions
    return f"{instructions}\n{additional}" if instructions else additional


def _truncation(given: TruncationParam | None) -> TruncationStrategy:
    if given is None or given.type == "auto":
        return {"type": "auto", "last_messages": None}
    if given.last_messages is None:
        param = "truncation_strategy.last_messages"
        raise InvalidRequest(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
    return {"type": "last_messages", "last_messages": given.last_messages}


def _refuse_unknown_choice(given: RunFields, tools: Sequence[Tool]) -> None:
    choice: Any = given.tool_choice
    if choice == "required" and not tools:
        raise InvalidRequest("'tool_choice' is 'required', but the run has no tools.", param="tool_choice")
    if not isinstance(choice, NamedToolChoice):
        return
    there = [(tool["type"], tool["function"]["name"] if "function" in tool else tool["type"]) for tool in tools]
    if (choice.type, choice.name) not in there:
        names = [name for _, name in there]
        raise InvalidRequest(
            f"'tool_choice' names the tool '{quoted(choice.name)}', but the run's tools are {names}.",
            param="tool_choice",
        )
