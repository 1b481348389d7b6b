"""The list of hosts that ERPs may be reached at: names, `*.example.com`, networks and single addresses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

Address = IPv4Address | IPv6Address

#: One label per dot, as DNS has them (an underscore is no host name, but Windows networks have them).
_NAME: Final = re.compile(r"(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")


def plain_name(host: str) -> str:
    """A host's name as names are compared: lower case, ASCII (punycode), no dot at its end."""
    name = host.lower().rstrip(".")
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:  # no such name can be registered; it then equals nothing on a list
        return name


@dataclass(frozen=True, slots=True)
class HostList:
    """Hosts as an operator lists them; an empty list says nothing."""

    names: frozenset[str] = frozenset()
    #: What follows the `*` of wildcards, with its dot.
    endings: tuple[str, ...] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.names or self.endings or self.networks)

    def has_name(self, host: str) -> bool:
        """Whether the list names this host. `*.example.com` has all names below example.com, not itself."""
        name = plain_name(host)
        return name in self.names or name.endswith(self.endings)

    def has_address(self, address: Address) -> bool:
        """Whether one of the listed networks holds this address."""
        return any(address in network for network in self.networks)


def parse_hosts(entries: Sequence[str]) -> HostList:
    """Read a list's entries. Raises ValueError with the place of the first that is none; it is not quoted."""
    names, endings, networks = set(), [], []
    for number, entry in enumerate(entries, start=1):
        try:
            networks.append(ip_network(entry.strip("[]"), strict=False))
            continue
        except ValueError:
            pass
        name = plain_name(entry)
        # A name whose last label is a number is none (RFC 3696): it is an address that was mistyped.
        if not _NAME.fullmatch(name) or name.rpartition(".")[2].isdigit():
            raise ValueError(f"entry {number} is neither a name, *.name, an address nor a network")
        if name.startswith("*."):
            endings.append(name[1:])
        else:
            names.add(name)
    return HostList(frozenset(names), tuple(endings), tuple(networks))
