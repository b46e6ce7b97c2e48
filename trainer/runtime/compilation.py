"""Compilation of the model by torch.compile: on a CPU, its small operations become fewer passes over memory.

It takes up to a minute and a C++ compiler. A run is possible without it, so nothing here makes one fail.
"""

from __future__ import annotations

import math
import os
import platform
import shutil
import warnings

import torch
from torch import nn

from trainer.config import TrainConfig
from trainer.dataset import Dataset
from trainer.loss import get_batch, mean_loss
from trainer.model import GPT, new_model
from trainer.schedule import context_stages
from trainer.verse.text import sanitize

# Seconds left of a run: the twelfth of a step that it saves on a CPU then pays twice for the compilation, see NOTES.md.
MIN_SECONDS = {"cpu": 1_200.0, "cuda": math.inf, "mps": math.inf}  # on a card if it is asked for
COMPILERS = {"Darwin": "clang++", "Windows": "cl"}  # as torch.compile chooses them; g++ elsewhere


class CompileError(Exception):
    """The model cannot be compiled here."""


def compile_obstacle(config: TrainConfig) -> str:
    """Return why a run with this config cannot be compiled here; "" if nothing is known to prevent it."""
    compiler = os.environ.get("CXX") or COMPILERS.get(platform.system(), "g++")
    if config.device == "mps":
        return "it was not measured on mps"
    if config.processes > 1:
        return "several processes train together"
    return "" if config.device == "cuda" or shutil.which(compiler) else f"there is no C++ compiler ({compiler})"


def compile_model(model: GPT, config: TrainConfig, dataset: Dataset) -> nn.Module:
    """Return the model, compiled for each shape of a batch. Later models of the same config then take no time.

    Args:
        model: Shares its parameters with the result; its gradients are lost.
        config: Of the run.
        dataset: Its data.

    Raises:
        CompileError: It cannot be compiled here.
    """
    if obstacle := compile_obstacle(config):
        raise CompileError(obstacle)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's compiler causes warnings about torch's own code
            compiled: nn.Module = torch.compile(model, dynamic=False)  # type: ignore[assignment]
            for _, context in context_stages(config):
                x, y = get_batch(dataset.train, dataset.key, 0, config.batch_size, config.block_size, context)
                mean_loss(compiled, x, y).backward()  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever a compiler may do: the run goes on without it
        raise CompileError(next(iter(str(error).splitlines()), type(error).__name__)) from None
    finally:
        model.zero_grad(set_to_none=True)
    torch._dynamo.config.suppress_errors = True  # another number of threads compiles again: if that fails, without it
    return compiled


def can_compile(config: TrainConfig, dataset: Dataset) -> bool:
    """Whether a model of this config can be compiled; it says so if not."""
    try:
        compile_model(new_model(dataset.model_config, dataset.key, config.dropout, config.precision), config, dataset)
    except CompileError as error:
        print(f"not compiled: {sanitize(str(error))}", flush=True)
        return False
    return True


def compile_again(model: GPT, config: TrainConfig, dataset: Dataset) -> nn.Module:
    """Return the model of a compiled run, compiled; if that is not possible now, say so and return it as it is.

    Args:
        model: The run's model.
        config: Of the run.
        dataset: Its data.
    """
    try:
        return compile_model(model, config, dataset)
    except CompileError as error:
        print(f"not compiled: {sanitize(str(error))}. The rest of the run will not be bit for bit the same", flush=True)
        return model


def compilation_line(compiled: bool, faster: float, eager: float, seconds: float) -> str:
    """Return a sentence about a compilation.

    >>> compilation_line(True, 0.021, 0.029, 38.2)
    'compiled: a step takes 21 ms instead of 29 ms, after 38 s of compilation'

    Args:
        compiled: Whether the compiled model is used.
        faster: Seconds of its step.
        eager: Seconds of a step without it.
        seconds: That the compilation took.
    """
    if not compiled:
        return f"not compiled: a step would take {1000 * faster:,.0f} ms, and takes {1000 * eager:,.0f} ms without it"
    return (
        f"compiled: a step takes {1000 * faster:,.0f} ms instead of {1000 * eager:,.0f} ms, "
        f"after {seconds:.0f} s of compilation"
    )
