"""Names of files as they come from strangers on either side of the wall."""

import unicodedata

_MAX_BYTES = 200
_MAX_PATH_BYTES = 1000
_FALLBACK = "file"
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # controls, marks that turn text around, halves of characters, line ends


def file_name(text: str) -> str:
    """Return a name for a file without folders, as near to the text as is safe."""
    name = "".join("_" if _is_unsafe(sign) else sign for sign in text).strip()
    if name.startswith("."):  # hidden ones are not told of, and `..` is no name
        name = f"_{name[1:]}"
    return _cut(name, _MAX_BYTES) or _FALLBACK


def relative_path(text: str) -> str:
    """Return the path of an output file, each part of it as `file_name` would have it."""
    parts = [file_name(part) for part in text.split("/") if part]
    return _cut("/".join(parts), _MAX_PATH_BYTES) or _FALLBACK


def _is_unsafe(sign: str) -> bool:
    return sign in "/\\" or unicodedata.category(sign) in _UNSEEN


def _cut(name: str, most: int) -> str:
    """Shorten a name in its middle, so that its ending stays."""
    raw = name.encode()
    if len(raw) <= most:
        return name
    stem, dot, ending = name.rpartition(".")
    ending = f"{dot}{ending}" if stem and len(ending.encode()) <= 16 else ""
    return raw[: most - len(ending.encode())].decode(errors="ignore") + ending
