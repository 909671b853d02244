"""Text as every database and every encoding can hold it, whatever a stranger sent. Pure."""

NUL = "\x00"
"""Some models say it; PostgreSQL cannot keep it."""


def storable(text: str) -> str:
    """Leave out NULs; what is but half of a character (a lone surrogate) becomes U+FFFD, two halves their character."""
    text = text.replace(NUL, "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return joined(text)
    return text


def joined(text: str) -> str:
    """Make two halves of a character (surrogates) that one; a half alone becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
