"""Texts as people have them, at the command line: corpora, prompts, file names and ticket files from other programs."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markupsafe import escape
from sqlalchemy import update

from arena.cli import main
from arena.errors import BadName
from arena.services.events import clean_name
from arena.services.queries import skeleton
from arena.store.schema import Entry
from arena.web.filters import first_words, single_line, verse_lines
from tests.support.any_text import TEXT
from tests.support.evening import Evening, secret_of
from tests.support.small_models import small_checkpoint
from tests.support.training_runs import SMALL, RunCommand
from trainer.checkpoint import write_checkpoint
from trainer.corpus import join_texts
from trainer.errors import CorpusError, OptionError, SubmitError, TicketError, TrainerError
from trainer.prompt import prepare_prompt
from trainer.sampling import make_recipe
from trainer.submission.credentials import read_secret
from trainer.submission.eligibility import check_eligibility
from trainer.submission.event import DEFAULT_LIMITS
from trainer.submission.submit import make_submission
from trainer.tokenizer import BPETokenizer, CharTokenizer
from trainer.verse.characters import MAX_SCRIPT_MARKS, appearance_fault, clean, cut, has_ink, is_unseen, stacked_marks
from trainer.verse.errors import VerseError
from trainer.verse.text import sanitize, sanitize_lines
from trainer.verse.vocabulary import Vocabulary

POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows allows no such names")
# The thousands are in test_any_text.py, each through every step; here it is one property of one function.
SOME = settings(max_examples=60, database=None, derandomize=True, suppress_health_check=list(HealthCheck))

VISIBLE = TEXT.map(lambda text: "".join(c for c in text if not "\ud800" <= c <= "\udfff"))


def files(folder: Path, *names: str) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not names or path.name in names)


# --- at the command line ----------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "model.safetensors"
    write_checkpoint(path, small_checkpoint())
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("tokenizer", [("char",), ("bpe", "--vocab-size", "300")])
def test_a_file_by_notepad_is_trained_on_said_once_and_its_own_words_are_a_prompt(
    trainer: RunCommand, tmp_path: Path, tokenizer: tuple[str, ...]
) -> None:
    raw = "The\tmoon\u200b was old\r\nand cold, cafe\u0301\r\n" * 60
    (tmp_path / "own.txt").write_bytes(raw.encode("utf-16"))
    run = ("train", "--corpus", "own.txt", "--steps", "40", *SMALL, "--tokenizer", *tokenizer, "--out", "mine")
    code, out, err = trainer(*run)
    assert (code, err) == (0, "")
    assert out.count("Removed 60 characters that cannot be seen: 60 x U+200B") == 1
    assert "own.txt was read as utf-16" in out
    code, out, _ = trainer("train", "--resume", "mine", "--steps", "2")
    assert code == 0 and "Removed" not in out
    for prompt in ("The\tmoon", "was old\r\nand", "\ufeffThe", "cafe\u0301", "caf\u00e9"):
        code, out, err = trainer(
            "generate", "--ckpt", "mine", "--prompt", prompt, "--tokens", "3", "--temperature", "0"
        )
        assert (code, err) == (0, ""), prompt
        assert clean(prompt).text in out


@pytest.mark.slow
def test_options_of_the_text_are_kept_for_resuming_repeating_and_the_audition(
    trainer: RunCommand, tmp_path: Path
) -> None:
    (tmp_path / "texts").mkdir()
    head, tail = (
        "*** START OF THE PROJECT GUTENBERG EBOOK A ***\n",
        "*** END OF THE PROJECT GUTENBERG EBOOK A ***\nTerms\n",
    )
    for name in ("a.txt", "b.txt"):
        (tmp_path / "texts" / name).write_bytes((head + "Le café est très près\n" * 60 + tail).encode("cp1252"))
    code, _, err = trainer("train", "--corpus", "texts", "--steps", "2", *SMALL, "--out", "mine")
    assert code == 1 and "--encoding cp1252 reads “Le café" in err and not (tmp_path / "mine").exists()
    how = ("--corpus", "texts", "--encoding", "cp1252", "--strip-gutenberg")
    code, out, err = trainer("train", *how, "--steps", "2", *SMALL, "--out", "mine")
    assert (code, err) == (0, "") and out.count("were cut") == 2
    assert trainer("train", "--resume", "mine", "--steps", "2")[0] == 0
    assert trainer("train", "--plan", "mine", "--out", "again")[0] == 0
    code, out, _ = trainer("audition", "--ckpt", "mine", "--prompt", "Le", "--count", "6", "--tokens", "20")
    assert "not checked" not in out


def test_a_prompt_is_offered_in_the_nearest_characters_and_taken_with_near(
    trainer: RunCommand, model: str, tmp_path: Path
) -> None:
    for typed, near in (
        ("“Don’t” – he…", '"Don\'t" - he...'),
        ("CAFÉ", "CAFE"),
        ("Straße", "Strasse"),
        ("ﬁne", "fine"),
    ):
        code, _, err = trainer("generate", "--ckpt", model, "--prompt", typed, "--tokens", "5")
        assert code == 1 and "--near" in err and repr(near) in err
        code, out, err = trainer("generate", "--ckpt", model, "--prompt", typed, "--near", "--tokens", "5")
        assert code == 0 and out.startswith(near) and near in err
    code, _, err = trainer("generate", "--ckpt", model, "--prompt", "月’s", "--near", "--tokens", "5")
    assert code == 1 and "does not know '月'" in err and "Write the prompt with these" in err
    code, _, err = trainer("generate", "--ckpt", model, "--prompt", "a\x1bb", "--tokens", "5")
    assert code == 1 and "control character U+001B" in err
    code, out, _ = trainer("submit", "--ckpt", model, "--prompt", "’Tis", "--near", "--tokens", "9", "--out", "a.verse")
    assert code == 0 and out.startswith("'Tis")


def test_the_audition_s_page_takes_near_characters_by_itself(trainer: RunCommand, model: str, tmp_path: Path) -> None:
    few = ("--count", "3", "--tokens", "20")
    assert trainer("audition", "--ckpt", model, "--prompt", "’Tis", *few)[0] == 1
    code, out, _ = trainer("audition", "--ckpt", model, "--prompt", "’Tis", "--near", *few)
    assert code == 0 and "“’Tis” as “'Tis”" in out
    assert trainer("audition", "--ckpt", model, "--prompt", "’Tis", *few, "--html", "a.html")[0] == 0
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "“’Tis” as “&#x27;Tis”" in page and "--prompt &#x27;&quot;&#x27;" not in page


def test_a_capital_or_an_accent_that_the_model_has_instead_is_near_too() -> None:
    upper = Vocabulary.chars("\n ABCÉ")
    assert prepare_prompt("abcé e", upper, near=True) == "ABCÉ É"
    assert prepare_prompt("A❤️\u200dB", Vocabulary.chars("AB❤"), near=True) == "A❤B"
    decomposed = Vocabulary.chars("\n ae\u0301")  # of a bundle by another program
    assert prepare_prompt("é", decomposed, near=True) == "e\u0301"


@POSIX
@pytest.mark.slow
def test_escapes_in_the_names_of_files_do_not_reach_the_terminal(trainer: RunCommand, tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202e\u200b"
    (tmp_path / f"{evil}.txt").write_text("The moon was old and cold.\n" * 60)
    (tmp_path / "empty").mkdir()
    tiny = ("--steps", "2", *SMALL)
    runs = [
        ("train", "--corpus", f"{evil}.txt", *tiny, "--out", f"{evil}run"),
        ("train", "--corpus", f"{evil}.txt", *tiny, "--out", f"{evil}run"),  # now in the way
        ("train", "--resume", f"{evil}run"),
        ("train", "--resume", f"{evil}none"),
        ("train", "--plan", f"{evil}none", "--out", "x"),
        ("info", f"{evil}run"),
        ("info", f"{evil}run/best.safetensors"),
        ("info", f"{evil}none"),
        ("info", f"{evil}.txt"),
        ("plot", f"{evil}run"),
        ("plot", f"{evil}run", "--out", f"{evil}.png"),
        ("plot", f"{evil}none"),
        ("generate", "--ckpt", f"{evil}none"),
        ("generate", "--ckpt", f"{evil}.txt"),
        ("audition", "--ckpt", f"{evil}run", "--count", "6", "--tokens", "20"),
        ("audition", "--ckpt", f"{evil}run", "--count", "6", "--tokens", "20", "--html", f"{evil}.html"),
        ("audition", "--ckpt", f"{evil}run", "--html", f"{evil}none/a.html"),
        ("submit", "--ckpt", f"{evil}run", "--tokens", "20", "--out", f"{evil}.verse"),
        ("submit", "--ckpt", f"{evil}run", "--to", f"http://{evil}", "--name", "a"),
        ("info", f"{evil}.verse"),
        ("corpus", "fetch", evil),
        ("train", f"--{evil}"),
        (evil,),
    ]
    for words in runs:
        _, out, err = trainer(*words)
        steering = [c for c in out + err if not c.isprintable() and c != "\n"]
        assert not steering, (words, steering)


@POSIX
@pytest.mark.slow
def test_a_run_on_a_shared_folder_beside_a_virus_scanner_ends_as_on_any_disk(
    trainer: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SMB, vboxsf and some FUSE cannot sync a folder; a scanner holds each new file for a moment."""
    sync, replace, held = os.fsync, os.replace, set()

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    def scanned(source: Path, target: Path) -> None:
        if source not in held:
            held.add(source)
            raise PermissionError(errno.EACCES, "Access is denied")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", scanned)
    (tmp_path / "own.txt").write_text("The moon was old and cold.\n" * 60)
    code, _, err = trainer("train", "--corpus", "own.txt", "--steps", "3", *SMALL, "--out", "mine")
    assert (code, err) == (0, "") and held
    assert trainer("submit", "--ckpt", "mine", "--tokens", "9", "--out", "a.verse")[0] == 0
    assert CliRunner().invoke(main, ["init", str(tmp_path / "event")]).exit_code == 0
    assert not list(tmp_path.rglob(".*.part"))


@POSIX
def test_a_command_for_a_file_with_escapes_can_be_pasted() -> None:
    import subprocess

    from trainer.text import shell_join

    names = ["a\x1b[2Jb", "it's \u202e odd", "plain", "two words", "line\nfeed"]
    line = shell_join(["printf", "%s|", *names], windows=False)
    assert all(c.isprintable() or c == "\n" for c in line)
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    printed = subprocess.run(["bash", "-c", line], capture_output=True, check=True, env=environment).stdout
    assert printed.decode().split("|")[:-1] == names


SECRET = "abcdefghijklmnopqrstuv"


@pytest.mark.parametrize(
    "data",
    [
        f"{SECRET}\r\n".encode(),
        f"\ufeff{SECRET}".encode(),
        f"{SECRET}\r\n".encode("utf-16"),
        f"{SECRET}\r\n".encode("utf-16-le"),
        f'  "{SECRET}"\n'.encode(),
        f"“{SECRET}”\n".encode(),
        f"\u200b{SECRET}\u00a0\n".encode(),
        f"http://192.168.1.5:8000/mine/{SECRET}\n".encode(),
    ],
)
def test_a_ticket_file_of_any_editor_is_read(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "ticket").write_bytes(data)
    assert read_secret(tmp_path / "ticket") == SECRET


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "it is empty"),
        (b"short", "has 5 characters, and a secret has 22 to 64"),
        (b"my secret is abcdefghijklmnopqrstuv", "has 4 words"),
        ("äbcdefghijklmnopqrstuv".encode(), r"has the character 'ä' \(U\+00E4\)"),
        (b"abc\x1b[2Jdefghijklmnopqrstuv", r"'\\\\x1b' \(U\+001B\)"),
        (b"\xff\xfea", "not text. Save it as UTF-8"),
        (b"a" * 2000, "longer than 1,000 bytes"),
    ],
)
def test_a_ticket_file_without_a_secret_is_refused_by_what_is_wrong(data: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "ticket").write_bytes(data)
    with pytest.raises(TicketError, match=says):
        read_secret(tmp_path / "ticket")


# --- marks and ink ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["e\u0301\u0308", "שָׁ֣לוֹם", "လှိုင်ကြို့", "ที่นี่", "བསྒྲུབས", "1\ufe0f\u20e3", "नहीं", "Việt"])
def test_the_marks_that_languages_need_are_shown(text: str) -> None:
    assert appearance_fault(unicodedata.normalize("NFD", text)) is None
    assert appearance_fault(text) is None


@pytest.mark.parametrize(
    "mark", ["\u0301", "\u20dd", "\u1dc4", "\ufe20", "\u0e49", "\u0e34", "\u064b", "\U0001d165\U0001e8d0"]
)
@pytest.mark.parametrize("between", ["", "\u200d", "\u200b", "\ufe0f"])
def test_a_stack_of_marks_is_refused_whatever_is_hidden_in_it(mark: str, between: str) -> None:
    assert "marks" in (appearance_fault("a" + (mark + between) * 5) or "")
    assert "marks" in (
        appearance_fault((mark[-1] + between) * 3, "a" + (mark[-1] + between) * 3) or ""
    )  # after the prompt


@pytest.mark.parametrize(
    "blank", ["\u00a0", "\u200b", "\u3164", "\u2800", "\u0301", "\u00ad", "\ue000", "\u3000", "\ufe0f"]
)
def test_a_line_without_ink_is_refused(blank: str) -> None:
    assert "line 2" in (appearance_fault(f"a\n{blank}\nb") or "")
    assert appearance_fault("a\n  \n\nb") is None  # not a line that counts


def test_a_verse_that_cannot_be_shown_is_not_submitted_and_others_are_offered() -> None:
    author = small_checkpoint("\na\u0301", head=0.0)
    with pytest.raises(SubmitError, match=r"cannot be shown.*marks over or under one letter"):
        make_submission(author, make_recipe(author, "a", 100, 3, tokens=60, lines=0))
    blank = small_checkpoint("\n\u2800", head=0.0)
    with pytest.raises(SubmitError, match="nothing that can be seen"):
        make_submission(blank, make_recipe(blank, "\n", 100, 3, tokens=20, lines=0))


# --- any text at all --------------------------------------------------------------------------------------------------


@SOME
@given(VISIBLE)
@example("A\ufe0f\u200d\ufe0f")
@example("\u200c\u0301\u200d")
def test_any_text_is_cleaned_once_and_for_all(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned.text).text == cleaned.text
    assert not clean(cleaned.text).removed
    assert unicodedata.is_normalized("NFC", cleaned.text)
    assert not set("\r\t\u00a0\u200b\ufeff\u2028\u202e\ue000") & set(cleaned.text)


@SOME
@given(VISIBLE, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_any_corpus_is_read_by_both_tokenizers_and_back_or_refused(text: str, encoding: str) -> None:
    try:
        text, _ = join_texts([("a.txt", ("ab\n" + text).encode(encoding))], "", False)
    except CorpusError as error:
        assert "control character" in str(error)
        return
    for tokenizer in (CharTokenizer.of(text), BPETokenizer.of(text, len(set(text)) + 4)):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@SOME
@given(TEXT, st.booleans())
def test_any_prompt_is_taken_or_refused_in_one_clear_line(text: str, near: bool) -> None:
    author = small_checkpoint()
    try:
        prompt = prepare_prompt(text, author.vocabulary, near)
        recipe = make_recipe(author, prompt, 80, 1, tokens=4)
    except (TrainerError, VerseError) as error:
        message = sanitize_lines(str(error))
        assert isinstance(error, OptionError) or "does not know" in message or "tokens" in message
        message.encode()
        assert "\n" not in message
        return
    assert author.vocabulary.decode(recipe.prompt_ids) == (prompt or "\n")


@SOME
@given(TEXT)
def test_any_name_is_one_visible_line_or_refused(name: str) -> None:
    try:
        cleaned = clean_name(name, 40, "an author's name")
    except BadName as refused:
        assert str(refused).startswith("an author's name must have 1 to 40 characters, ")
        sanitize(str(refused)).encode()
        return
    assert clean_name(cleaned, 40, "x") == cleaned
    assert single_line(cleaned) == cleaned and "\n" not in cleaned
    assert has_ink(cleaned) and 1 <= len(cleaned) <= 40 and stacked_marks(cleaned) == 0
    assert skeleton(cleaned)
    shown = sanitize(cleaned)
    assert all(c.isprintable() or is_unseen(c) for c in shown)


@SOME
@given(VISIBLE, st.integers(1, 12))
def test_any_text_is_cut_before_a_character_and_not_inside_one(text: str, length: int) -> None:
    short = cut(text, length)
    assert text.startswith(short) and 0 <= len(short) <= length
    assert len(first_words(text, length=length + 1)) <= length + 1
    list(verse_lines(text))
    if 0 < len(short) < length and len(short) < len(text):
        assert unicodedata.category(text[len(short)])[0] != "M"


@pytest.mark.slow
@settings(SOME, max_examples=4)
@given(text=TEXT, prompt=TEXT, tokenizer=st.sampled_from([("char",), ("bpe", "--vocab-size", "260")]))
def test_any_text_is_trained_on_and_any_prompt_continued_or_each_refused_in_one_line(
    trainer: RunCommand, tmp_path_factory: pytest.TempPathFactory, text: str, prompt: str, tokenizer: tuple[str, ...]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "own.txt").write_bytes((text * 60 + "ab\n" * 60).encode("utf-8", "surrogatepass"))
    train = ("train", "--corpus", folder / "own.txt", "--steps", "2", *SMALL, "--tokenizer", *tokenizer)
    code, _, err = trainer(*train, "--out", folder / "run")
    assert (code, err) == (0, "") or (code == 1 and err.startswith("Error: ") and err.count("\n") == 1), err
    if code == 0:
        code, _, err = trainer("generate", "--ckpt", folder / "run", f"--prompt={prompt}", "--near", "--tokens", "3")
        assert code == 0 or (code == 1 and err.startswith("Error: ")), err
    assert "Traceback" not in err
    shutil.rmtree(folder)


@pytest.mark.slow
@settings(SOME, max_examples=8)
@given(name=TEXT, text=VISIBLE)
def test_any_name_and_any_verse_stand_on_the_pages_as_they_are(shown: Evening, name: str, text: str) -> None:
    """Whatever is in the database: what is refused at the door today may come from elsewhere tomorrow."""
    try:
        name = clean_name(name, 40, "an author's name")
    except BadName:
        name = "Ada"
    text = "".join(c for c in text if c == "\n" or unicodedata.category(c) != "Cc") or "a"
    with shown.db.writing() as session:
        session.execute(update(Entry).values(text=text, prompt=text[::-1], name=name))
    shown.now += 1
    for path in ("/", "/stage", "/results", f"/mine/{secret_of('Poet 0')}"):
        page = shown.phone().get(path)
        assert page.status_code == 200
    console = shown.organizer().get("/console")
    assert console.status_code == 200
    assert str(escape(name)) in console.text
    for _, _, line in verse_lines(text):
        assert str(escape(line)) in console.text


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    """An event with a match that is open."""
    evening = Evening(tmp_path_factory.mktemp("shown") / "event").create()
    evening.voting(2)
    yield evening
    evening.end()


@settings(SOME, max_examples=5)
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=2, max_size=12).filter(lambda t: len(set(t)) > 1)
)
def test_any_vocabulary_writes_verses_that_are_shown_or_refused(symbols: str) -> None:
    author = small_checkpoint("".join(sorted({*symbols, "\n"})), head=0.0)
    recipe = make_recipe(author, "", 150, 1, tokens=12)
    try:
        submission = make_submission(author, recipe)
    except SubmitError as error:
        sanitize_lines(str(error)).encode()
        return
    assert check_eligibility(author.vocabulary, submission.written, DEFAULT_LIMITS) is None
    assert has_ink(submission.text)
    rows = re.findall(f"[\u0300-\u036f]{{{MAX_SCRIPT_MARKS + 1},}}", submission.text)
    assert not rows
