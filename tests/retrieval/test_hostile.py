"""Files that hold no text to be had: each is refused with a sentence, none with a traceback, none as an empty text."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.retrieval import hostile, samples
from tests.retrieval.scans import scanned

from understudy.retrieval import ocr
from understudy.retrieval.documents import Document, Fault, Unreadable
from understudy.retrieval.parse import SUPPORTED, parse

ZIPPED = sorted(hostile.MAIN_PARTS)
SECONDS = 20  # of processor time, for the worst of them


def refused(content: bytes, filename: str, code: Fault = "invalid_file") -> str:
    """Return what is said of a file that is refused, quickly."""
    started = time.process_time()
    with pytest.raises(Unreadable) as caught:
        parse(content, filename)
    assert time.process_time() - started < SECONDS
    assert caught.value.code == code
    assert 20 < len(caught.value.message) < 500
    assert caught.value.message.endswith((".", ")")) or "The reader says" in caught.value.message
    assert "Traceback" not in caught.value.message
    return caught.value.message


def outcome(content: bytes, filename: str) -> Document | Unreadable:
    try:
        return parse(content, filename)
    except Unreadable as refusal:
        return refusal


@pytest.mark.parametrize("extension", sorted(SUPPORTED))
def test_nothing_at_all(extension: str) -> None:
    assert refused(b"", f"x.{extension}") == "The file is empty: it has 0 bytes."


@pytest.mark.parametrize("extension", sorted(SUPPORTED - set(ZIPPED) - {"pdf", "doc", "rtf", "eml", "json"}))
def test_nothing_but_white_space(extension: str) -> None:
    assert refused(b" \n\t\r\n", f"x.{extension}") == "The file holds no text."


@pytest.mark.parametrize("extension", [*ZIPPED, "pdf", "doc", "rtf"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_cut_off_on_its_way(extension: str, share: float) -> None:
    whole = samples.build(extension, "ko")
    assert "cut off" in refused(whole[: int(len(whole) * share)], f"x.{extension}")


@pytest.mark.parametrize("extension", ZIPPED)
def test_a_zip_bomb(extension: str) -> None:
    assert "zip bomb" in refused(hostile.bomb(extension), f"x.{extension}")


def test_a_zip_bomb_whose_members_overlap() -> None:
    assert "zip bomb" in refused(hostile.overlapping_zip(), "x.docx")


def test_a_zip_that_lies_about_its_size() -> None:
    assert "cannot be unpacked" in refused(hostile.lying_zip(), "x.docx")


@pytest.mark.parametrize("extension", ZIPPED)
@pytest.mark.parametrize(("entities", "use"), [(hostile.LAUGHS, "&j;"), (hostile.QUADRATIC, "&a;" * 50_000)])
def test_an_entity_bomb(extension: str, entities: str, use: str) -> None:
    assert "XML entities" in refused(hostile.laughing(extension, entities, use), f"x.{extension}")


@pytest.mark.parametrize("extension", ZIPPED)
@pytest.mark.parametrize(("entities", "use"), [(hostile.LAUGHS, "&j;"), (hostile.QUADRATIC, "&a;" * 50_000)])
def test_an_entity_bomb_behind_a_long_comment_is_not_expanded(extension: str, entities: str, use: str) -> None:
    comment = f"<!--{'x' * 100_000}-->"
    started = time.process_time()
    found = outcome(hostile.laughing(extension, entities, use, before=comment), f"x.{extension}")
    assert isinstance(found, Unreadable) or (len(found.text) < 1_000_000 and "haha" not in found.text)
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("extension", ["docx", "odt", "pptx"])
def test_a_part_nested_without_end(extension: str) -> None:
    assert refused(hostile.nested(extension), f"x.{extension}")


@pytest.mark.parametrize("extension", ZIPPED)
def test_an_archive_with_a_password(extension: str) -> None:
    assert "password" in refused(hostile.locked_zip(extension), f"x.{extension}")


@pytest.mark.parametrize("extension", ["docx", "pptx", "xlsx", "doc"])
def test_an_office_file_with_a_password(extension: str) -> None:
    assert "password" in refused(hostile.locked_office(), f"x.{extension}")


def test_other_files_with_a_password() -> None:
    assert "password" in refused(hostile.locked_word97(), "x.doc")
    assert "password" in refused(hostile.locked_pdf(), "x.pdf")


def test_an_odt_with_a_password_and_a_book_with_a_lock() -> None:
    manifest = "<manifest><file-entry full-path='content.xml'><encryption-data/></file-entry></manifest>"
    assert "password" in refused(
        hostile.with_member(samples.build("odt", "ko"), "META-INF/manifest.xml", manifest), "x.odt"
    )
    locks = "<encryption><CipherReference URI='c0.xhtml'/></encryption>"
    assert "DRM" in refused(
        hostile.with_member(samples.build("epub", "ko"), "META-INF/encryption.xml", locks), "x.epub"
    )


def test_a_pdf_without_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr.shutil, "which", lambda _name: None)
    assert "pages are blank" in refused(hostile.blank_pdf(), "x.pdf")
    assert "install tesseract" in refused(scanned("pictures only", "en"), "x.pdf")
    assert "which letters they draw" in refused(hostile.unmapped_pdf(), "x.pdf")


def test_a_pdf_whose_pages_hold_themselves() -> None:
    assert "damaged" in refused(hostile.many_pages_of_one(), "x.pdf")


@pytest.mark.parametrize(
    ("true", "named", "advice"),
    [
        ("pdf", "txt", "is a PDF. Rename it to .pdf."),
        ("pdf", "docx", "is a PDF. Rename it to .pdf."),
        ("docx", "pdf", "is a .docx file. Rename it to .docx."),
        ("docx", "txt", "is a .docx file. Rename it to .docx."),
        ("xlsx", "docx", "is a .xlsx file. Rename it to .xlsx."),
        ("rtf", "docx", "is an RTF document. Rename it to .rtf."),
        ("doc", "docx", "Rename it to .doc."),
        ("txt", "pdf", "does not begin as one"),
        ("txt", "docx", "does not begin as one"),
        ("html", "epub", "does not begin as one"),
    ],
)
def test_a_file_under_the_name_of_another_kind(true: str, named: str, advice: str) -> None:
    message = refused(samples.build(true, "en"), f"x.{named}")
    assert f"named .{named}" in message
    assert advice in message


@pytest.mark.parametrize("content", [random.Random(1).randbytes(5000), bytes(5000), b"\x89PNG\r\n\x1a\n" + bytes(99)])
@pytest.mark.parametrize("extension", ["txt", "md", "py", "csv", "html", "json", "eml"])
def test_bytes_that_are_no_text(content: bytes, extension: str) -> None:
    assert f"named .{extension}" in refused(content, f"x.{extension}")


@pytest.mark.parametrize(
    ("filename", "advice"), [("x.hwp", "PDF"), ("x.xls", ".xlsx"), ("x.exe", ".txt"), ("x", "extension")]
)
def test_kinds_that_are_not_read(filename: str, advice: str) -> None:
    assert advice in refused(b"x", filename, "unsupported_file")


def test_a_mail_of_parts_within_parts_without_end() -> None:
    part = b"--a\nContent-Type: multipart/mixed; boundary=a\n\n"
    refused(b"Subject: x\nContent-Type: multipart/mixed; boundary=a\n\n" + part * 3000, "x.eml")
    refused(b"no headers here, only words", "x.eml")


def test_depth_that_is_no_harm() -> None:
    assert parse(b"[" * 500_000 + b'"\\u0041"', "x.json").text.startswith("[[")
    refused(b"{\\rtf1 " + b"{" * 200_000 + b"}", "x.rtf")


@pytest.mark.parametrize("extension", [*ZIPPED, "pdf", "doc", "rtf", "eml", "html"])
@given(data=st.data())
@settings(max_examples=8)
def test_any_damage_ends_in_text_or_in_a_refusal(extension: str, data: st.DataObject) -> None:
    content = bytearray(samples.build(extension, "ko"))
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    found = outcome(bytes(content), f"x.{extension}")
    assert isinstance(found, Unreadable) or found.text.strip()
