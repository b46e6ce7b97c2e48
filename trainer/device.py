"""The machine a run happens on: its devices, and how its processors wait for each other."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from trainer.errors import OptionError

if TYPE_CHECKING:
    import torch


def wait_politely() -> None:
    """Before torch is loaded: let its threads sleep soon when they wait for each other, where the user said nothing.

    They spin for milliseconds otherwise. With another program on one of two cores a step took 800 ms so, against
    200 ms; on a quiet machine it is 3 to 5 % faster.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def find_device(name: str) -> str:
    """The device to train on: "cpu", "cuda" or "mps".

    Raises:
        OptionError: this machine, or this build of torch, has no such device.
    """
    import torch

    at_hand = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, here in at_hand.items() if here)
    if not at_hand[name]:
        raise OptionError(
            f"torch {torch.__version__} finds no {name} device here: train with --device cpu, "
            "or install the build of torch that knows your graphics card"
        )
    return name


def count_threads() -> int:
    """How many threads torch would use on the processor."""
    import torch

    return torch.get_num_threads()


def prepare(device: str, threads: int) -> torch.device:
    """Settle the arithmetic: float32, and on CUDA the tensor cores' faster products (TF32).

    The number of threads is part of a run, since the order in which they add up numbers is.
    """
    import torch

    torch.set_num_threads(threads)
    if device == "cuda":
        torch.set_float32_matmul_precision("high")
    return torch.device(device)


def describe(device: str) -> dict[str, Any]:
    """Device kind and versions, as a run's record holds them: nothing that names the machine or its user."""
    import numpy
    import torch

    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {
            "verse-arena": version("verse-arena"),
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": numpy.__version__,
        },
    }
