"""The model in PyTorch: for training only. What a trained model writes is the business of `trainer.verse`.

Both architectures compute what trainer/verse/SPEC.md defines, in float32 and with gradients; a test holds them
together. Parameters bear the names and shapes of `ModelConfig.tensor_shapes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer import rng
from trainer.verse.config import ModelConfig
from trainer.verse.model import EPS, SOFT_CAP
from trainer.verse.rotary import rotary_angles


class GPT(nn.Module):
    """A decoder-only transformer."""

    cos: Tensor  # modern: (block_size, 1, head_width / 2)
    sin: Tensor

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.gpt2 = config.arch == "gpt2"
        C, V = config.n_embd, config.vocab_size
        self.wte = nn.Embedding(V, C)
        if self.gpt2:
            self.wpe = nn.Embedding(config.block_size, C)
        self.drop = nn.Dropout(dropout)
        self.h = nn.ModuleList(Block(config, dropout) for _ in range(config.n_layer))
        self.ln_f = make_norm(config, C)
        if not self.gpt2:
            self.lm_head = nn.Linear(C, V, bias=False)
            cos, sin = rotary_table(config.head_width, config.block_size)
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the token that follows each position: (B, T) -> (B, T, vocab_size), T at most block_size."""
        T = ids.shape[1]
        x = self.wte(ids)  # (B, T, C)
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
        logits: Tensor = self.lm_head(x)
        return SOFT_CAP * torch.tanh(logits / SOFT_CAP)


class Block(nn.Module):
    """Attention, then a perceptron, each added to the stream it reads from."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        self.ln_1 = make_norm(config, config.n_embd)
        self.attn = Attention(config, dropout)
        self.ln_2 = make_norm(config, config.n_embd)
        self.mlp = MLP(config, dropout)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self.attn(self.ln_1(x), rotary)
        y: Tensor = x + self.mlp(self.ln_2(x))
        return y


class Attention(nn.Module):
    """Causal self-attention. Within block_size tokens, the band that `modern` attends to is all that came before."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        C, bias = config.n_embd, config.arch == "gpt2"
        self.n_head, self.head_width = config.n_head, config.head_width
        self.c_attn = nn.Linear(C, 3 * C, bias=bias)
        self.c_proj = nn.Linear(C, C, bias=bias)
        if not bias:
            self.q_norm = nn.RMSNorm(self.head_width, eps=EPS)
            self.k_norm = nn.RMSNorm(self.head_width, eps=EPS)
        self.dropout = dropout
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        B, T, C = x.shape
        q, k, v = self.c_attn(x).view(B, T, 3, self.n_head, self.head_width).unbind(2)  # each (B, T, n_head, D)
        if rotary is not None:
            q, k = rotate(self.q_norm(q), *rotary), rotate(self.k_norm(k), *rotary)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, n_head, T, D)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
        y = self.c_proj(y.transpose(1, 2).reshape(B, T, C))
        out: Tensor = self.drop(y)
        return out


class MLP(nn.Module):
    """Four times as wide inside: tanh-GELU (gpt2) or the square of what is positive (modern; So et al. 2021)."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        C, self.gpt2 = config.n_embd, config.arch == "gpt2"
        self.c_fc = nn.Linear(C, 4 * C, bias=self.gpt2)
        self.c_proj = nn.Linear(4 * C, C, bias=self.gpt2)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = self.c_fc(x)
        x = F.gelu(x, approximate="tanh") if self.gpt2 else F.relu(x).square()
        out: Tensor = self.drop(self.c_proj(x))
        return out


def make_norm(config: ModelConfig, width: int) -> nn.Module:
    """LayerNorm with bias for gpt2, RMSNorm for modern."""
    return nn.LayerNorm(width, eps=EPS) if config.arch == "gpt2" else nn.RMSNorm(width, eps=EPS)


def rotary_table(head_width: int, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of every position, computed in float64: two of (length, 1, head_width / 2), float32."""
    angles = torch.from_numpy(rotary_angles(head_width, length)).unsqueeze(1)
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (x1, x2) by its position's angle: (B, T, n_head, D) -> the same."""
    x1, x2 = x.chunk(2, dim=-1)
    return torch.cat((x1 * cos - x2 * sin, x2 * cos + x1 * sin), dim=-1)


def initial_weights(config: ModelConfig, key: bytes) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every tensor before the first step, by name. They depend on the key alone.

    Matrices are uniform with the variance each architecture is known to like. `modern` starts with every block, and the
    head, at zero: it predicts "no idea" exactly, and grows from there.
    """
    modern = config.arch == "modern"
    for name, shape in config.tensor_shapes().items():
        if name.endswith(".bias"):
            yield name, np.zeros(shape, np.float32)
        elif len(shape) == 1:  # the gain of a norm
            yield name, np.ones(shape, np.float32)
        elif modern and name.endswith(("c_proj.weight", "lm_head.weight")):
            yield name, np.zeros(shape, np.float32)
        else:
            deviation = 0.02  # GPT-2's
            if modern:
                deviation = 1.0 if name == "wte.weight" else shape[1] ** -0.5
            elif name.endswith("c_proj.weight"):
                deviation /= (2 * config.n_layer) ** 0.5  # this many of them add up in the stream
            yield name, rng.uniform(key, name, shape, deviation * 3**0.5)


def new_model(config: ModelConfig, key: bytes, dropout: float = 0.0) -> GPT:
    """A model with its initial weights, which depend on the key alone: the same on every machine."""
    with torch.device("meta"):
        model = GPT(config, dropout)
    model.to_empty(device="cpu")
    if config.arch == "modern":
        model.cos, model.sin = rotary_table(config.head_width, config.block_size)
    load_weights(model, initial_weights(config, key))
    return model


def load_weights(model: GPT, weights: Iterable[tuple[str, NDArray[np.float32]]]) -> None:
    """Copy tensors, each by its name, into a model."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in weights:
            parameters[name].copy_(torch.from_numpy(weight))


def weights_of(model: GPT) -> dict[str, NDArray[np.float32]]:
    """A copy of the model's tensors, by name."""
    return {name: parameter.detach().cpu().numpy().copy() for name, parameter in model.named_parameters()}
