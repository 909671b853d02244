"""Files of every format with known text in Korean, Chinese and English."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from email.message import EmailMessage
from html import escape
from pathlib import Path

import docx
import pptx
import xlsxwriter
from tests.retrieval.typesetting import Language, Page, typeset

Story = dict[str, list[str]]  # headings and the paragraphs below each

STORIES: dict[Language, Story] = {
    "ko": {
        "제1장 국립공원의 규칙": [
            "국립공원에서는 지정된 길 밖으로 나갈 수 없으며, 반려동물의 출입은 제한됩니다.",
            "야영은 야영장에서만 할 수 있고, 불은 정해진 곳에서만 피울 수 있습니다. 위반하면 과태료 20만 원을 냅니다.",
        ],
        "제2장 안전": [
            "비가 30㎜ 이상 내리면 계곡 출입을 통제합니다. 문의: 063-322-3473 (관리사무소).",
            "뷁·쀍·휅처럼 드문 글자와 ‘따옴표’, “큰따옴표”, 漢字도 그대로 남아야 합니다.",
        ],
    },
    "zh": {
        "第一章 总则": [
            "为了规范公司的组织和行为，保护公司、股东和债权人的合法权益，维护社会经济秩序，制定本法。",
            "公司是企业法人，有独立的法人财产，享有法人财产权。注册资本为人民币500万元（含税）。",
        ],
        "第二章 设立": [
            "设立有限责任公司，应当具备下列条件：股东符合法定人数；有符合公司章程规定的全体股东认缴的出资额。",
            "【注意】本条自2024年7月1日起施行——详见《公司法》第四十二条。",
        ],
    },
    "en": {
        "Chapter 1: Getting started": [
            "The server listens on port 8080 by default; set PORT to change it. Restart the service afterwards.",
            "Backups are written every night to the folder that you chose, and kept for 14 days unless told otherwise.",
        ],
        "Chapter 2: Troubleshooting": [
            "If the naïve façade fails (error 0x80070005), re-run setup “as administrator” — it’s the usual cure.",
            "A 5 % tolerance is allowed: x < y & y > z, \\path\\to\\file, 100 €, and #hashtags stay as they are.",
        ],
    },
}


def text(story: Story) -> str:
    return "\n".join("\n".join([heading, *paragraphs]) for heading, paragraphs in story.items())


def txt(story: Story) -> bytes:
    return text(story).encode()


def md(story: Story) -> bytes:
    return "\n\n".join("\n\n".join([f"# {heading}", *paragraphs]) for heading, paragraphs in story.items()).encode()


def html_page(story: Story) -> str:
    body = "".join(
        f"<h1>{escape(heading)}</h1>" + "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)
        for heading, paragraphs in story.items()
    )
    head = "<head><title>x</title><style>p{}</style></head>"
    return f"<!DOCTYPE html><html>{head}<body>{body}<script>1<2</script></body></html>"


def html(story: Story) -> bytes:
    return html_page(story).encode()


def docx_file(story: Story) -> bytes:
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "running header"
    for heading, paragraphs in story.items():
        document.add_heading(heading, 1)
        for paragraph in paragraphs:
            document.add_paragraph(paragraph)
    return _saved(document.save)


def pptx_file(story: Story) -> bytes:
    show = pptx.Presentation()
    for heading, paragraphs in story.items():
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = heading
        slide.placeholders[1].text = "\n".join(paragraphs)
    return _saved(show.save)


def xlsx_file(story: Story) -> bytes:
    into = io.BytesIO()
    with xlsxwriter.Workbook(into) as book:
        for number, (heading, paragraphs) in enumerate(story.items()):
            sheet = book.add_worksheet(heading.replace(":", "")[:31])
            for row, paragraph in enumerate(paragraphs):
                sheet.write_row(row, 0, [paragraph, number + row + 0.5])
    return into.getvalue()


def zipped(members: dict[str, str | bytes], *, compress: int = zipfile.ZIP_DEFLATED) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", compress) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return into.getvalue()


def epub(story: Story) -> bytes:
    names = [f"c{number}.xhtml" for number in range(len(story))]
    items = "".join(f'<item id="i{name}" href="{name}" media-type="application/xhtml+xml"/>' for name in names)
    spine = "".join(f'<itemref idref="i{name}"/>' for name in names)
    package = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="u">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="u">x</dc:identifier>'
        f"<dc:title>t</dc:title><dc:language>en</dc:language></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    container = (
        '<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    members: dict[str, str | bytes] = {"mimetype": "application/epub+zip", "META-INF/container.xml": container}
    members["book.opf"] = package
    for name, (heading, paragraphs) in zip(names, story.items(), strict=True):
        body = f"<h1>{escape(heading)}</h1>" + "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)
        members[name] = (
            '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml">'
            f"<head><title>x</title></head><body>{body}</body></html>"
        )
    return zipped(members)


ODF = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
    ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'
)


def odt(story: Story) -> bytes:
    body = "".join(
        f'<text:h text:outline-level="1">{escape(heading)}</text:h>'
        + "".join(f"<text:p>{escape(paragraph)}</text:p>" for paragraph in paragraphs)
        for heading, paragraphs in story.items()
    )
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {ODF} office:version="1.2">'
        f"<office:body><office:text>{body}</office:text></office:body></office:document-content>"
    )
    return zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content})


def rtf(story: Story) -> bytes:
    lines = (f"{_rtf(line)}\\par\n" for line in text(story).splitlines())
    return ("{\\rtf1\\ansi\\ansicpg1252\\uc1{\\fonttbl{\\f0 Arial;}}\\f0\n" + "".join(lines) + "}").encode("ascii")


def _rtf(line: str) -> str:
    escaped = line.replace("\\", "\\\\").replace("{", "\\{").replace("}", "\\}")
    return "".join(sign if sign < "\x80" else f"\\u{(ord(sign) ^ 0x8000) - 0x8000}?" for sign in escaped)


def eml(story: Story) -> bytes:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = next(iter(story)), "minji@example.com", "wei@example.com"
    mail.set_content(text(story))
    mail.add_alternative(html_page(story), subtype="html")
    return mail.as_bytes()


def csv_file(story: Story) -> bytes:
    into = io.StringIO()
    csv.writer(into, quoting=csv.QUOTE_ALL).writerows([heading, *paragraphs] for heading, paragraphs in story.items())
    return into.getvalue().encode()


def json_file(story: Story) -> bytes:
    return json.dumps(story).encode()  # with its letters as \uXXXX, which is how most programs write it


def tex(story: Story) -> bytes:
    parts = ("\n\n".join([f"\\section{{{heading}}}", *paragraphs]) for heading, paragraphs in story.items())
    return ("\\documentclass{article}\n\\begin{document}\n" + "\n\n".join(parts) + "\n\\end{document}\n").encode()


def source(story: Story) -> bytes:
    return "".join(
        f"/* {line} */\nint f{number}(void);\n" for number, line in enumerate(text(story).splitlines())
    ).encode()


def pdf(language: Language) -> Callable[[Story], bytes]:
    def build(story: Story) -> bytes:
        pages = [Page("\n".join([heading, *paragraphs]), heading) for heading, paragraphs in story.items()]
        return typeset(pages, language)

    return build


def doc(language: Language) -> Callable[[Story], bytes]:
    """Return the file that LibreOffice 7.4 made of `docx_file(STORIES[language])`: nothing else at hand writes .doc."""
    return lambda _story: (Path(__file__).parent / "word97" / f"{language}.doc").read_bytes()


def _saved(save: Callable[[io.BytesIO], None]) -> bytes:
    into = io.BytesIO()
    save(into)
    return into.getvalue()


SOURCES = ["c", "cpp", "cs", "css", "go", "java", "js", "php", "py", "rb", "sh", "ts"]


def build(extension: str, language: Language) -> bytes:
    """Return a story as a file of a format."""
    story = STORIES[language]
    builders: dict[str, Callable[[Story], bytes]] = {
        "txt": txt,
        "md": md,
        "html": html,
        "docx": docx_file,
        "pptx": pptx_file,
        "xlsx": xlsx_file,
        "epub": epub,
        "odt": odt,
        "rtf": rtf,
        "eml": eml,
        "csv": csv_file,
        "json": json_file,
        "tex": tex,
        "pdf": pdf(language),
        "doc": doc(language),
    } | dict.fromkeys(SOURCES, source)
    return builders[extension](story)
