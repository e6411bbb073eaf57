"""Which addresses a request may be sent to, so that a destination can't be led into the machine's own network."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: IANA's special-purpose and multicast blocks that are nobody's on the internet, with what they are; of several that
#: hold an address the first is told (iana.org/assignments/iana-ipv4-special-registry, iana-ipv6-special-registry).
#: Written out, for the tables of Python's `ipaddress` differ from one patch release to the next.
FORBIDDEN: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(block), what)
    for block, what in (
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "an address of a carrier's or cloud's inner network"),  # Alibaba's metadata: 100.100.100.200
        ("127.0.0.0/8", "this machine itself"),
        ("169.254.0.0/16", "a link-local address"),  # most clouds' metadata: 169.254.169.254
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "an address of a protocol"),
        ("192.0.2.0/24", "an address for examples"),
        ("192.88.99.0/24", "a relay of 6to4"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "an address for benchmarks"),
        ("198.51.100.0/24", "an address for examples"),
        ("203.0.113.0/24", "an address for examples"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
        ("::1/128", "this machine itself"),
        ("::/96", "an unspecified address"),  # with the old "compatible" form of an IPv4 address
        ("::ffff:0:0:0/96", "a translated IPv4 address"),  # RFC 2765; NAT64's forerunner
        ("64:ff9b::/96", "an IPv4 address behind NAT64"),
        ("64:ff9b:1::/48", "an IPv4 address behind NAT64"),
        ("100::/64", "an address that swallows everything"),
        ("100:0:0:1::/64", "an address that swallows everything"),
        ("2001::/32", "an IPv4 address behind Teredo"),
        ("2001::/23", "an address of a protocol"),
        ("2001:db8::/32", "an address for examples"),
        ("2002::/16", "an IPv4 address behind 6to4"),
        ("3fff::/20", "an address for examples"),
        ("5f00::/16", "an address of a protocol"),
        ("fc00::/7", "a private address"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a private address"),
        ("ff00::/8", "a multicast address"),
    )
)

#: what ends with the IPv4 address that it leads to
_WITH_IPV4 = tuple(IPv6Network(text) for text in ("::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"))
_SIX_TO_FOUR = IPv6Network("2002::/16")


def read_address(text: str) -> Address:
    """Read an address as the system tells it, without the zone of a link-local one."""
    return ip_address(text.partition("%")[0])


def forbids(address: Address, allowed: Sequence[Network]) -> str | None:
    """Tell what the address is that keeps a request from it; None where it may be called.

    `allowed` are the networks that the operator lets in. An IPv6 address that carries an IPv4 address is judged by
    both: a network that lets in all of NAT64 lets in no private address behind it.
    """
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if mapped is not None:
        return None if _is_in(address, allowed) else forbids(mapped, allowed)
    carried = _carried(address)
    if _is_in(address, allowed):
        return forbids(carried, allowed) if carried is not None else None
    return next((what for block, what in FORBIDDEN if address in block), None)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _carried(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that a request to this one would end at."""
    if not isinstance(address, IPv6Address):
        return None
    if address in _SIX_TO_FOUR:
        return address.sixtofour
    return IPv4Address(int(address) & 0xFFFFFFFF) if any(address in block for block in _WITH_IPV4) else None
