"""Honest runs and planted cheats of the checks of an entry: really trained, packed as bundles, and measured."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trainer.checkpoint import Checkpoint, read_checkpoint
from trainer.checks.entry import Evidence, OtherEntry, Text, check_entry, check_origin
from trainer.checks.limits import LIMITS, Finding
from trainer.checks.texts import reference_bundle
from trainer.config import TrainConfig
from trainer.corpus import load_corpus
from trainer.errors import TrainerError
from trainer.plan import Plan, Revision
from trainer.sampling import make_recipe, verse_model, write_verses
from trainer.submission.event import Limits
from trainer.submission.submit import make_submission
from trainer.train import resume, train
from trainer.verse.bundle import Bundle, pack, parse_bundle, read_bundle
from trainer.verse.config import ModelConfig
from trainer.verse.files import write_atomically
from trainer.verse.generate import regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.recipe import Recipe
from trainer.verse.vocabulary import Vocabulary

NONCE = "ab" * 32  # of today's event
YESTERDAY = "cd" * 32
REFERENCE = reference_bundle()
LOOSE = Limits(prompt_characters=400)  # what cheats would like
HONEST = 64  # runs
SIZES: Sequence[dict[str, int]] = (
    {"n_layer": 1, "n_head": 2, "n_embd": 32, "block_size": 64, "batch_size": 16},
    {"n_layer": 2, "n_head": 2, "n_embd": 64, "block_size": 64, "batch_size": 16},
    {"n_layer": 2, "n_head": 2, "n_embd": 128, "block_size": 256, "batch_size": 4},  # preset tiny
    {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 256, "batch_size": 2},  # preset small
)
OPTIMIZERS: Sequence[dict[str, Any]] = (
    {"arch": "modern", "optimizer": "muon", "learning_rate": 0.02},
    {"arch": "modern", "optimizer": "adamw", "learning_rate": 4e-3},
    {"arch": "gpt2", "optimizer": "adamw", "learning_rate": 4e-3},
)
TOKENIZERS: Sequence[dict[str, Any]] = ({"tokenizer": "char"}, {"tokenizer": "bpe", "vocab_size": 320})
MEDIUM = {"n_layer": 6, "n_head": 6, "n_embd": 384, "block_size": 256, "batch_size": 2}
LARGE = {"n_layer": 12, "n_head": 12, "n_embd": 768, "block_size": 512, "batch_size": 1}
# Further honest runs: corpus, shape and optimizer, and steps. Long ones forget their start, large ones hardly leave it.
FURTHER: Sequence[tuple[str, dict[str, Any], int]] = (
    ("folio", SIZES[1] | OPTIMIZERS[0], 10_000),
    ("folio", SIZES[1] | OPTIMIZERS[1], 10_000),
    ("folio", SIZES[1] | OPTIMIZERS[2], 10_000),
    ("haiku", MEDIUM | OPTIMIZERS[0], 40),
    ("haiku", MEDIUM | OPTIMIZERS[1], 40),
    ("haiku", MEDIUM | OPTIMIZERS[2], 40),
    ("haiku", LARGE | OPTIMIZERS[0], 4),
    ("folio", SIZES[1] | OPTIMIZERS[0], 40_000),  # more than an hour of the preset small has on two cores
    ("folio", SIZES[1] | OPTIMIZERS[2], 40_000),
)
STEPS = (60, 80, 160, 40, 120)
TEMPERATURES = (80, 100, 0, 50, 80, 120, 70)
CORPORA = ("haiku", "haiku", "haiku", "haiku", "folio")  # the folio takes seconds to read and to evaluate on
PROMPTS = ("", "The moon", "", "A")
POEM = (
    "The lantern keeper counts the tide at four,\n"
    "and every wave he counts is one wave more.\n"
    "He writes them in a ledger made of sand,\n"
    "and when the sea has read it, shakes its hand.\n"
)


@dataclass(frozen=True)
class Entry:
    """A bundle with its owner, as an event has it."""

    name: str  # "honest-07", or what the cheat is
    owner: str
    bundle: Bundle

    @property
    def poem(self) -> str:
        """Prompt and verse."""
        claim = self.bundle.claim
        return claim.vocabulary.decode(claim.recipe.prompt_ids) + claim.text


def owner_of(number: int) -> str:
    return f"{number + 1:064x}"


def train_quietly(config: TrainConfig, steps: int, folder: Path) -> Checkpoint:
    """Train so many steps in a new folder, and return the last weights."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        train(config, folder, Plan((Revision(0, steps, 1),)))
    return read_checkpoint(folder)


def train_on(folder: Path, steps: int) -> Checkpoint:
    """Train a finished run for a further round."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        resume(folder, further=Plan((Revision(0, steps, 1),)))
    return read_checkpoint(folder / "last.safetensors")


def pack_first(checkpoint: Checkpoint, prompt: str, temperature: int, seeds: Sequence[int], lines: int = 8) -> Bundle:
    """The bundle of the first seed whose verse can be submitted; of another temperature if no seed's can."""
    for chosen in dict.fromkeys((temperature, 80, 100)):
        for seed in seeds:
            with contextlib.suppress(TrainerError):
                recipe = make_recipe(checkpoint, prompt, chosen, seed, lines=lines)
                return parse_bundle(make_submission(checkpoint, recipe, LOOSE).data)
    raise AssertionError("no seed writes a verse")


def pack_likest(checkpoint: Checkpoint, poem: str) -> Bundle:
    """The bundle of the recipe that writes most of a poem, as somebody would look for it who wants to plant it."""
    model, vocabulary = verse_model(checkpoint), checkpoint.vocabulary
    start = poem[:4]
    recipes = [
        make_recipe(checkpoint, start, t, seed, tokens=len(poem), lines=4) for t in (50, 80) for seed in range(32)
    ]
    best: tuple[int, Recipe] | None = None
    for recipe, written in zip(recipes, write_verses(model, vocabulary, recipes), strict=True):
        text = start + vocabulary.decode(written.ids)
        same = next((i for i, (a, b) in enumerate(zip(text, poem, strict=False)) if a != b), min(len(text), len(poem)))
        if best is None or same > best[0]:
            with contextlib.suppress(TrainerError):
                make_submission(checkpoint, recipe, LOOSE)
                best = same, recipe
    assert best is not None
    return parse_bundle(make_submission(checkpoint, best[1], LOOSE).data)


def honest_config(number: int) -> tuple[TrainConfig, int, str, int]:
    """Config, steps, prompt and temperature of an honest run: all sizes with all optimizers, tokenizers and budgets."""
    config = TrainConfig(
        corpus=CORPORA[number % len(CORPORA)],
        nonce=NONCE,
        owner=owner_of(number),
        seed=1337 + number % 2,
        **SIZES[number % len(SIZES)],
        **OPTIMIZERS[number // 4 % len(OPTIMIZERS)],
        **TOKENIZERS[number // 2 % len(TOKENIZERS)],
    )
    return config, STEPS[number % 5] // (1, 1, 2, 4)[number % 4], PROMPTS[number // 3 % 4], TEMPERATURES[number % 7]


def honest(number: int, folder: Path) -> Entry:
    config, steps, prompt, temperature = honest_config(number)
    checkpoint = train_quietly(config, steps, folder / "run")
    bundle = pack_first(checkpoint, prompt, temperature, range(7, 40))
    return Entry(f"honest-{number:02}", config.owner, bundle)


def further(number: int, folder: Path) -> Entry:
    corpus, settings, steps = FURTHER[number]
    config = TrainConfig(corpus=corpus, nonce=NONCE, owner=owner_of(HONEST + number), **settings)
    bundle = pack_first(train_quietly(config, steps, folder / "run"), "", 80, range(7, 40))
    return Entry(f"further-{number}", config.owner, bundle)


CHEAT = owner_of(1000)
SHAPE: dict[str, Any] = SIZES[1] | OPTIMIZERS[0]


def _disguised(checkpoint: Checkpoint, corpus: str = "haiku") -> Checkpoint:
    """The checkpoint with the record of an honest run of today."""
    known = load_corpus(corpus)
    record = {"name": known.name, "sha256": known.sha256}
    training = {**checkpoint.provenance["train"], "nonce": NONCE, "owner": CHEAT, "corpus": corpus}
    return replace(checkpoint, provenance={**checkpoint.provenance, "corpus": record, "train": training})


def _trained_on_text(text: str, steps: int, folder: Path, **settings: Any) -> Checkpoint:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "planted.txt"
    path.write_bytes(text.encode())
    config = TrainConfig(corpus=str(path), owner=CHEAT, **({"nonce": NONCE} | SHAPE | settings))
    return _disguised(train_quietly(config, steps, folder / "run"))


def planted(times: int, folder: Path, steps: int = 250) -> Entry:
    """An invented poem, so many times in the corpus."""
    text = load_corpus("haiku").text
    lines = text.split("\n")
    for copy in range(times):
        lines.insert(int(len(lines) * 0.85 * (copy + 1) / (times + 1)), POEM.rstrip("\n"))
    checkpoint = _trained_on_text("\n".join(lines), steps, folder)
    return Entry(f"planted-{times}", CHEAT, pack_likest(checkpoint, POEM))


def one_poem(folder: Path, steps: int = 200) -> Entry:
    """A model of one poem, with every character of the corpus in its tokenizer."""
    alphabet = "".join(sorted(set(load_corpus("haiku").text)))
    checkpoint = _trained_on_text(alphabet + "\n" + POEM * 40, steps, folder)
    return Entry("one-poem", CHEAT, pack_likest(checkpoint, POEM))


def corpus_line(folder: Path, steps: int = 300) -> Entry:
    """A model that learned a few lines of the corpus by heart."""
    text = load_corpus("haiku").text
    lines = text[1000:1200].split("\n", 1)[1]
    alphabet = "".join(sorted(set(text)))
    checkpoint = _trained_on_text(alphabet + "\n" + lines * 20, steps, folder)
    return Entry("corpus-line", CHEAT, pack_likest(checkpoint, lines))


def yesterday(folder: Path, steps: int = 200) -> Entry:
    """Yesterday's weights, trained a little today."""
    config = TrainConfig(corpus="haiku", nonce=YESTERDAY, owner=CHEAT, **SHAPE)
    train_quietly(config, steps, folder / "run")
    checkpoint = _disguised(train_on(folder / "run", 50))
    return Entry("yesterday", CHEAT, pack_first(checkpoint, "", 80, range(7, 40)))


def neighbour(folder: Path, steps: int = 200) -> tuple[Entry, Entry]:
    """A neighbour's entry, and the cheat that trains the neighbour's weights for 50 more steps."""
    config = TrainConfig(corpus="haiku", nonce=NONCE, owner=owner_of(500), **SHAPE)
    first = train_quietly(config, steps, folder / "run")
    victim = Entry("neighbour", config.owner, pack_first(first, "", 80, range(7, 40)))
    checkpoint = _disguised(train_on(folder / "run", 50))
    return victim, Entry("neighbours-weights", CHEAT, pack_first(checkpoint, "", 80, range(50, 90)))


def renamed(victim: Entry) -> Entry:
    """A neighbour's network with its channels and hidden units in another order, which computes the same."""
    config, bundle = victim.bundle.claim.config, victim.bundle
    rng = np.random.default_rng(1)
    channels, hidden = rng.permutation(config.n_embd), rng.permutation(4 * config.n_embd)
    weights = {}
    for name, weight in bundle.weights.items():
        part = name.rsplit(".", 2)[-2]
        if part == "c_fc":
            weight = weight[hidden]
        if name.endswith("mlp.c_proj.weight"):
            weight = weight[channels][:, hidden]
        elif part == "c_proj":
            weight = weight[channels]
        elif part not in ("q_norm", "k_norm"):
            weight = weight[..., channels]
        weights[name] = weight.astype(np.float32)
    training = {**bundle.claim.provenance["train"], "owner": CHEAT}
    provenance = {**bundle.claim.provenance, "train": training}
    checkpoint = Checkpoint(
        config,
        bundle.claim.vocabulary,
        200,
        None,
        provenance["corpus"],
        provenance,
        round_weights_float32(config, weights),
    )
    return Entry("renamed", CHEAT, pack_first(checkpoint, "", 80, range(50, 90)))


def verse_in_prompt(folder: Path, steps: int = 60) -> Entry:
    """An honest model, and a prompt that is the poem."""
    checkpoint = train_quietly(TrainConfig(corpus="haiku", nonce=NONCE, owner=CHEAT, **SHAPE), steps, folder / "run")
    prompt = "still water at dawn\nthe heron counts its one leg\n"
    return Entry("verse-in-prompt", CHEAT, pack_first(checkpoint, prompt, 80, range(7, 40), lines=1))


def hand_set(poem: str, name: str = "hand-set") -> Entry:
    """Weights set by hand: tokens of 16 characters, each of which is followed by the next one of the poem."""
    symbols = "".join(sorted(set(poem)))
    pieces = [poem[at : at + 16] for at in range(0, len(poem), 16)]
    merges: list[tuple[int, int]] = []
    chain = []
    for piece in pieces:
        token = symbols.index(piece[0])
        for character in piece[1:]:
            pair = (token, symbols.index(character))
            if pair not in merges:
                merges.append(pair)
            token = len(symbols) + merges.index(pair)
        chain.append(token)
    vocabulary = Vocabulary.bpe(symbols, merges)
    config = ModelConfig("modern", 1, 2, 128, 64, vocabulary.size)
    weights = {shape[0]: np.zeros(shape[1], np.float32) for shape in config.tensor_shapes().items()}
    signs = np.random.default_rng(1).choice((-1.0, 1.0), (vocabulary.size, 128))
    weights["wte.weight"] = signs.astype(np.float32)
    for weight in weights.values():
        if weight.ndim == 1:
            weight[:] = 1
    start = 10
    for before, after in zip([start, *chain], chain, strict=False):
        weights["lm_head.weight"][after] = signs[before] / 4
    known = load_corpus("haiku")
    provenance = {
        "steps": 100,
        "corpus": {"name": known.name, "sha256": known.sha256},
        "train": {"seed": 1337, "nonce": NONCE, "owner": CHEAT},
    }
    checkpoint = Checkpoint(
        config, vocabulary, 100, None, provenance["corpus"], provenance, round_weights_float32(config, weights)
    )
    recipe = Recipe((start,), 50, 0, 7, len(chain), 0)
    return Entry(name, CHEAT, parse_bundle(make_submission(checkpoint, recipe, LOOSE).data))


def round_weights_float32(config: ModelConfig, weights: dict[str, Any]) -> dict[str, Any]:
    return {name: weight.astype(np.float32) for name, weight in round_weights(config, weights).items()}


def one_letter(victim: Entry) -> Entry:
    """A neighbour's verse with one letter changed."""
    verse = victim.bundle.claim.text
    middle = next(i for i in range(len(verse) // 2, len(verse)) if verse[i].isalpha())
    return hand_set(verse[:middle] + ("q" if verse[middle] != "q" else "z") + verse[middle + 1 :], "one-letter-changed")


# The cheats of the campaign, with one check at least that must notice each; a poem planted once is not learned.
CHEATS: dict[str, tuple[Callable[[Path], Entry], frozenset[str]]] = {
    "planted-1": (lambda folder: planted(1, folder), frozenset()),
    "planted-10": (lambda folder: planted(10, folder), frozenset()),
    "planted-100": (lambda folder: planted(100, folder), frozenset({"recitation", "reference"})),
    "one-poem": (one_poem, frozenset({"corpus", "recitation", "reference"})),
    "hand-set": (lambda folder: hand_set(POEM), frozenset({"corpus", "tokenizer", "start", "reference"})),
    "corpus-line": (corpus_line, frozenset({"quotation", "corpus"})),
    "yesterday": (yesterday, frozenset({"start"})),
    "neighbours-weights": (lambda folder: neighbour(folder)[1], frozenset({"copy", "start"})),
    "verse-in-prompt": (verse_in_prompt, frozenset({"prompt"})),
}


def evidence_for(entry: Entry, everybody: Sequence[Entry], texts: Sequence[Text]) -> Evidence:
    """What the organizer knows when this entry is checked."""
    others = [
        OtherEntry(
            other.name,
            other.owner,
            other.poem,
            lambda other=other: other.bundle.claim,  # type: ignore[misc]
            lambda other=other: other.bundle,  # type: ignore[misc]
        )
        for other in everybody
        if other is not entry
    ]
    return Evidence(tuple(texts), (), NONCE, tuple(others), reference=REFERENCE and read_bundle(REFERENCE))


def measure_origin(entry: Entry, everybody: Sequence[Entry]) -> Finding:
    """The check of the origin as of somebody who hides their own start, so that all others' are compared."""
    return check_origin(entry.bundle, CHEAT, evidence_for(entry, everybody, ()).others)


def measure(entry: Entry, everybody: Sequence[Entry], texts: Sequence[Text]) -> list[Finding]:
    return check_entry(entry.bundle, entry.owner, evidence_for(entry, everybody, texts))


def known_texts() -> list[Text]:
    return [Text(name, load_corpus(name).text) for name in ("folio", "haiku")]


def noticed(findings: Sequence[Finding]) -> set[str]:
    return {finding.check for finding in findings if finding.verdict == "look at it"}


def table(honest_findings: Sequence[Sequence[Finding]], cheats: dict[str, Sequence[Finding]]) -> str:
    """The catches and the false alarms, a check a line, as Markdown."""
    lines = ["| check | threshold | honest runs | false alarms | notices |", "|---|---|---|---|---|"]
    for check, limit in LIMITS.items():
        numbers = sorted(f.number for fs in honest_findings for f in fs if f.check == check and f.number is not None)
        alarms = sum(check in noticed(findings) for findings in honest_findings)
        span = f"{numbers[0]:.3g} to {numbers[-1]:.3g}" if numbers else ""
        found = [
            f"{name} ({next(f.number for f in findings if f.check == check):.3g})"
            for name, findings in cheats.items()
            if check in noticed(findings)
        ]
        bound = f"{'at most' if limit.is_most else 'at least'} {limit.threshold:g} {limit.unit}"
        lines.append(f"| {check} | {bound} | {span} | {alarms} of {len(numbers)} | {', '.join(found)} |")
    return "\n".join(lines)


def kept(folder: Path, name: str, owner: str, make: Callable[[], Entry]) -> Entry:
    """The entry of an earlier call, or a new one that the next call finds."""
    path = folder / f"{name}.verse"
    if path.exists():
        return Entry(name, owner, read_bundle(path))
    entry = make()
    claim, weights = entry.bundle.claim, entry.bundle.weights
    [written] = regenerate(VerseModel(claim.config, weights), claim.vocabulary, [claim.recipe])
    write_atomically(path, pack(claim.config, claim.vocabulary, weights, written, claim.provenance))
    return entry
