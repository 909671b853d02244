"""How the log looks: text or JSON, each line with the request, thread and run that it is about.

No message text, key or header is logged unless `log_content` is set. So an exception that is not ours is told by its
type and its place alone: its words may quote what a person wrote.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from traceback import format_tb
from types import MappingProxyType

from understudy.errors import UnderstudyError

_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))

TEXT, JSON = "text", "json"
_HARMLESS = (UnderstudyError, OSError, AssertionError)
_CHATTY = ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "uvicorn.access")


@contextmanager
def about(**ids: str) -> Iterator[None]:
    """Put ids on every line that is logged within, also in tasks that begin within."""
    token = _about.set({**_about.get(), **ids})
    try:
        yield
    finally:
        _about.reset(token)


def tag(**ids: str) -> None:
    """Put ids on every line that this task logs from now on."""
    _about.set({**_about.get(), **ids})


def set_up(level: str, style: str, *, content: bool) -> None:
    """Log to stderr. Other libraries' chatter starts at warnings, some of it quotes requests."""
    told = logging.StreamHandler(sys.stderr)
    told.setFormatter((_JsonLines if style == JSON else _TextLines)(content=content))
    logging.basicConfig(handlers=[told])
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # nobody reads them, and they cost
    logging.getLogger("understudy").setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel(level.upper() if level != "info" else "WARNING")
    for name in _CHATTY:
        logging.getLogger(name).setLevel("WARNING")
    logging.getLogger("python_multipart").setLevel("ERROR")  # it warns of what clients do wrong: they are told


class _Lines(logging.Formatter):
    def __init__(self, *, content: bool) -> None:
        super().__init__()
        self._content = content

    def ids(self, record: logging.LogRecord) -> dict[str, object]:
        """What a line is about: ids of the moment it was logged in, and the record's own facts."""
        return {**_about.get(), **getattr(record, "facts", {})}

    def trouble(self, record: logging.LogRecord) -> str:
        """Tell an exception, and those behind it, with no more words than are safe."""
        exception = record.exc_info[1] if record.exc_info else None
        told: list[str] = []
        while exception is not None:
            kind = type(exception)
            safe = self._content or isinstance(exception, _HARMLESS) or kind.__module__.startswith("sqlalchemy")
            words = str(exception) if safe else "(its words are left out: log_content is off)"
            frames = "".join(format_tb(exception.__traceback__))
            told.append(f"Traceback (most recent call last):\n{frames}{kind.__module__}.{kind.__qualname__}: {words}")
            behind = None if exception.__suppress_context__ else exception.__context__
            exception = exception.__cause__ or behind
        return "\n\nwhich came of\n\n".join(told)


class _TextLines(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        moment = _second(int(record.created))
        ids = "".join(f" {name}={_word(value)}" for name, value in self.ids(record).items())
        line = f"{moment},{int(record.msecs):03} {record.levelname} {record.name}: {record.getMessage()}{ids}"
        trouble = self.trouble(record)
        return f"{line}\n{trouble}" if trouble else line


@lru_cache(maxsize=8)
def _second(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


@lru_cache(maxsize=8)
def _utc_second(moment: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))


class _JsonLines(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": f"{_utc_second(int(record.created))}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= self.ids(record)
        if trouble := self.trouble(record):
            line["exception"] = trouble
        return json.dumps(line, ensure_ascii=False, default=str)


def _word(value: object) -> str:
    """One word, so that a line of text stays one line whatever a client puts into a path."""
    text = str(value)
    return text if text.isprintable() and " " not in text else json.dumps(text, ensure_ascii=False)
