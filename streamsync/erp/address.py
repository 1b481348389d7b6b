"""Where an ERP may be: rules for base URLs, for host names, and for the addresses behind them.

A tenant's base URL is somebody's input, and the requests carry a credential. So no URL leads to a machine's own
network or to a cloud's metadata service, whatever its name resolves to at the moment (`transport.py` asks again
for every connection). Shops whose ERP is behind a VPN are many; for them an operator allows private addresses.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from streamsync.config import Settings
from streamsync.config.hosts import Address, plain_name
from streamsync.errors import PermanentError

#: Nothing that could be an ERP: what the address is → its networks. Metadata addresses outside the link-local
#: ranges are those that AWS (IPv6), Google (IPv6), Alibaba, Oracle and Azure (its "wire server") document.
_NEVER: Final = tuple(
    (what, ip_network(network))
    for what, networks in (
        ("a link-local address", "169.254.0.0/16 fe80::/10"),
        (
            "a cloud's metadata service",
            "100.100.100.200 192.0.0.192 168.63.129.16 fd00:ec2::/32 fd20:ce::254",
        ),
        ("an unspecified address", "0.0.0.0/8 ::"),
        ("a multicast address", "224.0.0.0/4 ff00::/8"),
        ("a broadcast or reserved address", "240.0.0.0/4"),
        # RFC 8215: where in it the IPv4 address stands is up to each network, so it cannot be looked at.
        ("a translated address that cannot be checked", "64:ff9b:1::/48"),
    )
    for network in networks.split()
)
_PRIVATE: Final = tuple(
    (what, ip_network(network))
    for what, networks in (
        ("a loopback address", "127.0.0.0/8 ::1"),
        ("a private address", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 fec0::/10"),
        ("a carrier-grade NAT address", "100.64.0.0/10"),
    )
    for network in networks.split()
)
#: IPv6 networks whose addresses lead to an IPv4 address, and how many bits stand to the right of it there:
#: NAT64 (RFC 6052), IPv4-translated (RFC 2765), IPv4-compatible (RFC 4291), 6to4 (RFC 3056).
_EMBEDDING: Final = tuple(
    (ip_network(network), shift)
    for network, shift in (("64:ff9b::/96", 0), ("::ffff:0:0:0/96", 0), ("::/96", 0), ("2002::/16", 80))
)
_TEREDO: Final = ip_network("2001::/32")
#: The interface identifiers of ISATAP (RFC 5214), without the bit that says whether they are unique.
_ISATAP: Final = 0x00005EFE
_UNIQUE_BIT: Final = 0x02000000

_IPV4_BITS: Final = 0xFFFF_FFFF
#: Spellings of IPv4 addresses that the C library understands: `127.1`, `0x7f000001`, `2130706433`.
_OLD_SPELLING: Final = re.compile(r"[0-9a-fx]+(\.[0-9a-fx]+){0,3}\.?", re.IGNORECASE)


def literal_address(host: str) -> Address | None:
    """The address that a host is by itself, in any spelling that the C library resolves; None for a name."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        pass
    if not _OLD_SPELLING.fullmatch(host):
        return None
    try:
        return IPv4Address(socket.inet_aton(host.rstrip(".")))
    except OSError:
        return None


def one_spelling(host: str) -> str:
    """The host as all its spellings are counted together."""
    address = literal_address(host)
    return plain_name(host) if address is None else str(address)


def embedded(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that packets to an IPv6 address may end at."""
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    for network, shift in _EMBEDDING:
        # ::1 and :: are IPv6's own, not 0.0.0.1 and 0.0.0.0.
        if address in network and number > 1:
            yield IPv4Address(number >> shift & _IPV4_BITS)
    if address in _TEREDO:
        yield IPv4Address(number >> 64 & _IPV4_BITS)  # the relay that is asked
        yield IPv4Address(~number & _IPV4_BITS)  # the client behind it
    if number >> 32 & _IPV4_BITS & ~_UNIQUE_BIT == _ISATAP:
        yield IPv4Address(number & _IPV4_BITS)


def never_reachable(address: Address) -> str | None:
    """What an address is that no setting allows; None for all others."""
    for candidate in (address, *embedded(address)):
        for what, network in _NEVER:
            if candidate in network:
                return what
    return None


def private(address: Address) -> str | None:
    """What an address is that only `erp_allow_private` allows; None for those of the public internet."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    own = mapped or address  # a mapped address is nothing but another spelling
    for candidate in (own, *embedded(own)):
        for what, network in _PRIVATE:
            if candidate in network:
                return what
        if not candidate.is_global:
            return "an address outside the public internet"
    return None


class AddressRules:
    """The rules as the settings make them. Refusals are PermanentErrors that name the host and the remedy."""

    def __init__(self, settings: Settings) -> None:
        self._allowed = settings.allowed_hosts()
        self._allow_private = settings.erp_allow_private

    def check_url(self, url: str) -> None:
        """Check what can be told without asking the DNS.

        Raises PermanentError: `erp_url` for what is no URL of an ERP, `erp_address` for a host that is refused.
        """
        host = _host_of_base_url(url)
        address = literal_address(host)
        if address is not None:
            self.check_address(host, address)
        elif self._allowed and not self._allowed.networks and not self._allowed.has_name(host):
            raise _not_listed(host, "")

    def check_address(self, host: str, address: Address) -> None:
        """Check an address that `host` resolved to, or is. Raises PermanentError(`erp_address`)."""
        resolved = "" if literal_address(host) == address else f" resolves to {address}, which"
        what = never_reachable(address)
        if what is not None:
            raise PermanentError(
                "erp_address",
                f"{host}{resolved} is {what}, where no ERP can be, and is never connected to: correct the"
                " tenant's base URL, or what the name resolves to",
            )
        if self._allowed and not self._allowed.has_name(host) and not self._allowed.has_address(address):
            raise _not_listed(host, f" ({address})" if resolved else "")
        what = private(address)
        if what is not None and not self._allow_private:
            raise PermanentError(
                "erp_address",
                f"{host}{resolved} is {what}: if this ERP is reached by a VPN or in a network of your own, set"
                " STREAMSYNC_ERP_ALLOW_PRIVATE=true; else correct the tenant's base URL",
            )


def _not_listed(host: str, address: str) -> PermanentError:
    return PermanentError(
        "erp_address",
        f"{host}{address} is not among the hosts of STREAMSYNC_ERP_ALLOWED_HOSTS: add it there, or correct the"
        " tenant's base URL",
    )


def _host_of_base_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    # urlsplit takes out line ends and tabs in silence; the HTTP client does not.
    if not host or port == 0 or parts.scheme not in ("http", "https") or re.search(r"[\s\x00-\x1f\\]", url):
        raise PermanentError(
            "erp_url", "the tenant's base URL is not an http(s) URL such as http://erp.example:6017"
        )
    if "@" in parts.netloc:
        raise PermanentError(
            "erp_url",
            f"{host}: leave user and password out of the base URL; they have places of their own",
        )
    if "?" in url or "#" in url:
        raise PermanentError("erp_url", f"{host}: the base URL must end before '?' and '#'")
    return host
