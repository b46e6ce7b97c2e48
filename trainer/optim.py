"""How weights move: Muon for the matrices of the blocks, AdamW for the rest, and the learning rate of each step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer.config import TrainConfig
from trainer.errors import CheckpointError
from trainer.loss import mean_loss
from trainer.model import product_type

# Odd polynomials a*s + b*s^3 + c*s^5 that one after the other take singular values in [0.001, 1] towards 1, each the
# best for where the one before leaves them: Amsel et al. 2025, "The Polar Express". NOTES.md: two more gain nothing.
POLYNOMIALS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115951949, 0.5518191394370137),
)
MARGIN = 1.01  # a norm that rounding made too small would put a singular value above 1
BESIDE_MUON = 0.6  # AdamW's learning rate as a share of Muon's, where both are at work


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized: every direction of a matrix moves equally far (Jordan et al. 2024).

    Args:
        matrices: parameters (rows, columns).
        momentum: share of the mean of the gradients that is kept each step.
        weight_decay: towards zero, times the learning rate, each step.
        dtype: of the products inside.
    """

    def __init__(self, matrices: Iterable[Tensor], momentum: float, weight_decay: float, dtype: torch.dtype) -> None:
        super().__init__(matrices, {"lr": 0.0, "scale": 1.0, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every matrix by its learning rate, however small or large its gradient."""
        for group in self.param_groups:
            matrices, rate = group["params"], group["lr"]
            grads = [matrix.grad for matrix in matrices]
            means = [self.state[matrix].setdefault("mean", torch.zeros_like(matrix)) for matrix in matrices]
            torch._foreach_lerp_(means, grads, 1.0 - group["momentum"])
            ahead = torch._foreach_lerp(grads, means, group["momentum"])  # Nesterov's: as if the next step were taken
            torch._foreach_mul_(matrices, 1.0 - rate * group["weight_decay"])
            for matrix, direction in zip(matrices, orthogonal(ahead, self.dtype), strict=True):
                rows, columns = matrix.shape
                matrix.add_(direction, alpha=-rate * max(1.0, rows / columns) ** 0.5)


def orthogonal(matrices: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Roughly the nearest orthogonal matrix to each: directions stay, singular values that were hundreds of times
    apart become 0.2 to 1.9.

    Matrices of one shape go through the products together: a step has a few large ones instead of many small.

    Args:
        matrices: (rows, columns) each, of any shapes.
        dtype: of the products.
    """
    wide = [matrix.T if matrix.shape[0] > matrix.shape[1] else matrix for matrix in matrices]
    stacks: dict[torch.Size, list[int]] = {}
    for index, matrix in enumerate(wide):
        stacks.setdefault(matrix.shape, []).append(index)
    found: dict[int, Tensor] = {}
    for indices in stacks.values():
        x = torch.stack([wide[index] for index in indices])  # (n, r, c), r <= c
        x = (x / (MARGIN * x.norm(dim=(1, 2), keepdim=True) + 1e-12)).to(dtype)
        for a, b, c in POLYNOMIALS:
            square = x @ x.mT  # (n, r, r)
            x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
        found |= zip(indices, x.to(matrices[0].dtype), strict=True)
    return [found[i].T if matrix.shape[0] > matrix.shape[1] else found[i] for i, matrix in enumerate(matrices)]


def make_optimizers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """The optimizers that share a model's weights among them. Gains and biases never decay.

    AdamW is that of Loshchilov & Hutter 2019. Each group's `scale` multiplies the learning rate of the step.
    """
    named = list(model.named_parameters())
    vectors = [parameter for _, parameter in named if parameter.ndim < 2]
    inner = [parameter for name, parameter in named if parameter.ndim == 2 and name.startswith("h.")]
    outer = [parameter for name, parameter in named if parameter.ndim == 2 and not name.startswith("h.")]
    muon = config.optimizer == "muon"
    groups = [
        {"params": outer if muon else inner + outer, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(
        [group | {"scale": BESIDE_MUON if muon else 1.0} for group in groups],
        betas=(config.beta1, config.beta2),
        fused=named[0][1].device.type in ("cpu", "cuda"),  # one kernel for all tensors of a group
    )
    return (
        [Muon(inner, config.momentum, config.weight_decay, product_type(config.precision)), adamw] if muon else [adamw]
    )


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """The rate of the update that follows `step` updates, in a run of `steps`: a pure function of both.

    A trapezoid: it rises evenly during the warm-up, stays, and falls evenly to nothing at the end.

    >>> config = TrainConfig(learning_rate=1.0, warmup_steps=10, decay_fraction=0.5)
    >>> [round(learning_rate(step, 100, config), 3) for step in (0, 9, 10, 50, 75, 99)]
    [0.1, 1.0, 1.0, 1.0, 0.5, 0.02]
    """
    rise = (step + 1) / max(1, min(config.warmup_steps, steps // 10))
    fall = (steps - step) / max(1.0, config.decay_fraction * steps)
    return config.learning_rate * min(1.0, rise, fall)


def update(
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    x: Tensor,
    y: Tensor,
    rate: float,
    clip: float,
) -> Tensor:
    """One step: the loss of a batch, its gradients, and the weights moved against them. Returns the loss, detached."""
    loss = mean_loss(model, x, y)
    model.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        optimizer.step()
    return loss.detach()


def state_of(model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, NDArray[np.float32]]:
    """A copy of everything the optimizers remember, as "<what>/<parameter>"; empty before the first step."""
    return {
        f"{what}/{name}": value.detach().cpu().numpy().copy()
        for name, parameter in model.named_parameters()
        for optimizer in optimizers
        for what, value in optimizer.state.get(parameter, {}).items()
    }


def load_state(
    model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], state: Mapping[str, NDArray[np.float32]]
) -> None:
    """Take back what `state_of` gave.

    Raises:
        CheckpointError: something is missing, left over, or of another shape.
    """
    left = dict(state)
    names = {parameter: name for name, parameter in model.named_parameters()}
    for optimizer in optimizers:
        remembered = ("mean",) if isinstance(optimizer, Muon) else ("exp_avg", "exp_avg_sq", "step")
        for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
            for what in remembered:
                value = left.pop(f"{what}/{names[parameter]}", None)
                if value is None or value.shape != (() if what == "step" else tuple(parameter.shape)):
                    raise CheckpointError(f"the optimizer's {what} of {names[parameter]} is missing or misshapen")
                place = "cpu" if what == "step" and not optimizer.defaults["fused"] else parameter.device
                optimizer.state[parameter][what] = torch.tensor(value, device=place)
    if left:
        raise CheckpointError(f"the optimizer remembers {min(left)}, which this model does not have")
