"""Optimizers: Muon for the matrices of the blocks, AdamW for the rest.

Both are written out here. Importing torch.optim also loads torch's compiler, which takes a second at each start.
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
from trainer.model import product_type

# Odd polynomials a*s + b*s^3 + c*s^5. Applied in turn, they move singular values in [0.001, 1] towards 1; each is
# optimal for the output of the one before: Amsel et al. 2025, "The Polar Express". NOTES.md: two more gain nothing.
POLYNOMIALS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115951949, 0.5518191394370137),
)
MARGIN = 1.01  # a norm rounded down would leave a singular value above 1
ADAMW_SCALE = 0.4  # AdamW's learning rate divided by Muon's, when both are used
EMBEDDING_SCALE = 0.8  # the same for an embedding that is not also the head: each of its rows is used rarely
EPS = 1e-10  # of AdamW: gradients are small when the loss is a mean over many tokens

NamedTensors = Mapping[str, Tensor]


class Optimizer(Protocol):
    """An optimizer of some of a model's parameters.

    Attributes:
        state: Its running means, as "<what>/<parameter>".
    """

    state: NamedTensors

    def step(self, rate: float, count: int) -> None:
        """Update the parameters from their gradients.

        Args:
            rate: The learning rate.
            count: Updates, this one included.
        """


class Muon:
    """Orthogonalized momentum: a matrix moves equally far in all its directions (Jordan et al. 2024).

    Args:
        matrices: Parameters by name, (rows, columns) each.
        config: Gives momentum, weight decay and the precision of the products.
    """

    def __init__(self, matrices: NamedTensors, config: TrainConfig) -> None:
        self.matrices = list(matrices.values())
        self.momentum, self.weight_decay = config.momentum, config.weight_decay
        self.dtype = product_type(config.precision)
        self.means = [torch.zeros_like(matrix) for matrix in self.matrices]
        self.state: NamedTensors = {f"mean/{name}": mean for name, mean in zip(matrices, self.means, strict=True)}

    @torch.no_grad()
    def step(self, rate: float, count: int) -> None:
        """Move every matrix by the learning rate, whatever the size of its gradient."""
        grads = gradients(self.matrices)
        torch._foreach_lerp_(self.means, grads, 1.0 - self.momentum)
        lookahead = torch._foreach_lerp(grads, self.means, self.momentum)  # Nesterov momentum
        torch._foreach_mul_(self.matrices, 1.0 - rate * self.weight_decay)
        for matrix, direction in zip(self.matrices, orthogonalize(lookahead, self.dtype), strict=True):
            rows, columns = matrix.shape
            matrix.add_(direction, alpha=-rate * max(1.0, rows / columns) ** 0.5)


class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    Args:
        parameters: By name. Vectors, which are gains and biases, do not decay.
        config: Gives the betas and the weight decay.
        scale: Multiplies the learning rate.
    """

    def __init__(self, parameters: NamedTensors, config: TrainConfig, scale: float) -> None:
        self.parameters = list(parameters.values())
        self.decaying = [parameter for parameter in self.parameters if parameter.ndim >= 2]
        self.beta1, self.beta2, self.weight_decay, self.scale = config.beta1, config.beta2, config.weight_decay, scale
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.state: NamedTensors = {f"mean/{name}": mean for name, mean in zip(parameters, self.means, strict=True)} | {
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
        torch._foreach_div_(roots, (1.0 - self.beta2**count) ** 0.5)  # bias correction: the means began at zero
        torch._foreach_add_(roots, EPS)
        torch._foreach_addcdiv_(self.parameters, self.means, roots, -rate / (1.0 - self.beta1**count))


def gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients of the parameters that have one."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def orthogonalize(matrices: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Return an approximation of the nearest orthogonal matrix to each.

    Singular vectors stay; singular values that differed by factors of hundreds end between 0.2 and 1.9. Matrices of one
    shape are stacked, so that a step has a few large products instead of many small ones.

    Args:
        matrices: (rows, columns) each, of any shapes.
        dtype: Of the products.

    Returns:
        Matrices of the same shapes, in the same order.
    """
    wide = [matrix.T if matrix.shape[0] > matrix.shape[1] else matrix for matrix in matrices]
    stacks: dict[torch.Size, list[int]] = {}
    for index, matrix in enumerate(wide):
        stacks.setdefault(matrix.shape, []).append(index)
    results: dict[int, Tensor] = {}
    for indices in stacks.values():
        x = torch.stack([wide[index] for index in indices])  # (n, r, c), r <= c
        x = x / (MARGIN * x.norm(dim=(1, 2), keepdim=True) + 1e-12)
        x = apply_polynomials(x.to(dtype)) if dtype == torch.bfloat16 else apply_polynomials_to_squares(x)
        results |= zip(indices, x.to(matrices[0].dtype), strict=True)
    return [results[i].T if matrix.shape[0] > matrix.shape[1] else results[i] for i, matrix in enumerate(matrices)]


def apply_polynomials(x: Tensor) -> Tensor:
    """Apply the polynomials in turn to the singular values of each matrix: (n, r, c) -> (n, r, c)."""
    for a, b, c in POLYNOMIALS:
        square = x @ x.mT  # (n, r, r)
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x


def apply_polynomials_to_squares(x: Tensor) -> Tensor:
    """Compute the same with two products of the size of x instead of six, in three quarters of the time.

    Each polynomial multiplies x by a matrix p, and x x^T by p twice, so all but the first and the last product are of
    (r, r) matrices (Amsel et al. 2025, "Fast polynomial iteration for rectangular matrices"). In bf16, x x^T would be
    too coarse for small singular values.
    """
    square = x @ x.mT  # (n, r, r)
    factor = product = polynomial_factor(square, *POLYNOMIALS[0])
    for a, b, c in POLYNOMIALS[1:]:
        square = factor @ square @ factor
        factor = polynomial_factor(square, a, b, c)
        product = factor @ product
    return product @ x


def polynomial_factor(square: Tensor, a: float, b: float, c: float) -> Tensor:
    """Return a + b x x^T + c (x x^T)^2, by which a polynomial multiplies x.

    Args:
        square: x x^T, (n, r, r).
        a: Coefficient of x.
        b: Coefficient of x^3.
        c: Coefficient of x^5.

    Returns:
        (n, r, r).
    """
    factor = torch.baddbmm(square, square, square, beta=b, alpha=c)
    factor.diagonal(dim1=1, dim2=2).add_(a)
    return factor


def make_optimizers(model: nn.Module, config: TrainConfig) -> list[Optimizer]:
    """Return the optimizers of a model; each parameter belongs to one of them."""
    named = dict(model.named_parameters())
    if config.optimizer == "adamw":
        return [AdamW(named, config, 1.0)]
    inner = {name: parameter for name, parameter in named.items() if parameter.ndim == 2 and name.startswith("h.")}
    outer = {name: parameter for name, parameter in named.items() if name not in inner}
    optimizers: list[Optimizer] = [Muon(inner, config)]
    if config.arch != "gpt2":
        embeddings = {name: outer.pop(name) for name in tuple(outer) if name.startswith(("wte", "previous"))}
        optimizers.append(AdamW(embeddings, config, EMBEDDING_SCALE))
    return [*optimizers, AdamW(outer, config, ADAMW_SCALE)]


def state_of(optimizers: Sequence[Optimizer]) -> dict[str, NDArray[np.float32]]:
    """Return a copy of the optimizers' state, as "<what>/<parameter>"."""
    return {name: tensor.cpu().numpy().copy() for optimizer in optimizers for name, tensor in optimizer.state.items()}


def load_state(optimizers: Sequence[Optimizer], state: Mapping[str, NDArray[np.float32]]) -> None:
    """Restore what `state_of` returned.

    Raises:
        CheckpointError: A tensor is missing, unknown, or of another shape.
    """
    unused = dict(state)
    for optimizer in optimizers:
        for name, tensor in optimizer.state.items():
            value = unused.pop(name, None)
            if value is None or value.shape != tuple(tensor.shape):
                raise CheckpointError(f"the optimizer's tensor {name} is missing or has the wrong shape")
            tensor.copy_(torch.from_numpy(value))
    if unused:
        raise CheckpointError(f"the optimizer's tensor {min(unused)} does not belong to this model")
