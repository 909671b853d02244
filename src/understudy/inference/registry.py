"""Which upstream a model's name leads to. Providers are made at first use, one per upstream."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from understudy.errors import ConfigurationError, ModelNotFound
from understudy.inference import embedded, model_file
from understudy.inference.base import Provider, Route
from understudy.inference.constrained import Constrained
from understudy.inference.dialect import ImageFetcher, ImageReader, Upstream
from understudy.inference.openai_compatible import OpenAICompatible

EMBEDDED = "embedded"
"""The upstream that is always there, unless the configuration names another one so."""

EMBEDDED_MODEL = "qwen2.5-coder-1.5b-instruct"


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """`[models."<name>"]` of the configuration: the upstream's name, and its own name for the model.

    `model` None takes the upstream's `model`, or else passes the asked name through.
    """

    name: str
    upstream: str
    model: str | None = None


@dataclass(frozen=True, slots=True)
class ModelsConfig:
    """What the configuration says about models.

    `default` is the upstream that takes names without a route. With neither routes nor default, every name goes to
    the one upstream, and without an upstream to the embedded model.
    """

    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    routes: Sequence[RouteConfig] = ()
    default: str | None = None
    embedded_model: Path | None = None


class ModelRoutes:
    """The `Routes` of a server."""

    def __init__(
        self,
        config: ModelsConfig,
        cache_dir: Path,
        *,
        fetch_image: ImageFetcher | None = None,
        read_image: ImageReader | None = None,
    ) -> None:
        """`cache_dir` is where the embedded model's file lies. Raises ConfigurationError for dangling names."""
        self._config = config
        self._cache_dir = cache_dir
        self._fetch_image = fetch_image
        self._read_image = read_image
        self._routes = {route.name: route for route in config.routes}
        self._default = config.default or _implied_default(config)
        self._providers: dict[str, Provider] = {}
        _check(config, self._default)

    def find(self, model: str) -> Route:
        """Return the route of a model name. Raises ModelNotFound."""
        route = self._routes.get(model)
        upstream = route.upstream if route else self._default
        if upstream is None:
            raise ModelNotFound(model)
        provider = self._provider(upstream)
        if (settings := self._config.upstreams.get(upstream)) is None:
            return Route(provider, EMBEDDED_MODEL, embedded.CONTEXT_WINDOW)
        own_name = (route.model if route else None) or settings.model or model
        return Route(provider, own_name, settings.dialect.context_window)

    def names(self) -> Sequence[str]:
        """Return the names with a route, then the default upstream's own model."""
        names = list(self._routes)
        if self._default is not None:
            settings = self._config.upstreams.get(self._default)
            own_name = settings.model if settings else EMBEDDED_MODEL
            names += [own_name] if own_name and own_name not in names else []
        return names

    async def aclose(self) -> None:
        """Close every provider."""
        providers, self._providers = self._providers, {}
        for provider in providers.values():
            await provider.aclose()

    def status(self) -> Mapping[str, Mapping[str, Any]]:
        """Return each upstream's state for /health: no key, no address; `why_off` where it cannot answer."""
        states: dict[str, Mapping[str, Any]] = {
            name: {"kind": "openai_compatible", "model": upstream.model, "tools": upstream.dialect.tool_protocol}
            for name, upstream in self._config.upstreams.items()
        }
        if self._uses_embedded:
            states[EMBEDDED] = self._embedded_status()
        return states

    @property
    def _uses_embedded(self) -> bool:
        wanted = {self._default, *(route.upstream for route in self._config.routes)}
        return EMBEDDED in wanted and EMBEDDED not in self._config.upstreams

    @property
    def _embedded_file(self) -> Path:
        return self._config.embedded_model or model_file.model_path(self._cache_dir)

    def _embedded_status(self) -> Mapping[str, Any]:
        provider = self._providers.get(EMBEDDED)
        running = isinstance(provider, embedded.EmbeddedModel) and provider.running
        why_off = provider.last_error if isinstance(provider, embedded.EmbeddedModel) else None
        present = self._embedded_file.is_file()
        if not present:
            why_off = "The model's file is missing; run `understudy models fetch`."
        return {
            "kind": "embedded",
            "model": EMBEDDED_MODEL,
            "file_present": present,
            "running": running,
            "why_off": why_off,
        }

    def _provider(self, upstream: str) -> Provider:
        if upstream not in self._providers:
            self._providers[upstream] = self._new_provider(upstream)
        return self._providers[upstream]

    def _new_provider(self, upstream: str) -> Provider:
        settings = self._config.upstreams.get(upstream)
        if settings is None:
            return embedded.EmbeddedModel(self._embedded_file)
        # the route has already chosen the name: an upstream's own default must not overwrite it
        provider = OpenAICompatible(_nameless(settings), fetch_image=self._fetch_image, read_image=self._read_image)
        return Constrained(provider) if settings.dialect.tool_protocol == "constrained" else provider


def _nameless(upstream: Upstream) -> Upstream:
    return Upstream(upstream.base_url, upstream.api_key, None, upstream.dialect)


def _implied_default(config: ModelsConfig) -> str | None:
    if config.routes:
        return None
    if len(config.upstreams) > 1:
        raise ConfigurationError("several upstreams are configured, and neither routes nor a default choose one")
    return next(iter(config.upstreams), EMBEDDED)


def _check(config: ModelsConfig, default: str | None) -> None:
    known = {EMBEDDED, *config.upstreams}
    for name, upstream in [("the default route", default), *((f"model {r.name}", r.upstream) for r in config.routes)]:
        if upstream is not None and upstream not in known:
            raise ConfigurationError(f"{name} leads to upstream '{upstream}'; known are {', '.join(sorted(known))}")
