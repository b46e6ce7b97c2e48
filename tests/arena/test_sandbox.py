"""The watcher of child processes: limits of memory, time and output, against children that break them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from arena.processes import CODE_FOLDER
from arena.verification.runner import report_of
from arena.verification.sandbox import MAX_OUTPUT, Ending, Limits, run_watched

MIB = 2**20
ROOMY = Limits(memory=500 * MIB, seconds=60.0)


def child(code: str) -> list[str]:
    return [sys.executable, "-I", "-c", code]


def test_a_well_behaved_child_ends_by_itself_and_its_output_is_returned() -> None:
    ending = run_watched(child("print('a verse')"), ROOMY)
    assert (ending.how, ending.status, ending.output.split()) == ("exited", 0, [b"a", b"verse"])


def test_a_child_that_uses_too_much_memory_is_killed() -> None:
    ending = run_watched(child("x = []\nwhile True: x.append(b'1' * 2**22)"), Limits(100 * MIB, 60.0))
    assert ending.how == "memory"


def test_a_child_in_an_endless_loop_is_killed() -> None:
    ending = run_watched(child("while True: pass"), Limits(500 * MIB, 0.3))
    assert ending.how == "time"


def test_a_child_that_prints_without_end_is_killed() -> None:
    ending = run_watched(child("while True: print('la' * 10_000)"), ROOMY)
    assert ending.how == "output"
    assert len(ending.output) < MAX_OUTPUT + 2**17


def test_a_child_that_closes_its_output_is_still_watched() -> None:
    ending = run_watched(child("import os\nos.close(1)\nwhile True: pass"), Limits(500 * MIB, 0.3))
    assert ending.how == "time"


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_child_killed_by_a_signal_is_distinguished_from_one_killed_by_its_watcher() -> None:
    ending = run_watched(child("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"), ROOMY)
    assert (ending.how, ending.status) == ("exited", -signal.SIGSEGV)


def test_a_cancelled_child_is_killed() -> None:
    cancelled = threading.Event()
    cancelled.set()
    assert run_watched(child("while True: pass"), ROOMY, cancelled).how == "cancelled"


def test_a_command_that_does_not_exist_is_an_os_error() -> None:
    with pytest.raises(OSError):
        run_watched(["/nowhere/to/be/found"], ROOMY)


def test_a_child_computes_on_one_thread_and_sees_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARENA_SECRET", "s3cret")
    ending = run_watched(child("import os; print(dict(os.environ))"), ROOMY)
    assert b"s3cret" not in ending.output
    assert b"'OPENBLAS_NUM_THREADS': '1'" in ending.output


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel limits a child on Linux only")
@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("bytearray(3 * 2**30)", "MemoryError"),
        ("import os; os.write(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY), b'x')", "OSError"),
        ("files = [open('/dev/null') for _ in range(100)]", "OSError"),
    ],
)
def test_the_kernel_refuses_a_child_memory_files_and_descriptors(code: str, error: str, tmp_path: Path) -> None:
    program = f"""
import resource, sys
while resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 64: pass  # the parent sets this one last
try: {code}
except Exception as error: print(type(error).__name__)
"""
    ending = run_watched([*child(program), str(tmp_path / "must-stay-empty")], ROOMY)
    assert ending.output.decode().strip() == error


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_child_dies_with_its_parent_even_by_kill_9() -> None:
    grandchild = f"""
import sys; sys.path.insert(0, {CODE_FOLDER!r})
from arena.processes import end_with_parent
end_with_parent()
while True: pass
"""
    parent = f"""
import sys; sys.path.insert(0, {CODE_FOLDER!r})
import threading, psutil
from arena.verification.sandbox import Limits, run_watched
threading.Thread(target=run_watched, args=([sys.executable, "-I", "-c", {grandchild!r}], Limits(2**30, 600))).start()
me = psutil.Process()
while not me.children(): pass
print(me.children()[0].pid, flush=True)
"""
    process = subprocess.Popen(child(parent), stdout=subprocess.PIPE, text=True)
    assert process.stdout
    orphan = psutil.Process(int(process.stdout.readline()))
    process.kill()
    process.wait()
    process.stdout.close()
    orphan.wait(timeout=30)  # raises if it lives on


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("signal_name", "says"),
    [
        ("SIGILL", "an instruction that this processor does not have"),
        ("SIGKILL", "out of memory"),
        ("SIGSEGV", "arena selftest"),
    ],
)
def test_what_ended_a_check_is_said_and_a_wrong_instruction_is_not_called_out_of_memory(
    signal_name: str, says: str
) -> None:
    ending = run_watched(child(f"import os, signal; os.kill(os.getpid(), signal.{signal_name})"), ROOMY)
    reason = report_of(ending, ROOMY).reason or ""
    assert f"was ended by {signal_name}" in reason and says in reason
    assert ("out of memory" in reason) == (signal_name == "SIGKILL")
    assert "processor does not have" in (report_of(Ending("exited", 0xC000001D, b""), ROOMY).reason or "")  # Windows
