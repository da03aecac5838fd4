"""Host names as DNS knows them, emoji and all.

httpx encodes names by IDNA 2008, which knows no emoji, while registries sell such names and
browsers open them: those go by UTS 46 (nontransitional), which maps and then only encodes.
"""

import re

import httpx
import idna

_LABEL_BYTES_MAX = 63
_PARTS = re.compile(r"(https?://)([^/?#@]*?)(:\d*)?(?=[/?#]|$)", re.IGNORECASE)


def with_ascii_host(uri: str) -> str:
    """The same URL with its host in ASCII, where IDNA 2008 has no word for it.

    Everything else, nonsense too, comes back as it is: whoever parses it says what is wrong.
    """
    found = _PARTS.match(uri)
    if found is None or found[2].isascii():
        return uri
    try:
        idna.encode(found[2].lower())
    except idna.IDNAError:
        pass
    else:
        return uri
    try:
        host = idna.uts46_remap(found[2], std3_rules=True, transitional=False)
        labels = [_ascii(label) for label in host.split(".")]
    except (idna.IDNAError, UnicodeError):
        return uri
    return f"{found[1]}{'.'.join(labels)}{found[3] or ''}{uri[found.end() :]}"


def host_of(url: httpx.URL) -> str:
    """The host as people write it, or in ASCII where httpx has no word for it."""
    try:
        return url.host
    except idna.IDNAError:
        return url.raw_host.decode("ascii")


def _ascii(label: str) -> str:
    encoded = label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")
    if len(encoded) > _LABEL_BYTES_MAX:
        raise idna.IDNAError(f"a label of {len(encoded)} bytes")
    return encoded
