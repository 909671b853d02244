"""Real text with questions that people wrote for it: documentation packages of Debian, fetched when the bench runs.

LibreOffice's and GIMP's help have index entries, written and translated by hand, each pointing at a place; the Debian
FAQ has questions, whose headings are taken out of the text. A query is in the development set or the test set by the
hash of its words. LibreOffice's places have the same names in every language, which gives queries across languages.
"""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

LANGUAGES = ("en", "ko", "zh", "de")
_OFFICE = {"en": "en-US", "ko": "ko", "zh": "zh-CN", "de": "de"}
_GIMP = {"en": "en", "ko": "ko", "zh": "zh_CN", "de": "de"}
_FAQ = {"en": "en", "ko": "ko", "zh": "zh-cn", "de": "de"}
_PARTS = ("swriter", "scalc/guide", "simpress", "sdraw", "shared/guide", "schart", "smath")
_SCRIPT = {"ko": re.compile("[\uac00-\ud7a3]"), "zh": re.compile("[\u4e00-\u9fff]")}

MOST_CHARACTERS = {"en": 2400, "de": 2400, "ko": 1000, "zh": 800}
"""Of a passage: about 600 tokens each."""
_LEAST_CHARACTERS = 60  # a heading alone is no passage
QUERIES = 300
"""Of each source and language, at most."""


@dataclass
class Passage:
    """A piece of a page, under a heading, with the places (page and anchor) that lie in it."""

    text: str
    places: set[str] = field(default_factory=set)
    heading: str = ""

    @property
    def whole(self) -> str:
        """The text below its heading, as every ranking is given it."""
        return self.text if not self.heading or self.heading in self.text else f"{self.heading}\n{self.text}"


@dataclass
class Query:
    text: str
    language: str
    places: set[str]

    @property
    def for_test(self) -> bool:
        return hashlib.sha256(self.text.encode()).digest()[0] % 2 == 0


@dataclass
class Collection:
    language: str
    passages: list[Passage]
    queries: list[Query]

    def relevant(self, query: Query) -> set[int]:
        return {number for number, passage in enumerate(self.passages) if passage.places & query.places}


def packages(language: str) -> list[str]:
    office, gimp = _OFFICE[language].lower(), _GIMP[language].lower().replace("_", "-")
    faq = "debian-faq" if language == "en" else f"debian-faq-{_FAQ[language]}"
    return [f"libreoffice-help-{office}", f"gimp-help-{gimp}", faq]


def fetch(folder: Path) -> None:
    """Bring the packages' files into a folder; what is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in (package for language in LANGUAGES for package in packages(language)):
        if (folder / package).exists():
            continue
        subprocess.run(["apt-get", "download", package], cwd=folder, check=True, capture_output=True)
        (archive,) = folder.glob(f"{package}_*.deb")
        half = folder / f"{package}.half"
        shutil.rmtree(half, ignore_errors=True)
        subprocess.run(["dpkg-deb", "-x", archive, half], check=True)
        archive.unlink()
        half.rename(folder / package)


def collection(folder: Path, language: str) -> Collection:
    office, gimp, faq = (folder / package for package in packages(language))
    passages: list[Passage] = []
    queries: list[Query] = []
    for found, asked in (
        _office(office / "usr/share/libreoffice/help" / _OFFICE[language], language),
        _gimp(gimp / "usr/share/gimp/2.0/help" / _GIMP[language], language),
        _faq(faq / "usr/share/doc/debian/FAQ", language),
    ):
        passages += found
        there = {place for passage in found for place in passage.places}
        known = [Query(text, language, places & there) for text, places in sorted(asked.items()) if places & there]
        queries += sorted(known, key=lambda query: hashlib.md5(query.text.encode()).digest())[:QUERIES]
    return Collection(language, passages, queries)


# --- the three sources -----------------------------------------------------------------------------------------------


def _office(folder: Path, language: str) -> tuple[list[Passage], dict[str, set[str]]]:
    passages: list[Passage] = []
    for part in _PARTS:
        for file in sorted((folder / "text" / part).rglob("*.html")):
            name = str(file.relative_to(folder / "text"))
            passages += _passages(file, name, language, "DisplayArea")
    asked: dict[str, set[str]] = {}
    entries = re.findall(
        r'url:"[^/"]+/text/([^"?]+)\?[^"#]*#(\w+)", app:"\w+", text:"([^"]+)"', _read(folder / "bookmarks.js")
    )
    for name, anchor, text in entries:
        _ask(asked, re.sub(r"\s*--\s*|;", " ", text), f"{name}#{anchor}", language)
    return passages, asked


def _gimp(folder: Path, language: str) -> tuple[list[Passage], dict[str, set[str]]]:
    passages: list[Passage] = []
    for file in sorted(folder.glob("*.html")):
        if "index" not in file.stem and file.stem not in ("bibliography", "glossary"):
            passages += _passages(file, f"gimp/{file.name}", language, None)
    index = _Index()
    index.feed(_read(folder / "gimp-help-index.html"))
    asked: dict[str, set[str]] = {}
    for text, target in index.entries:
        name, _, anchor = target.partition("#")
        _ask(asked, text, f"gimp/{name}#{anchor}", language)
    return passages, asked


def _faq(folder: Path, language: str) -> tuple[list[Passage], dict[str, set[str]]]:
    files = sorted((folder / _FAQ[language]).glob("*.html")) if (folder / _FAQ[language]).exists() else []
    passages: list[Passage] = []
    asked: dict[str, set[str]] = {}
    for file in files or sorted(folder.glob("*.html")):
        if file.stem.startswith("index"):
            continue
        for anchor, title, text in _questions(file):
            place = f"faq/{file.stem.partition('.')[0]}#{anchor}"
            if title.endswith(("?", "？")):
                _ask(asked, title, place, language)
            passages += [Passage(piece, {place}) for piece in _pieces(text.split("\n"), language)]
    return passages, asked


def _ask(asked: dict[str, set[str]], text: str, place: str, language: str) -> None:
    """Note a query, unless it was left untranslated."""
    words = " ".join(text.split())
    script = _SCRIPT.get(language)
    if len(words) > 2 and (script is None or script.search(words)):
        asked.setdefault(words, set()).add(place)


# --- pages -----------------------------------------------------------------------------------------------------------


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


class _Page(HTMLParser):
    """The lines of a page, each with the anchors before it; headings begin a new section."""

    BLOCKS = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "li", "tr", "div", "dt", "dd", "pre", "td", "th"))
    HIDDEN = frozenset(("script", "style", "head", "aside", "header", "footer", "nav"))

    def __init__(self, within: str | None) -> None:
        super().__init__()
        self.lines: list[tuple[set[str], bool, str]] = []
        self._within = within
        self._anchors: set[str] = set()
        self._heading = False
        self._text = ""
        self._hidden: list[str] = []
        self._inside = within is None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id") == self._within:
            self._inside = True
        kind = given.get("class") or ""
        hides = tag in self.HIDDEN or kind in ("navheader", "navfooter", "toc", "relatedtopics")
        if tag in self.HIDDEN or tag == "div":
            self._hidden.append(tag if not hides else f"!{tag}")
        if tag in self.BLOCKS:
            self._flush()
            self._heading = tag in ("h1", "h2", "h3")
        for anchor in (given.get("id"), given.get("name")):
            if anchor and tag != "meta":
                self._anchors.add(anchor)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.BLOCKS:
            self._flush()
        if self._hidden and self._hidden[-1].lstrip("!") == tag:
            self._hidden.pop()

    def handle_data(self, data: str) -> None:
        if self._inside and not any(tag.startswith("!") for tag in self._hidden):
            self._text += data

    def close(self) -> None:
        self._flush()
        super().close()

    def _flush(self) -> None:
        text = " ".join(self._text.split())
        if text:
            self.lines.append((self._anchors, self._heading, text))
            self._anchors = set()
        self._text, self._heading = "", False


def _lines(file: Path, within: str | None) -> list[tuple[set[str], bool, str]]:
    page = _Page(within)
    page.feed(_read(file))
    page.close()
    return page.lines


def _passages(file: Path, name: str, language: str, within: str | None) -> Iterator[Passage]:
    """Cut a page at its headings, and long sections between their lines; skip pages left untranslated."""
    lines = _lines(file, within)
    whole = "".join(text for _, _, text in lines)
    script = _SCRIPT.get(language)
    if script is not None and len(script.findall(whole)) < 0.2 * len(whole):
        return
    here: list[str] = []
    places: set[str] = {f"{name}#"}
    title = ""
    for anchors, heading, text in lines:
        full = here and sum(map(len, here)) + len(text) > MOST_CHARACTERS[language]
        if here and (heading or full) and sum(map(len, here)) > _LEAST_CHARACTERS:
            yield Passage("\n".join(here), places, title)
            here, places = [], set()
        if heading:
            title = text
        here.append(text)
        places |= {f"{name}#{anchor}" for anchor in anchors}
    if here:
        yield Passage("\n".join(here), places, title)


def _questions(file: Path) -> Iterator[tuple[str, str, str]]:
    """Yield anchor, heading and text of each section."""
    anchor, title, text = "", "", ""
    for anchors, heading, line in _lines(file, None):
        if heading:
            if text:
                yield anchor, title, text
            anchor = min(anchors) if anchors else line
            title, text = re.sub(r"^(\w+ )?[\d.]+\s*(장\.|章)?\s*", "", line), ""
        else:
            text += line + "\n"
    if text:
        yield anchor, title, text


def _pieces(lines: list[str], language: str) -> Iterator[str]:
    here: list[str] = []
    for line in lines:
        if here and sum(map(len, here)) + len(line) > MOST_CHARACTERS[language]:
            yield "\n".join(here)
            here = []
        if line:
            here.append(line)
    if here:
        yield "\n".join(here)


class _Index(HTMLParser):
    """The entries of a DocBook index: their words, below those of the entry they stand under, and their targets."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[tuple[str, str]] = []
        self._path: list[str] = []
        self._in_term = False
        self._in_link = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "dl":
            self._path.append("")
        elif tag == "dt":
            self._in_term = True
            self._path[-1:] = [""]
        elif tag == "a" and given.get("class") == "indexterm":
            self._in_link = True
            words = " ".join(part.strip(" ,\n") for part in self._path)
            self.entries.append((words, given.get("href") or ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "dl" and self._path:
            self._path.pop()
        elif tag == "dt":
            self._in_term = False
        elif tag == "a":
            self._in_link = False

    def handle_data(self, data: str) -> None:
        if self._in_term and not self._in_link and self._path:
            self._path[-1] += data
