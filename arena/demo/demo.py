"""A whole evening from nothing: trains, submits, verifies, draws and serves; headless, it also plays to a champion.

Everything is what people use: the `trainer` command, the server, its pages and its API. Only the voters are simulated.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.cli.event import make_event, open_folder
from arena.cli.text import visible
from arena.demo.simulated_voters import Phone, a_coin
from arena.errors import ArenaError
from arena.processes import end_with_parent, python_command
from arena.server.server import PortTaken, answers, serve, with_address
from arena.services import bracket, events, identity, queries
from arena.services.log import verify_chain
from arena.settings import Settings, load_settings
from arena.verification.runner import available_cores
from trainer.verse.bundle import read_claim

TRAINER = "trainer.cli:main"
SERVER = "arena.demo.demo:serve_as_child"
SUBMISSIONS = Path("submissions")
READY_WITHIN = 60.0  # seconds until the server answers
VERDICTS_WITHIN = 300.0  # seconds for eight small verses, on a slow machine
LOOK_EVERY = 0.1  # seconds
ENDING = 10.0  # seconds a child may take to end
VOTERS = 6  # an even number: ties happen, and the second vote and the lot are seen
SHOWN = 60  # characters of a first line
TRIES = 6  # seeds for a verse before we give up: a young model sometimes writes what is no verse


@dataclass(frozen=True)
class Poet:
    """One who enters the demo."""

    name: str
    run: str  # the checkpoint
    prompt: str
    temperature: str
    seed: int


RUNS = {"first": "modern", "second": "gpt2"}  # checkpoints and their architectures
# A prompt that ends a line lets the verse begin with one: the room sees the verse alone.
POETS = (
    Poet("Aurora", "first", "THE MOON:\n", "0.8", 1),
    Poet("Bram", "first", "LOVE:\n", "0.6", 2),
    Poet("Chandra", "first", "", "0.9", 3),
    Poet("Dilys", "first", "THE SEA:\n", "0.7", 4),
    Poet("Emeka", "second", "THE MOON:\n", "0.8", 5),
    Poet("Freya", "second", "A HEART:\n", "0.6", 6),
    Poet("Goro", "second", "", "0.9", 7),
    Poet("Hana", "second", "NIGHT:\n", "0.7", 8),
)


class DemoError(ArenaError):
    """A part of the demo that did not work."""

    code, status = "demo", 500


def play(
    folder: Path | None,
    minutes: float,
    headless: bool,
    steps: int | None = None,
    lan: str | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Play the evening.

    Args:
        folder: where to; new or empty. None: a fresh one in `SUBMISSIONS`.
        minutes: of training, for both checkpoints together.
        headless: play on to the champion and end, instead of serving until Ctrl-C.
        steps: of each training, instead of minutes.
        lan: see `with_address`.
        say: prints a line.

    Raises:
        ArenaError: some part did not work; the message says which.
        KeyboardInterrupt: Ctrl-C before it is served; every child has ended then.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, it ends its children, too
    folder = _fresh_folder() if folder is None else folder.absolute()
    settings = make_event(folder, "A demonstration", None, {"port": 8000})
    say(f"The demonstration is in {folder}")
    for number, (run, arch) in enumerate(RUNS.items()):
        length = ["--steps", str(steps)] if steps else ["--minutes", f"{minutes / len(RUNS):.4g}"]
        options = ["--arch", arch, "--preset", "tiny", "--seed", str(number + 1), "--out", str(folder / "runs" / run)]
        say(f"Training checkpoint {number + 1} of {len(RUNS)} ({arch})")
        _run(python_command(TRAINER, "train", *length, *options), f"training {run}")
    settings = _with_port(settings, lan)
    event = open_folder(folder)
    with _serving(settings, lan) as child:
        events.open_submissions(event.db, now=time.time())
        _enter_all(folder, f"http://127.0.0.1:{settings.port}", say)
        _wait_for_verdicts(event.db, say)
        events.close_submissions(event.db, now=time.time())
        bracket.draw_bracket(event.db, now=time.time())
        say("The bracket is drawn.")
        for line in (
            f"  phones   {settings.base_url}/",
            f"  stage    http://127.0.0.1:{settings.port}/stage",
            f"  console  {settings.console_url}",
        ):
            say(line)
        if headless:
            _play_on(event.db, f"http://127.0.0.1:{settings.port}", random.Random(1), say)
        else:
            say(f'           its password is the "console_password" in {folder / "secrets.json"}')
            say("Open the matches from the console, vote from the phones' page. Ctrl-C ends it.")
            with contextlib.suppress(KeyboardInterrupt):
                child.wait()
                raise DemoError("the server has ended: what it said is above")


def serve_as_child() -> None:
    """Serve as the demo's child process. Arguments: folder, port, address in the local network or ""."""
    end_with_parent(lambda: os.kill(os.getpid(), signal.SIGTERM), seconds=ENDING)
    settings = load_settings(Path(sys.argv[1]))
    serve(with_address(settings, port=int(sys.argv[2]), lan=sys.argv[3] or None), say=lambda line: None)


@contextlib.contextmanager
def _serving(settings: Settings, lan: str | None) -> Iterator[subprocess.Popen[bytes]]:
    """The server within, as a process of its own."""
    command = python_command(SERVER, str(settings.dir), str(settings.port), lan or "")
    child = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        deadline = time.monotonic() + READY_WITHIN
        while not answers(settings):
            if child.poll() is not None or time.monotonic() > deadline:
                raise DemoError("the server did not start: what it said is above")
            time.sleep(LOOK_EVERY)
        yield child
    finally:
        _end(child)


def _end(child: subprocess.Popen[Any]) -> None:
    """End a child: its input closes, then it is asked to, then told to."""
    with contextlib.suppress(OSError):
        if child.stdin is not None:
            child.stdin.close()
    try:
        child.wait(ENDING)
    except subprocess.TimeoutExpired:
        child.terminate()
        try:
            child.wait(ENDING)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _run(command: list[str], what: str) -> None:
    """Run a command that people see."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        status = child.wait()
    except BaseException:
        child.terminate()
        _end(child)
        raise
    if status:
        raise DemoError(f"{what} ended with status {status}: what it said is above")


def _fresh_folder() -> Path:
    number = 1
    while (SUBMISSIONS / f"demo-{number}").exists():
        number += 1
    return (SUBMISSIONS / f"demo-{number}").absolute()


def _with_port(settings: Settings, lan: str | None) -> Settings:
    """The usual port, or any that is free."""
    try:
        return with_address(settings, lan=lan)
    except PortTaken:
        return with_address(settings, lan=lan, port=0)


def _enter_all(folder: Path, url: str, say: Callable[[str], None]) -> None:
    """Every poet submits, several at once, each as an owner of its own."""
    for name in ("tickets", "verses"):
        (folder / name).mkdir(mode=0o700)
    pool = ThreadPoolExecutor(min(len(POETS), available_cores()))
    try:
        for poet, verse in zip(POETS, pool.map(lambda poet: _enter(folder, url, poet), POETS), strict=True):
            say(f"{poet.name} has entered: {visible(verse[:SHOWN])}")
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C, or one who could not: the others need not


def _enter(folder: Path, url: str, poet: Poet) -> str:
    """One poet submits; the first line of the verse."""
    ticket = folder / "tickets" / poet.name
    with os.fdopen(os.open(ticket, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(identity.new_secret())
    bundle = folder / "verses" / f"{poet.name}.verse"
    said = ""
    for seed in range(poet.seed, poet.seed + 100 * TRIES, 100):
        recipe = ["--prompt", poet.prompt, "--temperature", poet.temperature, "--seed", str(seed), "--out", str(bundle)]
        to = ["--to", url, "--name", poet.name, "--ticket-file", str(ticket), "--no-wait"]
        command = python_command(TRAINER, "submit", "--ckpt", str(folder / "runs" / poet.run), *recipe, *to)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8")
        if done.returncode == 0:
            return next(line for line in read_claim(bundle).text.splitlines() if line.strip())
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if "Nothing was written" not in said:  # the words of `trainer submit` for a seed that writes no verse
            break
    raise DemoError(f"{poet.name} could not submit a verse: {said}")


def _wait_for_verdicts(db: Any, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + VERDICTS_WITHIN
    while (view := queries.console_view(db, now=time.time())).pending:
        if time.monotonic() > deadline:
            raise DemoError(f"{view.pending} verses had no verdict after {VERDICTS_WITHIN:g} seconds")
        time.sleep(LOOK_EVERY)
    say(f"{view.counts['verified']} of {len(view.entries)} verses are verified, each written again by the server.")
    for entry in view.entries:
        if entry.state != "verified":
            say(f"{visible(entry.name)}: {entry.state}, {visible(entry.reason)}")


def _play_on(db: Any, url: str, rng: random.Random, say: Callable[[str], None]) -> None:
    """Open match after match, let the room vote, and show the champion."""
    phones = [Phone(url) for _ in range(VOTERS)]
    while (view := queries.console_view(db, now=time.time())).champion is None:
        if view.next is None:
            raise DemoError(f"no match is ready, and there is no champion: the event is {view.event.state!r}")
        match = bracket.open_match(db, view.next.id, seconds=0, now=time.time())
        number = match.poll_round
        while True:
            for phone in phones:
                phone.vote(match.id, number, a_coin(rng))
            result = bracket.close_match(db, match.id, poll_round=number, now=time.time())
            if result.state == "closed":
                break
            number = result.poll_round
        counts = ", then ".join(f"{upper}:{lower}" for upper, lower in result.tallies)
        say(f"{match.title}: {counts}, decided by {result.decided_by}")
    page = phones[0].get("/results")
    text = view.champion.text or ""
    if view.event.state != "champion" or (view.champion.name or "") not in page:
        raise DemoError("the results page does not know the champion")
    records = verify_chain(db)
    say(f"\nThe champion, by {visible(view.champion.name or '')}:\n")
    for line in text.split("\n"):
        say(f"    {visible(line)}")
    say(f"\nThe log's {records} records are whole. The event is {visible(view.event.name)!r}.")
