"""The event's states: what each allows, where an action leads, and what the clock alone changes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from arena.rules.lifecycle import (
    ENTRY_STATES,
    EVENT_STATES,
    GIVEN_UP,
    LIVE,
    TRANSITIONS,
    UNDECIDED,
    Action,
    allowed_states,
    allows,
    check_transition,
    is_closing_due,
    is_grace_over,
    phase_at,
    state_at,
)


@dataclass(frozen=True)
class Times:
    state: str
    closes_at: float | None = None
    grace_seconds: float = 10.0
    grace_ends_at: float | None = None


def test_every_action_stands_in_the_table_and_every_state_is_reached() -> None:
    assert set(TRANSITIONS) == set(Action)
    reached, found = {"draft"}, {"draft"}
    while found:
        found = {
            after
            for following in TRANSITIONS.values()
            for before, states in following.items()
            if before in found
            for after in states
        } - reached
        reached |= found
    assert reached == set(EVENT_STATES)


def test_a_published_event_allows_nothing_but_to_change_a_name() -> None:
    assert [action for action in Action if allows("published", action)] == [Action.EDIT_NAME]


def test_a_transition_that_the_table_lacks_is_an_error() -> None:
    check_transition(Action.UNDO_MATCH, "champion", "drawn")
    for action, before, after in (
        (Action.CLOSE_MATCH, "published", "champion"),
        (Action.PUBLISH, "drawn", "published"),
        (Action.DRAW_BRACKET, "closed", "open"),
    ):
        with pytest.raises(ValueError, match="does not lead"):
            check_transition(action, before, after)


def test_allowed_states_come_in_the_order_of_an_events_life() -> None:
    assert allowed_states(Action.PUBLISH) == ("closed", "champion")
    assert allowed_states(Action.DISQUALIFY) == ("open", "closed", "drawn", "champion")


def test_the_closing_time_closes_whenever_the_database_is_told() -> None:
    event = Times("open", closes_at=100.0)
    assert [state_at(event, now) for now in (99.9, 100.0)] == ["open", "closed"]
    assert [is_closing_due(event, now) for now in (99.9, 100.0)] == [False, True]
    assert [phase_at(event, now, voting=False) for now in (99.9, 100.0)] == ["entering", "checking"]
    assert state_at(Times("open"), 1e12) == "open"
    assert not is_closing_due(Times("closed", closes_at=1.0), 2.0)


def test_tensors_are_taken_until_the_grace_time_is_over() -> None:
    assert [is_grace_over(Times("open", closes_at=100.0), now) for now in (110.0, 110.1)] == [False, True]
    assert [is_grace_over(Times("closed", grace_ends_at=50.0), now) for now in (50.0, 50.1)] == [False, True]
    assert not is_grace_over(Times("open"), 1e12)
    assert all(is_grace_over(Times(state), 0.0) for state in EVENT_STATES if state not in ("open", "closed"))


def test_every_state_has_a_phase_and_an_open_match_comes_first() -> None:
    phases = [phase_at(Times(state), 0.0, voting=False) for state in EVENT_STATES]
    assert phases == ["before", "entering", "checking", "between", "champion", "published"]
    assert phase_at(Times("champion"), 0.0, voting=True) == "voting"


def test_groups_of_entry_states_share_no_state() -> None:
    assert not set(LIVE) & set(GIVEN_UP) and set(UNDECIDED) < set(LIVE)
    assert set(ENTRY_STATES) == {*LIVE, *GIVEN_UP, "refused", "disqualified"}
