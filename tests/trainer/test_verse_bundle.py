"""The bundle: the same bytes for the same content, and every rule of SPEC.md's section 7 broken one at a time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import trainer.verse.bundle
import trainer.verse.bundle_file
import trainer.verse.claim
from tests.support.bundle_parts import CONFIG, PROVENANCE, RECIPE, WEIGHTS, Parts, bundle, verse
from tests.support.small_models import LETTERS, LINEAR_A, is_decided, make_recipe, random_weights
from trainer.verse.bundle import Bundle, pack, parse_bundle, read_bundle
from trainer.verse.bundle_file import MAX_BUNDLE_BYTES, read_claim
from trainer.verse.certificate import ids_digest
from trainer.verse.claim import MAX_HEADER_BYTES, parse_claim
from trainer.verse.config import ModelConfig
from trainer.verse.errors import BundleError, NotText
from trainer.verse.generate import regenerate
from trainer.verse.model import VerseModel
from trainer.verse.replay import Verdict, replay
from trainer.verse.text import verse_text
from trainer.verse.vocabulary import Vocabulary

ROOT = Path(__file__).parents[2]
Breaking = Callable[[Parts], object]


def same(a: Bundle, b: Bundle) -> bool:
    return replace(a.claim, header_bytes=0) == replace(b.claim, header_bytes=0) and all(
        np.array_equal(a.weights[name], b.weights[name]) for name in CONFIG.tensor_shapes()
    )


# --- what is written can be read --------------------------------------------------------------------------------------


def test_what_is_packed_is_read_again_from_memory_and_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.verse"
    path.write_bytes(bundle())
    read = read_bundle(path)
    assert same(read, parse_bundle(bundle()))
    assert read_claim(path) == read.claim
    assert (read.claim.config, read.claim.vocabulary, read.claim.recipe) == (CONFIG, LETTERS, RECIPE)
    assert (read.claim.ids, read.claim.certificate) == (verse().ids, verse().certificate)
    assert read.claim.text == LETTERS.decode(verse().ids)
    assert read.claim.provenance == PROVENANCE, "with the keys nobody knows"
    assert read.claim.size == len(bundle())
    assert read.claim.prompt == "\nc"
    for name, weight in WEIGHTS.items():
        assert read.weights[name].dtype == np.float16
        assert np.array_equal(read.weights[name], weight)
    assert replay(VerseModel(CONFIG, read.weights), read.claim.recipe, read.claim.ids).verdict == "PASS"


def test_a_claim_is_read_from_the_header_alone() -> None:
    stop = parse_bundle(bundle()).claim.header_bytes
    assert parse_claim(bundle()[:stop]) == parse_bundle(bundle()).claim


def test_packing_twice_gives_the_same_bytes_whatever_the_order_and_memory_layout() -> None:
    backwards = {name: np.asfortranarray(WEIGHTS[name]) for name in reversed(list(WEIGHTS))}
    provenance = {key: PROVENANCE[key] for key in reversed(list(PROVENANCE))}
    assert pack(CONFIG, LETTERS, backwards, verse(), provenance) == bundle()


@pytest.mark.parametrize("hash_seed", ["0", "1", "4294967295"])
def test_another_process_packs_the_same_bytes(hash_seed: str) -> None:
    code = "import sys; from tests.support.bundle_parts import bundle; sys.stdout.buffer.write(bundle())"
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    completed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True)
    theirs, ours = Parts.of(completed.stdout), Parts.of(bundle())
    # The very last digits of the gap may be another machine's or kernel's; in one place they are the same, too.
    assert theirs.claim.pop("certificate") == ours.claim.pop("certificate")
    assert completed.stdout == bundle()


def test_the_public_library_reads_tensors_and_metadata(tmp_path: Path) -> None:
    loaded = safetensors.numpy.load(bundle())
    assert loaded.keys() == WEIGHTS.keys()
    for name, weight in WEIGHTS.items():
        assert loaded[name].dtype == np.float16
        assert np.array_equal(loaded[name], weight)
    path = tmp_path / "a.verse"
    path.write_bytes(bundle())
    with safetensors.safe_open(path, "np") as opened:
        assert json.loads(opened.metadata()["verse"])["verse"]["ids"] == list(verse().ids)


def test_a_header_may_end_in_spaces_and_spell_its_json_otherwise() -> None:
    parts = Parts.fresh()
    parts.header = parts.build()[8 : -len(parts.tensors)] + b" " * 77
    assert same(parse_bundle(parts.build()), parse_bundle(bundle()))
    parts = Parts.fresh()
    parts.claim_text = json.dumps(parts.claim, indent=3, ensure_ascii=True)
    assert same(parse_bundle(parts.build()), parse_bundle(bundle()))


def test_provenance_that_json_cannot_hold_is_refused_by_name() -> None:
    for odd in ({"loss": float("nan")}, {"path": "\udce4"}, {"of": {1, 2}}, {"loss_curve": [[0, 1.0]] * 201}):
        with pytest.raises(BundleError) as caught:
            pack(CONFIG, LETTERS, WEIGHTS, verse(), odd)
        assert caught.value.code == "provenance", odd


def test_a_verse_that_is_not_text_is_not_packed() -> None:
    config = ModelConfig("gpt2", 1, 1, 8, 32, LINEAR_A.size)
    weights = random_weights(config, 1)
    model = VerseModel(config, weights)
    for written in regenerate(model, LINEAR_A, [make_recipe(seed=seed) for seed in range(8)]):
        with pytest.raises(NotText):
            pack(config, LINEAR_A, weights, written, {})


def test_a_header_that_would_be_too_large_is_not_packed() -> None:
    with pytest.raises(BundleError) as caught:
        pack(CONFIG, LETTERS, WEIGHTS, verse(), {"essay": "x" * MAX_HEADER_BYTES})
    assert caught.value.code == "header-length"


def test_a_prompt_is_shown_without_what_could_steer_a_screen() -> None:
    parts = Parts.fresh()
    parts.claim["tokenizer"]["symbols"] = "\x1b\n\u202eabcdefg"
    parts.claim["recipe"]["prompt_ids"] = [0, 1, 2, 3]
    parts.claim["verse"] = {"ids": [3] * 24, "text": "a" * 24}
    parts.claim["certificate"]["ids_sha256"] = ids_digest([3] * 24)
    assert parse_bundle(parts.build()).claim.prompt == "\ufffd\n\ufffda"


# --- every rule broken ------------------------------------------------------------------------------------------------


def claim(*path: str | int, to: Any) -> Breaking:
    """Set one value of the claim."""

    def breaking(parts: Parts) -> None:
        at = parts.claim
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = to

    return breaking


def without(*path: str) -> Breaking:
    def breaking(parts: Parts) -> None:
        at = parts.claim
        for key in path[:-1]:
            at = at[key]
        del at[path[-1]]

    return breaking


def entry(name: str, to: Any, key: str | None = None) -> Breaking:
    """Set a tensor's entry in the header, or one value of it."""

    def breaking(parts: Parts) -> None:
        if key is None:
            parts.entries[name] = to
        else:
            parts.entries[name][key] = to

    return breaking


def put(**attributes: Any) -> Breaking:
    def breaking(parts: Parts) -> None:
        for name, value in attributes.items():
            setattr(parts, name, value)

    return breaking


def in_claim_text(old: str, new: str) -> Breaking:
    def breaking(parts: Parts) -> None:
        text = json.dumps(parts.claim)
        assert old in text
        parts.claim_text = text.replace(old, new, 1)

    return breaking


def in_header(old: bytes, new: bytes) -> Breaking:
    def breaking(parts: Parts) -> None:
        header = parts.build()[8 : -len(parts.tensors)]
        assert old in header
        parts.header = header.replace(old, new, 1)

    return breaking


def ids_and_text(ids: list[Any], text: str) -> Breaking:
    """Another verse, with a certificate that fits it."""

    def breaking(parts: Parts) -> None:
        parts.claim["verse"] = {"ids": ids, "text": text}
        parts.claim["certificate"] |= {"tokens": max(1, len(ids)), "position": 0, "ids_sha256": ids_digest(ids)}

    return breaking


def symbol(of: int, to: str) -> Breaking:
    """Another symbol in the place of one that the verse uses; the text follows."""

    def breaking(parts: Parts) -> None:
        symbols = parts.claim["tokenizer"]["symbols"]
        changed = symbols[:of] + to + symbols[of + 1 :]
        parts.claim["tokenizer"]["symbols"] = changed
        parts.claim["verse"]["text"] = "".join(changed[token] for token in parts.claim["verse"]["ids"])

    return breaking


def in_pairs(ids: list[int]) -> Breaking:
    """A tokenizer with merges, and these tokens."""

    def breaking(parts: Parts) -> None:
        config = ModelConfig("modern", 1, 1, 8, 8, LINEAR_A.size)
        other = Parts.of(_bundle_in_pairs(config))
        other.claim["recipe"]["tokens"] = len(ids)
        ids_and_text(ids, "?")(other)
        parts.__dict__.update(other.__dict__)

    return breaking


def _bundle_in_pairs(config: ModelConfig) -> bytes:
    weights = random_weights(config, 2)
    weights["lm_head.weight"][:] = 0
    weights["lm_head.weight"][65] = 5  # prefers A
    recipe = make_recipe(temperature=0, tokens=2)
    [written] = regenerate(VerseModel(config, weights), LINEAR_A, [recipe])
    return pack(config, LINEAR_A, weights, replace(written, ids=(65, 65)), {})


def _control_in_a_token(parts: Parts) -> None:
    """One symbol is a control character; the verse has it only as a part of its token."""
    in_pairs([65, 256])(parts)
    parts.claim["tokenizer"]["merges"][0] = [97, 0x07]


def pairs(merges: Any, symbols: str = "\na") -> dict[str, Any]:
    """The tokenizer of a claim with these merges."""
    return {"kind": "bpe", "symbols": symbols, "merges": merges}


EIGHTEEN = [[1, 1], [2, 2], [3, 3], [4, 4], [5, 2], *[[1, 1]] * 3]  # 2, 4, 8, 16 and 18 characters


def swap_tensors(parts: Parts) -> None:
    """Two tensors of equal size change places: a valid safetensors file, in another order."""
    a, b = parts.entries["h.0.ln_1.weight"], parts.entries["h.0.ln_2.weight"]
    a["data_offsets"], b["data_offsets"] = b["data_offsets"], a["data_offsets"]


def two_on_one_place(parts: Parts) -> None:
    parts.entries["h.0.ln_2.weight"]["data_offsets"] = parts.entries["h.0.ln_1.weight"]["data_offsets"]


def a_hole(parts: Parts) -> None:
    parts.tensors[0:0] = b"\0\0"
    for one in parts.entries.values():
        one["data_offsets"] = [at + 2 for at in one["data_offsets"]]


def rename(old: str, new: str) -> Breaking:
    def breaking(parts: Parts) -> None:
        parts.entries[new] = parts.entries.pop(old)

    return breaking


def weight(value: float, name: str = "wte.weight") -> Breaking:
    return lambda parts: parts.weight(name, 3, value)


def changed_weight_under_the_old_digest(parts: Parts) -> None:
    parts.weight("wte.weight", 3, 0.25)
    parts.keep_digest = True


def gpt2_too_long(parts: Parts) -> None:
    config = ModelConfig("gpt2", 1, 1, 8, 26, LETTERS.size)
    weights = random_weights(config, 1)
    [written] = regenerate(VerseModel(config, weights), LETTERS, [RECIPE])
    parts.__dict__.update(Parts.of(pack(config, LETTERS, weights, written, {})).__dict__)
    parts.claim["recipe"]["prompt_ids"] = [0, 4, 4]


LM, LN = "lm_head.weight", "ln_f.weight"
EXTRA = {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}
BREAKINGS: list[tuple[str, str, Breaking]] = [
    # code, what is broken, how
    ("header-length", "a header of 5 GB", put(length=5 * 2**30)),
    ("header-length", "a header of 2^64-1 bytes", put(length=2**64 - 1)),
    ("header-length", "one byte more than 1 MiB", put(length=MAX_HEADER_BYTES + 1)),
    ("header-length", "no header", put(length=0)),
    ("truncated", "a header longer than the file", put(length=MAX_HEADER_BYTES)),
    ("header-json", "a header cut short", lambda p: put(header=p.build()[8:-2000])(p)),
    ("header-json", "an empty header", put(header=b"    ")),
    ("header-json", "invalid UTF-8 in the header", in_header(b"__metadata__", b"__metadata\xff_")),
    ("header-json", "a byte order mark", lambda p: put(header=b"\xef\xbb\xbf" + p.build()[8 : -len(p.tensors)])(p)),
    ("header-json", "the claim twice", in_header(b"{", b'{"__metadata__": {"verse": "{}"}, ')),
    ("header-json", "a tensor twice", in_header(b'"ln_f.weight": {', b'"ln_f.weight": {}, "ln_f.weight": {')),
    ("header-json", "a key of a tensor twice", in_header(b'"dtype": ', b'"dtype": "F32", "dtype": ')),
    ("header-json", "an offset that is no number", in_header(b'"data_offsets": [0', b'"data_offsets": [NaN')),
    ("header-json", "an offset of 5,000 digits", in_header(b'"data_offsets": [0', b'"data_offsets": [1' + b"0" * 5000)),
    ("header-json", "half a surrogate pair", in_header(b'"ln_f.weight"', b'"ln_f.\\ud800"')),
    ("header-json", "a bottomless nest", put(header=b"[" * 100_000)),
    ("header-json", "65 lists within each other", put(header=b"[" * 65 + b"]" * 65)),
    ("no-claim", "64 lists within each other", put(header=b"[" * 64 + b"]" * 64)),
    ("no-claim", "a header that is a list", put(outer=[1, 2])),
    ("no-claim", "a header that is a number", put(outer=77)),
    ("no-claim", "no metadata", lambda p: put(outer=p.entries)(p)),
    ("no-claim", "metadata that are a string", put(metadata="verse")),
    ("no-claim", "other metadata", put(metadata={"format": "pt"})),
    ("no-claim", "more metadata", put(metadata={"verse": "{}", "format": "pt"})),
    ("no-claim", "a claim that is no string", put(metadata={"verse": {}})),
    ("claim-json", "a claim that is no JSON", put(claim_text="To be, or not to be")),
    ("claim-json", "an empty claim", put(claim_text="")),
    ("claim-json", "a claim cut short", lambda p: put(claim_text=json.dumps(p.claim)[:-1])(p)),
    ("claim-json", "something after the claim", lambda p: put(claim_text=json.dumps(p.claim) + "{}")(p)),
    ("claim-json", "a claim that is a list", put(claim_text="[]")),
    ("claim-json", "a claim that is null", put(claim_text="null")),
    ("claim-json", "a key twice", in_claim_text('"format": 1', '"format": 1, "format": 1')),
    ("claim-json", "a key twice, deep inside", in_claim_text('"seed": 3', '"seed": 3, "seed": 4')),
    ("claim-json", "a key twice in provenance", in_claim_text('"steps": 100', '"steps": 100, "steps": 9')),
    ("claim-json", "NaN", in_claim_text("4.2", "NaN")),
    ("claim-json", "infinity", in_claim_text("4.2", "-Infinity")),
    ("claim-json", "a number beyond float64", in_claim_text("4.2", "1e999")),
    ("claim-json", "a whole number beyond float64", in_claim_text("4.2", "1" + "0" * 400)),
    ("claim-json", "a minus zero", in_claim_text('"lines": 0', '"lines": -0')),
    ("claim-json", "a byte order mark", lambda p: put(claim_text="\ufeff" + json.dumps(p.claim))(p)),
    ("claim-json", "half a surrogate pair", in_claim_text("folio", "\\udc00")),
    ("claim-json", "half a surrogate pair in a key", in_claim_text("steps", "\\ud83d")),
    ("claim-json", "a raw line feed in a string", in_claim_text("folio", "fo\nlio")),
    ("claim-json", "a nest", in_claim_text("4.2", "[" * 65 + "]" * 65)),
    ("format", "a later format", claim("format", to=2)),
    ("format", "no format", without("format")),
    ("format", "a format that is true", claim("format", to=True)),
    ("format", "a format that is 1.0", claim("format", to=1.0)),
    ("format", "a format that is a text", claim("format", to="1" * 100_000)),
    *[("claim-keys", f"no {key}", without(key)) for key in trainer.verse.claim.KEYS if key != "format"],
    ("claim-keys", "one key more", claim("x" * 1000 + "\x1b", to=1)),
    ("config", "a config that is a list", claim("config", to=[])),
    ("config", "a config that lacks a key", without("config", "n_head")),
    ("config", "a config with one key more", claim("config", "bias", to=True)),
    ("config", "an unknown architecture", claim("config", "arch", to="llama")),
    ("config", "an architecture that is a list", claim("config", "arch", to=["modern"])),
    ("config", "no layers", claim("config", "n_layer", to=0)),
    ("config", "65 layers", claim("config", "n_layer", to=65)),
    ("config", "layers that are true", claim("config", "n_layer", to=True)),
    ("config", "layers that are 1.0", claim("config", "n_layer", to=1.0)),
    ("config", "layers that are a long text", claim("config", "n_layer", to="ha " * 50_000)),
    ("config", "layers that are a long list", claim("config", "n_layer", to=[[1] * 9] * 9000)),
    ("config", "a negative width", claim("config", "n_embd", to=-8)),
    ("config", "a huge width", claim("config", "n_embd", to=10**300)),
    ("config", "no heads", claim("config", "n_head", to=0)),
    ("config", "a head width that is no power of two", claim("config", "n_embd", to=24)),
    ("config", "heads that do not divide the width", claim("config", "n_head", to=3)),
    ("config", "no context", claim("config", "block_size", to=0)),
    ("config", "a context of 1,025", claim("config", "block_size", to=1025)),
    ("config", "one symbol", claim("config", "vocab_size", to=1)),
    ("config", "65,537 symbols", claim("config", "vocab_size", to=65_537)),
    (
        "config",
        "more weights than a bundle holds",
        lambda p: p.claim["config"].update(n_layer=64, n_head=32, n_embd=4096),
    ),
    ("tensor-names", "another architecture", claim("config", "arch", to="gpt2")),
    ("tensor-names", "another number of layers", claim("config", "n_layer", to=2)),
    ("tensor-names", "an extra tensor", entry("lm_head.bias", EXTRA)),
    ("tensor-names", "a missing tensor", lambda p: p.entries.pop(LN)),
    ("tensor-names", "no tensors", lambda p: p.entries.clear()),
    ("tensor-names", "a name that climbs out of a folder", rename(LN, "../../../etc/passwd")),
    ("tensor-names", "an absolute path", rename(LN, "/tmp/ln_f.weight")),
    ("tensor-names", "a path of Windows", rename(LN, "C:\\ln_f.weight")),
    ("tensor-names", "a name that steers a screen", rename(LN, "\x1b[2J\x07" + "x" * 5000)),
    ("tensor-names", "a name in other letters", rename(LN, "ln_f.wеight")),
    ("tensor-names", "an empty name", rename(LN, "")),
    ("tensor-entry", "an entry that is a list", entry(LN, [1])),
    ("tensor-entry", "an entry that lacks its shape", lambda p: p.entries[LN].pop("shape")),
    ("tensor-entry", "an entry with one key more", entry(LN, 1, "requires_grad")),
    ("tensor-dtype", "float32", entry(LN, "F32", "dtype")),
    ("tensor-dtype", "bfloat16, of the same size", entry(LN, "BF16", "dtype")),
    ("tensor-dtype", "a type that is a number", entry(LN, 16, "dtype")),
    ("tensor-dtype", "a type that is a long list", entry(LN, [["F16"]] * 90_000, "dtype")),
    ("tensor-shape", "one column more", entry(LM, [10, 9], "shape")),
    ("tensor-shape", "rows and columns exchanged", entry(LM, [8, 10], "shape")),
    ("tensor-shape", "flat", entry(LM, [80], "shape")),
    ("tensor-shape", "one axis more", entry(LM, [10, 8, 1], "shape")),
    ("tensor-shape", "no axes", entry(LM, [], "shape")),
    ("tensor-shape", "sizes that are fractions", entry(LM, [10.0, 8.0], "shape")),
    ("tensor-shape", "a shape that is a text", entry(LM, "10, 8", "shape")),
    ("tensor-shape", "a shape that steers a screen", entry(LM, "\x1b[2J\n", "shape")),
    ("tensor-layout", "offsets that steer a screen", entry(LM, "\x1b[2J\n", "data_offsets")),
    ("tensor-shape", "a shape that is null", entry(LM, None, "shape")),
    ("tensor-shape", "another width", lambda p: p.claim["config"].update(n_embd=16, n_head=2)),
    ("tensor-layout", "two tensors exchanged", swap_tensors),
    ("tensor-layout", "two tensors in one place", two_on_one_place),
    ("tensor-layout", "a hole before the first", a_hole),
    ("tensor-layout", "an end before the start", entry(LN, [900, 100], "data_offsets")),
    ("tensor-layout", "a negative start", entry(LN, [-2, 14], "data_offsets")),
    ("tensor-layout", "an end beyond the file", entry("wte.weight", [0, 2**63], "data_offsets")),
    ("tensor-layout", "offsets that are fractions", lambda p: put(entries=_fractional_offsets(p.entries))(p)),
    ("tokenizer", "a tokenizer that is a text", claim("tokenizer", to="char")),
    ("tokenizer", "an unknown kind", claim("tokenizer", "kind", to="sentencepiece")),
    ("tokenizer", "one key more", claim("tokenizer", "unk", to=0)),
    ("tokenizer", "symbols that are a list", claim("tokenizer", "symbols", to=list("\n abcdefgh"))),
    ("tokenizer", "a symbol twice", claim("tokenizer", "symbols", to="\n abcdefgg")),
    ("tokenizer", "one symbol fewer", claim("tokenizer", "symbols", to="\n abcdefg")),
    ("tokenizer", "no symbols", claim("tokenizer", "symbols", to="")),
    ("tokenizer", "merges without symbols", claim("tokenizer", to={"kind": "bpe", "merges": [[0, 1]] * 8})),
    ("tokenizer", "no symbols and merges", claim("tokenizer", to=pairs([[0, 1]] * 8, symbols=""))),
    ("tokenizer", "a symbol of two twice", claim("tokenizer", to=pairs([[0, 1]] * 8, symbols="aa"))),
    ("tokenizer", "symbols and merges that are too few", claim("tokenizer", to=pairs([[0, 1]] * 6))),
    ("tokenizer", "characters with merges", claim("tokenizer", to=pairs([[0, 1]] * 7) | {"kind": "char"})),
    ("tokenizer", "merges that are null", claim("tokenizer", to=pairs(None))),
    ("tokenizer", "a merge of a later token", claim("tokenizer", to=pairs([[0, 2], *[[0, 1]] * 7]))),
    ("tokenizer", "a merge of three", claim("tokenizer", to=pairs([[0, 1, 1], *[[0, 1]] * 7]))),
    ("tokenizer", "a merge that is true", claim("tokenizer", to=pairs([[True, 1], *[[0, 1]] * 7]))),
    ("tokenizer", "a merge that is a long text", claim("tokenizer", to=pairs([["x" * 90_000, 1], *[[0, 1]] * 7]))),
    ("tokenizer", "a token of 18 characters", claim("tokenizer", to=pairs(EIGHTEEN))),
    ("tokenizer", "tokens that double", claim("tokenizer", to=pairs([[1 + i] * 2 for i in range(99)]))),
    ("recipe", "a recipe that is null", claim("recipe", to=None)),
    ("recipe", "a recipe that lacks a key", without("recipe", "lines")),
    ("recipe", "one key more", claim("recipe", "top_p", to=90)),
    ("recipe", "no prompt", claim("recipe", "prompt_ids", to=[])),
    ("recipe", "a prompt that is a text", claim("recipe", "prompt_ids", to="abc")),
    ("recipe", "a prompt of 1,025 tokens", claim("recipe", "prompt_ids", to=[0] * 1025)),
    ("recipe", "a prompt beyond the vocabulary", claim("recipe", "prompt_ids", to=[10])),
    ("recipe", "a prompt of a huge token", claim("recipe", "prompt_ids", to=[10**300])),
    ("recipe", "a negative prompt", claim("recipe", "prompt_ids", to=[-1])),
    ("recipe", "a temperature of 2.01", claim("recipe", "temperature", to=201)),
    ("recipe", "a negative temperature", claim("recipe", "temperature", to=-1)),
    ("recipe", "a temperature that is 0.8", claim("recipe", "temperature", to=0.8)),
    ("recipe", "a top_k beyond the vocabulary", claim("recipe", "top_k", to=11)),
    ("recipe", "a negative top_k", claim("recipe", "top_k", to=-1)),
    ("recipe", "a seed beyond 32 bits", claim("recipe", "seed", to=2**32)),
    ("recipe", "a seed that is a long list", claim("recipe", "seed", to=[2] * 99_000)),
    ("recipe", "no tokens", claim("recipe", "tokens", to=0)),
    ("recipe", "1,025 tokens", claim("recipe", "tokens", to=1025)),
    ("recipe", "65 lines", claim("recipe", "lines", to=65)),
    ("recipe", "more tokens than a gpt2 model has positions", gpt2_too_long),
    ("verse", "a verse that is a text", claim("verse", to="To be")),
    ("verse", "a verse without text", without("verse", "text")),
    ("verse", "a verse with one key more", claim("verse", "title", to="Ode")),
    ("verse", "ids that are a text", claim("verse", "ids", to="abc")),
    ("verse", "an id beyond the vocabulary", claim("verse", "ids", 0, to=10)),
    ("verse", "a negative id", claim("verse", "ids", 0, to=-1)),
    ("verse", "an id that is true", claim("verse", "ids", 0, to=True)),
    ("verse", "an id that is a fraction", claim("verse", "ids", 0, to=1.0)),
    ("verse-length", "no tokens", ids_and_text([], "")),
    ("verse-length", "one token fewer than asked for", lambda p: p.claim["verse"]["ids"].pop()),
    ("verse-length", "one token more than asked for", lambda p: p.claim["verse"]["ids"].append(2)),
    ("verse-length", "tokens after the last line", lambda p: _by_lines(p, [2, 0, 3])),
    ("verse-length", "the last line not complete", lambda p: _by_lines(p, [2, 3])),
    ("verse-length", "an empty line for a line", lambda p: _by_lines(p, [1, 0])),
    ("not-text", "a control character in pairs", in_pairs([65, 0x07])),
    ("not-text", "a control character within a token", _control_in_a_token),
    *[
        ("not-text", f"the character U+{code:04X}", symbol(5, chr(code)))
        for code in (
            0x00,
            0x07,
            0x09,
            0x0D,
            0x1B,
            0x7F,
            0x85,
            0x9F,
            0x61C,
            0x200E,
            0x200F,
            0x202A,
            0x202E,
            0x2066,
            0x2069,
        )
    ],
    ("text", "one letter changed", lambda p: p.claim["verse"].update(text=p.claim["verse"]["text"][:-1] + "Z")),
    ("text", "another text", claim("verse", "text", to="To be, or not to be")),
    ("text", "a space more", lambda p: p.claim["verse"].update(text=p.claim["verse"]["text"] + " ")),
    ("text", "no text", claim("verse", "text", to="")),
    ("text", "a text that is null", claim("verse", "text", to=None)),
    ("text", "a text that is a list", claim("verse", "text", to=[])),
    ("certificate", "a certificate that is a list", claim("certificate", to=[])),
    ("certificate", "a certificate that lacks a key", without("certificate", "engine")),
    ("certificate", "one key more", claim("certificate", "signed", to=True)),
    ("certificate", "a negative gap", claim("certificate", "smallest_gap", to=-1e-9)),
    ("certificate", "a gap that is a text", claim("certificate", "smallest_gap", to="x" * 99_000)),
    ("certificate", "a gap that is true", claim("certificate", "smallest_gap", to=True)),
    ("certificate", "a position after the last token", claim("certificate", "position", to=24)),
    ("certificate", "a position that is a long list", claim("certificate", "position", to=[0] * 99_000)),
    ("certificate", "a negative position", claim("certificate", "position", to=-1)),
    ("certificate", "another number of tokens", claim("certificate", "tokens", to=25)),
    ("certificate", "the digest of other tokens", claim("certificate", "ids_sha256", to=ids_digest([1]))),
    ("certificate", "a digest that is null", claim("certificate", "ids_sha256", to=None)),
    ("certificate", "an engine that is a number", claim("certificate", "engine", to=1)),
    ("certificate", "another engine", claim("certificate", "engine", to="verse-2")),
    ("provenance", "a provenance that is a list", claim("provenance", to=[])),
    ("provenance", "a loss curve of 201 points", claim("provenance", "loss_curve", to=[[0, 1.0]] * 201)),
    ("provenance", "a loss curve that is a text", claim("provenance", "loss_curve", to="steep")),
    ("digest", "a digest that is a number", lambda p: (claim("tensors_sha256", to=1)(p), put(keep_digest=True)(p))),
    ("digest", "a digest cut short", lambda p: (claim("tensors_sha256", to="a" * 63)(p), put(keep_digest=True)(p))),
    ("digest", "a digest in capitals", lambda p: (claim("tensors_sha256", to="A" * 64)(p), put(keep_digest=True)(p))),
    (
        "digest",
        "a digest of something else",
        lambda p: (claim("tensors_sha256", to="a" * 64)(p), put(keep_digest=True)(p)),
    ),
    ("digest", "a changed weight", changed_weight_under_the_old_digest),
    ("truncated", "no tensors after the header", lambda p: p.tensors.clear()),
    ("truncated", "one byte fewer", lambda p: p.tensors.pop()),
    ("trailing-bytes", "one byte more", put(rest=b"\0")),
    ("trailing-bytes", "another file behind it", put(rest=b"PK\x03\x04" * 1000)),
    ("weights", "NaN", weight(float("nan"))),
    ("weights", "infinity", weight(float("inf"))),
    ("weights", "a weight of 1,000.5", weight(1000.5)),
    ("weights", "a weight of -1,001", weight(-1001, LN)),
]


def _fractional_offsets(entries: dict[str, Any]) -> dict[str, Any]:
    return {name: one | {"data_offsets": [float(at) for at in one["data_offsets"]]} for name, one in entries.items()}


def _by_lines(parts: Parts, ids: list[int]) -> None:
    parts.claim["recipe"]["lines"] = 1
    ids_and_text(ids, "a")(parts)


@pytest.mark.parametrize(
    ("code", "breaking"),
    [pytest.param(code, breaking, id=f"{code}-{what}".replace(" ", "_")) for code, what, breaking in BREAKINGS],
)
def test_a_bundle_that_breaks_one_rule_is_refused_by_its_name(code: str, breaking: Breaking, tmp_path: Path) -> None:
    parts = Parts.fresh()
    breaking(parts)
    data = parts.build()
    with pytest.raises(BundleError) as caught:
        parse_bundle(data)
    assert caught.value.code == code, str(caught.value)
    sentence = str(caught.value)
    assert sentence.isprintable(), "whatever stands in the file, the error is one line that steers no screen"
    assert len(sentence) < 400, "and a sentence, not a copy of the file"
    path = tmp_path / "broken.verse"
    path.write_bytes(data)
    with pytest.raises(BundleError) as caught:
        read_bundle(path)
    assert (caught.value.code, str(caught.value)) == (code, sentence), (
        "a file is refused as the same bytes in memory are"
    )


def test_the_unbroken_bundle_is_taken() -> None:
    assert Parts.fresh().build() != b""
    assert same(parse_bundle(Parts.fresh().build()), parse_bundle(bundle()))


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("empty", b""),
        ("too-short", b"verse"),
        ("header-length", b"To be, or not to be: that is the question.\n"),
        ("header-length", b"PK\x03\x04" + bytes(100)[:3] + b"\x01" * 50),
        ("header-length", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00." * 3),  # a pickle
        ("header-length", b"\x89PNG\r\n\x1a\n" + bytes(50)),
    ],
)
def test_other_files_are_no_bundles(code: str, data: bytes) -> None:
    with pytest.raises(BundleError) as caught:
        parse_bundle(data)
    assert caught.value.code == code


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.verse"
    with path.open("wb") as file:
        file.write(bundle())
        file.truncate(MAX_BUNDLE_BYTES + 1)  # a hole: it takes no room on the disk
    for read in (read_claim, read_bundle):
        with pytest.raises(BundleError) as caught:
            read(path)
        assert caught.value.code == "too-large"


def test_a_bundle_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    data = bundle()
    path = tmp_path / "cut.verse"
    for size in range(len(data)):
        expected = "empty" if size == 0 else "too-short" if size < 8 else "truncated"
        with pytest.raises(BundleError) as caught:
            parse_bundle(data[:size])
        assert caught.value.code == expected, size
        if size % 97 == 0 or size < 10:
            path.write_bytes(data[:size])
            for read in (read_claim, read_bundle):
                with pytest.raises(BundleError) as caught:
                    read(path)
                assert caught.value.code == expected, size


def test_every_code_that_the_reader_knows_is_provoked_here() -> None:
    source = "".join(
        Path(str(module.__file__)).read_text("utf-8")
        for module in (trainer.verse.bundle, trainer.verse.bundle_file, trainer.verse.claim)
    )
    known = set(re.findall(r"""(?:BundleError|refuse_as)\(\s*"([a-z-]+)\"""", source))
    provoked = {code for code, _, _ in BREAKINGS} | {"empty", "too-short", "too-large"}
    assert provoked == known


def test_the_first_rule_broken_is_the_one_reported() -> None:
    """With every rule from some place on broken at once, the reader stops there: cheapest first, as SPEC.md says."""
    order: list[tuple[str, Breaking]] = [
        ("format", claim("format", to=2)),
        ("config", claim("config", "n_layer", to=0)),
        ("tensor-names", entry("lm_head.bias", EXTRA)),
        ("tensor-dtype", entry("h.0.attn.c_attn.weight", "F32", "dtype")),
        ("tensor-layout", swap_tensors),
        ("tokenizer", claim("tokenizer", "symbols", to="\n abcdefgg")),
        ("recipe", claim("recipe", "temperature", to=201)),
        ("verse-length", lambda p: p.claim["verse"]["ids"].append(2)),
        ("text", claim("verse", "text", to="To be")),
        ("certificate", claim("certificate", "ids_sha256", to="0" * 64)),
        ("trailing-bytes", put(rest=b"\0")),
        ("digest", put(keep_digest=True)),
        ("weights", weight(float("nan"))),
    ]
    for first in range(len(order)):
        parts = Parts.fresh()
        for _, breaking in order[first:]:
            breaking(parts)
        with pytest.raises(BundleError) as caught:
            parse_bundle(parts.build())
        assert caught.value.code == order[first][0]


# --- what no reader can see, the replay does --------------------------------------------------------------------------


def verdict_of(data: bytes) -> Verdict:
    read = parse_bundle(data)
    return replay(VerseModel(read.claim.config, read.weights), read.claim.recipe, read.claim.ids)


@pytest.mark.parametrize("name", sorted(CONFIG.tensor_shapes()))
def test_changed_weights_under_a_fresh_digest_write_another_verse(name: str) -> None:
    parts = Parts.fresh()
    for index, value in enumerate(WEIGHTS[name].ravel().tolist()):
        parts.weight(name, index, -value)
    assert verdict_of(parts.build()).verdict in ("FAIL", "UNDECIDED")


def test_one_changed_weight_under_a_fresh_digest_writes_another_verse() -> None:
    parts = Parts.fresh()
    parts.weight("lm_head.weight", 8 * verse().ids[0], 60.0 * -np.sign(WEIGHTS["ln_f.weight"][0]))
    verdict = verdict_of(parts.build())
    assert verdict.verdict == "FAIL"
    assert verdict.got == verse().ids[verdict.position or 0] != verdict.expected


def test_weights_scaled_until_nothing_is_decided_are_not_passed() -> None:
    parts = Parts.fresh()
    parts.tensors[:] = bytes(len(parts.tensors))
    parts.claim["recipe"]["temperature"] = 0  # every logit is zero, every choice a tie
    assert verdict_of(parts.build()).verdict == "UNDECIDED"
    ids_and_text([0] * 24, "\n" * 24)(parts)  # the very tokens that a tie goes to
    verdict = verdict_of(parts.build())
    assert (verdict.verdict, verdict.position, verdict.expected, verdict.got) == ("UNDECIDED", 0, 0, 0)
    model = VerseModel(CONFIG, parse_bundle(parts.build()).weights)
    [written] = regenerate(model, LETTERS, [replace(RECIPE, temperature=0)])
    assert (written.ids, is_decided(written)) == ((0,) * 24, False)


def test_another_seed_that_writes_another_verse_fails_where_they_differ() -> None:
    model = VerseModel(CONFIG, WEIGHTS)
    others = regenerate(model, LETTERS, [replace(RECIPE, seed=seed) for seed in range(4, 12)])
    for other in others:
        assert other.ids != verse().ids
        parts = Parts.fresh()
        parts.claim["recipe"]["seed"] = other.recipe.seed
        verdict = verdict_of(parts.build())
        assert verdict.verdict == "FAIL"
        assert verdict.position == next(
            i for i, (a, b) in enumerate(zip(verse().ids, other.ids, strict=True)) if a != b
        )
        assert (verdict.expected, verdict.got) == (other.ids[verdict.position], verse().ids[verdict.position])


@pytest.mark.parametrize(
    "breaking",
    [
        claim("recipe", "temperature", to=0),
        claim("recipe", "top_k", to=1),
        claim("recipe", "prompt_ids", to=[9, 9, 9]),
        claim("config", "block_size", to=1),
    ],
    ids=["temperature", "top_k", "prompt", "context"],
)
def test_another_recipe_or_context_fails(breaking: Breaking) -> None:
    parts = Parts.fresh()
    breaking(parts)
    assert verdict_of(parts.build()).verdict == "FAIL"


def test_another_text_with_everything_made_to_fit_it_fails() -> None:
    ids = list(verse().ids)
    ids[20] = (ids[20] + 1) % LETTERS.size
    parts = Parts.fresh()
    ids_and_text(ids, verse_text(LETTERS, RECIPE, ids))(parts)
    verdict = verdict_of(parts.build())
    assert (verdict.verdict, verdict.position, verdict.expected, verdict.got) == ("FAIL", 20, verse().ids[20], ids[20])


def test_other_symbols_for_the_same_tokens_are_another_honest_verse() -> None:
    """Nothing binds a symbol to its token but the author: who renames letters gets nonsense that is truly written."""
    parts = Parts.fresh()
    symbol(5, "z")(parts)
    assert verdict_of(parts.build()).verdict == "PASS"
    assert Vocabulary.chars(parts.claim["tokenizer"]["symbols"]).size == LETTERS.size


def test_a_false_gap_is_read_but_does_not_agree() -> None:
    parts = Parts.fresh()
    claim("certificate", "smallest_gap", to=3.5)(parts)
    read = parse_bundle(parts.build())
    verdict = verdict_of(parts.build())
    assert verdict.verdict == "PASS"
    assert verdict.certificate is not None
    assert not verdict.certificate.agrees_with(read.claim.certificate)
    assert verdict.certificate.agrees_with(verse().certificate)


def test_digests_are_over_what_the_specification_says() -> None:
    read = parse_bundle(bundle())
    assert read.claim.tensors_sha256 == hashlib.sha256(bundle()[read.claim.header_bytes :]).hexdigest()
