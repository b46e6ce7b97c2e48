"""Domain errors of the arena. Each has a code and facts; its message is one sentence that says what to do.

The edges show them: `web.errors` with an HTTP status, the command line as one line. No message holds a secret.
The messages of those that a guest can meet are phrases, which pages translate.
"""

from __future__ import annotations

import time

from arena.phrases import Phrase, counted, phrase
from trainer.verse.text import pluralize


class ArenaError(Exception):
    """Base of all domain errors.

    Attributes:
        code: a short stable name of the rule.
        facts: plain data for programs, e.g. {"offset": 1048576}.
    """

    code = "arena"

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.facts = facts


# The event


class ClocksAgree(ArenaError):
    """A decision about clocks that do not differ."""

    code = "clocks-agree"

    def __init__(self) -> None:
        super().__init__("this computer's clock and the event's agree: there is nothing to decide")


class NoEvent(ArenaError):
    """The database holds no event."""

    code = "no-event"

    def __init__(self) -> None:
        super().__init__(phrase("this database holds no event yet: run `arena init` first"))


class EventExists(ArenaError):
    """The database already holds an event."""

    code = "event-exists"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"this database already holds the event {name!r}: choose another folder or database", name=name
        )


class WrongState(ArenaError):
    """Something that the event's state does not allow now."""

    code = "wrong-state"

    def __init__(self, what: str, state: str, wanted: str) -> None:
        if state == "published":
            message = f"{what} is not possible: the event is published, and nothing about it changes any more"
        else:
            message = f"{what} is not possible while the event is {state!r}: it must be {wanted}"
        translated = phrase("this is not possible in the present state of the event")  # to guests; English says more
        super().__init__(Phrase(message, str(translated)), state=state, wanted=wanted)


class AlreadyDone(ArenaError):
    """An action on something that has changed since its state was shown."""

    code = "already-done"

    def __init__(self, what: str, at: float, record: int) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(at))
        super().__init__(
            f"already done: {what} at {clock}, since you looked: read the current state before you act again",
            record=record,
            at=at,
        )


class BadSetting(ArenaError):
    """A name, a draw word, a time or another setting out of bounds."""

    code = "bad-setting"


# Entering


class BadSecret(ArenaError):
    """The secret does not have the form of one."""

    code = "bad-secret"

    def __init__(self) -> None:
        super().__init__(
            phrase("the secret must have 22 to 64 letters, digits, - or _: use the one the trainer made for you")
        )


class TicketNeeded(ArenaError):
    """A vote or a claim without a ticket, in an event that takes tickets."""

    code = "ticket-needed"

    def __init__(self) -> None:
        super().__init__(
            phrase("this event takes tickets: scan the code on your card, or type it on the event’s first page")
        )


class TicketFaulty(ArenaError):
    """A text that is no ticket's code."""

    code = "ticket-faulty"


class TicketUnknown(ArenaError):
    """A ticket that this event has not issued."""

    code = "ticket-unknown"

    def __init__(self) -> None:
        super().__init__(
            phrase(
                "this event has not issued this ticket: compare the code with the card, or ask the organizer for a card"
            )
        )


class TicketVoid(ArenaError):
    """A ticket that was declared void."""

    code = "ticket-void"

    def __init__(self) -> None:
        super().__init__(
            phrase("this ticket is void, since another card replaces it: use that one, or ask the organizer")
        )


class TicketSpare(ArenaError):
    """A spare ticket that was not handed out."""

    code = "ticket-spare"

    def __init__(self, number: int) -> None:
        super().__init__(
            phrase(
                "card %(number)s is a spare one that was not handed out: ask the organizer to activate it",
                number=number,
            ),
            number=number,
        )


class TicketTooNew(ArenaError):
    """A vote with a card that replaces another one, in a match in which that one may have voted."""

    code = "ticket-too-new"

    def __init__(self) -> None:
        super().__init__(phrase("this card replaced another one during this match: it votes from the next match on"))


class TicketTooNewForHeats(ArenaError):
    """A judgement with a card that replaces another one, which may have judged."""

    code = "ticket-too-new-for-heats"

    def __init__(self) -> None:
        super().__init__(
            phrase(
                "this card replaced another one after the heats had begun, in which that one may have judged: it votes"
                " in the matches"
            )
        )


class NoSuchTicket(ArenaError):
    """A card that does not exist, or that is not in the state for what is asked."""

    code = "no-ticket"

    def __init__(self, number: int, what: str = "does not exist") -> None:
        super().__init__(f"card {number} {what}: `arena tickets list` shows the cards", number=number)


class NoSpareTicket(ArenaError):
    """A replacement when no spare card is left."""

    code = "no-spare-ticket"

    def __init__(self) -> None:
        super().__init__("no spare card is left: before the first match, `arena tickets 0 --spare 10` makes more")


class PinNeeded(ArenaError):
    """A vote without the room's PIN."""

    code = "pin-needed"

    def __init__(self) -> None:
        super().__init__(phrase("to vote, type the PIN that the stage shows into the event’s first page"))


class PinWrong(ArenaError):
    """Another PIN than the room's."""

    code = "pin-wrong"

    def __init__(self) -> None:
        super().__init__(
            phrase("this is not the PIN on the stage now: it changes every minute, so look again and type it")
        )


class MatchesBegun(ArenaError):
    """A change of who may vote after the first match was opened."""

    code = "matches-begun"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not possible any more: a match was opened, and everybody has the same rules")


class BadName(ArenaError):
    """An author's name is empty, too long or not printable."""

    code = "bad-name"


class BadClaim(ArenaError):
    """The header is no claim; `facts["rule"]` names the rule of the bundle's format that it breaks."""

    code = "bad-claim"

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(phrase("this is no bundle that can enter: %(problem)s", problem=message), rule=rule)


class OverLimits(ArenaError):
    """A verse longer than the event allows, or without a line."""

    code = "over-limits"


class SubmissionsNotOpen(ArenaError):
    """An entry before submissions are open."""

    code = "not-open"

    def __init__(self) -> None:
        super().__init__(phrase("submissions are not open yet: try again when the organizer opens them"))


class SubmissionsClosed(ArenaError):
    """An entry after submissions have closed."""

    code = "closed"

    def __init__(self, closed_at: float | None) -> None:
        message = phrase("submissions are closed: this verse came too late to enter")
        super().__init__(message, closed_at=closed_at)


class OtherName(ArenaError):
    """A verse of an owner who has entered one under another name."""

    code = "other-name"

    def __init__(self, name: str) -> None:
        super().__init__(
            phrase(
                "this computer or browser has entered a verse as '%(name)s', which this one would replace: if that was "
                "somebody else, use --ticket-file FILE with a file of your own, or another browser; if it was you, "
                "enter with the same name, or with --replace",
                name=name,
            ),
            name=name,
        )


class OtherModel(ArenaError):
    """Another model than that of the undecided verse that is replaced after submissions have closed."""

    code = "other-model"

    def __init__(self, parts: str) -> None:
        super().__init__(
            phrase(
                "submissions are closed: only another verse of the same model can replace yours, and this one has "
                "other %(parts)s: submit it from the same checkpoint",
                parts=parts,
            ),
            parts=parts,
        )


class QuotaReached(ArenaError):
    """More entries of one owner, or more owners, than the event has places for."""

    code = "quota"


class LittleSpace(ArenaError):
    """The disk has too little free space for another entry."""

    code = "little-space"

    def __init__(self, free: int, needed: int) -> None:
        size = f"{needed / 10**6:,.1f}"
        super().__init__(
            phrase(
                "the server's disk has %(free)s MB for uploads that are not promised to others, and this needs "
                "%(needed)s MB: tell the organizer",
                free=max(0, free) // 10**6,
                needed=size,
            ),
            free=max(0, free),
            needed=needed,
        )


class EntryNotFound(ArenaError):
    """No such entry, or it is somebody else's, or still secret; the message does not say which."""

    code = "no-entry"

    def __init__(self, prefix: str | None = None) -> None:
        super().__init__(
            phrase("there is no such entry here, or it is not shown yet: check the link and the secret")
            if prefix is None
            else f"no entry starts with {prefix!r}: `arena entry list` shows the ids"
        )


class AmbiguousEntry(ArenaError):
    """Several entries have ids that begin in the same way."""

    code = "ambiguous-entry"

    def __init__(self, prefix: str, count: int) -> None:
        super().__init__(f"{count} entries start with {prefix!r}: give more characters of the id", count=count)


class PieceTooLarge(ArenaError):
    """A piece with more bytes than allowed, or than the bundle still lacks."""

    code = "piece-too-large"

    def __init__(self, size: int, limit: int) -> None:
        message = phrase("a piece has at most %(limit)s bytes, not %(size)s: send smaller ones", limit=limit, size=size)
        super().__init__(message, limit=limit)


class WrongOffset(ArenaError):
    """A piece that does not start where the bytes received so far end."""

    code = "wrong-offset"

    def __init__(self, expected: int) -> None:
        super().__init__(f"continue with the bytes from {expected:,} on", offset=expected)
        self.expected = expected


class NotReceiving(ArenaError):
    """A piece for an entry that waits for none."""

    code = "not-receiving"

    def __init__(self, state: str) -> None:
        super().__init__(phrase("this entry takes no more bytes: it is %(state)s", state=state), state=state)


class BytesLost(ArenaError):
    """The row says that bytes are here, and the disk has none."""

    code = "bytes-lost"

    def __init__(self) -> None:
        super().__init__(
            phrase(
                "the server lost the bytes of this entry: send the claim again, and continue from the offset it returns"
            )
        )


class TensorsDiffer(ArenaError):
    """All bytes are here, but they are not those of the claim. They were dropped, and must be sent again."""

    code = "tensors-differ"

    def __init__(self, expected: int) -> None:
        super().__init__(
            phrase(
                "the weights received are not those of the claim: send them again from byte %(expected)s",
                expected=expected,
            ),
            offset=expected,
        )
        self.expected = expected


# Bracket and matches


class EntriesPending(ArenaError):
    """A draw while entries have no verdict."""

    code = "entries-pending"

    def __init__(self, count: int) -> None:
        missing = pluralize(count, "entry has", "entries have")
        super().__init__(f"{missing} no verdict yet: wait, or draw the bracket without what is missing", count=count)


class NotDisqualified(ArenaError):
    """The reinstating of an entry that is not disqualified."""

    code = "not-disqualified"

    def __init__(self) -> None:
        super().__init__("this verse is not disqualified, so there is nothing to reverse")


class TooFewEntries(ArenaError):
    """A draw with fewer than two verified entries."""

    code = "too-few-entries"

    def __init__(self, count: int) -> None:
        verified = "no verse is verified" if count == 0 else "one verse alone is verified"
        super().__init__(
            f"a bracket needs two verified verses, and {verified}: open submissions again, or publish the event "
            "without a champion",
            count=count,
        )


class WordMissing(ArenaError):
    """A draw without a word."""

    code = "word-missing"

    def __init__(self) -> None:
        super().__init__(
            "the draw needs a word that nobody knew before submissions closed: ask the room for one, and draw with it"
        )


class WordTaken(ArenaError):
    """A draw with another word than the one that was given first."""

    code = "word-taken"

    def __init__(self, word: str) -> None:
        super().__init__(
            f"the word of this draw is {word!r}, and stays: otherwise whoever draws could choose the order. "
            "A new word comes with new submissions",
            word=word,
        )


class VotesCast(ArenaError):
    """A draw that people have voted on cannot be taken back."""

    code = "votes-cast"

    def __init__(self, count: int) -> None:
        votes = pluralize(count, "vote was", "votes were")
        super().__init__(
            f"{votes} cast in this bracket, so the draw stays: undo a match to vote on it again", count=count
        )


class NobodyVoted(ArenaError):
    """The closing of a match on which nobody has voted."""

    code = "nobody-voted"

    def __init__(self, match: str) -> None:
        super().__init__(
            f"nobody has voted on {match}: wait for votes, give it more time, or let the lot decide", match=match
        )


class TooManyEntries(ArenaError):
    """A draw with more verified entries than a bracket has places."""

    code = "too-many-entries"

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(
            f"{count:,} verified entries are too many for a bracket of {limit:,} places: disqualify the others first",
            count=count,
            limit=limit,
        )


class BackupImpossible(ArenaError):
    """A backup of an event whose database is not a file."""

    code = "backup-impossible"

    def __init__(self) -> None:
        super().__init__(
            "this event's database is on a server: copy it with the server's own program (pg_dump), and the folders "
            "bundles/ and the two .json files of the event with it"
        )


class NotABackup(ArenaError):
    """A backup into a folder that holds something else."""

    code = "not-a-backup"

    def __init__(self, folder: str) -> None:
        super().__init__(f"{folder} holds other files: name a new or empty folder, or an earlier backup", folder=folder)


class NoBackup(ArenaError):
    """A folder that holds no complete backup."""

    code = "no-backup"

    def __init__(self, folder: str) -> None:
        super().__init__(f"{folder} holds no complete backup: name the folder that `arena backup` wrote", folder=folder)


class BackupDamaged(ArenaError):
    """A file of a backup, or one to be copied into it, that is not what it should be."""

    code = "backup-damaged"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}", path=path)


class MatchNotFound(ArenaError):
    """There is no match with this id."""

    code = "no-match"

    def __init__(self, match_id: str) -> None:
        super().__init__(phrase("there is no such match: look at the bracket for its name"), match=match_id)


class MatchNotReady(ArenaError):
    """Opening a match that does not have two verses yet."""

    code = "match-not-ready"

    def __init__(self, match_id: str) -> None:
        super().__init__(f"{match_id} does not have two verses yet: play the matches before it first", match=match_id)


class AnotherMatchOpen(ArenaError):
    """Opening a match while another one is open."""

    code = "another-open"

    def __init__(self, match_id: str) -> None:
        super().__init__(f"{match_id} is still open: close it first", match=match_id)


class NoMatchReady(ArenaError):
    """Opening a round while no match has two verses and no result."""

    code = "no-match-ready"

    def __init__(self) -> None:
        super().__init__("no match is ready to be opened: look at the bracket")


class NothingOpen(ArenaError):
    """Something with the clock of the open matches, while none is open, or none stands still."""

    code = "nothing-open"

    def __init__(self, what: str) -> None:
        super().__init__(f"there is nothing to {what}: look at the state of the event", what=what)


class MatchDecided(ArenaError):
    """A match that is closed, when it is to be opened."""

    code = "match-decided"

    def __init__(self, match_id: str) -> None:
        super().__init__(f"{match_id} is decided: undo it to vote on it again", match=match_id)


class NothingToUndo(ArenaError):
    """A match that nobody voted on, when it is to be undone."""

    code = "nothing-to-undo"

    def __init__(self, match_id: str) -> None:
        super().__init__(f"no vote of {match_id} can be undone: it was not voted on", match=match_id)


class MatchNotOpen(ArenaError):
    """A vote in a match that is not open yet."""

    code = "match-not-open"

    def __init__(self, match_id: str) -> None:
        super().__init__(phrase("this match is not open yet: wait for the next one"), match=match_id)


class MatchClosed(ArenaError):
    """A vote in a match that is closed."""

    code = "match-closed"

    def __init__(self, match_id: str) -> None:
        message = phrase("this match is closed: a vote you gave before that counts, this one does not")
        super().__init__(message, match=match_id)


class VoteNotBegun(ArenaError):
    """A vote while the two verses are still read."""

    code = "vote-not-begun"

    def __init__(self, match: str, seconds: float) -> None:
        message = counted(
            "the vote begins in %(num)s second: read both verses first",
            "the vote begins in %(num)s seconds: read both verses first",
            max(1, round(seconds)),
        )
        super().__init__(message, match=match)


class PollRoundOver(ArenaError):
    """A vote in a poll, or a round of it, that is no longer, or not yet, the open one."""

    code = "poll-round-over"

    def __init__(self, match_id: str, poll_round: int) -> None:
        message = (
            phrase("this match has a second vote: read the two verses and vote again")
            if poll_round
            else phrase("this match was opened again: read the two verses and vote again")
        )
        super().__init__(message, match=match_id, now=poll_round)


class OwnMatch(ArenaError):
    """A vote in a match in which the voter's own verse plays."""

    code = "own-match"

    def __init__(self) -> None:
        super().__init__(phrase("one of the two verses is yours: the others decide this match"))


class PracticeOver(ArenaError):
    """A vote for practice when there is no practice."""

    code = "practice-over"

    def __init__(self) -> None:
        super().__init__(phrase("the practice vote is over: it counted for nothing"))


class HeatsNotOpen(ArenaError):
    """A judgement of a pair, or the end of the heats, while no heats are open."""

    code = "heats-not-open"

    def __init__(self) -> None:
        super().__init__(phrase("no pairs of verses are judged now: the heats are not open"))


class HeatsOpen(ArenaError):
    """A draw while the heats are open."""

    code = "heats-open"

    def __init__(self) -> None:
        super().__init__("the heats are still open: close them first, and then draw the bracket")


class NotRanked(ArenaError):
    """A draw by heats of verses that the heats have not ranked."""

    code = "not-ranked"

    def __init__(self, count: int) -> None:
        verses = pluralize(count, "verse has", "verses have")
        super().__init__(
            f"{verses} no place in the heats: open the heats and close them again, or draw the bracket by lot",
            count=count,
        )


class PairGone(ArenaError):
    """A judgement of a pair that was not dealt to this voter, or of a verse that has left the event."""

    code = "pair-gone"

    def __init__(self) -> None:
        super().__init__(phrase("these two verses are not yours to judge now: go on with the next two"))


class JudgedTooSoon(ArenaError):
    """A judgement faster than anybody reads."""

    code = "judged-too-soon"

    def __init__(self) -> None:
        super().__init__(phrase("nobody reads two verses so fast: read both, then choose"))


class BadHeartbeat(ArenaError):
    """Heartbeats that no trainer sends."""

    code = "bad-heartbeat"

    def __init__(self, why: str) -> None:
        super().__init__(f"these heartbeats are not what `trainer train` sends: {why}")


class HeartbeatTooSoon(ArenaError):
    """Heartbeats faster than a trainer sends them, or one new run after another."""

    code = "heartbeat-too-soon"

    def __init__(self) -> None:
        super().__init__("heartbeats come too fast: send them together, a few seconds later")


class RaceOff(ArenaError):
    """A race that the organizer has switched off."""

    code = "race-off"

    def __init__(self) -> None:
        super().__init__("the organizer has switched the race off: train on, nothing else changes")


class RaceFull(ArenaError):
    """More runs than the race holds."""

    code = "race-full"

    def __init__(self, most: int) -> None:
        super().__init__(f"the race holds {most:,} runs, and all are active: train on, nothing else changes")


class RunReplaced(ArenaError):
    """Heartbeats of a run that began before the one that is shown."""

    code = "run-replaced"

    def __init__(self) -> None:
        super().__init__("the race shows a newer run of yours: train on, nothing else changes")


class CurveNotFound(ArenaError):
    """A nickname that no curve of the race has."""

    code = "no-curve"

    def __init__(self) -> None:
        super().__init__("no curve of the race has this nickname: `arena race list` shows them")


class BadSeeding(ArenaError):
    """Seeds by hand that do not name each verified verse once, or a number of places that no seeding has."""

    code = "bad-seeding"


class TooManyChanges(ArenaError):
    """A vote that was changed too often."""

    code = "vote-changes"

    def __init__(self, limit: int) -> None:
        super().__init__(
            phrase("you have changed this vote %(limit)s times, which is the most: the last one counts", limit=limit),
            limit=limit,
        )


class BadSide(ArenaError):
    """A vote for something else than one of the two sides."""

    code = "bad-side"

    def __init__(self) -> None:
        super().__init__(phrase('a vote is for "left" or "right": tap one of the two verses'))


# The log and the database


class TablesDiffer(ArenaError):
    """The database holds something that does not follow from its log."""

    code = "tables-differ"

    def __init__(self, difference: str) -> None:
        super().__init__(
            f"somebody changed the database: {difference}. `arena audit` lists everything; compare it with a backup",
            difference=difference,
        )


class NotPublished(ArenaError):
    """What is public once the event is published, and not before."""

    code = "not-published"

    def __init__(self, state: str) -> None:
        super().__init__(
            phrase(
                "the event is %(state)s, and this is public once the organizer has published it "
                "(`arena event publish`)",
                state=state,
            ),
            state=state,
        )


class BadVoterId(ArenaError):
    """A text that is no voter id."""

    code = "bad-voter-id"

    def __init__(self) -> None:
        super().__init__(phrase("a voter id has 64 digits, 0 to 9 and a to f: copy it from the page of your votes"))


class BundlesMissing(ArenaError):
    """Bundles that an export needs are not there."""

    code = "bundles-missing"

    def __init__(self, number: int, digest: str) -> None:
        super().__init__(
            f"{pluralize(number, 'bundle')} of the bracket cannot be read, such as {digest[:16]}: put the files back "
            "from a backup, or export digests only with --no-bundles",
            bundles=number,
        )


class LogBroken(ArenaError):
    """A record of the log that was changed after it was written."""

    code = "log-broken"

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"record {number} of the log {what}: somebody changed the log", number=number)


class DatabaseUnusable(ArenaError):
    """The database cannot be used now; nothing of the transaction that failed was saved."""

    code = "database"
    sentence = "the database {database} cannot be used ({reason}): check the disk that it is on"

    def __init__(self, database: str, reason: str) -> None:
        super().__init__(self.sentence.format(database=database, reason=reason))


class DatabaseUnreachable(DatabaseUnusable):
    """The database cannot be opened, or the connection to it was lost."""

    code = "database-unreachable"
    sentence = (
        "the database {database} cannot be opened ({reason}): start it, or correct `database_url` in settings.json"
    )


class DatabaseBusy(DatabaseUnusable):
    """Another program has kept the database locked for too long."""

    code = "database-busy"
    sentence = "another program keeps the database {database} locked: end that program, and try again"


class DatabaseReadOnly(DatabaseUnusable):
    """The database can be read, but not written."""

    code = "database-read-only"
    sentence = "the database {database} cannot be written ({reason}): check its permissions"


class DatabaseFull(DatabaseUnusable):
    """The disk of the database has no free space."""

    code = "database-full"
    sentence = "the disk of the database {database} is full: free some space, and try again"


class DatabaseDamaged(DatabaseUnusable):
    """The file is not a database, or it is damaged."""

    code = "database-damaged"
    sentence = "{database} is not a database, or is damaged ({reason}): put it back from a backup"


class BundlesUnreachable(ArenaError):
    """The object store of the bundles cannot be used now; nothing was lost."""

    code = "bundles-unreachable"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"the store of bundles {url} cannot be used ({reason}): start it, or correct `bundles_url` in "
            "settings.json and the keys in the environment"
        )


class TrainerMissing(ArenaError):
    """Training again needs PyTorch."""

    code = "no-trainer"

    def __init__(self) -> None:
        super().__init__(
            "training again needs PyTorch, which is not installed here: in a clone, pip install '.[train]'; or copy "
            "the entry's bundle to a computer that has it, and run trainer retrain FILE there"
        )


class RetrainingFailed(ArenaError):
    """A model could not be trained again."""

    code = "retraining-failed"

    def __init__(self, why: str) -> None:
        super().__init__(f"the model could not be trained again: {why}")


class NoWriteAheadLog(DatabaseUnusable):
    """The disk of the database cannot keep the log that lets pages read while a vote is written."""

    code = "database-no-wal"
    sentence = (
        "the disk of the database {database} cannot keep SQLite's write-ahead log ({reason}), as many network drives: "
        "make the event in a folder on a disk of this computer"
    )


class DatabaseEncoding(DatabaseUnusable):
    """The database stores text in another encoding than UTF-8."""

    code = "database-encoding"
    sentence = (
        "the database {database} stores text in the encoding {reason}, which lacks characters that verses may have: "
        "make another one, as by createdb --template=template0 --encoding=UTF8, and name it in `database_url`"
    )


class DatabaseTooNew(ArenaError):
    """A later version of the arena wrote the database."""

    code = "database-too-new"

    def __init__(self, found: str) -> None:
        super().__init__("this event was written by a newer version of the arena: install that one", revision=found)
