"""A server of its own: old SDKs, told to validate strictly, know no fields that other tests' objects have."""

from collections.abc import Iterator

import pytest
from tests.harness.server import Server
from tests.harness.upstream import Upstream


@pytest.fixture(scope="package")
def _own_server(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("sdks") / "data", _upstream.url).start()
    yield server
    server.stop()


@pytest.fixture
def own_server(_own_server: Server, upstream: Upstream) -> Server:
    """Return a server that only the SDKs' drivers use, its model with no script."""
    return _own_server
