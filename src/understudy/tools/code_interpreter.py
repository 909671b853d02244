"""The code_interpreter tool: the thread's Python session, the files that go into it, and what comes out of it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol
from weakref import WeakKeyDictionary

from understudy.errors import NoRoom, NoSuchFile, SessionEnded, ToolUnavailable, Unavailable
from understudy.ids import new_id
from understudy.protocol.annotations import MADE_FILES
from understudy.protocol.base import JsonObject
from understudy.protocol.files import FileObject, Purpose
from understudy.protocol.tools import Tool as ToolOptions
from understudy.sandbox.base import FOLDER, Image, Output, Result, Sandbox, Session
from understudy.tools.arguments import code_of
from understudy.tools.base import Description, RunContext, Tell, ToolOutput, ToolSession

log = logging.getLogger(__name__)

MADE: Purpose = "assistants_output"
ANSWER_SHARE = 8  # one call's output takes at most one part in so many of the model's window
CHARACTERS_PER_TOKEN = 4

DESCRIPTION = (
    "Run Python in a stateful session: variables, imports and files stay from call to call. What is printed and the "
    "value of the last expression come back; if there is an error, mend the code and run it again. Plots are shown to "
    f"the user when plt.show() is called. Files lie in {FOLDER}; to give the user one, write it there and link it in "
    f"your answer as [name]({MADE_FILES}name). There is no network. Installed: numpy, pandas, scipy, matplotlib, "
    "sympy, scikit-learn, openpyxl, python-docx, python-pptx, pypdf, pillow, tabulate."
)
PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": "Python code"}},
    "required": ["code"],
    "additionalProperties": False,
}

RESTARTED = "[The session was restarted: variables and imports are gone; files are there again.]"
NOTHING = "[The code ran and gave no output.]"
NO_CODE = "Error: there is no code in the call. Give it as the string 'code'."


class FileShelf(Protocol):
    """Where files are found and kept."""

    async def find(self, project: str, file_id: str) -> FileObject:
        """Raises NoSuchFile."""
        ...

    async def content(self, project: str, file_id: str) -> AsyncIterator[bytes]:
        """Open a file; its bytes come in pieces. Raises NoSuchFile, Unavailable."""
        ...

    async def create(self, project: str, filename: str, purpose: Purpose, chunks: AsyncIterator[bytes]) -> FileObject:
        """Keep bytes as they come, and make a file of them."""
        ...


@dataclass(slots=True)
class _Shown:
    """What a call shows, as it grows: logs that follow one another are one output."""

    outputs: list[JsonObject] = field(default_factory=list)

    def add_logs(self, text: str) -> JsonObject:
        """Take text in; return its delta."""
        if not self.outputs or self.outputs[-1]["type"] != "logs":
            self.outputs.append({"type": "logs", "logs": ""})
        self.outputs[-1]["logs"] += text
        return {"index": len(self.outputs) - 1, "type": "logs", "logs": text}

    def add_image(self, file_id: str) -> JsonObject:
        """Take an image in; return its delta."""
        self.outputs.append({"type": "image", "image": {"file_id": file_id}})
        return {"index": len(self.outputs) - 1, **self.outputs[-1]}


class CodeInterpreter:
    """The tool. Sessions belong to threads; `shelf` is where their files come from and go to."""

    def __init__(self, sandbox: Sandbox, shelf: FileShelf) -> None:
        self._sandbox = sandbox
        self._shelf = shelf
        self._placed: WeakKeyDictionary[Session, set[str]] = WeakKeyDictionary()

    async def prepare(self, tool: ToolOptions, run: RunContext) -> Description:
        """Warm a session up, and tell the model which files it has. Raises ToolUnavailable."""
        status = self._sandbox.status()
        if status["state"] == "off":
            raise ToolUnavailable(
                f"The tool 'code_interpreter' is off on this server. {status.get('why', '')}".rstrip()
            )
        self._sandbox.warm()
        names = [file.filename for file in await self._inputs(run)]
        listed = f" The user's files in {FOLDER}: {', '.join(map(repr, names))}." if names else ""
        return Description("code_interpreter", DESCRIPTION + listed, PARAMETERS)

    async def call(self, arguments: str, session: ToolSession) -> ToolOutput:
        """Run the code in the thread's session. See `base.Tool`."""
        code = code_of(arguments)
        if not code.strip():
            return ToolOutput({"input": code, "outputs": []}, NO_CODE)
        try:
            return await self._run(code, session)
        except SessionEnded:  # it died before the code began: the next one is new
            return await self._run(code, session)
        except (Unavailable, NoRoom) as problem:
            return ToolOutput({"input": code, "outputs": []}, f"Error: {problem}")

    def holds(self, project: str, thread_id: str) -> bool:
        """Say whether the thread's session is here."""
        return self._sandbox.holds(_key(project, thread_id))

    async def forget(self, project: str, thread_id: str) -> None:
        """End the session of a thread that is no more."""
        await self._sandbox.end(_key(project, thread_id))

    async def _run(self, code: str, session: ToolSession) -> ToolOutput:
        run, shown = session.run, _Shown()
        async with self._sandbox.session(_key(run.project, run.thread_id)) as python:
            restarted = python.is_new and (python.restarted or session.used_before)
            await self._place_files(python, session)
            result = await self._follow(python, code, run.project, shown, session.tell)
            files = await self._keep_files(python, run.project, result)
        told = _told(result, shown, files, restarted=restarted, limit=_room(run))
        return ToolOutput({"input": code, "outputs": shown.outputs}, told, files)

    # --- files in ----------------------------------------------------------------------------------------------------

    async def _inputs(self, run: RunContext) -> list[FileObject]:
        """Find the files of the assistant and the thread; those that are gone are left out."""
        resources = (run.assistant_resources, run.thread_resources)
        ids = [file_id for each in resources for file_id in each.get("code_interpreter", {}).get("file_ids", [])]
        return await self._found(run.project, dict.fromkeys(ids))

    async def _found(self, project: str, file_ids: Iterable[str]) -> list[FileObject]:
        found = []
        for file_id in file_ids:
            with suppress(NoSuchFile):
                found.append(await self._shelf.find(project, file_id))
        return found

    async def _place_files(self, python: Session, session: ToolSession) -> None:
        """Put into a session what it has not yet: the input files, and into a new one what earlier ones made."""
        placed = self._placed.setdefault(python, set())
        inputs = [(file, file.filename) for file in await self._inputs(session.run)]
        made = {file_id: link.removeprefix(MADE_FILES) for link, file_id in session.made.items()}
        earlier = await self._found(session.run.project, made) if python.is_new else []
        for file, name in [*inputs, *((file, made[file.id]) for file in earlier)]:
            if file.id not in placed:
                await python.put(name, await self._shelf.content(session.run.project, file.id), also=[file.id])
                placed.add(file.id)

    # --- what comes out ----------------------------------------------------------------------------------------------

    async def _follow(self, python: Session, code: str, project: str, shown: _Shown, tell: Tell) -> Result:
        """Run the code, and tell of its output as it comes."""
        pieces: asyncio.Queue[Output | None] = asyncio.Queue()
        telling = asyncio.create_task(self._tell(pieces, project, shown, tell))
        try:
            result = await python.run(code, on_output=pieces.put_nowait)
            pieces.put_nowait(None)
            await telling
            return result
        finally:
            telling.cancel()
            await asyncio.wait({telling})

    async def _tell(self, pieces: "asyncio.Queue[Output | None]", project: str, shown: _Shown, tell: Tell) -> None:
        while (piece := await pieces.get()) is not None:
            if isinstance(piece, Image):
                delta = shown.add_image((await self._keep_image(project, piece)).id)
            else:
                delta = shown.add_logs(piece)
            await tell({"outputs": [delta]})

    async def _keep_image(self, project: str, image: Image) -> FileObject:
        name = f"{new_id('file')}.{image.mime.removeprefix('image/')}"
        return await self._shelf.create(project, name, MADE, _once(image.content))

    async def _keep_files(self, python: Session, project: str, result: Result) -> dict[str, str]:
        """Keep what the code wrote, and return the files' ids by the text that links them."""
        kept = {}
        for made in result.files:
            try:
                file = await self._shelf.create(project, PurePosixPath(made.name).name, MADE, python.fetch(made.name))
            except (FileNotFoundError, SessionEnded):
                log.info("a file that code made was gone before it could be kept")
                continue
            kept[MADE_FILES + made.name] = file.id
            self._placed.setdefault(python, set()).add(file.id)
        return kept


def _key(project: str, thread_id: str) -> str:
    return f"{project}/{thread_id}"


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _room(run: RunContext) -> int:
    return run.context_window * CHARACTERS_PER_TOKEN // ANSWER_SHARE


def _told(result: Result, shown: _Shown, files: Mapping[str, str], *, restarted: bool, limit: int) -> str:
    """Put together what the model reads."""
    parts = [RESTARTED] if restarted else []
    parts += [_cut(result.logs, limit)] if result.logs else []
    images = sum(output["type"] == "image" for output in shown.outputs)
    parts += [f"[{images} image{'s' if images > 1 else ''} shown to the user]"] if images else []
    parts += [f"[Files made: {', '.join(files)}]"] if files else []
    return "\n".join(parts if len(parts) > restarted else [*parts, NOTHING])


def _cut(logs: str, limit: int) -> str:
    if len(logs) <= limit:
        return logs
    half = limit // 2
    return f"{logs[:half]}\n[… {len(logs) - 2 * half} characters left out …]\n{logs[-half:]}"
