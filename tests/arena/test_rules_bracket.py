"""The rules of the bracket, for every number of entries, with disqualifications and undone decisions."""

from __future__ import annotations

import random

import pytest

from arena.rules.bracket import (
    MAX_PLACES,
    NOBODY,
    Decision,
    LoserOf,
    PlannedMatch,
    Seed,
    Standing,
    WinnerOf,
    build_bracket,
    resolve_bracket,
    seed_positions,
    title_of,
)

SIZES = range(2, 65)


def entries(n: int) -> list[str]:
    return [f"e{seed}" for seed in range(1, n + 1)]


def play(
    matches: list[PlannedMatch], seeds: list[str], rng: random.Random | None = None, out: frozenset[str] = frozenset()
) -> tuple[dict[str, Decision], dict[str, Standing]]:
    """Decide every match as it becomes ready; without a generator the better seed wins."""
    decisions: dict[str, Decision] = {}
    while True:
        standings = resolve_bracket(matches, seeds, decisions, out)
        ready = [match.id for match in matches if standings[match.id].ready]
        if not ready:
            return decisions, standings
        for match in ready:
            upper, lower = standings[match].upper, standings[match].lower
            assert upper and lower
            winner = rng.choice([upper, lower]) if rng else min(upper, lower, key=seeds.index)
            decisions[match] = Decision(upper, lower, winner, "votes")


def final_of(matches: list[PlannedMatch]) -> str:
    return next(match.id for match in matches if match.kind == "final")


def test_a_bracket_without_entries_has_no_matches() -> None:
    assert seed_positions(0) == [] and build_bracket(0) == [] and resolve_bracket([], [], {}) == {}


def test_a_single_entry_is_champion_by_walkover() -> None:
    (match,) = build_bracket(1)
    assert (match.kind, match.upper, match.lower) == ("final", Seed(1), None)
    assert resolve_bracket([match], ["a"], {})[match.id] == Standing("a", NOBODY, "a", NOBODY, "walkover")


def test_two_entries_meet_in_a_final_and_there_is_no_third_place() -> None:
    assert build_bracket(2) == [PlannedMatch("r1m1", 1, 1, "final", Seed(1), Seed(2), number=1)]


def test_with_three_entries_the_loser_of_the_only_semifinal_is_third() -> None:
    matches, seeds = build_bracket(3), ["a", "b", "c"]
    standings = resolve_bracket(matches, seeds, {})
    assert (standings["r1m1"].winner, standings["r1m1"].decided_by) == ("a", "bye")
    assert (standings["r1m2"].upper, standings["r1m2"].lower, standings["r1m2"].ready) == ("b", "c", True)
    standings = resolve_bracket(matches, seeds, {"r1m2": Decision("b", "c", "c", "votes")})
    assert (standings["third"].winner, standings["third"].decided_by) == ("b", "walkover")
    assert (standings["r2m1"].upper, standings["r2m1"].lower, standings["r2m1"].ready) == ("a", "c", True)


def test_places_are_a_power_of_two_and_hold_every_seed_once() -> None:
    for n in SIZES:
        order = seed_positions(n)
        assert sorted(order) == list(range(1, len(order) + 1))
        assert len(order) & (len(order) - 1) == 0 and n <= len(order) < 2 * n


@pytest.mark.parametrize("n", SIZES)
def test_the_best_two_seeds_can_meet_only_in_the_final(n: int) -> None:
    """Where the better seed always wins, the two that meet in a round add up to one more than the places left."""
    matches = build_bracket(n)
    _, standings = play(matches, entries(n))
    for match in matches:
        if match.kind == "third":
            continue
        left = len(seed_positions(n)) // 2 ** (match.round - 1)
        sides = [int(side[1:]) for side in (standings[match.id].upper, standings[match.id].lower) if side]
        assert sum(sides) == left + 1 or (len(sides) == 1 and left + 1 - sides[0] > n)
    assert standings[final_of(matches)].winner == "e1" and standings[final_of(matches)].loser == "e2"


@pytest.mark.parametrize("n", SIZES)
def test_every_size_plays_to_one_champion_with_as_many_votes_as_it_must(n: int) -> None:
    matches, seeds = build_bracket(n), entries(n)
    assert len({match.id for match in matches}) == len(matches) == len(seed_positions(n)) - 1 + (n > 2)
    for chance in range(5):
        decisions, standings = play(matches, seeds, random.Random(chance))
        assert all(standing.closed for standing in standings.values())
        assert len(decisions) == n - 1 + (n > 3)  # each but the champion loses once; one more for the third place
        lost = [standings[match.id].loser for match in matches if match.kind != "third" and standings[match.id].loser]
        champion = standings[final_of(matches)].winner
        assert sorted([*lost, champion or ""]) == sorted(seeds)
        if n > 2:
            third = standings["third"].winner
            assert third and third not in (champion, standings[final_of(matches)].loser)


@pytest.mark.parametrize("n", SIZES)
def test_byes_are_in_the_first_round_only_and_go_to_the_best_seeds(n: int) -> None:
    _, standings = play(build_bracket(n), entries(n))
    byes = {standing.winner for standing in standings.values() if standing.decided_by == "bye"}
    assert byes == {f"e{seed}" for seed in range(1, len(seed_positions(n)) - n + 1)}
    assert all(match.startswith("r1") for match, standing in standings.items() if standing.decided_by == "bye")


def test_a_match_is_listed_after_the_matches_that_feed_it() -> None:
    for n in (3, 8, 23, 64, MAX_PLACES):
        known: set[str] = set()
        for match in build_bracket(n):
            needs = {side.match for side in (match.upper, match.lower) if isinstance(side, WinnerOf | LoserOf)}
            assert needs <= known
            known.add(match.id)
        assert build_bracket(n)[-1].kind == "final"


def test_a_bracket_refuses_more_entries_than_it_has_places() -> None:
    for n in (-1, MAX_PLACES + 1):
        with pytest.raises(ValueError, match="0 to 1024"):
            build_bracket(n)


def test_a_disqualified_side_loses_by_walkover() -> None:
    matches, seeds = build_bracket(4), entries(4)
    standings = resolve_bracket(matches, seeds, {}, {"e1"})
    assert (standings["r1m1"].winner, standings["r1m1"].loser, standings["r1m1"].decided_by) == ("e4", "e1", "walkover")
    standings = resolve_bracket(matches, seeds, {"r1m2": Decision("e2", "e3", "e2", "votes")}, {"e1"})
    assert (standings["third"].winner, standings["third"].decided_by) == ("e3", "walkover")
    assert standings["r2m1"].ready


def test_a_disqualified_entry_keeps_its_past_wins_and_loses_its_next_match() -> None:
    matches, seeds = build_bracket(4), entries(4)
    decisions = {"r1m1": Decision("e1", "e4", "e1", "votes"), "r1m2": Decision("e2", "e3", "e2", "votes")}
    standings = resolve_bracket(matches, seeds, decisions, {"e1"})
    assert (standings["r1m1"].winner, standings["r1m1"].decided_by) == ("e1", "votes")
    assert (standings["r2m1"].winner, standings["r2m1"].decided_by) == ("e2", "walkover")
    assert standings["third"].ready


def test_a_disqualified_champion_is_no_champion() -> None:
    decisions, _ = play(build_bracket(2), entries(2))
    assert resolve_bracket(build_bracket(2), entries(2), decisions, {"e1"})["r1m1"] == Standing(
        "e1", "e2", "e2", "e1", "walkover"
    )


def test_when_both_sides_are_disqualified_nobody_advances() -> None:
    standings = resolve_bracket(
        build_bracket(4), entries(4), {"r1m2": Decision("e2", "e3", "e2", "votes")}, {"e1", "e4"}
    )
    assert standings["r1m1"] == Standing("e1", "e4", NOBODY, NOBODY, "walkover")
    assert (standings["r2m1"].winner, standings["r2m1"].decided_by) == ("e2", "walkover")
    assert standings["third"].winner == "e3"
    standings = resolve_bracket(build_bracket(2), entries(2), {}, {"e1", "e2"})
    assert standings["r1m1"].winner == NOBODY and standings["r1m1"].closed


@pytest.mark.parametrize("n", SIZES)
def test_disqualifications_at_any_moment_leave_a_bracket_that_can_be_played_to_its_end(n: int) -> None:
    matches, seeds = build_bracket(n), entries(n)
    for chance in range(6):
        rng = random.Random(chance)
        decisions, _ = play(matches, seeds, rng)
        kept = dict(list(decisions.items())[: rng.randrange(len(decisions) + 1)])
        out = frozenset(rng.sample(seeds, rng.randrange(n + 1)))
        while True:
            standings = resolve_bracket(matches, seeds, kept, out)
            ready = [match.id for match in matches if standings[match.id].ready]
            if not ready:
                break
            for match in ready:
                upper, lower = standings[match].upper, standings[match].lower
                assert upper and lower and not {upper, lower} & out
                kept[match] = Decision(upper, lower, rng.choice([upper, lower]), "votes")
        assert all(standing.closed for standing in standings.values())
        assert standings[final_of(matches)].winner not in out


def test_a_decision_undone_and_made_again_restores_the_later_matches() -> None:
    for n in SIZES:
        matches, seeds = build_bracket(n), entries(n)
        decisions, standings = play(matches, seeds, random.Random(n))
        for undone in list(decisions)[:4]:
            without = {match: decision for match, decision in decisions.items() if match != undone}
            then = resolve_bracket(matches, seeds, without)
            assert not then[undone].closed and (undone == "third" or not then[final_of(matches)].closed)
            assert resolve_bracket(matches, seeds, without | {undone: decisions[undone]}) == standings


def test_a_decision_between_other_entries_is_ignored() -> None:
    decisions = {
        "r1m1": Decision("e1", "e4", "e1", "votes"),
        "r1m2": Decision("e2", "e3", "e2", "votes"),
        "r2m1": Decision("e1", "e2", "e1", "votes"),
    }
    changed = decisions | {"r1m1": Decision("e1", "e4", "e4", "votes")}
    standings = resolve_bracket(build_bracket(4), entries(4), changed)
    assert (standings["r2m1"].upper, standings["r2m1"].lower, standings["r2m1"].ready) == ("e4", "e2", True)


def test_matches_have_the_names_people_call_them_by() -> None:
    assert title_of("r5m1", 5, 1, 5) == "Final"
    assert title_of("third", 5, 2, 5) == "Third place"
    assert title_of("r4m2", 4, 2, 5) == "Semi-final 2"
    assert title_of("r3m4", 3, 4, 5) == "Quarter-final 4"
    assert title_of("r1m9", 1, 9, 5) == "Round of 32, match 9"
