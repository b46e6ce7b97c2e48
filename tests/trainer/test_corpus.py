"""Texts found, fetched and refused."""

from __future__ import annotations

import hashlib
import os
import random
import re
import runpy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from trainer import corpus
from trainer.corpus import KNOWN_CORPORA, fetch_corpus, join_texts, load_corpus
from trainer.errors import CorpusError
from trainer.splits import MAX_VALIDATION

PLAY = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 20


@contextmanager
def served(data: bytes, status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """A real web server on this machine that answers with `data`; its address, and the paths it was asked for."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/input.txt", requests
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short text known under the name of the long one, so that the server can serve it."""
    known = replace(KNOWN_CORPORA["shakespeare"], sha256=hashlib.sha256(PLAY).hexdigest(), n_bytes=len(PLAY))
    monkeypatch.setitem(KNOWN_CORPORA, "shakespeare", known)


def test_the_folio_is_found_without_a_network_and_is_the_one_we_know() -> None:
    folio = load_corpus("folio")
    assert len(folio.text) == 1_052_826
    assert folio.sha256 == KNOWN_CORPORA["folio"].sha256  # as used: nothing was changed on the way
    assert (folio.name, folio.source) == ("folio", "folio")


def test_the_small_corpora_are_what_their_script_writes_and_are_whole_haiku_and_names() -> None:
    scope = runpy.run_path(str(corpus.CHECKOUT / "data" / "small_corpora.py"))
    haiku, names = load_corpus("haiku").text, load_corpus("names").text
    assert haiku == scope["write_haiku"](random.Random(scope["SEED"]))
    assert names == scope["write_names"](random.Random(scope["SEED"]))
    poems = haiku.rstrip("\n").split("\n\n")
    assert len(set(poems)) == len(poems) == 1_600 and all(poem.count("\n") == 2 for poem in poems)
    words = names.split()
    assert len(set(words)) == len(words) == 7_497 and all(word.isalpha() and word.istitle() for word in words)


def test_the_lines_of_the_haiku_have_five_seven_and_five_syllables_as_their_patterns_count_them() -> None:
    scope = runpy.run_path(str(corpus.CHECKOUT / "data" / "small_corpora.py"))
    two = "after before over only under again someone between listens empty"
    two += " nothing carry waiting slowly begins answers shadow neither behind forget"
    three = {"nobody"}
    for name, syllables in (("FIRST", 5), ("SECOND", 7), ("THIRD", 5)):
        for pattern in scope[name].strip().split("\n"):
            blanks = sum(map(int, re.findall(r"\{\w+(\d)\}", pattern)))
            words = re.sub(r"\{\w+\}", "", pattern).lower().replace(",", "").split()
            spoken = sum(3 if word in three else 2 if word in two.split() else 1 for word in words)
            assert blanks + spoken == syllables, pattern


@pytest.mark.usefixtures("play")
def test_a_corpus_is_fetched_once_and_then_kept(tmp_path: Path) -> None:
    with served(PLAY) as (url, requests):
        first, second = (
            fetch_corpus("shakespeare", url, tmp_path / "new"),
            fetch_corpus("shakespeare", url, tmp_path / "new"),
        )
    assert first == second
    assert first.read_bytes() == PLAY
    assert requests == ["/input.txt"]


@pytest.mark.usefixtures("play")
def test_a_kept_file_that_was_changed_is_fetched_again(tmp_path: Path) -> None:
    with served(PLAY) as (url, requests):
        fetch_corpus("shakespeare", url, tmp_path).write_bytes(b"half of it")
        assert fetch_corpus("shakespeare", url, tmp_path).read_bytes() == PLAY
    assert len(requests) == 2


@pytest.mark.usefixtures("play")
@pytest.mark.parametrize("data", [b"<html>please log in to this Wi-Fi</html>", PLAY + b"!", PLAY * 1000, b""])
def test_something_else_than_expected_is_refused_and_not_kept(data: bytes, tmp_path: Path) -> None:
    with served(data) as (url, _), pytest.raises(CorpusError, match=r"not the expected shakespeare.*--corpus folio"):
        fetch_corpus("shakespeare", url, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_server_or_no_server_names_the_corpus_that_needs_none(tmp_path: Path) -> None:
    with served(b"", status=404) as (url, _), pytest.raises(CorpusError, match="--corpus folio"):
        fetch_corpus("shakespeare", url, tmp_path)
    with pytest.raises(CorpusError, match=r"could not be fetched.*--corpus folio"):  # its server has gone
        fetch_corpus("shakespeare", url, tmp_path)


def test_names_that_cannot_be_fetched_are_refused() -> None:
    with pytest.raises(CorpusError, match="comes with the trainer"):
        fetch_corpus("folio")
    with pytest.raises(CorpusError, match="folio, haiku, names, shakespeare"):
        fetch_corpus("milton")
    with pytest.raises(CorpusError, match="folio, haiku, names, shakespeare"):
        load_corpus("no/such/file.txt")


@pytest.mark.usefixtures("play")
def test_the_cache_is_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "fetch it" in corpus.list_corpora()
    with served(PLAY) as (url, _):
        assert fetch_corpus("shakespeare", url).parent == tmp_path / "verse-arena"
    assert "fetch it" not in corpus.list_corpora()
    assert load_corpus("shakespeare").text == PLAY.decode()


def read(data: bytes, encoding: str = "", strip: bool = False) -> str:
    """What a file of these bytes is trained on."""
    return join_texts([("a.txt", data)], encoding, strip)[0]


def notes(data: bytes, encoding: str = "", strip: bool = False) -> str:
    """What is said about it."""
    return " ".join(join_texts([("a.txt", data)], encoding, strip)[1])


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("\ufeffTo be,\r\n\tor not\r\n", "To be,\n or not\n"),
        ("old\rMac\r", "old\nMac\n"),
        ("page\fpage\vline\x85line\u2028line\u2029end", "page\npage\nline\nline\nline\nend"),
        (
            "no\u00a0break, thin\u2009space, wide\u3000space, braille\u2800",
            "no break, thin space, wide space, braille ",
        ),
        ("cafe\u0301", "caf\u00e9"),
        ("DOS\r\n\x1a", "DOS\n"),
    ],
)
def test_line_ends_spaces_and_forms_of_letters_are_normalized(given: str, used: str) -> None:
    assert read(given.encode()) == used
    assert read(used.encode()) == used
    assert not notes(given.encode())


@pytest.mark.parametrize(
    "text",
    [
        "Über allen Gipfeln\nist Ruh, 月光 – « там » 🌙",
        "می‌روم",  # a joiner between Persian letters
        "ക്‍ and क्‍ष",  # after a virama
        "👨‍👩‍👧 ❤️ 🏳️‍🌈 👍🏽 1️⃣",
        "שָׁ֣לוֹם लशिङ လှိုင်",
    ],
)
def test_a_text_in_any_script_is_taken_as_it_is(text: str) -> None:
    assert read(text.encode()) == text
    assert not notes(text.encode())


INVISIBLE = (
    "\ufeff\u200b\u00ad\u2060\u180e\u200c\u200d\ue000\ufffe\U000e0041\u3164\u115f\uffa0\u202e\u200f\u2066\U0010ffff"
)


def test_characters_that_cannot_be_seen_are_removed_all_at_once_and_said_with_their_number() -> None:
    data = "".join(f"a{character}b" for character in INVISIBLE).encode()
    assert read(data) == "ab" * len(INVISIBLE)
    assert notes(data).startswith(f"Removed {len(INVISIBLE)} characters that cannot be seen: ")
    assert notes("a\u200bb\u200bc\u00ad".encode()) == (
        "Removed 3 characters that cannot be seen: 2 x U+200B zero width space, 1 x U+00AD soft hyphen."
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_by_notepad_or_powershell_is_read_by_its_mark_or_its_zero_bytes(encoding: str) -> None:
    assert read("The moon, café\r\n".encode(encoding)) == "The moon, café\n"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "“Don’t” – he said…\n"),
        ("latin-1", "Le café est très près\n"),
        ("gb18030", "床前明月光\n"),
        ("shift_jis", "月は綺麗ですね\n"),
        ("euc_kr", "나 보기가 역겨워\n"),
        ("cp1251", "Я помню чудное мгновенье\n"),
    ],
)
def test_a_file_in_another_encoding_is_refused_with_the_option_that_reads_it(encoding: str, text: str) -> None:
    data = (text * 20).encode(encoding)
    with pytest.raises(CorpusError) as refused:
        read(data)
    offers = re.findall(r"--encoding (\S+) reads “", str(refused.value))
    assert text * 20 in [read(data, offer) for offer in offers]
    assert text.strip()[:40] in str(refused.value)  # so that one sees which it is


def test_a_wrong_encoding_is_refused_by_name() -> None:
    for wrong in ("klingon", "rot13", "hex"):
        with pytest.raises(CorpusError, match=f"--encoding '{wrong}' is not known"):
            read(b"text", wrong)
    with pytest.raises(CorpusError, match=r"a\.txt is not utf-16 text"):
        read(b"odd", "utf-16")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"one\ntwo \xff three", r"byte 8, in line 2, is 0xff"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8"),
        (b"one\ntwo\nthr\x00ee", r"1 control character: U\+0000 in line 3, column 4"),
        (b"one\x1b[0m\x1b", r"2 control characters: U\+001B in line 1, column 4; U\+001B in line 1, column 8. Remove"),
        (b"\x07" * 9, r"9 control characters: .*column 5 and 4 more"),
    ],
)
def test_invalid_text_is_refused_with_its_places(data: bytes, says: str) -> None:
    with pytest.raises(CorpusError, match=says):
        read(data)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    for data in (b"", b"\xef\xbb\xbf", "\u200b".encode()):
        (tmp_path / "a.txt").write_bytes(data)
        with pytest.raises(CorpusError, match=r"a\.txt is empty"):
            load_corpus(str(tmp_path / "a.txt"))


HEAD = "The Project Gutenberg eBook of Poems\r\n\r\n*** START OF THE PROJECT GUTENBERG EBOOK POEMS ***\r\n\r\n"
TAIL = "\r\n*** END OF THE PROJECT GUTENBERG EBOOK POEMS ***\r\n" + "Section 1. General Terms of Use\r\n" * 200
BOOK = "The moon was old and cold.\n" * 200


def test_the_frame_of_project_gutenberg_is_shown_and_cut_or_kept_out_of_the_validation_split(tmp_path: Path) -> None:
    path = tmp_path / "pg.txt"
    path.write_bytes((HEAD + BOOK + TAIL).encode("utf-8-sig"))
    kept, cut = load_corpus(str(path)), load_corpus(str(path), strip_gutenberg=True)
    assert cut.text == BOOK
    assert "cut" in cut.notes[0] and "“The Project Gutenberg eBook of Poems” to “*** START OF" in cut.notes[0]
    assert kept.text.endswith(BOOK) and "Section 1. General Terms" in kept.text
    assert "moon" in kept.text[kept.split :] and "Terms" not in kept.text[kept.split :]
    assert "--strip-gutenberg cuts them" in kept.notes[0]


def test_books_of_project_gutenberg_in_one_file_or_of_an_old_form_are_found() -> None:
    two = (HEAD + "One\n" + TAIL + HEAD + "Two\n" + TAIL).encode()
    assert read(two, strip=True) == "One\nTwo\n"
    old = b"Small print\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*\nOne\nEnd of Project Gutenberg's Poems\nmore\n"
    assert read(old, strip=True) == "One\n"
    assert read(b"A verse\n", strip=True) == "A verse\n"
    assert "No frame" in notes(b"A verse\n", strip=True)


def test_files_and_folders_are_joined_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, text in (("b.txt", "second\n"), ("a.TXT", "first"), ("c.md", "no text"), (".x.txt", "hidden")):
        (tmp_path / name).write_text(text)
    folder = load_corpus(str(tmp_path))
    assert (folder.text, folder.name, folder.source) == ("first\nsecond\n", tmp_path.name, str(tmp_path))
    files = load_corpus(f"{tmp_path / 'b.txt'}\n{tmp_path / 'a.TXT'}")
    assert (files.text, files.name) == (folder.text, "b and 1 more")
    assert load_corpus(files.source).sha256 == folder.sha256
    with pytest.raises(CorpusError, match=r"no file that ends in \.txt"):
        (tmp_path / "empty").mkdir()
        load_corpus(str(tmp_path / "empty"))


def test_the_validation_split_of_a_long_text_is_capped(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("0123456789" * 300_000)
    corpus = load_corpus(str(tmp_path / "long.txt"))
    assert len(corpus.text) - corpus.split == MAX_VALIDATION


def test_a_file_is_named_without_its_path_and_digested_as_used(tmp_path: Path) -> None:
    path = tmp_path / "own words.txt"
    path.write_bytes(b"one\r\ntwo\r\n")
    own = load_corpus(str(path))
    assert own.name == "own words"
    assert own.source == str(path)
    assert own.sha256 == hashlib.sha256(b"one\ntwo\n").hexdigest()


def test_a_pipe_is_refused_as_a_corpus(tmp_path: Path) -> None:
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(CorpusError, match="is not a file"):
            load_corpus(str(tmp_path / "pipe"))


def test_too_large_a_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(corpus.MAX_CORPUS_BYTES + 1)  # a hole, not a gigabyte
    with pytest.raises(CorpusError, match="at most"):
        load_corpus(str(path))
