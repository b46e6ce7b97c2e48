"""All checks of one entry: what is known about the event and the other entries goes in, and advice comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from statistics import median
from typing import Any

import numpy as np

from trainer.checks.likelihood import bits_per_character, other_verses_bits, recited_share, verse_bits
from trainer.checks.limits import LIMITS, Finding, judge, not_checkable
from trainer.checks.weights import pair_cosines, start_cosines
from trainer.checks.words import foreign_merges
from trainer.rng import run_key
from trainer.splits import merge_pieces, split_index
from trainer.verse.bundle import Bundle
from trainer.verse.claim import Claim
from trainer.verse.config import MAX_VOCAB_SIZE
from trainer.verse.model import VerseModel
from trainer.verse.originality import MAX_SOURCE, Source, fold

HELD_OUT = 4096  # characters of the corpus's last tenth: enough for two digits
OTHER_SEEDS = 32  # verses that an entry's own is compared with
OTHER_TOKENS = 100  # of each
GIVEN = 20  # characters of the verse from which the model is to recite the rest
MIN_RECITED = 60  # characters of a verse that it makes sense for
MIN_TEMPERATURE = 50  # hundredths; below, a model writes nearly what greedy decoding writes, by heart or not
MAX_SEED = 2**63 - 1  # of a run, as an entry says it
SEED_BASE = 4_000_000_000  # of the other seeds: far from those that people choose


@dataclass(frozen=True)
class Text:
    """A text that an entry may have been trained on, or quote."""

    name: str
    text: str

    @cached_property
    def sha256(self) -> str:
        """Digest, as a run records it."""
        return sha256(self.text.encode()).hexdigest()

    @cached_property
    def split(self) -> int:
        """Index of the first character that training does not read."""
        return split_index(self.text)

    @cached_property
    def source(self) -> Source:
        """The text, indexed for quotations."""
        return Source(self.text[:MAX_SOURCE])


@dataclass(frozen=True)
class OtherEntry:
    """Another entry of the event."""

    entry: str  # id
    owner: str  # id
    poem: str  # prompt and verse
    read_claim: Callable[[], Claim]
    read: Callable[[], Bundle]  # all of it


@dataclass(frozen=True)
class Evidence:
    """What is known about an event when an entry is checked."""

    corpora: tuple[Text, ...] = ()  # of which an entry may name one
    poems: tuple[Text, ...] = ()  # known ones
    nonce: str | None = None  # of the event, 64 hexadecimal digits
    others: tuple[OtherEntry, ...] = ()
    held_out: Text | None = None  # that the organizer kept; None: the last tenth of the corpus
    reference: Bundle | None = None  # a model that saw none of the event's verses


def check_entry(bundle: Bundle, owner: str, evidence: Evidence) -> list[Finding]:
    """Make all checks of an entry whose verse is verified.

    Args:
        bundle: Its weights and its claim.
        owner: Id of its owner.
        evidence: What is known beside it.
    """
    return list(_findings(bundle, owner, evidence))


def _findings(bundle: Bundle, owner: str, evidence: Evidence) -> Iterator[Finding]:
    claim = bundle.claim
    prompt = claim.vocabulary.decode(claim.recipe.prompt_ids)
    others = [other for other in evidence.others if other.owner != owner]
    corpus = _corpus_of(claim.provenance, evidence.corpora)
    model = VerseModel(claim.config, bundle.weights).single_precision()
    checks: dict[str, Callable[[], Finding]] = {
        "quotation": lambda: check_quotation(prompt + claim.text, corpus, evidence.poems),
        "prompt": lambda: check_prompt(prompt, claim.text),
        "verse": lambda: check_verse(prompt + claim.text, others),
        "copy": lambda: check_copy(bundle, others),
        "tokenizer": lambda: check_tokenizer(bundle, corpus),
        "corpus": lambda: check_corpus(model, bundle, corpus, evidence.held_out),
        "start": lambda: check_start(bundle, owner, evidence.nonce),
        "origin": lambda: check_origin(bundle, owner, others),
        "surprise": lambda: check_surprise(model, bundle),
        "recitation": lambda: check_recitation(model, bundle),
        "reference": lambda: check_reference(model, bundle, evidence.reference),
    }
    for name, check in checks.items():
        try:
            yield check()
        except (ValueError, ArithmeticError) as error:  # an entry that one check cannot measure passes no other by it
            yield not_checkable(name, f"this check failed on the entry: {type(error).__name__}: {error}")


def _corpus_of(provenance: Mapping[str, Any], corpora: Iterable[Text]) -> Text | None:
    """Return the text that the entry says it was trained on, if it is known here."""
    match provenance.get("corpus"):
        case {"sha256": str(digest)}:
            return next((corpus for corpus in corpora if corpus.sha256 == digest), None)
    return None


UNKNOWN_CORPUS = "the text that it says it was trained on is not known here: give it with --corpus"


def check_quotation(poem: str, corpus: Text | None, poems: Iterable[Text]) -> Finding:
    """Find the longest passage that the poem shares with the corpus or a known poem.

    Args:
        poem: Prompt and verse, as the room reads them.
        corpus: What the entry was trained on; None if it is not known.
        poems: Known ones.
    """
    texts = [*([corpus] if corpus else []), *poems]
    if not texts:
        return not_checkable("quotation", UNKNOWN_CORPUS)
    passage, text = max(((text.source.longest_passage(poem), text) for text in texts), key=lambda pair: pair[0].length)
    where = f"{text.name}, line {passage.line}: {' '.join(passage.quoted.split())}"
    missing = "" if corpus else "; the text of its training is not known here"
    return judge("quotation", passage.length, where + missing)


def check_prompt(prompt: str, verse: str) -> Finding:
    """Measure how much of the poem the model did not write: the prompt's share, or what the verse repeats of it.

    Args:
        prompt: What the model continues.
        verse: What it wrote.
    """
    folded, whole = fold(verse), fold(prompt + verse)
    share = len(fold(prompt)) / max(1, len(whole))
    repeated = Source(prompt).longest_passage(verse).length / max(1, len(folded)) if fold(prompt) else 0.0
    detail = f"the prompt is {share:.0%} of the poem, and the verse repeats {repeated:.0%} of itself from it"
    return judge("prompt", max(share, repeated), detail)


def check_verse(poem: str, others: Iterable[OtherEntry]) -> Finding:
    """Find the longest passage that the poem shares with another owner's poem."""
    best, where = 0, "no other owner has a verse here"
    for other in others:
        passage = Source(other.poem).longest_passage(poem)
        if passage.length >= best:
            best, where = passage.length, f"entry {other.entry[:8]}: {' '.join(passage.quoted.split())}"
    return judge("verse", best, where)


def check_copy(bundle: Bundle, others: Iterable[OtherEntry]) -> Finding:
    """Compare the weights with those of every other owner's entry of the same shape."""
    claim = bundle.claim
    start = _start_of(claim.provenance)
    best, where, unclear = 0.0, "no other owner has a model of this shape", ""
    for other in others:
        their_claim = other.read_claim()
        if their_claim.config != claim.config:
            continue
        same_file = their_claim.tensors_sha256 == claim.tensors_sha256
        # Only runs without an event can begin alike and be honest: an event's nonce gives each owner other weights.
        if not same_file and start and start[1] == "" and start == _start_of(their_claim.provenance):
            unclear = (
                f"entry {other.entry[:8]} and this one say that both were trained for no event, from the same seed"
            )
            continue
        alike = 1.0 if same_file else median(pair_cosines(bundle.weights, other.read().weights).values())
        if alike >= best:
            best, where = alike, f"closest to entry {other.entry[:8]}" + (", the same bytes" if same_file else "")
    finding = judge("copy", best, where)
    if unclear and finding.verdict == "passes":
        return not_checkable("copy", unclear)
    return finding


def _start_of(provenance: Mapping[str, Any]) -> tuple[int, str, str] | None:
    """Return what keys the initial weights, as the entry says; None if it says nothing."""
    match provenance.get("train"):
        case {"seed": seed, "nonce": str(nonce), "owner": str(owner)} if type(seed) is int and 0 <= seed <= MAX_SEED:
            return seed, nonce, owner
    return None


def _start_cosines(bundle: Bundle, start: tuple[int, str, str], owner: str) -> dict[str, float]:
    """Return how alike each matrix is to the initial one of an owner, by what their entry says of its start."""
    seed, nonce, _ = start
    return start_cosines(bundle.claim.config, bundle.weights, run_key(seed, nonce, owner))


def _requested_tokens(claim: Claim) -> int:
    """Return how many tokens the training was asked for, if its record may say the truth: a short text gives fewer."""
    record, size = claim.provenance.get("train"), claim.vocabulary.size
    requested = record.get("vocab_size") if isinstance(record, dict) else None
    return requested if type(requested) is int and size <= requested <= MAX_VOCAB_SIZE else size


def check_tokenizer(bundle: Bundle, corpus: Text | None) -> Finding:
    """Count the tokens that training on the corpus would not have made."""
    if corpus is None:
        return not_checkable("tokenizer", UNKNOWN_CORPUS)
    vocabulary = bundle.claim.vocabulary
    characters = "".join(sorted(set(vocabulary.symbols) ^ set(corpus.text)))
    notes = ["its characters are those of the corpus"]
    if characters:
        notes = [f"only one of both has the characters {characters!r}"]
    merges: list[int] = []
    if vocabulary.merges:
        merges = foreign_merges(merge_pieces(corpus.text[: corpus.split], _requested_tokens(bundle.claim)), vocabulary)
        tokens = [vocabulary.tokens[len(vocabulary.symbols) + index] for index in merges[:5]]
        notes.append(f"{len(merges)} of {len(vocabulary.merges)} merges" + (f", such as {tokens}" if merges else ""))
    return judge("tokenizer", len(characters) + len(merges), "; ".join(notes))


def check_corpus(model: VerseModel, bundle: Bundle, corpus: Text | None, held_out: Text | None = None) -> Finding:
    """Compare the bits a character on held-out text with those of the frequencies of its letters.

    Args:
        model: The entry's.
        bundle: The entry.
        corpus: What it was trained on; None if it is not known.
        held_out: Text of the same kind that nobody else has; None: the last tenth of the corpus.
    """
    if corpus is None and held_out is None:
        return not_checkable("corpus", UNKNOWN_CORPUS)
    text = held_out.text if held_out else corpus.text[corpus.split :] if corpus else ""
    text = text[:HELD_OUT]
    bits = bits_per_character(model, bundle.claim.vocabulary, text)
    if bits is None:
        return not_checkable("corpus", "its tokenizer lacks characters of the held-out text")
    counts = np.array(list(Counter(text).values())) / len(text)
    letters = float(-(counts * np.log2(counts)).sum())
    if not letters:
        return not_checkable("corpus", "the held-out text repeats one character")
    return judge(
        "corpus", bits / letters, f"{bits:.2f} bits a character on held-out text; letters alone: {letters:.2f}"
    )


def check_start(bundle: Bundle, owner: str, nonce: str | None) -> Finding:
    """Compare the weights with the initial ones that the event's nonce, the owner and the seed give.

    Args:
        bundle: The entry.
        owner: Id of its owner.
        nonce: Of the event; None: it has none.
    """
    start = _start_of(bundle.claim.provenance)
    if nonce is None or start is None or start[1] != nonce:
        return not_checkable("start", "it does not say that it was trained for this event, with its nonce")
    cosines = _start_cosines(bundle, start, owner)
    least = min(cosines, key=lambda name: cosines[name])
    return judge(
        "start",
        median(cosines.values()),
        f"the median of {len(cosines)} matrices; the least, {least}, {cosines[least]:.3f}",
    )


def check_origin(bundle: Bundle, owner: str, others: Iterable[OtherEntry]) -> Finding:
    """Compare the weights with the initial ones of every other owner's entry of the same shape.

    It finds who trained on from an early checkpoint of somebody else, whose last weights may have gone another way.
    Weights that start from their owner's own have gone no other way, and are compared with nobody's.

    Args:
        bundle: The entry.
        owner: Id of its owner.
        others: Those of other owners.
    """
    own = _start_of(bundle.claim.provenance)
    if own and own[1] and own[2] == owner:
        alike = median(_start_cosines(bundle, own, owner).values())
        if alike >= LIMITS["start"].threshold:
            return judge("origin", 0.0, f"its own initial weights, cosine {alike:.3f}")
    most, where = 0.0, "no other owner's model of this shape was trained for an event"
    for other in others:
        claim = other.read_claim()
        start = _start_of(claim.provenance)
        if claim.config != bundle.claim.config or start is None or not start[1]:
            continue
        alike = median(_start_cosines(bundle, start, other.owner).values())
        if alike >= most:
            most, where = alike, f"closest to the start of entry {other.entry[:8]}"
    return judge("origin", most, where)


def check_surprise(model: VerseModel, bundle: Bundle) -> Finding:
    """Compare the surprisal of the verse with that of what other seeds write."""
    claim = bundle.claim
    own = verse_bits(model, claim.recipe.prompt_ids, claim.ids, len(claim.text))
    seeds = range(SEED_BASE, SEED_BASE + OTHER_SEEDS)
    usual = other_verses_bits(model, claim.vocabulary, seeds, min(len(claim.ids), OTHER_TOKENS))
    detail = f"{own:.2f} bits a character; what {OTHER_SEEDS} other seeds write: {usual:.2f}"
    return judge("surprise", own / max(usual, 1e-9), detail)


def check_recitation(model: VerseModel, bundle: Bundle) -> Finding:
    """Let the model recite the verse from its first characters."""
    claim = bundle.claim
    if claim.recipe.temperature < MIN_TEMPERATURE:
        return not_checkable("recitation", f"at temperatures below {MIN_TEMPERATURE / 100:g}, every model recites")
    if len(claim.text) < MIN_RECITED:
        return not_checkable("recitation", f"the verse has fewer than {MIN_RECITED} characters")
    share = recited_share(model, claim.vocabulary, claim.recipe, claim.ids, GIVEN)
    return judge(
        "recitation", share, f"from its first {GIVEN} characters, greedy decoding writes {share:.0%} of the rest"
    )


def check_reference(model: VerseModel, bundle: Bundle, reference: Bundle | None) -> Finding:
    """Compare the surprisal of the verse with that of a model which cannot have learned it.

    Args:
        model: The entry's.
        bundle: The entry.
        reference: The other model; None: there is none.
    """
    if reference is None:
        return not_checkable("reference", "the reference model is not installed here")
    claim = bundle.claim
    other = VerseModel(reference.claim.config, reference.weights).single_precision()
    theirs = bits_per_character(other, reference.claim.vocabulary, claim.text)
    if theirs is None:
        return not_checkable("reference", "the reference model lacks characters of the verse")
    own = verse_bits(model, claim.recipe.prompt_ids, claim.ids, len(claim.text))
    return judge("reference", own / max(theirs, 1e-9), f"{own:.2f} bits a character; the reference model: {theirs:.2f}")
