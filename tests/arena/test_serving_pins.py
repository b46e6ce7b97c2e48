"""What the server uses of granian and a2wsgi beyond their public interface is still there, and both are pinned.

When one of these tests fails after an upgrade: compare `arena/server/server.py` (class Web) or `arena/server/wsgi.py`
(`build_wsgi_environ`) with the new version, then widen the range in pyproject.toml.
"""

from __future__ import annotations

import inspect
import io
import re
import threading
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from a2wsgi.wsgi import build_environ
from granian.server.common import AbstractServer

from arena.server.server import web_server

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


@pytest.mark.parametrize("name", ["granian", "a2wsgi"])
def test_a_library_whose_private_parts_are_used_has_an_upper_bound(name: str) -> None:
    dependencies = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    range_ = next(one for one in dependencies if one.startswith(name))
    bounds = re.fullmatch(rf"{name}>=([\d.]+),<([\d.]+)", range_)
    assert bounds, f"{range_}: needs a lower and an upper bound"
    least, most, installed = ([int(part) for part in text.split(".")] for text in (*bounds.groups(), version(name)))
    assert least <= installed < most, f"{name} {version(name)} is outside of {range_}: read this file's first lines"


def test_granian_still_has_what_our_server_overrides() -> None:
    says = f"granian {version('granian')} has moved what arena/server/server.py overrides: "
    respawn = getattr(AbstractServer, "_respawn_workers", None)
    assert respawn, says + "_respawn_workers is gone"
    parameters = list(inspect.signature(respawn).parameters)
    assert parameters == ["self", "workers", "spawn_target", "target_loader", "delay"], says + "_respawn_workers"
    source = inspect.getsource(AbstractServer)
    assert "self._respawn_workers(" in source, says + "nothing calls _respawn_workers"
    assert "self.respawned_wrks.get(" in source, says + "respawned_wrks no longer ends the server"
    handlers = r"set_main_signals\(\s*self\.signal_handler_interrupt,\s*self\.signal_handler_reload"
    assert re.search(handlers, source), says + "signal_handler_reload is not what SIGHUP calls"


def test_our_server_has_the_attributes_it_uses_of_granian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiprocessing.set_start_method", lambda *args, **kwargs: None)
    server = web_server("127.0.0.1", 1, 100)
    assert isinstance(server.main_loop_interrupt, threading.Event)
    assert server.respawned_wrks == {}
    server.signal_handler_reload()
    assert server.interrupt_signal and not server.reload_signal, "a closed terminal must end the server"
    assert server.main_loop_interrupt.is_set()


def test_a2wsgi_still_builds_an_environment_as_we_call_it() -> None:
    body = io.BytesIO(b"body")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/é",
        "query_string": b"a=1",
        "headers": [(b"content-type", b"text/plain"), (b"content-length", b"4"), (b"x-seen", b"yes")],
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.9", 5),
        "scheme": "http",
    }
    environ = build_environ(scope, body)  # type: ignore[arg-type]
    wanted = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/é".encode().decode("latin-1"),
        "QUERY_STRING": "a=1",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "4",
        "HTTP_X_SEEN": "yes",
        "REMOTE_ADDR": "127.0.0.9",
        "SERVER_PORT": "8000",
        "wsgi.url_scheme": "http",
        "wsgi.input": body,
    }
    found = {name: environ.get(name) for name in wanted}
    assert found == wanted, f"a2wsgi {version('a2wsgi')} builds another environment than arena/server/wsgi.py expects"
