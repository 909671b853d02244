"""The fake that tests are given: it keeps the contract of the real ones."""

import pytest
from tests.contracts import contract
from tests.files import file_store_contract
from tests.files.file_store_contract import KEY, chunks_of, read

from understudy.files.base import FileFault
from understudy.testing import MemoryFileStore


@pytest.fixture
def files() -> MemoryFileStore:
    return MemoryFileStore()


globals().update(contract(file_store_contract))


async def test_it_fails_when_told_to(files: MemoryFileStore) -> None:
    await files.put(KEY, chunks_of(b"kept"))
    files.fault = FileFault("no disk")
    with pytest.raises(FileFault, match="no disk"):
        await files.get(KEY)
    with pytest.raises(FileFault, match="no disk"):
        await files.put(KEY, chunks_of(b"lost"))
    files.fault = None
    assert await read(files) == b"kept"
