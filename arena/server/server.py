"""Serves an event: takes the lock, starts the web process and the one that verifies, and ends them with itself.

    main process      holds the lock, watches the other two, starts them again when they die; has no work of its own
    web process       granian, started by it: the gateway, Flask, the snapshot
    verifying process `arena.worker`: checks bundles, each in a child of its own; closes what is due

A process that loses the main process ends at once, whatever killed it: the web process watches the pipe that
multiprocessing keeps to its parent, the verifying process its standard input.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import logging
import multiprocessing
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from arena.errors import ArenaError
from arena.processes import end_with_parent, python_command
from arena.server.lock import EventLock
from arena.settings import Settings, SettingsError, check_public_url

BACKLOG = 4_096  # connections the system keeps for us while a room arrives at once; more than it would allow anyway
RESERVED = 256  # descriptors for databases, bundles, libraries and a body each of uploads on their way to disk
WITHOUT_LIMIT = 16_384  # connections where the system names no limit
MOST = 65_536  # connections; beyond, memory is the limit
A_PHONE = 2  # connections: one that polls, and one more while a page is fetched
HEAD_MS = 20_000  # a request's head, or silence between two requests; phones ask every 4 seconds
ENDING = 4  # seconds the web process may take to end
WORKER_ENDING = 3.0  # seconds the verifying process may take
RESTART_AFTER = 1.0  # seconds before a process that died is started again
READY_WITHIN = 30.0  # seconds until the server answers
WORKER = "arena.worker:run_as_child"
log = logging.getLogger(__name__)


class PortTaken(ArenaError):
    """Another program listens where the server should."""

    code, status = "port-taken", 409

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host} port {port} ({reason}): choose another with --port", port=port)


def with_address(
    settings: Settings, *, lan: str | None = None, port: int | None = None, public_url: str = ""
) -> Settings:
    """The settings with an address to listen on and one for links.

    Args:
        lan: None: this machine only. Else the address that phones of the local network use; "auto": as set, or the one
            that is found.
        port: None: as set; 0: any that is free.
        public_url: the outside address, of a tunnel or a proxy.

    Raises:
        SettingsError: no such address.
    """
    check_public_url(public_url)
    if lan is not None:
        address = lan_address() if lan == "auto" else lan
        settings = replace(settings, host="::" if ":" in address else "0.0.0.0")
    settings = replace(settings, port=free_port(settings.host, settings.port if port is None else port))
    if lan is not None and (lan != "auto" or not settings.public_url):
        shown = f"[{address}]" if ":" in address else address
        settings = replace(settings, public_url=f"http://{shown}:{settings.port}")
    if public_url:
        settings = replace(settings, public_url=public_url.rstrip("/"))
    check_public_url(settings.public_url)
    return settings


def lan_address() -> str:
    """The address by which other machines of the local network reach this one.

    Raises:
        SettingsError: it has none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # an address for documentation: nothing is sent, the system chooses the way
        address = str(probe.getsockname()[0])
        if not address.startswith(("127.", "0.")):
            return address
    raise SettingsError("this machine's address in the network was not found: name it, as in --lan 192.168.1.5")


def free_port(host: str, port: int) -> int:
    """The port, if nobody listens on it; for 0, one that is free now.

    Raises:
        PortTaken
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if sys.platform == "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:  # connections of a server that has ended may linger; a server that listens is still in the way
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OverflowError:
            raise PortTaken(host, port, "there is no such port") from None
        except OSError as error:
            reason = "another program uses it" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            raise PortTaken(host, port, reason) from None
        return int(probe.getsockname()[1])


def serve(
    settings: Settings,
    *,
    jobs: int | None = None,
    console_remote: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the event until Ctrl-C.

    Args:
        settings: see `with_address` for the address.
        jobs: bundles checked at once; None: as many as there are cores, less one.
        console_remote: let the console answer other machines; behind TLS only.
        say: prints a line.

    Raises:
        EventHeld: another process serves it.
        PortTaken
        ArenaError: there is no event, or a later version made it.
    """
    from arena.bootstrap import open_event
    from arena.services.entries import sweep_parts
    from arena.services.events import current_event

    if console_remote and not settings.public_url.startswith("https:"):
        raise SettingsError("--console-remote needs an address with TLS: name it with --public-url https://...")
    with EventLock(settings.lock, settings.base_url):
        free_port(settings.host, settings.port)
        event = open_event(settings)
        current_event(event.db)
        sweep_parts(event.db, event.store)
        for left in settings.incoming.glob("form-*"):  # copies of forms that a crash left behind
            left.unlink(missing_ok=True)
        connections = raise_descriptor_limit()
        verifying = Verifying(settings, jobs)
        web = web_server(settings.host, settings.port, connections)
        threading.Thread(
            target=_announce, args=(settings, connections, say, web.main_loop_interrupt), daemon=True
        ).start()
        verifying.start()
        try:
            web.serve(target_loader=partial(load_gateway, settings, console_remote), wrap_loader=False)
        finally:
            verifying.stop()


def raise_descriptor_limit() -> int:
    """Let this process and its children open as many files as the system allows; how many connections that carries."""
    if sys.platform == "win32":
        return WITHOUT_LIMIT  # sockets are not counted there
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (MOST + RESERVED, 10_240):  # the second is what macOS allows when it says "no limit"
        goal = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft == resource.RLIM_INFINITY or soft >= goal:
            break
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
            soft = goal
            break
    found = MOST + RESERVED if soft == resource.RLIM_INFINITY else soft
    return max(16, min(found - RESERVED, MOST))


def load_gateway(settings: Settings, console_remote: bool = False) -> Any:
    """The web process's application; runs there."""
    from arena.bootstrap import open_event
    from arena.server.gateway import Gateway
    from arena.server.snapshot import DatabaseSource, SnapshotKeeper
    from arena.web.app import create_app

    end_with_main_process()
    event = open_event(settings)
    keeper = SnapshotKeeper(partial(DatabaseSource, event.db))
    app = create_app(settings, event.db, event.store, time.time, console_remote, snapshot=keeper.data)
    return Gateway(app, keeper, settings.incoming)


def end_with_main_process() -> None:
    """Called in a process that multiprocessing started: end when its parent does."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        end_with_parent(sentinel=parent.sentinel)


def web_server(host: str, port: int, connections: int) -> Any:
    """Granian, set for phones: its `serve` takes what makes the application, in a process of its own."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    multiprocessing.set_start_method("spawn", force=True)  # a forked child would hold what this process holds

    class Web(Granian):  # type: ignore[misc, valid-type]
        """Granian, for which a closed terminal is the end and no wish to start anew."""

        def signal_handler_reload(self, *args: Any, **kwargs: Any) -> None:
            self.signal_handler_interrupt()

        def _respawn_workers(self, *args: Any, **kwargs: Any) -> None:
            """Granian ends when a process dies within seconds of its start; an evening goes on, however often."""
            super()._respawn_workers(*args, **kwargs)
            self.respawned_wrks.clear()

    return Web(
        "arena",  # not imported: `target_loader` makes the application
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        workers=1,
        loop=Loops.asyncio,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEAD_MS),
        websockets=False,
        backlog=BACKLOG,
        backpressure=connections,  # granian counts connections, not requests: at the limit the rest wait in the backlog
        respawn_failed_workers=True,
        workers_kill_timeout=ENDING,
        log_level=LogLevels.warning,
    )


class Verifying:
    """The verifying process: started, started again when it dies, and ended."""

    def __init__(self, settings: Settings, jobs: int | None) -> None:
        self._command = python_command(WORKER, str(settings.dir), str(jobs or 0))
        self._stop = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="verifying", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it: its standard input closes, which it takes as the end of the evening."""
        self._stop.set()
        child = self._child
        if child is not None and child.stdin is not None:
            with contextlib.suppress(OSError):
                child.stdin.close()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self._child = subprocess.Popen(self._command, stdin=subprocess.PIPE)
            while self._child.poll() is None and not self._stop.is_set():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._child.wait(0.2)
            if self._stop.is_set():
                break
            log.error("the verifying process ended with status %s; starting another", self._child.returncode)
            self._stop.wait(RESTART_AFTER)
        if self._child is not None:
            if self._child.stdin is not None:
                with contextlib.suppress(OSError):
                    self._child.stdin.close()
            try:
                self._child.wait(WORKER_ENDING)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()


def _announce(settings: Settings, connections: int, say: Callable[[str], None], stop: Any) -> None:
    """Say where everything is, once the server answers."""
    deadline = time.monotonic() + READY_WITHIN
    while not answers(settings):
        if stop.wait(0.05) or time.monotonic() > deadline:
            return
    local = f"http://127.0.0.1:{settings.port}"
    for line in (
        f"{settings.name}",
        f"  phones   {settings.base_url}/",
        f"  stage    {local}/stage",
        f"  console  {settings.console_url}",
        f'           its password is the "console_password" in {settings.dir / "secrets.json"}',
        f"  carries {connections // A_PHONE:,} phones at once ({connections:,} connections)",
        "Ctrl-C ends it; what was confirmed is on the disk.",
    ):
        say(line)


def answers(settings: Settings) -> bool:
    """Whether the server answers polls."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    connection = http.client.HTTPConnection(host, settings.port, timeout=2)
    try:
        connection.request("GET", "/api/state")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
