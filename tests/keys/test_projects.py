"""Two projects on one server: by no operation, and by no place in it that takes an id, does one reach the other.

The operations are those of the server's own OpenAPI document: a new one is tried without being named here.
"""

from collections.abc import Iterator

import httpx2
import pytest
from tests.fuzz.test_schemathesis import known_ids
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire
from tests.keys.keys import make_key
from tests.keys.spots import CURSORS, Document, Request

NEVER = {
    "assistant_id": "asst_" + "x" * 24,
    "thread_id": "thread_" + "x" * 24,
    "run_id": "run_" + "x" * 24,
    "step_id": "step_" + "x" * 24,
    "message_id": "msg_" + "x" * 24,
    "model_call_id": "call_" + "x" * 24,
    "file_id": "file-" + "x" * 22,
    "file_ids": "file-" + "x" * 22,
    "upload_id": "upload_" + "0" * 32,
    "part_ids": "part_" + "0" * 32,
    "vector_store_id": "vs_" + "0" * 32,
    "vector_store_ids": "vs_" + "0" * 32,
    "batch_id": "vsfb_" + "0" * 32,
    "chunk_id": "chunk_" + "x" * 24,
}
OF_NO_PROJECT = {
    "model": "routes are the server's",
    "tool_call_id": "is looked for among the calls of the run in the path",
}
SECRET = "the plan of the other project"


@pytest.fixture(scope="module")
def server(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("projects") / "data", _upstream.url)
    server.data_dir.mkdir(parents=True)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def admin_key(server: Server) -> str:
    return make_key(server, "ours", admin=True)[1]


@pytest.fixture(scope="module")
def two(server: Server, admin_key: str) -> Iterator[tuple[Wire, Wire]]:
    keys = [make_key(server, project)[1] for project in ("ours", "theirs")]
    server.start()
    wires = Wire(server.url, keys[0]), Wire(server.url, keys[1])
    yield wires
    for wire in wires:
        wire.close()


@pytest.fixture
def ours(two: tuple[Wire, Wire], upstream: Upstream) -> Wire:
    return two[0]


@pytest.fixture
def theirs(two: tuple[Wire, Wire], upstream: Upstream) -> Wire:
    return two[1]


@pytest.fixture
def document(server: Server, two: tuple[Wire, Wire]) -> Document:
    return Document(description(server))


def description(server: Server) -> Json:
    return httpx2.get(server.url + "/openapi.json").json()


def send(wire: Wire, request: Request) -> httpx2.Response:
    options: Json = {"params": request.query}
    if request.is_form:
        # text parts, each without a name of its own: enough for this server to take one for a file
        options["files"] = {name: (None, str(value).encode()) for name, value in request.body.items()}
    elif request.body is not None:
        options["json"] = request.body
    return wire.http.request(request.method, request.path, **options)


def all_of(wire: Wire, ids: Json) -> list[Json]:
    """Everything that a project has."""
    thread, run = f"/threads/{ids['thread_id']}", f"/threads/{ids['thread_id']}/runs/{ids['run_id']}"
    paths = ["/assistants", thread, f"{thread}/messages", f"{thread}/runs", run, f"{run}/steps", "/files"]
    paths += ["/threads", "/runs", f"{run}/model_calls", f"{run}/model_calls/{ids['model_call_id']}", "/usage"]
    store = f"/vector_stores/{ids['vector_store_id']}"
    paths += ["/vector_stores", f"{store}/files", f"{store}/file_batches/{ids['batch_id']}"]
    return [wire.read(path) for path in paths]


def candidates(spot: str) -> list[str]:
    """Which ids to try at a place: at a cursor those of every kind, since all lists name it alike."""
    return list(NEVER) if spot in CURSORS else [spot]


def in_question(document: Document) -> list[Request]:
    return [request for request in document.spots() if request.spot not in OF_NO_PROJECT]


def test_every_place_that_takes_an_id_is_known(server: Server, document: Document) -> None:
    spots = {request.spot for request in document.spots()}
    assert spots <= {*NEVER, *CURSORS, *OF_NO_PROJECT}, "give the new kind of id a place in known_ids()"
    assert spots >= {*NEVER, *CURSORS}


def test_anothers_id_is_like_one_that_never_was(ours: Wire, theirs: Wire, document: Document) -> None:
    """The same status and the same text, but for the id itself; and nothing of theirs is told or changed."""
    own, other = known_ids(ours), known_ids(theirs)
    theirs.make("/assistants", {"model": "gpt-4o", "instructions": SECRET})
    before = all_of(theirs, other)
    tried = 0
    free = own | {"thread_id": ours.thread()["id"]}
    for request in in_question(document):
        around = own if request.in_path or "{run_id}" in request.path else free
        for kind in candidates(request.spot):
            ids = [other[kind], NEVER[kind]]
            answers = [send(ours, request.with_ids(around, here)) for here in ids]
            told = [
                (answer.status_code, answer.text.replace(here, "ID")) for answer, here in zip(answers, ids, strict=True)
            ]
            where = f"{request.method} {request.path}: {request.spot} ({kind})"
            assert told[0] == told[1], where
            filters = request.method == "get" and request.spot in request.query and request.spot not in CURSORS
            status, text = told[0]
            assert (status, '"data":[]' in text) == (200, True) if filters else status == 404, f"{where}: {told[0]}"
            assert not [one for one in {*other.values(), SECRET} if one in text], where
            tried += 1
    assert all_of(theirs, other) == before
    assert tried > 60


def test_all_ids_of_another_project_at_once(ours: Wire, theirs: Wire, document: Document) -> None:
    other = known_ids(theirs)
    before = all_of(theirs, other)
    for request in {request.path: request for request in in_question(document) if "{" in request.path}.values():
        for plain in (one for one in document.plain() if one.path == request.path):
            answers = [send(ours, plain.with_ids(ids)) for ids in (other, NEVER)]
            assert answers[0].status_code == answers[1].status_code == 404, plain
            texts = [answer.json()["error"]["message"] for answer in answers]
            for kind, never in NEVER.items():
                texts[0] = texts[0].replace(other[kind], never)
            assert texts[0] == texts[1]
    assert all_of(theirs, other) == before


def test_lists_show_only_what_is_ones_own(ours: Wire, theirs: Wire, document: Document) -> None:
    own, other = known_ids(ours), known_ids(theirs)
    for plain in document.plain():
        if plain.method == "get" and "{model}" not in plain.path:
            answer = send(ours, plain.with_ids(own))
            assert answer.status_code == 200, plain
            assert not [one for one in other.values() if one in answer.text], plain


def test_ones_own_ids_are_found_by_the_same_requests(ours: Wire, document: Document) -> None:
    """Else the tests above would show nothing: what they send is right but for whose it is."""
    own = known_ids(ours)
    for plain in document.plain():
        if "{model}" not in plain.path:
            answer = send(ours, plain.with_ids(own))
            if plain.method == "delete" or plain.path.endswith(("/cancel", "/complete")):
                own = known_ids(ours)
            refused = answer.json()["error"] if answer.status_code == 400 else {"code": None}
            assert answer.status_code in (200, 400), f"{plain}: {answer.text}"
            assert refused["code"] in (None, "invalid_thread"), f"{plain}: {refused}"


def test_an_event_position_of_another_project_opens_nothing(ours: Wire, theirs: Wire) -> None:
    other = known_ids(theirs)
    path = f"/threads/{other['thread_id']}/runs/{other['run_id']}/events"
    for position in ("0.0", "1.0", "1.3", "nonsense", ""):
        answer = ours.get(path, headers={"last-event-id": position})
        assert answer.status_code == 404
        assert answer.json()["error"]["message"] == f"No thread found with id '{other['thread_id']}'."


def test_a_key_is_told_of_its_own_project_alone(ours: Wire) -> None:
    assert ours.read("/projects") == {
        "object": "list",
        "data": [{"object": "project", "id": "ours", "current": True}],
        "admin": False,
    }


def test_an_admin_is_told_of_all_projects(server: Server, admin_key: str, ours: Wire) -> None:
    """Those of keys, and those in which something was made, be there a key of them or not."""
    with httpx2.Client(base_url=server.url + "/v1") as http:
        http.headers["authorization"] = f"Bearer {admin_key}"

        def told(project: str) -> dict[str, bool]:
            found = http.get("/projects", headers={"openai-project": project}).json()
            assert found["admin"] is True
            return {one["id"]: one["current"] for one in found["data"]}

        assert told("") == {"ours": True, "theirs": False}
        assert told("new") == {"new": True, "ours": False, "theirs": False}
        assert list(told("theirs")) == ["ours", "theirs"], "to ask makes none"
        http.post("/threads", json={}, headers={"openai-project": "new"}).raise_for_status()
        assert told("theirs") == {"new": False, "ours": False, "theirs": True}
