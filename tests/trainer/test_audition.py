"""`trainer audition`: what it writes, drops and ranks, and that each submit line writes the same verse again."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import PHONE, needs_chromium
from tests.support.small_models import LINEAR_A, small_checkpoint
from tests.support.training_runs import tiny
from trainer import cli
from trainer.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from trainer.corpus import KNOWN_CORPORA, Corpus, load_corpus
from trainer.errors import CorpusError, OptionError, SubmitError, UnknownCharacter
from trainer.plan import Plan, Revision
from trainer.sampling import make_recipe
from trainer.submission.audition import find_corpus, run_audition
from trainer.submission.audition_page import render_page
from trainer.submission.candidates import AuditionRequest, write_candidates
from trainer.submission.eligibility import check_eligibility
from trainer.submission.event import Limits
from trainer.submission.scoring import Scorer
from trainer.submission.submit import make_submission
from trainer.train import train
from trainer.verse.generate import regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.originality import FLAG, fold
from trainer.verse.recipe import MAX_SEED, hundredths

LETTERS = "\n abcdefghijklmnopqrstuvwxyz"
RUN = Path("runs/mine")


def audition_request(**changes: Any) -> AuditionRequest:
    usual: dict[str, Any] = {
        "ckpt": RUN,
        "prompts": ("",),
        "temperatures": (80,),
        "top_k": 0,
        "count": 16,
        "seed": 0,
        "tokens": None,
        "lines": 8,
    }
    return AuditionRequest(**(usual | changes))


def own_corpus(text: str) -> Corpus:
    return Corpus("own", "own.txt", text)


# --- what is written --------------------------------------------------------------------------------------------------


def test_verses_are_spread_evenly_over_prompts_and_temperatures() -> None:
    request = audition_request(prompts=("A", "", "A"), temperatures=(60, 100, 80), count=64, seed=9).recipes(
        small_checkpoint()
    )
    counts = Counter((prompt, recipe.temperature) for prompt, recipe in request)
    assert sorted(counts) == [("", 60), ("", 80), ("", 100), ("A", 60), ("A", 80), ("A", 100)]
    assert sorted(counts.values()) == [10, 10, 11, 11, 11, 11]
    assert {recipe.seed for prompt, recipe in request if (prompt, recipe.temperature) == ("A", 80)} >= set(range(9, 19))
    assert len(set(request)) == 64


def submitted(line: str, author: Checkpoint) -> str:
    """The verse that the command line submits, from its own parser on."""
    program, command, *words = shlex.split(line)
    assert (program, command) == ("trainer", "submit")
    request = cli.cli.commands["submit"].make_context("submit", words).params
    assert request["ckpt"] == RUN
    wanted = [request[name] for name in ("seed", "top_k", "tokens", "lines")]
    return make_submission(
        author, make_recipe(author, request["prompt"], hundredths(request["temperature"]), *wanted)
    ).text


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 3},
        {"prompts": ('-it\'s "$HOME"\n`x`', "--seed"), "temperatures": (60, 29, 115), "count": 6, "tokens": 60},
        {"top_k": 5, "seed": MAX_SEED - 15, "tokens": 60, "lines": 3},
        {"temperatures": (0,), "count": 1, "tokens": 20, "lines": 0},
    ],
    ids=["usual", "odd-prompts", "every-option", "greedy"],
)
def test_every_submit_command_submits_its_verse(changes: dict[str, Any]) -> None:
    author = small_checkpoint()
    audition = write_candidates(audition_request(**changes), author, None)
    for verse in audition.verses:
        assert submitted(verse.submit_command, author) == verse.text


@pytest.mark.parametrize(
    ("author", "tokens"),  # few of a byte-level model with random weights: most of its bytes are no text
    [
        (small_checkpoint(arch="gpt2"), None),
        (small_checkpoint(vocabulary=LINEAR_A), 2),
        (small_checkpoint(LETTERS.strip()), 40),
    ],
    ids=["gpt2", "bpe", "no-line-feed"],
)
def test_other_kinds_of_models_are_auditioned(author: Checkpoint, tokens: int | None) -> None:
    audition = write_candidates(audition_request(prompts=("ab",), tokens=tokens, count=32), author, None)
    assert audition.verses
    assert len(audition.verses) + sum(audition.dropped.values()) == 32
    assert submitted(audition.verses[0].submit_command, author) == audition.verses[0].text


# --- what is dropped --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("author", "changes", "kind"),
    [
        (small_checkpoint("ab \n", 0.0), {"temperatures": (0, 100), "tokens": 20}, "undecided"),  # greedy among equals
        (small_checkpoint(LETTERS + "\u202e", 0.0), {"temperatures": (100,), "tokens": 20}, "not text"),
        (small_checkpoint("\n a", 0.0), {"temperatures": (100,), "tokens": 3, "lines": 0}, "empty"),
        (small_checkpoint(), {"prompts": ("a",), "tokens": 481, "lines": 0, "count": 2}, "too long"),
    ],
)
def test_what_cannot_be_submitted_is_dropped_and_counted(
    author: Checkpoint, changes: dict[str, Any], kind: str
) -> None:
    request = audition_request(**changes)
    model = VerseModel(author.config, round_weights(author.config, author.weights))
    written = regenerate(model, author.vocabulary, [recipe for _, recipe in request.recipes(author)])
    rejected = Counter(why.kind for each in written if (why := check_eligibility(author.vocabulary, each, Limits())))
    assert rejected[kind] > 0
    if rejected.total() == request.count:
        with pytest.raises(
            SubmitError, match=rf"no verse is left \({request.count} {kind}\): try another --temperature"
        ):
            write_candidates(request, author, None)
        return
    dropped = dict(write_candidates(request, author, None).dropped)
    dropped.pop("duplicate", 0)
    assert dropped == rejected


def test_a_duplicate_verse_is_kept_once() -> None:
    audition = write_candidates(audition_request(temperatures=(0,)), small_checkpoint(), None)
    assert (len(audition.verses), audition.dropped) == (1, {"duplicate": 15})


def test_a_verse_that_quotes_the_corpus_is_dropped_and_one_that_comes_near_is_ranked_lower() -> None:
    author = small_checkpoint(LETTERS)
    request = audition_request(tokens=90)
    free = write_candidates(request, author, own_corpus("nothing in common"))
    victim = max(free.verses, key=lambda verse: len(fold(verse.text)))
    quoted = write_candidates(request, author, own_corpus(f"Before it.\n{victim.text.upper()}!\nAnd after."))
    assert quoted.dropped == {"quoting 50 or more characters of own": 1}
    assert victim.text not in [verse.text for verse in quoted.verses]
    near = write_candidates(request, author, own_corpus("And so\n" + fold(victim.text)[:40].upper()))
    [flagged] = [verse for verse in near.verses if verse.text == victim.text]
    passage = flagged.stats.passage
    assert passage is not None
    assert FLAG <= passage.length <= 41
    assert flagged.stats.score == replace(flagged.stats, passage=None).score - 10
    assert f"at most {passage.length} characters as in own (-10), line 2: “" in "; ".join(flagged.details)


# --- how it ranks -----------------------------------------------------------------------------------------------------

CORPUS = own_corpus("The moon is up and the sea is cold.\nWho walks upon the shore? A sailor, and his shadow.")
GOOD = "The moon is up.\nThe sea is cold."
WORSE = {
    "an invented word": "The moon is up.\nThe zea is cold.",
    "a word said again": "The moon is up.\nThe moon is cold.",
    "no end": "The moon is up.\nThe sea is cold,",
    "a missing line": "The moon is up. The sea is cold.",
    "few words": "The moon.\nThe sea.",
}


@pytest.mark.parametrize("fault", WORSE)
def test_each_fault_costs_points(fault: str) -> None:
    scorer = Scorer(CORPUS)
    assert scorer.measure(WORSE[fault], 2).score < scorer.measure(GOOD, 2).score


def test_the_details_say_what_was_counted() -> None:
    scorer = Scorer(CORPUS)
    stats = scorer.measure('The moon!\n\nThe zea, "the cold', 3)
    assert scorer.describe(stats) == [
        "6 words (-10), 5 known, 3 distinct",
        "2 of 3 lines (-10)",
        "ends within a sentence (-10)",
        "at most 9 characters as in own, line 1: “The moon”",
    ]
    assert stats.score == 100 * 3 / 6 - 30
    assert scorer.measure('He said "up."', 0).ends_sentence
    assert scorer.measure("...", 0).words == 0


def test_the_best_comes_first_and_without_a_corpus_words_do_not_count() -> None:
    author = small_checkpoint("\n abc", 0.0)
    scores = [
        verse.stats.score
        for verse in write_candidates(audition_request(), author, own_corpus("a b c ab bc abc")).verses
    ]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 1
    assert Scorer(None).measure("Zzyx, zzyx, zzyx, zzyx.", 1).score == 100


# --- the corpus -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a text of one's own."""
    folder = tmp_path_factory.mktemp("audition")
    return train(tiny(folder), folder / "a run", Plan((Revision(0, 12, 3),))).path


def test_the_corpus_is_found_by_the_run_s_folder_or_by_its_digest(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = read_checkpoint(run)
    assert find_corpus(trained, run).sha256 == trained.corpus["sha256"]
    assert find_corpus(trained, run / "last.safetensors").sha256 == trained.corpus["sha256"]
    folio = replace(trained, corpus={"name": "mine", "sha256": load_corpus("folio").sha256})
    assert find_corpus(folio, tmp_path / "moved.safetensors").name == "folio"
    mine = replace(trained, corpus={"name": "own", "sha256": KNOWN_CORPORA["shakespeare"].sha256})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # the known one is not at hand, so the run's own file is read
    with pytest.raises(CorpusError, match=r"own\.txt is no longer the text"):
        find_corpus(mine, run)
    with pytest.raises(CorpusError, match="only its run's folder says where the corpus 'own' is"):
        find_corpus(trained, tmp_path / "moved.safetensors")


def test_a_corpus_not_at_hand_is_not_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    record = {"name": "shakespeare", "sha256": KNOWN_CORPORA["shakespeare"].sha256}
    with pytest.raises(CorpusError, match="trainer corpus fetch shakespeare"):
        find_corpus(replace(small_checkpoint(), corpus=record), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_changed_or_missing_corpus_is_reported_and_the_audition_continues(run: Path, trainer: Any) -> None:
    line = ("audition", "--ckpt", run, "--count", 6, "--tokens", 30, "--best", 1)
    assert "Known: a word of own." in trainer(*line)[1]
    text = run.parent / "own.txt"
    kept = text.read_bytes()
    try:
        text.write_bytes(kept + b"More.")
        code, out, err = trainer(*line)
        assert (code, err) == (0, "")
        assert f"are not checked: {text} is no longer the text" in out
        text.unlink()
        code, out, err = trainer(*line)
        assert (code, err) == (0, "")
        assert re.search(r"^Known words and quotations are not checked: there is no corpus .*own.txt", out, re.M)
        assert "\n1. Score" in out
    finally:
        text.write_bytes(kept)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_the_best_with_the_lines_that_submit_them(run: Path, trainer: Any, tmp_path: Path) -> None:
    request = ("--ckpt", run, "--prompt", "The", "--prompt", "", "--count", 12, "--tokens", 60)
    code, out, err = trainer("audition", *request, "--best", 3)
    assert (code, err) == (0, "")
    assert re.match(r"12 verses by .*a run: \d+ kept; dropped: ", out)
    assert re.findall(r"^(\d)\. Score -?\d+: \d+ words?", out, re.M) == ["1", "2", "3"]
    lines = [line for line in out.splitlines() if line.startswith("trainer submit ")]
    assert len(lines) == 3
    verses = re.findall(r"^\d\. Score .*\n\n((?s:.*?))\n\ntrainer submit", out, re.M)
    code, output, err = trainer(*shlex.split(lines[0])[1:], "--out", tmp_path / "a.verse")
    assert (code, err) == (0, "")
    assert verses[0] in output


def test_json_has_every_verse_with_its_recipe_and_its_counts(run: Path, trainer: Any, tmp_path: Path) -> None:
    code, out, err = trainer("audition", "--ckpt", run, "--prompt", "The", "--count", 9, "--tokens", 60, "--json")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert answer["written"] == len(answer["verses"]) + sum(answer["dropped"].values()) == 9
    scores = [verse["score"] for verse in answer["verses"]]
    assert scores == sorted(scores, reverse=True)
    scorer = Scorer(load_corpus(str(run.parent / "own.txt")))
    for verse in answer["verses"]:
        stats = scorer.measure(verse["text"], 8)
        for name in ("words", "known", "lines", "score", "ends_sentence"):
            assert verse[name] == getattr(stats, name)
    best = answer["verses"][0]
    recipe = ("--prompt", best["prompt"], "--temperature", best["temperature"], "--seed", best["seed"])
    assert trainer("generate", "--ckpt", run, *recipe, "--tokens", 60)[1] == f"The{best['text']}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--count", "2"), "--count must be 3 to 4,096, not 2: at least one verse for each of 1 x 3"),
        (("--count", "5000"), "--count must be"),
        (("--best", "0"), "--best must be 1 or more"),
        (("--temperature", "0.8", "--temperature", "hot"), "must be a number such as 0.8"),
        (("--temperature", "0.815"), "steps of 0.01"),
        (("--prompt", "The", "--prompt", "µ"), "U+00B5"),
        (("--top-k", "5000"), "top_k is 5000"),
        (("--seed", "4294967290"), "leaves no room for 64 verses"),
        (("--tokens", "0"), "tokens must be"),
        (("--lines", "65"), "lines must be"),
        (("--html", "nowhere/a.html"), "nowhere/a.html cannot be written"),
        (("--html", "."), "--html . cannot be written"),
    ],
)
def test_an_option_that_makes_no_sense_is_one_line_that_says_why(
    arguments: tuple[str, ...], says: str, trainer: Any, run: Path
) -> None:
    code, out, err = trainer("audition", "--ckpt", run, *arguments)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert says in err


def test_a_model_without_line_feeds_asks_for_a_prompt(trainer: Any, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", small_checkpoint(LETTERS.strip()))
    code, out, err = trainer("audition", "--ckpt", tmp_path / "a.safetensors")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "give a --prompt" in err


def test_an_impossible_request_is_refused_before_a_verse_is_written() -> None:
    with pytest.raises(OptionError, match="at least one verse for each of 2 x 1"):
        audition_request(prompts=("a", "b"), count=1)
    with pytest.raises(UnknownCharacter):
        audition_request(prompts=("a", "é")).recipes(small_checkpoint())


# --- the page ---------------------------------------------------------------------------------------------------------

NASTY = ('</textarea><script>alert("x")</script>', "\n&amp; it's <b>$title</b>")


def test_the_page_has_every_verse_with_its_line_and_nothing_of_them_is_markup() -> None:
    author = small_checkpoint()
    audition = write_candidates(
        audition_request(prompts=NASTY, tokens=90), author, own_corpus("a <i>corpus</i>"), note="No <corpus>."
    )
    page = render_page(replace(audition, title="<u>mine</u>"))
    bodies = [html.unescape(body) for body in re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.S)]
    assert bodies == [verse.submit_command for verse in audition.verses]
    verses = re.findall(r'<span class="verse" dir="auto">(.*?)</span></summary>', page)
    for markup, verse in zip(verses, audition.verses, strict=True):
        lines = re.findall(r"<span(?: class=\"gap\")?>(.*?)</span>", markup)
        before = verse.prompt.rpartition("\n")[2]
        if before:
            assert lines[0].startswith(f"<em>{html.escape(before)}</em>")
            lines[0] = lines[0].removeprefix(f"<em>{html.escape(before)}</em>")
        text = verse.text.rstrip("\n") if before else verse.text.strip("\n")
        expected = [line if line.strip() else "" for line in text.split("\n")]
        assert [html.unescape(line) for line in lines] == expected
    assert page.count("<script>") == 1
    assert "$title" in page
    assert not re.search(r"<(u|b|i|corpus)>", page)


def test_the_page_fetches_nothing() -> None:
    page = render_page(write_candidates(audition_request(tokens=20), small_checkpoint(LETTERS), None))
    assert not re.search(r"https?:|src=|href=|url\(|@import", page)
    assert "default-src 'none'" in page


def test_the_command_writes_the_page_whole(run: Path, trainer: Any, tmp_path: Path) -> None:
    path = tmp_path / "verses.html"
    code, out, err = trainer("audition", "--ckpt", run, "--count", 6, "--html", path)
    assert (code, err) == (0, "")
    assert out.endswith(f"Open {path} in a browser to read and choose.\n")
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    assert run_audition(audition_request(ckpt=run, tokens=20), 1, path)
    assert [each.name for each in tmp_path.iterdir()] == ["verses.html"]


def test_a_carriage_return_in_a_prompt_reaches_the_line_that_is_copied() -> None:
    audition = write_candidates(
        audition_request(prompts=("To",), tokens=30), small_checkpoint(), own_corpus("a corpus")
    )
    odd = replace(audition.verses[0], submit_command="trainer submit --prompt 'To\rbe'")
    assert "--prompt &#x27;To&#13;be&#x27;</textarea>" in render_page(replace(audition, verses=[odd]))


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("javascript", [True, False], ids=["with-javascript", "without"])
def test_a_tap_on_a_verse_shows_the_command_that_submits_it(browser: Any, tmp_path: Path, javascript: bool) -> None:
    audition = write_candidates(audition_request(prompts=(*NASTY, "a"), tokens=90), small_checkpoint(), None)
    (tmp_path / "verses.html").write_text(render_page(audition), encoding="utf-8")
    context = browser.new_context(java_script_enabled=javascript, **PHONE)
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.goto((tmp_path / "verses.html").as_uri())
    line = page.locator("#line-2")
    assert not line.is_visible()
    page.locator("summary").nth(1).tap()
    line.wait_for(state="visible")
    assert line.input_value() == audition.verses[1].submit_command
    assert page.locator("li").first.bounding_box()["width"] <= 390
    assert page.locator("button").count() == (len(audition.verses) if javascript else 0)
    if javascript:
        page.locator("details[open] button").tap()
        assert page.evaluate("getSelection().toString()") == audition.verses[1].submit_command
    assert problems == []
    context.close()
