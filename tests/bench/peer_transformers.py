"""The peer of `verse.py`: transformers' generate in float32. Run by its own Python: n_layer n_head … tokens batch."""

import json
import os
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import GPT2Config, GPT2LMHeadModel


def main() -> None:
    """Print {"one verse": seconds, "64 at once": seconds}."""
    n_layer, n_head, n_embd, block_size, vocab_size, tokens, batch = map(int, sys.argv[1:])
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=vocab_size,
        n_positions=block_size,
        n_embd=n_embd,
        n_layer=n_layer,
        n_head=n_head,
        bos_token_id=0,
        eos_token_id=None,
    )
    model = GPT2LMHeadModel(config).eval()
    seconds = {}
    for name, rows in (("one verse", 1), ("64 at once", batch)):
        ids = torch.zeros(rows, 1, dtype=torch.long)

        def write(length: int, ids: torch.Tensor = ids) -> None:
            with torch.no_grad():
                model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=length,
                    min_new_tokens=length,
                    do_sample=True,
                    temperature=0.8,
                    top_k=0,
                    pad_token_id=0,
                )

        write(8)  # warm
        start = time.perf_counter()
        write(tokens)
        seconds[name] = time.perf_counter() - start
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
