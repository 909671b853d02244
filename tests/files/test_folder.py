"""Copies of what a file store keeps in a folder."""

import hashlib
from pathlib import Path

import pytest

from understudy.files.folder import Copies, local_folder, remove_others

KEY, OTHER = "file-" + "a" * 22, "part_" + "0" * 32


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / KEY).write_bytes(b"one")
    (folder / OTHER).write_bytes(b"two" * 1_000_000)
    return folder


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_the_folder_of_a_url(tmp_path: Path) -> None:
    folder = tmp_path / "a folder, with 안녕 & #1 in its name"
    assert local_folder(folder.as_uri()) == folder
    assert local_folder("s3://bucket/prefix") is None


def test_copies_are_whole_and_told_by_their_hash(source: Path, tmp_path: Path) -> None:
    copies = Copies(source, tmp_path / "target")
    assert copies.take([KEY, OTHER]) == []
    for key in (KEY, OTHER):
        content = (source / key).read_bytes()
        assert (tmp_path / "target" / key).read_bytes() == content
        assert copies.sha256[key] == hashlib.sha256(content).hexdigest()
    assert names(tmp_path / "target") == {KEY, OTHER}


def test_what_goes_meanwhile_is_missing_only_if_it_was_not_taken(source: Path, tmp_path: Path) -> None:
    copies = Copies(source, tmp_path / "target")
    copies.take([KEY])
    for file in source.iterdir():
        file.unlink()
    assert copies.take([KEY, OTHER]) == [OTHER]
    assert names(tmp_path / "target") == {KEY}


def test_what_is_not_needed_after_all_is_dropped(source: Path, tmp_path: Path) -> None:
    copies = Copies(source, tmp_path / "target")
    copies.take([KEY, OTHER])
    copies.drop_others([OTHER])
    assert names(tmp_path / "target") == copies.sha256.keys() == {OTHER}


def test_only_what_a_file_store_made_is_removed(source: Path) -> None:
    for name in ("notes.txt", "file-abc.txt", "file-killed#1", "file-killed.half", "lost+found"):
        (source / name).write_text("")
    remove_others(source, [KEY])
    assert names(source) == {KEY, "notes.txt", "file-abc.txt", "lost+found"}
    remove_others(source / "nowhere", [])
