"""Which addresses may be called: judged against Python's own copy of IANA's tables, for every address there is."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.destinations.addresses import FORBIDDEN, forbids, read_address

V4 = st.ip_addresses(v=4)
V6 = st.ip_addresses(v=6)
#: what Python calls global although it leads to an IPv4 address or is nobody's
_CARRIERS = [ip_network(text) for text in ("::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")]
_OUT_OF_USE = [ip_network(text) for text in ("::/96", "fec0::/10", "192.88.99.0/24", "192.0.0.0/24", "2001::/23")]
_NEWER_THAN_PYTHON = [ip_network(text) for text in ("100:0:0:1::/64", "3fff::/20", "5f00::/16")]
#: what the IETF reserves of IPv6 without saying for what; nobody has these addresses
_EXCEPTIONS = (
    [ip_network(text) for text in ("::/8", "100::/8", "200::/7", "400::/6", "800::/5", "1000::/4")]
    + [
        ip_network(text)
        for text in ("4000::/3", "6000::/3", "8000::/3", "a000::/3", "c000::/3", "e000::/4", "f000::/5")
    ]
    + [ip_network(text) for text in ("f800::/6", "fe00::/9")]
)
_INSIDE = st.sampled_from([block for block, _ in FORBIDDEN]).flatmap(
    lambda block: st.integers(int(block.network_address), int(block.broadcast_address)).map(
        IPv4Address if block.version == 4 else IPv6Address
    )
)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("127.0.0.1", "this machine itself"),
        ("127.255.255.254", "this machine itself"),
        ("0.0.0.0", "an unspecified address"),  # noqa: S104 - nothing is bound
        ("10.1.2.3", "a private address"),
        ("172.31.255.255", "a private address"),
        ("192.168.0.1", "a private address"),
        ("169.254.169.254", "a link-local address"),
        ("100.100.100.200", "an address of a carrier's or cloud's inner network"),
        ("224.0.0.1", "a multicast address"),
        ("255.255.255.255", "a reserved address"),
        ("::", "an unspecified address"),
        ("::1", "this machine itself"),
        ("::127.0.0.1", "an unspecified address"),
        ("::ffff:127.0.0.1", "this machine itself"),
        ("::ffff:100.64.0.1", "an address of a carrier's or cloud's inner network"),
        ("::ffff:0:a9fe:a9fe", "a translated IPv4 address"),
        ("64:ff9b::7f00:1", "an IPv4 address behind NAT64"),
        ("64:ff9b:1::a00:1", "an IPv4 address behind NAT64"),
        ("2002:7f00:1::", "an IPv4 address behind 6to4"),
        ("2001:0:4136:e378::1", "an IPv4 address behind Teredo"),
        ("fd00::1", "a private address"),
        ("fe80::1", "a link-local address"),
        ("fe80::1%eth0", "a link-local address"),
        ("ff02::1", "a multicast address"),
    ],
)
def test_an_address_of_the_inner_network_is_forbidden_in_every_spelling(text: str, what: str) -> None:
    assert forbids(read_address(text), ()) == what


@pytest.mark.parametrize("text", ["8.8.8.8", "100.63.255.255", "100.128.0.0", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_an_address_of_the_internet_may_be_called(text: str) -> None:
    assert forbids(read_address(text), ()) is None


@given(st.one_of(V4, V6, _INSIDE))
def test_nothing_may_be_called_that_python_knows_as_not_global(address: IPv4Address | IPv6Address) -> None:
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        assert forbids(address, ()) == forbids(mapped, ())
        return
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        is_exempt = any(address in block for block in _EXCEPTIONS)
        assert is_exempt or forbids(address, ()) is not None


@given(st.one_of(V4, V6, _INSIDE))
def test_what_is_forbidden_is_not_global_for_python_or_stands_among_the_known_exceptions(
    address: IPv4Address | IPv6Address,
) -> None:
    if forbids(address, ()) is None:
        return
    judged = getattr(address, "ipv4_mapped", None) or address
    known = [*_CARRIERS, *_OUT_OF_USE, *_NEWER_THAN_PYTHON]
    assert not judged.is_global or judged.is_multicast or any(judged in block for block in known)


@given(V4)
def test_an_ipv4_address_is_judged_alike_behind_nat64_that_is_let_in(address: IPv4Address) -> None:
    behind = IPv6Address(int(IPv6Address("64:ff9b::")) + int(address))
    assert forbids(behind, ()) is not None
    assert forbids(behind, [ip_network("64:ff9b::/96")]) == forbids(address, ())
    translated = IPv6Address(int(IPv6Address("::ffff:0:0:0")) + int(address))
    assert forbids(translated, ()) is not None
    assert forbids(translated, [ip_network("::ffff:0:0:0/96")]) == forbids(address, ())
    six = IPv6Address((0x2002 << 112) + (int(address) << 80))
    assert forbids(six, [ip_network("2002::/16")]) == forbids(address, ())


@pytest.mark.parametrize("text", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_what_the_operator_lets_in_may_be_called_and_its_neighbours_may_not(text: str) -> None:
    assert forbids(ip_address(text), [ip_network("10.0.0.0/8")]) is None
    assert forbids(ip_address(text), [ip_network("10.1.2.4/32"), ip_network("192.168.0.0/16")]) is not None


@given(_INSIDE)
def test_every_forbidden_address_can_be_let_in_by_its_own_network_alone(address: IPv4Address | IPv6Address) -> None:
    carried = getattr(address, "sixtofour", None) is not None or address in ip_network("64:ff9b::/96")
    alone = ip_network(int(address).to_bytes(4 if address.version == 4 else 16, "big"))
    if not carried and not any(address in ip_network(text) for text in ("64:ff9b:1::/48", "::ffff:0:0:0/96")):
        assert forbids(address, [alone]) is None
