"""The file of a published event: a ZIP archive of which every byte follows from the names and contents of its members.

Members are stored, not compressed, in one order, without times, comments or further fields. So the same event gives the
same bytes everywhere, no byte is free, and a reader knows how many bytes follow before it reads them.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

CHUNK = 2**20  # bytes read at once
MAX_MEMBERS = 5_000  # a bracket has 1,024 entries at most
MAX_NAME = 100  # characters of a member's name
VERSION, DOS_DATE = 45, 0x0021  # 4.5, for archives beyond 4 GiB; 1 January 1980, the first that there is
LOCAL, CENTRAL, END, END_64, LOCATOR_64 = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
LOCAL_BYTES = 30
LARGEST = 0xFFFFFFFF


@dataclass(frozen=True)
class Member:
    """One member of an archive."""

    name: str
    size: int  # bytes
    crc: int
    sha256: str  # hexadecimal
    offset: int  # of its first byte in the archive, in bytes


@dataclass(frozen=True)
class Archive:
    """What was found in an archive."""

    path: Path
    members: Sequence[Member]  # in their order
    faults: Sequence[str]  # where it is not what `archive_chunks` writes, one sentence each

    def find(self, name: str) -> Member | None:
        """Return the first member of this name."""
        return next((member for member in self.members if member.name == name), None)

    def read(self, name: str, limit: int) -> bytes | None:
        """Return the contents of a member; None if there is none, or it has more than `limit` bytes."""
        member = self.find(name)
        if member is None or member.size > limit:
            return None
        with self.open(member) as window:
            return window.read()

    def open(self, member: Member) -> Window:
        """Open the contents of a member."""
        file = self.path.open("rb")
        file.seek(member.offset)
        return Window(file, member.size)


class Window:
    """The part of a file that is a member, as a file to read."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int = -1) -> bytes:
        """Read as a file does."""
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def __enter__(self) -> Window:
        return self

    def __exit__(self, *details: object) -> None:
        self._file.close()


def archive_chunks(contents: Sequence[tuple[str, bytes | Path]]) -> Iterator[bytes]:
    """Return the bytes of an archive, piece by piece.

    Args:
        contents: name and bytes of each member, or the file that holds its bytes, in order.

    Raises:
        OSError: A file cannot be read, or has changed meanwhile.
    """
    members: list[Member] = []
    offset = 0
    for name, source in contents:
        size, crc, digest = _measure(_chunks(source))
        header = _local_header(name, size, crc)
        members.append(Member(name, size, crc, digest, offset + len(header)))
        yield header
        written = 0
        for chunk in _chunks(source):
            yield chunk
            written += len(chunk)
        if written != size:
            raise OSError(f"{name} has changed while it was read")
        offset += len(header) + size
    yield from _directory(members, offset)


def measure(data: bytes) -> tuple[int, str]:
    """Return size and SHA-256 of a member's contents."""
    return len(data), hashlib.sha256(data).hexdigest()


def read_archive(path: Path) -> Archive:
    """Read what is in an archive, and compare each byte around the members' contents with what belongs there.

    It reads forwards only, and never more than the file has. Whatever is not an archive as `archive_chunks` writes it
    is a fault, with the name of the member where it begins.

    Raises:
        OSError: The file cannot be read.
    """
    members: list[Member] = []
    faults: list[str] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        offset = 0
        while len(members) < MAX_MEMBERS:
            start = file.read(4)
            if start != LOCAL:
                file.seek(offset)
                break
            header = start + file.read(LOCAL_BYTES - 4)
            where = f"at byte {offset:,}"
            if len(header) < LOCAL_BYTES:
                return Archive(path, members, [*faults, f"the file ends within the header of a member {where}"])
            stored, length = _sizes(header)
            if length > MAX_NAME:
                return Archive(path, members, [*faults, f"the member {where} has a name of {length:,} characters"])
            name = file.read(length).decode("ascii", "backslashreplace")
            begin = offset + LOCAL_BYTES + length
            if stored is None:
                return Archive(path, members, [*faults, f"{name!r} is not stored as `arena export` stores its members"])
            if begin + stored > size:
                return Archive(path, members, [*faults, f"the file ends within {name!r}"])
            n_bytes, crc, digest = _measure(_pieces(file, stored))
            if header + name.encode("ascii", "replace") != _local_header(name, stored, crc):
                faults.append(f"the header of {name!r} is not that of its contents")
            members.append(Member(name, n_bytes, crc, digest, begin))
            offset = begin + stored
        for member, part in zip([*members, None], _directory(members, offset), strict=True):
            if file.read(len(part)) != part:
                of = f"the entry of {member.name!r} in the directory" if member else "the end of the archive"
                faults.append(f"{of} was changed, added to or taken away")
                break
        else:
            if file.read(1):
                faults.append("bytes follow the end of the archive")
    if not members:
        faults = ["it is not an archive that `arena export` wrote: its first bytes are others"]
    return Archive(path, members, faults)


def _sizes(header: bytes) -> tuple[int | None, int]:
    """Return the size of a member and the length of its name; None where it is not stored plainly."""
    flags, method, _, _, _, packed, size, length, extra = struct.unpack("<HHHHIIIHH", header[6:])
    return (size if (flags, method, extra) == (0, 0, 0) and packed == size else None), length


def _local_header(name: str, size: int, crc: int) -> bytes:
    fields = struct.pack("<HHHHHIIIHH", VERSION, 0, 0, 0, DOS_DATE, crc, size, size, len(name), 0)
    return LOCAL + fields + name.encode("ascii", "replace")


def _directory(members: Sequence[Member], offset: int) -> list[bytes]:
    """Return the entry of each member in the directory, then the end of the archive.

    Args:
        members: in their order.
        offset: of the directory, in bytes.
    """
    entries = []
    for member in members:
        start = member.offset - LOCAL_BYTES - len(member.name)
        extra = struct.pack("<HHQ", 1, 8, start) if start >= LARGEST else b""
        fields = struct.pack(
            "<HHHHHHIIIHHHHHII",
            *(3 << 8 | VERSION, VERSION, 0, 0, 0, DOS_DATE, member.crc, member.size, member.size),
            *(len(member.name), len(extra), 0, 0, 0, 0o644 << 16, min(start, LARGEST)),
        )
        entries.append(CENTRAL + fields + member.name.encode("ascii", "replace") + extra)
    size, count = sum(map(len, entries)), len(entries)
    end = b""
    if offset >= LARGEST:
        end = END_64 + struct.pack("<QHHIIQQQQ", 44, VERSION, VERSION, 0, 0, count, count, size, offset)
        end += LOCATOR_64 + struct.pack("<IQI", 0, offset + size, 1)
    end += END + struct.pack("<HHHHIIH", 0, 0, count, count, size, min(offset, LARGEST), 0)
    return [*entries, end]


def _measure(chunks: Iterator[bytes]) -> tuple[int, int, str]:
    size, crc, digest = 0, 0, hashlib.sha256()
    for chunk in chunks:
        size, crc = size + len(chunk), zlib.crc32(chunk, crc)
        digest.update(chunk)
    return size, crc, digest.hexdigest()


def _chunks(source: bytes | Path) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0 and (chunk := file.read(min(CHUNK, size))):
        size -= len(chunk)
        yield chunk
