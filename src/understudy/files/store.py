"""Bytes in a local folder or in an S3-compatible object store: `obstore` gives both one API.

A put goes to the store in pieces and becomes visible whole at its end; a failed one is taken back. Of a killed one a
local folder keeps a staging file (`key#1`), which `tidy` removes; in a bucket, a lifecycle rule for unfinished
multipart uploads does that.
"""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.files.base import FileFault, NoBytes, chained
from understudy.files.folder import local_folder

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PIECE_BYTES = 5 * 1024 * 1024
"""What goes to the store at once; S3 takes no less."""
PIECES_AT_ONCE = 2
READ_BYTES = 256 * 1024
RETRY_S = 20
_STAGED = re.compile(r"#\d+$")


class UrlFileStore:
    """Keeps bytes where a URL says: `file:///folder` or `s3://bucket/prefix`.

    Of a bucket, the endpoint, region and credentials are found as usual: in `AWS_*` variables or from the machine.
    """

    def __init__(self, url: str) -> None:
        """Nothing is opened before the first use."""
        self._url = url
        self._folder = local_folder(url)
        self._opened: ObjectStore | None = None

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> int:
        import obstore

        size = 0
        trouble: Exception | None = None

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size, trouble
            try:
                async for chunk in chunks:
                    size += len(chunk)
                    yield chunk
            except Exception as problem:  # the caller's own, not the store's
                trouble = problem
                raise

        try:
            await obstore.put_async(
                self._store(),
                key,
                counted(),
                use_multipart=True,
                chunk_size=PIECE_BYTES,
                max_concurrency=PIECES_AT_ONCE,
            )
        except Exception as problem:
            if trouble is not None:
                raise trouble from None
            raise self._fault(problem) from problem
        return size

    async def get(self, key: str) -> AsyncIterator[bytes]:
        import obstore

        try:
            found = await obstore.get_async(self._store(), key)
        except FileNotFoundError:
            raise NoBytes(key) from None
        except Exception as problem:
            raise self._fault(problem) from problem
        return self._read(found)

    async def has(self, key: str) -> bool:
        import obstore

        try:
            await obstore.head_async(self._store(), key)
        except FileNotFoundError:
            return False
        except Exception as problem:
            raise self._fault(problem) from problem
        return True

    async def delete(self, key: str) -> None:
        import obstore

        try:
            await obstore.delete_async(self._store(), key)
        except FileNotFoundError:
            return
        except Exception as problem:
            raise self._fault(problem) from problem

    async def join(self, key: str, keys: Sequence[str]) -> int:
        return await self.put(key, chained(self, keys))

    async def tidy(self, older_than_s: float) -> int:
        if self._folder is None or not self._folder.is_dir():
            return 0
        try:
            return await asyncio.to_thread(_tidied, self._folder, time.time() - older_than_s)
        except OSError as problem:
            raise self._fault(problem) from problem

    async def check(self) -> None:
        """Raise FileFault if the store does not answer, or takes nothing."""
        await self.has("health")
        if self._folder is not None and not await asyncio.to_thread(os.access, self._folder, os.W_OK):
            raise self._fault(PermissionError("the folder cannot be written to"))

    @property
    def kind(self) -> str:
        """What stands behind it: `folder` or `s3`."""
        return "s3" if self._folder is None else "folder"

    async def _read(self, found: Any) -> AsyncIterator[bytes]:
        try:
            async for chunk in found.stream(min_chunk_size=READ_BYTES):
                yield bytes(chunk)
        except Exception as problem:
            raise self._fault(problem) from problem

    def _store(self) -> "ObjectStore":
        if self._opened is None:
            self._opened = _open(self._url, self._folder)
        return self._opened

    def _fault(self, problem: Exception) -> FileFault:
        why = str(problem).strip().partition("\n")[0]
        return FileFault(f"This needs the file store at {self._url}, which failed: {why}")


def _open(url: str, folder: Path | None) -> "ObjectStore":
    from datetime import timedelta

    from obstore.store import LocalStore, S3Store

    if folder is not None:
        return LocalStore(folder, mkdir=True)
    retries: Any = {"retry_timeout": timedelta(seconds=RETRY_S)}
    return S3Store.from_url(url, retry_config=retries)


def _tidied(folder: Path, before: float) -> int:
    left = [file for file in folder.rglob("*#*") if _STAGED.search(file.name) and file.stat().st_mtime < before]
    for file in left:
        file.unlink(missing_ok=True)
    return len(left)
