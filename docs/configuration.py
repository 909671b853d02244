"""Write configuration.md from the settings themselves: `make docs`."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from understudy import config, config_file
from understudy.inference.dialect import Dialect

PAGE = Path(__file__).with_suffix(".md")

HEAD = """# Configuration

<!-- Made by `make docs` from src/understudy/config.py; edit that. -->

Every setting below has an option of `understudy serve` (`--model-url`), an environment variable
(`UNDERSTUDY_MODEL_URL`) and a key at the top of the TOML file that `--config` or `UNDERSTUDY_CONFIG` names
(`model_url`). The command line wins over the environment, the environment over the file, the file over the default.
An empty variable counts as not set. Paths in the file are relative to the file. `understudy doctor` checks it all.
"""

DEFAULTS = {
    "data_dir": "`~/.local/share/understudy`, or the platform's like",
    "cache_dir": "`~/.cache/understudy`, or the platform's like",
    "sandbox_dir": "`sandbox` in the cache folder; `/var/cache/understudy/sandbox` for root with a closed home",
    "database_url": "`understudy.sqlite3` in the data folder",
    "files_url": "`files` in the data folder",
}

ROUTES = """
## Upstreams and routes

One model server is enough for most: `model_url`, `model_key` and `model` say it all. The file can name several, and
send each model name where it belongs:

```toml
default_upstream = "local"            # takes every name without a route

[upstreams.local]
url = "http://127.0.0.1:11434/v1"
model = "llama3.1"
tool_protocol = "constrained"         # this one has no tool calls of its own

[upstreams.hosted]
url = "https://models.example.com/v1"
key_env = "HOSTED_MODEL_KEY"          # the variable that holds the key
token_limit_field = "max_completion_tokens"

[models."gpt-4o"]                     # what clients ask for
upstream = "hosted"
model = "big-model-2"                 # what the upstream calls it

[models."gpt-4o-mini"]
upstream = "embedded"                 # the embedded model
```

Without routes and without `default_upstream`, every name goes to the one upstream, and without an upstream to the
embedded model. With routes and without `default_upstream`, other names are unknown models (404), unless `model_url`
is given: it then takes them. `understudy models list` shows what leads where.

### Keys of `[models."NAME"]`

| key | meaning |
|---|---|
| `upstream` | the NAME of an `[upstreams.NAME]` table, `embedded`, or `model_url` |
| `model` | the upstream's own name for it; unset: the upstream's `model`, or else the name that was asked for |

### Keys of `[upstreams.NAME]`

| key | default | meaning |
|---|---|---|
| `url` | | the OpenAI-compatible base URL |
| `key` | none | the API key |
| `key_env` | none | the environment variable that holds the key, in place of `key` |
| `model` | none | the model that is asked for; unset: the name that the client gave |
"""

DIALECT = {
    "token_limit_field": "`max_tokens` or `max_completion_tokens`: what the endpoint calls the limit",
    "stream_usage": "ask for usage in streams (`stream_options`); where none comes, tokens are counted",
    "parallel_tool_calls": "the endpoint knows `parallel_tool_calls`",
    "images": "`url`: pass addresses on; `inline`: send the bytes; `none`: a note in words stands for the picture",
    "refuses": "request fields that are never sent, as a list",
    "tool_protocol": "`native`, or `constrained`: hold a model without tool calls to a JSON envelope",
    "concurrency": "calls at once",
    "max_retries": "further tries after 429, 5xx and lost connections",
    "connect_timeout_s": "seconds to connect",
    "first_byte_timeout_s": "seconds until the answer begins",
    "idle_timeout_s": "seconds between two pieces of the answer",
    "context_window": "tokens that fit",
}


def page() -> str:
    """Return the page."""
    rows = "".join(_row(name) for name in config.SCALARS)
    upstream = "".join(
        f"| `{item.name}` | {_toml(getattr(Dialect(), item.name))} | {DIALECT[item.name]} |\n"
        for item in fields(Dialect)
    )
    keys = "| key | variable | default | values | meaning |\n|---|---|---|---|---|\n"
    assert set(config_file.UPSTREAM_KEYS) == {"url", "key", "key_env", "model", *DIALECT}
    return f"{HEAD}\n## Settings\n\n{keys}{rows}{ROUTES}{upstream}"


def _row(name: str) -> str:
    field, about = config.Settings.model_fields[name], config.about(name)
    default = _default(name, field)
    return f"| `{name}` | `{config.PREFIX}{name.upper()}` | {default} | {about.allowed} | {about.what} |\n"


def _default(name: str, field: FieldInfo) -> str:
    if name in DEFAULTS:
        return DEFAULTS[name]
    if field.default_factory is not None or field.is_required():
        raise LookupError(f"the default of {name!r} depends on the machine: say in DEFAULTS what it is")
    return _toml(field.default) if field.default is not None else "not set"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value == ():
        return "not set"
    return "`[]`" if isinstance(value, frozenset) else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
