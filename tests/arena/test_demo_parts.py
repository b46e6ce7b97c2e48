"""The parts of the demo: which verses its poets choose, its folder, its children, and where it opens pages."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import webbrowser
from pathlib import Path
from typing import Any

import pytest

from arena.demo.browser import can_open_pages, open_pages
from arena.demo.children import Children, DemoError
from arena.demo.demo import new_folder
from arena.demo.entering import make_tickets, train_models
from arena.demo.poets import LINES, POETS, TOKENS, Poet, Verse, choose_verses, known_share
from arena.services.schemas import EventRules
from arena.settings import create_event_folder
from tests.support.server import within
from trainer.checkpoint import read_checkpoint
from trainer.config import PRESETS
from trainer.corpus import load_corpus
from trainer.tokenizer import BPETokenizer

MOON, SEA = Poet("Aurora", "The moon"), Poet("Dilys", "The sea")


def verse(prompt: str, text: str = " is up,\nand all\nis well.", **changes: Any) -> Verse:
    usual: dict[str, Any] = {"temperature": "0.7", "seed": 1, "score": 50.0, "words": 6, "known": 6, "lines": 3}
    return Verse(model=Path("run"), prompt=prompt, text=text, **(usual | changes))


def test_each_poet_takes_the_verse_of_the_own_prompt_with_the_best_score() -> None:
    good, better = verse("The moon", score=50), verse("The moon", " fell,\nso soft\nand far.", score=60)
    best = verse("The sea", score=70)
    assert choose_verses([good, best, better], (MOON, SEA)) == {MOON: better, SEA: best}


@pytest.mark.parametrize(
    "fault",
    [
        {"lines": 2},
        {"known": 5},
        {"words": 0, "known": 0},
        {"text": " is up,\n\nand all\nis well."},
        {"text": " is up.\nHESHA:\nAnd all."},
    ],
    ids=["two lines", "an unknown word in six", "no words", "an empty line", "a speaker"],
)
def test_a_verse_that_is_not_well_formed_comes_after_one_that_is(fault: dict[str, Any]) -> None:
    good, worse = verse("The moon", " fell,\nso soft\nand far.", score=1), verse("The moon", **{"score": 99, **fault})
    assert choose_verses([worse, good], (MOON,)) == {MOON: good}
    assert choose_verses([worse], (MOON,)) == {MOON: worse}


def test_no_two_poets_choose_verses_with_the_same_first_line() -> None:
    same, next_best = (
        verse("The sea", " is up,\nbut none\nis there.", score=99),
        verse("The sea", " sinks\nand\nrises."),
    )
    assert choose_verses([same, next_best, verse("The moon")], (MOON, SEA)) == {MOON: verse("The moon"), SEA: next_best}


def test_two_poets_choose_different_seeds_if_they_can() -> None:
    fell, rose = " fell,\nso soft\nand far.", " rose,\nso cold\nand near."
    like_it, unlike = verse("The sea", fell, seed=1, score=99), verse("The sea", rose, seed=2, score=1)
    assert choose_verses([like_it, unlike, verse("The moon")], (MOON, SEA)) == {MOON: verse("The moon"), SEA: unlike}
    assert choose_verses([like_it, verse("The moon")], (MOON, SEA)) == {MOON: verse("The moon"), SEA: like_it}


def test_a_poet_whose_prompt_gave_nothing_takes_what_is_left_of_another_prompt() -> None:
    best, second = verse("The moon", score=60), verse("The moon", " fell,\nso soft\nand far.")
    assert choose_verses([second, best], (SEA, MOON)) == {SEA: second, MOON: best}
    assert choose_verses([best], (SEA, MOON)) == {MOON: best}


def test_every_prompt_leaves_room_for_the_verse_in_the_context_of_a_gpt2() -> None:
    context = min(preset.block_size for preset in PRESETS.values())
    assert max(len(poet.prompt) for poet in POETS) + TOKENS <= context


def test_the_tokens_of_a_verse_by_a_model_that_has_learned_nothing_are_not_too_long_to_be_shown() -> None:
    corpus = load_corpus("folio")
    learned = BPETokenizer.of(corpus.text[: corpus.split], len(corpus.symbols) + PRESETS["small"].n_merges)
    mean = sum(map(len, learned.vocabulary.tokens)) / learned.size  # characters, where every token is as likely
    assert TOKENS * mean < 0.9 * EventRules().characters
    assert TOKENS * len(corpus.text) / len(learned.encode(corpus.text)) > LINES * 42


def test_the_known_share_counts_words_and_not_verses() -> None:
    assert known_share([verse("The moon", words=10, known=10), verse("The sea", words=30, known=22)]) == 0.8
    assert known_share([]) == known_share([verse("The moon", words=0, known=0)]) == 0


def test_demos_in_the_usual_place_each_get_a_folder_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [new_folder(None) for _ in range(3)]
    assert folders == [tmp_path / "submissions" / f"demo-{number}" for number in (1, 2, 3)]
    assert all(folder.is_dir() for folder in folders)


def test_a_folder_that_holds_an_event_is_refused_with_the_command_that_serves_it(tmp_path: Path) -> None:
    create_event_folder(tmp_path / "a folder")
    with pytest.raises(DemoError, match=r"holds an event already: serve it with arena serve --dir '.*/a folder'"):
        new_folder(tmp_path / "a folder")


@pytest.mark.parametrize(
    ("environment", "platform", "watched", "opens"),
    [
        ({"DISPLAY": ":0"}, "linux", True, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True, True),
        ({"DISPLAY": ""}, "linux", True, False),
        ({}, "linux", True, False),
        ({}, "darwin", True, True),
        ({}, "win32", True, True),
        ({"DISPLAY": ":0"}, "linux", False, False),
        ({}, "darwin", False, False),
    ],
)
def test_pages_are_opened_only_from_a_terminal_on_a_machine_with_a_display(
    environment: dict[str, str], platform: str, watched: bool, opens: bool
) -> None:
    class Output(io.StringIO):
        def isatty(self) -> bool:
            return watched

    assert can_open_pages(Output(), environment, platform) is opens


def test_a_browser_that_cannot_be_started_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Event()

    def fail(address: str) -> bool:
        tried.set()
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "open", fail)
    open_pages(["http://127.0.0.1:1/"])  # an error in its thread would fail this test: warnings are errors
    assert tried.wait(10)
    within(10, lambda: not any(thread.name == "browser" for thread in threading.enumerate()))


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_no_child_starts_after_the_end_and_those_that_ran_have_ended() -> None:
    children = Children()
    waits = [sys.executable, "-c", "import threading; threading.Event().wait()"]
    reads = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    running = [children.start(waits), children.start(reads, stdin=subprocess.PIPE)]
    children.end()
    assert [child.returncode for child in running] == [-signal.SIGTERM, 0]
    with pytest.raises(DemoError, match="has ended"):
        children.start(waits)


def test_a_training_whose_event_does_not_answer_goes_on_without_its_race(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_tickets(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"  # nobody listens there once it is closed
    [model] = train_models(tmp_path, 0.1, 2, Children(), lambda line: None, address)
    assert model.is_file() and read_checkpoint(model).provenance["train"]["nonce"] == ""
    assert address.removeprefix("http://") in capfd.readouterr().err
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "tickets").iterdir()} == {0o600} or os.name != "posix"
