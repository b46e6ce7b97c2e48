"""The model in PyTorch, for training only. `trainer.verse` computes what a trained model writes.

Both architectures compute what trainer/verse/SPEC.md defines, in float32 and with gradients; a test compares the two.
Parameters have the names and shapes of `ModelConfig.tensor_shapes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer.initialization import initial_weights
from trainer.verse.config import ModelConfig
from trainer.verse.model import EPS, SOFT_CAP
from trainer.verse.rotary import rotary_angles


def product_type(precision: str) -> torch.dtype:
    """Return the type of the large products of training. Sums, norms and the residual stream stay in float32."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


class GPT(nn.Module):
    """A decoder-only transformer.

    Args:
        config: Its shape.
        dropout: Share of activations dropped while training.
        dtype: Of the large products while training; evaluations compute in float32, on CUDA in TF32.
    """

    cos: Tensor  # modern: (block_size, head_width / 2)
    sin: Tensor

    def __init__(self, config: ModelConfig, dropout: float = 0.0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.gpt2 = config.arch == "gpt2"
        C, V = config.n_embd, config.vocab_size
        self.wte = Embedding(V, C)
        self.previous = nn.ModuleDict({str(offset): Embedding(V, C) for offset in range(1, config.n_previous + 1)})
        if self.gpt2:
            self.wpe = Embedding(config.block_size, C)
        self.drop = nn.Dropout(dropout)
        self.h = nn.ModuleList(Block(config, dropout, dtype) for _ in range(config.n_layer))
        self.ln_f = make_norm(config, C)
        if not self.gpt2:
            self.lm_head = Linear(C, V, False, dtype)
            cos, sin = rotary_table(config.head_width, config.block_size)
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits of the token after each position: (B, T) -> (B, T, vocab_size), T at most block_size."""
        T = ids.shape[1]
        tables = [embedding.get_parameter("weight") for embedding in (self.wte, *self.previous.values())]
        x = embed(ids, tables)  # (B, T, C)
        rotary = None
        if self.gpt2:
            x = x + self.wpe.weight[:T]
        else:
            rotary = (self.cos[:T], self.sin[:T])
        x = self.drop(x)
        for block in self.h:
            x = block(x, rotary)
        x = self.ln_f(x)
        if self.gpt2:
            return F.linear(x, self.wte.weight)
        logits: Tensor = self.lm_head(x).float()
        return SOFT_CAP * torch.tanh(logits / SOFT_CAP)


class Block(nn.Module):
    """Attention, then an MLP, each added to the residual stream."""

    def __init__(self, config: ModelConfig, dropout: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.ln_1 = make_norm(config, config.n_embd)
        self.attn = Attention(config, dropout, dtype)
        self.ln_2 = make_norm(config, config.n_embd)
        self.mlp = MLP(config, dropout, dtype)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self.attn(self.ln_1(x), rotary).float()
        y: Tensor = x + self.mlp(self.ln_2(x)).float()
        return y


class Attention(nn.Module):
    """Causal self-attention. Within block_size tokens, the window of `modern` covers all positions before."""

    def __init__(self, config: ModelConfig, dropout: float, dtype: torch.dtype) -> None:
        super().__init__()
        C, bias = config.n_embd, config.arch == "gpt2"
        self.n_head, self.head_width = config.n_head, config.head_width
        self.c_attn = Linear(C, 3 * C, bias, dtype)
        self.c_proj = Linear(C, C, bias, dtype)
        if not bias:
            self.q_norm = RMSNorm(self.head_width)
            self.k_norm = RMSNorm(self.head_width)
        self.dropout = dropout
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        B, T, C = x.shape
        heads = self.c_attn(x).view(B, T, 3, self.n_head, self.head_width)
        qk, v = heads.permute(2, 0, 3, 1, 4).contiguous().split((2, 1))  # (2 and 1, B, n_head, T, D)
        if rotary is not None:  # queries and keys in one tensor: half as many small operations
            gains = torch.stack((self.q_norm.weight, self.k_norm.weight)).view(2, 1, 1, 1, -1)
            qk = rotate(normalize(qk.float()) * gains, *rotary).to(v.dtype)
        q, k = qk.unbind()
        v = v[0]
        y = attend(q, k, v, self.dropout if self.training else 0.0)
        y = self.c_proj(y.transpose(1, 2).reshape(B, T, C))
        out: Tensor = self.drop(y)
        return out


class MLP(nn.Module):
    """MLP of four times the width, with tanh-GELU (gpt2) or squared ReLU (modern; So et al. 2021)."""

    def __init__(self, config: ModelConfig, dropout: float, dtype: torch.dtype) -> None:
        super().__init__()
        C, self.gpt2 = config.n_embd, config.arch == "gpt2"
        self.c_fc = Linear(C, 4 * C, self.gpt2, dtype)
        self.c_proj = Linear(4 * C, C, self.gpt2, dtype)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = self.c_fc(x)
        x = F.gelu(x, approximate="tanh") if self.gpt2 else relu_squared(x)
        out: Tensor = self.drop(self.c_proj(x))
        return out


class RMSNorm(nn.Module):
    """Each row divided by its root mean square, times a gain (Zhang & Sennrich 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        y: Tensor = normalize(x) * self.weight
        return y


class Normalize(torch.autograd.Function):
    """x / rms(x) over the last axis, with a gradient that needs fewer passes over memory than torch's own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = length.square_().div_(x.shape[-1]).add_(EPS).rsqrt_()  # (..., 1)
        y: Tensor = x * scale
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Remove the component along y, which changes only the length: scale * (grad - y * mean(grad * y))."""
        y, scale = ctx.saved_tensors
        along = (grad * y).mean(-1, keepdim=True)
        orthogonal: Tensor = torch.addcmul(grad, y, along, value=-1).mul_(scale)
        return orthogonal


def normalize(x: Tensor) -> Tensor:
    """Return x / rms(x) over the last axis."""
    y: Tensor = Normalize.apply(x)  # type: ignore[no-untyped-call]
    return y


class Embed(torch.autograd.Function):
    """The sum of the embeddings of each token and of those before it, added up in place, as is their gradient."""

    @staticmethod
    def forward(ctx: Any, ids: Tensor, *tables: Tensor) -> Tensor:
        """(B, T), and a table (V, C) for each offset from 0 on -> (B, T, C)."""
        ctx.save_for_backward(ids)
        ctx.vocab_size = tables[0].shape[0]
        x = F.embedding(ids, tables[0])
        for offset, table in enumerate(tables[1:], start=1):
            x[:, offset:] += F.embedding(ids[:, :-offset], table)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Give each row of a table the sum of the gradients at the positions that it was added to."""
        (ids,) = ctx.saved_tensors
        T = ids.shape[1]
        return None, *(
            torch.ops.aten.embedding_dense_backward(grad[:, offset:], ids[:, : T - offset], ctx.vocab_size, -1, False)
            for offset in range(len(ctx.needs_input_grad) - 1)
        )


def embed(ids: Tensor, tables: Sequence[Tensor]) -> Tensor:
    """Return tables[0][id_t] + tables[1][id_(t-1)] + ... for each position t, without what lies before the first token.

    Args:
        ids: Token ids, (B, T).
        tables: An embedding for each offset, (V, C).

    Returns:
        (B, T, C).
    """
    x: Tensor = Embed.apply(ids, *tables)  # type: ignore[no-untyped-call]
    return x


class ReluSquared(torch.autograd.Function):
    """max(x, 0)^2, whose gradient 2 max(x, 0) needs one pass over memory where torch's own takes three."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        positive = F.relu(x)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Return grad * 2 max(x, 0)."""
        (positive,) = ctx.saved_tensors
        product: Tensor = grad * positive
        return product.mul_(2)


def relu_squared(x: Tensor) -> Tensor:
    """Return max(x, 0)^2."""
    y: Tensor = ReluSquared.apply(x)  # type: ignore[no-untyped-call]
    return y


class Embedding(nn.Embedding):
    """Token or position embedding, one row per id."""

    def reset_parameters(self) -> None:
        """Do nothing: `initial_weights` sets the parameters."""


class Linear(nn.Linear):
    """y = x W^T + b; while training, computed and returned in a type that may be shorter than that of the weights."""

    def __init__(self, rows: int, columns: int, bias: bool, dtype: torch.dtype) -> None:
        super().__init__(rows, columns, bias)
        self.training_dtype = dtype

    def reset_parameters(self) -> None:
        """Do nothing: `initial_weights` sets the parameters."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        dtype = self.training_dtype if self.training else self.weight.dtype
        return F.linear(x.to(dtype), self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype))


def make_norm(config: ModelConfig, width: int) -> nn.Module:
    """Return LayerNorm with bias for gpt2, RMSNorm for modern."""
    return nn.LayerNorm(width, eps=EPS) if config.arch == "gpt2" else RMSNorm(width)


def rotary_table(head_width: int, length: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of every position, computed in float64: two of (length, head_width / 2), float32."""
    angles = torch.from_numpy(rotary_angles(head_width, length))
    return angles.cos().float(), angles.sin().float()


class Rotate(torch.autograd.Function):
    """Rotation of each pair (x1, x2) to (x1 cos - x2 sin, x2 cos + x1 sin)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(..., T, D), and two of (T, D / 2) -> (..., T, D)."""
        ctx.save_for_backward(cos, sin)
        x1, x2 = x.chunk(2, dim=-1)
        y = x * torch.cat((cos, cos), dim=-1)
        y1, y2 = y.chunk(2, dim=-1)
        y1.addcmul_(x2, sin, value=-1)
        y2.addcmul_(x1, sin)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Rotate back: the transpose of a rotation is the rotation by the opposite angle."""
        cos, sin = ctx.saved_tensors
        return rotate(grad, cos, -sin), None, None


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each pair (x1, x2) by its position's angle.

    Args:
        x: Queries or keys, (..., T, D).
        cos: Cosines, (T, D / 2).
        sin: Sines, (T, D / 2).

    Returns:
        (..., T, D).
    """
    y: Tensor = Rotate.apply(x, cos, sin)  # type: ignore[no-untyped-call]
    return y


def attend(q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
    """Compute causal scaled dot-product attention.

    torch's own function is used on graphics cards; on a CPU, batched products in bf16 take a quarter of its time.

    Args:
        q: Queries, (B, n_head, T, D).
        k: Keys, (B, n_head, T, D).
        v: Values, (B, n_head, T, D).
        dropout: Share of attention weights dropped.

    Returns:
        (B, n_head, T, D).
    """
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
    B, n_head, T, D = q.shape
    q, k, v = (x.reshape(B * n_head, T, D) for x in (q, k, v))
    mask = torch.full((T, T), -torch.inf, dtype=q.dtype).triu(1)
    weights = F.dropout(torch.baddbmm(mask, q, k.mT, alpha=D**-0.5).softmax(-1), dropout, training=dropout > 0)
    return (weights @ v).view(B, n_head, T, D)


def new_model(config: ModelConfig, key: bytes, dropout: float = 0.0, precision: str = "float32") -> GPT:
    """Return a model with its initial weights, which are the same on every machine.

    Args:
        config: The model's shape.
        key: Of the run's random numbers.
        dropout: Share of activations dropped while training.
        precision: Of the large products while training, "float32" or "bf16".
    """
    model = GPT(config, dropout, product_type(precision))
    load_weights(model, initial_weights(config, key))
    return model


def load_weights(model: GPT, weights: Iterable[tuple[str, NDArray[np.float32]]]) -> None:
    """Copy named tensors into a model."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in weights:
            parameters[name].copy_(torch.from_numpy(weight))


def weights_of(model: GPT) -> dict[str, NDArray[np.float32]]:
    """Return a copy of the model's tensors, by name."""
    return {name: parameter.detach().cpu().numpy().copy() for name, parameter in model.named_parameters()}
