"""Mails (.eml): who, when, about what, and the words; attachments are named and not read."""

from email import message_from_bytes, policy
from email.message import EmailMessage

from understudy.retrieval.decode import decode
from understudy.retrieval.documents import Document, Unreadable
from understudy.retrieval.drafts import Draft
from understudy.retrieval.parse_html import add_page

_HEADERS = ("Subject", "From", "To", "Cc", "Date")
_MAX_LEVELS = 100  # reading takes the square of their number


def mail(content: bytes, extension: str) -> Document:
    if content.count(b"multipart/") > _MAX_LEVELS:
        raise Unreadable("invalid_file", f"The mail holds more than {_MAX_LEVELS} parts within parts.")
    message = message_from_bytes(content, policy=policy.default)
    if not isinstance(message, EmailMessage) or not any(name in message for name in _HEADERS):
        raise Unreadable("invalid_file", "The file is named .eml, but has no mail's headers, such as From and Subject.")
    draft = Draft()
    draft.head(1, str(message["Subject"] or ""))
    draft.add("\n".join(f"{name}: {message[name]}" for name in _HEADERS if message[name]))
    _add_body(draft, message, extension)
    names = [part.get_filename() for part in message.iter_attachments()]
    draft.add("\n".join(f"Attachment: {name}" for name in names if name))
    return draft.document("prose")


def _add_body(draft: Draft, message: EmailMessage, extension: str) -> None:
    body = message.get_body(("plain", "html"))
    if not isinstance(body, EmailMessage):
        return
    text = _text(body, extension)
    if body.get_content_subtype() == "html":
        add_page(draft, text)
    else:
        draft.add(text)


def _text(body: EmailMessage, extension: str) -> str:
    raw = body.get_payload(decode=True)
    if not isinstance(raw, bytes) or not raw.strip():
        return ""
    named = str(body.get_content_charset("")).lower()
    try:
        return raw.decode(
            {"euc-kr": "cp949", "ks_c_5601-1987": "cp949", "gb2312": "gb18030"}.get(named, named or "utf-8")
        )
    except (UnicodeDecodeError, LookupError):
        return decode(raw, extension)
