"""The text a model learns from: found, fetched or read from a file, then made plain."""

from __future__ import annotations

import hashlib
import http.client
import importlib.resources
import os
import stat
import sys
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trainer.errors import CorpusError
from trainer.verse.files import write_atomically
from trainer.verse.text import is_control

MAX_CORPUS_BYTES = 2**30  # 1 GiB: a few times that is held in memory while it is read
FETCH_TIMEOUT = 30  # seconds without a byte
DEFAULT = "folio"


@dataclass(frozen=True)
class Known:
    """A corpus that goes by a name."""

    about: str
    sha256: str  # of the file, in hexadecimal
    n_bytes: int
    url: str | None = None  # None: it comes with the trainer


KNOWN = {
    "folio": Known(
        "seventeen plays, sonnets and songs in the Elizabethan manner; original, CC0",
        "e283980c42f060a9ee4509ef63e65f3f423ebdd85f8b44b8a5d20f9a6f37e8b1",
        1_052_826,
    ),
    "shakespeare": Known(
        "Tiny Shakespeare, the text of the talk and of nanoGPT, public domain",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        1_115_394,
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    ),
}


@dataclass(frozen=True)
class Corpus:
    """A text as the tokenizer sees it."""

    name: str  # short, for folder names and records: never a path
    source: str  # what finds it again: a name, or an absolute path
    text: str

    @cached_property
    def sha256(self) -> str:
        """The digest that runs and bundles record, of the text as used."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def split(self) -> int:
        """Where the validation split begins: it is the last tenth."""
        return int(0.9 * len(self.text))


def load(name_or_path: str) -> Corpus:
    """Find a corpus by name, or read the file at a path.

    Raises:
        CorpusError: it cannot be found, fetched, or read as text.
    """
    known = KNOWN.get(name_or_path)
    if known is None:
        path = Path(name_or_path)
        if not path.exists():
            raise CorpusError(
                f"there is no corpus {name_or_path!r}: give the path of a text file as --corpus, or a name: "
                f"{', '.join(KNOWN)}"
            )
        source = str(path.resolve())
        try:
            source.encode()
        except UnicodeEncodeError:
            raise CorpusError(f"the path {source!r} is no valid Unicode: give the file another name") from None
        return Corpus(path.stem, source, clean(_read(path), path.name))
    data = _folio() if known.url is None else _read(fetch(name_or_path))
    _check_digest(name_or_path, known, data)
    return Corpus(name_or_path, name_or_path, clean(data, name_or_path))


def listing() -> str:
    """The corpora that go by a name."""
    lines = []
    for name, known in KNOWN.items():
        lines += [f"{name}, {known.n_bytes:,} bytes", f"    {known.about}"]
        if not is_at_hand(name):
            lines.append(f"    To fetch it: trainer corpus fetch {name}")
    return "\n".join(lines)


def fetch(name: str, url: str | None = None, folder: Path | None = None) -> Path:
    """Fetch a known corpus, or find it where it was kept the last time.

    Args:
        name: one of `KNOWN`.
        url: where from, if not from its public home.
        folder: where to keep it, if not in the user's cache folder.

    Returns:
        the file, whose digest is the one expected.

    Raises:
        CorpusError: no such corpus, its home cannot be reached, or what came is something else.
    """
    known = KNOWN.get(name)
    if known is None:
        raise CorpusError(f"there is no corpus {name!r} to fetch: {', '.join(KNOWN)} are known")
    if known.url is None:
        raise CorpusError(f"{name} comes with the trainer: nothing to fetch, just train with --corpus {name}")
    folder = folder or cache_folder()
    path = folder / f"{name}-{known.sha256[:16]}.txt"
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == known.sha256:
        return path
    try:
        with urllib.request.urlopen(url or known.url, timeout=FETCH_TIMEOUT) as answer:
            data = answer.read(known.n_bytes + 1)  # one more than expected is enough to know that it is wrong
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise CorpusError(
            f"{name} could not be fetched ({reason}): go on line and try again, or train with --corpus folio, "
            "which comes with the trainer"
        ) from None
    _check_digest(name, known, data)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)
    return path


def clean(data: bytes, name: str) -> str:
    r"""A file's bytes as text: UTF-8, lines end in LF, tabs become spaces, nothing invisible.

    >>> clean(b"To be,\r\n\tor not", "a.txt")
    'To be,\n or not'

    Raises:
        CorpusError: empty, not UTF-8, or with a control character that no verse may hold; the message says where.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{name} is no UTF-8 text: byte {error.start:,}, in line {line:,}, is {data[error.start]:#04x}. "
            "Save it as UTF-8, or give another file"
        ) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\t", " ")
    if not text:
        raise CorpusError(f"{name} is empty: give a file with text in it")
    for line, content in enumerate(text.split("\n"), start=1):
        if content.isascii() and content.isprintable():
            continue  # by far most lines; the rest is looked at character by character
        for column, character in enumerate(content, start=1):
            if is_control(character):
                raise CorpusError(
                    f"{name} holds the control character U+{ord(character):04X} in line {line:,}, column {column:,}: "
                    "remove it, or give a plain text"
                )
    return text


def cache_folder() -> Path:
    """Where this user's programs keep what they can fetch again."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "verse-arena"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "verse-arena" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/verse-arena"
    return Path.home() / ".cache/verse-arena"


def is_at_hand(name: str) -> bool:
    """Whether a known corpus can be used without a network."""
    known = KNOWN[name]
    return known.url is None or (cache_folder() / f"{name}-{known.sha256[:16]}.txt").exists()


def _folio() -> bytes:
    """From the wheel, or from the checkout this package stands in."""
    for place in (importlib.resources.files("trainer") / "data" / "folio.txt", _CHECKOUT / "data" / "folio.txt"):
        if place.is_file():
            return place.read_bytes()
    raise CorpusError("the folio is missing from this installation: install verse-arena again")


_CHECKOUT = Path(__file__).resolve().parent.parent


def _read(path: Path) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise CorpusError(f"{path} is no file: give the path of a text file")
    if status.st_size > MAX_CORPUS_BYTES:
        raise CorpusError(f"{path} has {status.st_size:,} bytes; a corpus has at most {MAX_CORPUS_BYTES:,}")
    return path.read_bytes()


def _check_digest(name: str, known: Known, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if digest != known.sha256:
        raise CorpusError(
            f"this is not the {name} we know: {len(data):,} bytes with SHA-256 {digest[:16]}…, "
            f"not {known.n_bytes:,} with {known.sha256[:16]}…. Try again, or train with --corpus folio"
        )
