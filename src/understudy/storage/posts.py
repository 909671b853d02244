"""The memory of POSTs that were carried out, with their answers: a retry is answered out of it.

A row is written in the transaction of the change that it tells of, so that there is never the one without the other.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, func, insert, or_, select, update

from understudy.storage.base import TryAgain
from understudy.storage.schema import messages, posts, runs, threads

MESSAGE = "thread.message"


@dataclass(frozen=True, slots=True)
class Post:
    """A POST as its retries are known by.

    `fingerprint` is of all that a retry has in common with its original; with an idempotency key, of the key alone,
    and `body` is then the body's. `retry` counts the tries before this one; `looks_back` is false for one that must
    take effect whatever was done before.
    """

    project: str
    fingerprint: str
    retry: int = 0
    body: str | None = None
    looks_back: bool = False

    @property
    def keyed(self) -> bool:
        return self.body is not None


@dataclass(frozen=True, slots=True)
class Done:
    """What a POST was answered with.

    `run_id` and `attempt` tell where the answer's events begin, if it is a run: after the pause of that attempt.
    """

    object: str
    answer: str
    thread_id: str | None = None
    run_id: str | None = None
    attempt: int = 0


def hold(connection: Connection, post: Post, *, late: bool = False) -> None:
    """Keep a request's tries apart until the transaction ends: an original goes beside its like, a retry alone.

    A retry that meets another try under way waits for its end, then raises TryAgain: it has to see what that one did.
    So does an original that comes late, or once more, and meets a retry: it held nothing until now.
    Where one writer makes all changes there is nothing to do; keys are kept apart by their index.
    """
    if connection.dialect.name == "sqlite" or post.keyed:
        return
    lock, alone = int(post.fingerprint[:15], 16), post.retry > 0
    wait = func.pg_advisory_xact_lock if alone else func.pg_advisory_xact_lock_shared
    at_once = func.pg_try_advisory_xact_lock if alone else func.pg_try_advisory_xact_lock_shared
    if not (alone or late):
        connection.execute(select(wait(lock)))
    elif not connection.execute(select(at_once(lock))).scalar():
        connection.execute(select(wait(lock)))
        raise TryAgain


def add(connection: Connection, post: Post, done: Done, expires_at: float) -> None:
    """Remember a POST. Its thread's place is taken from the thread itself: the change has moved it.

    What goes on in the thread afterwards shows that the answer was heard; but calls can be answered only once anyway.
    """
    values = {
        "project": post.project,
        "fingerprint": post.fingerprint,
        "body": post.body,
        "tries": post.retry,
        "expires_at": expires_at,
        "object": done.object,
        "answer": done.answer,
        "thread_id": done.thread_id,
        "run_id": done.run_id,
        "attempt": done.attempt,
        "watched": None if done.attempt else done.thread_id,
    }
    connection.execute(_ADD, values)


_WATCHED = select(threads.c.last_seq).where(threads.c.id == bindparam("watched")).scalar_subquery()
_ADD = insert(posts).values(place=_WATCHED)  # made once: every POST pays for it


def of_key(connection: Connection, post: Post) -> tuple[Done, str] | None:
    """Return what was done under an idempotency key, and the fingerprint of the body that it came with."""
    mine = (posts.c.project == post.project, posts.c.fingerprint == post.fingerprint, posts.c.body.is_not(None))
    row = connection.execute(select(*_DONE, posts.c.body).where(*mine)).first()
    return None if row is None else (Done(*row[:-1]), row[-1])


def claim(connection: Connection, post: Post, now: float) -> Done | None:
    """Return what an earlier try of this retry did, and book it on this one: no other client's retry gets it too.

    Of several it is the one that was retried most, then the newest; never one whose answer evidently was heard.
    """
    mine = (posts.c.project == post.project, posts.c.fingerprint == post.fingerprint, posts.c.body.is_(None))
    open_ones = (posts.c.tries < post.retry, posts.c.expires_at > now, ~_heard())
    statement = select(posts.c.id, *_DONE).where(*mine, *open_ones)
    row = connection.execute(statement.order_by(posts.c.tries.desc(), posts.c.id.desc()).limit(1)).first()
    if row is None:
        return None
    connection.execute(update(posts).where(posts.c.id == row[0]).values(tries=post.retry))
    return Done(*row[1:])


def done_later(connection: Connection, post: Post, until: float) -> Done | None:
    """Return what a later try of a request did, if that is remembered until then (Unix seconds) or longer."""
    mine = (posts.c.project == post.project, posts.c.fingerprint == post.fingerprint, posts.c.body.is_(None))
    later = (posts.c.tries > post.retry, posts.c.expires_at >= until)
    row = connection.execute(select(*_DONE).where(*mine, *later).order_by(posts.c.id).limit(1)).first()
    return None if row is None else Done(*row)


def _heard() -> ColumnElement[bool]:
    """Somebody went on with the thread since: whoever did so was given the answer.

    Messages of others prove nothing about a message: several clients may write at once.
    """
    run = exists().where(runs.c.thread_id == posts.c.thread_id, runs.c.seq > posts.c.place)
    by_client = (messages.c.run_id.is_(None), messages.c.seq > posts.c.place)
    message = exists().where(messages.c.thread_id == posts.c.thread_id, *by_client) & (posts.c.object != MESSAGE)
    gone = exists().where(threads.c.id == posts.c.thread_id, threads.c.deleted)
    return or_(run, message, gone)


def forget(connection: Connection, now: float) -> int:
    """Drop what is past its time; return how many that were."""
    return connection.execute(delete(posts).where(posts.c.expires_at <= now)).rowcount


def forget_threads(connection: Connection, thread_ids: Collection[str]) -> None:
    """Drop what was said in threads, here too."""
    connection.execute(delete(posts).where(posts.c.thread_id.in_(thread_ids)))


def forget_object(connection: Connection, object_id: str) -> None:
    """Drop the answers that show an object. Every object's JSON begins with its id."""
    shows = posts.c.answer.startswith(f'{{"id":"{object_id}"', autoescape=True)
    connection.execute(delete(posts).where(shows))


_DONE = (posts.c.object, posts.c.answer, posts.c.thread_id, posts.c.run_id, posts.c.attempt)
