"""Electronic books (.epub): the chapters in the order of their spine."""

import posixpath
import zipfile
from typing import Any
from urllib.parse import unquote

from understudy.retrieval.decode import decode
from understudy.retrieval.documents import Document, Unreadable
from understudy.retrieval.drafts import Draft
from understudy.retrieval.parse_html import add_page
from understudy.retrieval.sniff import open_zip

_LOCKS = "META-INF/encryption.xml"
_PAGES = {"application/xhtml+xml", "text/html"}


def epub(content: bytes, extension: str) -> Document:
    """Return a book's text. Raises Unreadable for one that is protected against copying."""
    draft = Draft()
    with open_zip(content) as archive:
        names = set(archive.namelist())
        locks = archive.read(_LOCKS).decode("utf-8", "replace") if _LOCKS in names else ""
        for name in _spine(archive):
            if name in locks:
                raise Unreadable("invalid_file", "The book is protected against copying (DRM), so it cannot be read.")
            if name in names:
                add_page(draft, decode(archive.read(name), extension))
    return draft.document("prose")


def _spine(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of the archive's members that are chapters, in reading order."""
    roots = _parsed(archive, "META-INF/container.xml").iter("{*}rootfile")
    path = next((str(root.get("full-path")) for root in roots), "")
    package = _parsed(archive, path)
    folder = posixpath.dirname(path)
    pages = {
        item.get("id"): posixpath.normpath(posixpath.join(folder, unquote(item.get("href") or "")))
        for item in package.iter("{*}item")
        if item.get("media-type") in _PAGES and "nav" not in (item.get("properties") or "").split()
    }
    return [pages[ref.get("idref")] for ref in package.iter("{*}itemref") if ref.get("idref") in pages]


def _parsed(archive: zipfile.ZipFile, name: str) -> Any:
    from lxml import etree

    try:
        return etree.fromstring(archive.read(name), etree.XMLParser(resolve_entities=False, no_network=True))
    except (KeyError, etree.XMLSyntaxError) as fault:
        raise Unreadable("invalid_file", "The book is damaged: the list of its chapters cannot be read.") from fault
