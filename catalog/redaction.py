"""Addresses as logs, tables, pages and errors may show them: without what opens a door.

A query string may be a signature, what stands before an @ a password, and both live longer in a
log than the person who wrote them thinks. Where a password was not percent-encoded (`#`, `/` and
`@` in it cut an address at the wrong place), rather too much is left out than too little.
"""

import re

LEFT_OUT = "…"
# Their addresses name no picture: whatever stands before the last @ may be a password.
_IMAGE_SCHEMES = {"http", "https", "file", "s3", "gs", "az"}
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(//)?", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(\[[0-9a-f:.%]*\]|[^:@\[\]]*)(:\d*)?", re.IGNORECASE)
_IN_TEXT = re.compile(r"[a-z][a-z0-9+.-]{1,30}://[^\s\"'<>]*", re.IGNORECASE)
_WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")
_PARAMETER = re.compile(
    r"\b(x-(?:amz|goog|ms)-[a-z-]*(?:signature|credential|token)|signature|sig|awsaccesskeyid"
    r"|(?:access|refresh|auth|session)?_?token|api_?key|secret|passw(?:or)?d|pwd)=[^&\s\"'<>,;)]+",
    re.IGNORECASE,
)


def shown_uri(uri: str) -> str:
    """A whole URI or path without user, password, query and fragment."""
    found = _SCHEME.match(uri)
    if found is None:
        return uri if uri.startswith("/") else _without_query(uri.rpartition("@")[2])
    rest = uri[found.end() :]
    if not found[2]:
        return f"{found[0]}{LEFT_OUT if rest else ''}"
    shown = _shown(found[1].lower(), rest)
    return f"{found[0]}{shown}"


def without_secrets(text: str) -> str:
    """A sentence or a traceback, with every address in it as `shown_uri` shows it."""
    if "://" in text:
        text = _IN_TEXT.sub(lambda found: shown_uri(found[0]), text)
    if "whsec_" in text:
        text = _WEBHOOK_SECRET.sub(f"whsec_{LEFT_OUT}", text)
    if "=" in text:
        text = _PARAMETER.sub(rf"\1={LEFT_OUT}", text)
    return text


def _shown(scheme: str, rest: str) -> str:
    if scheme not in _IMAGE_SCHEMES:
        place = _plain(rest.rpartition("@")[2])
        return f"{LEFT_OUT}@{place}" if "@" in rest else place
    if scheme == "file":
        return _without_query(rest)
    body = re.split(r"[?#]", rest, maxsplit=1)[0]
    authority = body.partition("/")[0]
    unsure = ":" in authority and "@" in rest
    if "@" in authority or unsure or not _HOST_AND_PORT.fullmatch(authority):
        return f"{LEFT_OUT}@{body.rpartition('@')[2]}" if "@" in body else LEFT_OUT
    return _without_query(rest)


def _plain(rest: str) -> str:
    """Host, port and path of a service, if they look like that."""
    shown = _without_query(rest)
    return shown if _HOST_AND_PORT.fullmatch(shown.partition("/")[0]) else LEFT_OUT


def _without_query(rest: str) -> str:
    found = re.search(r"[?#]", rest)
    return rest if found is None else f"{rest[: found.end()]}{LEFT_OUT}"
