"""Writes trainer/verse/attacks: small files, and what every reader and verifier must say of each.

`python -m tests.support.attack_files` makes them from a real small bundle of which one rule is broken, as
`test_verse_bundle` breaks all of them, and from verses that pass, fail or are undecided.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import trainer.verse
from tests.support.attack_models import VOCABULARY, attack_recipe, zero_row
from tests.support.bundle_parts import CONFIG, POET, RECIPE, WEIGHTS, Parts, bundle
from tests.support.bundles import Poet
from tests.support.small_models import LATIN_1, LETTERS, golden_weights
from tests.trainer.test_verse_bundle import BREAKINGS
from trainer.verse.config import ModelConfig
from trainer.verse.model import round_weights
from trainer.verse.vocabulary import Vocabulary

ATTACKS = Path(trainer.verse.__file__).parent / "attacks"
# Of the rules that the test breaks, those that a reader most easily overlooks, by the name that they have there.
CHOSEN = (
    "a header of 2^64-1 bytes",
    "one byte more than 1 MiB",
    "a header longer than the file",
    "a byte order mark",
    "the claim twice",
    "a key of a tensor twice",
    "an offset that is no number",
    "65 lists within each other",
    "64 lists within each other",
    "more metadata",
    "a claim that is no string",
    "a key twice, deep inside",
    "a key twice in provenance",
    "NaN",
    "a number beyond float64",
    "a whole number beyond float64",
    "a minus zero",
    "half a surrogate pair in a key",
    "a raw line feed in a string",
    "a later format",
    "a format that is true",
    "a format that is 1.0",
    "one key more",
    "a config with one key more",
    "layers that are 1.0",
    "layers that are true",
    "65 layers",
    "a head width that is no power of two",
    "a context of 1,025",
    "more weights than a bundle holds",
    "an extra tensor",
    "another architecture",
    "a name that climbs out of a folder",
    "an entry with one key more",
    "bfloat16, of the same size",
    "rows and columns exchanged",
    "sizes that are fractions",
    "two tensors exchanged",
    "a hole before the first",
    "two tensors in one place",
    "offsets that are fractions",
    "a symbol twice",
    "a symbol of two twice",
    "no symbols and merges",
    "one symbol fewer",
    "a merge of a later token",
    "a prompt beyond the vocabulary",
    "a prompt of 1,025 tokens",
    "a temperature of 2.01",
    "a top_k beyond the vocabulary",
    "a seed beyond 32 bits",
    "1,025 tokens",
    "65 lines",
    "more tokens than a gpt2 model has positions",
    "an id beyond the vocabulary",
    "an id that is a fraction",
    "one token fewer than asked for",
    "one token more than asked for",
    "tokens after the last line",
    "the last line not complete",
    "an empty line for a line",
    "a control character within a token",
    "the character U+000D",
    "the character U+061C",
    "the character U+202E",
    "a space more",
    "a negative gap",
    "a position after the last token",
    "another number of tokens",
    "the digest of other tokens",
    "another engine",
    "a loss curve of 201 points",
    "a changed weight",
    "one byte fewer",
    "one byte more",
    "NaN, as a weight",
    "infinity, as a weight",
    "a weight of 1,000.5",
)


def verdict_files() -> dict[str, tuple[bytes, str]]:
    """Bundles that break no rule, and their verdicts."""
    deep = ModelConfig("modern", 12, 1, 8, 16, LETTERS.size)
    twelve = Poet(golden_weights(deep, 4), deep, LETTERS)
    other = replace(POET.write(RECIPE), recipe=replace(RECIPE, seed=RECIPE.seed + 1))
    flat = Poet(WEIGHTS | {"lm_head.weight": np.zeros_like(WEIGHTS["lm_head.weight"])}, CONFIG, LETTERS)
    tie = flat.write(replace(RECIPE, temperature=0))
    small = ModelConfig("modern", 1, 1, 8, 32, VOCABULARY.size)
    torn = Poet(round_weights(*_clipped(small)), small, VOCABULARY)
    head = WEIGHTS["lm_head.weight"].copy()
    head[2:4] = head[1]  # three tokens alike
    alike = Poet(WEIGHTS | {"lm_head.weight": head}, CONFIG, LETTERS)
    last = list(POET.write(RECIPE).ids)
    last[-1] = (last[-1] + 1) % LETTERS.size
    changed = replace(POET.write(RECIPE), ids=tuple(last))
    return {
        "pass": (bundle(), "PASS"),
        "pass-twelve-layers": (twelve.pack(twelve.write(replace(RECIPE, tokens=8))), "PASS"),
        "fail-another-seed": (POET.pack(other), "FAIL"),
        "fail-the-last-token": (POET.pack(changed), "FAIL"),
        "fail-after-a-tie": (_fails_after_a_tie(alike), "FAIL"),
        "undecided-all-logits-equal": (flat.pack(tie), "UNDECIDED"),
        "undecided-rounding-chooses": (torn.pack(torn.write(replace(attack_recipe(0), tokens=12))), "UNDECIDED"),
    }


def _fails_after_a_tie(poet: Poet) -> bytes:
    """A verse of which one token was chosen by a tie, and a later, decided one is another."""
    for first in range(LETTERS.size):
        written = poet.write(replace(RECIPE, prompt_ids=(first,), temperature=0))
        ties = [at for at, gap in enumerate(written.gaps) if gap == 0]
        decided = [at for at, gap in enumerate(written.gaps) if gap > 0.01 and ties and at > ties[0]]
        if decided:
            ids = list(written.ids)
            ids[decided[-1]] = (ids[decided[-1]] + 5) % LETTERS.size
            return poet.pack(replace(written, ids=tuple(ids)))
    raise AssertionError("no verse has a tie and a decided step after it")


def _long_token() -> bytes:
    """A tokenizer of which one token has 17 characters, everything else being right."""
    merges = [(97, 97), *((255 + i, 97) for i in range(1, 15)), (97, 98)]
    vocabulary = Vocabulary.bpe(LATIN_1, merges)
    config = ModelConfig("gpt2", 1, 1, 8, 16, vocabulary.size)
    poet = Poet(golden_weights(config, 1), config, vocabulary)
    written = replace(poet.write(replace(RECIPE, tokens=2, top_k=0)), ids=(97, 98))
    parts = Parts.of(poet.pack(written))
    parts.claim["tokenizer"]["merges"][-1] = [270, 97]
    return parts.build()


def _capitals() -> bytes:
    parts = Parts.fresh()
    parts.keep_digest = True
    parts.claim["tensors_sha256"] = parts.claim["tensors_sha256"].upper()
    return parts.build()


def _clipped(config: ModelConfig) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    _, weights = zero_row(np.random.default_rng(1), config)
    return config, {name: np.clip(weight, -1000, 1000) for name, weight in weights.items()}


def refused_files() -> dict[str, tuple[bytes, str]]:
    """Files that break one rule, and its code."""
    found: dict[str, tuple[bytes, str]] = {
        "empty": (b"", "empty"),
        "five-bytes": (b"verse", "too-short"),
        "tokenizer-a-token-of-17-characters": (_long_token(), "tokenizer"),
        "digest-in-capitals": (_capitals(), "digest"),
    }
    for code, what, breaking in BREAKINGS:
        name = f"{what}, as a weight" if code == "weights" and what in ("NaN", "infinity") else what
        if name not in CHOSEN:
            continue
        parts = Parts.fresh()
        breaking(parts)
        file = f"{code}-{name}".lower().replace(" ", "-").replace(",", "").replace("^", "-").replace("+", "")
        found[file] = (parts.build(), code)
    return found


def main() -> None:
    """Write the files and their index."""
    ATTACKS.mkdir(exist_ok=True)
    for old in ATTACKS.iterdir():
        old.unlink()
    index: dict[str, Any] = {}
    for kind, files in (("verdict", verdict_files()), ("code", refused_files())):
        for name, (data, expected) in files.items():
            (ATTACKS / f"{name}.verse").write_bytes(data)
            index[f"{name}.verse"] = {kind: expected}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(index[name])}" for name in sorted(index))
    (ATTACKS / "index.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
