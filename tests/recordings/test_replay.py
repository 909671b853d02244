"""The recorded requests, sent to our server, get the recorded answers."""

import time
from collections.abc import Iterator
from dataclasses import replace

import httpx2
import pytest
from tests.harness.replies import Body, Reply, Scripted
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import FINAL, Event, Stream, Wire
from tests.recordings.comparer import ALLOWED, Comparison
from tests.recordings.recording import NAMES, Exchange, load, replies

_FILES_S = _RUN_S = 60.0
_ANSWERED = FINAL | {"requires_action"}


class Replay:
    """Sends one recording's requests in their order."""

    def __init__(self, wire: Wire, upstream: Upstream, exchanges: list[Exchange]) -> None:
        self.wire = wire
        self.exchanges = exchanges
        self.comparison = Comparison()
        words = replies(exchanges)
        self._held = (reply for reply in words if isinstance(reply, Reply) and reply.hold)
        self._answered: set[str] = set()
        upstream.script(*(self._with_our_ids(word) for word in words))

    def play(self) -> Comparison:
        for number, exchange in enumerate(self.exchanges):
            self._open_gates(exchange)
            where = f"{number} {exchange.method} {exchange.target[:60]}"
            if exchange.streamed:
                self._stream(exchange, where)
            else:
                self._exchange(exchange, where)
        return self.comparison

    def _with_our_ids(self, word: Scripted) -> Scripted:
        """Code that was recorded opens files by their ids."""
        if not isinstance(word, Reply):
            return word

        def translated(_: Body) -> Reply:
            return replace(
                word,
                calls=[replace(call, arguments=self.comparison.translate(call.arguments)) for call in word.calls],
            )

        return translated

    def _open_gates(self, exchange: Exchange) -> None:
        """Let the model answer when the recording shows that it had answered."""
        runs = [item for item in exchange.objects if item.get("object") == "thread.run"]
        news = [f"{run['status']} {run['started_at']}" for run in runs if run["status"] in _ANSWERED]
        for state in dict.fromkeys(news):
            if state not in self._answered:
                self._answered.add(state)
                held = next(self._held, None)  # none, where tools of the server went on by themselves
                if held is not None and held.hold:
                    held.hold.open()

    def _exchange(self, exchange: Exchange, where: str) -> None:
        polled = exchange.method == "GET"
        response = self._send(exchange)
        if polled and isinstance(exchange.answer, dict) and exchange.answer.get("object") == "thread.run":
            status = exchange.answer["status"]
            self.wire.until(response.json(), {status, "in_progress"} if status == "queued" else {status}, _RUN_S)
            response = self._send(exchange)
        if polled:
            response = self._when_files_are_in(exchange, response)
        self._check_head(exchange, response, where)
        self.comparison.compare(exchange.answer, response.json(), where, polled)

    def _when_files_are_in(self, exchange: Exchange, response: httpx2.Response) -> httpx2.Response:
        """Ask again until the files of a vector store are as far as they were when it was recorded."""
        deadline = time.monotonic() + _FILES_S
        wanted = [item["status"] for item in exchange.objects if item.get("object") == "vector_store.file"]
        while wanted and [item["status"] for item in response.json()["data"]] != wanted:
            assert time.monotonic() < deadline, response.text
            time.sleep(0.05)
            response = self._send(exchange)
        return response

    def _stream(self, exchange: Exchange, where: str) -> None:
        request = self._request(exchange)
        with self.wire.http.stream(request.method, request.url, headers=request.headers, content=request.read()) as got:
            events: list[Event] = list(Stream(got))
        self._check_head(exchange, got, where)
        self.comparison.compare_events(exchange.answer, events, where)

    def _send(self, exchange: Exchange) -> httpx2.Response:
        return self.wire.http.send(self._request(exchange))

    def _request(self, exchange: Exchange) -> httpx2.Request:
        target = self.comparison.translate(exchange.target)
        headers = {"accept": exchange.accept}
        if exchange.body is None:
            return self.wire.http.build_request(exchange.method, target, headers=headers)
        body = exchange.body
        headers["content-type"] = exchange.body_type
        if exchange.body_type == "application/json":
            body = self.comparison.translate(body.decode()).encode()
        return self.wire.http.build_request(exchange.method, target, headers=headers, content=body)

    def _check_head(self, exchange: Exchange, response: httpx2.Response, where: str) -> None:
        assert response.status_code == exchange.status, f"{where}: {response.text}"
        assert response.headers["content-type"] == exchange.content_type, where
        assert response.headers["openai-version"] == "2020-10-01", where
        assert response.headers["openai-processing-ms"].isdigit(), where
        assert response.headers["x-request-id"].startswith("req_"), where


@pytest.fixture
def play(server: Server, wire: Wire, upstream: Upstream) -> Iterator[object]:
    def play(name: str) -> Comparison:
        upstream.reset()
        return Replay(wire, upstream, load(name)).play()

    return play


@pytest.mark.parametrize("name", NAMES)
def test_recorded_requests_get_the_recorded_answers(name: str, play) -> None:
    differences = play(name).differences
    assert not differences, "\n".join(differences)


def test_every_addition_on_the_list_is_made(play) -> None:
    made = {addition for name in NAMES for addition in play(name).additions}
    assert made >= ALLOWED, f"take these off the list: {ALLOWED - made}"
