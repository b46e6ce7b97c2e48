"""The corpus: found by name, downloaded or read from a file, then cleaned."""

from __future__ import annotations

import hashlib
import http.client
import importlib.resources
import stat
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trainer.errors import CorpusError
from trainer.verse.files import write_atomically
from trainer.verse.text import is_control

MAX_CORPUS_BYTES = 2**30  # 1 GiB: reading it takes a few times as much memory
FETCH_TIMEOUT = 30  # seconds without a byte
DEFAULT_CORPUS = "folio"
CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class KnownCorpus:
    """A corpus that has a name."""

    description: str
    sha256: str  # of the file, in hexadecimal
    n_bytes: int
    url: str | None = None  # None: it comes with the trainer


KNOWN_CORPORA = {
    "folio": KnownCorpus(
        "seventeen plays, sonnets and songs in the Elizabethan manner; original, CC0",
        "e283980c42f060a9ee4509ef63e65f3f423ebdd85f8b44b8a5d20f9a6f37e8b1",
        1_052_826,
    ),
    "shakespeare": KnownCorpus(
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
        """Digest of the cleaned text, as runs and bundles record it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def split(self) -> int:
        """Index of the first character of the validation split, which is the last tenth."""
        return int(0.9 * len(self.text))


def load_corpus(name_or_path: str) -> Corpus:
    """Load a corpus by name, or from the file at a path.

    Raises:
        CorpusError: It cannot be found, downloaded, or read as text.
    """
    known = KNOWN_CORPORA.get(name_or_path)
    if known is None:
        path = Path(name_or_path)
        if not path.exists():
            raise CorpusError(
                f"there is no corpus {name_or_path!r}: give the path of a text file as --corpus, or a name: "
                f"{', '.join(KNOWN_CORPORA)}"
            )
        source = str(path.resolve())
        try:
            source.encode()
        except UnicodeEncodeError:
            raise CorpusError(f"the path {source!r} is not valid Unicode: give the file another name") from None
        return Corpus(path.stem, source, clean_text(_read(path), path.name))
    data = _read_folio() if known.url is None else _read(fetch_corpus(name_or_path))
    _check_digest(name_or_path, known, data)
    return Corpus(name_or_path, name_or_path, clean_text(data, name_or_path))


def list_corpora() -> str:
    """Return the named corpora as lines for people."""
    lines = []
    for name, known in KNOWN_CORPORA.items():
        lines += [f"{name}, {known.n_bytes:,} bytes", f"    {known.description}"]
        if not is_available(name):
            lines.append(f"    To fetch it: trainer corpus fetch {name}")
    return "\n".join(lines)


def fetch_corpus(name: str, url: str | None = None, folder: Path | None = None) -> Path:
    """Download a named corpus, or find the copy of an earlier download.

    Args:
        name: One of `KNOWN_CORPORA`.
        url: Where to download it from; None for its public home.
        folder: Where to keep it; None for the user's cache folder.

    Returns:
        The file, whose digest is the expected one.

    Raises:
        CorpusError: There is no such corpus, its home cannot be reached, or the digest is wrong.
    """
    known = KNOWN_CORPORA.get(name)
    if known is None:
        raise CorpusError(f"there is no corpus {name!r} to fetch: {', '.join(KNOWN_CORPORA)} are known")
    if known.url is None:
        raise CorpusError(f"{name} comes with the trainer: just train with --corpus {name}")
    folder = folder or cache_folder()
    path = folder / f"{name}-{known.sha256[:16]}.txt"
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == known.sha256:
        return path
    try:
        with urllib.request.urlopen(url or known.url, timeout=FETCH_TIMEOUT) as response:
            data = response.read(known.n_bytes + 1)  # one byte more than expected shows that it is too long
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise CorpusError(
            f"{name} could not be fetched ({reason}): check the network and try again, or train with --corpus folio, "
            "which comes with the trainer"
        ) from None
    _check_digest(name, known, data)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)
    return path


def clean_text(data: bytes, name: str) -> str:
    r"""Decode a file as UTF-8, end its lines with LF, turn tabs into spaces, and refuse control characters.

    >>> clean_text(b"To be,\r\n\tor not", "a.txt")
    'To be,\n or not'

    Args:
        data: The file's bytes.
        name: The file's name, for errors.

    Raises:
        CorpusError: It is empty, not UTF-8, or holds a control character that no verse may have.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{name} is not UTF-8 text: byte {error.start:,}, in line {line:,}, is {data[error.start]:#04x}. "
            "Save it as UTF-8, or give another file"
        ) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\t", " ")
    if not text:
        raise CorpusError(f"{name} is empty: give a file with text in it")
    for line, content in enumerate(text.split("\n"), start=1):
        if content.isascii() and content.isprintable():
            continue  # most lines; the others are checked character by character
        for column, character in enumerate(content, start=1):
            if is_control(character):
                raise CorpusError(
                    f"{name} holds the control character U+{ord(character):04X} in line {line:,}, column {column:,}: "
                    "remove it, or give a plain text file"
                )
    return text


def cache_folder() -> Path:
    """Return the user's folder for files that can be downloaded again."""
    import platformdirs

    return platformdirs.user_cache_path("verse-arena", appauthor=False)


def is_available(name: str) -> bool:
    """Whether a named corpus can be used without a network."""
    known = KNOWN_CORPORA[name]
    return known.url is None or (cache_folder() / f"{name}-{known.sha256[:16]}.txt").exists()


def _read_folio() -> bytes:
    """Read it from the wheel, or from the checkout that holds this package."""
    for path in (importlib.resources.files("trainer") / "data" / "folio.txt", CHECKOUT / "data" / "folio.txt"):
        if path.is_file():
            return path.read_bytes()
    raise CorpusError("the folio is missing from this installation: install verse-arena again")


def _read(path: Path) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise CorpusError(f"{path} is not a file: give the path of a text file")
    if status.st_size > MAX_CORPUS_BYTES:
        raise CorpusError(f"{path} has {status.st_size:,} bytes; a corpus has at most {MAX_CORPUS_BYTES:,}")
    return path.read_bytes()


def _check_digest(name: str, known: KnownCorpus, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if digest != known.sha256:
        raise CorpusError(
            f"this is not the expected {name}: {len(data):,} bytes with SHA-256 {digest[:16]}…, "
            f"not {known.n_bytes:,} with {known.sha256[:16]}…. Try again, or train with --corpus folio"
        )
