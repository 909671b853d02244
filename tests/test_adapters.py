"""Which adapters the settings choose."""

from pathlib import Path

import pytest

from understudy.adapters import embedder_of, index_of, store_of
from understudy.config import load
from understudy.errors import ConfigurationError


@pytest.fixture
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_DATA_DIR", str(tmp_path))


@pytest.mark.usefixtures("_folder")
@pytest.mark.parametrize("what", ["embeddings", "rerank"])
async def test_an_endpoint_needs_the_name_of_its_model(what: str) -> None:
    settings = load({f"{what}_url": "http://127.0.0.1:9/v1"})
    with pytest.raises(ConfigurationError, match=f"{what}_url is set, but {what}_model is not"):
        index_of(settings, store_of(settings), embedder_of(settings))
    settings = load({f"{what}_url": "http://127.0.0.1:9/v1", f"{what}_model": "m"})
    await index_of(settings, store_of(settings), embedder_of(settings)).aclose()


@pytest.mark.usefixtures("_folder")
async def test_without_endpoints_the_index_works_with_what_comes_along() -> None:
    settings = load()
    store = store_of(settings)
    await store.open()
    index = index_of(settings, store, embedder_of(settings))
    assert await index.search("proj_default", [], []) == []
    await index.aclose()
    await store.close()
