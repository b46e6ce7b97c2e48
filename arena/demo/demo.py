"""Runs a whole event: trains two checkpoints, submits eight verses, verifies them, draws the bracket, and serves it.

It uses what people use: the `trainer` command, the server, its pages and its API. Only the voters are simulated.
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

from arena.bootstrap import Database, make_event, open_event
from arena.demo.simulated_voters import SimulatedVoter
from arena.errors import ArenaError
from arena.processes import end_with_parent, python_command
from arena.rules.lifecycle import UNDECIDED
from arena.server.network import PortTaken, with_address
from arena.server.server import is_answering, serve
from arena.services import bracket, events, queries
from arena.services.log import verify_log
from arena.settings import Settings, load_settings
from arena.verification.runner import available_cores
from trainer.verse.bundle import read_claim
from trainer.verse.identity import new_secret
from trainer.verse.text import sanitize

TRAINER = "trainer.cli:main"
SERVER = "arena.demo.demo:serve_as_child"
SUBMISSIONS = Path("submissions")
READY_SECONDS = 60.0  # until the server answers
VERDICT_SECONDS = 300.0  # until eight small verses have verdicts, on a slow machine
POLL_SECONDS = 0.1
STOP_SECONDS = 10.0  # that a child may take to end
N_VOTERS = 6  # an even number: ties happen, so the second vote and the draw are seen
FIRST_LINE_CHARACTERS = 60  # shown of a verse
MAX_SEEDS = 6  # per author: a model trained for a minute sometimes writes no verse
SEED_STEP = 100  # between two seeds of one author; more than the number of authors
CANNOT_SUBMIT = 3  # exit status of `trainer submit` where another seed may succeed


@dataclass(frozen=True)
class Author:
    """One participant of the demo and the recipe of the verse."""

    name: str
    checkpoint: str
    prompt: str  # one that ends with a line feed lets the verse begin with a line of its own
    temperature: str
    seed: int


ARCHITECTURES = {"first": "modern", "second": "gpt2"}  # by checkpoint
AUTHORS = (
    Author("Aurora", "first", "THE MOON:\n", "0.8", 1),
    Author("Bram", "first", "LOVE:\n", "0.6", 2),
    Author("Chandra", "first", "", "0.9", 3),
    Author("Dilys", "first", "THE SEA:\n", "0.7", 4),
    Author("Emeka", "second", "THE MOON:\n", "0.8", 5),
    Author("Freya", "second", "A HEART:\n", "0.6", 6),
    Author("Goro", "second", "", "0.9", 7),
    Author("Hana", "second", "NIGHT:\n", "0.7", 8),
)


class DemoError(ArenaError):
    """A part of the demo that failed."""

    code = "demo"


def run_demo(
    folder: Path | None,
    *,
    minutes: float,
    headless: bool = False,
    steps: int | None = None,
    lan: str | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Run the demo.

    Args:
        folder: a new or empty folder for the event; None: a new one in `SUBMISSIONS`.
        minutes: of training, for both checkpoints together.
        headless: vote until there is a champion and end, instead of serving until Ctrl-C.
        steps: of each training run, instead of minutes.
        lan: as in `with_address`.
        say: prints a line.

    Raises:
        ArenaError: A part failed; the message says which.
        KeyboardInterrupt: Ctrl-C before the event is served. Every child has ended then.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM ends the children, too
    folder = _new_folder() if folder is None else folder.absolute()
    draw_word = new_secret()
    settings = make_event(folder, name="A demonstration", draw_word=draw_word, now=time.time())
    say(f"The demonstration is in {folder}")
    for number, (checkpoint, arch) in enumerate(ARCHITECTURES.items(), start=1):
        length = ["--steps", str(steps)] if steps else ["--minutes", f"{minutes / len(ARCHITECTURES):.4g}"]
        options = ["--arch", arch, "--preset", "tiny", "--seed", str(number)]
        options += ["--out", str(folder / "runs" / checkpoint)]
        say(f"Training checkpoint {number} of {len(ARCHITECTURES)} ({arch})")
        _run(python_command(TRAINER, "train", *length, *options), f"training {checkpoint}")
    settings = _with_port(settings, lan)
    with contextlib.closing(open_event(settings)) as event, _serving(settings, lan) as server:
        events.open_submissions(event.db, now=time.time())
        _submit_all(folder, settings.local_url, say)
        _wait_for_verdicts(event.db, say)
        events.close_submissions(event.db, now=time.time())
        bracket.draw_bracket(event.db, now=time.time())
        say("The bracket is drawn.")
        say(f"  phones   {settings.base_url}/")
        say(f"  stage    {settings.local_url}/stage")
        say(f"  console  {settings.console_url}")
        if headless:
            _vote_to_the_end(event.db, settings.local_url, random.Random(1), say)
        else:
            say(f'           its password is "console_password" in {folder / "secrets.json"}')
            say("Open the matches in the console, and vote on the page for phones. Ctrl-C ends it.")
            with contextlib.suppress(KeyboardInterrupt):
                server.wait()
                raise DemoError("the server ended: its messages are above")


def serve_as_child() -> None:
    """Serve as the demo's child, until standard input ends. Arguments: folder, port, address in the LAN or ""."""
    end_with_parent(lambda: os.kill(os.getpid(), signal.SIGTERM), seconds=STOP_SECONDS)
    settings = load_settings(Path(sys.argv[1]))
    serve(with_address(settings, port=int(sys.argv[2]), lan=sys.argv[3] or None), say=lambda line: None)


@contextlib.contextmanager
def _serving(settings: Settings, lan: str | None) -> Iterator[subprocess.Popen[bytes]]:
    """Start the server as a child process, and stop it at the end of the block."""
    child = subprocess.Popen(
        python_command(SERVER, str(settings.dir), str(settings.port), lan or ""), stdin=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not is_answering(settings):
            if child.poll() is not None or time.monotonic() > deadline:
                raise DemoError("the server did not start: its messages are above")
            time.sleep(POLL_SECONDS)
        yield child
    finally:
        _stop(child)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Stop a child: close its input, then terminate it, then kill it."""
    with contextlib.suppress(OSError):
        if child.stdin is not None:
            child.stdin.close()
    for next_step in (child.terminate, child.kill):
        try:
            child.wait(STOP_SECONDS)
            return
        except subprocess.TimeoutExpired:
            next_step()
    child.wait()


def _run(command: list[str], task: str) -> None:
    """Run a command whose output people see.

    Raises:
        DemoError: It failed.
    """
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        status = child.wait()
    except BaseException:
        child.terminate()
        _stop(child)
        raise
    if status:
        raise DemoError(f"{task} ended with status {status}: its messages are above")


def _new_folder() -> Path:
    number = 1
    while (SUBMISSIONS / f"demo-{number}").exists():
        number += 1
    return (SUBMISSIONS / f"demo-{number}").absolute()


def _with_port(settings: Settings, lan: str | None) -> Settings:
    """Take the usual port, or a free one where another program has it."""
    try:
        return with_address(settings, lan=lan)
    except PortTaken:
        return with_address(settings, lan=lan, port=0)


def _submit_all(folder: Path, url: str, say: Callable[[str], None]) -> None:
    """Submit the verses of all authors, several at the same time, each with a secret of its own."""
    for name in ("tickets", "verses"):
        (folder / name).mkdir(mode=0o700)
    pool = ThreadPoolExecutor(min(len(AUTHORS), available_cores()))
    try:
        for author, line in zip(AUTHORS, pool.map(lambda author: _submit(folder, url, author), AUTHORS), strict=True):
            say(f"{author.name} has entered: {sanitize(line[:FIRST_LINE_CHARACTERS])}")
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C or a failure, the other authors need not submit


def _submit(folder: Path, url: str, author: Author) -> str:
    """Submit one author's verse, with the first seed that gives one.

    Returns:
        The first line of the verse.

    Raises:
        DemoError: No seed gives a verse, or the server refuses it.
    """
    ticket = folder / "tickets" / author.name
    with os.fdopen(os.open(ticket, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(new_secret())
    bundle = folder / "verses" / f"{author.name}.verse"
    options = {
        "--ckpt": str(folder / "runs" / author.checkpoint),
        "--prompt": author.prompt,
        "--temperature": author.temperature,
        "--out": str(bundle),
        "--to": url,
        "--name": author.name,
        "--ticket-file": str(ticket),
    }
    words = [word for option in options.items() for word in option]
    message = ""
    for seed in range(author.seed, author.seed + SEED_STEP * MAX_SEEDS, SEED_STEP):
        command = python_command(TRAINER, "submit", *words, "--seed", str(seed), "--no-wait")
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8")
        if done.returncode == 0:
            return next(line for line in read_claim(bundle).text.splitlines() if line.strip())
        message = (done.stderr.strip().splitlines() or ["no message"])[-1]
        if done.returncode != CANNOT_SUBMIT:
            break
    raise DemoError(f"{author.name} could not submit a verse: {message}")


def _wait_for_verdicts(db: Database, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + VERDICT_SECONDS
    while pending := sum(entry.state in UNDECIDED for entry in queries.list_entries(db)):
        if time.monotonic() > deadline:
            raise DemoError(f"{pending} verses had no verdict after {VERDICT_SECONDS:g} seconds")
        time.sleep(POLL_SECONDS)
    entries = queries.list_entries(db)
    others = [entry for entry in entries if entry.state != "verified"]
    say(f"{len(entries) - len(others)} of {len(entries)} verses are verified: the server wrote each of them again.")
    for entry in others:
        say(f"{sanitize(entry.name)}: {entry.state}, {sanitize(entry.reason)}")


def _vote_to_the_end(db: Database, url: str, rng: random.Random, say: Callable[[str], None]) -> None:
    """Open match after match, let the simulated voters vote, and print the champion."""
    voters = [SimulatedVoter(url) for _ in range(N_VOTERS)]
    while match := queries.get_next_match(db):
        opened = bracket.open_match(db, match.id, seconds=0, now=time.time())
        poll_round = opened.poll_round
        while True:
            for voter in voters:
                voter.vote(match.id, poll_round, rng.choice)
            result = bracket.close_match(db, match.id, poll_round=poll_round, now=time.time())
            if result.state == "closed":
                break
            poll_round = result.poll_round
        counts = ", then ".join(f"{upper}:{lower}" for upper, lower in result.tallies)
        say(f"{match.title}: {counts}, decided by {result.decided_by}")
    results = queries.results_view(db, now=time.time())
    champion = results.champion
    if champion is None or results.event.state != "champion":
        raise DemoError(f"no match is ready, and there is no champion: the event is {results.event.state!r}")
    name, text = champion.name or "", champion.text or ""
    if name not in voters[0].get("/results"):
        raise DemoError("the results page does not name the champion")
    records = verify_log(db)
    say(f"\nThe champion, by {sanitize(name)}:\n")
    for line in text.split("\n"):
        say(f"    {sanitize(line)}")
    say(f"\nThe log's {records} records are whole. The event is {sanitize(results.event.name)!r}.")
