"""The gradients of a batch: computed one operation at a time, or on a CUDA card as one recorded sequence of kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from trainer.config import TrainConfig
from trainer.loss import mean_loss
from trainer.runtime.distributed import SINGLE_PROCESS, Ranks
from trainer.verse.text import sanitize

WARM_UP = 3  # times before a recording: kernels are loaded and chosen, and a compiled model is compiled

GradientFunction = Callable[[Tensor, Tensor], Tensor]  # of inputs and targets, (B, T) each; returns the loss


def compute_gradients(model: nn.Module, x: Tensor, y: Tensor, max_norm: float, ranks: Ranks = SINGLE_PROCESS) -> Tensor:
    """Set the gradients of the mean loss of a batch, clipped, as a step of `trainer.train` does; return the loss: ().

    Args:
        model: Maps (B, T) token ids to (B, T, vocab_size) logits.
        x: Inputs, (B, T).
        y: Targets, (B, T).
        max_norm: Largest norm of the gradient over all weights.
        ranks: The processes that train together.
    """
    model.zero_grad(set_to_none=True)
    loss = mean_loss(model, x, y)  # forward
    loss.backward()  # type: ignore[no-untyped-call]
    ranks.average_gradients(model)
    clip_grad_norm_(model.parameters(), max_norm)
    return loss.detach()


def gradient_function(model: nn.Module, config: TrainConfig, ranks: Ranks = SINGLE_PROCESS) -> GradientFunction:
    """Return what sets the gradients of a batch's loss, as a training step does on this device.

    Args:
        model: The model, maybe compiled.
        config: What to train.
        ranks: The processes that train together.
    """
    return record_kernels(lambda x, y: compute_gradients(model, x, y, config.grad_clip, ranks), model, config)


def record_kernels(compute: GradientFunction, model: nn.Module, config: TrainConfig) -> GradientFunction:
    """Return the same function, with its kernels recorded where that makes it faster.

    Args:
        compute: Sets the model's gradients.
        model: The model, maybe compiled.
        config: What to train.
    """
    if config.device == "cuda" and config.processes == 1:
        return RecordedGradients(compute, model)
    return compute


@dataclass(frozen=True)
class Recording:
    """The kernels that compute the gradients of batches of one shape, and the memory that they read and write."""

    graph: torch.cuda.CUDAGraph
    x: Tensor
    y: Tensor
    loss: Tensor
    gradients: Sequence[Tensor | None]


class RecordedGradients:
    """A function that sets a model's gradients, as CUDA graphs, one for each shape of a batch.

    A small kernel takes the card less time than the processor needs to start it. Recorded once, all of them are started
    together: a step of a small model takes a quarter of the time, see NOTES.md. Where that is not possible, they are
    started one by one.

    Args:
        compute: The function.
        model: The model, maybe compiled.
    """

    def __init__(self, compute: GradientFunction, model: nn.Module) -> None:
        self.compute, self.model = compute, model
        self.parameters = list(model.parameters())
        self.recordings: dict[torch.Size, Recording] = {}
        self.is_possible = True

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Set the gradients, clipped, and return the loss: two of (B, T) -> ()."""
        if self.is_possible and x.shape not in self.recordings:
            try:
                self.recordings[x.shape] = self._record(x, y)
            except RuntimeError as error:
                self.is_possible = False
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                print(f"kernels are started one by one: {sanitize(reason)}", flush=True)
        if not self.is_possible:
            return self.compute(x, y)
        recording = self.recordings[x.shape]
        recording.x.copy_(x)
        recording.y.copy_(y)
        recording.graph.replay()
        for parameter, gradient in zip(self.parameters, recording.gradients, strict=True):
            parameter.grad = gradient
        return recording.loss.clone()  # the next replay overwrites it

    def _record(self, x: Tensor, y: Tensor) -> Recording:
        """Record the kernels for batches of this shape.

        Raises:
            RuntimeError: An operation cannot be recorded.
        """
        x, y = x.clone(), y.clone()
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.compute(x, y)
        torch.cuda.current_stream().wait_stream(stream)
        self.model.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        pool = next((recording.graph.pool() for recording in self.recordings.values()), None)
        with torch.cuda.graph(graph, pool=pool):
            loss = self.compute(x, y)
        return Recording(graph, x, y, loss, [parameter.grad for parameter in self.parameters])
