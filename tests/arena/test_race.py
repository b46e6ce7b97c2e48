"""The race: heartbeats of the trainings, curves under nicknames, and who may see, send and hide what."""

from __future__ import annotations

import json
import math
import random
import re
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from arena.cli import main
from arena.errors import CurveNotFound
from arena.rules.race import FIRST, LINE_CHARACTERS, MAX_BEATS, MAX_POINTS, SECOND, draw_nickname
from arena.services.drawing import draw_bracket
from arena.services.identity import identity_of, racer_id_of
from arena.services.log import read_records
from arena.services.race import MAX_RUNS, get_race, hide_curve, list_race, set_race, take_heartbeats
from arena.services.schemas import HeartbeatReceipt
from arena.store.schema import RacePoint, RaceRun
from arena.web.cookies import serializer
from tests.support.evening import Evening, secret_of
from tests.support.pages import Tags, hidden, token_of
from tests.support.simulated_trainers import SimulatedTrainer, simulate
from trainer.verse.identity import owner_id


@pytest.fixture
def racing(evening: Evening) -> Evening:
    return evening.begin()


def runner(evening: Evening, minutes: float = 10.0, samples: bool = False, seed: int = 1) -> SimulatedTrainer:
    return SimulatedTrainer(random.Random(seed), minutes, samples, begun_at=evening.now)


def send(evening: Evening, run: SimulatedTrainer, numbers: range, **more: Any) -> HeartbeatReceipt:
    body = run.body(numbers, more.pop("sent_at", evening.now), **more)
    return take_heartbeats(evening.db, run.secret, body, draw=random.Random(1).randrange, now=evening.now)


def post(evening: Evening, secret: str, body: bytes) -> Any:
    return evening.phone().post("/api/v1/heartbeats", data=body, headers={"Authorization": f"Bearer {secret}"})


def rows(evening: Evening) -> list[RacePoint]:
    with evening.db.reading() as session:
        return list(session.scalars(select(RacePoint).order_by(RacePoint.step)))


def test_a_training_is_a_curve_under_a_nickname_that_only_its_owner_is_told(racing: Evening) -> None:
    run = runner(racing)
    first = post(racing, run.secret, run.body(range(1), racing.now))
    assert first.status_code == 200 and re.fullmatch("[A-Z][a-z]+ [A-Z][a-z]+", first.json["nickname"])
    for number in range(1, 4):
        racing.now += 20
        assert send(racing, run, range(number, number + 1)).step == round(2_000 * number / 30)
    answer = racing.phone().get("/api/v1/race")
    [curve] = answer.json["curves"]
    assert curve["nickname"] == first.json["nickname"] and len(curve["points"]) == 3
    assert all(point["live"] for point in curve["points"]) and curve["points"][0]["bits"] > curve["points"][-1]["bits"]
    again = racing.phone().get("/api/v1/race", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert racing.phone().get("/api/v1/state").json["race"]["runs"] == 1


def test_nothing_public_or_stored_leads_from_a_curve_to_its_owner(racing: Evening) -> None:
    run = runner(racing)
    send(racing, run, range(3))
    owner = owner_id(run.secret)
    with racing.db.reading() as session:
        stored = json.dumps([str(vars(row)) for row in session.scalars(select(RaceRun))])
    public = (
        racing.phone().get("/api/v1/race").text + racing.phone().get("/race").text + racing.phone().get("/stage").text
    )
    for hidden_text in (owner, run.secret, run.run):
        assert hidden_text not in public
    assert owner not in stored and run.secret not in stored
    names = {draw_nickname([], random.Random(seed).randrange) for seed in range(50)}
    assert len(names) > 40, "the nickname follows from chance alone"
    assert all(len(set(words.split())) == len(words.split()) for words in (FIRST, SECOND))


def test_what_is_known_already_changes_nothing_and_a_new_run_takes_the_place_of_the_one_before(racing: Evening) -> None:
    run = runner(racing, minutes=1)
    nickname = send(racing, run, range(3)).nickname
    racing.now += 2
    assert send(racing, run, range(4)).nickname == nickname and len(rows(racing)) == 3
    racing.now += 30
    newer = runner(racing, seed=2)
    newer.secret = run.secret
    assert send(racing, newer, range(2)).nickname
    [curve] = get_race(racing.db).curves
    assert len(curve.points) == 1, "one run of a person is shown, the latest"
    racing.now += 30
    answer = post(racing, run.secret, run.body(range(4, 6), racing.now))
    assert (answer.status_code, answer.json["error"]) == (409, "run-replaced")


def test_heartbeats_that_come_late_or_faster_than_the_clock_are_marked_as_not_seen_live(racing: Evening) -> None:
    late = runner(racing, minutes=10)
    racing.now += 600
    send(racing, late, range(1, 31))
    live = [row.seen_live for row in rows(racing)]
    assert live[:26] == [False] * 26 and live[26], "the last minute may have been seen"
    liar = runner(racing, minutes=60, seed=2)
    beats = [liar.beat(number, at=racing.now) for number in range(1, 5)]
    send(racing, liar, range(0), beats=beats)
    with racing.db.reading() as session:
        mine = RacePoint.racer_id == racer_id_of(liar.secret)
        live = list(session.scalars(select(RacePoint.seen_live).where(mine).order_by(RacePoint.step)))
    assert live == [False] * 4, "two minutes each, and no time has passed"
    page = racing.phone().get("/api/v1/race").json
    assert any(not point["live"] for curve in page["curves"] for point in curve["points"])


def test_forged_numbers_are_refused_and_nothing_is_kept(racing: Evening) -> None:
    run = runner(racing)
    good = run.beat(3)
    for wrong in (
        {"bits": math.nan}, {"bits": math.inf}, {"bits": -1.0}, {"bits": 1e9}, {"bits": "2"}, {"bits": True},
        {"step": -1}, {"step": 1.5}, {"step": 3_000}, {"steps": 10**9}, {"step": True}, {"minutes": -1.0},
        {"minutes": 1e6}, {"checkpoint": "A" * 64}, {"checkpoint": 7}, {"sample": ["x"]}, {"prompt": "The moon"},
    ):  # fmt: skip
        text = json.dumps({"run": run.run, "begun_at": 1.0, "sent_at": 2.0, "beats": [good | wrong]})
        answer = post(racing, run.secret, text.encode())
        assert (answer.status_code, answer.json["error"]) == (422, "bad-heartbeat"), wrong
    for beats in ([good, good], [run.beat(4), good], [run.beat(0)] * (MAX_BEATS + 1)):
        assert post(racing, run.secret, run.body(range(0), 2.0, beats=beats)).status_code == 422
    for body in (b"", b"[]", b"{}", b"\xff", b'{"run":"x","begun_at":1,"sent_at":1,"beats":[]}'):
        assert post(racing, run.secret, body).status_code == 422
    assert post(racing, run.secret, b" " * 20_000).status_code == 413
    assert rows(racing) == [] and list_race(racing.db).curves == []


def test_without_a_secret_or_a_ticket_nobody_sends_heartbeats(racing: Evening) -> None:
    run = runner(racing)
    answer = racing.phone().post("/api/v1/heartbeats", data=run.body(range(1), racing.now))
    assert answer.status_code == 401 and post(racing, "short", run.body(range(1), racing.now)).status_code == 401
    CliRunner().invoke(main, ["event", "admission", "tickets", "--dir", str(racing.folder)])
    assert post(racing, run.secret, run.body(range(1), racing.now)).status_code == 403


def test_nobody_adds_to_the_run_of_somebody_else(racing: Evening) -> None:
    run = runner(racing)
    nickname = send(racing, run, range(3)).nickname
    thief = runner(racing, seed=2)
    thief.run = run.run
    assert send(racing, thief, range(5)).nickname != nickname
    mine = next(curve for curve in get_race(racing.db).curves if curve.nickname == nickname)
    assert len(mine.points) == 2


def test_a_flood_of_heartbeats_is_refused_and_a_curve_stays_short(racing: Evening) -> None:
    run = runner(racing, minutes=300)
    run.steps, run.beats = 100_000, 2_000
    send(racing, run, range(1))
    assert post(racing, run.secret, run.body(range(2), racing.now)).json["error"] == "heartbeat-too-soon"
    other = runner(racing, seed=2)
    other.secret = run.secret
    assert post(racing, run.secret, other.body(range(1), racing.now)).status_code == 429, "nor run after run"
    for start in range(1, 1_600, MAX_BEATS):
        racing.now += 2
        send(racing, run, range(start, start + MAX_BEATS))
    assert MAX_POINTS // 2 <= len(rows(racing)) <= MAX_POINTS
    assert rows(racing)[0].step == 50, "its beginning stays"
    assert len(get_race(racing.db).curves[0].points) <= 90
    with racing.db.reading() as session:
        kinds = [record.kind for record in read_records(session)]
    assert kinds == ["event-created", "submissions-opened"], "no heartbeat is a record of the log"


def test_the_race_holds_so_many_runs_and_a_silent_one_makes_room(
    racing: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_RUNS == 512
    monkeypatch.setattr("arena.services.race.MAX_RUNS", 3)
    runs = simulate(4, begun_at=racing.now)
    for run in runs[:3]:
        send(racing, run, range(2))
    answer = post(racing, runs[3].secret, runs[3].body(range(2), racing.now))
    assert (answer.status_code, answer.json["error"]) == (409, "race-full")
    racing.now += 700
    send(racing, runs[3], range(2))
    with racing.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(RaceRun)) == 3


def test_a_sample_is_two_short_lines_without_what_cannot_be_seen_and_never_markup(racing: Evening) -> None:
    run = runner(racing)
    text = "\u202eO <b>moon</b>\u200b\n\n<script>alert(1)</script>" + "x" * 200 + "\nthird\n\x1b[2Jfourth"
    beat = run.beat(5) | {"sample": "first\u200b line\n" + "y" * 300 + "\nthird"}
    send(racing, run, range(0), beats=[beat])
    assert get_race(racing.db).curves[0].sample == ["first line", "y" * LINE_CHARACTERS]
    racing.now += 5
    send(racing, run, range(0), beats=[run.beat(6) | {"sample": text}])
    sample = get_race(racing.db).curves[0].sample
    assert len(sample) == 2 and not any(c in "".join(sample) for c in "\u202e\u200b\x1b")
    for client, path in ((racing.organizer(), "/console"), (racing.phone(), "/race"), (racing.phone(), "/stage")):
        page = client.get(path).text
        assert "<script>alert" not in page and Tags(page).tags


def test_the_organizer_hides_a_curve_and_switches_the_race_off_on_the_console_and_by_command(racing: Evening) -> None:
    run, other = simulate(2, begun_at=racing.now)
    nickname = send(racing, run, range(3)).nickname
    send(racing, other, range(3))
    organizer = racing.organizer()

    def act(action: str, **fields: str) -> int:
        page = organizer.get("/console")
        seen = fields.pop("seen", hidden(page, "seen"))
        return organizer.post(action, data={"token": token_of(page), "seen": seen, **fields}).status_code

    before = hidden(organizer.get("/console"), "seen")
    assert nickname in organizer.get("/console").text
    assert act("/console/race/curve", nickname=nickname) == 303
    assert act("/console/race/curve", nickname=nickname, off="1", seen=before) == 409, "made from an older state"
    assert nickname not in racing.phone().get("/api/v1/race").text + racing.phone().get("/race").text
    racing.now += 20
    newer = runner(racing, seed=3)
    newer.secret = run.secret
    assert send(racing, newer, range(2)).nickname not in racing.phone().get("/api/v1/race").text, "stays hidden"

    def command(*words: str) -> str:
        result = CliRunner().invoke(main, ["race", *words, "--dir", str(racing.folder)])
        return result.output + str(result.exit_code)

    listed = command("list")
    [mine] = [line for line in listed.splitlines() if "hidden" in line]
    name = " ".join(mine.split()[:2])
    assert "hidden" not in command("show", name.upper()) and name in racing.phone().get("/api/v1/race").text
    assert "no curve" in command("hide", "Nobody Here")
    assert act("/console/race", off="1") == 303
    assert racing.phone().get("/api/v1/race").json == {"on": False, "curves": []}
    assert post(racing, other.secret, other.body(range(4), racing.now)).json["error"] == "race-off"
    assert "not shown" in racing.phone().get("/race").text and "off" in command("list")
    assert "is shown" in command("on") and racing.phone().get("/api/v1/race").json["on"]


def test_an_unknown_curve_is_an_error(racing: Evening) -> None:
    with pytest.raises(CurveNotFound):
        hide_curve(racing.db, "Nobody Here", now=racing.now)


def test_pages_say_what_to_type_until_the_first_curve_and_show_the_race_until_the_draw(racing: Evening) -> None:
    phone = racing.phone()
    assert "trainer train --event" in phone.get("/race").text and "/race" not in phone.get("/").text
    assert "begins here" in phone.get("/stage").text
    run = runner(racing)
    nickname = send(racing, run, range(3)).nickname
    assert 'href="/race"' in phone.get("/").text and nickname in phone.get("/race").text
    stage = phone.get("/stage").text
    assert "data-race" in stage and nickname not in stage
    phone.set_cookie("t", cookie_of(racing, run.secret))
    assert f'data-own="{nickname}"' in phone.get("/race").text
    for number in range(2):
        racing.author(f"Poet {number}", number)
    racing.verify_all()
    racing.close()
    assert nickname in phone.get("/race").text and "data-race" not in phone.get("/stage").text
    racing.now += 10
    assert send(racing, run, range(3, 5)).step > 0, "a run that was offline carries its heartbeats"
    draw_bracket(racing.db, word="thimble", now=racing.now)
    assert get_race(racing.db).curves == [] and "The race is over" in phone.get("/race").text
    assert post(racing, run.secret, run.body(range(9), racing.now)).status_code == 409
    set_race(racing.db, False, now=racing.now)


def cookie_of(evening: Evening, secret: str) -> str:
    return str(serializer(evening.settings, "voter").dumps(secret))


def test_a_vote_has_another_id_than_a_curve() -> None:
    secret = secret_of("Ada")
    ids = identity_of(secret)
    assert len({ids.owner_id, ids.voter_id, racer_id_of(secret)}) == 3
