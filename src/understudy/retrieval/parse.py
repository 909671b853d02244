"""From a file's bytes to a document. Parsers are loaded at first use and see hostile input: run this in a child.

Policy on errors: whatever a file holds, the answer is text or `Unreadable`. A parser's own exceptions mean a damaged
file; MemoryError and RecursionError mean that it asks for too much.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

from understudy.retrieval.documents import Document, Unreadable
from understudy.retrieval.sniff import check_ole, check_zip, kind, zip_kind

Parser = Callable[[bytes, str], Document]

_SOURCE = ("c", "cpp", "cs", "css", "go", "java", "js", "php", "py", "rb", "sh", "ts")
_PARSERS: Final = {
    **dict.fromkeys(_SOURCE, "parse_text.code"),
    "txt": "parse_text.plain",
    "csv": "parse_text.plain",
    "json": "parse_text.json_text",
    "md": "parse_text.markdown",
    "tex": "parse_text.tex",
    "html": "parse_html.html",
    "eml": "parse_mail.mail",
    "pdf": "parse_pdf.pdf",
    "pptx": "parse_slides.slides",
    "doc": "parse_doc.doc",
    "docx": "parse_flow.docx",
    "odt": "parse_flow.odt",
    "xlsx": "parse_sheets.sheets",
    "epub": "parse_epub.epub",
    "rtf": "parse_rtf.rtf",
}
SUPPORTED: Final = frozenset(_PARSERS)
_ZIPPED = {"docx", "pptx", "xlsx", "epub", "odt"}
_ADVICE = {
    "xls": "Save it as .xlsx.",
    "ppt": "Save it as .pptx.",
    "hwp": "Save it as PDF or .docx.",
    "hwpx": "Save it as PDF or .docx.",
    "htm": "Rename it to .html.",
    "pages": "Save it as PDF or .docx.",
}
_NAMES = {"pdf": "a PDF", "rtf": "an RTF document", "zip": "a zip archive", "ole": "an old office document"}


def extension_of(filename: str) -> str:
    """Return a file name's extension in small letters, without the dot; empty if there is none."""
    return Path(filename).suffix.lower().removeprefix(".")


def parse(content: bytes | Path, filename: str) -> Document:
    """Return the text of a file, read as its name's extension says. Raises Unreadable, and nothing else on purpose."""
    extension = extension_of(filename)
    if extension not in _PARSERS:
        raise _unsupported(extension)
    raw = content if isinstance(content, bytes) else content.read_bytes()
    if not raw:
        raise Unreadable("invalid_file", "The file is empty: it has 0 bytes.")
    try:
        module, _, function = _PARSERS[_checked(raw, extension)].partition(".")
        parser: Parser = getattr(import_module(f"understudy.retrieval.{module}"), function)
        return parser(raw, extension)
    except Unreadable:
        raise
    except (MemoryError, RecursionError) as fault:
        raise Unreadable(
            "server_error", "The file takes more memory to read than is allowed. Split it into smaller files."
        ) from fault
    except Exception as fault:
        raise Unreadable(
            "invalid_file",
            f"The file cannot be read as .{extension}: it is damaged, or is something else. {advice(fault)}",
        ) from fault


def advice(fault: Exception) -> str:
    """Return a parser's own words, in short."""
    words = " ".join(str(fault).split())[:200]
    return f"The reader says: {words}" if words else "Open it, save it anew and upload that."


def _unsupported(extension: str) -> Unreadable:
    if not extension:
        return Unreadable("unsupported_file", "The file's name has no extension, which says how to read it. Add one.")
    help_ = _ADVICE.get(extension, "Save it as PDF, .docx, .md or .txt.")
    return Unreadable("unsupported_file", f"Files of the kind .{extension} are not read here. {help_}")


def _checked(raw: bytes, extension: str) -> str:
    """Return how to read the file. Raises Unreadable if its bytes are of another kind than its name, or dangerous."""
    found = kind(raw)
    if found == "ole":
        check_ole(raw, extension)
        return extension
    if found == "zip":
        return _checked_zip(raw, extension)
    if extension == "doc":  # Word opens these under that name too, and many programs write them
        if found == "rtf" or (found is None and raw.lstrip()[:1] == b"<"):
            return "rtf" if found else "html"
    elif found == extension or (found is None and extension not in {*_ZIPPED, "pdf", "rtf"}):
        return extension
    raise _misnamed(found, extension)


def _checked_zip(raw: bytes, extension: str) -> str:
    check_zip(raw)
    true = zip_kind(raw)
    if true != extension and not (extension == "doc" and true == "docx"):
        raise _misnamed(true, extension)
    return true


def _misnamed(found: str | None, extension: str) -> Unreadable:
    if found is None:
        return Unreadable(
            "invalid_file", f"The file is named .{extension}, but is none: it does not begin as one. It may be cut off."
        )
    if found in SUPPORTED:
        what = _NAMES.get(found, f"a .{found} file")
        return Unreadable("invalid_file", f"The file is named .{extension}, but is {what}. Rename it to .{found}.")
    what = _NAMES.get(found, found)
    return Unreadable("invalid_file", f"The file is named .{extension}, but is {what}, which cannot be read as one.")
