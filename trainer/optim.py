"""How weights move: Muon for the matrices of the blocks, AdamW for the rest.

Both are our own, in plain sight. (torch.optim also loads torch's compiler: a second of every run's start.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

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
BESIDE_MUON = 0.4  # AdamW's learning rate as a share of Muon's, where both are at work
EMBEDDING = 0.8  # the same for an embedding that is not the head as well: each row is seen rarely
EPS = 1e-10  # of AdamW: gradients are small when the loss is a mean over many tokens

Named = Mapping[str, Tensor]


class Optimizer(Protocol):
    """What moves some of a model's parameters.

    Attributes:
        memory: what it remembers, as "<what>/<parameter>".
    """

    memory: Named

    def step(self, rate: float, count: int) -> None:
        """Move them, by their gradients.

        Args:
            rate: the learning rate.
            count: updates, this one included.
        """


class Muon:
    """Momentum, orthogonalized: a matrix moves equally far in all its directions (Jordan et al. 2024).

    Args:
        matrices: parameters (rows, columns) by name.
        config: momentum, weight decay, and the precision of the products inside.
    """

    def __init__(self, matrices: Named, config: TrainConfig) -> None:
        self.matrices = list(matrices.values())
        self.momentum, self.weight_decay = config.momentum, config.weight_decay
        self.dtype = product_type(config.precision)
        self.means = [torch.zeros_like(matrix) for matrix in self.matrices]
        self.memory: Named = {f"mean/{name}": mean for name, mean in zip(matrices, self.means, strict=True)}

    @torch.no_grad()
    def step(self, rate: float, count: int) -> None:
        """Move every matrix by the learning rate, however small or large its gradient."""
        grads = gradients(self.matrices)
        torch._foreach_lerp_(self.means, grads, 1.0 - self.momentum)
        ahead = torch._foreach_lerp(grads, self.means, self.momentum)  # Nesterov's: as if one step further on
        torch._foreach_mul_(self.matrices, 1.0 - rate * self.weight_decay)
        for matrix, direction in zip(self.matrices, orthogonal(ahead, self.dtype), strict=True):
            rows, columns = matrix.shape
            matrix.add_(direction, alpha=-rate * max(1.0, rows / columns) ** 0.5)


class AdamW:
    """The mean of the gradients over the root of their mean square, and weight decay (Loshchilov & Hutter 2019).

    Args:
        parameters: by name. Vectors, the gains and biases, never decay.
        config: betas and weight decay.
        scale: multiplies the learning rate.
    """

    def __init__(self, parameters: Named, config: TrainConfig, scale: float) -> None:
        self.parameters = list(parameters.values())
        self.decaying = [parameter for parameter in self.parameters if parameter.ndim >= 2]
        self.beta1, self.beta2, self.weight_decay, self.scale = config.beta1, config.beta2, config.weight_decay, scale
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.memory: Named = {f"mean/{name}": mean for name, mean in zip(parameters, self.means, strict=True)} | {
            f"square/{name}": square for name, square in zip(parameters, self.squares, strict=True)
        }

    @torch.no_grad()
    def step(self, rate: float, count: int) -> None:
        """Move every weight by about the learning rate."""
        rate *= self.scale
        grads = gradients(self.parameters)
        torch._foreach_lerp_(self.means, grads, 1.0 - self.beta1)
        torch._foreach_mul_(self.squares, self.beta2)
        torch._foreach_addcmul_(self.squares, grads, grads, 1.0 - self.beta2)
        torch._foreach_mul_(self.decaying, 1.0 - rate * self.weight_decay)
        roots = torch._foreach_sqrt(self.squares)
        torch._foreach_div_(roots, (1.0 - self.beta2**count) ** 0.5)  # means that began at zero are too small
        torch._foreach_add_(roots, EPS)
        torch._foreach_addcdiv_(self.parameters, self.means, roots, -rate / (1.0 - self.beta1**count))


def gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    """The gradient of each."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


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


def make_optimizers(model: nn.Module, config: TrainConfig) -> list[Optimizer]:
    """What moves a model's weights: each of them belongs to one optimizer."""
    named = dict(model.named_parameters())
    if config.optimizer == "adamw":
        return [AdamW(named, config, 1.0)]
    inner = {name: parameter for name, parameter in named.items() if parameter.ndim == 2 and name.startswith("h.")}
    outer = {name: parameter for name, parameter in named.items() if name not in inner}
    optimizers: list[Optimizer] = [Muon(inner, config)]
    if config.arch != "gpt2":
        optimizers.append(AdamW({"wte.weight": outer.pop("wte.weight")}, config, EMBEDDING))
    return [*optimizers, AdamW(outer, config, BESIDE_MUON)]


def update(
    model: nn.Module, optimizers: Sequence[Optimizer], x: Tensor, y: Tensor, rate: float, clip: float, count: int
) -> Tensor:
    """One step: the loss of a batch, its gradients, and the weights moved against them.

    Args:
        x, y: tokens, and those that follow: (B, T).
        rate: the learning rate.
        clip: the longest gradient, as a norm over all weights.
        count: updates, this one included.

    Returns:
        the loss, detached.
    """
    loss = mean_loss(model, x, y)
    model.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    for optimizer in optimizers:
        optimizer.step(rate, count)
    return loss.detach()


def state_of(optimizers: Sequence[Optimizer]) -> dict[str, NDArray[np.float32]]:
    """A copy of everything the optimizers remember, as "<what>/<parameter>"."""
    return {name: tensor.cpu().numpy().copy() for optimizer in optimizers for name, tensor in optimizer.memory.items()}


def load_state(optimizers: Sequence[Optimizer], state: Mapping[str, NDArray[np.float32]]) -> None:
    """Take back what `state_of` gave.

    Raises:
        CheckpointError: something is missing, left over, or of another shape.
    """
    left = dict(state)
    for optimizer in optimizers:
        for name, tensor in optimizer.memory.items():
            value = left.pop(name, None)
            if value is None or value.shape != tuple(tensor.shape):
                raise CheckpointError(f"what the optimizer remembers as {name} is missing or misshapen")
            tensor.copy_(torch.from_numpy(value))
    if left:
        raise CheckpointError(f"the optimizer remembers {min(left)}, which this model does not have")
