"""Which adapter stands behind each port, by the settings: the only file that names adapters."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from understudy.bus.base import Bus
from understudy.bus.local import LocalBus
from understudy.config import Settings
from understudy.errors import ConfigurationError
from understudy.files.store import UrlFileStore
from understudy.ids import SystemClock
from understudy.ingest.index import Index
from understudy.metrics import Metrics
from understudy.retrieval.embed import Embedder
from understudy.retrieval.embed_endpoint import EndpointEmbedder
from understudy.retrieval.embed_local import LocalEmbedder
from understudy.retrieval.rerank import EndpointReranker
from understudy.sandbox.bubblewrap import BubblewrapSandbox, SandboxSettings
from understudy.sandbox.environment import default_folder
from understudy.sandbox.limits import Limits
from understudy.sandbox.pool import PoolSize
from understudy.storage.base import Store
from understudy.storage.nearest import Nearest
from understudy.storage.search import KeywordIndex, VectorIndex
from understudy.storage.search_sqlite import SqliteKeywords
from understudy.storage.sqlite import SqliteStore, sqlite_path
from understudy.topology import keeps_in_file


def store_of(settings: Settings, on_commit: Callable[[float], None] | None = None) -> Store:
    """Return the database of these settings; it is not opened yet. `on_commit` hears how long each write took, in s."""
    if keeps_in_file(settings):
        return SqliteStore(sqlite_path(settings.database_url), settings.sqlite_synchronous, on_commit=on_commit)
    from understudy.storage.postgres import PostgresStore

    return PostgresStore(settings.database_url, settings.database_connections, on_commit=on_commit)


def migrate(settings: Settings) -> str:
    """Bring the database to this version's schema; return a line about it. Raises ConfigurationError."""
    if keeps_in_file(settings):
        return "nothing to do: a server on SQLite upgrades its file itself when it starts, and keeps a copy"
    from understudy.storage import postgres

    before, after = postgres.migrate_database(settings.database_url)
    if before == after:
        return f"nothing to do: the database has schema {after} already"
    return f"the database has schema {after} now; it had {before or 'none'}"


def file_store_of(settings: Settings) -> UrlFileStore:
    """Return where these settings keep the bytes of files."""
    return UrlFileStore(settings.files_url)


def folder_of_files(folder: Path) -> UrlFileStore:
    """Return a store of bytes in a local folder."""
    return UrlFileStore(folder.resolve().as_uri())


def keywords_of(settings: Settings) -> KeywordIndex:
    """Return the keyword index of these settings' database."""
    if keeps_in_file(settings):
        return SqliteKeywords()
    from understudy.storage.search_postgres import PostgresKeywords

    return PostgresKeywords()


def vectors_of(settings: Settings) -> VectorIndex:
    """Return the vector index of these settings' database."""
    nearest = Nearest(int(settings.vector_memory_bytes))
    if keeps_in_file(settings):
        return nearest
    from understudy.storage.pgvector import PostgresNearest

    return PostgresNearest(nearest)


def bus_of(settings: Settings, clock: SystemClock, metrics: Metrics) -> Bus:
    if settings.bus_url is None:
        return LocalBus(clock, linger_s=settings.event_log_s, listener=metrics.told)
    from understudy.bus.nats import NatsBus

    kept_s = settings.event_log_s + settings.run_expiry_s  # the first events come long before the last
    return NatsBus(settings.bus_url, settings.bus_name, log_s=kept_s, listener=metrics.told)


def sandbox_of(settings: Settings, *, spares: bool = True) -> BubblewrapSandbox:
    """Return the sandbox of these settings; it holds nothing yet. Without spares it serves a single session."""
    limits = Limits(
        memory=int(settings.sandbox_memory),
        disk=int(settings.sandbox_disk),
        processes=settings.sandbox_processes,
        cpu_s=settings.sandbox_cpu_s,
        timeout_s=settings.sandbox_timeout_s,
        output=int(settings.sandbox_output),
    )
    size = PoolSize(
        settings.sandbox_sessions,
        settings.sandbox_warm if spares else 0,
        settings.sandbox_idle_s,
        settings.sandbox_max_age_s,
    )
    folder = settings.sandbox_dir or default_folder(settings.cache_dir)
    return BubblewrapSandbox(SandboxSettings(folder, settings.sandbox_uid, limits, size, settings.sandbox == "auto"))


def embedder_of(settings: Settings) -> Embedder:
    """Return what makes vectors; it starts at first use."""
    if settings.embeddings_url is not None:
        return EndpointEmbedder(*_endpoint(settings, "embeddings"))
    return LocalEmbedder()


def index_of(settings: Settings, store: Store, embedder: Embedder) -> Index:
    """Return the search index of these settings, which ends its embedder with itself."""
    reranker = None
    if settings.rerank_url is not None:
        reranker = EndpointReranker(*_endpoint(settings, "rerank"))
    return Index(store, keywords_of(settings), vectors_of(settings), embedder, reranker)


def _endpoint(settings: Settings, what: Literal["embeddings", "rerank"]) -> tuple[str, str | None, str]:
    """Return address, key and model of an endpoint. Raises ConfigurationError."""
    url, key, model = (getattr(settings, f"{what}_{part}") for part in ("url", "key", "model"))
    if model is None:
        raise ConfigurationError(f"{what}_url is set, but {what}_model is not; name the model that it has")
    return url, key.get_secret_value() if key else None, model
