"""Files that are damaged, locked, empty, or made to harm whoever opens them."""

import io
import struct
import zipfile

from tests.retrieval import samples
from tests.retrieval.typesetting import Page, typeset

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
XML = "<?xml version='1.0'?>"
LAUGHS = (
    "<!DOCTYPE lolz [<!ENTITY a '"
    + "ha" * 50
    + "'>"
    + "".join(f"<!ENTITY {name} '{f'&{before};' * 10}'>" for before, name in zip("abcdefghi", "bcdefghij", strict=True))
    + "]>"
)
QUADRATIC = "<!DOCTYPE x [<!ENTITY a '" + "a" * 50_000 + "'>]>"


def with_member(original: bytes, name: str, member: bytes | str) -> bytes:
    """Return an archive with one member replaced or added."""
    into = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(original)) as old, zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            if info.filename != name:
                new.writestr(info, old.read(info))
        new.writestr(name, member)
    return into.getvalue()


MAIN_PARTS = {
    "docx": "word/document.xml",
    "pptx": "ppt/slides/slide1.xml",
    "xlsx": "xl/worksheets/sheet1.xml",
    "epub": "c0.xhtml",
    "odt": "content.xml",
}


def bomb(extension: str) -> bytes:
    """Return a document of which one part unpacks to 2 GB."""
    original, name = samples.build(extension, "en"), MAIN_PARTS[extension]
    into = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(original)) as old, zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            if info.filename != name:
                new.writestr(info, old.read(info))
        new.writestr(name, b" " * (64 << 20))
    return into.getvalue()


def laughing(extension: str, entities: str = LAUGHS, use: str = "&j;", *, before: str = "") -> bytes:
    """Return a document whose main part begins with entities that grow when they are expanded."""
    return with_member(
        samples.build(extension, "en"), MAIN_PARTS[extension], f"{XML}{before}{entities}<x><p>{use}</p></x>"
    )


def nested(extension: str, depth: int = 20_000) -> bytes:
    return with_member(samples.build(extension, "en"), MAIN_PARTS[extension], XML + "<x>" * depth + "</x>" * depth)


def locked_zip(extension: str) -> bytes:
    """Return an archive that says of each member that it is encrypted."""
    content = bytearray(samples.build(extension, "en"))
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(magic)
        while at >= 0:
            content[at + flags] |= 1
            at = content.find(magic, at + 4)
    return bytes(content)


def locked_office() -> bytes:
    """Return the head of what office programs write with a password: an OLE container around the encrypted file."""
    return OLE + bytes(504) + "EncryptedPackage".encode("utf-16-le") + bytes(4096)


def locked_word97() -> bytes:
    content = bytearray(samples.build("doc", "ko"))
    at = next(at for at in range(512, len(content), 512) if content[at : at + 2] == b"\xec\xa5")
    content[at + 11] |= 1
    return bytes(content)


def locked_pdf() -> bytes:
    return typeset([Page("비밀")], "ko", password="key")


def blank_pdf() -> bytes:
    return typeset([Page("")], "ko")


def unmapped_pdf() -> bytes:
    """Return a PDF whose letters are drawn by a font that says nothing of which they are."""
    content = samples.build("pdf", "ko")
    return content.replace(b"/ToUnicode", b"/ToNothing")


def lying_zip() -> bytes:
    """Return a .docx whose directory claims that its document has 10 bytes."""
    content = bytearray(with_member(samples.build("docx", "en"), "word/document.xml", b" " * (32 << 20)))
    at = content.rfind(b"PK\x01\x02", 0, content.rfind(b"word/document.xml"))
    struct.pack_into("<I", content, at + 24, 10)
    return bytes(content)


def overlapping_zip() -> bytes:
    """Return an archive whose 20,000 members all lie at the same place."""
    original = samples.zipped({"word/document.xml": b" " * 100_000})
    at = original.rfind(b"PK\x01\x02")
    end = original.rfind(b"PK\x05\x06")
    entry, count = original[at:end], 15_000
    directory = entry * count
    tail = bytearray(original[end:])
    struct.pack_into("<HHII", tail, 8, count, count, len(directory), at)
    return original[:at] + directory + bytes(tail)


def far_cell() -> bytes:
    """Return a workbook with a letter in its first cell and one in its last, 17 billion cells apart."""
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        '<row r="1"><c r="A1"><v>1</v></c></row>'
        '<row r="1048576"><c r="XFD1048576"><v>2</v></c></row></sheetData></worksheet>'
    )
    return with_member(samples.build("xlsx", "en"), "xl/worksheets/sheet1.xml", sheet)


def many_pages_of_one() -> bytes:
    """Return a PDF whose page tree holds itself."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[2 0 R 2 0 R 2 0 R]/Count 1000000000>>",
    ]
    body = b"%PDF-1.4\n"
    places = []
    for number, item in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj%s endobj\n" % (number, item)
    table = b"xref\n0 3\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return body + table + b"trailer<</Root 1 0 R/Size 3>>\nstartxref\n%d\n%%%%EOF" % len(body)
