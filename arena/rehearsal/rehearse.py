"""Rehearses an evening: on an event of its own that it makes and serves, or on a rehearsal event that is served."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from arena.bootstrap import EventContext, make_event, open_event
from arena.demo.children import Children
from arena.demo.serving import start_server
from arena.errors import ArenaError
from arena.rehearsal.connection import Address, Connection, ConnectionLost
from arena.rehearsal.evening import Evening, Plan
from arena.rehearsal.report import Memory, Report
from arena.server.network import raise_descriptor_limit
from arena.services import events, queries
from arena.services.receipts import public_key_of
from arena.services.schemas import EventRules
from arena.settings import Settings, load_settings
from arena.web.routes import EVENT
from trainer.verse import strictjson

FOLDER = Path("submissions")  # on the disk of the real event: a vote is as slow as the disk
READING_SECONDS = 3.0  # before each vote
SPARE = 11  # connections for 10 phones: a double tap has a second one
SAMPLE_SECONDS = 2.0  # between two looks at the memory
WORKER = "arena.worker"  # in the command line of the verification process
WEB = "spawn_main"  # in that of the web process


class RehearsalRefused(ArenaError):
    """A rehearsal that would harm a real event, or cannot be held here."""

    code = "rehearsal"


@dataclass(frozen=True)
class RehearsalOptions:
    """What the options of `arena rehearse` ask for."""

    plan: Plan
    url: str | None = None  # of a rehearsal event that is served; None: make and serve one
    folder: Path | None = None  # of that event
    kill: bool = True  # the verification process, once


@dataclass
class ServerProcesses:
    """The processes of the server that this program started: their memory, and one to kill."""

    pid: int
    memory: dict[str, list[int]] = field(default_factory=lambda: {"web process": [], "verification process": []})
    _stop: threading.Event = field(default_factory=threading.Event)

    def kill_worker(self) -> bool:
        """Kill the verification process; return whether there was one."""
        for child, command in self._children():
            if WORKER in command:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
                    return True
        return False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Look at the memory every few seconds while the block runs."""
        thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def used(self) -> list[Memory]:
        """Return the memory that the processes used."""
        return [Memory(name, one[0], max(one), one[-1]) for name, one in self.memory.items() if one]

    def _watch(self) -> None:
        while True:
            for child, command in self._children():
                name = {WEB in command: "web process", WORKER in command: "verification process"}.get(True)
                if name is not None:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        self.memory[name].append(child.memory_info().rss)
            if self._stop.wait(SAMPLE_SECONDS):
                return

    def _children(self) -> list[tuple[psutil.Process, str]]:
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children():
                with contextlib.suppress(psutil.Error):
                    found.append((child, " ".join(child.cmdline())))
        return found


def rehearse(options: RehearsalOptions, say: Callable[[str], None] = print) -> Report:
    """Rehearse an evening.

    Args:
        options: of the command.
        say: prints a line.

    Returns:
        The report. Where a promise was broken, the event's folder is kept, and named by `say`.

    Raises:
        RehearsalRefused: The event is no rehearsal event, or was used already, or this system opens too few files.
        ArenaError: A part failed; the message says which.
        KeyboardInterrupt: Ctrl-C. The server has ended then.
    """
    check_descriptors(options.plan.phones)
    if options.url is not None:
        return _rehearse_served(options, say)
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="rehearsal-", dir=FOLDER)).absolute()
    kept = False
    try:
        report = _rehearse_own(options, folder, say)
        kept = bool(report.broken)
        return report
    finally:
        if kept:
            say(f"The event of this rehearsal is kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def check_descriptors(phones: int) -> None:
    """Raise the limit of open files, and check that it is high enough for so many phones, here and in the server.

    Raises:
        RehearsalRefused: It is not.
    """
    allowed = raise_descriptor_limit() * 10 // SPARE
    if phones > allowed:
        raise RehearsalRefused(
            f"this system lets one process open so few files that a rehearsal has at most {allowed:,} phones: raise "
            f"the limit of the system (`ulimit -Hn` shows it), or rehearse with --phones {allowed}"
        )


def check_rehearsal_event(event: EventContext, address: Address) -> None:
    """Check that an event is one for rehearsals, that nobody has entered it, and that the address is its server's.

    Raises:
        RehearsalRefused: It is not.
    """
    settings = event.settings
    if not settings.rehearsal:
        raise RehearsalRefused(
            f"{settings.dir} holds a real event, which a rehearsal would use up: make one for rehearsals with "
            "`arena init DIR --rehearsal`"
        )
    view = events.current_event(event.db)
    if view.state != "draft" or queries.list_entries(event.db):
        raise RehearsalRefused(
            f"{settings.dir} was rehearsed already: make a new one with `arena init DIR --rehearsal`"
        )
    if not asyncio.run(_is_answering(settings, address)):
        raise RehearsalRefused(
            f"the server of the event in {settings.dir} does not answer at {address.netloc}: start it with "
            f"`arena serve --dir {settings.dir}`, and name the address that it prints"
        )


async def _is_answering(settings: Settings, address: Address) -> bool:
    """Whether this event's server answers: the key of its receipts tells it from another event's."""
    connection = Connection(address)
    try:
        said = strictjson.parse((await connection.request(EVENT.method, EVENT.path)).content)
    except (ConnectionLost, ValueError):
        return False
    finally:
        connection.cut()
        await asyncio.sleep(0)  # in which it is closed
    return isinstance(said, dict) and said.get("receipt_key") == public_key_of(settings.receipt_key)


def _rehearse_served(options: RehearsalOptions, say: Callable[[str], None]) -> Report:
    if options.folder is None:
        raise RehearsalRefused("--to needs the folder of the rehearsal event: name it with --dir")
    try:
        address = Address.parse(options.url or "")
    except ValueError as error:
        raise RehearsalRefused(str(error)) from None
    event = open_event(load_settings(options.folder))
    try:
        check_rehearsal_event(event, address)
        say("Nobody is killed, since this program did not start the server.")
        return _play(event, address, options.plan, None, say)
    finally:
        event.close()


def _rehearse_own(options: RehearsalOptions, folder: Path, say: Callable[[str], None]) -> Report:
    rules = EventRules(reading_seconds=READING_SECONDS, max_entries=max(EventRules.max_entries, options.plan.entries))
    made = make_event(folder / "event", name="A rehearsal", rules=rules, port=0, rehearsal=True, now=time.time())
    children = Children()
    with _ended_by_signals():
        try:
            child, settings = start_server(made, None, children)
            say(f"A rehearsal event is served at {settings.local_url}")
            event = open_event(settings)
            try:
                processes = ServerProcesses(child.pid)
                with processes.watched():
                    address = Address.parse(settings.local_url)
                    return _play(event, address, options.plan, processes if options.kill else None, say, processes)
            finally:
                event.close()
        finally:
            children.end()


def _play(
    event: EventContext,
    address: Address,
    plan: Plan,
    victim: ServerProcesses | None,
    say: Callable[[str], None],
    processes: ServerProcesses | None = None,
) -> Report:
    evening = Evening(event, address, plan, say, victim.kill_worker if victim else None)
    comparison = asyncio.run(evening.play())
    return Report(
        phones=plan.phones,
        matches=evening.matches,
        seconds=evening.measurements.now(),
        measurements=evening.measurements,
        comparison=comparison,
        memory=processes.used() if processes else [],
    )


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this program as Ctrl-C does, so that the server ends with it."""
    before = {}
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and threading.current_thread() is threading.main_thread():
            number = getattr(signal, name)
            before[number] = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
