"""The address of a client: of the connection, or, behind a proxy that the settings trust, the one that it names."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from arena.settings import parse_networks

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(peer: str | None, forwarded: str, trusted: str) -> str | None:
    """Return the address that limits of attempts go by.

    Each proxy adds the address that it was reached from to the end of the header. So what a trusted one says is true,
    and the first address from the end that is no trusted proxy's is the client's; what stands before it, the client
    may have written.

    Args:
        peer: the address of the connection; None: not known.
        forwarded: the header X-Forwarded-For; "" without one.
        trusted: the setting `trusted_proxies`.

    >>> client_address("10.0.0.2", "1.2.3.4, 203.0.113.7, 10.0.0.3", "10.0.0.0/8")
    '203.0.113.7'
    >>> client_address("198.51.100.1", "203.0.113.7", "10.0.0.0/8")
    '198.51.100.1'
    """
    networks = parse_networks(trusted)
    found = peer
    for named in reversed(forwarded.split(",")):
        if not _is_in(found, networks) or _parsed(named.strip()) is None:
            break
        found = named.strip()
    return found


def _is_in(address: str | None, networks: Sequence[Network]) -> bool:
    parsed = _parsed(address or "")
    return parsed is not None and any(parsed in network for network in networks)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
