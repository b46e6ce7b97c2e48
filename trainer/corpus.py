"""The corpus: found by name, downloaded or read from files, then decoded and cleaned."""

from __future__ import annotations

import hashlib
import http.client
import importlib.resources
import re
import stat
import urllib.request
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trainer.errors import CorpusError
from trainer.splits import split_index
from trainer.text import pluralize
from trainer.verse.characters import clean, describe, encoding_of_mark, is_forbidden
from trainer.verse.files import write_atomically
from trainer.verse.text import sanitize

MAX_CORPUS_BYTES = 2**30  # 1 GiB: reading it takes a few times as much memory
FETCH_TIMEOUT = 30  # seconds without a byte
DEFAULT_CORPUS = "folio"
MAX_PLACES = 5  # that an error names
TRIED_BYTES = 2**20  # of a file, in each likely encoding
SAMPLE = 40  # characters of a file that an error shows
# Encodings of texts that are not in UTF-8, the ones that refuse most other texts first; `--encoding` takes any other.
LIKELY_ENCODINGS = ("shift_jis", "euc_kr", "big5", "gb18030", "cp1252", "cp1251", "latin-1")
# The lines that frame the text of a book of Project Gutenberg, of old files, too: a licence stands around it.
GUTENBERG = re.compile(
    r"^(?:(?P<start>\*{3} ?START OF TH(?:E|IS) PROJECT GUTENBERG|\*END\*THE SMALL PRINT)"
    r"|\*{3} ?END OF TH(?:E|IS) PROJECT GUTENBERG|End of (?:the |this )?Project Gutenberg).*$",
    re.MULTILINE | re.IGNORECASE,
)
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
    "haiku": KnownCorpus(
        "1,600 haiku, three lines each; small, for short runs; original, CC0",
        "8cfd93cf79828685a86b8080de6ba5bf023b4efc47d888f571d806f9b3edd50c",
        116_799,
    ),
    "names": KnownCorpus(
        "7,497 invented names, a word a line; small, for short runs; original, CC0",
        "1b261c27e2fa31d5e74c722f2b8f3732574513d9540fd6b5c814fcb19d03eebb",
        52_101,
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

    name: str  # short and printable, for folder names and records: never a path
    source: str  # what finds it again: names and absolute paths, a line each
    text: str
    notes: tuple[str, ...] = ()  # what was changed on the way, for people

    @cached_property
    def sha256(self) -> str:
        """Digest of the cleaned text, as runs and bundles record it."""
        digest = hashlib.sha256()
        for start in range(0, len(self.text), 2**20):
            digest.update(self.text[start : start + 2**20].encode())
        return digest.hexdigest()

    @cached_property
    def symbols(self) -> str:
        """Its different characters, in the order of their code points."""
        return "".join(sorted(set(self.text)))

    @property
    def split(self) -> int:
        """Index of the first character of the validation split."""
        return split_index(self.text)


def load_corpus(source: str, encoding: str = "", strip_gutenberg: bool = False) -> Corpus:
    """Load a corpus by name or from text files: one, several or a folder of them, joined in the order of their names.

    Args:
        source: Names, and paths of files and folders, a line each.
        encoding: Of the files; "" for a byte order mark's, or UTF-8.
        strip_gutenberg: Leave out the frame of Project Gutenberg's books. It is kept otherwise, at the beginning of the
            text, so that no loss is measured on a licence.

    Raises:
        CorpusError: It cannot be found, downloaded, or read as text.
    """
    if source in KNOWN_CORPORA:
        return Corpus(source, source, clean(_read_known(source).decode()).text)
    sources = source.split("\n")
    paths = [path for part in sources for path in ([Path(part)] if part in KNOWN_CORPORA else _find_files(part))]
    paths.sort(key=lambda path: (path.name, str(path)))
    if len(paths) > 1 and sum(path.stat().st_size for path in paths if path.exists()) > MAX_CORPUS_BYTES:
        raise CorpusError(f"these files have together more bytes than a corpus may have: {MAX_CORPUS_BYTES:,}")
    absolute = [part if part in KNOWN_CORPORA else str(Path(part).resolve()) for part in sources]
    first = Path(absolute[0])
    name = (first.name if first.is_dir() else first.stem) + (
        f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    )
    files = ((path.name, _read_known(str(path)) if str(path) in KNOWN_CORPORA else _read(path)) for path in paths)
    text, notes = join_texts(files, encoding, strip_gutenberg)
    if not text:
        raise CorpusError(f"{name if len(paths) > 1 else paths[0].name} is empty: give a file with text in it")
    return Corpus(sanitize(name), "\n".join(absolute), text, tuple(map(sanitize, notes)))


def join_texts(files: Iterable[tuple[str, bytes]], encoding: str, strip_gutenberg: bool) -> tuple[str, list[str]]:
    """Decode, clean and join files; return the text, and notes about what was changed.

    Args:
        files: Name and bytes of each.
        encoding: As for `load_corpus`.
        strip_gutenberg: As for `load_corpus`.

    Raises:
        CorpusError: One of them cannot be read as text.
    """
    frames: list[str] = []
    bodies: list[str] = []
    notes: list[str] = []
    removed: Counter[str] = Counter()
    for file, data in files:
        text, used = decode(data, file, encoding)
        if used not in ("utf-8", "utf-8-sig", encoding):
            notes.append(f"{file} was read as {used}.")
        cleaned = clean(text.rstrip("\x1a"))  # which ends a file of DOS
        _check_controls(cleaned.text, file)
        removed.update(cleaned.removed)
        body, framing = split_gutenberg(cleaned.text)
        bodies.append(body)
        if framing:
            notes.append(_gutenberg_note(file, framing, strip_gutenberg))
            frames += [] if strip_gutenberg else framing
    if strip_gutenberg and not any("Gutenberg" in note for note in notes):
        notes.append("No frame of Project Gutenberg was found.")
    if removed:
        count = pluralize(removed.total(), "character")
        notes.append(f"Removed {count} that cannot be seen: {describe(removed)}.")
    parts = [part for part in (*frames, *bodies) if part]
    return "".join(part if part.endswith("\n") or part is parts[-1] else part + "\n" for part in parts), notes


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


def decode(data: bytes, name: str, encoding: str = "") -> tuple[str, str]:
    """Decode a file, and return its text and its encoding.

    Args:
        data: The file's bytes.
        name: The file's name, for errors.
        encoding: Its encoding; "" for the one of its byte order mark, or UTF-8, or UTF-16 if every second byte is zero.

    Raises:
        CorpusError: It is not text in that encoding. Without one, the error names those in which it can be read.
    """
    found = encoding or encoding_of_mark(data) or _utf_16_without_mark(data) or "utf-8"
    try:
        text = data.decode(found)
        if encoding and not text.isascii() and any(0xD800 <= ord(character) <= 0xDFFF for character in set(text)):
            raise UnicodeDecodeError(found, data[:1], 0, 1, "half a surrogate pair")
    except (LookupError, UnicodeError, ValueError) as error:
        if isinstance(error, LookupError):
            raise CorpusError(f"--encoding {encoding!r} is not known: give one such as cp1252 or gb18030") from None
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        line, byte = data.count(b"\n", 0, start) + 1, f"{data[start]:#04x}" if start < len(data) else "missing"
        known = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8"}.get(found, sanitize(found))
        place = f"{name} is not {known} text: byte {start:,}, in line {line:,}, is {byte}"
        advice = "" if encoding else _likely_encodings(data, start)
        raise CorpusError(f"{place}. {advice or 'Save it as UTF-8, or give another file'}") from None
    return text, found


def _likely_encodings(data: bytes, start: int) -> str:
    """Return the encodings in which a file can be read, each with the words around a place, for people to choose."""
    begin, end = data.rfind(b"\n", 0, start) + 1, data.find(b"\n", start)
    end = len(data) if end < 0 else end
    lines = data[begin : max(end, data.rfind(b"\n", begin, begin + TRIED_BYTES))]
    shown: dict[str, str] = {}  # encoding by sample: several give the same
    for encoding in LIKELY_ENCODINGS:
        try:
            text = lines.decode(encoding)
            sample = data[begin:end].decode(encoding).strip()[:SAMPLE]
        except UnicodeDecodeError:
            continue
        if not any(is_forbidden(character) for character in set(clean(text).text)):
            shown.setdefault(sample, encoding)
    if not shown:
        return ""
    choices = ", ".join(f"--encoding {encoding} reads “{sample}”" for sample, encoding in shown.items())
    return f"Give the encoding in which it can be read: {choices}"


def split_gutenberg(text: str) -> tuple[str, list[str]]:
    r"""Split a text into the books of Project Gutenberg, and what stands before, between and after them.

    >>> split_gutenberg("Licence\n*** START OF THE PROJECT GUTENBERG EBOOK POEMS ***\nA verse\n")
    ('A verse\n', ['Licence\n*** START OF THE PROJECT GUTENBERG EBOOK POEMS ***'])
    """
    marks = list(GUTENBERG.finditer(text))
    if not marks:
        return text, []
    books, frames, begin, is_book = [], [], 0, marks[0]["start"] is None
    for mark in marks:
        if is_book and mark["start"] is None:
            books.append(text[begin : mark.start()].strip("\n") + "\n")
            begin, is_book = mark.start(), False
        elif not is_book and mark["start"] is not None:
            frames.append(text[begin : mark.end()])
            begin, is_book = mark.end(), True
    if is_book:
        books.append(text[begin:].lstrip("\n"))
    else:
        frames.append(text[begin:])
    return "".join(books), frames


def _gutenberg_note(file: str, frames: list[str], is_cut: bool) -> str:
    """Return what was found around the books of a file, and what was done with it."""
    parts = []
    for frame in frames:
        lines = [line.strip() for line in frame.split("\n") if line.strip()]
        parts.append(f"{pluralize(len(frame), 'character')} (“{lines[0][:SAMPLE]}” to “{lines[-1][:SAMPLE]}”)")
    done = "were cut" if is_cut else "stay, at the beginning of the text; --strip-gutenberg cuts them"
    return f"{file} has the frame of a book of Project Gutenberg: {' and '.join(parts)} {done}."


def _utf_16_without_mark(data: bytes) -> str | None:
    """Return which kind of UTF-16 a file without a byte order mark is, by its zero bytes; None if it has few."""
    sample = data[: 2**16]
    half = len(sample) // 2
    low, high = sample[0::2].count(0), sample[1::2].count(0)
    if half and max(low, high) > 0.4 * half and min(low, high) < 0.05 * half:
        return "utf-16-le" if high > low else "utf-16-be"
    return None


def _check_controls(text: str, name: str) -> None:
    """Refuse control characters, all at once, with their places.

    Raises:
        CorpusError: There are some.
    """
    special = sorted(character for character in set(text) if is_forbidden(character))
    if not special:
        return
    places = list(re.finditer(f"[{re.escape(''.join(special))}]", text))
    shown = []
    for place in places[:MAX_PLACES]:
        line, column = text.count("\n", 0, place.start()) + 1, place.start() - text.rfind("\n", 0, place.start())
        shown.append(f"U+{ord(place[0]):04X} in line {line:,}, column {column:,}")
    more = f" and {len(places) - MAX_PLACES:,} more" if len(places) > MAX_PLACES else ""
    count = pluralize(len(places), "control character")
    raise CorpusError(f"{name} holds {count}: {'; '.join(shown)}{more}. Remove them, or give a plain text file")


def _find_files(source: str) -> list[Path]:
    """Return the file at a path, or the text files of a folder.

    Raises:
        CorpusError: There is none, or its path is not valid Unicode.
    """
    path = Path(source)
    if "\n" in str(path.resolve()):
        raise CorpusError(f"the path {source!r} has a line feed in it: give the file another name")
    try:
        str(path.resolve()).encode()
    except UnicodeEncodeError:
        raise CorpusError(f"the path {source!r} is not valid Unicode: give the file another name") from None
    if not path.exists():
        raise CorpusError(
            f"there is no corpus {source!r}: give the path of a text file as --corpus, or a name: "
            f"{', '.join(KNOWN_CORPORA)}"
        )
    if not path.is_dir():
        return [path]
    files = [file for file in path.iterdir() if file.suffix.lower() == ".txt" and not file.name.startswith(".")]
    if not files:
        raise CorpusError(f"the folder {path} has no file that ends in .txt: give one with text files, or a file")
    return files


def cache_folder() -> Path:
    """Return the user's folder for files that can be downloaded again."""
    import platformdirs

    return platformdirs.user_cache_path("verse-arena", appauthor=False)


def is_available(name: str) -> bool:
    """Whether a named corpus can be used without a network."""
    known = KNOWN_CORPORA[name]
    return known.url is None or (cache_folder() / f"{name}-{known.sha256[:16]}.txt").exists()


def _read_known(name: str) -> bytes:
    """Read a corpus that has a name.

    Raises:
        CorpusError: It cannot be downloaded, or is another text.
    """
    known = KNOWN_CORPORA[name]
    data = _read_included(name) if known.url is None else _read(fetch_corpus(name))
    _check_digest(name, known, data)
    return data


def _read_included(name: str) -> bytes:
    """Read a corpus from the wheel, or from the checkout that holds this package."""
    for folder in (importlib.resources.files("trainer"), CHECKOUT):
        path = folder / "data" / f"{name}.txt"
        if path.is_file():
            return path.read_bytes()
    raise CorpusError(f"the corpus {name} is missing from this installation: install verse-arena again")


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
