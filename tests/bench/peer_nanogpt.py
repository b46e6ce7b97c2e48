"""What nanoGPT's recipe for a CPU reaches: training.py starts this, and times it from start to exit.

python peer_nanogpt.py NANOGPT CORPUS SEED STEPS RESULT

NANOGPT is a checkout of it, and nothing in it is changed: its train.py runs in this very process (so that torch is
loaded once, as by ours), finds its data in a temporary folder, and leaves its checkpoint there. Where the recipe would
estimate losses on the way, 20 batches each time, this takes one batch at the start and one at the end, which train.py
cannot do without: its checkpoint comes with the last. Then the function that evaluates ours evaluates that checkpoint,
on the whole validation split.

Its train.py always seeds torch with 1337. For other seeds `torch.manual_seed` is wrapped, so that it seeds with SEED.
"""

from __future__ import annotations

import json
import os
import pickle
import runpy
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from trainer.corpus import load_corpus
from trainer.loss import validation_loss

BLOCK_SIZE, BATCH_SIZE = 64, 12  # tokens of context, sequences a step
RECIPE = [  # its README's, for a CPU
    "config/train_shakespeare_char.py",
    "--device=cpu",
    "--compile=False",
    "--log_interval=1",
    f"--block_size={BLOCK_SIZE}",
    f"--batch_size={BATCH_SIZE}",
    "--n_layer=4",
    "--n_head=4",
    "--n_embd=128",
    "--dropout=0.0",
]


class Logits(torch.nn.Module):
    """A nanoGPT model that answers with the logits of every position, which it does only where it is given targets."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, V)."""
        logits: torch.Tensor = self.model(x, x)[0]
        return logits


def main(nanogpt: Path, corpus: str, seed: int, steps: int, result: Path) -> None:
    """Train and evaluate; write the loss and the characters trained on into `result`."""
    text = load_corpus(corpus).text
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vocab_size, val = _prepare(text, folder)
        _train(nanogpt, folder, seed, steps)
        model = _read(folder / "ckpt.pt")
    loss = validation_loss(Logits(model), val, BLOCK_SIZE, vocab_size)
    result.write_text(json.dumps({"val_loss": loss, "characters": steps * BATCH_SIZE * BLOCK_SIZE}))


def _prepare(text: str, folder: Path) -> tuple[int, torch.Tensor]:
    """Write what train.py reads: sorted characters, numbered, 90/10. Vocabulary's size, validation split."""
    characters = sorted(set(text))
    numbers = {character: number for number, character in enumerate(characters)}
    ids = np.array([numbers[character] for character in text], np.uint16)
    split = int(0.9 * len(text))
    ids[:split].tofile(folder / "train.bin")
    ids[split:].tofile(folder / "val.bin")
    meta = {"vocab_size": len(characters), "itos": dict(enumerate(characters)), "stoi": numbers}
    (folder / "meta.pkl").write_bytes(pickle.dumps(meta))
    return len(characters), torch.from_numpy(ids[split:].astype(np.int64))


def _train(nanogpt: Path, folder: Path, seed: int, steps: int) -> None:
    """Run train.py as from its own folder, with the recipe; data and checkpoint lie elsewhere."""
    os.chdir(nanogpt)
    sys.path[0] = str(nanogpt)
    sys.dont_write_bytecode = True
    sys.argv = [
        "train.py",
        *RECIPE,
        f"--max_iters={steps}",
        f"--lr_decay_iters={steps}",
        f"--eval_interval={steps}",
        "--eval_iters=1",
        "--always_save_checkpoint=True",
        f"--dataset={folder}",
        f"--out_dir={folder}",
    ]
    manual_seed = torch.manual_seed
    torch.manual_seed = lambda _: manual_seed(seed)
    try:
        runpy.run_path("train.py", run_name="__main__")
    finally:
        torch.manual_seed = manual_seed


def _read(path: Path) -> torch.nn.Module:
    """The model of its checkpoint."""
    from model import GPT, GPTConfig  # nanoGPT's

    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    model: torch.nn.Module = GPT(GPTConfig(**checkpoint["model_args"]))
    model.load_state_dict(checkpoint["model"])
    return model


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
