"""States of an event, its entries and its matches, and the actions that each state of the event allows."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Literal, Protocol, get_args

EventState = Literal["draft", "open", "closed", "drawn", "champion", "published"]
EVENT_STATES: tuple[EventState, ...] = get_args(EventState)
Admission = Literal["tickets", "pin", "open"]  # who may vote
ADMISSIONS: tuple[Admission, ...] = get_args(Admission)
Phase = Literal["before", "entering", "checking", "between", "voting", "champion", "published"]

UNDECIDED = ("receiving", "waiting", "verifying")  # entries without a verdict
LIVE = (*UNDECIDED, "verified")  # entries that can still take part
GIVEN_UP = ("expired", "replaced", "withdrawn")  # the same claim may come again
ENTRY_STATES = (*LIVE, "refused", *GIVEN_UP, "disqualified")

TIMES = {"reading_seconds", "match_seconds", "revote_seconds"}  # rules that may change while the bracket is played
MATCH_STATES = ("pending", "open", "closed")
TICKET_STATES = ("valid", "spare", "void")


class Action(Enum):
    """An action in an event. The value names it in an error message."""

    SET_LIMITS = "setting the limits"
    SET_TIMES = "changing the title or the times of matches"
    EDIT_NAME = "changing the name that is shown"
    HOLD_BACK = "holding a verse back"
    VERIFY_AGAIN = "verifying a verse again"
    SET_ADMISSION = "choosing who may vote"  # before the first match
    ISSUE_TICKETS = "issuing tickets"  # before the first match
    CHANGE_TICKETS = "changing tickets"
    OPEN_SUBMISSIONS = "opening submissions"
    SET_CLOSING_TIME = "setting the closing time"
    CLOSE_SUBMISSIONS = "closing submissions"
    SEND_CLAIM = "entering a verse"  # once closed: only after a verdict of UNDECIDED, within the grace time
    SEND_TENSORS = "sending the tensors of a verse"  # once closed: within the grace time
    SEND_HEARTBEAT = "following a training"
    ADD_COAUTHOR = "naming further authors"  # before the draw: they have no vote in its matches
    RENAME_ENTRY = "changing an author's name"
    WITHDRAW = "withdrawing this verse"
    DISQUALIFY = "disqualifying"
    REINSTATE = "reinstating"
    OPEN_HEATS = "opening the heats"
    CLOSE_HEATS = "closing the heats"
    JUDGE_PAIR = "judging a pair"
    DRAW_BRACKET = "drawing the bracket"
    UNDO_DRAW = "taking the draw back"
    PRACTISE = "a practice vote"
    OPEN_MATCH = "opening a match"
    SET_MATCH_TIME = "changing the time of a match"
    CLOSE_MATCH = "closing a match"
    UNDO_MATCH = "undoing a match"
    PUBLISH = "publishing"


_PLAYED: Mapping[EventState, tuple[EventState, ...]] = {
    "drawn": ("drawn", "champion"),
    "champion": ("drawn", "champion"),
}
_BEFORE_DRAW: Mapping[EventState, tuple[EventState, ...]] = {"open": ("open",), "closed": ("closed",)}
_PUT_OUT: Mapping[EventState, tuple[EventState, ...]] = {"open": ("open",), "closed": ("closed",), **_PLAYED}

_UNPLAYED: Mapping[EventState, tuple[EventState, ...]] = {
    "draft": ("draft",),
    "open": ("open",),
    "closed": ("closed",),
    "drawn": ("drawn",),
}

# For each action: the states that allow it, and for each of those the states it may lead to.
TRANSITIONS: Mapping[Action, Mapping[EventState, tuple[EventState, ...]]] = {
    Action.SET_TIMES: {**_UNPLAYED, "champion": ("champion",)},
    Action.EDIT_NAME: {state: (state,) for state in EVENT_STATES},  # somebody may ask for it long after the event
    Action.HOLD_BACK: {"open": ("open",), "closed": ("closed",)},
    Action.VERIFY_AGAIN: {"open": ("open",), "closed": ("closed",)},
    Action.SET_LIMITS: {"draft": ("draft",), "open": ("open",), "closed": ("closed",)},
    Action.SET_ADMISSION: _UNPLAYED,
    Action.ISSUE_TICKETS: _UNPLAYED,
    Action.CHANGE_TICKETS: {**_UNPLAYED, "champion": ("champion",)},
    Action.OPEN_SUBMISSIONS: {"draft": ("open",), "closed": ("open",)},
    Action.SET_CLOSING_TIME: {"draft": ("draft",), "open": ("open",)},
    Action.CLOSE_SUBMISSIONS: {"open": ("closed",)},
    Action.SEND_CLAIM: {"open": ("open",), "closed": ("closed",)},
    Action.SEND_TENSORS: {"open": ("open",), "closed": ("closed",)},
    Action.SEND_HEARTBEAT: _BEFORE_DRAW,
    Action.ADD_COAUTHOR: _BEFORE_DRAW,
    Action.RENAME_ENTRY: {"open": ("open",), "closed": ("closed",)},
    Action.WITHDRAW: {"open": ("open",), "closed": ("closed",)},
    Action.DISQUALIFY: _PUT_OUT,
    Action.REINSTATE: _PUT_OUT,
    Action.OPEN_HEATS: _BEFORE_DRAW,
    Action.CLOSE_HEATS: _BEFORE_DRAW,
    Action.JUDGE_PAIR: _BEFORE_DRAW,
    Action.DRAW_BRACKET: {"closed": ("drawn",)},
    Action.UNDO_DRAW: {"drawn": ("closed",), "champion": ("closed",)},  # before the first vote
    Action.PRACTISE: {state: (state,) for state in ("draft", "open", "closed", "drawn")},
    Action.OPEN_MATCH: {"drawn": ("drawn",), "champion": ("champion",)},
    Action.SET_MATCH_TIME: {"drawn": ("drawn",), "champion": ("champion",)},
    Action.CLOSE_MATCH: _PLAYED,
    Action.UNDO_MATCH: _PLAYED,
    Action.PUBLISH: {"closed": ("published",), "champion": ("published",)},  # closed: fewer than two verses took part
}


class Submissions(Protocol):
    """The state of an event and the times of its submissions, in seconds since the epoch."""

    @property
    def state(self) -> str:
        """One of `EVENT_STATES`, as the database holds it."""

    @property
    def closes_at(self) -> float | None:
        """When submissions close automatically; None: by hand only."""

    @property
    def grace_seconds(self) -> float:
        """How long after the closing tensors may follow."""

    @property
    def grace_ends_at(self) -> float | None:
        """When that time ends, once submissions are closed."""


def allowed_states(action: Action) -> tuple[EventState, ...]:
    """States of the event that allow an action, in the order of its life.

    >>> allowed_states(Action.PUBLISH)
    ('closed', 'champion')
    """
    return tuple(state for state in EVENT_STATES if state in TRANSITIONS[action])


def allows(state: str, action: Action) -> bool:
    """Whether a state of the event allows an action."""
    return state in allowed_states(action)


def check_transition(action: Action, before: str, after: str) -> None:
    """Check that an action may lead from one state of the event to another.

    Args:
        action: what is done.
        before: the event's state.
        after: its next state, which may be the same.

    Raises:
        ValueError: The table has no such transition.
    """
    if not any(state == before and after in following for state, following in TRANSITIONS[action].items()):
        raise ValueError(f"{action.value} does not lead from {before!r} to {after!r}")


def is_drawn(state: str) -> bool:
    """Whether the bracket exists and is still played."""
    return state in ("drawn", "champion")


def has_champion(state: str) -> bool:
    """Whether the champion is known and public."""
    return state in ("champion", "published")


def is_closing_due(event: Submissions, now: float) -> bool:
    """Whether submissions are open in the database and their closing time has come."""
    return event.state == "open" and event.closes_at is not None and event.closes_at <= now


def state_at(event: Submissions, now: float) -> str:
    """The event's state by the clock: closed from the closing time on, even before the database says so."""
    return "closed" if is_closing_due(event, now) else event.state


def is_grace_over(event: Submissions, now: float) -> bool:
    """Whether tensors are no longer taken."""
    if not allows(event.state, Action.SEND_TENSORS):
        return True
    end = event.grace_ends_at
    if event.state == "open":
        end = None if event.closes_at is None else event.closes_at + event.grace_seconds
    return end is not None and now > end


def phase_at(event: Submissions, now: float, *, voting: bool) -> Phase:
    """Compute the phase of an event: what happens now, in one word.

    Args:
        event: the event.
        now: seconds since the epoch.
        voting: whether a match is open.
    """
    if voting:
        return "voting"
    return _PHASES[state_at(event, now)]


_PHASES: Mapping[str, Phase] = {
    "draft": "before",
    "open": "entering",
    "closed": "checking",
    "drawn": "between",
    "champion": "champion",
    "published": "published",
}
