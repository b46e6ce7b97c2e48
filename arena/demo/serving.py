"""The server of a simulated evening, as a child process that ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from arena.demo.children import STOP_SECONDS, Children, DemoError
from arena.processes import end_with_parent, python_command
from arena.server.network import PortTaken, with_address
from arena.server.server import is_answering, serve
from arena.settings import Settings, load_settings

SERVER = "arena.demo.serving:serve_as_child"
SERVER_LOG = "server.log"  # in the event folder
READY_SECONDS = 180.0  # until the server answers, on a slow machine with every core busy
PORTS_TRIED = 5  # another event may take a port between the look at it and its use
PORT_TAKEN = 3  # the server's exit status
POLL_SECONDS = 0.1


def serve_as_child() -> None:
    """Serve as a child, until standard input ends. Arguments: folder, both ports, address in the LAN or ""."""
    end_with_parent(lambda: os.kill(os.getpid(), signal.SIGTERM), seconds=STOP_SECONDS)
    settings = load_settings(Path(sys.argv[1]))
    try:
        port, console_port, lan = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] or None
        serve(with_address(settings, port=port, lan=lan, console_port=console_port), say=lambda line: None)
    except PortTaken:
        sys.exit(PORT_TAKEN)


def start_server(settings: Settings, lan: str | None, children: Children) -> tuple[subprocess.Popen[Any], Settings]:
    """Start the server on the usual port, or on any other where that one is taken.

    Args:
        settings: of the event folder.
        lan: as in `with_address`.
        children: starts the server.

    Returns:
        The server, which answers, and the settings with its address.

    Raises:
        DemoError: It does not start.
    """
    for _ in range(PORTS_TRIED):
        try:
            served = with_address(settings, lan=lan)
        except PortTaken:
            served = with_address(settings, lan=lan, port=0)
        command = python_command(SERVER, str(served.dir), str(served.port), str(served.console_port), lan or "")
        with (settings.dir / SERVER_LOG).open("ab") as log:  # a message while it ends would be a second last line
            child = children.start(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_SECONDS
        while child.poll() is None and time.monotonic() < deadline:
            if is_answering(served):
                return child, served
            time.sleep(POLL_SECONDS)
        if child.poll() != PORT_TAKEN:
            break
    raise DemoError(f"the server did not start: its messages are in {settings.dir / SERVER_LOG}")
