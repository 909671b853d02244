"""The fuzzers' own server and model: the runs that they start must not take the other tests' scripts."""

from collections.abc import Iterator

import pytest
from tests.harness.server import Server
from tests.harness.upstream import Upstream


@pytest.fixture(scope="session")
def _upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    upstream.start()
    yield upstream
    upstream.close()


@pytest.fixture(scope="session")
def _server(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("fuzz") / "data", _upstream.url).start()
    yield server
    server.close()
    assert "Traceback" not in server.stderr, server.stderr
