"""What the arena refuses. Each error carries its facts; its message is one sentence that says what to do.

The edges map them: web to `status` and `code`, command line to one line. No message holds a secret.
"""

from __future__ import annotations

import time


class ArenaError(Exception):
    """Base of everything the arena refuses.

    Attributes:
        code: a short stable name of the rule.
        status: the HTTP status that says the same.
        facts: plain data for programs, e.g. {"offset": 1048576}.
    """

    code = "arena"
    status = 400

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.facts = facts


# The event


class NoEvent(ArenaError):
    code, status = "no-event", 409

    def __init__(self) -> None:
        super().__init__("this database holds no event yet: run `arena init` first")


class EventExists(ArenaError):
    code, status = "event-exists", 409

    def __init__(self, name: str) -> None:
        super().__init__(f"this database already holds the event {name!r}: choose another folder", name=name)


class WrongState(ArenaError):
    """Something that the event's state does not allow now."""

    code, status = "wrong-state", 409

    def __init__(self, what: str, state: str, wanted: str) -> None:
        super().__init__(
            f"{what} is not possible while the event is {state!r}: it must be {wanted}", state=state, wanted=wanted
        )


class AlreadyDone(ArenaError):
    """An action on something that has changed since the page or command that asks for it was shown its state."""

    code, status = "already-done", 409

    def __init__(self, what: str, at: float, record: int) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(at))
        super().__init__(f"already done: {what} at {clock}, after this was shown: look again", record=record, at=at)


class BadSetting(ArenaError):
    """A name, a draw word, a time or another setting out of bounds."""

    code, status = "bad-setting", 422


# Entering


class BadSecret(ArenaError):
    code, status = "bad-secret", 401

    def __init__(self) -> None:
        super().__init__("the secret must have 22 to 64 letters, digits, - or _: use the one the trainer made for you")


class BadName(ArenaError):
    code, status = "bad-name", 422


class BadClaim(ArenaError):
    """The header is no claim; `facts["rule"]` names the rule of the bundle's format that it breaks."""

    code, status = "bad-claim", 422

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"this is no bundle that can enter: {message}", rule=rule)


class OverLimits(ArenaError):
    """A verse longer than the event allows, or without a line."""

    code, status = "over-limits", 422


class SubmissionsNotOpen(ArenaError):
    code, status = "not-open", 409

    def __init__(self) -> None:
        super().__init__("submissions are not open yet: try again when the organizer opens them")


class SubmissionsClosed(ArenaError):
    code, status = "closed", 409

    def __init__(self, closed_at: float | None) -> None:
        super().__init__("submissions are closed: this verse came too late to enter", closed_at=closed_at)


class QuotaReached(ArenaError):
    code, status = "quota", 429


class LittleSpace(ArenaError):
    code, status = "little-space", 507

    def __init__(self, free: int, needed: int) -> None:
        super().__init__(
            f"the server has {free // 10**6:,} MB free and keeps {needed // 10**6:,} MB: tell the organizer", free=free
        )


class EntryNotFound(ArenaError):
    """No such entry, or it is somebody else's, or still secret: the answer does not say which."""

    code, status = "no-entry", 404

    def __init__(self, prefix: str | None = None) -> None:
        super().__init__(
            "there is no such entry here, or it is not shown yet: check the link and the secret"
            if prefix is None
            else f"no entry starts with {prefix!r}: `arena event entries` lists the ids"
        )


class AmbiguousEntry(ArenaError):
    """Several entries whose ids begin with what was given."""

    code, status = "ambiguous-entry", 409

    def __init__(self, prefix: str, count: int) -> None:
        super().__init__(f"{count} entries start with {prefix!r}: give more characters of the id", count=count)


class PieceTooLarge(ArenaError):
    code, status = "piece-too-large", 413

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"a piece has at most {limit:,} bytes, not {size:,}: send smaller ones", limit=limit)


class WrongOffset(ArenaError):
    """A piece that does not start where the bytes received so far end."""

    code, status = "wrong-offset", 409

    def __init__(self, expected: int) -> None:
        super().__init__(f"go on with the bytes from {expected:,}", offset=expected)
        self.expected = expected


class NotReceiving(ArenaError):
    """A piece for an entry that waits for none."""

    code, status = "not-receiving", 409

    def __init__(self, state: str) -> None:
        super().__init__(f"this entry takes no more bytes: it is {state}", state=state)


class BytesLost(ArenaError):
    """The row says that bytes are here, and the disk has none."""

    code, status = "bytes-lost", 410

    def __init__(self) -> None:
        super().__init__("the server lost the bytes of this entry: send the claim again, and go on from there")


class TensorsDiffer(ArenaError):
    """All bytes are in, and they are not those that the claim speaks of. They were dropped: send them again."""

    code, status = "tensors-differ", 422

    def __init__(self, expected: int) -> None:
        super().__init__(
            f"the weights received are not those of the claim: send them again from byte {expected:,}", offset=expected
        )
        self.expected = expected


# Bracket and matches


class EntriesPending(ArenaError):
    code, status = "entries-pending", 409

    def __init__(self, count: int) -> None:
        super().__init__(
            f"{count} entries have no verdict yet: wait for them, or draw the bracket without them", count=count
        )


class TooManyEntries(ArenaError):
    code, status = "too-many-entries", 409

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(
            f"{count:,} verified entries, and a bracket has at most {limit:,} places: qualifying heats are needed",
            count=count,
            limit=limit,
        )


class MatchNotFound(ArenaError):
    code, status = "no-match", 404

    def __init__(self, match_id: str) -> None:
        super().__init__("there is no such match: look at the bracket for its name", match=match_id)


class MatchNotReady(ArenaError):
    code, status = "match-not-ready", 409

    def __init__(self, match_id: str) -> None:
        super().__init__(f"{match_id} has no two verses yet: play the matches before it first", match=match_id)


class AnotherMatchOpen(ArenaError):
    code, status = "another-open", 409

    def __init__(self, match_id: str) -> None:
        super().__init__(f"{match_id} is still open: close it first", match=match_id)


class MatchDecided(ArenaError):
    """A match that is closed, when it is to be opened."""

    code, status = "match-decided", 409

    def __init__(self, match_id: str) -> None:
        super().__init__(f"{match_id} is decided: undo it to vote on it again", match=match_id)


class NothingToUndo(ArenaError):
    """A match that nobody voted on, when it is to be undone."""

    code, status = "nothing-to-undo", 409

    def __init__(self, match_id: str) -> None:
        super().__init__(f"no vote of {match_id} can be undone: it was not voted on", match=match_id)


class MatchNotOpen(ArenaError):
    code, status = "match-not-open", 409

    def __init__(self, match_id: str) -> None:
        super().__init__("this match is not open yet: wait for the next one", match=match_id)


class MatchClosed(ArenaError):
    code, status = "match-closed", 409

    def __init__(self, match_id: str) -> None:
        super().__init__("this match is closed: your vote before that counts, this one does not", match=match_id)


class PollRoundOver(ArenaError):
    """A vote in a round of the poll that is no longer, or not yet, the open one."""

    code, status = "poll-round-over", 409

    def __init__(self, match_id: str, poll_round: int) -> None:
        super().__init__(
            "this match is voted on again: look at the two verses and vote anew", match=match_id, now=poll_round
        )


class OwnMatch(ArenaError):
    code, status = "own-match", 403

    def __init__(self) -> None:
        super().__init__("one of the two verses is yours: the room decides this one without you")


class BadSide(ArenaError):
    code, status = "bad-side", 422

    def __init__(self) -> None:
        super().__init__('a vote is for "left" or "right": tap one of the two verses')


# The log and the database


class LogBroken(ArenaError):
    code, status = "log-broken", 500

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"record {number} of the log {what}: somebody changed it afterwards", number=number)


class DatabaseTooNew(ArenaError):
    code, status = "database-too-new", 500

    def __init__(self, found: str) -> None:
        super().__init__("this event was written by a newer version of the arena: install that one", revision=found)
