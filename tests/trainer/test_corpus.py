"""Texts found, fetched and refused."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from trainer import corpus
from trainer.corpus import KNOWN_CORPORA, clean_text, fetch_corpus, load_corpus
from trainer.errors import CorpusError

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
    with pytest.raises(CorpusError, match="folio, shakespeare"):
        fetch_corpus("milton")
    with pytest.raises(CorpusError, match="folio, shakespeare"):
        load_corpus("no/such/file.txt")


@pytest.mark.usefixtures("play")
def test_the_cache_is_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "fetch it" in corpus.list_corpora()
    with served(PLAY) as (url, _):
        assert fetch_corpus("shakespeare", url).parent == tmp_path / "verse-arena"
    assert "fetch it" not in corpus.list_corpora()
    assert load_corpus("shakespeare").text == PLAY.decode()


def test_line_ends_tabs_and_byte_order_marks_are_normalized() -> None:
    assert clean_text("\ufeffTo be,\r\n\tor not\r\n".encode(), "a.txt") == "To be,\n or not\n"


def test_a_text_in_any_script_is_taken_as_it_is() -> None:
    text = "Über allen Gipfeln\nist Ruh, 月光 – « там » 🌙\u2028\u00a0"
    assert clean_text(text.encode(), "a.txt") == text


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "a.txt is empty"),
        (b"\xef\xbb\xbf", "a.txt is empty"),
        (b"one\ntwo \xff three", r"byte 8, in line 2, is 0xff"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8"),
        (b"one\ntwo\nthr\x00ee", r"U\+0000 in line 3, column 4"),
        (b"one\x1b[0m", r"U\+001B in line 1, column 4"),
        (b"old\rMac", r"U\+000D in line 1, column 4"),
        ("a\nb\u0085".encode(), r"U\+0085 in line 2, column 2"),
        ("a\u202eb".encode(), r"U\+202E in line 1, column 2"),
        (b"page\x0cpage", r"U\+000C"),
    ],
)
def test_invalid_text_is_refused_with_its_place(data: bytes, says: str) -> None:
    with pytest.raises(CorpusError, match=says):
        clean_text(data, "a.txt")


def test_a_file_is_named_without_its_path_and_digested_as_used(tmp_path: Path) -> None:
    path = tmp_path / "own words.txt"
    path.write_bytes(b"one\r\ntwo\r\n")
    own = load_corpus(str(path))
    assert own.name == "own words"
    assert own.source == str(path)
    assert own.sha256 == hashlib.sha256(b"one\ntwo\n").hexdigest()


def test_a_folder_or_a_pipe_is_refused_as_a_corpus(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is not a file"):
        load_corpus(str(tmp_path))
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
