"""What a file is, by its first bytes and not by its name; and whether a container may be opened at all."""

import io
import re
import zipfile
from typing import Final

from understudy.retrieval.documents import Unreadable

MAX_UNPACKED_BYTES: Final = 1 << 30
MAX_MEMBERS: Final = 20_000
MAX_RATIO: Final = 250  # text packs about 1:10, the plainest sheet about 1:100
_SMALL_BYTES: Final = 16 << 20  # below this a ratio says nothing
_HEAD_BYTES: Final = 64 << 10

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAGIC = {
    b"{\\rtf": "rtf",
    _OLE: "ole",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x7fELF": "a program",
    b"MZ\x90": "a program",
    b"SQLite format 3": "an SQLite database",
    b"OggS": "an audio file",
    b"ID3": "an audio file",
}
_ENTITY = re.compile(rb"<!ENTITY|<\0!\0E\0N\0T\0I\0T\0Y\0")
_WORD_BINARY = b"\xec\xa5"  # the first two bytes of the stream that a .doc keeps its text in


def kind(content: bytes) -> str | None:
    """Return "pdf", "rtf", "ole", "zip", a phrase for other binary formats, or None for what may be text."""
    if b"%PDF-" in content[:1024]:
        return "pdf"
    return next((name for magic, name in _MAGIC.items() if content.startswith(magic)), None)


def zip_kind(content: bytes) -> str:
    """Return the extension that a zip archive should have: docx, pptx, xlsx, epub, odt, or zip."""
    with open_zip(content) as archive:
        names = set(archive.namelist())
        for name, found in (
            ("word/document.xml", "docx"),
            ("ppt/presentation.xml", "pptx"),
            ("xl/workbook.xml", "xlsx"),
            ("META-INF/container.xml", "epub"),
        ):
            if name in names:
                return found
        if "mimetype" in names and b"opendocument.text" in archive.open("mimetype").read(100):
            return "odt"
    return "zip"


def open_zip(content: bytes) -> zipfile.ZipFile:
    """Return the archive. Raises Unreadable for one that is damaged."""
    try:
        return zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as fault:
        raise Unreadable(
            "invalid_file", "The file is damaged or was cut off on its way: its end is missing. Upload it again."
        ) from fault


def check_zip(content: bytes) -> None:
    """Refuse an archive that would unpack to a mountain, that needs a password, or that defines XML entities."""
    with open_zip(content) as archive:
        members = archive.infolist()
        _check_sizes(members, len(content))
        if any(member.flag_bits & 1 for member in members):
            raise locked()
        for member in members:
            if member.filename.endswith((".xml", ".xhtml", ".html", ".htm", ".rels", ".opf", ".ncx")):
                _check_member(archive, member)


def _check_sizes(members: list[zipfile.ZipInfo], packed: int) -> None:
    unpacked = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS:
        raise Unreadable("invalid_file", f"The file packs {len(members):,} parts; at most {MAX_MEMBERS:,} are read.")
    if unpacked > MAX_UNPACKED_BYTES or (unpacked > _SMALL_BYTES and unpacked > packed * MAX_RATIO):
        raise Unreadable(
            "invalid_file",
            f"The file unpacks to {unpacked >> 20:,} MB from {packed / (1 << 20):,.1f} MB, as a zip bomb does."
            " If it is a true document, save it as PDF or plain text.",
        )


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    try:
        with archive.open(member) as stream:
            head = stream.read(_HEAD_BYTES)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OSError, zipfile.zlib.error) as fault:  # type: ignore[attr-defined]  # zipfile names zlib, its stubs do not
        raise Unreadable(
            "invalid_file", "The file is damaged: a part of it cannot be unpacked. Upload it again."
        ) from fault
    if member.filename == "META-INF/manifest.xml" and b"encryption-data" in head:
        raise locked()
    if _ENTITY.search(head):
        raise Unreadable(
            "invalid_file", "The file defines XML entities, which no office program writes and which can be a trap."
        )


def check_ole(content: bytes, extension: str) -> None:
    """Refuse an old container (OLE) that needs a password or is no Word document."""
    if "EncryptedPackage".encode("utf-16-le") in content:
        raise locked()
    if "WordDocument".encode("utf-16-le") not in content:
        raise _no_word(extension)
    if extension != "doc":
        raise Unreadable(
            "invalid_file", f"The file is named .{extension}, but is a document of Word 97 to 2003. Rename it to .doc."
        )
    for at in range(512, min(len(content) - 12, 1 << 20), 512):
        if content.startswith(_WORD_BINARY, at) and content[at + 11] & 1:
            raise locked()


def locked() -> Unreadable:
    return Unreadable("invalid_file", "The file is protected by a password. Remove the password and upload it again.")


def _no_word(extension: str) -> Unreadable:
    if extension == "doc":
        return Unreadable(
            "invalid_file", "The file is no whole Word document: it is damaged, cut off, or of another kind."
        )
    return Unreadable("unsupported_file", "The file is of an old office format. Save it as .docx, .pptx, .xlsx or PDF.")
