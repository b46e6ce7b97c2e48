"""This computer's addresses in its networks, and which of them phones in the room are likely to reach."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psutil

from arena.settings import SettingsError, check_public_url, is_local_url, with_event_path

LOCAL, VPN, VIRTUAL = "local network", "VPN", "virtual machines"
VPN_NAMES = re.compile(r"tun|tap|utun|wg|ppp|ipsec|tailscale|zt|nordlynx|proton|vpn|gpd", re.IGNORECASE)
VIRTUAL_NAMES = re.compile(r"docker|br-|veth|virbr|vmnet|vboxnet|vethernet|lxc|lxd|podman|cni|bridge1", re.IGNORECASE)
SHARED = ipaddress.ip_network("100.64.0.0/10")  # of Tailscale and others


@dataclass(frozen=True)
class Address:
    """One address of this computer."""

    address: str  # IPv4
    interface: str  # as the system calls the network card
    kind: str  # LOCAL, VPN or VIRTUAL


def list_addresses() -> list[Address]:
    """List the addresses that this computer has in networks that are up, the likeliest for phones first."""
    with contextlib.suppress(OSError, psutil.Error):
        return sort_addresses(psutil.net_if_addrs(), psutil.net_if_stats(), _routed_address())
    return []


def sort_addresses(cards: Mapping[str, Sequence[Any]], states: Mapping[str, Any], routed: str) -> list[Address]:
    """Sort addresses: local networks first, and of those the one that leads to the internet.

    Args:
        cards: the addresses of each network card, as psutil lists them.
        states: the state of each card, as psutil lists them.
        routed: the address from which the system would send to the internet; "": none.
    """
    found = [
        Address(item.address, name, _kind(name, item.address))
        for name, items in cards.items()
        if name not in states or states[name].isup
        for item in items
        if item.family == socket.AF_INET and not item.address.startswith(("127.", "169.254.", "0."))
    ]
    order = (LOCAL, VPN, VIRTUAL)
    return sorted(found, key=lambda one: (order.index(one.kind), one.address != routed, one.interface, one.address))


def lan_address() -> str:
    """Return the address by which phones in the room are likeliest to reach this computer.

    Raises:
        SettingsError: This computer is in no network.
    """
    found = list_addresses()
    if not found:
        raise SettingsError(
            "this computer is in no network: join the Wi-Fi of the room first, or name the address, "
            "as in --lan 192.168.1.5"
        )
    return found[0].address


def address_url(address: str, current: str, *, path: str = "", port: int | None = None) -> str:
    """Return the beginning of links for an address that the organizer chose while the event is served.

    Args:
        address: a whole address with http, or a name or number, which gets the port of the server.
        current: the beginning of links so far.
        path: of the event, which stays; "": it has none.
        port: of the server; None: that of the current address.

    Raises:
        SettingsError: It is no such address, or has the path of another event, or the server listens on this computer
            only.
    """
    address = address.strip().rstrip("/")
    if "://" not in address:
        parts = urlsplit(current)
        port = port or (parts.port if parts.scheme == "http" else None)
        if address.count(":") > 1 and not address.startswith("["):
            address = f"[{address}]"  # IPv6
        has_port = re.search(r":\d+$", address.rpartition("]")[2])
        if not has_port and not port:
            raise SettingsError("the port is not known: give the whole address, such as http://192.168.1.5:8000")
        address = f"http://{address}" if has_port else f"http://{address}:{port}"
    check_public_url(address)
    address = with_event_path(address, path)
    if is_local_url(current) and address.startswith("http://") and not is_local_url(address):
        raise SettingsError("only this computer reaches the server: start it with `arena serve --lan`")
    return address


def _kind(interface: str, address: str) -> str:
    if VIRTUAL_NAMES.match(interface) or "WSL" in interface:
        return VIRTUAL
    if VPN_NAMES.match(interface) or "vpn" in interface.lower() or ipaddress.ip_address(address) in SHARED:
        return VPN
    return LOCAL


def _routed_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # of documentation: nothing is sent, the system only chooses a route
        return str(probe.getsockname()[0])
    return ""
