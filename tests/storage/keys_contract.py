"""What every Store must do with keys and with what they limit."""

from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError
from tests.storage import builders as make

from understudy.protocol.runs import usage
from understudy.storage import api_keys, daily_tokens, model_calls, runs, threads
from understudy.storage.api_keys import ApiKey, Limits
from understudy.storage.base import Store

KEY = ApiKey("key_1", "acme", "app", api_keys.hash_of(b"sk-1"), make.NOW, True, Limits(1, 2, 3_000_000_000))


class KeysAreKept:
    async def test_with_all_that_they_say(self, store: Store) -> None:
        await store.write(lambda c: api_keys.add(c, KEY))
        plain = ApiKey("key_2", "acme", None, api_keys.hash_of(b"sk-2"), make.NOW)
        await store.write(lambda c: api_keys.add(c, plain))
        assert await store.read(api_keys.all_of) == [KEY, plain]

    async def test_no_two_with_one_hash(self, store: Store) -> None:
        await store.write(lambda c: api_keys.add(c, KEY))
        with pytest.raises(IntegrityError):
            await store.write(lambda c: api_keys.add(c, replace(KEY, id="key_2")))

    async def test_the_first_revocation_counts(self, store: Store) -> None:
        await store.write(lambda c: api_keys.add(c, KEY))
        assert await store.write(lambda c: api_keys.revoke(c, KEY.id, 7))
        assert await store.write(lambda c: api_keys.revoke(c, KEY.id, 8))
        assert not await store.write(lambda c: api_keys.revoke(c, "key_none", 7))
        await store.write(lambda c: api_keys.touch(c, KEY.id, 9))
        assert await store.read(api_keys.all_of) == [replace(KEY, revoked_at=7, last_used_at=9)]


class UseIsCounted:
    async def test_tokens_by_project_and_day(self, store: Store) -> None:
        day = daily_tokens.day_of(make.NOW)
        assert daily_tokens.end_of(day) - 86_400 <= make.NOW < daily_tokens.end_of(day)
        for project, booked in (("acme", day), ("acme", day), ("acme", day + 1), ("other", day)):
            await store.write(lambda c, p=project, b=booked: daily_tokens.add(c, p, b, 3_000_000_000))
        assert await store.read(lambda c: daily_tokens.used(c, "acme", day)) == 6_000_000_000
        assert await store.read(lambda c: daily_tokens.used(c, "acme", day + 1)) == 3_000_000_000
        assert await store.read(lambda c: daily_tokens.used(c, "none", day)) == 0

    async def test_a_calls_tokens_stay_when_its_thread_goes(self, store: Store) -> None:
        thread = await make.stored_thread(store)
        run = make.run(thread.id)
        call = make.model_call(run, used=usage(10, 5))
        await store.write(lambda c: model_calls.add(c, call))
        await store.write(lambda c: model_calls.add(c, make.model_call(run)))
        await store.write(lambda c: threads.delete(c, make.PROJECT, thread.id))
        day = daily_tokens.day_of(make.NOW)
        assert await store.read(lambda c: daily_tokens.used(c, make.PROJECT, day)) == 15

    async def test_runs_until_their_end(self, store: Store) -> None:
        for status in ("queued", "in_progress", "requires_action", "cancelling", "completed", "expired"):
            thread = await make.stored_thread(store)
            run = make.run(thread.id, status=status)
            await store.write(lambda c, run=run: runs.add(c, run))
        assert await store.read(lambda c: runs.count_active(c, make.PROJECT)) == 4
        assert await store.read(lambda c: runs.count_active(c, "other")) == 0
