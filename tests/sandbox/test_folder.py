"""The folder as the worker sees it; the module is the same on both sides of the wall."""

import os
from pathlib import Path

import pytest

from understudy.sandbox.inside.folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path))


def test_pieces_make_a_file_and_a_file_makes_pieces(folder: Folder, tmp_path: Path) -> None:
    folder.put("a.csv", [], b"one", first=True)
    folder.put("a.csv", ["file-1"], b"two", first=False)
    assert (tmp_path / "a.csv").read_bytes() == b"onetwo"
    assert (tmp_path / "file-1").readlink() == Path("a.csv")
    assert folder.piece("file-1", 3, 100) == b"two"
    assert folder.piece("a.csv", 6, 100) == b""


def test_a_link_that_code_has_left_is_not_written_through(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("keep")
    (tmp_path / "a.csv").symlink_to("other")
    folder.put("a.csv", [], b"new", first=True)
    assert (tmp_path / "other").read_text() == "keep"
    (tmp_path / "a.csv").unlink()
    (tmp_path / "a.csv").symlink_to("other")
    with pytest.raises(OSError, match="symbolic"):
        folder.put("a.csv", [], b"more", first=False)


def test_only_regular_files_are_read(folder: Folder, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder", "nothing", "a/b", ""):
        with pytest.raises(OSError, match=r"pipe|folder|[Nn]o such|directory|^$"):
            folder.piece(name, 0, 10)


def test_what_was_put_is_not_told_of_and_what_changed_is(folder: Folder, tmp_path: Path) -> None:
    folder.put("in.csv", ["file-1"], b"1", first=True)
    assert folder.changed(10) == ([], False)
    (tmp_path / "in.csv").write_text("22")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "out.csv").write_text("333")
    (tmp_path / "link").symlink_to("in.csv")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_text("")
    found, more = folder.changed(10)
    assert (sorted(found), more) == ([("in.csv", 2), ("sub/out.csv", 3)], False)
    assert folder.changed(10) == ([], False)


def test_many_and_deep_ones_end(folder: Folder, tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / str(number)).touch()
    (tmp_path.joinpath(*"abcdefgh")).mkdir(parents=True)
    (tmp_path.joinpath(*"abcdefgh") / "deep").touch()
    found, more = folder.changed(10)
    assert (len(found), more) == (10, True)
    assert "deep" not in str(folder.changed(1000))
