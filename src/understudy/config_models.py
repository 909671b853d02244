"""What the settings say about models, as the model routes take it. Part of `config`."""

from dataclasses import replace

from understudy.config import Settings
from understudy.errors import ConfigurationError
from understudy.inference.dialect import Dialect, Upstream
from understudy.inference.registry import ModelsConfig, RouteConfig

MODEL_URL_UPSTREAM = "model_url"
"""The name of the upstream that `model_url` stands for."""


def models_config(settings: Settings) -> ModelsConfig:
    """Return what the settings say about models, as the model routes take it."""
    upstreams = {name: table.upstream(name) for name, table in settings.upstreams.items()}
    if settings.model_url is not None:
        if MODEL_URL_UPSTREAM in upstreams:
            raise ConfigurationError(f"the upstream {MODEL_URL_UPSTREAM!r} needs another name: model_url goes by it")
        upstreams[MODEL_URL_UPSTREAM] = _upstream_of_url(settings, settings.model_url)
    routes = [RouteConfig(name, table.upstream, table.model) for name, table in settings.models.items()]
    default = settings.default_upstream or (MODEL_URL_UPSTREAM if settings.model_url else None)
    return ModelsConfig(upstreams, routes, default, settings.model_path)


def _upstream_of_url(settings: Settings, url: str) -> Upstream:
    dialect = Dialect()
    if settings.model_context_window is not None:
        dialect = replace(dialect, context_window=settings.model_context_window)
    if settings.model_timeout_s is not None:
        patience = settings.model_timeout_s
        dialect = replace(dialect, first_byte_timeout_s=patience, idle_timeout_s=patience)
    key = settings.model_key.get_secret_value() if settings.model_key else None
    return Upstream(url, key, settings.model, dialect)
