"""Fixtures of this room: a cluster of real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.nats import Nats
from tests.harness.postgres import Postgres
from tests.harness.scaled import Cluster
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire


def _closed(cluster: Cluster) -> Iterator[Cluster]:
    yield cluster
    cluster.close()
    for process in cluster.processes:
        assert "Traceback" not in process.stderr, process.stderr


@pytest.fixture
def cluster(postgres_server: Postgres, nats_server: Nats, upstream: Upstream, tmp_path: Path) -> Iterator[Cluster]:
    """Return a cluster without processes: each test starts those that it is about."""
    yield from _closed(Cluster(postgres_server, nats_server, tmp_path, upstream.url))


@pytest.fixture
def cluster_on_own_nats(
    postgres_server: Postgres, own_nats: Nats, upstream: Upstream, tmp_path: Path
) -> Iterator[Cluster]:
    """Return a cluster without processes, whose NATS the test may kill."""
    yield from _closed(Cluster(postgres_server, own_nats, tmp_path, upstream.url))


@pytest.fixture(scope="module")
def _standing(
    postgres_server: Postgres, nats_server: Nats, _upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    cluster = Cluster(postgres_server, nats_server, tmp_path_factory.mktemp("cluster"), _upstream.url)
    cluster.server()
    cluster.server()
    cluster.worker()
    yield from _closed(cluster)


@pytest.fixture
def standing(_standing: Cluster, upstream: Upstream) -> Cluster:
    """Return a cluster that tests share: two servers without a worker, and a worker."""
    return _standing


@pytest.fixture
def a(standing: Cluster) -> Iterator[Wire]:
    """Return a client of the one server."""
    yield from _calm(standing.processes[0])


@pytest.fixture
def c(standing: Cluster) -> Iterator[Wire]:
    """Return a client of the other server."""
    yield from _calm(standing.processes[1])


def _calm(server: Server) -> Iterator[Wire]:
    wire = Wire(server.url)
    yield wire
    wire.calm()
    wire.close()
