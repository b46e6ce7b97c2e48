"""Serves an event: takes the lock, starts the web process and the verification process, and ends both with itself.

    main process          holds the lock, watches the other two and restarts them when they die; does no work of its own
    web process           granian, started by the main process: the gateway, Flask, the snapshot, the console
    verification process  `arena.worker`: checks bundles, each in a child process; closes what is due

Both end at once when the main process dies, whatever killed it: the web process watches the pipe that multiprocessing
keeps to its parent, the verification process its standard input.
"""

from __future__ import annotations

import http.client
import math
import multiprocessing
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from arena import logs
from arena.addresses import list_addresses
from arena.processes import end_with_parent
from arena.server.lock import EventLock
from arena.server.network import MAX_HEAD_BYTES, hold_port, raise_descriptor_limit
from arena.server.supervisor import Supervisor
from arena.settings import Settings, SettingsError
from trainer.verse import strictjson

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from arena.server.streams import Streams

BACKLOG = 4_096  # connections that wait in the system while many phones arrive at once; most systems allow fewer
CONNECTIONS_PER_PHONE = 2  # one that listens for changes, and one more while a page is fetched
STREAMS_SHARE = 0.75  # of all connections may listen; the rest is for requests
HEAD_MS = 10_000  # a request's head, or silence between two requests; phones ask every 4 seconds
STOP_SECONDS = 4  # that the web process may take to end
READY_SECONDS = 30.0  # until the server is said to start slowly
ANSWER_SECONDS = 5.0  # that it may take for one answer
MAX_ANSWER_BYTES = 65_536  # of it; the description of an event has some 500


def serve(
    settings: Settings,
    *,
    jobs: int | None = None,
    console_remote: bool = False,
    standby: Path | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the event until Ctrl-C.

    Args:
        settings: the event's, with an address from `network.with_address`.
        jobs: bundles checked at once; None: the number of cores, less one.
        console_remote: let the console answer through a proxy with TLS.
        standby: a folder in which a backup is kept up to date; None: none.
        say: prints a line.

    Raises:
        EventHeld: Another process serves the event.
        PortTaken: Another program listens on the port.
        SettingsError: The console is to answer through a proxy without TLS.
        NoEvent: The database holds no event.
        DatabaseTooNew: A later version wrote the database.
        DatabaseUnusable: The database cannot be opened.
    """
    from arena.bootstrap import open_event
    from arena.server.standby import Standby
    from arena.services.events import current_event, start_address
    from arena.services.rounds import pause_unserved
    from arena.services.timing import start_clock
    from arena.services.uploads import clear_leftovers
    from arena.web.theme import theme_assets

    logs.configure()
    if console_remote and not settings.public_url.startswith("https:"):
        raise SettingsError("--console-remote needs an address with TLS: name it with --public-url https://...")
    theme_assets(settings)  # an error before anything is begun
    with (
        EventLock(settings.lock, settings.base_url),
        hold_port(settings.host, settings.port),
        hold_port(settings.console_host, settings.console_port),
    ):
        event = open_event(settings)
        settings = replace(settings, name=current_event(event.db).name)  # as it is called now
        if not settings.has_many_hosts:  # otherwise another host may have served meanwhile
            restarted = event.clock.is_of_earlier_start
            start_clock(event.db, event.clock)
            for match in pause_unserved(event.db, restarted=restarted, now=event.clock()):
                say(f"{match.title} stands still, since the server was away while it was open.")
                say("Let it go on at the console, or with `arena match resume`.")
        if settings.public_url or not settings.has_many_hosts:  # a host behind a proxy has no address to show
            start_address(event.db, settings.base_url)
        clear_leftovers(event.db, event.bundles, event.spool)
        for path in settings.incoming.glob("form-*"):  # copies of forms that a crash left behind
            path.unlink(missing_ok=True)
        connections = raise_descriptor_limit()
        supervisor = Supervisor(settings, jobs)
        stopping, stop = multiprocessing.get_context("spawn").Pipe(duplex=False)
        web = web_server(settings.host, settings.port, connections, on_stop=stop.close)
        threading.Thread(
            target=_announce, args=(settings, connections, say, web.main_loop_interrupt), daemon=True
        ).start()
        keeper = Standby(event, standby, event.clock) if standby else None
        if keeper:
            keeper.start()
        supervisor.start()
        try:
            web.serve(target_loader=partial(load_gateway, settings, console_remote, stopping), wrap_loader=False)
        finally:
            supervisor.stop()
            if keeper:
                keeper.stop()


def load_gateway(settings: Settings, console_remote: bool = False, stopping: Connection | None = None) -> Any:
    """Make the application of the web process, inside that process.

    Args:
        settings: the event's.
        console_remote: let the console answer through a proxy with TLS.
        stopping: closed at its other end when the server is about to stop; None: nobody says so.
    """
    from arena.bootstrap import open_event
    from arena.server.console import ConsoleListener
    from arena.server.gateway import CONSOLE_EXECUTORS, Gateway
    from arena.server.health import Health
    from arena.server.metrics import Metrics
    from arena.server.snapshot import DatabaseSource, SnapshotKeeper
    from arena.server.streams import Streams
    from arena.web.admission import ConsoleAdmission, PublicAdmission
    from arena.web.app import create_app, create_console
    from arena.web.cookies import ConsoleSessions
    from arena.web.pushed import PushedPages
    from arena.web.translation import SOURCE

    end_with_main_process()
    event = open_event(settings)
    keeper = SnapshotKeeper(partial(DatabaseSource, event.db), event.clock)
    health = Health(keeper, settings.heartbeat)
    metrics = Metrics(keeper, health)
    sessions = ConsoleSessions(settings)
    app = create_app(event, snapshot=keeper.snapshot)
    places = int(STREAMS_SHARE * raise_descriptor_limit())
    streams = Streams(PushedPages(app, settings, event.clock), places)
    if stopping is not None:
        threading.Thread(target=_end_streams, args=(stopping, streams), daemon=True).start()
    console = Gateway(
        create_console(
            event,
            sessions=sessions,
            remote=console_remote,
            metrics=metrics.render,
            warning=health.worker_problem,
            phones=lambda: streams.phones,
        ),
        keeper,
        settings.incoming,
        ConsoleAdmission(sessions),
        CONSOLE_EXECUTORS,
        metrics=metrics,
        streams=streams,
        language=SOURCE,
        is_console=True,
        root=settings.path if console_remote else "",
    )
    return Gateway(
        app,
        keeper,
        settings.incoming,
        PublicAdmission(event, keeper.snapshot, event.clock),
        companion=ConsoleListener(console, settings.console_host, settings.console_port),
        health=health,
        metrics=metrics,
        streams=streams,
        language=settings.language,
        root=settings.path,
    )


def _end_streams(stopping: Connection, streams: Streams) -> None:
    """End the connections that listen when the server stops, which waits for every connection."""
    stopping.poll(None)  # until the other end is closed
    streams.request_stop()


def end_with_main_process() -> None:
    """End this process, which multiprocessing started, when its parent ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        end_with_parent(sentinel=parent.sentinel)


def web_server(host: str, port: int, connections: int, on_stop: Callable[[], None] = lambda: None) -> Any:
    """Return a granian server with our settings; its `serve` calls a loader in a process of its own.

    Args:
        host: the address to listen on.
        port: the port to listen on.
        connections: at once.
        on_stop: called when the server is told to stop.
    """
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    multiprocessing.set_start_method("spawn", force=True)  # a forked child would hold what this process holds

    class Web(Granian):  # type: ignore[misc, valid-type]
        """Granian that ends when its terminal closes, and that restarts its process as often as needed."""

        def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
            """End, and say so before."""
            on_stop()
            super().signal_handler_interrupt(*args, **kwargs)

        def signal_handler_reload(self, *args: Any, **kwargs: Any) -> None:
            """End on SIGHUP, where granian would reload."""
            self.signal_handler_interrupt()

        def _respawn_workers(self, *args: Any, **kwargs: Any) -> None:
            """Restart processes, and forget when: granian would end if one dies within seconds of its start."""
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
        http1_settings=HTTP1Settings(header_read_timeout=HEAD_MS, max_buffer_size=MAX_HEAD_BYTES),
        websockets=False,
        backlog=BACKLOG,
        backpressure=connections,  # granian counts connections, not requests: at the limit the rest wait in the backlog
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
        log_level=LogLevels.warning,
        log_dictconfig=logs.config(),
    )


def _announce(settings: Settings, connections: int, say: Callable[[str], None], stop: Any) -> None:
    """Print the addresses as soon as the server answers."""
    from arena.verification import runner
    from arena.web.theme import logo_warning

    late = time.monotonic() + READY_SECONDS
    while not is_answering(settings):
        if stop.wait(0.05):
            return
        if time.monotonic() > late:
            say("the server does not answer yet: this computer is busy, or something is wrong; see the messages above")
            late = math.inf
    local = settings.local_url
    kept = runner.unenforced_rights()
    for line in (
        f"{settings.name}",
        f"  phones   {settings.base_url}/",
        f"  stage    {local}/stage",
        f"  console  {settings.console_url}",
        f'           its password is the "console_password" in {settings.dir / "secrets.json"}',
        *_others(settings),
        *(
            ["           only this machine reaches them: for phones in the room, start with --lan"]
            if settings.is_local
            else []
        ),
        f"  carries {connections // CONNECTIONS_PER_PHONE:,} phones at once ({connections:,} connections)",
        *(f"  warning: a check keeps its access to {right}: this system cannot take it away" for right in kept),
        *filter(None, [logo_warning(settings)]),
        "Ctrl-C ends it; everything that was confirmed is saved.",
    ):
        say(line)


def _others(settings: Settings) -> list[str]:
    """Name the other addresses of this computer, where phones may reach it by several."""
    shown = urlsplit(settings.base_url).hostname
    others = [one for one in list_addresses() if one.address != shown]
    if settings.is_local or not others or settings.host not in ("0.0.0.0", "::"):
        return []
    names = ", ".join(f"{one.address} ({one.kind}, {one.interface})" for one in others)
    return [f"           other addresses of this computer: {names}; to change: `arena event address ADDRESS`"]


def is_answering(settings: Settings) -> bool:
    """Return whether this event's server answers: the key of its receipts tells it from another event's."""
    from arena.services.receipts import public_key_of
    from arena.web.routes import EVENT

    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    connection = http.client.HTTPConnection(host, settings.port, timeout=ANSWER_SECONDS)
    try:
        connection.request(EVENT.method, settings.path + EVENT.path)
        answer = strictjson.parse(connection.getresponse().read(MAX_ANSWER_BYTES))
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return isinstance(answer, dict) and answer.get("receipt_key") == public_key_of(settings.receipt_key)
