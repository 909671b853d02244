"""Bytes to text, in whatever encoding they were written: UTF-8 first, then what the bytes themselves tell."""

import codecs
import re

from understudy.retrieval.documents import Unreadable
from understudy.retrieval.drafts import MAX_CHARACTERS

_MAX_BYTES = 4 * MAX_CHARACTERS
_SAMPLE_BYTES = 256 << 10  # enough to tell an encoding by
_SHORT_BYTES = 200  # of letters beyond ASCII; below this, statistics guess and the zones below know better
_LOST = 0.001  # the share of letters that may be unreadable in a text that is still called read
_CONTROL = 0.005  # the share of control characters above which a file is no text
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")  # without escape, which colours a terminal's log

_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LEGACY = ["cp949", "gb18030", "big5", "cp932", "euc_jp", "cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254"]
_LEGACY += ["cp1255", "cp1256", "cp874", "iso8859_2", "iso8859_15"]
# Where each encoding keeps the signs that its language uses daily: the first byte of two. All others are rare ones.
_DAILY = {
    "cp949": [(0xB0, 0xC8)],
    "gb18030": [(0xB0, 0xD7)],
    "big5": [(0xA4, 0xC6)],
    "cp932": [(0x82, 0x83), (0x88, 0x97)],
    "euc_jp": [(0xA4, 0xA5), (0xB0, 0xCF)],
}
_DAILY_SHARE = 0.8


def decode(content: bytes, extension: str) -> str:
    """Return the text of a file. Raises Unreadable for one that is no text, too long or in an unknown encoding."""
    if len(content) > _MAX_BYTES:
        raise Unreadable(
            "invalid_file",
            f"The file has {len(content) >> 20} MB of text; at most {_MAX_BYTES >> 20} MB are read. Split it.",
        )
    text = _by_mark(content) or _utf8(content) or _utf16(content)
    if text is None and b"\0" not in content:
        text = _legacy(content)
    if text is None or len(_CONTROLS.findall(text)) > _CONTROL * len(text):
        raise Unreadable(
            "invalid_file",
            f"The file is named .{extension}, but is no text. If it is one, save it in the encoding UTF-8.",
        )
    return text


def _by_mark(content: bytes) -> str | None:
    for mark, encoding in _BOMS.items():
        if content.startswith(mark):
            return _strictly(content, encoding) or content.decode(encoding, "replace")
    return None


def _strictly(content: bytes, encoding: str) -> str | None:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return None


def _utf8(content: bytes) -> str | None:
    """Return the text if it is UTF-8, but for a letter that was cut off at the end or a few bad bytes."""
    text = content.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    letters = sum(1 for _ in re.finditer(r"[^\x00-\x7f\ufffd]", text)) if bad else 0
    return text if bad == 0 or bad <= _LOST * letters or (bad == 1 and letters and text[-1] == "\ufffd") else None


def _utf16(content: bytes) -> str | None:
    """Return the text if every other byte is often zero, as it is for ASCII's letters in UTF-16."""
    even, odd, half = content[::2].count(0), content[1::2].count(0), len(content) // 2
    if max(even, odd) * 10 < half or min(even, odd) * 10 > max(even, odd):
        return None
    return _strictly(content[: half * 2], "utf-16-le" if odd > even else "utf-16-be")


def _legacy(content: bytes) -> str | None:
    foreign = sum(byte > 0x7F for byte in content[:_SAMPLE_BYTES])
    encoding = _by_zones(content) if foreign < _SHORT_BYTES else None
    if encoding is None:
        import charset_normalizer

        best = charset_normalizer.from_bytes(content[:_SAMPLE_BYTES], cp_isolation=_LEGACY).best()
        encoding = best.encoding if best else None
    if encoding is None:
        return None
    text = content.decode(encoding, "replace")
    return text if text.count("\ufffd") <= max(1, _LOST * len(text)) else None


def _by_zones(content: bytes) -> str | None:
    """Return the encoding in which nearly all signs of a short text are daily ones; the narrower zone wins."""
    shares = {encoding: _daily(content, encoding, zones) for encoding, zones in _DAILY.items()}
    best = max(shares, key=shares.__getitem__)
    return best if shares[best] >= _DAILY_SHARE else None


def _daily(content: bytes, encoding: str, zones: list[tuple[int, int]]) -> float:
    text = _strictly(content, encoding)
    if text is None:
        return 0.0
    signs = [sign.encode(encoding) for sign in text if sign > "\x7f" and not 0x2000 <= ord(sign) <= 0x303F]
    daily = sum(len(sign) == 2 and any(low <= sign[0] <= high for low, high in zones) for sign in signs)
    return daily / len(signs) if signs else 0.0
