from pathlib import Path

import pytest

from understudy.errors import ConfigurationError, ModelNotFound
from understudy.inference.constrained import Constrained
from understudy.inference.dialect import Dialect, Upstream
from understudy.inference.embedded import EmbeddedModel
from understudy.inference.registry import EMBEDDED, EMBEDDED_MODEL, ModelRoutes, ModelsConfig, RouteConfig

CLOUD = Upstream("https://cloud.example/v1", "sk-secret-key-1", None, Dialect(context_window=1000))
BOX = Upstream("http://box:8000/v1", None, "local-7b", Dialect(tool_protocol="constrained"))


def routes(tmp_path: Path, **config: object) -> ModelRoutes:
    return ModelRoutes(ModelsConfig(**config), tmp_path)  # type: ignore[arg-type]


def test_without_upstreams_every_name_leads_to_the_embedded_model(tmp_path: Path) -> None:
    found = routes(tmp_path)
    route = found.find("gpt-4o")
    assert isinstance(route.provider, EmbeddedModel)
    assert (route.model, route.context_window) == (EMBEDDED_MODEL, 8192)
    assert found.find("anything").provider is route.provider
    assert found.names() == [EMBEDDED_MODEL]


def test_the_one_upstream_takes_every_name(tmp_path: Path) -> None:
    found = routes(tmp_path, upstreams={"cloud": CLOUD})
    assert (found.find("gpt-4o").model, found.find("gpt-4o").context_window) == ("gpt-4o", 1000)
    named = routes(tmp_path, upstreams={"box": BOX})
    assert named.find("gpt-4o").model == "local-7b"
    assert isinstance(named.find("gpt-4o").provider, Constrained)
    assert named.names() == ["local-7b"]


def test_routes_and_a_default(tmp_path: Path) -> None:
    ways = [RouteConfig("gpt-4o", "cloud", "gpt-5"), RouteConfig("gpt-4", "box"), RouteConfig("tiny", EMBEDDED)]
    found = routes(tmp_path, upstreams={"cloud": CLOUD, "box": BOX}, routes=ways)
    assert [found.find(way.name).model for way in ways] == ["gpt-5", "local-7b", EMBEDDED_MODEL]
    assert found.names() == ["gpt-4o", "gpt-4", "tiny"]
    with pytest.raises(ModelNotFound, match="The model 'gpt-3' does not exist"):
        found.find("gpt-3")
    open_house = routes(tmp_path, upstreams={"cloud": CLOUD, "box": BOX}, routes=ways, default="cloud")
    assert open_house.find("gpt-3").model == "gpt-3"
    assert open_house.find("gpt-3").provider is open_house.find("gpt-4o").provider


def test_dangling_names_are_configuration_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="model gpt-4 leads to upstream 'nowhere'"):
        routes(tmp_path, routes=[RouteConfig("gpt-4", "nowhere")])
    with pytest.raises(ConfigurationError, match="neither routes nor a default"):
        routes(tmp_path, upstreams={"cloud": CLOUD, "box": BOX})


async def test_status_tells_no_key_and_why_the_model_is_off(tmp_path: Path) -> None:
    found = routes(tmp_path, upstreams={"cloud": CLOUD}, default=EMBEDDED)
    status = found.status()
    assert "sk-secret" not in str(status)
    assert "cloud.example" not in str(status)
    assert status["cloud"]["kind"] == "openai_compatible"
    assert status[EMBEDDED]["file_present"] is False
    assert status[EMBEDDED]["running"] is False
    assert "understudy models fetch" in status[EMBEDDED]["why_off"]
    await found.aclose()
