"""The file of a published event: whatever is changed in it is named, and a second machine computes all of it again."""

from __future__ import annotations

import io
import json
import random
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from arena.audit import contents
from arena.audit.archive import Archive, archive_chunks, measure, read_archive
from arena.audit.check import Known, audit_file
from arena.audit.page import Page
from arena.cli import main
from arena.errors import BundlesMissing, NotPublished
from arena.rules.chain import START, Record, fingerprint, record_hash
from arena.services.claims import make_receipt
from arena.services.export import export_event
from arena.services.receipts import public_key_of, sign
from arena.store.schema import Entry
from tests.support.bundles import verse
from tests.support.evening import Evening
from tests.support.played import play_evening
from trainer.verse import strictjson

ROOT = Path(__file__).resolve().parents[2]
KNOWN = Known()
Parts = list[tuple[str, bytes | Path]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    evening = play_evening(tmp_path_factory.mktemp("played") / "event")
    yield evening
    evening.end()


@pytest.fixture(scope="module")
def exported(played: Evening) -> Path:
    path = played.folder / "event.zip"
    export_event(played.db, played.bundles, path, key=played.key)
    return path


@pytest.fixture(scope="module")
def parts(exported: Path) -> Parts:
    archive = read_archive(exported)
    return [(member.name, archive.read(member.name, 2**30) or b"") for member in archive.members]


def written(path: Path, parts: Sequence[tuple[str, bytes | Path]]) -> Path:
    path.write_bytes(b"".join(archive_chunks(parts)))
    return path


def found(page: Page) -> str:
    return "\n".join(difference for check in page.checks for difference in check.differences)


def audit(path: Path, known: Known = KNOWN) -> Page:
    return audit_file(path, known, jobs=2)


def faults(archive: Archive) -> str:
    """What a look at the members finds, without writing verses again."""
    from arena.audit.check import _compare_members, _members

    data, problems = _members(archive)
    try:
        manifest = contents.parse_manifest(data[contents.MANIFEST])
        problems += _compare_members(manifest["members"], archive)
    except (KeyError, ValueError) as error:
        problems.append(f"{contents.MANIFEST}: {error}")
    return "\n".join(problems)


def test_an_export_agrees_with_itself_and_says_what_it_cannot_show(exported: Path) -> None:
    page = audit(exported)
    assert page.agrees and found(page) == ""
    text = "\n".join(page.lines())
    for title in ("members of the file", "chain of the log", "signatures", "votes", "results", "verses"):
        assert f"  {title}: " in text
    assert "4 verses written again, letter by letter" in text
    assert "What cannot be shown" in text and "compare its head with a photograph of the stage" in text
    assert "Everything that was checked agrees." in text


def test_the_same_event_gives_the_same_bytes(played: Evening, exported: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    export_event(played.db, played.bundles, again, key=played.key)
    assert again.read_bytes() == exported.read_bytes()
    with zipfile.ZipFile(exported) as archive:  # any program can read it
        assert archive.testzip() is None
        assert archive.namelist()[:2] == ["manifest.json", "README.txt"]
    with pytest.raises(FileExistsError):
        export_event(played.db, played.bundles, again, key=played.key)


def test_secrets_and_what_was_not_shown_are_not_exported(played: Evening, exported: Path) -> None:
    data = exported.read_bytes()
    with played.db.reading() as session:
        entries = list(session.query(Entry))
    for secret in (played.settings.receipt_key, played.settings.secret_key, "secret-of-", "not written here"):
        assert secret.encode() not in data
    hidden = [entry for entry in entries if entry.seed is None or entry.state == "disqualified"]
    assert {entry.state for entry in hidden} == {"disqualified", "refused", "replaced", "verified"}
    archive = read_archive(exported)
    published = {e.entry: e for e in contents.parse_entries(archive.read(contents.ENTRIES, 2**26) or b"")}
    for entry in hidden:
        assert published[entry.id].name is published[entry.id].key is published[entry.id].text is None
        assert archive.find(contents.bundle_member(entry.bundle or "")) is None
        assert strictjson.dump(entry.text)[1:-1] not in data


@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_a_changed_byte_of_any_member_is_named(parts: Parts, tmp_path: Path, where: float) -> None:
    for number, (name, data) in enumerate(parts):
        assert isinstance(data, bytes)
        place = int(where * (len(data) - 1))
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        others = [*parts[:number], (name, changed), *parts[number + 1 :]]
        path = written(tmp_path / "changed.zip", others)
        named = found(audit(path)) if name == contents.MANIFEST else faults(read_archive(path))
        assert name in named, name


def test_a_member_that_is_missing_renamed_added_twice_or_elsewhere_is_named(parts: Parts, tmp_path: Path) -> None:
    path = tmp_path / "changed.zip"
    for number, (name, data) in enumerate(parts):
        without = [*parts[:number], *parts[number + 1 :]]
        assert name in faults(read_archive(written(path, without)))
        renamed = [*parts[:number], ("other" + name, data), *parts[number + 1 :]]
        problems = faults(read_archive(written(path, renamed)))
        assert name in problems and (name == contents.MANIFEST or f"{name!r} was renamed to 'other{name}'" in problems)
        twice = [*parts[: number + 1], (name, data), *parts[number + 1 :]]
        assert f"{name!r} is in the file twice" in faults(read_archive(written(path, twice)))
    for name in ("extra.txt", "../outside", "/etc/passwd", "bundles/", "C:\\windows", "bundles/x.verse"):
        assert f"{name!r} was added" in faults(read_archive(written(path, [*parts, (name, b"x")])))
    assert "another order" in faults(read_archive(written(path, [parts[0], parts[2], parts[1], *parts[3:]])))


def test_no_byte_of_the_file_is_free(exported: Path, tmp_path: Path) -> None:
    data, path, chance = exported.read_bytes(), tmp_path / "changed.zip", random.Random(1)
    for place in [0, 5, 10, 14, 26, len(data) - 1, len(data) - 30, *(chance.randrange(len(data)) for _ in range(150))]:
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :])
        assert faults(read_archive(path)), place
    for changed in (b"x" + data, data + b"x", data + data, b"", data[:10], data[:-1], data[:40_000], data[30:]):
        path.write_bytes(changed)
        assert faults(read_archive(path))


def zipped(**options: Any) -> Callable[[Parts], bytes]:
    def make(parts: Parts) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", **options) as archive:
            for name, data in parts:
                archive.writestr(name, data)
        return file.getvalue()

    return make


def bomb(parts: Parts) -> bytes:
    return zipped(compression=zipfile.ZIP_DEFLATED)([("manifest.json", b"\0" * 50_000_000)])


def announced(parts: Parts) -> bytes:
    """A member that announces 4 GiB."""
    fields = struct.pack("<HHHHHIIIHH", 45, 0, 0, 0, 0x21, 0, 0xFFFFFFFE, 0xFFFFFFFE, 13, 0)
    return b"PK\x03\x04" + fields + b"manifest.json" + b"{}"


def many(parts: Parts) -> bytes:
    return b"".join(archive_chunks([(f"{number}", b"") for number in range(20_000)]))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (zipped(compression=zipfile.ZIP_DEFLATED), "'manifest.json' is not stored"),
        (zipped(), "the header of 'manifest.json' is not that of its contents"),
        (bomb, "'manifest.json' is not stored"),
        (announced, "the file ends within 'manifest.json'"),
        (many, "the entry of '0' in the directory was changed"),
        (lambda parts: b"PK\x05\x06" + b"\0" * 18, "not an archive that `arena export` wrote"),
        (lambda parts: b"PK\x03\x04", "ends within the header"),
        (lambda parts: b"\x7fELF" + b"\0" * 100, "not an archive that `arena export` wrote"),
    ],
)
def test_hostile_archives_are_refused_with_a_reason(
    parts: Parts, tmp_path: Path, make: Callable[[Parts], bytes], named: str
) -> None:
    path = tmp_path / "hostile.zip"
    path.write_bytes(make(parts))
    page = audit(path)
    assert not page.agrees and named in found(page)


# What somebody with the event's key could do


def signed(played: Evening, parts: Parts, **changed: bytes) -> Parts:
    """Other members, with a manifest that lists and signs them."""
    texts = {name.partition(".")[0]: name for name, _ in parts if "/" not in name}
    new = {texts[short]: data for short, data in changed.items()}
    members = [(name, new.get(name, data)) for name, data in parts]
    manifest = contents.parse_manifest(bytes(dict(members)[contents.MANIFEST]))  # type: ignore[arg-type]
    manifest["members"] = [[name, *measure(bytes(data))] for name, data in members[1:]]  # type: ignore[arg-type]
    records = contents.parse_log(bytes(dict(members)[contents.LOG]))  # type: ignore[arg-type]
    manifest["head"] = [len(records), records[-1].hash]
    del manifest["signature"]
    return [(contents.MANIFEST, contents.dump_manifest(manifest, sign(played.key, manifest))), *members[1:]]


def chained(records: Sequence[Record]) -> bytes:
    """A log whose chain is whole."""
    made, previous = [], START
    for number, record in enumerate(records, start=1):
        previous = record_hash(previous, number, record.at, record.kind, record.data)
        made.append(Record(number, record.at, record.kind, record.data, previous))
    return contents.dump_log(made)


def part(parts: Parts, name: str) -> bytes:
    data = dict(parts)[name]
    assert isinstance(data, bytes)
    return data


def log_of(parts: Parts) -> list[Record]:
    return contents.parse_log(part(parts, contents.LOG))


def rewritten(records: Sequence[Record], kind: str, **changed: Any) -> bytes:
    """A log whose first record of a kind says something else."""
    number = min(record.number for record in records if record.kind == kind)
    data = strictjson.parse(records[number - 1].data.encode()) | changed
    new = replace(records[number - 1], data=strictjson.dump(data).decode())
    return chained([*records[: number - 1], new, *records[number:]])


FORGERIES: dict[str, tuple[str, Callable[[Parts], dict[str, bytes]]]] = {
    "a tally": (
        "record",
        lambda parts: {"log": rewritten(log_of(parts), "votes-counted", upper=1, lower=4)},
    ),
    "the champion": (
        "names another champion",
        lambda parts: {"log": rewritten(log_of(parts), "champion", entry="f" * 32)},
    ),
    "the word of the draw": (
        "another order than salt, word and the verified entries give",
        lambda parts: {"log": rewritten(log_of(parts), "bracket-drawn", draw_word="owl")},
    ),
    "the salt of the draw": (
        "another salt than was fixed when submissions opened",
        lambda parts: {"log": rewritten(log_of(parts), "bracket-drawn", draw_salt="owl")},
    ),
    "a verdict": (
        "record",
        lambda parts: {"log": rewritten(log_of(parts), "verdict", state="refused")},
    ),
    "a record left out": (
        "record",
        lambda parts: {"log": chained([r for r in log_of(parts) if r.kind != "match-undone"])},
    ),
    "the publication left out": (
        "does not end with the publication",
        lambda parts: {"log": chained(log_of(parts)[:-1])},
    ),
    "a ballot": (
        "digest of all votes",
        lambda parts: {"ballots": part(parts, "ballots.json").replace(b'"upper"', b'"lower"', 1)},
    ),
    "an author": (
        "its author is not 'Eva'",
        lambda parts: {"entries": part(parts, "entries.json").replace(b'"Ada"', b'"Eva"', 1)},
    ),
    "an owner": (
        "its id is not that of its owner and its claim",
        lambda parts: {
            "entries": contents.dump_entries(
                [replace(e, owner="0" * 64) for e in contents.parse_entries(part(parts, "entries.json"))]
            )
        },
    ),
    "the results": (
        "results.json is not what the log gives",
        lambda parts: {"results": part(parts, "results.json").replace(b'"champion":"', b'"champion":"0', 1)},
    ),
    "a receipt": (
        "receipt does not have the signature",
        lambda parts: {
            "entries": contents.dump_entries(
                [replace(e, signature="0" * 128) for e in contents.parse_entries(part(parts, "entries.json"))]
            )
        },
    ),
    "an entry left out": (
        "is in the log and not in entries.json",
        lambda parts: {"entries": contents.dump_entries(contents.parse_entries(part(parts, "entries.json"))[1:])},
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_an_organizer_with_the_key_changes_is_named(
    played: Evening, parts: Parts, tmp_path: Path, forgery: str
) -> None:
    named, make = FORGERIES[forgery]
    without_bundles = [(name, data) for name, data in parts if "/" not in name]
    changed = signed(played, without_bundles, **make(parts))
    assert changed != signed(played, without_bundles)
    page = audit(written(tmp_path / "forged.zip", changed))
    assert named in found(page)


def test_a_bundle_that_writes_another_verse_is_named(played: Evening, parts: Parts, tmp_path: Path) -> None:
    name = parts[-1][0]
    swapped: Parts = [*parts[:-1], (name, verse(9))]
    page = audit(written(tmp_path / "swapped.zip", signed(played, swapped)))
    assert "its bundle has other bytes than its name says" in found(page)
    assert "its bundle writes another verse" in found(page)
    extra: Parts = [*parts, ("bundles/" + "0" * 64 + ".verse", verse(9))]
    page = audit(written(tmp_path / "extra.zip", signed(played, extra)))
    assert "belongs to no verse of the bracket" in found(page)


def test_another_key_is_named(parts: Parts, tmp_path: Path, played: Evening) -> None:
    manifest = contents.parse_manifest(part(parts, contents.MANIFEST))
    del manifest["signature"]
    other = "1" * 64
    manifest["key"] = public_key_of(other)
    forged: Parts = [(contents.MANIFEST, contents.dump_manifest(manifest, sign(other, manifest))), *parts[1:8]]
    page = audit(written(tmp_path / "forged.zip", forged))
    assert "the key is not the one in the first record of the log" in found(page)


def test_head_key_and_receipts_that_people_kept_are_compared(played: Evening, exported: Path, tmp_path: Path) -> None:
    with played.db.reading() as session:
        entry = session.query(Entry).order_by(Entry.id).first()
        assert entry is not None
        receipt = make_receipt(entry, False, played.key)
    kept = {**receipt.fields(), "signature": receipt.signature, "entry_link": "ignored"}
    head = contents.parse_log(bytes(read_archive(exported).read("log.jsonl", 2**30) or b""))[-3].hash
    key = fingerprint(public_key_of(played.key))
    runner, path = CliRunner(), tmp_path / "kept.json"
    path.write_bytes(strictjson.dump(kept))
    command = ["audit", str(exported), "--head", head[:24].upper(), "--key", key, "--receipt", str(path), "--json"]
    result = runner.invoke(main, command)
    page = json.loads(result.stdout)
    assert (result.exit_code, page["agrees"]) == (0, True)
    titles = {check["title"] for check in page["checks"]}
    assert {"head from the stage", "key from the stage", "receipts of participants"} <= titles
    path.write_bytes(strictjson.dump(kept | {"received": kept["received"] - 60}))
    other = Known(head="0" * 64, key="0" * 32, receipts={"kept": kept | {"received": 5.0}})
    problems = found(audit(exported, other))
    for named in ("no record of the log has the hash", "the file has another key", "it does not have the signature"):
        assert named in problems
    assert runner.invoke(main, ["audit", str(exported), "--receipt", str(exported)]).exit_code == 2
    assert runner.invoke(main, ["audit", "--head", head]).exit_code == 2


def test_an_export_of_digests_only_says_that_verses_cannot_be_written(played: Evening, tmp_path: Path) -> None:
    runner, path = CliRunner(), tmp_path / "small.zip"
    result = runner.invoke(main, ["export", str(path), "--no-bundles", "--dir", str(played.folder)])
    assert result.exit_code == 0 and "anybody can check it: arena audit" in result.output
    page = audit(path)
    assert page.agrees
    assert any("5 verses of the bracket can be written again: the file does not" in line for line in page.unknown)
    assert path.stat().st_size < 60_000
    again = runner.invoke(main, ["export", str(path), "--dir", str(played.folder)])
    assert again.exit_code == 1 and "there is such a file already" in again.output


def test_only_a_published_event_with_its_bundles_is_exported(evening: Evening, tmp_path: Path) -> None:
    evening.begin()
    with pytest.raises(NotPublished, match="arena event publish"):
        export_event(evening.db, evening.bundles, tmp_path / "event.zip", key=evening.key)
    evening.end()
    evening.forged = True
    other = play_evening(tmp_path / "other")
    for path in other.bundles.folder.glob("*.verse"):
        path.unlink()
    with pytest.raises(BundlesMissing, match="--no-bundles"):
        export_event(other.db, other.bundles, tmp_path / "event.zip", key=other.key)
    assert not list(tmp_path.glob("*event.zip*"))
    other.end()


def test_a_machine_without_torch_server_and_database_audits_a_file(exported: Path, tmp_path: Path) -> None:
    code = f"""
import sys
for name in ("torch", "flask", "sqlalchemy", "alembic", "granian", "tokenizers", "matplotlib"):
    sys.modules[name] = None  # an import of it fails
from arena.cli import main
main(["audit", {str(exported)!r}])
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "Everything that was checked agrees." in result.stdout


def test_archives_beyond_4_gib_can_be_read_by_any_program(tmp_path: Path) -> None:
    from arena.audit.archive import Member, _directory

    members = [Member(f"{n}.verse", 3 * 2**30, 0, "", n * (3 * 2**30 + 37) + 37) for n in range(3)]
    offset = 3 * (3 * 2**30 + 37)
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        file.seek(offset)  # a hole
        file.write(b"".join(_directory(members, offset)))
    with zipfile.ZipFile(path) as archive:
        assert [info.header_offset for info in archive.infolist()] == [n * (3 * 2**30 + 37) for n in range(3)]
