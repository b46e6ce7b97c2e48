"""How weights move: the optimizer's groups, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer.config import TrainConfig
from trainer.errors import CheckpointError
from trainer.loss import mean_loss

REMEMBERED = ("exp_avg", "exp_avg_sq", "step")  # what AdamW keeps for each parameter


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019). Matrices decay towards zero; gains and biases are left alone.

    Each group's `scale` multiplies the learning rate of the step.
    """
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay, "scale": 1.0},
        {"params": vectors, "weight_decay": 0.0, "scale": 1.0},
    ]
    fused = next(model.parameters()).device.type in ("cpu", "cuda")  # one kernel for all tensors of a group
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=fused)


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """The rate of the update that follows `step` updates, in a run of `steps`: a pure function of both.

    It rises evenly during the warm-up, then falls along half a cosine to a small rest.

    >>> config = TrainConfig(learning_rate=1.0, warmup_steps=10, final_fraction=0.05)
    >>> [round(learning_rate(step, 110, config), 3) for step in (0, 9, 10, 60, 109)]
    [0.1, 1.0, 1.0, 0.525, 0.05]
    """
    warmup = min(config.warmup_steps, steps // 10)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    wave = 0.5 * (1.0 + math.cos(math.pi * progress))
    return config.learning_rate * (config.final_fraction + (1.0 - config.final_fraction) * wave)


def update(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, rate: float, clip: float
) -> Tensor:
    """One step: the loss of a batch, its gradients, and the weights moved against them. Returns the loss, detached."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    loss = mean_loss(model, x, y)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return loss.detach()


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, NDArray[np.float32]]:
    """A copy of everything the optimizer remembers, as "<what>/<parameter>"; empty before the first step."""
    return {
        f"{what}/{name}": value.detach().cpu().numpy().copy()
        for name, parameter in model.named_parameters()
        for what, value in optimizer.state.get(parameter, {}).items()
    }


def load_state(model: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, NDArray[np.float32]]) -> None:
    """Take back what `state_of` gave.

    Raises:
        CheckpointError: something is missing, left over, or of another shape.
    """
    left = dict(state)
    for name, parameter in model.named_parameters():
        for what in REMEMBERED:
            value = left.pop(f"{what}/{name}", None)
            if value is None or value.shape not in (tuple(parameter.shape), ()):
                raise CheckpointError(f"the optimizer's {what} of {name} is missing or misshapen")
            place = "cpu" if value.shape == () and not optimizer.defaults["fused"] else parameter.device
            optimizer.state[parameter][what] = torch.tensor(value, device=place)
    if left:
        raise CheckpointError(f"the optimizer remembers {min(left)}, which this model does not have")
