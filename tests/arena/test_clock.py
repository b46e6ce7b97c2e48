"""A clock that jumps and a laptop that sleeps, simulated: what is open closes after the time it was opened for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from markupsafe import escape

from arena.cli import main
from arena.clock import ASK_SECONDS, QUICK_SECONDS, EventClock, RemoteClock, awake_seconds, boot_id
from arena.errors import AlreadyDone, ClocksAgree, DatabaseUnreachable
from arena.scheduler import Scheduler
from arena.services.events import set_closing_time
from arena.services.log import verify_log
from arena.services.queries import console_view, get_open_match, latest_record
from arena.services.rounds import pause, pause_unserved
from arena.services.schemas import MatchView
from arena.services.timing import follow_computer, start_clock, watch_clock
from arena.services.verification import renew
from tests.support.evening import START, Evening
from tests.support.pages import post

HOUR = 3_600.0


class Computer:
    """A computer with a clock that can be changed, and that can sleep and start again."""

    def __init__(self, folder: Path) -> None:
        self.wall, self.awake, self.boots, self.path = START, 500.0, 1, folder / "clock.json"

    def clock(self) -> EventClock:
        """As each process makes one."""
        return EventClock(self.path, wall=lambda: self.wall, awake=lambda: self.awake, boot=f"boot {self.boots}")

    def wait(self, seconds: float) -> None:
        self.wall, self.awake = self.wall + seconds, self.awake + seconds

    def sleep(self, seconds: float) -> None:
        self.wall += seconds

    def restart(self) -> None:
        self.boots, self.awake = self.boots + 1, 20.0


class Served(Evening):
    """An event on such a computer, as a server would carry it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.computer = Computer(folder)
        self.clock = self.computer.clock()
        self.scheduler = Scheduler(self.db, self.spool, clock=self.clock)

    @property
    def now(self) -> float:
        return self.clock() if hasattr(self, "computer") else START

    @now.setter
    def now(self, now: float) -> None:
        pass

    def start(self) -> None:
        start_clock(self.db, self.clock)

    def pass_seconds(self, seconds: int) -> None:
        """Let time pass, the scheduler looking every second."""
        for _ in range(seconds):
            self.computer.wait(1)
            self.scheduler.step()

    def is_open(self) -> bool:
        return get_open_match(self.db, now=self.now) is not None

    def left(self) -> float:
        match = get_open_match(self.db, now=self.now)
        assert match is not None and match.closes_at is not None
        return match.closes_at - self.now


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """An event with an open match: 60 seconds of voting, of which 20 have passed, and one vote."""
    event = Served(tmp_path / "event").create()
    assert isinstance(event, Served)
    event.start()
    authors = event.voting(2)
    event.pass_seconds(20)
    event.vote("somebody", "r1m1", authors[0].text)
    yield event
    event.end()


JUMPS = {"forth": HOUR, "back": -HOUR, "sleep": 180.0, "a year": 365 * 86_400.0}


@pytest.mark.parametrize("jump", JUMPS)
def test_a_match_takes_its_time_whatever_the_computer_s_clock_does(served: Served, jump: str) -> None:
    served.computer.sleep(JUMPS[jump])
    served.pass_seconds(39)
    assert served.is_open() and served.left() == pytest.approx(1)
    served.pass_seconds(2)
    assert not served.is_open()


@pytest.mark.parametrize("jump", JUMPS)
def test_the_jump_is_said_once_in_the_log_and_shown_on_the_console_until_somebody_decides(
    served: Served, jump: str, caplog: pytest.LogCaptureFixture
) -> None:
    served.computer.sleep(JUMPS[jump])
    served.pass_seconds(3)
    kinds = [record["kind"] for record in console_view(served.db, now=served.now).recent]
    assert kinds.count("clock-differs") == 1
    assert sum("the event's" in message for message in caplog.messages) == 1
    organizer = served.organizer()
    page = organizer.get("/console").text
    assert str(escape("This computer's clock says")).replace("&#39;", "'") in page.replace("&#39;", "'")
    left = served.left()
    answer = post(organizer, "/console", "/console/clock", keep="time-left", seen=latest_record(served.db))
    assert answer.status_code == 303
    assert served.left() == pytest.approx(left), "the time that is left is kept"
    assert served.clock.ahead == 0 and "clock says" not in organizer.get("/console").text
    served.pass_seconds(int(left) + 1)
    assert not served.is_open()
    verify_log(served.db)


def test_closing_times_can_stay_the_times_of_day_that_were_said(served: Served) -> None:
    served.computer.sleep(30)
    served.pass_seconds(1)
    left = served.left()
    follow_computer(served.db, served.clock, keep_time_left=False)
    assert served.left() == pytest.approx(left - 30)


def test_a_second_tap_or_a_decision_about_nothing_is_refused(served: Served) -> None:
    with pytest.raises(ClocksAgree):
        follow_computer(served.db, served.clock, keep_time_left=True)
    served.computer.sleep(HOUR)
    seen = latest_record(served.db)
    follow_computer(served.db, served.clock, keep_time_left=True, seen=seen)
    with pytest.raises(AlreadyDone):
        follow_computer(served.db, served.clock, keep_time_left=True, seen=seen)


def test_where_nothing_is_open_the_event_takes_the_computer_s_time_without_a_word(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    served.pass_seconds(60)
    assert not served.is_open()
    served.computer.sleep(8 * HOUR)
    served.pass_seconds(1)
    assert served.clock.ahead == 0 and served.now == pytest.approx(served.computer.wall)
    assert not caplog.messages


@pytest.mark.parametrize("jump", JUMPS)
def test_a_worker_keeps_its_lease_and_a_dead_one_s_entry_comes_back_in_half_a_minute(tmp_path: Path, jump: str) -> None:
    event = Served(tmp_path / "event").begin()
    assert isinstance(event, Served)
    event.start()
    event.author("Ada", 1)
    job = event.lease("one")
    assert job is not None
    event.computer.sleep(JUMPS[jump])
    event.pass_seconds(10)  # the computer's time is taken, since nothing closes by the clock
    assert event.clock.ahead == 0
    assert renew(event.db, job, lease_seconds=30, now=event.now)
    event.pass_seconds(25)
    assert event.lease("two") is None
    event.pass_seconds(10)
    assert event.lease("two") is not None
    event.end()


def test_submissions_that_close_by_the_clock_count_on_too(tmp_path: Path) -> None:
    event = Served(tmp_path / "event").begin()
    assert isinstance(event, Served)
    event.start()
    set_closing_time(event.db, event.now + 60, now=event.now)
    event.computer.sleep(HOUR)
    event.pass_seconds(50)
    assert console_view(event.db, now=event.now).event.state == "open"
    event.pass_seconds(15)
    assert console_view(event.db, now=event.now).event.state == "closed"
    event.end()


def test_every_process_counts_alike_and_a_second_server_goes_on(served: Served) -> None:
    served.computer.sleep(HOUR)
    other = served.computer.clock()
    assert other() == served.clock() and other.ahead == HOUR
    left = served.left()
    start_clock(served.db, other)  # the server was ended and started again, in the same minute
    assert served.left() == pytest.approx(left)


def test_after_a_restart_with_a_clock_that_went_back_a_match_keeps_the_time_it_had_left(served: Served) -> None:
    last = served.now  # of a record: the vote was the last thing that happened
    open_time = served.left()
    served.computer.restart()
    served.computer.wall -= 40 * 365 * 86_400  # no battery
    clock = served.computer.clock()
    start_clock(served.db, clock)
    match = get_open_match(served.db, now=clock())
    assert match is not None and match.closes_at is not None
    assert open_time <= match.closes_at - clock() <= open_time + 25, "what passed since the last record of the log"
    assert clock() < last


def come_back(served: Served) -> list[MatchView]:
    """Start the server again, as `arena serve` does."""
    served.clock = served.computer.clock()
    served.scheduler = Scheduler(served.db, served.spool, clock=served.clock)
    restarted = served.clock.is_of_earlier_start
    assert start_clock(served.db, served.clock) == 0
    return pause_unserved(served.db, restarted=restarted, now=served.now)


@pytest.mark.parametrize("away", [30.0, 1_800.0])
def test_a_match_that_was_open_when_the_computer_started_again_stands_until_the_organizer_says(
    served: Served, away: float
) -> None:
    left = served.left()
    served.computer.restart()
    served.computer.wall += away
    assert [match.paused for match in come_back(served)] == [True]
    assert watch_clock(served.db, served.clock) == 0
    served.pass_seconds(90)
    assert served.is_open(), "nothing closes by itself"
    organizer = served.organizer()
    page = organizer.get("/console").text
    assert "stands still.</b> The server was away after" in page
    assert "since the server was away" in page, "the log says it, too"
    said = CliRunner().invoke(main, ["event", "show", "--dir", str(served.folder)])
    assert said.exit_code == 0 and "paused" in said.output
    seen = latest_record(served.db)
    assert post(organizer, "/console", "/console/clock/resume", seen=seen).status_code == 303
    assert "The server was away" not in organizer.get("/console").text
    assert left <= served.left() <= left + 21, "as much as at the log's latest record"
    served.pass_seconds(int(left) + 22)
    assert not served.is_open()
    verify_log(served.db)
    assert served.differences() == []


def test_a_match_whose_time_ended_while_no_server_ran_stands_too(served: Served) -> None:
    served.computer.wait(served.left() - 5)  # the computer was not started again
    assert [match.id for match in come_back(served)] == ["r1m1"]
    assert come_back(served) == [], "a second start finds it standing"
    served.pass_seconds(20)
    assert served.is_open()


def test_a_server_that_is_back_soon_changes_nothing(served: Served) -> None:
    left = served.left()
    served.computer.wait(15)
    assert come_back(served) == [] and served.left() == pytest.approx(left - 15)
    pause(served.db, now=served.now)
    page = served.organizer().get("/console").text
    assert "Go on" in page and "The server was away" not in page, "the organizer's own pause needs no explanation"


def test_the_command_says_what_both_clocks_say_and_sets_the_event_s(tmp_path: Path) -> None:
    event = Evening(tmp_path / "event", now=None).create()
    run = CliRunner()
    said = run.invoke(main, ["event", "clock", "--dir", str(event.folder)])
    assert said.exit_code == 0 and "the event's clock says" in said.output
    refused = run.invoke(main, ["event", "clock", "--follow", "--dir", str(event.folder)])
    assert refused.exit_code == 1 and "agree: there is nothing to decide" in refused.output
    clock = EventClock(event.settings.clock)
    ahead = EventClock(event.settings.clock, wall=lambda: clock.computer - HOUR)
    event.voting(2)
    ahead.follow()  # as if the server had been started an hour ago by this clock
    said = run.invoke(main, ["event", "clock", "--dir", str(event.folder)])
    assert "this computer's clock is 3600 seconds ahead" in said.output.replace(",", "")
    done = run.invoke(main, ["event", "clock", "--follow", "--dir", str(event.folder)])
    assert done.exit_code == 0 and "ahead" not in done.output
    event.end()


def test_this_system_tells_how_long_it_is_awake_and_which_start_it_is() -> None:
    first = awake_seconds()
    assert 0 < first <= awake_seconds()
    assert boot_id() == boot_id()


def test_a_damaged_or_foreign_file_of_the_clock_is_as_none(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    clock = EventClock(path, wall=lambda: START, awake=lambda: 5.0, boot="a")
    foreign = '{"time":1.0,"awake":2.0,"boot":"b"}'
    to_come = '{"time":1.0,"awake":9.0,"boot":"a"}'
    for text in ("", "{", "[]", '{"time": 1}', foreign, to_come):
        path.write_text(text)
        assert clock() == START


def test_a_clock_of_another_computer_is_asked_now_and_then_and_counts_on_while_that_is_away() -> None:
    awake, away, asked, slow = 100.0, False, 0, 0.0

    def ask() -> float:
        nonlocal asked, awake
        asked += 1
        if away:
            raise DatabaseUnreachable("", "")
        awake += slow
        return START + awake - slow / 2

    clock = RemoteClock(ask, awake=lambda: awake)
    away = True
    with pytest.raises(DatabaseUnreachable):
        clock()
    away = False
    assert clock() == START + 100 and asked == 2
    awake += ASK_SECONDS - 1
    assert clock() == START + awake and asked == 2
    away = True
    awake += 1
    assert clock() == START + awake and clock() == START + awake and asked == 3
    away, slow = False, 2 * QUICK_SECONDS
    awake += ASK_SECONDS
    assert clock() == START + awake and asked == 4, "an answer that took long is not believed"
