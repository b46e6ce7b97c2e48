"""A reverse proxy on loopback that gives each connection to the next of several servers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter


class AlternatingProxy:
    """Carries bytes both ways. A server that does not listen is passed over."""

    def __init__(self) -> None:
        self.ports: list[int] = []  # of the servers
        self.carried: Counter[int] = Counter()  # connections by the port that they were given to
        self._turn = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = self._connect()
            if far is None:
                near.close()
                continue
            threading.Thread(target=_carry_both_ways, args=(near, far), daemon=True).start()

    def _connect(self) -> socket.socket | None:
        for _ in self.ports:
            port = self.ports[self._turn % len(self.ports)]
            self._turn += 1
            with contextlib.suppress(OSError):
                connection = socket.create_connection(("127.0.0.1", port))
                self.carried[port] += 1
                return connection
        return None


def _carry_both_ways(near: socket.socket, far: socket.socket) -> None:
    with near, far:
        back = threading.Thread(target=_carry, args=(far, near), daemon=True)
        back.start()
        _carry(near, far)
        back.join()


def _carry(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65_536):
            other.sendall(data)
    for each in (one, other):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
