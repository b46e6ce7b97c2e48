"""Addresses and ports of a served event, and the number of connections that the system allows."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace

from arena.addresses import lan_address
from arena.errors import ArenaError
from arena.settings import Settings, check_public_url
from trainer.verse.event_path import event_path

RESERVED = 256  # descriptors for databases, bundles, libraries and a body each of uploads on their way to disk
WITHOUT_LIMIT = 16_384  # connections where the system names no limit
MAX_CONNECTIONS = 65_536  # beyond, memory is the limit
MAX_HEAD_BYTES = 65_536  # of a request's head, and of a body that waits to be read: what a connection may hold
HOLD_HOST = "127.0.0.1"  # whatever address an event listens on: one number, one event on this machine


class PortTaken(ArenaError):
    """Another program listens where the server should."""

    code = "port-taken"

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"cannot listen on {host} port {port} ({reason}): choose another with --port or --console-port", port=port
        )


def with_address(
    settings: Settings,
    *,
    lan: str | None = None,
    port: int | None = None,
    public_url: str = "",
    console_host: str | None = None,
    console_port: int | None = None,
) -> Settings:
    """Return settings with an address to listen on, one for links and one for the console.

    Args:
        settings: the event's.
        lan: the address that phones in the local network use. "auto": the one that is set, else this machine's
            address in the network. None: listen on this machine only.
        port: the port to listen on. None: the one that is set. 0: any free port.
        public_url: the outside address, of a tunnel or a proxy; without a path, it gets that of the event.
        console_host: the address that the console listens on. None: the one that is set.
        console_port: the console's port. None: the one that is set, else the one after `port`. 0: any free port, as
            after a `port` of 0.

    Raises:
        SettingsError: An address has a wrong form, or this machine has none in the network.
        PortTaken: Another program listens on the port.
    """
    check_public_url(public_url)
    if lan is not None:
        address = lan_address() if lan == "auto" else lan
        settings = replace(settings, host="::" if ":" in address else "0.0.0.0")
    settings = replace(settings, port=free_port(settings.host, settings.port if port is None else port))
    if lan is not None and (lan != "auto" or not settings.public_url):
        shown = f"[{address}]" if ":" in address else address
        settings = replace(settings, public_url=f"http://{shown}:{settings.port}{settings.path}")
    if public_url:
        public_url = public_url.rstrip("/")
        settings = replace(settings, public_url=public_url if event_path(public_url) else public_url + settings.path)
    check_public_url(settings.public_url)
    return _with_console(settings, console_host, 0 if port == 0 and console_port is None else console_port)


def _with_console(settings: Settings, host: str | None, port: int | None) -> Settings:
    """Return settings with an address for the console, whose other addresses are known."""
    host = host or settings.console_host
    if port is None:
        port = settings.console_port or settings.port + 1
    found = free_port(host, port)
    while found == settings.port:
        if port:
            raise PortTaken(host, port, "the pages for everybody have it")
        found = free_port(host, 0)
    return replace(settings, console_host=host, console_port=found)


def free_port(host: str, port: int) -> int:
    """Return the port if no program listens on it; for 0, a port that is free now.

    Raises:
        PortTaken: Another program listens on it, or there is no such port.
    """
    with hold_port(host, port) as found:
        return found


@contextlib.contextmanager
def hold_port(host: str, port: int) -> Iterator[int]:
    """Hold a port on which no program listens, so that no other event takes it while the block runs.

    The TCP port alone is not enough: Linux lets two servers of one user listen on it if both ask for that, as granian
    does, and divides the requests between them. The UDP port of the same number has one holder, and the system frees
    it when this process ends.

    Args:
        host: the address to listen on.
        port: the port; 0 for any that is free.

    Yields:
        The port.

    Raises:
        PortTaken: Another program listens on it, another event holds it, or there is no such port.
    """
    while True:
        with _bound_socket(host, port, socket.SOCK_STREAM) as probe:
            found = int(probe.getsockname()[1])
        try:
            holder = _bound_socket(HOLD_HOST, found, socket.SOCK_DGRAM)
            break
        except PortTaken:
            if port:
                raise
    with holder:
        yield found


def _bound_socket(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """Return a socket bound to a port.

    Args:
        host: the address to bind to.
        port: its port; 0 for any.
        kind: `SOCK_STREAM` for TCP, `SOCK_DGRAM` for UDP.

    Raises:
        PortTaken: Another program uses it, or there is no such port.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    if sys.platform == "win32":
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    elif kind == socket.SOCK_STREAM:
        # connections of a server that has ended may linger; a server that listens is still in the way
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OverflowError:
        bound.close()
        raise PortTaken(host, port, "there is no such port") from None
    except OSError as error:
        bound.close()
        reason = "another program uses it" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise PortTaken(host, port, reason) from None
    return bound


def raise_descriptor_limit() -> int:
    """Raise the limit of open files, for child processes too, and return how many connections it allows."""
    try:
        import resource
    except ImportError:  # Windows, where sockets are not counted
        return WITHOUT_LIMIT
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (MAX_CONNECTIONS + RESERVED, 10_240):  # the second is what macOS allows when it says "no limit"
        goal = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft == resource.RLIM_INFINITY or soft >= goal:
            break
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
            soft = goal
            break
    limit = MAX_CONNECTIONS + RESERVED if soft == resource.RLIM_INFINITY else soft
    return max(16, min(limit - RESERVED, MAX_CONNECTIONS))
