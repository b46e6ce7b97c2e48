"""The pages for phones: vote, enter a verse, see results. Everything works without JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, redirect, render_template, request, send_file, url_for
from werkzeug.wrappers import Response

from arena.errors import EntryNotFound, MatchClosed, MatchNotFound, MatchNotOpen
from arena.phrases import phrase
from arena.services import ballots, claims, entries, events, places, practice, queries, voters, voting
from arena.services.identity import Identity
from arena.services.receipts import key_fingerprint
from arena.services.schemas import Ballot, EntryStatus, RoundItem, Snapshot, StageView
from arena.web import security
from arena.web.assets import Asset
from arena.web.context import get_context, root, static_address
from arena.web.form_uploads import link_of, take_upload
from arena.web.modules import ENGINE
from arena.web.refusal import Refusal
from arena.web.translation import language
from trainer.verse.ticket import is_ticket

pages = Blueprint("public", __name__)

CHANGING = ("receiving", "waiting", "verifying")  # states of an entry that change without its owner
REFRESH_SECONDS = 4  # between two updates of the page, while an entry is in such a state
SPREAD_MS = 1_500  # over which phones fetch a page that has changed


def phase_key(state: Snapshot) -> str:
    """Return a key that changes when the page is another one. arena.js makes the same from the same snapshot."""
    match = state.match
    parts = [
        state.phase,
        match and match.id,
        match and match.poll,
        match and match.poll_round,
        match and match.opens_at,
        match and match.closes_at,
        "paused" if match and match.paused else None,
        state.round and state.round.matches,
        "practice" if state.practice else None,
        state.last,
        state.matches.closed,
        state.next,
        state.closes_at,
        state.epoch,
        state.edits,
        state.admission,
        state.address,
        "heats" if state.heats else None,
        "race" if state.race else None,
    ]
    return "|".join("" if part is None else str(int(part) if isinstance(part, float) else part) for part in parts)


@pages.get("/")
def index() -> str:
    """Show the state of the event, and the two verses during a vote."""
    ctx = get_context()
    secret = security.voter_secret()
    state = ctx.snapshot()
    if state.practice is not None:
        practised = practice.get_practice(ctx.db, secret, now=ctx.now)
        if practised is not None:
            return render_template("practice.html", ballot=practised, **_common(state, ctx.now))
    opened = voting.get_round(ctx.db, secret, now=ctx.now) if state.round else []
    is_read = state.match is not None and state.match.opens_at is not None and ctx.now < state.match.opens_at
    match = _chosen_match(opened, is_read) if opened else state.match.id if state.match else None
    if opened and match is None:
        return render_template("round.html", opened=opened, **_common(state, ctx.now))
    ballot = _ballot(match, secret, ctx.now) if match is not None else None
    asked = ballot is None and (state.admission != "open" or is_ticket(secret))
    return index_page(state, ballot, voters.who_is(ctx.db, secret) if asked else None, ctx.now, opened)


def index_page(
    state: Snapshot,
    ballot: Ballot | None,
    voter: Identity | None,
    now: float,
    opened: Sequence[RoundItem] = (),
) -> str:
    """Return the page of a state of the event.

    Args:
        state: of the event.
        ballot: of the voter who sees it, while a match is open.
        voter: who sees it; None: whoever may vote, or a ballot says it.
        now: seconds since the epoch.
        opened: the matches that are open, where there are several.
    """
    common = _common(state, now)
    if ballot is not None:
        return render_template("vote.html", ballot=ballot, opened=opened, **common)
    shown: StageView | None = None
    if state.phase in ("between", "voting", "champion", "published"):
        shown = stage_of(state)
    refusal, is_replacement = (voter.refusal, voter.is_replacement) if voter is not None else (None, False)
    return render_template("wait.html", shown=shown, refusal=refusal, is_replacement=is_replacement, **common)


def _chosen_match(opened: list[RoundItem], is_read: bool) -> str | None:
    """Return the match to show of those that are open: the one asked for, or the first that waits for a vote.

    Args:
        opened: the open matches.
        is_read: whether their verses are still read before the vote.

    Returns:
        None: the list of all is shown.
    """
    wanted = request.args.get("match", "")
    if any(item.match == wanted for item in opened):
        return wanted
    if wanted == "all":
        return None
    waiting = (item for item in opened if (item.open or is_read) and not item.mine and item.choice is None)
    return next((item.match for item in waiting), None)


def _common(state: Snapshot, now: float) -> dict[str, Any]:
    """Return what every page takes that follows the event."""
    return {"state": state, "key": phase_key(state), "now": now, "follow": True, "spread": SPREAD_MS}


def stage_of(state: Snapshot) -> StageView:
    """Return what the stage shows, read from the database once for each state of the event."""
    ctx = get_context()
    version = (state.version, state.phase, state.match and state.match.opens_at)  # the clock alone begins a vote
    return ctx.cached("stage", version, lambda: queries.stage_view(ctx.db, now=ctx.now))


def _ballot(match_id: str, secret: str, now: float) -> Ballot | None:
    """Return the ballot, or None if the match has closed since the snapshot."""
    try:
        return voting.get_ballot(get_context().db, match_id, secret, now=now)
    except (MatchClosed, MatchNotOpen, MatchNotFound):
        return None


@pages.post("/vote")
def vote() -> Response:
    """Take a vote."""
    secret = security.voter_secret()
    poll, poll_round = (request.form.get(name, "") for name in ("poll", "poll_round"))
    voting.cast_vote(
        get_context().db,
        request.form.get("match", "")[:40],
        secret,
        request.form.get("side", "")[:10],
        int(poll_round) if poll_round in ("0", "1") else -1,
        poll=int(poll) if poll.isascii() and poll.isdigit() and len(poll) < 10 else None,
        now=get_context().now,
    )
    return _see_other("public.index")


@pages.post("/practice")
def practise() -> Response:
    """Take a vote for practice."""
    side = request.form.get("side", "")[:10]
    practice.cast_practice(get_context().db, security.voter_secret(), side, now=get_context().now)
    return _see_other("public.index")


@pages.route("/enter", methods=["GET", "POST"])
def enter() -> str | Response:
    """Show the upload form, or take a bundle from it. With JavaScript, upload.js uses the API instead."""
    ctx = get_context()
    secret = security.voter_secret()
    if request.method == "POST":
        take_upload(request.files.get("bundle"), secret, request.form.get("name", ""))
        return _see_other("public.mine")
    event = events.current_event(ctx.db)
    return render_template("enter.html", event=event, now=ctx.now, max_author=claims.MAX_AUTHOR)


@pages.get("/mine")
def mine() -> str:
    """Show the entries of this browser to their owner."""
    ctx = get_context()
    secret = security.voter_secret()
    owned = entries.entries_of(ctx.db, secret, now=ctx.now)
    changing = any(entry.state in CHANGING for entry in owned)
    rounds = stage_of(ctx.snapshot()).rounds if owned else []
    matches = [match for column in rounds for match in column.matches]
    sides = [side for match in matches for side in (match.upper, match.lower) if side is not None]
    return render_template(
        "mine.html",
        entries=owned,
        state=ctx.snapshot(),
        finished={side.entry for side in sides if side.name is not None},  # names are public after the last match
        now=ctx.now,
        key=_entries_key(owned),
        every=REFRESH_SECONDS if changing else None,
        link=link_of(secret) if owned else None,
    )


@pages.get("/mine/<secret>")
def confirm_link(secret: str) -> str:
    """Ask whether to link this browser to an entry. Without a question, whoever sends a link could take over votes."""
    owned = _entries_behind(secret)
    already = security.known_voter() == secret
    return render_template("link.html", secret=secret, entries=owned, already=already)


@pages.post("/mine/link")
def link() -> Response:
    """Link this browser to an entry."""
    secret = request.form.get("secret", "")
    _entries_behind(secret)
    security.use_secret(secret)
    return _see_other("public.mine")


def _entries_behind(secret: str) -> list[EntryStatus]:
    owned = entries.entries_of(get_context().db, secret, now=get_context().now)
    if not owned:
        message = phrase("This link belongs to no entry of this event: compare it with the receipt.")
        raise Refusal(404, "no-entry", message)
    return owned


@pages.post("/mine/withdraw")
def withdraw() -> Response:
    """Withdraw an entry of this browser."""
    entries.withdraw(
        get_context().db, request.form.get("entry", "")[:64], security.voter_secret(), now=get_context().now
    )
    return _see_other("public.mine")


@pages.get("/results")
def results() -> Response:
    """Show every closed match. The page is the same for everybody, and kept until something but a vote changes it."""
    ctx = get_context()
    state = ctx.snapshot()
    key = phase_key(state)

    def render() -> Asset:
        view, shown = queries.results_view(ctx.db, now=ctx.now), places.read_ranking(ctx.db, now=ctx.now)
        linked = {entry.entry for entry in shown.entries} | {verse.entry for verse in view.heats if verse.name}
        page = render_template(
            "results.html",
            results=view,
            fingerprint=key_fingerprint(ctx.settings.receipt_key),
            ranking=shown,
            coming=state.next,
            page_of={entry: f"{root()}/entries/{entry}" for entry in linked},
            now=ctx.now,
            key=key,
            follow=True,
            in_borrowed_window=bool,  # of one browser, and the page is kept for all
        )
        return Asset.of(page.encode(), "text/html")

    return ctx.cached(f"results-{language()}", (state.version, key), render).response(request)


@pages.get("/votes")
def votes() -> str:
    """Show the votes of this browser that were counted; once the event is published, those of any voter id."""
    ctx = get_context()
    asked = request.args.get("voter", "")[:80]
    view = ballots.votes_of(ctx.db, security.voter_secret(), voter_id=asked)
    return render_template("votes.html", view=view, now=ctx.now)


@pages.get("/entries/<entry_id>")
def entry(entry_id: str) -> str:
    """Show an entry after its last match."""
    ctx = get_context()
    certified = ctx.snapshot().phase in ("champion", "published")
    view = queries.entry_view(ctx.db, entry_id, now=ctx.now)
    return render_template("entry.html", entry=view, size=bundle_size(view.bundle), certified=certified)


@pages.get("/check")
def check() -> str:
    """Show the page that writes the verse of a file again, in the browser."""
    return render_template("check.html", worker=static_address(ENGINE))


@pages.get("/audit")
def audit() -> str:
    """Show the page that computes tallies, ties and champion again from the file of a published event."""
    return render_template("audit.html")


@pages.get("/entries/<entry_id>/check")
def check_entry(entry_id: str) -> str:
    """Show the page that writes the verse of an entry again, in the browser, after its last match."""
    view = queries.entry_view(get_context().db, entry_id, now=get_context().now)
    size = bundle_size(view.bundle)
    if size is None:
        raise EntryNotFound
    address, worker = url_for("public.bundle", entry_id=entry_id), static_address(ENGINE)
    return render_template("check.html", entry=view, size=size, bundle=address, worker=worker)


def bundle_size(digest: str) -> int | None:
    """Return the bytes of a stored bundle; None if it is not here any more."""
    try:
        return get_context().bundles.local_copy(digest).stat().st_size
    except FileNotFoundError:
        return None


@pages.get("/console")
def console() -> Response:
    """Say where the console is: this port never serves it."""
    url = get_context().settings.console_url
    message = phrase("The console has a port of its own: open %(url)s on the organizer's machine.", url=url)
    raise Refusal(404, "console-elsewhere", message)


@pages.get("/entries/<entry_id>/bundle")
def bundle(entry_id: str) -> Response:
    """Send the bundle of an entry, after its last match: whoever doubts the verse writes it again."""
    ctx = get_context()
    view = queries.entry_view(ctx.db, entry_id, now=ctx.now)
    path = ctx.bundles.local_copy(view.bundle)
    if not path.exists():
        raise EntryNotFound
    name = f"{view.bundle[:16]}.verse"
    return send_file(path, mimetype="application/octet-stream", as_attachment=True, download_name=name)


def _see_other(endpoint: str) -> Response:
    return redirect(url_for(endpoint), 303)


def _entries_key(owned: list[EntryStatus]) -> str:
    return "|".join(f"{entry.entry[:8]}:{entry.state}" for entry in owned)
