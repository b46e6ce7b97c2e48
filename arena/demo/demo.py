"""Runs a whole event: trains a model, submits eight verses of it, verifies them, draws the bracket, and serves it.

It uses what people use: the `trainer` command, the server, its pages and its API. Only the people are simulated.
"""

from __future__ import annotations

import contextlib
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.audit.check import Known, audit_file
from arena.bootstrap import Database, EventContext, make_event, open_event
from arena.demo.browser import can_open_pages, open_pages
from arena.demo.children import Children, DemoError
from arena.demo.entering import (
    FOLIO_VERSES_PER_POET,
    VERSES_PER_POET,
    find_folio_model,
    hold_auditions,
    make_tickets,
    submit_all,
    train_models,
)
from arena.demo.poets import POETS, known_share
from arena.demo.serving import SERVER_LOG, start_server
from arena.demo.simulated_voters import SimulatedVoter
from arena.rules.lifecycle import UNDECIDED
from arena.services import bracket, drawing, events, publishing, queries
from arena.services.export import export_event
from arena.services.log import verify_log
from arena.services.schemas import READING_SECONDS, EventRules
from arena.settings import SETTINGS_FILE, Settings
from arena.verification.runner import available_cores
from trainer.verse.text import sanitize

EXPORT_FILE = "event.zip"  # in the event folder
SUBMISSIONS = Path("submissions")
VERDICT_SECONDS = 300.0  # until eight small verses have verdicts, on a slow machine
POLL_SECONDS = 0.1
RACE_SECONDS = 10.0  # that the training waits for the server, whose race shows it
N_VOTERS = 6  # an even number: ties happen, so the second vote and the draw are seen


@dataclass(frozen=True)
class DemoOptions:
    """What the options of `arena demo` ask for."""

    folder: Path | None = None  # a new or empty folder for the event; None: a new one in `SUBMISSIONS`
    minutes: float = 1.0  # of training and audition
    steps: int | None = None  # of training, instead of minutes
    train: bool = True  # False: use the model that comes along
    headless: bool = False  # vote until there is a champion and end, instead of serving until Ctrl-C
    open_pages: bool = True  # in a browser, where there is one
    lan: str | None = None  # as in `with_address`


def run_demo(options: DemoOptions, say: Callable[[str], None] = print) -> None:
    """Run the demo.

    Args:
        options: of the command.
        say: prints a line.

    Raises:
        ArenaError: A part failed; the message says which.
        KeyboardInterrupt: Ctrl-C before the event is served. Every child has ended then.
    """
    for name in ("SIGTERM", "SIGHUP"):  # they end the children, too
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    folder = new_folder(options.folder)
    children = Children()
    pool = ThreadPoolExecutor(max(3, available_cores()))  # the server starts beside two auditions
    try:
        _run_event(options, folder, children, pool, say)
    except KeyboardInterrupt:
        say(f"\nStopped. What was made until now is in {folder}")
        raise
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # a second Ctrl-C must not leave a child behind
            signal.signal(number, signal.SIG_IGN)
        pool.shutdown(wait=False, cancel_futures=True)
        children.end()


def _run_event(
    options: DemoOptions, folder: Path, children: Children, pool: ThreadPoolExecutor, say: Callable[[str], None]
) -> None:
    """Run the event from its creation to its end.

    Args:
        options: of the command.
        folder: a new folder.
        children: starts every child process.
        pool: runs what can be done at the same time.
        say: prints a line.

    Raises:
        ArenaError: A part failed; the message says which.
    """
    rules = EventRules(reading_seconds=0 if options.headless else READING_SECONDS)
    settings = make_event(folder, name="A demonstration", rules=rules, now=time.time())
    say(f"The demonstration is in {folder}")
    make_tickets(folder)
    serving = pool.submit(start_server, settings, options.lan, children)
    with contextlib.closing(open_event(settings)) as event:
        events.open_submissions(event.db, now=event.clock())
        shows_pages = options.open_pages and not options.headless and can_open_pages(sys.stdout)
        address = None
        if options.train:
            began = time.monotonic()
            address = _address_within(serving, RACE_SECONDS)
            if address is not None:
                say(f"The stage shows the race of the training: {address}/stage")
                if shows_pages:
                    open_pages([f"{address}/stage"])
            waited = (time.monotonic() - began) / 60
            models = train_models(folder, options.minutes, options.steps, children, say, address, waited)
            verses_per_poet = VERSES_PER_POET
        else:
            models, verses_per_poet = [find_folio_model()], FOLIO_VERSES_PER_POET
        say(f"{len(POETS)} poets each choose one of {verses_per_poet} verses that the model writes for them.")
        chosen = hold_auditions(models, verses_per_poet, children, pool)
        server, settings = serving.result()
        submit_all(folder, settings.local_url, chosen, children, pool, say)
        _wait_for_verdicts(event.db, say)
        verses = list(chosen.values())
        say(f"Of their {sum(verse.words for verse in verses)} words, {known_share(verses):.0%} are in the corpus.")
        events.close_submissions(event.db, now=event.clock())
        drawing.draw_bracket(event.db, word="demonstration", now=event.clock())
        say("The bracket is drawn.")
        if options.headless:
            _vote_to_the_end(event, settings.local_url, random.Random(1), say)
            _publish_and_audit(event, folder, say)
            return
        first = queries.get_next_match(event.db, now=event.clock())
        if first is not None:
            bracket.open_match(event.db, first.id, seconds=0, now=event.clock())
        phones, stage = f"{settings.base_url}/", f"{settings.local_url}/stage"
        say("The first match is open. Now it is your turn:")
        say(f"  phones   {phones}  read two verses and vote for one")
        say(f"  stage    {stage}  what the audience sees")
        say(f"  console  {settings.console_url}  close the vote, open the next; password {settings.console_password}")
        say("At the end, publish on the console, and let anybody check all of it:")
        file = folder / EXPORT_FILE
        say(f"  {shlex.join(['arena', 'export', str(file), '--dir', str(folder)])}")
        say(f"  {shlex.join(['arena', 'audit', str(file)])}")
        say("Ctrl-C ends it.")
        if shows_pages:
            open_pages([phones] if address is not None else [stage, phones])
        with contextlib.suppress(KeyboardInterrupt):
            server.wait()
            raise DemoError(f"the server ended: its messages are in {settings.dir / SERVER_LOG}")
        say(f"\nThe demonstration has ended. To serve it again: {shlex.join(['arena', 'serve', '--dir', str(folder)])}")


def _address_within(serving: Future[tuple[subprocess.Popen[Any], Settings]], seconds: float) -> str | None:
    """Return the server's address on this machine; None if it does not answer in time."""
    try:
        return serving.result(seconds)[1].local_url
    except TimeoutError:
        return None


def new_folder(folder: Path | None) -> Path:
    """Make the folder of the event.

    Raises:
        DemoError: There is an event in it.
    """
    if folder is not None:
        if (folder / SETTINGS_FILE).exists():
            again = shlex.join(["arena", "serve", "--dir", str(folder)])
            raise DemoError(f"{folder} holds an event already: serve it with {again}, or name a new folder with --dir")
        return folder.absolute()
    number = 1
    while True:
        folder = (SUBMISSIONS / f"demo-{number}").absolute()
        try:
            folder.mkdir(mode=0o700, parents=True)
            return folder
        except FileExistsError:
            number += 1


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


def _vote_to_the_end(event: EventContext, url: str, rng: random.Random, say: Callable[[str], None]) -> None:
    """Open match after match, let the simulated voters vote, and print the champion."""
    db = event.db
    voters = [SimulatedVoter(url) for _ in range(N_VOTERS)]
    while match := queries.get_next_match(db, now=event.clock()):
        opened = bracket.open_match(db, match.id, seconds=0, now=event.clock())
        poll_round = opened.poll_round
        while True:
            for voter in voters:
                voter.vote(match.id, poll_round, rng.choice)
            result = bracket.close_match(db, match.id, poll_round=poll_round, now=event.clock())
            if result.state == "closed":
                break
            poll_round = result.poll_round
        counts = ", then ".join(f"{upper}:{lower}" for upper, lower in result.tallies)
        say(f"{match.title}: {counts}, decided by {result.decided_by}")
    results = queries.results_view(db, now=event.clock())
    champion = results.champion
    if champion is None or results.event.state != "champion":
        raise DemoError(f"no match is ready, and there is no champion: the event is {results.event.state!r}")
    name, text = champion.name or "", champion.text or ""
    if name not in voters[0].get("/results"):
        raise DemoError("the results page does not name the champion")
    say(f"\nThe champion, by {sanitize(name)}:\n")
    for line in text.split("\n"):
        say(f"    {sanitize(line)}")


def _publish_and_audit(event: EventContext, folder: Path, say: Callable[[str], None]) -> None:
    """Publish the event, export it into a file, and compute all of it again from the file.

    Args:
        event: the event, with a champion.
        folder: of the event.
        say: prints a line.

    Raises:
        DemoError: The file does not agree with itself.
    """
    name = publishing.publish(event.db, now=event.clock()).name
    say(f"\nThe log's {verify_log(event.db)} records are whole. The event is {sanitize(name)!r}.")
    path = folder / EXPORT_FILE
    report = export_event(event.db, event.bundles, path, key=event.settings.receipt_key)
    page = audit_file(path, Known(head=report.hash), available_cores())
    if not page.agrees:
        raise DemoError("\n".join(page.lines()))
    say(f"The event is exported to {path}, {report.size:,} bytes, and everything in it was computed again and agrees:")
    say(f"  {shlex.join(['arena', 'audit', str(path)])}")
