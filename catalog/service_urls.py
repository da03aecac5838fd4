"""Checks of REDIS_URL and DATABASE_URL that never repeat a part of them.

A password with `#`, `/`, `?` or `@` in it cuts the address at the wrong place, and whoever then
complains of a host or a port that cannot be, shows a piece of the password.
"""

import re

_ENCODE = (
    "expected an address such as scheme://user:password@host:port/name. In its password, write "
    "# as %23, / as %2F, ? as %3F and @ as %40"
)
_BROKERS = ("redis", "rediss", "unix")
_PLACE = re.compile(r"(\[[0-9a-f:.%]*\]|[^:@\[\]\s]*)(:\d{1,5})?", re.IGNORECASE)


def check_broker_url(url: str) -> str:
    """The same URL.

    Raises:
        ValueError: it is none that a broker can be found by; the message holds nothing of it.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _BROKERS:
        raise ValueError(f"expected an address that begins with {', '.join(_BROKERS)} and ://")
    _check(rest)
    return url


def check_database_url(url: str) -> str:
    """The same for a database; SQLite's are paths, in which everything may stand."""
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme:
        raise ValueError(_ENCODE)
    if scheme.partition("+")[0] != "sqlite":
        _check(rest)
    return url


def _check(rest: str) -> None:
    location, _, query = rest.partition("?")
    before, at, place = location.rpartition("@")
    authority = place.partition("/")[0]
    # An @ after a ? is a password's where no other stands before it, unless there is no host.
    misplaced = bool(authority) and not at and "@" in query
    if re.search("[#/@]", before) or misplaced:
        raise ValueError(_ENCODE)
    if not _PLACE.fullmatch(authority):
        raise ValueError(_ENCODE)
