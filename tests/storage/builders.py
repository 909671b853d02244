"""Rows for tests: each builder makes a whole object, so that a test names only what it is about."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, create_engine

from understudy.ids import new_id
from understudy.protocol.files import FileObject
from understudy.protocol.messages import Message, text_content
from understudy.protocol.runs import Usage
from understudy.protocol.steps import RunStep
from understudy.protocol.threads import Thread
from understudy.storage import assistants, files, loose_bytes, messages, migrate, schema, store_contents, threads
from understudy.storage.assistants import AssistantRecord
from understudy.storage.base import Store
from understudy.storage.model_calls import ModelCall
from understudy.storage.rows import allot_in_project
from understudy.storage.runs import RunRecord
from understudy.storage.store_contents import NewStore

NOW = 1_800_000_000
PROJECT = "proj_default"


def assistant(**given: Any) -> AssistantRecord:
    made = AssistantRecord(
        id=new_id("assistant"),
        created_at=NOW,
        name=None,
        description=None,
        model="gpt-4o",
        instructions=None,
        tools=[],
        top_p=None,
        temperature=None,
        reasoning_effort=None,
        tool_resources={},
        metadata={},
        response_format=None,
    )
    return replace(made, **given)


def thread(**given: Any) -> Thread:
    return Thread(**{"id": new_id("thread"), "created_at": NOW, "metadata": {}, "tool_resources": {}} | given)


def message(thread_id: str, text: str = "hi", **given: Any) -> Message:
    made = Message(
        id=new_id("message"),
        created_at=NOW,
        assistant_id=None,
        thread_id=thread_id,
        run_id=None,
        status="completed",
        incomplete_details=None,
        incomplete_at=None,
        completed_at=NOW,
        role="user",
        content=[text_content(text)],
        attachments=[],
        metadata={},
    )
    return made.model_copy(update=given)


def run(thread_id: str = "thread_x", **given: Any) -> RunRecord:
    made = RunRecord(
        id=new_id("run"),
        project=PROJECT,
        created_at=NOW,
        assistant_id="asst_x",
        thread_id=thread_id,
        status="queued",
        started_at=None,
        expires_at=NOW + 600,
        cancelled_at=None,
        failed_at=None,
        completed_at=None,
        required_action=None,
        last_error=None,
        model="gpt-4o",
        instructions=None,
        tools=[],
        tool_resources={},
        metadata={},
        temperature=None,
        top_p=None,
        reasoning_effort=None,
        max_completion_tokens=None,
        max_prompt_tokens=None,
        truncation_strategy={"type": "auto", "last_messages": None},
        incomplete_details=None,
        usage=None,
        response_format=None,
        tool_choice=None,
        parallel_tool_calls=None,
    )
    return replace(made, **given)


def step(of: RunRecord, **given: Any) -> RunStep:
    made = RunStep(
        id=new_id("step"),
        created_at=NOW,
        run_id=of.id,
        assistant_id=of.assistant_id,
        thread_id=of.thread_id,
        type="tool_calls",
        status="in_progress",
        cancelled_at=None,
        completed_at=None,
        expires_at=of.expires_at,
        expired_at=None,
        failed_at=None,
        last_error=None,
        step_details={"type": "tool_calls", "tool_calls": []},
        usage=None,
        metadata={},
    )
    return made.model_copy(update=given)


def model_call(of: RunRecord, started_at: float = NOW, used: Usage | None = None, **given: Any) -> ModelCall:
    made = ModelCall(new_id("call"), of.project, of.id, of.thread_id, 1, "m", started_at, None, [], usage=used)
    return replace(made, **given)


@cache
def migrated() -> bytes:
    """A SQLite file with the whole schema: to migrate one for every test would take most of the suite's time."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "migrated.db"
        engine = create_engine(f"sqlite:///{path}")
        migrate.upgrade_sqlite(engine, path)
        engine.dispose()
        return path.read_bytes()


async def stored_thread(store: Store, project: str = PROJECT, **given: Any) -> Thread:
    made = thread(**given)
    await store.write(lambda connection: threads.add(connection, project, made))
    return made


async def stored_message(store: Store, thread_id: str, text: str = "hi", **given: Any) -> Message:
    made = message(thread_id, text, **given)
    await store.write(lambda connection: messages.add(connection, PROJECT, thread_id, [made]))
    return made


async def stored_assistant(store: Store, project: str = PROJECT, **given: Any) -> AssistantRecord:
    made = assistant(**given)
    await store.write(lambda connection: assistants.add(connection, project, made))
    return made


def file(**given: Any) -> FileObject:
    made: dict[str, Any] = {"id": new_id("file"), "purpose": "assistants", "filename": "a.txt", "bytes": 21}
    return FileObject(**made | {"created_at": NOW, "expires_at": None} | given)


async def stored_files(store: Store, count: int, project: str = PROJECT, **given: Any) -> list[str]:
    """Files as rows, without bytes."""
    made = [file(**given) for _ in range(count)]

    def add(connection: Connection) -> None:
        first = allot_in_project(connection, project, count)
        rows = [one.model_dump(exclude={"object", "status", "status_details"}) for one in made]
        belongs = {"project": project, "deleted": False}
        connection.execute(schema.files.insert(), [{**row, **belongs, "seq": first + n} for n, row in enumerate(rows)])

    if made:
        await store.write(add)
    return [one.id for one in made]


async def stored_vector_store(store: Store, count: int = 0, project: str = PROJECT, **given: Any) -> str:
    """A vector store with so many files, which are to be taken in."""
    wanted = NewStore(**{"file_ids": await stored_files(store, count, project)} | given)
    made, _ = await store.write(lambda connection: store_contents.make(connection, project, wanted, NOW))
    return made.id


async def stored_file(store: Store, filename: str = "a.txt", project: str = PROJECT, **given: Any) -> FileObject:
    """A file's row; its bytes are nowhere."""
    made = file(filename=filename, **given)

    def write(connection: Connection) -> bool:
        loose_bytes.add(connection, [made.id], NOW + 1)
        return files.add(connection, project, made)

    assert await store.write(write)
    return made
