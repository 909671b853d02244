"""What queries on files must do on every Store."""

from typing import Any

import pytest
from tests.storage.builders import NOW, PROJECT, stored_file

from understudy.errors import NoSuchFile, NotFound
from understudy.ids import new_id
from understudy.protocol.files import FileObject
from understudy.protocol.uploads import UploadPart
from understudy.storage import files, loose_bytes, posts, uploads
from understudy.storage.base import Store
from understudy.storage.posts import Done, Post
from understudy.storage.rows import Window
from understudy.storage.uploads import UploadRecord


async def listed(store: Store, window: Window | None = None, now: float = NOW, **given: Any) -> list[str]:
    found, _ = await store.read(lambda c: files.list_page(c, PROJECT, window or Window(100, "asc"), now, **given))
    return [file.id for file in found]


async def delete(store: Store, file: FileObject, project: str = PROJECT) -> None:
    await store.write(lambda connection: files.delete(connection, project, file.id, NOW))


async def due(store: Store, now: float) -> list[str]:
    return await store.read(lambda connection: loose_bytes.due(connection, now, 100))


class FilesAreListed:
    async def test_in_order_within_their_project(self, store: Store) -> None:
        made = [(await stored_file(store)).id for _ in range(5)]
        await stored_file(store, project="other")
        assert await listed(store) == made
        assert await listed(store, Window(2, "desc")) == made[:2:-1]
        assert await listed(store, Window(2, "asc", after=made[1])) == made[2:4]

    async def test_by_their_purpose(self, store: Store) -> None:
        made = [await stored_file(store, purpose=purpose) for purpose in ("vision", "batch", "vision")]
        assert await listed(store, purpose="vision") == [made[0].id, made[2].id]
        assert await listed(store, Window(9, "asc", after=made[1].id), purpose="vision") == [made[2].id]

    async def test_until_their_hour(self, store: Store) -> None:
        made = [(await stored_file(store, expires_at=at)).id for at in (NOW, NOW + 1, None)]
        assert await listed(store) == made[1:]
        assert await listed(store, now=NOW + 1) == made[2:]

    async def test_a_deleted_one_marks_its_place(self, store: Store) -> None:
        made = [await stored_file(store) for _ in range(3)]
        await delete(store, made[1])
        assert await listed(store, Window(9, "asc", after=made[1].id)) == [made[2].id]
        other = await stored_file(store, project="other")
        with pytest.raises(NotFound):
            await listed(store, Window(9, "asc", after=other.id))


class FilesAreFound:
    async def test_those_that_are_there(self, store: Store) -> None:
        made = [await stored_file(store) for _ in range(3)]
        other, late = await stored_file(store, project="other"), await stored_file(store, expires_at=NOW)
        await delete(store, made[2])
        asked = [made[0].id, made[1].id, made[1].id, made[2].id, other.id, late.id, "file-never"]
        found = await store.read(lambda connection: files.find(connection, PROJECT, asked, NOW))
        assert found == {file.id: file for file in made[:2]}
        assert await store.read(lambda connection: files.find(connection, PROJECT, [], NOW)) == {}

    async def test_many_at_once(self, store: Store) -> None:
        made = await stored_file(store)
        asked = [*(f"file-{number}" for number in range(2_000)), made.id]
        assert len(await store.read(lambda connection: files.find(connection, PROJECT, asked, NOW))) == 1


class DeletedFilesLeaveNothing:
    async def test_but_bytes_to_remove(self, store: Store) -> None:
        made = await stored_file(store)
        assert await due(store, NOW) == []
        await delete(store, made)
        assert await due(store, NOW) == [made.id]
        with pytest.raises(NoSuchFile):
            await delete(store, made)

    async def test_and_only_by_their_own_project(self, store: Store) -> None:
        made = await stored_file(store)
        with pytest.raises(NoSuchFile):
            await delete(store, made, "other")
        assert await listed(store) == [made.id]

    async def test_not_even_the_memory_of_their_post(self, store: Store) -> None:
        made, post = await stored_file(store), Post(PROJECT, "f" * 64, retry=1, looks_back=True)
        done = Done("file", made.model_dump_json())
        await store.write(lambda connection: posts.add(connection, Post(PROJECT, "f" * 64), done, NOW + 60))
        await delete(store, made)
        assert await store.write(lambda connection: posts.claim(connection, post, NOW)) is None

    async def test_those_past_their_hour_in_batches(self, store: Store) -> None:
        made = [(await stored_file(store, expires_at=NOW + number)).id for number in range(4)]
        buried = await store.write(lambda connection: files.bury_expired(connection, NOW + 2, 2))
        buried += await store.write(lambda connection: files.bury_expired(connection, NOW + 2, 2))
        assert {file_id for _, file_id in buried} == set(made[:3])
        assert {project for project, _ in buried} == {PROJECT}
        assert await listed(store, now=NOW) == [made[3]]


class UploadsEndOnce:
    async def upload(self, store: Store, **given: Any) -> UploadRecord:
        values: dict[str, Any] = {"filename": "a", "purpose": "batch", "bytes": 3, "mime_type": "text/plain"}
        values |= {"created_at": NOW, "status": "pending", "expires_at": NOW + 3600}
        record = UploadRecord(id=new_id("upload"), project=PROJECT, **values | given)
        await store.write(lambda connection: uploads.add(connection, record))
        return record

    async def part(self, store: Store, upload: UploadRecord, *, noted: bool = True) -> str | None:
        part = UploadPart(id=new_id("part"), created_at=NOW, upload_id=upload.id)

        def write(connection: Any) -> bool:
            if noted:
                loose_bytes.add(connection, [part.id], NOW + 100)
            return uploads.add_part(connection, part, 3)

        return part.id if await store.write(write) else None

    async def test_and_give_their_parts_up(self, store: Store) -> None:
        upload = await self.upload(store)
        parts = [await self.part(store, upload) for _ in range(2)]
        assert set(await store.read(lambda connection: uploads.parts(connection, upload.id))) == set(parts)
        end = [
            await store.write(lambda connection: uploads.end(connection, upload.id, "cancelled", NOW)) for _ in range(2)
        ]
        assert end == [True, False]
        assert set(await due(store, NOW)) == set(parts)
        assert await store.read(lambda connection: uploads.parts(connection, upload.id)) == {}
        assert await self.part(store, upload) is None

    async def test_parts_whose_bytes_were_given_up_are_none(self, store: Store) -> None:
        assert await self.part(store, await self.upload(store), noted=False) is None

    async def test_at_their_hour(self, store: Store) -> None:
        upload, young = await self.upload(store), await self.upload(store, expires_at=NOW + 9999)
        found = await store.read(lambda connection: uploads.get(connection, PROJECT, upload.id, NOW + 3600))
        assert found.status == "expired"
        late = await store.read(lambda connection: uploads.expired(connection, NOW + 3600, 10))
        assert list(late) == [upload.id]
        assert young.id not in late
        with pytest.raises(NotFound, match=f"No upload found with id '{upload.id}'"):
            await store.read(lambda connection: uploads.get(connection, "other", upload.id, NOW))
