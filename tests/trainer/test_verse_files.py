"""Files that cannot be read, and disks that are full: an error that says so, and nothing half-done."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.bundle_parts import bundle
from trainer.verse.bundle import read_bundle, read_claim
from trainer.verse.files import write_atomically

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
        "import os, sys; from pathlib import Path; from trainer.verse.bundle import read_claim\n"
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
            "import sys; from pathlib import Path; from trainer.verse.bundle import read_claim\n"
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
