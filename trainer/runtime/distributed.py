"""Distributed training: several processes, started by torchrun, each train on a shard of every batch.

The process of rank 0 is the main one: it alone writes files and prints, and it decides for all what depends on a clock
or on a signal. With one process, every function here returns its argument.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from trainer.config import TrainConfig
from trainer.errors import OptionError
from trainer.text import pluralize

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The processes of one run, and which of them this is."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def check_config(self, config: TrainConfig) -> None:
        """Refuse a config for another number of processes, or a batch that they cannot share evenly.

        Raises:
            OptionError: The config does not fit these processes.
        """
        if config.processes != self.size:
            raise OptionError(
                f"this run was started with {pluralize(config.processes, 'process', 'processes')}, and now there "
                f"{'is' if self.size == 1 else 'are'} {self.size}: resume it under torchrun --no-python "
                f"--nproc-per-node {config.processes}" + (", or without torchrun" if config.processes == 1 else "")
            )
        if config.batch_size % self.size:
            raise OptionError(
                f"a step's {config.batch_size} sequences cannot be shared evenly by {self.size} processes: "
                f"give a --batch-size that is a multiple of {self.size}"
            )

    def shard(self, rows: Tensor) -> Tensor:
        """Return this process's part of a batch: (B, T) -> (B / size, T)."""
        return rows[self.rank :: self.size]

    def average_gradients(self, model: nn.Module) -> None:
        """Replace the model's gradients by their means over all processes.

        All are sent as one vector. torch's DistributedDataParallel would send some while others are computed, but it
        keeps the process group's threads for ever, and a process that ends before them may abort.
        """
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        vector = parameters_to_vector(gradients)
        torch.distributed.all_reduce(vector)
        vector_to_parameters(vector / self.size, gradients)

    def broadcast(self, value: T) -> T:
        """Return the main process's value, any plain object."""
        if self.size == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, src=0)
        return values[0]

    def mean(self, values: list[float]) -> list[float]:
        """Return the mean of each value over all processes."""
        if self.size == 1:
            return values
        gathered: list[list[float]] = [[]] * self.size
        torch.distributed.all_gather_object(gathered, values)
        return [sum(numbers) / self.size for numbers in zip(*gathered, strict=True)]


SINGLE_PROCESS = Ranks()


@contextmanager
def process_group(device: str) -> Iterator[Ranks]:
    """Join the process group if torchrun started this process, and leave it at the end.

    Args:
        device: "cpu", "cuda" or "mps"; each process takes a graphics card of its own.

    Raises:
        OptionError: The device cannot be shared by this many processes.
    """
    if "RANK" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        yield SINGLE_PROCESS
        return
    if device == "mps":
        raise OptionError("mps supports one process only: start trainer train without torchrun")
    if device == "cuda":
        rank, cards = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if rank >= cards:
            raise OptionError(f"there are fewer graphics cards than processes: give --nproc-per-node {cards}")
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Ranks(torch.distributed.get_rank(), torch.distributed.get_world_size())
        torch.distributed.barrier()  # torchrun ends all processes with the first, and the main one still draws
    finally:
        torch.distributed.destroy_process_group()
