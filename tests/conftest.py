"""Fixtures that every room of the suite shares: a scripted upstream, the real server, clients of it."""

import gc
import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import openai
import pytest
from tests.harness import setups
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire

if TYPE_CHECKING:
    from tests.harness.nats import Nats
    from tests.harness.postgres import Postgres

MakeServer = Callable[..., Server]

hypothesis.settings.register_profile("suite", deadline=None)  # the machine may have much else to do
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the caller choose what servers stand on."""
    chosen = os.environ.get("UNDERSTUDY_TEST_SETUP", setups.NAMES[0])
    parser.addoption("--setup", choices=setups.NAMES, default=chosen, help="what servers and engines stand on")


def pytest_unconfigure() -> None:
    """End what was started for the whole session."""
    setups.close()


def pytest_configure(config: pytest.Config) -> None:
    """Let the SDK say that the API is deprecated; every other warning stays an error."""
    setups.choose(config.getoption("--setup"))
    config.addinivalue_line("filterwarnings", "ignore:The Assistants API is deprecated:DeprecationWarning")
    config.addinivalue_line("filterwarnings", "ignore:deprecated$:DeprecationWarning")


WAITING = ("chaos", "scale", "operations", "crash", "retries", "sdks", "soak")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders whose tests mostly wait, so that no worker is left with them when the others are done."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.relative_to(here).parts[0] not in WAITING)


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
def postgres_server() -> "Postgres":
    """Return a PostgreSQL of the suite's own, on which every test makes its databases."""
    return setups.postgres()


@pytest.fixture(scope="session")
def nats_server() -> "Nats":
    """Return a NATS of the suite's own; whoever uses it takes a prefix of its own."""
    return setups.nats()


@pytest.fixture
def own_nats() -> "Iterator[Nats]":
    """Return a NATS that the test may kill."""
    from tests.harness.nats import Nats

    server = Nats().start()
    yield server
    server.close()
    with warnings.catch_warnings():  # nats-py leaves connections that failed at their beginning to the collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def _server(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("shared") / "data"
    settings = setups.settings_of_a_server() | {"UNDERSTUDY_SANDBOX": "auto"}
    server = Server(folder, _upstream.url, settings).start()
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
        given = setups.settings_of_a_server() | settings
        server = Server(tmp_path / f"data{next(numbers)}", upstream.url, given)
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
