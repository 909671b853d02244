"""Letters from pictures of pages, through the program tesseract where it is installed.

Measured on drawn pages at 200 dpi: languages mixed in one pass spoil each other (Korean 0.23 to 0.88 of the characters
right, against 0.93 alone), and so does the search for vertical lines. So the script is told first and then read alone.
"""

import os
import re
import shutil
import subprocess
from typing import Final

from understudy.retrieval.documents import Unreadable

_SECONDS_PER_PAGE: Final = 120
_ONE_COLUMN: Final = "4"  # the default looks for columns and vertical lines, and finds them in Korean prose
_SCRIPT_ONLY: Final = "0"
_SCRIPT = re.compile(r"^Script: (\w+)", re.MULTILINE)
_LANGUAGES: Final = {
    "Korean": ("kor",),
    "Hangul": ("kor",),
    "Han": ("chi_sim", "chi_tra"),
    "Japanese": ("jpn",),
    "Cyrillic": ("rus", "ukr"),
    "Latin": ("eng", "deu", "fra", "spa"),
}
_KNOWN: Final = frozenset(name for names in _LANGUAGES.values() for name in names)


class Reader:
    """Reads the pages of one file; the first page whose script can be told speaks for all."""

    def __init__(self, program: str, installed: set[str]) -> None:
        self._program = program
        self._installed = installed
        self._script: str | None = None

    def read(self, pixels: bytes, width: int, height: int, number: int) -> str:
        """Return a page's text from its grey pixels; `number` names it in errors."""
        picture = b"P5 %d %d 255\n" % (width, height) + pixels
        if self._script is None and "osd" in self._installed:
            found = _SCRIPT.search(self._run(picture, number, "--psm", _SCRIPT_ONLY))
            self._script = found[1] if found else None
        return self._run(picture, number, "-l", "+".join(self._languages()), "--psm", _ONE_COLUMN)

    def _languages(self) -> list[str]:
        wanted = _LANGUAGES.get(self._script or "", ())
        known = [name for name in wanted if name in self._installed]
        return known or sorted(self._installed & _KNOWN)

    def _run(self, picture: bytes, number: int, *options: str) -> str:
        try:
            found = subprocess.run(  # noqa: S603  # a program of the machine's own; the picture goes through stdin
                [self._program, "stdin", "stdout", "--dpi", "300", *options],
                input=picture,
                capture_output=True,
                timeout=_SECONDS_PER_PAGE,
                check=False,
                env=os.environ | {"OMP_THREAD_LIMIT": "1"},
            )
        except (subprocess.TimeoutExpired, OSError) as fault:
            raise Unreadable(
                "server_error",
                f"The picture on page {number} could not be read. Run the PDF through OCR before uploading.",
            ) from fault
        return found.stdout.decode("utf-8", "replace")


def find_reader() -> Reader | None:
    """Return what reads pages, or None where tesseract or a language that it could read is not installed."""
    program = shutil.which("tesseract")
    if not program:
        return None
    listed = subprocess.run([program, "--list-langs"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603  # as above
    installed = set(listed.stdout.split())
    return Reader(program, installed) if installed & _KNOWN else None
