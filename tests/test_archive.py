"""What an archive holds that was made while clients went on, or was gone on with; and what an import says of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.harness.wire import Json
from tests.storage.builders import PROJECT, migrated

from understudy import adapters, archive, config
from understudy.config import Settings
from understudy.errors import ConfigurationError
from understudy.ids import SystemClock
from understudy.ingest.files import Files

T = TypeVar("T")


class Deployment:
    """One that has files, and clients that do something with them while its data are exported."""

    def __init__(self, folder: Path) -> None:
        self.settings: Settings = config.load({"model_url": "http://127.0.0.1:1/v1", "data_dir": str(folder)})
        folder.mkdir()
        (folder / "understudy.sqlite3").write_bytes(migrated())
        self.bytes = folder / "files"

    def upload(self, *contents: bytes) -> list[str]:
        async def work(files: Files) -> list[str]:
            return [(await files.create(PROJECT, "a.txt", "assistants", _pieces(one))).id for one in contents]

        return self._do(work)

    def delete(self, *file_ids: str) -> None:
        async def work(files: Files) -> None:
            for file_id in file_ids:
                await files.delete(PROJECT, file_id)

        self._do(work)

    def content(self, file_id: str) -> bytes:
        async def work(files: Files) -> bytes:
            return b"".join([piece async for piece in await files.content(PROJECT, file_id)])

        return self._do(work)

    def _do(self, work: Callable[[Files], Awaitable[T]]) -> T:
        async def alone() -> T:
            store = adapters.store_of(self.settings)
            await store.open()
            try:
                return await work(Files(store, adapters.file_store_of(self.settings), SystemClock()))
            finally:
                await store.close()

        return asyncio.run(alone())


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path / "first")


@pytest.fixture
def other(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path / "second")


def on(prefix: str, act: Callable[[], Any]) -> archive.Say:
    """Return what acts once an export or import has come to a line."""

    def say(line: str) -> None:
        if line.startswith(prefix):
            apart(act)

    return say


def apart(act: Callable[[], Any]) -> None:
    """Do something as another process would: in a thread with a loop of its own."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(act).result()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def manifest(folder: Path) -> Json:
    return json.loads((folder / "manifest.json").read_text())


def rows(folder: Path, table: str) -> list[Json]:
    return [json.loads(line) for line in (folder / "tables" / f"{table}.jsonl").read_text().splitlines()]


def quietly(line: str) -> None:
    """Say nothing."""


def test_what_a_client_deletes_before_its_turn_is_missing_and_told(
    deployment: Deployment, other: Deployment, tmp_path: Path
) -> None:
    made = deployment.upload(b"1", b"2", b"3")
    target, said, gone = tmp_path / "archive", list[str](), list[str]()

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("file 1 of 3"):
            gone.append(next(file_id for file_id in made if file_id not in line))
            apart(lambda: deployment.delete(*gone))

    line = archive.save(deployment.settings, target, say)
    assert line == f"{target} holds everything; files whose bytes were gone at their turn: 1"
    assert sum(f"{gone[0]} is gone; it was deleted" in line for line in said) == 1
    kept = set(made) - set(gone)
    assert (manifest(target)["missing"], manifest(target)["files"]) == (gone, 2)
    assert names(target / "files") == kept
    said.clear()
    line = archive.load(other.settings, target, said.append, resume=False)
    assert line == f"all of {target} is there; files that came without their bytes: 1"
    assert f"{gone[0]} has no bytes in {target}: they were gone when it was made" in said
    assert {other.content(file_id) for file_id in kept} == {deployment.content(file_id) for file_id in kept}


def test_rows_and_bytes_are_of_one_moment(deployment: Deployment, tmp_path: Path) -> None:
    one, two = deployment.upload(b"1", b"2")
    target = tmp_path / "archive"

    def meanwhile() -> None:
        deployment.delete(one)
        deployment.upload(b"3")

    archive.save(deployment.settings, target, on("files: 2 rows", meanwhile))
    assert [row["deleted"] for row in rows(target, "files")] == [False, False]
    assert (names(target / "files"), manifest(target)["missing"]) == ({two}, [one])


def test_who_goes_on_keeps_no_bytes_of_what_is_gone_by_then(deployment: Deployment, tmp_path: Path) -> None:
    one, two = deployment.upload(b"1", b"2")
    target = tmp_path / "archive"

    def killed() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        archive.save(deployment.settings, target, on("file 2 of 2", killed))
    assert names(target / "files") == {one, two}
    (target / "files" / f"{one}#1").write_bytes(b"")
    kept = (target / "files" / two).stat().st_ino
    deployment.delete(one)
    assert archive.save(deployment.settings, target, quietly) == f"{target} holds everything"
    assert names(target / "files") == {two}
    assert (target / "files" / two).stat().st_ino == kept, "it was fetched again"
    assert (manifest(target)["missing"], manifest(target)["files"]) == ([], 1)


def test_a_folder_of_bytes_that_is_no_exports_is_left_alone(deployment: Deployment) -> None:
    deployment.upload(b"1")
    before = names(deployment.bytes)
    with pytest.raises(ConfigurationError, match="has a folder files that is no export's; give another folder"):
        archive.save(deployment.settings, deployment.bytes.parent, quietly)
    assert names(deployment.bytes) == before


def tree(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_an_import_only_reads_its_archive(deployment: Deployment, other: Deployment, tmp_path: Path) -> None:
    """It may lie on a medium that cannot be written to."""
    deployment.upload(b"1", b"2")
    target = tmp_path / "archive"
    archive.save(deployment.settings, target, quietly)
    before = tree(target)
    archive.load(other.settings, target, quietly, resume=False)
    assert tree(target) == before


def test_an_import_stores_what_is_not_there_yet(deployment: Deployment, other: Deployment, tmp_path: Path) -> None:
    one, two = deployment.upload(b"1", b"2")
    target = tmp_path / "archive"
    archive.save(deployment.settings, target, quietly)
    archive.load(other.settings, target, quietly, resume=False)
    there = (other.bytes / one).stat().st_ino
    (other.bytes / two).unlink()
    archive.load(other.settings, target, quietly, resume=True)
    assert [other.content(file_id) for file_id in (one, two)] == [b"1", b"2"]
    assert (other.bytes / one).stat().st_ino == there, "it was stored again"
