"""Fixtures that every room of the suite shares: a scripted upstream, the real server, clients of it."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import openai
import pytest
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire

if TYPE_CHECKING:
    from tests.harness.nats import Nats
    from tests.harness.postgres import Postgres

MakeServer = Callable[..., Server]


def pytest_configure(config: pytest.Config) -> None:
    """Let the SDK say that the API is deprecated; every other warning stays an error."""
    config.addinivalue_line("filterwarnings", "ignore:The Assistants API is deprecated:DeprecationWarning")
    config.addinivalue_line("filterwarnings", "ignore:deprecated$:DeprecationWarning")


@pytest.fixture(scope="session")
def _upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    upstream.start()
    yield upstream
    upstream.close()


@pytest.fixture
def upstream(_upstream: Upstream) -> Iterator[Upstream]:
    """Return the model's server with no script, no memory and the default brain."""
    _upstream.reset()
    yield _upstream
    _upstream.reset()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator["Postgres"]:
    """Return a PostgreSQL of the suite's own, on which every test makes its databases."""
    from tests.harness.postgres import Postgres

    server = Postgres()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="session")
def nats_server() -> Iterator["Nats"]:
    """Return a NATS of the suite's own; whoever uses it takes a prefix of its own."""
    from tests.harness.nats import Nats

    server = Nats()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="session")
def _server(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("shared") / "data", _upstream.url).start()
    yield server
    server.close()
    assert "Traceback" not in server.stderr, server.stderr


@pytest.fixture
def server(_server: Server, upstream: Upstream) -> Server:
    """Return the server that tests share; they see only the objects that they made themselves."""
    return _server


@pytest.fixture
def make_server(upstream: Upstream, tmp_path: Path) -> Iterator[MakeServer]:
    """Start servers of this test's own, each on its own folder, with settings."""
    started: list[Server] = []
    numbers = itertools.count()

    def make(**settings: str) -> Server:
        server = Server(tmp_path / f"data{next(numbers)}", upstream.url, settings)
        started.append(server)
        return server.start()

    yield make
    for server in started:
        server.close()


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    """Return a plain HTTP client of the shared server."""
    wire = Wire(server.url)
    yield wire
    wire.calm()
    wire.close()


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    """Return the official SDK's client of the shared server."""
    with openai.OpenAI(base_url=server.url + "/v1", api_key="sk-test", max_retries=0) as client:
        yield client
