"""A message as text for people: readable, without what is secret, safe in tables and terminals."""

import base64
import codecs
import re

from catalog.redaction import without_secrets

EVIDENCE_LENGTH_MAX = 4000
# Base64 shrinks by a quarter when it is opened; four bytes may become one character.
_READ_MAX = 4 * EVIDENCE_LENGTH_MAX

_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
# As in JSON that PHP writes.
_ESCAPED_SLASH = re.compile(r"\\+/")


def evidence(raw: bytes) -> str:
    """What arrived: base64 opened, addresses without userinfo and query, at most 4,000 characters.

    Bytes that are no text, and characters that do not print, appear as backslash escapes.
    """
    text = raw[:_READ_MAX].decode("utf-8", "backslashreplace")
    text = _ESCAPED_SLASH.sub("/", _BASE64.sub(_opened, text))
    return printable(without_secrets(text))[:EVIDENCE_LENGTH_MAX]


def printable(text: str) -> str:
    """The text with control characters, lone surrogates and the like as backslash escapes."""
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _opened(found: re.Match[str]) -> str:
    """What base64 holds, where it is text: a signature must not hide in it."""
    digits = found[0].rstrip("=")
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]
    data = base64.b64decode(digits + "=" * (-len(digits) % 4))
    try:
        # Its end may have been cut off, in the middle of a character.
        text = codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return found[0]
    return text if all(each.isprintable() or each.isspace() for each in text) else found[0]
