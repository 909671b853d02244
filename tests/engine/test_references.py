"""Files that requests refer to: looked up within the project, given to the thread's tools, gone with the file."""

from typing import Any

import pytest
from tests.engine.house import House
from tests.storage.builders import PROJECT, stored_file

from understudy.engine.references import check_resources
from understudy.errors import ApiError, FilesNotFound, InvalidRequest, NotFound
from understudy.protocol.messages import CreateMessage
from understudy.protocol.runs import CreateRun
from understudy.protocol.threads import CreateThread, Thread
from understudy.protocol.tools import ToolResources, ToolResourcesParam
from understudy.storage import assistants, files, threads

CODE = [{"type": "code_interpreter"}]
PICTURE = "Invalid message content: Expected file type to be a supported format: .jpeg, .jpg, .png, .gif, .webp but got"


def said(**given: Any) -> CreateMessage:
    return CreateMessage.model_validate({"role": "user", "content": "hi"} | given)


def picture(file_id: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": "see"}, {"type": "image_file", "image_file": {"file_id": file_id}}]}


def attached(*file_ids: str, tools: Any = CODE) -> dict[str, Any]:
    return {"attachments": [{"file_id": file_id, "tools": tools} for file_id in file_ids]}


def resources(*file_ids: str) -> ToolResourcesParam:
    return ToolResourcesParam.model_validate({"code_interpreter": {"file_ids": list(file_ids)}})


async def refused(house: House, thread_id: str, **given: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await house.conversations.add_message(PROJECT, thread_id, said(**given))
    return caught.value


async def code_files(house: House, thread_id: str) -> list[str]:
    found: Thread = await house.store.read(lambda connection: threads.get(connection, PROJECT, thread_id))
    return found.tool_resources["code_interpreter"]["file_ids"]


@pytest.fixture
async def thread_id(house: House) -> str:
    return await house.thread()


async def test_files_of_ones_own_are_taken(house: House, thread_id: str) -> None:
    seen, csv = await stored_file(house.store, "a.PNG"), await stored_file(house.store, "b.csv")
    made = await house.conversations.add_message(PROJECT, thread_id, said(**picture(seen.id), **attached(csv.id)))
    assert made.content[1] == {"type": "image_file", "image_file": {"file_id": seen.id, "detail": "auto"}}
    assert made.attachments == [{"file_id": csv.id, "tools": CODE}]


@pytest.mark.parametrize("where", [picture, attached])
async def test_files_that_are_not_there(house: House, thread_id: str, where: Any) -> None:
    other = await stored_file(house.store, "a.png", project="other")
    late = await stored_file(house.store, "a.png", expires_at=int(house.clock.now()))
    gone = await stored_file(house.store, "a.png")
    await house.store.write(lambda connection: files.delete(connection, PROJECT, gone.id, house.clock.now()))
    for file_id in ("file-" + "x" * 22, other.id, late.id, gone.id):
        problem = await refused(house, thread_id, **where(file_id))
        assert (problem.status, problem.param) == (404, "file_ids")
        assert problem.message == f"File ids ['{file_id}'] were not found."
    assert await house.messages(thread_id) == []


async def test_all_that_are_missing_are_named_once(house: House, thread_id: str) -> None:
    there = await stored_file(house.store, "a.csv")
    problem = await refused(house, thread_id, **attached("file-1", there.id, "file-2", "file-1"))
    assert problem.message == "File ids ['file-1', 'file-2'] were not found."


async def test_ids_that_can_be_no_files(house: House, thread_id: str) -> None:
    problem = await refused(house, thread_id, **attached("31ab", "file-1"))
    text = "Invalid 'attachments[0].file_id': '31ab'. Expected an ID that begins with 'file'."
    assert (problem.status, problem.message, problem.code) == (400, text, "invalid_value")
    problem = await refused(house, thread_id, **picture("asst_1"))
    assert problem.param == "content[1].image_file.file_id"
    given = CreateThread(messages=[said(), said(**attached("x"))])
    with pytest.raises(InvalidRequest, match=r"^Invalid 'messages\[1\]\.attachments\[0\]\.file_id': 'x'\."):
        await house.conversations.create_thread(PROJECT, given)
    with pytest.raises(InvalidRequest, match=r"^Invalid 'additional_messages\[0\]\.content\[1\]\.image_file"):
        await house.start_on(thread_id, additional_messages=[said(**picture("x")).model_dump()])


async def test_pictures_must_be_pictures(house: House, thread_id: str) -> None:
    for name, shown in {"a.pdf": ".pdf", "png": "none", "a.svg": ".svg"}.items():
        file = await stored_file(house.store, name)
        problem = await refused(house, thread_id, **picture(file.id))
        assert (problem.status, problem.message) == (400, f"{PICTURE} {shown}.")


def shown(url: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": url}}]}


NO_PICTURES = ["", "a.png", "ftp://x/a.png", "javascript:1", "http://[::1", "https:///a.png", "http://x:port/a.png"]
NO_PICTURES += ["data:text/html,a.png", " https://x/a.png", "file:///etc/a.png"]


@pytest.mark.parametrize("url", NO_PICTURES)
async def test_addresses_that_can_be_no_pictures(house: House, thread_id: str, url: str) -> None:
    problem = await refused(house, thread_id, **shown(url))
    text = "Invalid 'content[1].image_url.url'. Expected url to end in a supported format: .jpeg, .jpg, .png, .gif, "
    text += ".webp, and to begin with 'https://', 'http://' or 'data:image/'."
    assert (problem.status, problem.message) == (400, text)
    assert (problem.param, problem.code) == ("content[1].image_url.url", "invalid_value")
    assert await house.messages(thread_id) == []
    given = CreateThread(messages=[said(), said(**shown(url))])
    with pytest.raises(InvalidRequest, match=r"^Invalid 'messages\[1\]\.content\[1\]\.image_url\.url'\. Expected url"):
        await house.conversations.create_thread(PROJECT, given)


PERHAPS_PICTURES = ["https://x/a.png", "HTTP://[::1]:8080/a", "https://store.example/signed?name=a.png&sig=b"]
PERHAPS_PICTURES += ["https://그림.example/꽃.jpeg", "data:image/png;base64,aaaa", "DATA:image/webp;base64,aaaa"]


@pytest.mark.parametrize("url", PERHAPS_PICTURES)
async def test_addresses_are_kept_as_they_are(house: House, thread_id: str, url: str) -> None:
    made = await house.conversations.add_message(PROJECT, thread_id, said(**shown(url)))
    assert made.content[1] == {"type": "image_url", "image_url": {"url": url, "detail": "auto"}}


async def test_attachments_are_added_to_the_threads_code_interpreter(house: House, thread_id: str) -> None:
    found = [(await stored_file(house.store, f"{number}.csv")).id for number in range(3)]
    await house.conversations.add_message(PROJECT, thread_id, said(**attached(found[0], found[1])))
    await house.conversations.add_message(PROJECT, thread_id, said(**attached(found[1], found[2])))
    await house.conversations.add_message(PROJECT, thread_id, said(**attached(found[0], tools=None)))
    assert await code_files(house, thread_id) == found


async def test_a_new_threads_attachments_and_resources_come_together(house: House) -> None:
    one, two = [(await stored_file(house.store, f"{number}.csv")).id for number in range(2)]
    given = CreateThread(messages=[said(**attached(two))], tool_resources=resources(one))
    made = await house.conversations.create_thread(PROJECT, given)
    assert made.tool_resources["code_interpreter"] == {"file_ids": [one, two]}


async def test_a_runs_additional_messages_bring_files_too(house: House, thread_id: str) -> None:
    file = await stored_file(house.store, "a.csv")
    await house.start_on(thread_id, additional_messages=[said(**attached(file.id)).model_dump()])
    assert await code_files(house, thread_id) == [file.id]


async def test_a_code_interpreter_takes_twenty_files(house: House, thread_id: str) -> None:
    found = [(await stored_file(house.store, f"{number}.csv")).id for number in range(21)]
    await house.conversations.add_message(PROJECT, thread_id, said(**attached(*found[:20])))
    problem = await refused(house, thread_id, **attached(found[20]))
    assert (problem.status, problem.param) == (400, "attachments")
    assert "would have 21 files; it takes 20" in problem.message
    assert len(await house.messages(thread_id)) == 1


async def test_what_a_request_names_is_all_or_nothing(house: House) -> None:
    assistant_id = await house.assistant()
    given = CreateRun.model_validate(
        {"assistant_id": assistant_id, "additional_messages": [said(**attached("file-1")).model_dump()]}
    )
    thread_id = await house.thread("hi")
    with pytest.raises(FilesNotFound):
        await house.runs.start(PROJECT, thread_id, given)
    assert await house.texts(thread_id) == ["hi"]


RESOURCES: list[tuple[ToolResources, type[ApiError], str]] = [
    ({"code_interpreter": {"file_ids": ["file-1"]}}, FilesNotFound, r"^File ids \['file-1'\] were not found\.$"),
    (
        {"code_interpreter": {"file_ids": ["file-1", "x"]}},
        InvalidRequest,
        r"^Invalid 'tool_resources\.code_interpreter\.file_ids\[1\]': 'x'\. Expected an ID that begins with 'file'\.$",
    ),
    ({"file_search": {"vector_store_ids": ["vs_1"]}}, NotFound, "^No vector store found with id 'vs_1'"),
]


@pytest.mark.parametrize(("given", "kind", "text"), RESOURCES)
async def test_tools_get_only_what_is_there(
    house: House, given: ToolResources, kind: type[ApiError], text: str
) -> None:
    with pytest.raises(kind, match=text):
        await house.store.read(lambda connection: check_resources(connection, PROJECT, given, house.clock.now()))


async def test_a_deleted_file_leaves_all_that_use_it(house: House) -> None:
    one, two = [(await stored_file(house.store, f"{number}.csv")).id for number in range(2)]
    mine: ToolResources = {"code_interpreter": {"file_ids": [one, two]}, "file_search": {"vector_store_ids": []}}
    assistant_id = await house.assistant(tool_resources=mine)
    made = await house.conversations.create_thread(PROJECT, CreateThread(tool_resources=resources(two, one)))
    bare = await house.conversations.create_thread(PROJECT, CreateThread(tool_resources=resources(two)))
    await house.store.write(lambda connection: files.delete(connection, PROJECT, one, house.clock.now()))
    kept = await house.store.read(lambda connection: assistants.get(connection, PROJECT, assistant_id))
    assert kept.tool_resources == {**mine, "code_interpreter": {"file_ids": [two]}}
    assert await code_files(house, made.id) == [two]
    assert await code_files(house, bare.id) == [two]
    await house.store.write(lambda connection: files.delete(connection, PROJECT, two, house.clock.now()))
    assert await code_files(house, made.id) == await code_files(house, bare.id) == []


async def test_resources_that_were_replaced_are_not_touched_later(house: House, thread_id: str) -> None:
    one, two = [(await stored_file(house.store, f"{number}.csv")).id for number in range(2)]

    def put(*file_ids: str) -> Any:
        stored: ToolResources = {"code_interpreter": {"file_ids": list(file_ids)}}
        return house.store.write(
            lambda connection: threads.change(connection, PROJECT, thread_id, {"tool_resources": stored})
        )

    await put(one)
    await put(two)
    await house.store.write(lambda connection: files.delete(connection, PROJECT, one, house.clock.now()))
    assert await code_files(house, thread_id) == [two]
    await house.store.write(lambda connection: threads.delete(connection, PROJECT, thread_id))
    await house.store.write(lambda connection: files.delete(connection, PROJECT, two, house.clock.now()))
