"""Processes die and hang under busy clients; afterwards all that was acknowledged is there, once, and ended."""

from pathlib import Path

import pytest
from tests.chaos import trial
from tests.harness.upstream import Upstream


@pytest.mark.timeout(300)
def test_one_fault_of_each_kind(tmp_path: Path, upstream: Upstream) -> None:
    """This seed kills a server, a worker and NATS, and lets PostgreSQL crash."""
    outcome = trial.run(
        tmp_path, upstream, seed=109, strikes=4, clients=4, longest_s=1.0, lease_s=2.0, workers=2, calm_s=2.0
    )
    assert sorted(outcome.faults) == [
        "NATS is killed",
        "PostgreSQL crashes",
        "a server is killed",
        "a worker is killed",
    ]
    assert outcome.findings == []
    assert outcome.statuses.get("completed", 0) > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("seed", "max_retries"), [(4711, 0), (4712, 2)], ids=["no retries", "the SDK retries"])
def test_a_few_faults(tmp_path: Path, upstream: Upstream, seed: int, max_retries: int) -> None:
    outcome = trial.run(
        tmp_path, upstream, seed=seed, strikes=4, clients=4, max_retries=max_retries, longest_s=4.0, lease_s=4.0
    )
    assert outcome.findings == []
    assert outcome.statuses.get("completed", 0) > 0
