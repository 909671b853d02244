"""What a database's failure means to a person: which part failed, why, and how to mend it.

SQLite's own words are kept out of answers, and a statement's values out of everything.
"""

from sqlalchemy.exc import DBAPIError

from understudy.errors import Unavailable

_MEANINGS = {
    "database or disk is full": "the disk is full: make room for the data folder, and the server goes on by itself",
    "readonly database": "the database cannot be written to: make its folder writable again, or put its file back",
    "unable to open database file": "the database cannot be opened: look whether the data folder is there and readable",
    "malformed": "the database file is damaged: stop the server and restore a backup (`understudy restore`)",
    "not a database": "the database file is damaged: stop the server and restore a backup (`understudy restore`)",
    "disk i/o error": "the disk does not take or give bytes: see whether it is full, failing or gone",
    "locked": "another program keeps the database locked: end that one",
}


class StorageFault(Unavailable):
    """The database could not be read or written. The message says why and how to mend it; nothing was changed."""


def told(problem: BaseException) -> BaseException:
    """Return a known failure of the database as a StorageFault; anything else as it is."""
    cause: BaseException | None = problem
    while cause is not None:  # a full disk may show first as a savepoint that is gone
        if isinstance(cause, DBAPIError) and (meaning := _meaning(str(cause.orig))):
            fault = StorageFault(f"This needs the database, but {meaning}. SQLite says: {cause.orig}.")
            fault.__cause__ = problem
            return fault
        cause = cause.__cause__ or cause.__context__
    return problem


def _meaning(words: str) -> str | None:
    return next((meaning for known, meaning in _MEANINGS.items() if known in words.lower()), None)
