"""Scans: pages that are pictures of text."""

import io
import shutil
import subprocess

from PIL import Image, ImageDraw, ImageFont
from tests.retrieval.typesetting import Language, font, typeset

_TESSERACT = {"ko": "kor", "zh": "chi_sim", "en": "eng"}
_WIDTH, _HEIGHT, _MARGIN, _LETTERS_PER_LINE = 1654, 2339, 120, {"ko": 40, "zh": 34, "en": 70}  # A4 at 200 dots per inch


def scanned(text: str, language: Language, *, picture_only: bool = False) -> bytes:
    """Return a PDF of one page without a letter in it, or the page's picture."""
    page = Image.new("L", (_WIDTH, _HEIGHT), 255)
    pen, letters = ImageDraw.Draw(page), ImageFont.truetype(str(font(language)), 34)
    lines = [
        line[at : at + _LETTERS_PER_LINE[language]]
        for line in text.splitlines()
        for at in range(0, len(line), _LETTERS_PER_LINE[language])
    ]
    for number, line in enumerate(lines):
        pen.text((_MARGIN, _MARGIN + 60 * number), line, font=letters, fill=0)
    into = io.BytesIO()
    page.save(into, "PNG")
    return into.getvalue() if picture_only else typeset([], language, pictures=[into.getvalue()])


def readable(language: Language) -> bool:
    """Tell whether this machine can read scans in a language."""
    program = shutil.which("tesseract")
    listed = subprocess.run([program, "--list-langs"], capture_output=True, text=True, check=True) if program else None
    return listed is not None and _TESSERACT[language] in listed.stdout.split()
