"""The console's own port, on this machine only: a tunnel or proxy to the public port cannot reach it."""

from __future__ import annotations

import asyncio
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

from arena import logs
from arena.server.gateway import Gateway
from arena.server.network import MAX_HEAD_BYTES

CONNECTIONS = 256  # at once; the organizer's browser opens some six
HEAD_MS = 5_000  # a request's head, or silence between two requests; the page asks every 3 seconds


class ConsoleListener:
    """Listens on the console's port, in the web process, with a gateway and threads of its own."""

    def __init__(self, gateway: Gateway, host: str, port: int) -> None:
        """Make a listener that is not started.

        Args:
            gateway: the console's.
            host: the address to listen on.
            port: the port to listen on.
        """
        self._gateway, self._host, self._port = gateway, host, port
        self._server: Any = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            Exception: The port cannot be used.
        """
        self._gateway.start()
        self._server = Server(
            self._gateway,
            address=self._host,
            port=self._port,
            interface=Interfaces.ASGINL,  # without a lifespan: this class has it
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=HEAD_MS, max_buffer_size=MAX_HEAD_BYTES),
            websockets=False,
            backpressure=CONNECTIONS,
            log_level=LogLevels.error,
            log_dictconfig=logs.config(),
        )
        self._task = asyncio.create_task(self._server.serve())
        await asyncio.sleep(0)  # it has bound the port, or failed
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None and self._task is not None:
            self._server.stop()
            await self._task
        self._gateway.stop()
