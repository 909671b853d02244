"""What a database's failure means to a person: which part failed, why, and how to mend it.

A database's own words are kept out of answers where they name machines, and a statement's values out of everything.
"""

from sqlalchemy.exc import DBAPIError

from understudy.errors import InvalidRequest, Unavailable

_SQLITE = {
    "database or disk is full": "the disk is full: make room for the data folder, and the server goes on by itself",
    "readonly database": "the database cannot be written to: make its folder writable again, or put its file back",
    "unable to open database file": "the database cannot be opened: look whether the data folder is there and readable",
    "malformed": "the database file is damaged: stop the server and restore a backup (`understudy restore`)",
    "not a database": "the database file is damaged: stop the server and restore a backup (`understudy restore`)",
    "disk i/o error": "the disk does not take or give bytes: see whether it is full, failing or gone",
    "locked": "another program keeps the database locked: end that one",
}

_UNREACHABLE = "PostgreSQL cannot be reached: see whether it runs; the server goes on by itself when it does"
_POSTGRES = {
    "08": _UNREACHABLE,
    "25006": "PostgreSQL takes no writes there: see whether the URL leads to a standby",
    "28": "PostgreSQL refuses the user or the password: correct the database URL",
    "3D000": "PostgreSQL has no database of that name: create it, or correct the database URL",
    "40": "too much else changed the same rows at once: try again",
    "42501": "PostgreSQL does not let this user do that: grant it the right",
    "42P01": "a table is missing: run `understudy migrate`",
    "42703": "a column is missing: run `understudy migrate`",
    "53100": "PostgreSQL's disk is full: make room for it, and the server goes on by itself",
    "53200": "PostgreSQL is out of memory",
    "53300": "PostgreSQL takes no more connections: raise its max_connections, or lower database_connections",
    "55P03": "rows were locked by somebody else for too long: look for sessions that hang",
    "57014": "PostgreSQL took too long to answer: see what else it does",
    "57P": _UNREACHABLE,
    "25P03": _UNREACHABLE,
    "XX": "PostgreSQL reports a defect of its own: see its log",
}
"""By SQLSTATE or its beginning."""


class StorageFault(Unavailable):
    """The database could not be read or written. The message says why and how to mend it; nothing was changed."""


class InDoubt(StorageFault):
    """The database went away while it was to keep a change: whether it did, only a look at the rows can tell."""

    def __init__(self) -> None:
        super().__init__(
            f"This needs the database, but {_UNREACHABLE}. It went away at the last moment: the change may have been "
            "made; look before you repeat it."
        )


def told(problem: BaseException) -> BaseException:
    """Return a known failure of the database as a StorageFault; anything else as it is."""
    cause: BaseException | None = problem
    while cause is not None:  # a full disk may show first as a savepoint that is gone
        if isinstance(cause, DBAPIError) and "cannot contain NUL" in str(cause.orig):
            return InvalidRequest("A null character (\\u0000) cannot be stored.", code="invalid_value")
        if isinstance(cause, DBAPIError) and (text := _text(cause)):
            fault = StorageFault(f"This needs the database, but {text}")
            fault.__cause__ = problem
            return fault
        cause = cause.__cause__ or cause.__context__
    return problem


def is_gone(problem: DBAPIError) -> bool:
    """Tell whether the server, or the connection to it, went away: nothing that was not committed is kept."""
    if problem.connection_invalidated:
        return True
    state = _state(problem)
    return state is not None and (state.startswith(("08", "57P")) or state == "25P03")


def was_cut_off(problem: DBAPIError) -> bool:
    """Tell whether PostgreSQL ended a transaction that was idle for too long: nothing of it was kept."""
    return _state(problem) == "25P03"


def is_conflict(problem: DBAPIError) -> bool:
    """Tell whether PostgreSQL refused a change because another one was quicker."""
    return (_state(problem) or "").startswith("40")


def is_taken(problem: DBAPIError) -> bool:
    """Tell whether a key was not unique."""
    return _state(problem) == "23505"


def _state(problem: DBAPIError) -> str | None:
    """Return PostgreSQL's SQLSTATE; None for another database. A failed connection has none: it gets 08000."""
    if type(problem.orig).__module__.partition(".")[0] != "psycopg":
        return None
    state: str | None = getattr(problem.orig, "sqlstate", None)
    return state or ("08000" if type(problem.orig).__name__ in _OF_CONNECTIONS else "")


_OF_CONNECTIONS = ("OperationalError", "ConnectionTimeout", "ConnectionFailure")


def _text(problem: DBAPIError) -> str | None:
    state = _state(problem)
    if state is None:
        meaning = _meaning(str(problem.orig))
        return meaning and f"{meaning}. SQLite says: {problem.orig}."
    meaning = next((meaning for known, meaning in _POSTGRES.items() if state.startswith(known)), None)
    return meaning and f"{meaning}. (SQLSTATE {state})"


def _meaning(words: str) -> str | None:
    return next((meaning for known, meaning in _SQLITE.items() if known in words.lower()), None)
