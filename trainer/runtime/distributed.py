"""Several processes that train one model, as torchrun starts them: each learns from its share of every batch.

The first one leads: it alone writes files and talks, and what depends on a clock or on a key press it decides for all.
Alone, a process is its own leader, and nothing here does anything.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from trainer.config import TrainConfig
from trainer.errors import OptionError
from trainer.text import counted

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """The processes of one run, and which of them this is."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and talks."""
        return self.rank == 0

    def check(self, config: TrainConfig) -> None:
        """Whether these processes are those of the run, and can share its batches evenly.

        Raises:
            OptionError: they are not, or cannot.
        """
        if config.processes != self.size:
            raise OptionError(
                f"this run is one of {counted(config.processes, 'process', 'processes')}, and here "
                f"{'is' if self.size == 1 else 'are'} {self.size}: go on with it under torchrun --no-python "
                f"--nproc-per-node {config.processes}" + (", or without torchrun" if config.processes == 1 else "")
            )
        if config.batch_size % self.size:
            raise OptionError(
                f"a step's {config.batch_size} sequences cannot be shared evenly by {self.size} processes: "
                f"give a --batch-size that {self.size} divides"
            )

    def share(self, rows: Tensor) -> Tensor:
        """This process's part of a batch: (B, T) -> (B / size, T)."""
        return rows[self.rank :: self.size]

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model, whose gradients become the mean over all processes."""
        return nn.parallel.DistributedDataParallel(model) if self.size > 1 else model

    def agree(self, mine: T) -> T:
        """What the leader says: any plain object."""
        if self.size == 1:
            return mine
        said = [mine]
        torch.distributed.broadcast_object_list(said, src=0)
        return said[0]

    def mean(self, mine: list[float]) -> list[float]:
        """The mean of each number over all processes."""
        if self.size == 1:
            return mine
        said: list[list[float]] = [[]] * self.size
        torch.distributed.all_gather_object(said, mine)
        return [sum(numbers) / self.size for numbers in zip(*said, strict=True)]


ALONE = Team()


@contextmanager
def gather(device: str) -> Iterator[Team]:
    """Meet the other processes, if torchrun started this one; part from them at the end.

    Args:
        device: "cpu", "cuda" or "mps"; each process takes a graphics card of its own.

    Raises:
        OptionError: the device is none that so many processes can share a model on.
    """
    if "RANK" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        yield ALONE
        return
    if device == "mps":
        raise OptionError("several processes cannot train on mps together: start trainer train without torchrun")
    if device == "cuda":
        rank, cards = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if rank >= cards:
            raise OptionError(f"here are fewer graphics cards than processes: give --nproc-per-node {cards}")
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Team(torch.distributed.get_rank(), torch.distributed.get_world_size())
        torch.distributed.barrier()  # nobody leaves while the leader still draws: torchrun would end it, too
    finally:
        gc.collect()  # gloo's threads end with the last reference to the group, and abort if Python ends before them
        torch.distributed.destroy_process_group()
