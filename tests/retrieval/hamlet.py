"""Ophelia's scenes, told anew in Korean for this suite (hamlet.txt), and the PDF that the flows upload.

`SCENES` is the truth; `pdf()` sets it in an embedded font, a scene to a page and each with a bookmark, the same bytes
every time. `QUESTIONS` says which scene answers what the flows ask.
"""

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from tests.retrieval.typesetting import Page, typeset


def _scenes() -> dict[str, list[str]]:
    told = (Path(__file__).parent / "hamlet.txt").read_text(encoding="utf-8")
    parts = (part.strip().split("\n") for part in told.split("# ")[1:])
    return {heading: paragraphs for heading, *paragraphs in parts}


SCENES = _scenes()  # headings and paragraphs
QUESTIONS = {
    "오필리아, 당신은 어떻게 죽었나요?": "4막 7장. 버드나무와 시냇물",
    "후회하거나 되돌리고 싶은 것이 있나요?": "3막 1장. 수녀원으로 가라",
    "오필리아가 나누어 준 로즈메리는 무엇을 뜻하나요?": "4막 5장. 오필리아의 노래",
    "레어티스는 햄릿 왕자의 호의를 어떤 꽃에 견주어 충고했나요?": "1막 3장. 오라비의 충고",
    "햄릿은 무덤에서 자기의 사랑을 무엇에 견주었나요?": "5막 1장. 무덤가에서",
}


def told(scene: str) -> str:
    """Return a scene's heading and text, paragraphs on lines of their own."""
    return "\n".join([scene, *SCENES[scene]])


@lru_cache(maxsize=1)
def pdf() -> bytes:
    """Return the book as a PDF of six pages."""
    pages = [Page(told(scene), bookmark=scene) for scene in SCENES]
    return typeset(pages, "ko", title="햄릿: 오필리아의 장면들", made=datetime(2026, 1, 1, tzinfo=UTC))
