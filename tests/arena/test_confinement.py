"""The process of a check has the bundle's bytes and nothing else: no file, no network, no other process."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from arena.processes import python_command
from arena.server import server
from arena.verification import runner
from arena.verification.runner import Cancelled, unenforced_rights, verify_file
from tests.support.bundles import dear_verse, verse
from tests.support.evening import Evening
from tests.support.server import within

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux confines a process")


@linux
def test_code_of_a_stranger_in_a_check_reads_no_secret_and_reaches_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = unenforced_rights()
    monkeypatch.setenv("ARENA_SECRET", "s3cret")
    evening = Evening(tmp_path / "event").begin()
    evening.enter("ann", verse(1))
    [bundle] = evening.settings.bundles.iterdir()
    secret = evening.folder / "secrets.json"
    listener = socket.create_server(("127.0.0.1", 0))

    def command(target: str, *arguments: str, flags: tuple[str, ...]) -> list[str]:
        return python_command(target, str(secret), str(listener.getsockname()[1]), *arguments, flags=flags)

    monkeypatch.setattr(runner, "CHILD", "tests.support.hostile_check:main")
    monkeypatch.setattr(runner, "python_command", command)
    report = verify_file(bundle, threading.Event())
    outcomes = json.loads(report.reason or "{}")
    listener.close()
    evening.end()
    files = {"read the secrets", "list the folder", "write beside them", "read the parent's environment"}
    others = {"connect", "send a datagram", "run a program", "signal the parent"}
    refused = (set() if "files" in kept else files) | (set() if "network and processes" in kept else others)
    assert {name: outcomes[name] for name in refused} == dict.fromkeys(refused, "PermissionError")
    assert "ARENA" not in outcomes["environment"] and "HOME" not in outcomes["environment"]
    assert outcomes["arguments"] == "", "nothing names the bundle"


@linux
@pytest.mark.slow
def test_a_real_check_is_confined_as_the_kernel_sees_it(tmp_path: Path) -> None:
    bundle = tmp_path / "event.verse"
    bundle.write_bytes(dear_verse(1))
    cancelled = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        check = pool.submit(verify_file, bundle, cancelled)
        try:
            assert within(20, lambda: len(psutil.Process().children()) == 1)
            [child] = psutil.Process().children()
            status = Path(f"/proc/{child.pid}/status")
            assert within(20, lambda: "Seccomp:\t2" in status.read_text()), status.read_text()
            assert "NoNewPrivs:\t1" in status.read_text()
            folder = Path(child.cwd())
            assert folder.parent == Path(tempfile.gettempdir()) and list(folder.iterdir()) == []
            opened = [str(link.readlink()) for link in Path(f"/proc/{child.pid}/fd").iterdir()]
            assert str(tmp_path) not in " ".join((*opened, *child.cmdline(), *child.environ().values()))
        finally:
            cancelled.set()
        with pytest.raises(Cancelled):
            check.result()
    assert not folder.exists()


def test_the_server_says_at_its_start_what_the_system_cannot_take_from_a_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, said = Evening(tmp_path / "event").settings, list[str]()
    monkeypatch.setattr(server, "is_answering", lambda _: True)
    monkeypatch.setattr(runner, "unenforced_rights", lambda: ["files"])
    server._announce(settings, 100, said.append, threading.Event())
    assert [line for line in said if "warning" in line] == [
        "  warning: a check keeps its access to files: this system cannot take it away"
    ]


@linux
def test_what_the_probe_says_is_what_the_kernel_offers() -> None:
    import ctypes

    landlock = ctypes.CDLL(None).syscall(444, None, 0, 1) > 0
    assert ("files" in unenforced_rights()) == (not landlock)
