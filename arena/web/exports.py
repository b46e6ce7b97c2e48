"""The results as JSON and CSV, for other programs and for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from arena.services.schemas import MatchView, RankedEntry, RankedView, Ranking, Side

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # a spreadsheet computes these
RANKING_COLUMNS = ("place", "last_place", "name", "votes", "weights", "prompt", "verse", "bundle", "entry")
MATCH_COLUMNS = ("match", "title", "upper", "lower", "votes_upper", "votes_lower", "winner", "decided_by")


def results_json(ranking: Ranking, heats: list[RankedView]) -> bytes:
    """Return everything that is public as JSON."""
    facts = {"config", "recipe", "certificate", "provenance", "n_params"}
    data = {
        "event": ranking.event.name,
        "state": ranking.event.state,
        "draw_word": ranking.event.draw_word,
        "log": {"record": ranking.log_number, "hash": ranking.log_hash},
        "disqualified": ranking.disqualified,
        "ranking": [
            {
                "place": entry.first or None,
                "last_place": entry.last or None,
                "name": entry.name,
                "entry": entry.entry,
                "seed": entry.seed,
                "votes": entry.votes,
                "prompt": entry.prompt,
                "verse": entry.text,
                "bundle": entry.bundle,
                "model": {name: value for name, value in entry.facts.items() if name in facts},
            }
            for entry in ranking.entries
        ],
        "heats": [asdict(verse) for verse in heats],
        "matches": [_match(match) for match in ranking.matches if match.state == "closed"],
    }
    return json.dumps(data, ensure_ascii=False, indent=1).encode() + b"\n"


def _match(match: MatchView) -> dict[str, Any]:
    return {
        "match": match.id,
        "title": match.title,
        "upper": match.upper and match.upper.entry,
        "lower": match.lower and match.lower.entry,
        "tallies": match.tallies,
        "winner": match.winner,
        "decided_by": match.decided_by,
    }


def ranking_csv(ranking: Ranking) -> bytes:
    """Return a line for each entry whose place is known."""
    return _csv(RANKING_COLUMNS, (_ranked(entry) for entry in ranking.entries))


def _ranked(entry: RankedEntry) -> tuple[object, ...]:
    weights = entry.facts.get("n_params", "")
    return (
        *(entry.first or "", entry.last or "", entry.name, entry.votes),
        *(weights if isinstance(weights, int) else "", entry.prompt, entry.text, entry.bundle, entry.entry),
    )


def matches_csv(ranking: Ranking) -> bytes:
    """Return a line for each round of votes in a closed match."""
    closed = [match for match in ranking.matches if match.state == "closed" and match.decided_by != "bye"]
    return _csv(MATCH_COLUMNS, (row for match in closed for row in _rows(match)))


def _rows(match: MatchView) -> Iterable[tuple[object, ...]]:
    names = {side.entry: _name(side) for side in (match.upper, match.lower) if side}
    upper, lower = (names[side.entry] if side else "" for side in (match.upper, match.lower))
    tallies: list[list[int]] | list[list[str]] = match.tallies or [["", ""]]
    for tally in tallies:
        winner = names.get(match.winner or "", "")
        yield (match.id, match.title, upper, lower, *tally, winner, match.decided_by or "")


def _name(side: Side) -> str:
    return side.name if side.name is not None else f"no. {side.seed}"


def _csv(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")  # spreadsheets take the mark for UTF-8


def cell(value: object) -> object:
    """Return a value that no spreadsheet takes for a formula.

    >>> cell("=1+1"), cell(7), cell("O'Neill")
    ("'=1+1", 7, "O'Neill")
    """
    return "'" + value if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA) else value
