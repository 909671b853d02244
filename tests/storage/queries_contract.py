"""What the queries must do on every Store: one active run, fences, tombstones, projects apart."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, Table, select
from sqlalchemy.exc import IntegrityError
from tests.storage import builders as make
from tests.storage.builders import NOW, PROJECT

from understudy.errors import NotFound
from understudy.protocol.runs import FINAL, usage
from understudy.protocol.tools import ReasoningEffort
from understudy.storage import assistants, messages, model_calls, posts, runs, schema, steps, threads
from understudy.storage.base import Store
from understudy.storage.posts import Done, Post
from understudy.storage.rows import Window
from understudy.storage.runs import RunRecord

ACTIVE = ["queued", "in_progress", "requires_action", "cancelling"]


async def _stored_run(store: Store, thread_id: str | None = None, **given: Any) -> RunRecord:
    made = make.run(thread_id or (await make.stored_thread(store)).id, **given)
    await store.write(lambda connection: runs.add(connection, made))
    return made


async def _found(store: Store, run_id: str) -> RunRecord:
    found = await store.read(lambda connection: runs.find(connection, run_id))
    assert found is not None
    return found


class OneActiveRunPerThread:
    @pytest.mark.parametrize("status", ACTIVE)
    async def test_the_database_refuses_a_second_one(self, store: Store, status: Any) -> None:
        first = await _stored_run(store, status=status)
        with pytest.raises(IntegrityError):
            await _stored_run(store, first.thread_id)

    async def test_of_many_at_once_one_wins(self, store: Store) -> None:
        thread = await make.stored_thread(store)
        tries = [_stored_run(store, thread.id) for _ in range(20)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes].count(RunRecord) == 1
        assert [type(outcome) for outcome in outcomes].count(IntegrityError) == 19

    @pytest.mark.parametrize("status", sorted(FINAL))
    async def test_an_ended_run_holds_nothing(self, store: Store, status: Any) -> None:
        first = await _stored_run(store, status=status)
        second = await _stored_run(store, first.thread_id)
        active = await store.read(lambda connection: runs.active_in(connection, first.thread_id))
        assert active == second

    async def test_an_ended_run_does_not_come_back_onto_a_held_thread(self, store: Store) -> None:
        ended = await _stored_run(store, status="completed")
        await _stored_run(store, ended.thread_id)
        with pytest.raises(IntegrityError):
            await store.write(lambda connection: runs.save(connection, replace(ended, status="queued"), was=ended))


class RunsAreFenced:
    async def test_everything_written_is_read_again(self, store: Store) -> None:
        effort: ReasoningEffort = "high"
        made = await _stored_run(store, temperature=0.0, top_p=0.5, reasoning_effort=effort, parallel_tool_calls=False)
        assert await _found(store, made.id) == made
        moved = replace(made, status="in_progress", started_at=NOW, attempt=1, tries=1, worker="w", lease_until=9.5)
        assert await store.write(lambda connection: runs.save(connection, moved, was=made))
        assert await _found(store, made.id) == moved

    @pytest.mark.parametrize("stale", [{"attempt": 1}, {"status": "queued"}], ids=["attempt", "status"])
    async def test_who_has_read_an_older_state_writes_nothing(self, store: Store, stale: Any) -> None:
        held = await _stored_run(store, status="in_progress", attempt=2)
        was = replace(held, **stale)
        done = replace(held, status="completed", attempt=was.attempt)
        assert not await store.write(lambda connection: runs.save(connection, done, was=was))
        assert await _found(store, held.id) == held

    async def test_of_two_that_claim_one_wins(self, store: Store) -> None:
        queued = await _stored_run(store)
        claims = [replace(queued, status="in_progress", attempt=1, worker=name) for name in ("a", "b", "c")]
        won = await asyncio.gather(
            *[store.write(lambda connection, run=run: runs.save(connection, run, was=queued)) for run in claims]
        )
        assert sorted(won) == [False, False, True]
        assert (await _found(store, queued.id)).worker == claims[won.index(True)].worker

    async def test_a_lease_is_renewed_by_its_holder_only(self, store: Store) -> None:
        held = await _stored_run(store, status="in_progress", attempt=2, lease_until=1.0)
        assert await store.write(lambda connection: runs.renew(connection, held, 5.0))
        assert (await _found(store, held.id)).lease_until == 5.0
        older = replace(held, attempt=1)
        assert not await store.write(lambda connection: runs.renew(connection, older, 9.0))
        assert (await _found(store, held.id)).lease_until == 5.0

    async def test_many_leases_at_once_are_renewed_for_their_holder_only(self, store: Store) -> None:
        held = [await _stored_run(store, status="in_progress", attempt=2, lease_until=1.0) for _ in range(3)]
        taken = replace(await _stored_run(store, status="in_progress", attempt=3, lease_until=1.0), attempt=2)
        ended = await _stored_run(store, status="completed", attempt=2, lease_until=1.0)
        everything = [*held, taken, ended, make.run(attempt=1)]
        lost = await store.write(lambda connection: runs.renew_all(connection, everything, 5.0))
        assert lost == {run.id for run in everything[3:]}
        assert [(await _found(store, run.id)).lease_until for run in everything[:5]] == [5.0] * 3 + [1.0] * 2

    async def test_of_two_sweepers_one_gives_a_queued_run_more_time(self, store: Store) -> None:
        queued = await _stored_run(store, lease_until=1.0)
        given = await asyncio.gather(
            *[store.write(lambda c, until=until: runs.be_patient(c, queued, until)) for until in (5.0, 6.0)]
        )
        assert sorted(given) == [False, True]
        claimed = await _stored_run(store, status="in_progress", lease_until=1.0)
        assert not await store.write(lambda connection: runs.be_patient(connection, claimed, 5.0))

    @pytest.mark.parametrize("status", [*sorted(FINAL), "queued", "requires_action", "cancelling"])
    async def test_a_run_that_is_not_in_progress_has_no_lease(self, store: Store, status: Any) -> None:
        moved = await _stored_run(store, status=status, attempt=1)
        assert not await store.write(lambda connection: runs.renew(connection, moved, 9.0))

    async def test_all_active_runs_are_released_at_once(self, store: Store) -> None:
        held = await _stored_run(store, status="in_progress", lease_until=50.0)
        ended = await _stored_run(store, status="completed", lease_until=50.0)
        await store.write(runs.release_all)
        assert (await _found(store, held.id)).lease_until == 0.0
        assert (await _found(store, ended.id)).lease_until == 50.0


class SomeRunsNeedCare:
    async def _care(self, store: Store, **given: Any) -> bool:
        made = await _stored_run(store, **given)
        found = await store.read(lambda connection: runs.needing_care(connection, float(NOW)))
        return made.id in [run.id for run in found]

    @pytest.mark.parametrize("status", ACTIVE)
    async def test_past_its_time(self, store: Store, status: Any) -> None:
        assert await self._care(store, status=status, expires_at=NOW, lease_until=NOW + 5.0)
        assert not await self._care(store, status=status, expires_at=NOW + 1, lease_until=NOW + 5.0)

    @pytest.mark.parametrize("status", ["queued", "in_progress", "cancelling"])
    async def test_held_by_nobody(self, store: Store, status: Any) -> None:
        assert await self._care(store, status=status, lease_until=NOW - 0.5)

    async def test_waiting_for_its_client_it_is_held_by_nobody_rightly(self, store: Store) -> None:
        assert not await self._care(store, status="requires_action", lease_until=0.0)

    async def test_without_an_expiry_only_its_lease_counts(self, store: Store) -> None:
        assert not await self._care(store, status="in_progress", expires_at=None, lease_until=NOW + 5.0)

    @pytest.mark.parametrize("status", sorted(FINAL))
    async def test_ended_never(self, store: Store, status: Any) -> None:
        assert not await self._care(store, status=status, expires_at=NOW - 5, lease_until=0.0)


class DeletionLeavesTombstones:
    async def test_a_thread_takes_all_that_is_in_it(self, store: Store) -> None:
        kept, gone = await make.stored_thread(store), await make.stored_thread(store)
        for thread in (kept, gone):
            run = await _stored_run(store, thread.id)
            await make.stored_message(store, thread.id, run_id=run.id)

            def fill(connection: Connection, run: RunRecord = run) -> None:
                steps.add(connection, PROJECT, make.step(run))
                model_calls.add(connection, make.model_call(run))

            await store.write(fill)
        await store.write(lambda connection: threads.delete(connection, PROJECT, gone.id))
        for table in (schema.messages, schema.runs, schema.steps, schema.model_calls):
            assert await self._left(store, table) == {kept.id}

    async def _left(self, store: Store, table: Table) -> set[str]:
        statement = select(table.c.thread_id)
        return await store.read(lambda connection: set(connection.execute(statement).scalars()))

    async def test_what_is_deleted_is_not_found(self, store: Store) -> None:
        thread = await make.stored_thread(store)
        message = await make.stored_message(store, thread.id)
        assistant = await make.stored_assistant(store)
        await store.write(lambda connection: messages.delete(connection, message.id))
        await store.write(lambda connection: assistants.delete(connection, PROJECT, assistant.id))
        with pytest.raises(NotFound):
            await store.read(lambda connection: messages.get(connection, PROJECT, thread.id, message.id))
        with pytest.raises(NotFound):
            await store.read(lambda connection: assistants.get(connection, PROJECT, assistant.id))
        with pytest.raises(NotFound):
            await store.write(lambda connection: assistants.delete(connection, PROJECT, assistant.id))

    async def test_nothing_readable_is_left_of_what_was_said(self, store: Store) -> None:
        thread = await make.stored_thread(store, metadata={"k": "secret"})
        message = await make.stored_message(store, thread.id, "secret", metadata={"k": "secret"})
        assistant = await make.stored_assistant(store, name="secret", instructions="secret", metadata={"k": "secret"})
        await store.write(lambda connection: messages.delete(connection, message.id))
        await store.write(lambda connection: assistants.delete(connection, PROJECT, assistant.id))
        await store.write(lambda connection: threads.delete(connection, PROJECT, thread.id))
        await self._is_nowhere(store, "secret")

    async def test_nor_of_a_message_that_was_deleted_while_it_was_written(self, store: Store) -> None:
        thread = await make.stored_thread(store)
        message = await make.stored_message(store, thread.id, "a sec", status="in_progress")
        await store.write(lambda connection: messages.delete(connection, message.id))
        whole = message.model_copy(update={"content": make.message(thread.id, "a secret").content})
        await store.write(lambda connection: messages.save(connection, whole))
        await self._is_nowhere(store, "sec")

    async def test_nor_of_a_thread_that_nobody_used(self, store: Store) -> None:
        unused, used = [await make.stored_thread(store, created_at=at) for at in (1, NOW)]
        for thread, said in ((unused, "secret"), (used, "kept")):
            message = await make.stored_message(store, thread.id, said, created_at=thread.created_at)
            done = Done("thread.message", message.model_dump_json(), thread.id)
            post = Post(PROJECT, f"key {thread.id}", body="digest")
            await store.write(lambda connection, post=post, done=done: posts.add(connection, post, done, NOW + 60.0))
        both = [unused.id, used.id]
        assert await store.write(lambda connection: threads.bury_unused(connection, both, NOW)) == 1
        while await store.write(lambda connection: threads.empty(connection, unused.id, 10)):
            pass
        await self._is_nowhere(store, "secret")
        assert await store.read(
            lambda connection: posts.of_key(connection, Post(PROJECT, f"key {used.id}", body="digest"))
        )

    async def _is_nowhere(self, store: Store, said: str) -> None:
        for table in schema.metadata.sorted_tables:
            rows = await store.read(lambda connection, table=table: connection.execute(select(table)).all())
            assert said not in str(rows)


class ProjectsAreKeptApart:
    async def test_every_noun(self, store: Store) -> None:
        thread = await make.stored_thread(store)
        message = await make.stored_message(store, thread.id)
        run = await _stored_run(store, thread.id)
        step = make.step(run)
        await store.write(lambda connection: steps.add(connection, PROJECT, step))
        assistant = await make.stored_assistant(store)
        other = "proj_other"
        for query in (
            lambda connection: threads.get(connection, other, thread.id),
            lambda connection: threads.lock(connection, other, thread.id),
            lambda connection: threads.change(connection, other, thread.id, {"metadata": {"a": "b"}}),
            lambda connection: threads.delete(connection, other, thread.id),
            lambda connection: messages.get(connection, other, thread.id, message.id),
            lambda connection: runs.get(connection, other, thread.id, run.id),
            lambda connection: steps.get(connection, other, run.id, step.id),
            lambda connection: assistants.get(connection, other, assistant.id),
            lambda connection: assistants.change(connection, other, assistant.id, {"name": "x"}),
            lambda connection: assistants.delete(connection, other, assistant.id),
        ):
            with pytest.raises(NotFound):
                await store.write(query)
        assert await store.read(lambda connection: assistants.list_page(connection, other, Window())) == ([], False)

    async def test_a_message_is_found_in_its_own_thread_only(self, store: Store) -> None:
        thread, elsewhere = await make.stored_thread(store), await make.stored_thread(store)
        message = await make.stored_message(store, thread.id)
        with pytest.raises(NotFound):
            await store.read(lambda connection: messages.get(connection, PROJECT, elsewhere.id, message.id))


class ThreadsShowWhatIsWhole:
    async def _listed(self, store: Store, thread_id: str) -> list[str]:
        listed, _ = await store.read(lambda connection: messages.list_page(connection, thread_id, Window(order="asc")))
        return [message.id for message in listed]

    async def test_a_message_not_yet_begun_is_not_listed(self, store: Store) -> None:
        thread = await make.stored_thread(store)
        begun = await make.stored_message(store, thread.id, status="in_progress", run_id="run_x")
        unbegun = await make.stored_message(store, thread.id, status="in_progress", content=[], run_id="run_x")
        assert await self._listed(store, thread.id) == [begun.id]
        unfinished = await store.read(lambda connection: messages.unfinished(connection, "run_x"))
        assert [message.id for message in unfinished] == [begun.id, unbegun.id]

    async def test_what_is_left_behind_is_readable_and_not_listed(self, store: Store) -> None:
        run = await _stored_run(store)
        left = await make.stored_message(store, run.thread_id, run_id=run.id)
        step = make.step(run)
        await store.write(lambda connection: steps.add(connection, PROJECT, step))
        await store.write(lambda connection: messages.save(connection, left, abandoned=True))
        await store.write(lambda connection: steps.save(connection, step, abandoned=True))
        assert await self._listed(store, run.thread_id) == []
        assert await store.read(lambda connection: steps.list_page(connection, run.id, Window())) == ([], False)
        assert await store.read(lambda connection: steps.of_run(connection, run.id)) == []
        assert await store.read(lambda c: messages.newest(c, run.thread_id, 9)) == []
        assert not await store.read(lambda c: messages.has_user_message(c, run.thread_id))
        assert await store.read(lambda c: messages.get(c, PROJECT, run.thread_id, left.id)) == left
        assert await store.read(lambda c: steps.get(c, PROJECT, run.id, step.id)) == step

    async def test_the_newest_are_read_backwards(self, store: Store) -> None:
        thread = await make.stored_thread(store)
        made = [await make.stored_message(store, thread.id, str(number)) for number in range(5)]
        await make.stored_message(store, thread.id, "half", status="in_progress")
        newest = await store.read(lambda c: messages.newest(c, thread.id, 3))
        assert [message.id for _, message in newest] == [message.id for message in made[:1:-1]]
        older = await store.read(lambda c: messages.newest(c, thread.id, 3, before=newest[-1][0]))
        assert [message.id for _, message in older] == [made[1].id, made[0].id]

    async def test_the_usage_of_a_call_is_found_by_its_step(self, store: Store) -> None:
        run = await _stored_run(store)
        later = make.model_call(run, NOW + 5.0, usage(3, 4), step_id="step_2")
        earlier = make.model_call(run, NOW + 1.0, step_id="step_1")
        for call in (later, earlier):
            await store.write(lambda connection, call=call: model_calls.add(connection, call))
        assert await store.read(lambda connection: model_calls.of_run(connection, run.id)) == [earlier, later]
        assert await store.read(lambda c: model_calls.usage_of_step(c, "step_2")) == usage(3, 4)
        assert await store.read(lambda c: model_calls.usage_of_step(c, "step_1")) is None
        assert await store.read(lambda c: model_calls.usage_of_step(c, "step_3")) is None


class PostsAreRemembered:
    async def _claimed(self, store: Store, post: Post, now: float = NOW) -> str | None:
        found = await store.write(lambda connection: posts.claim(connection, post, now))
        return None if found is None else found.answer

    async def _add(self, store: Store, post: Post, *answers: str, **given: Any) -> None:
        for answer in answers:
            done = Done("thread", answer, **given)
            await store.write(lambda connection, done=done: posts.add(connection, post, done, NOW + 60.0))

    async def test_only_by_a_later_try_of_the_same_project(self, store: Store) -> None:
        await self._add(store, Post("a", "f"), "one")
        for stranger in (Post("b", "f", 1), Post("a", "g", 1), Post("a", "f", 0)):
            assert await self._claimed(store, stranger) is None
        assert await self._claimed(store, Post("a", "f", 1), NOW + 60.0) is None
        assert await self._claimed(store, Post("a", "f", 1)) == "one"
        assert await self._claimed(store, Post("a", "f", 1)) is None

    async def test_the_most_retried_one_first_then_the_newest(self, store: Store) -> None:
        await self._add(store, Post("a", "f"), "one", "two")
        assert await self._claimed(store, Post("a", "f", 1)) == "two"
        assert await self._claimed(store, Post("a", "f", 2)) == "two"
        assert await self._claimed(store, Post("a", "f", 1)) == "one"

    async def test_not_if_the_thread_went_on_since(self, store: Store) -> None:
        thread = await make.stored_thread(store)
        await make.stored_message(store, thread.id, "from before")
        await self._add(store, Post("a", "f"), "one", "two", thread_id=thread.id)
        assert await self._claimed(store, Post("a", "f", 1)) == "two"
        await make.stored_message(store, thread.id, "from the model", run_id="run_x")
        assert await self._claimed(store, Post("a", "f", 1)) == "one"
        await make.stored_message(store, thread.id, "from a client")
        assert await self._claimed(store, Post("a", "f", 2)) is None

    async def test_by_key_with_the_body_that_it_had(self, store: Store) -> None:
        await self._add(store, Post("a", "k", body="digest"), "one")
        found = await store.read(lambda connection: posts.of_key(connection, Post("a", "k", body="another")))
        assert found == (Done("thread", "one"), "digest")
        assert await self._claimed(store, Post("a", "k", 1)) is None
        with pytest.raises(IntegrityError):
            await self._add(store, Post("a", "k", body="digest"), "two")

    async def test_for_their_time(self, store: Store) -> None:
        await self._add(store, Post("a", "f"), "one", "two")
        for moment, dropped in ((NOW + 59.0, 0), (NOW + 60.0, 2), (NOW + 61.0, 0)):
            count = await store.write(lambda connection, moment=moment: posts.forget(connection, moment))
            assert count == dropped
