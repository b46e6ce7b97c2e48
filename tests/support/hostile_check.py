"""A check that a bundle has taken over: it tries what code of a stranger would try, and reports what happened."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arena.verification import check, child
from arena.verification.report import Report


def main() -> None:
    """Run the real child with this check in place of its own. Arguments: a secret file, a port on loopback."""
    secret, port = Path(sys.argv[1]), int(sys.argv[2])
    check.check_bundle = lambda *_, **__: Report("FAIL", code="attack", reason=json.dumps(_attack(secret, port)))
    child.main()


def _attack(secret: Path, port: int) -> dict[str, str]:
    def tcp() -> None:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()

    def udp() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", ("127.0.0.1", port))

    attempts: dict[str, Callable[[], Any]] = {
        "read the secrets": secret.read_text,
        "list the folder": lambda: list(secret.parent.iterdir()),
        "write beside them": lambda: (secret.parent / "x").write_text(""),
        "read the parent's environment": Path(f"/proc/{os.getppid()}/environ").read_bytes,
        "connect": tcp,
        "send a datagram": udp,
        "run a program": lambda: subprocess.run(["/bin/true"], check=True),
        "signal the parent": lambda: os.kill(os.getppid(), signal.SIGWINCH),
    }
    outcomes = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            outcomes[name] = "done"
        except OSError as error:
            outcomes[name] = type(error).__name__
    outcomes["environment"] = " ".join(sorted(os.environ))
    with contextlib.suppress(OSError):
        outcomes["arguments"] = " ".join(sys.argv[3:])
    return outcomes
