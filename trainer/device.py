"""The device a run happens on: which one, how many threads, and how exact its arithmetic is."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import OptionError

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # as in glibc's malloc.h
MAX_MMAP_THRESHOLD = 32 * 2**20  # bytes, the most that glibc allows: larger blocks are still returned


def load_torch() -> None:
    """Import torch, with what a training needs to be set before.

    The hundreds of thousands of objects that torch makes all stay. Python's garbage collector would look through them
    again and again, for a tenth of the time: it waits meanwhile, and leaves them out from then on.
    """
    limit_thread_spinning()
    keep_freed_memory()
    if "torch" in sys.modules:
        return
    gc.disable()
    try:
        import torch  # noqa: F401

        gc.freeze()
    finally:
        gc.enable()


def limit_thread_spinning() -> None:
    """Let torch's waiting threads sleep early, unless the user set GOMP_SPINCOUNT. Call it before torch is loaded.

    By default they spin for milliseconds. With another program on one of two cores, a step took 800 ms that way and
    200 ms this way; on an idle machine this is 3 to 5 % faster.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def keep_freed_memory() -> None:
    """Let the C library keep the memory that tensors free for the next ones, where it is glibc.

    By default it returns large blocks to the system. Fetching them again costs a page fault for every 4 KiB: thousands
    in a step, up to a sixth of its time.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, MAX_MMAP_THRESHOLD)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def find_device(name: str) -> str:
    """Return the device to train on, "cpu", "cuda" or "mps"; "auto" takes the fastest there is.

    Raises:
        OptionError: This machine, or this build of torch, has no such device.
    """
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, is_available in available.items() if is_available)
    if not available[name]:
        raise OptionError(
            f"torch {torch.__version__} finds no {name} device: train with --device cpu, "
            "or install a build of torch that supports your graphics card"
        )
    return name


def count_threads() -> int:
    """Return how many threads torch uses on the CPU by default."""
    import torch

    return torch.get_num_threads()


def configure_device(device: str, threads: int) -> torch.device:
    """Set the number of threads and, on CUDA, allow TF32 products, and prefer the same order of sums each time.

    The number of threads is part of a run, since it decides the order in which numbers are added up. On a card, torch's
    attention has no fixed order in float32.
    """
    import torch

    torch.set_num_threads(threads)
    if device == "cuda":
        torch.set_float32_matmul_precision("high")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is computed
        torch.use_deterministic_algorithms(True, warn_only=True)
        warnings.filterwarnings("ignore", message=".* defaults to a non-deterministic algorithm")
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.device(device)


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Let this thread, and those that torch starts meanwhile, take denormal numbers for zero, where the processor can.

    Products of denormal numbers take many times as long. A strong weight decay makes weights so small that the squares
    of what they give are denormal: an evaluation then took 7.6 times as long.
    """
    import torch

    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def describe_device(device: str) -> dict[str, Any]:
    """Return the kind of device and the versions for a run's record; nothing in it names the machine or its user."""
    import numpy
    import torch

    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": describe_processor(),
        "versions": {
            "verse-arena": version("verse-arena"),
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": numpy.__version__,
        },
    }


def describe_processor() -> str:
    """Return the kind of processor, and the instructions that torch uses: both decide the order of its sums."""
    import torch

    facts: dict[str, str] = {}
    with suppress(OSError):
        first = Path("/proc/cpuinfo").read_text("utf-8", "replace").split("\n\n")[0]
        facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.split("\n"))}
    kind = " ".join(facts[name] for name in ("model name", "cpu family", "model") if facts.get(name))
    return f"{kind or platform.processor() or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"[:200]
