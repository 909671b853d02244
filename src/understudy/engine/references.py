"""What requests refer to by id, looked up within the project: files of messages and of tools.

Texts: behaviours.md, section 1, rows 9, 33 and 34.
"""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from sqlalchemy import Connection

from understudy.engine import passing_stores
from understudy.errors import FilesNotFound, InvalidRequest, quoted
from understudy.ids import PREFIXES
from understudy.protocol.files import FileObject
from understudy.protocol.messages import Attachment, ContentPart, CreateMessage, ImageFilePart, ImageUrlPart
from understudy.protocol.tools import CodeInterpreterTool, ToolResources
from understudy.storage import files, threads, vector_stores

MAX_CODE_FILES = 20
PICTURES = (".jpeg", ".jpg", ".png", ".gif", ".webp")

Place = tuple[str, str]
"""Where in a request an id stands, and the id."""


def check_messages(
    connection: Connection, project: str, given: Sequence[CreateMessage], now: float, where: str = ""
) -> None:
    """Raise FilesNotFound or InvalidRequest for files that cannot be used; `where` is the list's name."""
    under = [f"{where}[{number}]." if where else "" for number in range(len(given))]
    for path, message in zip(under, given, strict=True):
        _check_addresses(path, message)
    pictures = [place for path, message in zip(under, given, strict=True) for place in _pictures(path, message)]
    attached = [place for path, message in zip(under, given, strict=True) for place in _attached(path, message)]
    found = _found(connection, project, [*pictures, *attached], now)
    for _, file_id in pictures:
        _refuse_other_than_pictures(found[file_id])


def check_resources(connection: Connection, project: str, resources: ToolResources, now: float) -> None:
    """Raise FilesNotFound or NotFound for what tools cannot be given."""
    code = resources.get("code_interpreter", {"file_ids": []})["file_ids"]
    path = "tool_resources.code_interpreter.file_ids"
    _found(connection, project, [(f"{path}[{number}]", file_id) for number, file_id in enumerate(code)], now)
    stores = resources.get("file_search", {"vector_store_ids": []})["vector_store_ids"]
    for number, store_id in enumerate(stores):
        _check_prefix("vector_store", f"tool_resources.file_search.vector_store_ids[{number}]", store_id)
        vector_stores.get(connection, project, store_id)


def attach(
    connection: Connection,
    project: str,
    thread_id: str,
    given: Sequence[CreateMessage],
    now: float,
    *,
    todo: list[str],
) -> None:
    """Give attached files to the thread's tools; `todo` gets the jobs that come of it.

    Raises InvalidRequest if a tool cannot take them.
    """
    attachments = [one for message in given for one in message.attachments or [] if one.file_id]
    _give_to_code(connection, project, thread_id, [one.file_id or "" for one in attachments if _for_code(one)])
    if to_search := [one.file_id or "" for one in attachments if _for_search(one)]:
        thread = threads.get(connection, project, thread_id)
        passing_stores.shelve(connection, project, thread, to_search, now, todo=todo)


def _give_to_code(connection: Connection, project: str, thread_id: str, new: Sequence[str]) -> None:
    if not new:
        return
    resources = threads.get(connection, project, thread_id).tool_resources
    file_ids = list(dict.fromkeys([*resources["code_interpreter"]["file_ids"], *new]))
    if len(file_ids) > MAX_CODE_FILES:
        raise InvalidRequest(
            f"The code interpreter of {thread_id} would have {len(file_ids)} files; it takes {MAX_CODE_FILES}.",
            param="attachments",
        )
    changed: ToolResources = {**resources, "code_interpreter": {"file_ids": file_ids}}
    threads.change(connection, project, thread_id, {"tool_resources": changed})


def _for_code(attachment: Attachment) -> bool:
    return any(isinstance(tool, CodeInterpreterTool) for tool in attachment.tools or [])


def _for_search(attachment: Attachment) -> bool:
    return any(not isinstance(tool, CodeInterpreterTool) for tool in attachment.tools or [])


def _parts(message: CreateMessage) -> Sequence[ContentPart]:
    return [] if isinstance(message.content, str) else message.content


def _pictures(under: str, message: CreateMessage) -> Iterator[Place]:
    for number, part in enumerate(_parts(message)):
        if isinstance(part, ImageFilePart):
            yield f"{under}content[{number}].image_file.file_id", part.image_file.file_id


def _attached(under: str, message: CreateMessage) -> Iterator[Place]:
    for number, attachment in enumerate(message.attachments or []):
        if attachment.file_id is not None:
            yield f"{under}attachments[{number}].file_id", attachment.file_id


def _found(connection: Connection, project: str, places: Sequence[Place], now: float) -> dict[str, FileObject]:
    for path, file_id in places:
        _check_prefix("file", path, file_id)
    if not places:
        return {}
    found = files.find(connection, project, [file_id for _, file_id in places], now)
    missing = list(dict.fromkeys(file_id for _, file_id in places if file_id not in found))
    if missing:
        raise FilesNotFound(missing)
    return found


def _check_prefix(kind: str, path: str, given: str) -> None:
    prefix = PREFIXES[kind]
    if not given.startswith(prefix):
        message = f"Invalid '{path}': '{quoted(given)}'. Expected an ID that begins with '{prefix}'."
        raise InvalidRequest(message, param=path, code="invalid_value")


def _refuse_other_than_pictures(file: FileObject) -> None:
    kind = PurePosixPath(file.filename).suffix.lower()
    if kind not in PICTURES:
        raise InvalidRequest(
            "Invalid message content: Expected file type to be a supported format: "
            f"{', '.join(PICTURES)} but got {kind or 'none'}.",
            code="invalid_value",
        )


def _check_addresses(under: str, message: CreateMessage) -> None:
    """Refuse what no upstream could fetch. An address's ending is not looked at: signed ones have none of a picture."""
    for number, part in enumerate(_parts(message)):
        if isinstance(part, ImageUrlPart) and not _may_be_a_picture(part.image_url.url):
            path = f"{under}content[{number}].image_url.url"
            message_text = (
                f"Invalid '{path}'. Expected url to end in a supported format: {', '.join(PICTURES)}, "
                "and to begin with 'https://', 'http://' or 'data:image/'."
            )
            raise InvalidRequest(message_text, param=path, code="invalid_value")


def _may_be_a_picture(url: str) -> bool:
    scheme = url[:16].lower()
    if scheme.startswith("data:image/"):
        return True
    if not scheme.startswith(("http://", "https://")):
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket without its other, a port that can be none
        return False
