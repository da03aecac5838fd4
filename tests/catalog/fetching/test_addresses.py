"""The table of addresses that images must not come from."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.fetching.addresses import AddressRules
from catalog.fetching.connecting import resolve_with_system

RULES = AddressRules()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("10.0.0.1", "private"),
        ("10.255.255.255", "private"),
        ("100.64.0.1", "CGNAT"),
        ("100.100.100.200", "CGNAT"),
        ("100.127.255.255", "CGNAT"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("168.63.129.16", "cloud"),
        ("169.254.0.1", "link-local"),
        ("169.254.169.254", "link-local"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.192", "protocols"),
        ("192.0.2.1", "documentation"),
        ("192.88.99.1", "6to4"),
        ("192.168.1.1", "private"),
        ("198.18.0.1", "benchmarks"),
        ("198.19.255.255", "benchmarks"),
        ("198.51.100.7", "documentation"),
        ("203.0.113.9", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::7f00:1", "compatible"),
        ("::ffff:127.0.0.1", "mapped"),
        ("::ffff:8.8.8.8", "mapped"),
        ("::ffff:0:10.0.0.1", "translated"),
        ("64:ff9b::10.0.0.1", "private, behind NAT64"),
        ("64:ff9b::127.0.0.1", "loopback, behind NAT64"),
        ("64:ff9b::169.254.169.254", "link-local, where clouds keep their metadata service"),
        ("64:ff9b::", "unspecified, behind NAT64"),
        ("64:ff9b:1::", "unspecified, behind NAT64"),
        ("64:ff9b:1::10.0.0.1", "private, behind NAT64"),
        ("64:ff9b:1:7f00:0:100::", "loopback, behind NAT64"),  # a prefix of 48 bits
        ("64:ff9b:1:ab7f:0:1::", "loopback, behind NAT64"),  # of 56
        ("64:ff9b:1:abcd:7f:0:100:0", "loopback, behind NAT64"),  # of 64
        ("64:ff9b:1:808:8:800:a00:1", "private, behind NAT64"),  # two places, one of them bad
        ("100::1", "global unicast"),
        ("2001::1", "Teredo"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
        ("2001:2::1", "protocols"),
        ("2001:10::1", "protocols"),
        ("2001:20::1", "protocols"),
        ("2001:db8::1", "documentation"),
        ("2002:7f00:1::", "6to4"),
        ("2002:a00:1::1", "6to4"),
        ("2600:1f18::5efe:10.0.0.1", "ISATAP"),
        ("2600:1f18::200:5efe:127.0.0.1", "ISATAP"),
        ("3fff::1", "documentation"),
        ("4000::1", "global unicast"),
        ("5f00::1", "global unicast"),
        ("fc00::1", "private"),
        ("fd00:ec2::254", "private"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fe80::5efe:10.0.0.1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
    ],
)
def test_special_addresses_are_forbidden_with_their_reason(address: str, reason: str) -> None:
    assert reason in (RULES.why_forbidden(address) or "allowed")


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::8.8.8.8",
        "64:ff9b:1:808:8:800::",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2400:cb00::1",
        "2606:4700::1111",
        "2a00:1450:4001::1",
    ],
)
def test_public_addresses_right_beside_them_are_allowed(address: str) -> None:
    assert RULES.why_forbidden(address) is None


@given(st.ip_addresses())
def test_whatever_python_calls_not_global_is_forbidden(
    address: IPv4Address | IPv6Address,
) -> None:
    if address in IPv6Network("64:ff9b:1::/48"):
        return  # judged by the IPv4 address behind it
    if not address.is_global or address.is_multicast:
        assert RULES.why_forbidden(str(address)) is not None


@given(st.ip_addresses(v=4))
def test_no_embedding_of_an_ipv4_address_is_allowed(inner: IPv4Address) -> None:
    bits = int(inner)
    disguises = [
        IPv6Address(bits),
        IPv6Address(0xFFFF << 32 | bits),
        IPv6Address(0xFFFF << 48 | bits),
        IPv6Address(0x2002 << 112 | bits << 80),
        IPv6Address(0x20010000 << 96 | bits ^ 0xFFFFFFFF),
        IPv6Address(0x2600 << 112 | 0x5EFE << 32 | bits),
        IPv6Address(0x2600 << 112 | 0x02005EFE << 32 | bits),
    ]
    for disguise in disguises:
        assert RULES.why_forbidden(str(disguise)) is not None, disguise


@given(st.ip_addresses(v=4))
def test_an_address_behind_nat64_is_judged_as_it_would_be_before_it(inner: IPv4Address) -> None:
    alone = RULES.why_forbidden(str(inner))
    for prefix in (0x64FF9B << 96, 0x64FF9B0001 << 80):
        found = RULES.why_forbidden(str(IPv6Address(prefix | int(inner))))
        assert (found is None) == (alone is None)
    rules = AddressRules(["10.0.0.0/8"])
    assert rules.why_forbidden("64:ff9b::10.1.2.3") is None


@pytest.mark.parametrize("spelling", ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "localhost"])
def test_odd_spellings_of_loopback_are_seen_through(spelling: str) -> None:
    addresses = resolve_with_system(spelling, 80)
    assert addresses
    assert all(RULES.why_forbidden(address) == "loopback" for address in addresses)


def test_an_allowed_network_lifts_the_table_for_itself_only() -> None:
    rules = AddressRules(["10.1.0.0/16", "fd12::/48"])
    assert rules.why_forbidden("10.1.2.3") is None
    assert rules.why_forbidden("fd12::1") is None
    assert rules.why_forbidden("10.2.0.1") == "private"
    assert rules.why_forbidden("::ffff:10.1.2.3") == "IPv4 in disguise (mapped)"


def test_an_allowed_network_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match=r"10\.1\.2\.3/16"):
        AddressRules(["10.1.2.3/16"])


def test_the_system_resolver_gives_each_address_once() -> None:
    assert resolve_with_system("127.0.0.1", 80) == ["127.0.0.1"]
