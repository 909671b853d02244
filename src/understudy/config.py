"""One frozen Settings: every variable is read here, once. Imported by app and the command line only.

Precedence: the command line, then the environment (`UNDERSTUDY_*`), then the TOML file, then the default. A wrong
value raises ConfigurationError with one sentence: what was got, where it came from, what is allowed. `load()` is the
way in.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from understudy import config_file
from understudy.config_file import HttpUrl, RouteTable, UpstreamTable, did_you_mean, shown
from understudy.config_values import (
    MIN_KEY_LENGTH,
    About,
    Folder,
    LowerCase,
    MiB,
    Seconds,
    UpperCase,
    database_place,
    default_cache_dir,
    default_data_dir,
    default_database,
    default_files,
    files_place,
    long_enough,
    nats_servers,
    proxies,
    root_path_of,
    split,
    web_origins,
)
from understudy.errors import ConfigurationError

PREFIX = "UNDERSTUDY_"
_A_SECRET = f"a key of {MIN_KEY_LENGTH} or more letters, digits and signs"


class Settings(BaseSettings):
    """Everything a user can set. Make one with `load()`, which turns a wrong value into a sentence."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    host: Annotated[str, About("Address to listen on.", "a host name or an IP address")] = "127.0.0.1"
    port: Annotated[
        int, Field(ge=0, le=65_535), About("Port to listen on; 0 picks a free one.", "a whole number from 0 to 65535")
    ] = 8000
    api_key: Annotated[
        SecretStr | None,
        AfterValidator(long_enough),
        About("An API key of the default project, beside those of `understudy keys`: for containers.", _A_SECRET),
    ] = None
    admin_key: Annotated[
        SecretStr | None,
        AfterValidator(long_enough),
        About("An API key that may enter every project, named by the OpenAI-Project header.", _A_SECRET),
    ] = None
    cors_origins: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(split),
        AfterValidator(web_origins),
        About("Web pages that may use this server.", "origins like https://app.example.com, separated by commas"),
    ] = ()
    playground: Annotated[bool, About("Serve the playground, a web page for the API, at /.", "true or false")] = True
    data_dir: Annotated[Folder, About("Folder of everything that is kept.", "a folder's path")] = Field(
        default_factory=default_data_dir
    )
    cache_dir: Annotated[
        Folder, About("Folder of what can be fetched again: the embedded model.", "a folder's path")
    ] = Field(default_factory=default_cache_dir)
    config: Annotated[Folder | None, About("TOML file with settings, upstreams and routes.", "a file's path")] = None
    database_url: Annotated[
        str,
        AfterValidator(database_place),
        About(
            "Where assistants, threads and runs are stored.",
            "sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME",
        ),
    ] = Field(default_factory=default_database, repr=False)
    database_connections: Annotated[
        int,
        Field(ge=2, le=1000),
        About("Connections to PostgreSQL that this process may open.", "a whole number from 2 to 1000"),
    ] = 16
    bus_url: Annotated[
        str | None,
        AfterValidator(nats_servers),
        About(
            "NATS with JetStream, for jobs and events of many servers and workers; unset: within the one server.",
            "nats://USER:PASSWORD@HOST:PORT, or several, separated by commas",
        ),
    ] = Field(default=None, repr=False)
    bus_name: Annotated[
        str,
        Field(pattern=r"^[a-z][a-z0-9_]{0,31}$"),
        About("What this cluster's subjects at NATS begin with.", "up to 32 letters a-z, digits and underscores"),
    ] = "understudy"
    files_url: Annotated[
        str,
        AfterValidator(files_place),
        About(
            "Where the bytes of files are stored; of a bucket, endpoint, region and keys are taken from AWS_*.",
            "file:///FOLDER or s3://BUCKET/PREFIX",
        ),
    ] = Field(default_factory=default_files, repr=False)
    sqlite_synchronous: Annotated[
        Literal["NORMAL", "FULL"],
        UpperCase,
        About("FULL also survives a power cut at the last moment, and is slower.", "NORMAL or FULL"),
    ] = "NORMAL"
    model_url: Annotated[
        HttpUrl | None,
        About("OpenAI-compatible base URL of your model; unset: the embedded model.", "an http:// or https:// URL"),
    ] = None
    model_key: Annotated[SecretStr | None, About("API key for the model URL.", "a key")] = None
    model: Annotated[
        str | None,
        About("The upstream's model; unset: the assistant's own model name is passed on.", "a model's name"),
    ] = None
    model_timeout_s: Annotated[
        Seconds | None,
        About("Seconds the model URL may stay silent before its call has failed.", "a number above 0"),
    ] = None
    model_context_window: Annotated[
        int | None,
        Field(ge=512),
        About("Tokens that fit into the context of the model at the model URL.", "a whole number, 512 or more"),
    ] = None
    model_path: Annotated[
        Folder | None, About("A GGUF file of your own, in place of the embedded model.", "a file's path")
    ] = None
    fetch_images: Annotated[
        bool,
        About("Fetch image URLs that clients give, for upstreams that take images inline.", "true or false"),
    ] = False
    embeddings_url: Annotated[
        HttpUrl | None,
        About(
            "OpenAI-compatible base URL for embeddings; unset: the embedder that comes along.",
            "an http:// or https:// URL",
        ),
    ] = None
    embeddings_key: Annotated[SecretStr | None, About("API key for the embeddings URL.", "a key")] = None
    embeddings_model: Annotated[
        str | None, About("Model of the embeddings URL; another one indexes all files anew.", "a model's name")
    ] = None
    rerank_url: Annotated[
        HttpUrl | None,
        About(
            "Whole address of a Cohere-compatible rerank endpoint; unset: results are not reranked.",
            "an http:// or https:// URL",
        ),
    ] = None
    rerank_key: Annotated[SecretStr | None, About("API key for the rerank URL.", "a key")] = None
    rerank_model: Annotated[str | None, About("Model of the rerank URL.", "a model's name")] = None
    rewrite_model: Annotated[
        str | None,
        About(
            "Model that rewrites the queries of searches with `rewrite_query`; unset: the first of `GET /v1/models`, "
            "and none where that list is empty.",
            "a model's name",
        ),
    ] = None
    vector_memory_bytes: Annotated[
        ByteSize,
        Field(ge=0),
        About(
            "Memory for the vectors of stores searched lately; 10,000 passages take 20 MB.",
            "bytes, or a size like 512MiB",
        ),
    ] = ByteSize(512 * MiB)
    run_expiry_s: Annotated[
        int, Field(ge=1), About("Seconds until an unfinished run expires.", "a whole number, 1 or more")
    ] = 600
    lease_s: Annotated[
        float,
        Field(ge=1, le=600),
        About("Seconds after which a dead worker's run is taken over.", "a number from 1 to 600"),
    ] = 8.0
    worker_concurrency: Annotated[
        int, Field(ge=1), About("Runs that are worked on at once.", "a whole number, 1 or more")
    ] = 1000
    ingest_concurrency: Annotated[
        int, Field(ge=1, le=64), About("Files of vector stores that are read at once.", "a whole number from 1 to 64")
    ] = 2
    max_queued_runs: Annotated[
        int,
        Field(ge=1),
        About(
            "Runs that may wait for a worker; beyond them new ones are answered with 429.", "a whole number, 1 or more"
        ),
    ] = 10_000
    strict_beta_header: Annotated[
        bool, About("Refuse requests without the OpenAI-Beta header, as the hosted API did.", "true or false")
    ] = False
    max_body_bytes: Annotated[
        ByteSize, Field(ge=1024), About("Largest JSON body of a request.", "bytes, or a size like 16MiB")
    ] = ByteSize(16 * MiB)
    max_connections: Annotated[
        int, Field(ge=1), About("Clients' connections at once; those beyond get a 503.", "a whole number, 1 or more")
    ] = 2000
    head_timeout_s: Annotated[
        Seconds, About("Seconds within which a request's headers must have come.", "a number above 0")
    ] = 20.0
    body_timeout_s: Annotated[
        Seconds,
        About("Seconds for a request's body; longer if it comes at 16 KiB a second.", "a number above 0"),
    ] = 30.0
    request_timeout_s: Annotated[
        Seconds,
        About("Seconds until a request that has no answer yet is given up.", "a number above 0; held polls need 25"),
    ] = 120.0
    root_path: Annotated[
        str,
        AfterValidator(root_path_of),
        About("Path below which a proxy serves this server.", "a path like /assistants, without a slash at its end"),
    ] = ""
    trusted_proxies: Annotated[
        str,
        AfterValidator(proxies),
        About("Proxies whose X-Forwarded-For and -Proto are believed.", "addresses or networks, separated by commas"),
    ] = ""
    tls_cert: Annotated[
        Folder | None, About("PEM file with the certificate: the server speaks HTTPS then.", "a file's path")
    ] = None
    tls_key: Annotated[Folder | None, About("PEM file with the certificate's key.", "a file's path")] = None
    event_log_s: Annotated[
        Seconds,
        About("Seconds that a run's events stay in memory past its last one.", "a number above 0"),
    ] = 600.0
    delete_threads_after_days: Annotated[
        float | None,
        Field(gt=0, allow_inf_nan=False),
        About("Days after which a thread that nobody has used is deleted; unset: never.", "a number above 0"),
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        LowerCase,
        About("How much goes to the log on stderr.", "debug, info, warning or error"),
    ] = "info"

    log_format: Annotated[Literal["text", "json"], LowerCase, About("How a line of the log looks.", "text or json")] = (
        "text"
    )
    log_content: Annotated[
        bool, About("Log the bodies of requests too: what people write stands in the log then.", "true or false")
    ] = False

    sandbox: Annotated[
        Literal["auto", "off"],
        LowerCase,
        About("Whether code of models is run, in a jail: auto runs it where one can be had.", "auto or off"),
    ] = "auto"
    sandbox_dir: Annotated[
        Folder | None,
        About(
            "Folder of the Python that code is run with; unset: in cache_dir if it is open to all.", "a folder's path"
        ),
    ] = None
    sandbox_uid: Annotated[
        int,
        Field(ge=1, le=4_294_967_293),
        About("User id that code is run as where the server is root.", "a whole number from 1 to 4294967293"),
    ] = 61_100
    sandbox_timeout_s: Annotated[
        Seconds, About("Seconds that one call of the code interpreter may take.", "a number above 0")
    ] = 60.0
    sandbox_memory: Annotated[
        ByteSize,
        Field(ge=256 * MiB),
        About("Memory of a session's processes.", "bytes, or a size like 1GiB; 256MiB or more"),
    ] = ByteSize(1024 * MiB)
    sandbox_disk: Annotated[
        ByteSize,
        Field(ge=MiB),
        About("Files of a session, which lie in memory.", "bytes, or a size like 512MiB; 1MiB or more"),
    ] = ByteSize(512 * MiB)
    sandbox_processes: Annotated[
        int, Field(ge=8, le=1000), About("Processes and threads of a session.", "a whole number from 8 to 1000")
    ] = 64
    sandbox_cpu_s: Annotated[
        Seconds, About("Processor time of a session, all its calls together.", "seconds, a number above 0")
    ] = 600.0
    sandbox_output: Annotated[
        ByteSize,
        Field(ge=1024),
        About("What is kept of a call's printed output.", "bytes, or a size like 100KiB; 1KiB or more"),
    ] = ByteSize(100_000)
    sandbox_sessions: Annotated[
        int, Field(ge=1), About("Sessions that may live at once.", "a whole number, 1 or more")
    ] = 32
    sandbox_warm: Annotated[
        int,
        Field(ge=0, le=100),
        About("Sessions kept ready for threads to come, once code was asked for.", "a whole number from 0 to 100"),
    ] = 1
    sandbox_idle_s: Annotated[Seconds, About("Seconds after which an idle session is ended.", "a number above 0")] = (
        1800.0
    )
    sandbox_max_age_s: Annotated[
        Seconds, About("Seconds after which any session is ended, between calls.", "a number above 0")
    ] = 3600.0

    default_upstream: Annotated[
        str | None,
        About("The upstream that takes every model name without a route.", "the NAME of an [upstreams.NAME] table"),
    ] = None

    upstreams: dict[str, UpstreamTable] = {}
    models: dict[str, RouteTable] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        flags = init_settings.init_kwargs if isinstance(init_settings, InitSettingsSource) else {}
        path = flags.get("config") or os.environ.get(f"{PREFIX}CONFIG")
        table = config_file.read(Path(path).expanduser().absolute(), _FILE_NAMES) if path else {}
        return init_settings, _Environment(settings_cls), InitSettingsSource(settings_cls, table)


TABLES = ("upstreams", "models")  # for the file only: too deep for a variable or a flag
SCALARS = tuple(name for name in Settings.model_fields if name not in TABLES)
_FILE_NAMES = tuple(name for name in Settings.model_fields if name != "config")


class _Environment(EnvSettingsSource):
    """The process's variables; the file's tables have none."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return (None, field_name, False) if field_name in TABLES else super().get_field_value(field, field_name)


def about(name: str) -> About:
    """Return what a setting is for."""
    return next(item for item in Settings.model_fields[name].metadata if isinstance(item, About))


def load(flags: Mapping[str, object] | None = None) -> Settings:
    """Return the settings of this process. `flags` come from the command line; None there means not given."""
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as problem:
        raise ConfigurationError(_sentence(problem.errors(include_url=False)[0], given)) from None


def unknown_variables() -> list[str]:
    """Return a remark for each `UNDERSTUDY_*` variable that no setting reads."""
    known = [f"{PREFIX}{name.upper()}" for name in SCALARS]
    strangers = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    return [f"the variable {name} is not a setting{did_you_mean(name, known)}" for name in strangers]


def _sentence(error: Any, flags: Mapping[str, object]) -> str:
    """Say in one sentence what is wrong with a setting."""
    path = [str(part) for part in error["loc"] if part != "dialect"]
    name, source = path[0], _source(path[0], flags)
    if error["type"] == "missing":
        return f"{'.'.join(path)} is missing (from {source})"
    value = "not acceptable" if path[-1].endswith("key") else shown(error["input"])
    return f"{'.'.join(path)} is {value} (from {source}); allowed: {_allowed(name, error['msg'])}"


def _allowed(name: str, message: str) -> str:
    if name in SCALARS:
        return about(name).allowed
    return message.removeprefix("Input should be ").removeprefix("Value error, ").split(", unable")[0]


def _source(name: str, flags: Mapping[str, object]) -> str:
    if name in flags:
        return f"--{name.replace('_', '-')}"
    variable = f"{PREFIX}{name.upper()}"
    if name in SCALARS and os.environ.get(variable):
        return variable
    return str(flags.get("config") or os.environ.get(f"{PREFIX}CONFIG"))
