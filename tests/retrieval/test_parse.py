"""Every format gives back the text that went in, in Korean, Chinese and English, and knows where it stood."""

import difflib
from pathlib import Path

import docx
import pptx
import pytest
from pptx.util import Inches
from tests.retrieval import hamlet, samples
from tests.retrieval.samples import STORIES, build
from tests.retrieval.scans import readable, scanned
from tests.retrieval.typesetting import Language, Page, typeset

from understudy.protocol.vector_stores import RETRIEVABLE
from understudy.retrieval.documents import Document
from understudy.retrieval.parse import SUPPORTED, extension_of, parse

LANGUAGES: list[Language] = ["ko", "zh", "en"]
WHOLE = ["txt", "html", "docx", "doc", "pptx", "epub", "odt", "rtf", "pdf"]  # these hold the story and nothing else
WITH_HEADINGS = ["md", "html", "docx", "pptx", "epub", "odt", "tex", "pdf"]


def bare(text: str) -> str:
    return "".join(text.split())


def accuracy(expected: str, found: str) -> float:
    return difflib.SequenceMatcher(None, bare(expected), bare(found), autojunk=False).ratio()


def headed(document: Document) -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], str] = {}
    for section in document.sections:
        found[section.heading] = found.get(section.heading, "") + document.text[section.start : section.end]
    return found


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("extension", WHOLE)
def test_a_format_gives_back_its_story_to_the_letter(extension: str, language: Language) -> None:
    document = parse(build(extension, language), f"이야기.{extension.upper()}")
    assert accuracy(samples.text(STORIES[language]), document.text) >= 0.999


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("extension", sorted(SUPPORTED))
def test_every_paragraph_is_found_in_every_format(extension: str, language: Language) -> None:
    text = bare(parse(build(extension, language), f"x.{extension}").text)
    for paragraphs in STORIES[language].values():
        for paragraph in paragraphs:
            written = paragraph.replace("\\", "\\\\") if extension == "json" else paragraph
            assert bare(written) in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("extension", WITH_HEADINGS)
def test_headings_become_the_path_of_what_stands_below_them(extension: str, language: Language) -> None:
    found = headed(parse(build(extension, language), f"x.{extension}"))
    for heading, paragraphs in STORIES[language].items():
        assert bare(paragraphs[0]) in bare(found[(heading,)])
        assert heading in found[(heading,)]


@pytest.mark.parametrize("extension", sorted(SUPPORTED))
def test_sections_are_in_order_and_hold_all_text(extension: str) -> None:
    document = parse(build(extension, "ko"), f"x.{extension}")
    ends = [0]
    for section in document.sections:
        assert section.start >= ends[-1]
        assert section.end > section.start
        ends.append(section.end)
    assert bare("".join(document.text[s.start : s.end] for s in document.sections)) == bare(document.text)


@pytest.mark.parametrize("extension", ["pdf", "pptx", "xlsx"])
def test_pages_slides_and_sheets_are_counted_from_one(extension: str) -> None:
    document = parse(build(extension, "ko"), f"x.{extension}")
    pages = {section.page: document.text[section.start : section.end] for section in document.sections}
    for number, paragraphs in enumerate(STORIES["ko"].values(), start=1):
        assert bare(paragraphs[1]) in bare(pages[number])


@pytest.mark.parametrize("extension", sorted(SUPPORTED - {"pdf", "pptx", "xlsx"}))
def test_other_formats_have_no_pages(extension: str) -> None:
    assert {section.page for section in parse(build(extension, "en"), f"x.{extension}").sections} == {None}


def test_a_file_is_read_from_its_path_too(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes("물".encode())
    assert parse(tmp_path / "f", "물.txt").text == "물"


def test_every_format_stands_in_the_documents() -> None:
    told = (Path(__file__).parents[2] / "docs" / "compatibility.md").read_text(encoding="utf-8")
    table = told.partition("## File formats")[2].partition("\n## ")[0]
    assert {word.strip(",:|`") for word in table.split()} >= {f".{extension}" for extension in SUPPORTED}


def test_what_may_be_put_into_a_store_is_what_is_read() -> None:
    assert sorted(RETRIEVABLE) == sorted(SUPPORTED)


def test_names_are_data() -> None:
    assert extension_of("../../etc/passwd.PDF") == "pdf"
    assert extension_of("보고서.최종.docx") == "docx"
    assert extension_of("Makefile") == ""


# --- PDF


def test_hamlet_gives_back_its_scenes_with_pages_and_bookmarks() -> None:
    document = parse(hamlet.pdf(), "Hamlet_KOR.pdf")
    assert accuracy("\n".join(map(hamlet.told, hamlet.SCENES)), document.text) >= 0.9995
    assert [(section.page, section.heading) for section in document.sections] == [
        (number, (scene,)) for number, scene in enumerate(hamlet.SCENES, start=1)
    ]


def test_hamlets_pdf_is_the_same_each_time() -> None:
    first = hamlet.pdf()
    hamlet.pdf.cache_clear()
    assert hamlet.pdf() == first


def test_a_bookmark_cuts_its_page_where_its_title_stands() -> None:
    document = parse(typeset([Page("머리말이 먼저\n제1장 물\n그리고 본문", "제1장 물")], "ko"), "x.pdf")
    assert headed(document) == {(): "머리말이 먼저\n", ("제1장 물",): "제1장 물\n그리고 본문\n\n"}


needs_tesseract = pytest.mark.skipif(not readable("en"), reason="tesseract is not installed")


@pytest.mark.parametrize(
    ("language", "threshold"), [("en", 0.97), ("ko", 0.9), pytest.param("zh", 0.9, marks=pytest.mark.slow)]
)
def test_a_scanned_page_is_read_from_its_picture(language: Language, threshold: float) -> None:
    if not readable(language):
        pytest.skip(f"tesseract is not installed, or does not know {language}")
    document = parse(scanned(samples.text(STORIES[language]), language), "scan.pdf")
    assert accuracy(samples.text(STORIES[language]), document.text) >= threshold
    assert document.sections[0].page == 1


@needs_tesseract
def test_a_scanned_page_within_a_book_is_read_in_its_place() -> None:
    picture = scanned("The willow grows aslant a brook.", "en", picture_only=True)
    document = parse(typeset([Page("첫 쪽"), Page("둘째 쪽")], "ko", pictures=[picture]), "book.pdf")
    assert [section.page for section in document.sections] == [1, 2, 3]
    assert "willow grows aslant" in document.text


# --- Word and its kin


def test_word_keeps_tables_breaks_and_fields_of_a_document() -> None:
    document = docx.Document()
    document.add_heading("제목", 0)
    document.add_heading("둘째", 2)
    document.add_paragraph("한 줄\n다음 줄\t탭")
    table = document.add_table(2, 2)
    for row, cells in enumerate([["이름", "나이"], ["햄릿", "30 & more"]]):
        for column, cell in enumerate(cells):
            table.cell(row, column).text = cell
    document.add_paragraph("끝")
    parsed = parse(samples._saved(document.save), "x.docx")
    assert parsed.text == "제목\n\n둘째\n\n한 줄\n다음 줄\t탭\n\n이름 | 나이\n햄릿 | 30 & more\n\n끝\n\n"
    assert parsed.sections[-1].heading == ("제목", "둘째")


WORD = '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>{}</w:body></w:document>'


def word(body: str, **parts: str) -> bytes:
    return samples.zipped(
        {"word/document.xml": WORD.format(body)} | {f"word/{n}.xml": part for n, part in parts.items()}
    )


def test_word_shows_what_was_added_and_not_what_was_deleted() -> None:
    body = (
        "<w:p><w:ins><w:r><w:t>새 글</w:t></w:r></w:ins><w:del><w:r><w:delText>지운 글</w:delText></w:r></w:del></w:p>"
    )
    assert parse(word(body), "x.docx").text.strip() == "새 글"


def test_word_finds_headings_by_outline_and_by_the_style_they_build_on() -> None:
    styles = (
        '<w:styles xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        '<w:style w:styleId="1"><w:name w:val="heading 1"/></w:style>'
        '<w:style w:styleId="mine"><w:name w:val="나의 제목"/><w:basedOn w:val="1"/></w:style>'
        '<w:style w:styleId="a"><w:basedOn w:val="b"/></w:style><w:style w:styleId="b"><w:basedOn w:val="a"/></w:style>'
        '<w:style w:styleId="toc"><w:name w:val="toc 1"/></w:style></w:styles>'
    )
    line = "<w:p><w:pPr>{}</w:pPr><w:r><w:t>{}</w:t></w:r></w:p>"
    body = (
        line.format('<w:pStyle w:val="toc"/>', "목차 1")
        + line.format('<w:pStyle w:val="mine"/>', "장")
        + line.format('<w:outlineLvl w:val="1"/>', "절")
        + line.format('<w:pStyle w:val="a"/>', "글")
    )
    document = parse(word(body, styles=styles), "x.docx")
    assert headed(document) == {("장",): "장\n\n", ("장", "절"): "절\n\n글\n\n"}


def test_a_word_document_under_the_old_extension_is_read_all_the_same() -> None:
    for extension in ("docx", "rtf", "html"):
        assert "야영은 야영장에서만" in parse(build(extension, "ko"), "x.doc").text


def test_slides_read_titles_boxes_tables_groups_and_notes() -> None:
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[5])
    slide.shapes.title.text = "제목"
    slide.shapes.add_textbox(Inches(1), Inches(3), Inches(2), Inches(1)).text_frame.text = "글상자"
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(Inches(1), Inches(4), Inches(2), Inches(1)).text_frame.text = "묶음 속"
    table = slide.shapes.add_table(1, 2, Inches(1), Inches(5), Inches(4), Inches(1)).table
    table.cell(0, 0).text, table.cell(0, 1).text = "가", "나"
    slide.notes_slide.notes_text_frame.text = "말할 것"
    show.slides.add_slide(show.slide_layouts[6]).shapes.add_textbox(0, 0, 9, 9).text_frame.text = "다음 장"
    document = parse(samples._saved(show.save), "x.pptx")
    assert document.text.split("\n\n")[:-1] == ["제목", "글상자", "묶음 속", "가 | 나", "말할 것", "다음 장"]
    assert [(s.page, s.heading) for s in document.sections] == [(1, ("제목",)), (2, ())]
    assert document.form == "paged"


# --- web pages and mails


def test_a_page_shows_what_a_reader_sees() -> None:
    page = (
        "<head><title>no</title></head><nav>메뉴</nav><h1>제 <b>목</b></h1>"
        "<p>가<a href='http://x'>링크</a>나<br>다음 &amp; 줄</p>"
        "<script>bad('<p>')</script><ul><li>하나<li>둘</ul><table><tr><th>ㄱ<th>ㄴ<tr><td>1<td>2</table>"
        "<pre>  x\n    y</pre><img alt='그림 설명'><template>no</template>"
    )
    document = parse(page.encode(), "x.html")
    assert document.text.split("\n\n")[:-1] == [
        "제 목",
        "가링크나\n다음 & 줄",
        "하나\n둘",
        "ㄱ | ㄴ\n1 | 2",
        "x\n    y",
        "그림 설명",
    ]


@pytest.mark.parametrize(("declared", "true"), [("euc-kr", "cp949"), ("gb2312", "gb18030"), ("Shift_JIS", "cp932")])
def test_a_page_is_read_in_the_encoding_that_it_declares(declared: str, true: str) -> None:
    word = {"cp949": "뷁 오필리아", "gb18030": "皇帝说话", "cp932": "雪国であった"}[true]
    page = f'<meta http-equiv="Content-Type" content="text/html; charset={declared}"><p>{word}'
    assert parse(page.encode(true), "x.html").text.strip() == word


def test_a_page_nested_100_000_deep_is_read() -> None:
    assert parse(b"<div>" * 100_000 + b"deep", "x.html").text.strip() == "deep"


def test_a_mail_of_html_alone_in_an_old_encoding_is_read_and_names_its_attachment() -> None:
    head = "Subject: =?euc-kr?B?vsiz58fPvLy/5A==?=\nFrom: a@example.com\nMIME-Version: 1.0\n"
    html = b"Content-Type: text/html; charset=euc-kr\nContent-Transfer-Encoding: 8bit\n\n"
    attached = (
        b"--x\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=a.pdf\n\nJVBERg==\n--x--\n"
    )
    body = b"--x\n" + html + "<p>오필리아의 편지</p>\n".encode("cp949") + attached
    document = parse(head.encode() + b"Content-Type: multipart/mixed; boundary=x\n\n" + body, "x.eml")
    assert document.text == "Subject: 안녕하세요\nFrom: a@example.com\n\n오필리아의 편지\n\nAttachment: a.pdf\n\n"
    assert document.sections[0].heading == ("안녕하세요",)


# --- plain text


def test_markdown_headings_are_told_from_what_only_looks_like_them() -> None:
    text = "---\ntitle: x\n---\n앞\n\n# 하나 #\n글\n```sh\n# no\n~~~\n```\n둘\n===\n    # no\n"
    text += "### 셋\n#no\n| a |\n---\n끝\n"
    document = parse(text.encode(), "x.md")
    assert document.text == text
    assert [(document.text[s.start : s.end].split("\n")[0], s.heading) for s in document.sections] == [
        ("---", ()),
        ("# 하나 #", ("하나",)),
        ("둘", ("둘",)),
        ("### 셋", ("둘", "셋")),
    ]


def test_windows_line_ends_and_control_characters_are_smoothed() -> None:
    assert parse("가\r\n나\r다\x00".replace("\x00", "\x0c").encode(), "x.txt").text == "가\n나\n다"


def test_json_escapes_are_read_as_letters_and_other_json_is_left_alone() -> None:
    assert "오필리아" in parse(rb'{"name": "\uc624\ud544\ub9ac\uc544"}', "x.json").text
    assert parse(b'{"a":1,\n  "b":2}', "x.json").text == '{"a":1,\n  "b":2}'
    assert parse(rb'{"half": "\ud83d"}', "x.json").text.startswith("{")
    assert parse(b"not json \\u0041", "x.json").text == "not json \\u0041"


TEXTS = {
    "cp949": ["오필리아는 물에 빠졌다.", "국립공원에서는 반려동물의 출입이 제한됩니다. " * 20],
    "gb18030": ["皇帝说话，群臣不语。", "本手册介绍如何安装和配置系统，请仔细阅读。" * 20],
    "big5": ["皇帝說話，群臣不語。", "本手冊介紹如何安裝和設定系統，請仔細閱讀。" * 20],
    "cp932": ["国境の長いトンネルを抜けると雪国であった。", "このマニュアルではインストール方法を説明します。" * 20],
    "euc_jp": ["国境の長いトンネルを抜けると雪国であった。", "このマニュアルではインストール方法を説明します。" * 20],
    "cp1251": ["Привет, как дела?", "Этот документ описывает установку программы. " * 20],
    "cp1252": ["Größe und Maße der Tür müssen übereinstimmen. " * 5],
    "utf-16": ["오필리아, hello", "皇帝" * 200],
    "utf-16-le": ["plain words, 한글도 조금"],
    "utf-8-sig": ["물"],
    "utf-32": ["물에 빠졌다"],
}


@pytest.mark.parametrize(("encoding", "text"), [(name, text) for name, texts in TEXTS.items() for text in texts])
def test_text_is_read_in_the_encoding_that_it_was_written_in(encoding: str, text: str) -> None:
    assert parse(text.encode(encoding), "x.txt").text == text


def test_a_letter_cut_off_at_the_end_and_a_stray_byte_cost_only_themselves() -> None:
    assert parse("오필리아는 물에".encode()[:-1], "x.txt").text.startswith("오필리아는 물")
    long = "국립공원에서는 반려동물의 출입이 제한됩니다. " * 200
    assert accuracy(long[:500], parse(long.encode() + b"\xff" + long.encode(), "x.txt").text[:500]) == 1.0
