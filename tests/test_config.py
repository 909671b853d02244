"""Settings: where they come from, in which order, and what is said when one is wrong."""

import os
import sys
from pathlib import Path

import pytest

from understudy import config
from understudy.config import Settings, load
from understudy.config_models import MODEL_URL_UPSTREAM, models_config
from understudy.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(config.PREFIX):
            monkeypatch.delenv(name)


def write(folder: Path, text: str) -> str:
    path = folder / "understudy.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def complaint(**flags: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        models_config(load(flags))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_are_those_of_the_contract() -> None:
    settings = load()
    assert (settings.host, settings.port, settings.run_expiry_s, settings.lease_s) == ("127.0.0.1", 8000, 600, 8)
    assert settings.database_url == f"sqlite:///{settings.data_dir / 'understudy.sqlite3'}"
    assert not settings.strict_beta_header
    assert not settings.fetch_images


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the folders are named differently")
def test_folders_follow_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = load()
    assert settings.data_dir == tmp_path / "share" / "understudy"
    assert settings.cache_dir == tmp_path / ".cache" / "understudy"


def test_command_line_then_environment_then_file_then_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = write(tmp_path, "port = 1\nrun_expiry_s = 1\nlog_level = 'debug'\n")
    monkeypatch.setenv("UNDERSTUDY_PORT", "2")
    monkeypatch.setenv("UNDERSTUDY_RUN_EXPIRY_S", "2")
    settings = load({"config": file, "port": "3", "host": None})
    assert (settings.port, settings.run_expiry_s, settings.log_level, settings.host) == (3, 2, "debug", "127.0.0.1")


def test_the_file_may_be_named_by_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNDERSTUDY_CONFIG", write(tmp_path, "port = 7\n"))
    assert load().port == 7


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_MODEL_URL", "")
    assert load().model_url is None


def test_settings_are_frozen_and_hide_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_MODEL_KEY", "sk-secret")
    settings = load()
    assert "sk-secret" not in repr(settings)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


def test_paths_in_the_file_are_relative_to_it(tmp_path: Path) -> None:
    settings = load({"config": write(tmp_path, "data_dir = 'kept'\n")})
    assert settings.data_dir == tmp_path / "kept"


def test_sizes_may_have_units() -> None:
    assert load({"max_body_bytes": "2MiB"}).max_body_bytes == 2 * config.MiB


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "eighty"),
        ("port", "65536"),
        ("run_expiry_s", "0"),
        ("lease_s", "nan"),
        ("model_url", "localhost:11434"),
        ("database_url", "mysql://db/understudy"),
        ("database_url", "postgresql://db"),
        ("files_url", "/var/files"),
        ("files_url", "file://relative"),
        ("files_url", "s3://"),
        ("files_url", "s3://bucket/?a=b"),
        ("files_url", "gs://bucket"),
        ("log_level", "loud"),
        ("strict_beta_header", "perhaps"),
        ("max_body_bytes", "big"),
        ("cors_origins", "*"),
        ("cors_origins", "https://a.example/path"),
    ],
)
def test_a_wrong_value_says_what_came_from_where_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    allowed = config.about(name).allowed
    assert complaint(**{name: value}) == f"{name} is '{value}' (from --{name.replace('_', '-')}); allowed: {allowed}"
    variable = f"UNDERSTUDY_{name.upper()}"
    monkeypatch.setenv(variable, value)
    assert complaint() == f"{name} is '{value}' (from {variable}); allowed: {allowed}"


@pytest.mark.parametrize("name", ["api_key", "admin_key"])
@pytest.mark.parametrize("value", ["short", "with a space in its midst", "한국어로된열여섯글자넘는열쇠입니다"])
def test_a_key_that_can_be_guessed_is_refused_and_not_repeated(name: str, value: str) -> None:
    flag, allowed = name.replace("_", "-"), config.about(name).allowed
    assert complaint(**{name: value}) == f"{name} is not acceptable (from --{flag}); allowed: {allowed}"


def test_origins_are_a_list_however_they_come(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    expected = ("https://a.example", "http://localhost:3000")
    assert load({"cors_origins": "https://A.example, http://localhost:3000"}).cors_origins == expected
    assert load({"config": write(tmp_path, f"cors_origins = {list(expected)}")}).cors_origins == expected
    monkeypatch.setenv("UNDERSTUDY_CORS_ORIGINS", "https://a.example,http://localhost:3000")
    assert load().cors_origins == expected


def test_a_password_in_a_url_is_not_repeated() -> None:
    assert "hunter2" not in complaint(database_url="postgres://me:hunter2@db/x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port = 'x'", "port is 'x' (from {file}); allowed: a whole number from 0 to 65535"),
        ("prot = 1", "unknown setting 'prot'; did you mean port? (from {file})"),
        ("upstreams = 1", "upstreams is 1; allowed: tables, [upstreams.NAME] (from {file})"),
        ("upstreams.a = 1", "upstreams.a is 1; allowed: a table, [upstreams.a] (from {file})"),
        ("[upstreams.a]", "upstreams.a.url is missing (from {file})"),
        ("[upstreams.a]\nurl = 'x'", "upstreams.a.url is 'x' (from {file}); allowed: an http:// or https:// URL"),
        (
            "[upstreams.a]\nurl = 'http://a'\nconcurency = 1",
            "unknown setting 'concurency' in [upstreams.a]; did you mean concurrency? (from {file})",
        ),
        (
            "[upstreams.a]\nurl = 'http://a'\nimages = 'blob'",
            "upstreams.a.images is 'blob' (from {file}); allowed: 'url', 'inline' or 'none'",
        ),
        (
            "[upstreams.a]\nurl = 'http://a'\nconcurrency = 0",
            "upstreams.a.concurrency is 0; allowed: a number above 0 (from {file})",
        ),
        (
            "[upstreams.a]\nurl = 'http://a'\nkey = 'k'\nkey_env = 'K'",
            "upstreams.a has key and key_env; allowed: one of them (from {file})",
        ),
        (
            "[upstreams.a]\nurl = 'http://a'\nkey_env = 'NO_SUCH_KEY_HERE'",
            "upstreams.a.key_env names the variable NO_SUCH_KEY_HERE, which is not set",
        ),
        (
            '[models."gpt-4o"]\nupstraem = "a"',
            "unknown setting 'upstraem' in [models.\"gpt-4o\"]; did you mean upstream?",
        ),
        ("port = ", "the configuration file {file} is not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_told_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    file = write(tmp_path, text)
    assert complaint(config=file).startswith(said.format(file=file))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert complaint(config=str(tmp_path / "none.toml")).endswith("cannot be read: No such file or directory")


def test_upstreams_and_routes_become_what_the_model_routes_take(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOCAL_KEY", "sk-local")
    file = write(
        tmp_path,
        """
        default_upstream = "local"
        [upstreams.local]
        url = "http://127.0.0.1:1/v1/"
        key_env = "LOCAL_KEY"
        tool_protocol = "constrained"
        refuses = ["top_p"]
        [models."gpt-4o"]
        upstream = "embedded"
        [models.small]
        upstream = "local"
        model = "s"
        """,
    )
    models = models_config(load({"config": file}))
    local = models.upstreams["local"]
    assert (local.base_url, local.api_key) == ("http://127.0.0.1:1/v1", "sk-local")
    assert (local.dialect.tool_protocol, local.dialect.refuses) == ("constrained", frozenset({"top_p"}))
    assert [(r.name, r.upstream, r.model) for r in models.routes] == [
        ("gpt-4o", "embedded", None),
        ("small", "local", "s"),
    ]
    assert models.default == "local"


def test_a_model_url_is_an_upstream_that_takes_all_names() -> None:
    models = models_config(
        load({"model_url": "http://a/v1", "model_key": "k", "model_timeout_s": "3", "model_context_window": "4096"})
    )
    upstream = models.upstreams[MODEL_URL_UPSTREAM]
    assert (models.default, upstream.api_key, upstream.model) == (MODEL_URL_UPSTREAM, "k", None)
    assert (upstream.dialect.first_byte_timeout_s, upstream.dialect.idle_timeout_s) == (3, 3)
    assert upstream.dialect.context_window == 4096


def test_a_stranger_among_the_variables_is_remarked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_PROT", "1")
    monkeypatch.setenv("UNDERSTUDY_PORT", "1")
    assert config.unknown_variables() == [
        "the variable UNDERSTUDY_PROT is not a setting; did you mean UNDERSTUDY_PORT?"
    ]


def test_every_setting_says_what_it_is_for() -> None:
    for name in config.SCALARS:
        assert config.about(name).what.endswith(".")
        assert config.about(name).allowed
    assert set(Settings.model_fields) == {*config.SCALARS, *config.TABLES}


def test_cache_folder_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert load().cache_dir == tmp_path / "understudy"
