"""What `serve` does to the process it runs in; that it serves is shown everywhere else."""

import gc
from collections.abc import Iterator

import pytest

from understudy import serve


@pytest.fixture
def collector() -> Iterator[None]:
    was = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*was)


@pytest.mark.usefixtures("collector")
def test_what_is_loaded_is_left_out_of_collections_and_new_garbage_is_not() -> None:
    loaded = len(gc.get_objects())
    serve._leave_out_of_collections()
    assert gc.get_freeze_count() > loaded / 2
    assert len(gc.get_objects()) < loaded / 10
    ring: list[object] = []
    ring.append(ring)
    del ring
    assert gc.collect() >= 1
