"""Which addresses an image may be fetched from (against server-side request forgery).

The table follows IANA's registries of special-purpose addresses. It is written out because
`ipaddress.is_global` differs between Python versions and knows neither ISATAP nor cloud services.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_FORBIDDEN = (
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by a provider (CGNAT)"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "a cloud's own service"),
    ("169.254.0.0/16", "link-local, where clouds keep their metadata service"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "set aside for protocols"),
    ("192.0.2.0/24", "for documentation"),
    ("192.88.99.0/24", "a 6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "for benchmarks"),
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved or broadcast"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::ffff:0:0/96", "IPv4 in disguise (mapped)"),
    ("::ffff:0:0:0/96", "IPv4 in disguise (translated)"),
    ("::/96", "IPv4 in disguise (compatible)"),
    ("2001::/32", "IPv4 in disguise (Teredo)"),
    ("2001::/23", "set aside for protocols"),
    ("2001:db8::/32", "for documentation"),
    ("2002::/16", "IPv4 in disguise (6to4)"),
    ("3fff::/20", "for documentation"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private (site-local)"),
    ("ff00::/8", "multicast"),
)
_TABLE: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), reason) for network, reason in _FORBIDDEN
)
# Networks of their own reach all of IPv4 through these, and have no other way to it.
_NAT64 = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# The interface identifiers of ISATAP (RFC 5214, section 6.1), before the IPv4 address.
_ISATAP = {0x0000_5EFE, 0x0200_5EFE}


class AddressRules:
    """The table, less what the operator allowed."""

    def __init__(self, allowed_networks: Iterable[str] = ()) -> None:
        """Read networks such as 10.1.0.0/16.

        Raises:
            ValueError: one is no network; the message names it.
        """
        self._allowed = tuple(ip_network(network) for network in allowed_networks)

    def why_forbidden(self, address: str) -> str | None:
        """Why not to connect to a numeric address, or None where nothing speaks against it."""
        # A zone (fe80::1%eth0) belongs to link-local addresses and changes nothing here.
        parsed = ip_address(address.partition("%")[0])
        if any(parsed in network for network in self._allowed):
            return None
        if isinstance(parsed, IPv6Address) and (embedded := _behind_nat64(parsed)):
            reasons = [why for each in embedded if (why := self.why_forbidden(str(each)))]
            return f"{reasons[0]}, behind NAT64" if reasons else None
        for network, reason in _TABLE:
            if parsed in network:
                return reason
        if isinstance(parsed, IPv6Address):
            return _why_unusual(parsed)
        return None


def _behind_nat64(address: IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 address may stand for (RFC 6052, section 2.2).

    What a local prefix is like (RFC 8215), only its own network knows: all places where the
    address may stand are looked at. An empty one, 0.0.0.0/8, does not count beside another.
    """
    bits = int(address)
    last = IPv4Address(bits & 0xFFFF_FFFF)
    if address in _NAT64:
        return [last]
    if address not in _NAT64_LOCAL:
        return []
    # Bits 64 to 71 are skipped; the prefix ends at bit 48, 56, 64 or 96.
    joined = bits >> 64 << 56 | bits & (1 << 56) - 1
    places = [IPv4Address(joined >> shift & 0xFFFF_FFFF) for shift in (40, 32, 24)] + [last]
    return [each for each in places if int(each) >> 24] or [last]


def _why_unusual(address: IPv6Address) -> str | None:
    if address not in _GLOBAL_UNICAST:
        return "outside the global unicast range"
    if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP:
        return "IPv4 in disguise (ISATAP)"
    return None
