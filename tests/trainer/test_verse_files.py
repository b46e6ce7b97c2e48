"""Files that cannot be read, and disks that are full: an error that says so, and nothing half-done."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.bundle_parts import bundle
from trainer.verse import files
from trainer.verse.bundle import read_bundle
from trainer.verse.bundle_file import read_claim
from trainer.verse.files import write_atomically, write_new

ROOT = Path(__file__).parents[2]
READERS = pytest.mark.parametrize("read", [read_claim, read_bundle])
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs what only POSIX has")
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs what only Linux has")


def python(code: str, *arguments: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run code in a child that ends within a minute, whatever happens to it."""
    command = [*before, sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- reading ----------------------------------------------------------------------------------------------------------


@READERS
def test_a_missing_file_is_called_missing(read: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.verse")


@READERS
def test_a_folder_is_called_a_folder(read: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="folder"):
        read(tmp_path)


@LINUX
@READERS
def test_a_file_that_cannot_be_read_is_not_called_empty(read: Callable[[Path], object]) -> None:
    path = Path("/proc/self/mem")  # a regular file of no length whose first byte nobody can read, not even root
    assert stat.S_ISREG(path.stat().st_mode)
    with pytest.raises(OSError, match=r"Errno 5|Input/output"):
        read(path)


@POSIX
def test_a_file_without_permission_is_refused_with_that_reason(tmp_path: Path) -> None:
    path = tmp_path / "secret.verse"
    path.write_bytes(bundle())
    path.chmod(0)
    tmp_path.chmod(0o755)
    code = (
        "import os, sys; from pathlib import Path; from trainer.verse.bundle_file import read_claim\n"
        "os.chdir(sys.argv[1])\n"
        "if os.geteuid() == 0: os.seteuid(65534)  # root may read everything, nobody may not\n"
        "try: read_claim(Path('secret.verse'))\n"
        "except PermissionError as error: print(error.strerror)"
    )
    assert python(code, str(tmp_path)).stdout == "Permission denied\n"


@POSIX
def test_a_pipe_that_never_ends_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.verse")
    for path in (tmp_path / "pipe.verse", Path(os.devnull), Path("/dev/zero")):
        completed = python(
            "import sys; from pathlib import Path; from trainer.verse.bundle_file import read_claim\n"
            "try: read_claim(Path(sys.argv[1]))\n"
            "except OSError as error: print(error.strerror)",
            str(path),
        )
        assert completed.stdout.strip() == "is not a regular file", completed.stderr


@POSIX
def test_a_link_to_a_bundle_is_read_and_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(bundle())
    (tmp_path / "link").symlink_to("real")
    assert read_claim(tmp_path / "link") == read_claim(tmp_path / "real")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match=r"[Ll]evels of symbolic links|[Ll]oop|links"):
        read_claim(tmp_path / "a")


# --- writing ----------------------------------------------------------------------------------------------------------


def test_what_is_written_is_there_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.verse"
    write_atomically(path, b"one", b"", b"two")
    assert path.read_bytes() == b"onetwo"
    write_atomically(path, b"three")
    assert path.read_bytes() == b"three"
    assert names(tmp_path) == ["a.verse"]


def test_a_long_name_in_any_script_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("ж" * 120 + ".verse")  # 246 bytes of the 255 that most file systems allow
    write_atomically(path, b"x")
    assert path.read_bytes() == b"x"


def test_a_missing_folder_and_a_folder_in_the_way_are_errors_that_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        write_atomically(tmp_path / "none" / "a.verse", b"x")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        write_atomically(tmp_path / "taken", b"x")
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        write_atomically(tmp_path / "file" / "a.verse", b"x")
    assert names(tmp_path) == ["file", "taken"]


WRITE_UNTIL_FULL = """
import errno, os, sys
from pathlib import Path
from trainer.verse.files import write_atomically
folder = Path(sys.argv[1])
write_atomically(folder / "old.verse", b"o" * 1000)
for name in ("new.verse", "old.verse"):
    try:
        write_atomically(folder / name, b"n" * 30_000, b"n" * 300_000)
    except OSError as error:
        print(errno.errorcode[error.errno])
print(sorted(os.listdir(folder)), (folder / "old.verse").read_bytes() == b"o" * 1000)
write_atomically(folder / "small.verse", b"s" * 1000)
print(sorted(os.listdir(folder)))
"""
LEFT_WHOLE = "['old.verse'] True\n['old.verse', 'small.verse']\n"


@LINUX
def test_a_full_disk_leaves_neither_half_a_file_nor_a_temporary_one(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare, to mount a small disk that nobody else sees")
    script = 'mount -t tmpfs -o size=128k none "$0" && exec "$@"'
    for rights in (["--mount"], ["--mount", "--user", "--map-root-user"]):
        inside = [unshare, *rights, "sh", "-c", script, str(tmp_path)]
        if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode == 0:
            break
    else:
        pytest.skip("may not mount a disk of its own here; the test with a limit on files still ran")
    completed = python(WRITE_UNTIL_FULL, str(tmp_path), before=inside)
    assert completed.stdout == "ENOSPC\nENOSPC\n" + LEFT_WHOLE, completed.stderr


@POSIX
def test_a_file_beyond_the_limit_of_the_system_leaves_nothing_either(tmp_path: Path) -> None:
    limit = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    completed = python(limit + WRITE_UNTIL_FULL, str(tmp_path))
    assert completed.stdout == "EFBIG\nEFBIG\n" + LEFT_WHOLE, completed.stderr


@POSIX
def test_a_killed_writer_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.verse"
    path.write_bytes(b"old")
    completed = python(
        "import os, signal, sys\nfrom pathlib import Path\nfrom trainer.verse.files import write_atomically\n"
        "os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)  # all is written, the name not yet taken\n"
        "write_atomically(Path(sys.argv[1]), b'new' * 100_000)\n",
        str(path),
    )
    assert completed.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


# --- disks that answer otherwise --------------------------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES])
def test_a_folder_that_cannot_be_synced_holds_the_file_all_the_same(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on SMB, vboxsf and some FUSE."""
    sync_to_disk = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        sync_to_disk(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(tmp_path / "a", b"one")
    assert write_new(tmp_path / "b", b"two")
    assert names(tmp_path) == ["a", "b"]


@POSIX
def test_a_failing_disk_under_a_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output"):
        write_atomically(tmp_path / "a", b"one")


class HeldFile:
    """`os.replace` where a virus scanner holds the file for some attempts."""

    def __init__(self, attempts: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.attempts, self.calls, self.replace = attempts, 0, os.replace
        monkeypatch.setattr(os, "replace", self)

    def __call__(self, source: Path, target: Path) -> None:
        self.calls += 1
        if self.calls <= self.attempts:
            raise PermissionError(errno.EACCES, "Access is denied")  # WinError 5 and 32 are this error, too
        self.replace(source, target)


def test_a_rename_that_is_refused_for_a_moment_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"old")
    held = HeldFile(3, monkeypatch)
    write_atomically(tmp_path / "a", b"new")
    assert held.calls == 4
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_rename_that_stays_refused_leaves_the_old_file_alone_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "RENAME_SECONDS", 0.1)
    (tmp_path / "a").write_bytes(b"old")
    HeldFile(10**6, monkeypatch)
    with pytest.raises(PermissionError) as refused:
        write_atomically(tmp_path / "a", b"new")
    assert refused.value.filename == str(tmp_path / "a")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize("has_links", [True, False])
def test_a_new_file_never_replaces_one_also_where_there_are_no_hard_links(
    has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_links:  # exFAT, and Windows' disks in WSL

        def link(source: Path, target: Path) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", link)
    assert write_new(tmp_path / "a", b"one")
    assert not write_new(tmp_path / "a", b"two")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"one"
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_a_disk_that_fills_while_a_new_file_is_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        write_new(tmp_path / "a", b"one")
    assert names(tmp_path) == []


def test_every_write_of_a_file_goes_through_the_one_module_that_knows_disks() -> None:
    """Exceptions: records that grow, pieces at their places, copies of forms, and a program's own output."""
    allowed = {
        "trainer/verse/files.py": {"os.fsync", "os.link", "os.O_CREAT", ".replace("},
        "trainer/runtime/run.py": {'open("ab"'},  # records that grow; a resumed run cuts what is not whole
        "arena/store/spool.py": {'open("r+b")'},  # pieces, before their row
        "arena/store/bundles.py": {"os.link", 'open("xb")', 'open("rb+")'},  # a name or a copy, then synced
        "arena/store/objects.py": {'open("xb")'},  # a copy under a temporary name, which bundles.py syncs
        "trainer/submission/heartbeats.py": {'open("ab")'},  # a run does not end for want of heartbeats
        "arena/store/backup.py": {'open("xb")', 'open("rb+")'},  # a copy under a temporary name, then synced
        "arena/settings.py": {"os.O_CREAT"},  # asks the disk whether it keeps permissions
        "arena/demo/serving.py": {'open("ab"'},  # the log of a demo's server
        "arena/demo/entering.py": {"os.O_CREAT"},  # tickets of a demo, in a folder of its own
        "arena/web/openapi.py": {"write_text"},  # the developers' command
        "arena/web/catalogs.py": {"write_text"},  # another
        "arena/verification/retraining.py": {"write_text"},  # tells Linux that the process has time
        "arena/worker.py": {"write_text"},  # a sign of life, which nobody needs after a power cut
    }
    writes = re.compile(
        r"os\.fsync|os\.link|os\.O_CREAT|os\.replace|os\.rename|write_text|write_bytes|open\(\"[rwax]\+?b?\+?\"\)?"
    )
    found: dict[str, set[str]] = {}
    for path in [*ROOT.glob("trainer/**/*.py"), *ROOT.glob("arena/**/*.py")]:
        for match in writes.findall(path.read_text(encoding="utf-8")):
            if match not in ('open("rb")', 'open("r")'):
                found.setdefault(path.relative_to(ROOT).as_posix(), set()).add(match)
    unexpected = {
        path: {match for match in matches if not any(match.startswith(one) for one in allowed.get(path, ()))}
        for path, matches in found.items()
    }
    assert not {path: matches for path, matches in unexpected.items() if matches}
