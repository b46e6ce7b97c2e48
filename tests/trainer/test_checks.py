"""The checks of an entry, each on a cheat that it is there for, and on an honest run. The campaign trains many more."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support import honest_and_planted as runs
from tests.support.small_models import LETTERS, all_logits, random_weights
from trainer.checks.entry import (
    Evidence,
    Text,
    check_entry,
    check_origin,
    check_prompt,
    check_quotation,
    check_tokenizer,
)
from trainer.checks.likelihood import surprisals
from trainer.checks.limits import LIMITS, Finding
from trainer.checks.words import encode, foreign_merges
from trainer.corpus import load_corpus
from trainer.tokenizer import BPETokenizer
from trainer.verse.config import ModelConfig
from trainer.verse.model import VerseModel
from trainer.verse.vocabulary import Vocabulary

pytestmark = pytest.mark.slow
ODD = "naïve  caf\u00e9s½ don't ²x\t??? \u65e5\u672c, 3.14 'tis we'll\n\n  -- end \n"


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, runs.Entry]:
    """An honest entry, a cheat with its weights, and verses of weights set by hand."""
    victim, cheat = runs.neighbour(tmp_path_factory.mktemp("neighbour"), steps=40)
    return {
        "honest": victim,
        "copy": cheat,
        "hand-set": runs.hand_set(runs.POEM),
        "one letter": runs.one_letter(victim),
    }


def find(entries: dict[str, runs.Entry], name: str) -> dict[str, Finding]:
    everybody = [entries["honest"]] if name != "honest" else list(entries.values())[2:]
    return {f.check: f for f in runs.measure(entries[name], everybody, runs.known_texts()[1:])}


def test_an_honest_run_passes_every_check(entries: dict[str, runs.Entry]) -> None:
    others = {"honest": entries["honest"], "copy": entries["copy"], "hand-set": entries["hand-set"]}
    findings = runs.measure(others["honest"], [others["hand-set"]], runs.known_texts()[1:])
    assert [f.check for f in findings] == sorted(LIMITS, key=[f.check for f in findings].index)
    assert {f.check: f.verdict for f in findings} == dict.fromkeys(LIMITS, "passes")


def test_a_neighbours_weights_with_more_steps_are_a_copy_and_do_not_start_from_their_own_key(
    entries: dict[str, runs.Entry],
) -> None:
    findings = find(entries, "copy")
    assert findings["copy"].verdict == findings["start"].verdict == "look at it"
    assert (findings["copy"].number or 0) > 0.9 and abs(findings["start"].number or 1) < 0.05


def test_a_neighbours_early_weights_are_found_by_the_neighbours_start(entries: dict[str, runs.Entry]) -> None:
    copied, honest = find(entries, "copy")["origin"], find(entries, "honest")["origin"]
    assert copied.verdict == "look at it" and "the start of entry neighbou" in copied.detail
    assert (honest.verdict, honest.number) == ("passes", 0.0) and "its own initial weights" in honest.detail
    hidden = replace(entries["honest"].bundle.claim, provenance={})
    bundle = replace(entries["honest"].bundle, claim=hidden)
    others = runs.evidence_for(entries["copy"], list(entries.values()), ()).others
    assert check_origin(bundle, runs.CHEAT, others).verdict == "look at it", "also where it tells nothing of its own"
    assert check_origin(entries["copy"].bundle, "f" * 64, ()).detail.startswith("no other owner's model")


def test_equal_weights_are_a_copy_also_if_both_say_that_they_began_alike(entries: dict[str, runs.Entry]) -> None:
    honest = entries["honest"]
    twin = replace(honest, owner=runs.CHEAT)
    [copy] = [f for f in runs.measure(twin, [honest], []) if f.check == "copy"]
    assert (copy.verdict, copy.number) == ("look at it", 1.0) and "the same bytes" in copy.detail


def test_a_poem_by_weights_set_by_hand_is_noticed_by_several_checks(entries: dict[str, runs.Entry]) -> None:
    assert entries["hand-set"].bundle.claim.text.startswith(runs.POEM[:60])
    noticed = {check for check, finding in find(entries, "hand-set").items() if finding.verdict == "look at it"}
    assert {"start", "tokenizer", "recitation", "reference"} <= noticed


def test_a_neighbours_verse_with_one_letter_changed_is_shown_with_the_passage(entries: dict[str, runs.Entry]) -> None:
    finding = find(entries, "one letter")["verse"]
    assert finding.verdict == "look at it" and "neighbou" in finding.detail


def test_without_the_text_of_the_training_and_the_nonce_what_needs_them_is_not_checkable(
    entries: dict[str, runs.Entry],
) -> None:
    findings = {f.check: f.verdict for f in check_entry(entries["honest"].bundle, "f" * 64, Evidence())}
    unknown = {check for check, verdict in findings.items() if verdict == "not checkable"}
    assert unknown == {"quotation", "tokenizer", "corpus", "start", "reference"}


def test_a_known_poem_is_a_quotation_whatever_its_case_and_lines_and_the_passage_is_shown() -> None:
    poems = (Text("other", "something else entirely"), Text("keeper", runs.POEM))
    finding = check_quotation(runs.POEM.replace("\n", " / ").upper(), None, poems)
    assert finding.verdict == "look at it" and "keeper, line 1: The lantern keeper" in finding.detail
    assert check_quotation("The lantern is out", None, poems).verdict == "passes"


def test_a_prompt_that_is_the_poem_and_a_verse_that_repeats_its_prompt_are_noticed() -> None:
    assert check_prompt("The moon", " was not a ship, board went along.\nThe three has roped").verdict == "passes"
    assert check_prompt(runs.POEM, "\nA line more.").verdict == "look at it"
    assert check_prompt("counts the tide at four, ", "counts the tide at four, and so on").verdict == "look at it"
    assert check_prompt("", "anything").number == 0.0


def test_merges_that_training_makes_are_none_foreign_and_one_put_in_is_named() -> None:
    text = load_corpus("haiku").text + ODD * 3
    vocabulary = BPETokenizer.of(text, 700).vocabulary
    assert foreign_merges([text], vocabulary) == []
    symbols = vocabulary.symbols
    planted = (*vocabulary.merges[:100], (symbols.index("q"), symbols.index("z")), *vocabulary.merges[101:])
    assert foreign_merges([text], Vocabulary.bpe(symbols, planted))[0] == 100


@pytest.mark.parametrize("said", [None, 1, -9, 10**300, True, [], "320", 2.5])
def test_a_record_does_not_choose_the_text_that_merges_are_compared_with(said: object) -> None:
    corpus = Text("folio", load_corpus("folio").text)
    first = corpus.text[:1000]
    learned = BPETokenizer.of(first, 200, "".join(sorted(set(corpus.text)))).vocabulary
    claim = SimpleNamespace(vocabulary=learned, provenance={"train": {"vocab_size": said}})
    finding = check_tokenizer(SimpleNamespace(claim=claim), corpus)  # type: ignore[arg-type]
    assert (finding.verdict, finding.number > 20) == ("look at it", True)
    honest = BPETokenizer.of(corpus.text[: corpus.split], 200, learned.symbols).vocabulary
    claim = SimpleNamespace(vocabulary=honest, provenance={"train": {"vocab_size": said}})
    assert check_tokenizer(SimpleNamespace(claim=claim), corpus).number == 0  # type: ignore[arg-type]


def test_words_end_at_a_character_that_the_vocabulary_lacks() -> None:
    vocabulary = Vocabulary.bpe("\nab", [(1, 2)])
    assert foreign_merges(["axb axb axb"], vocabulary) == [0]
    assert foreign_merges(["abx abx"], vocabulary) == []


@pytest.mark.parametrize("text", [ODD, "", "to be, or not to be\nthat is   the question"])
def test_a_text_is_encoded_as_the_library_encodes_it(text: str) -> None:
    tokenizer = BPETokenizer.of(load_corpus("haiku").text + ODD * 3, 700)
    assert encode(tokenizer.vocabulary, text) == tokenizer.encode(text).tolist()
    assert encode(tokenizer.vocabulary, text + "\u0394") is None


@pytest.mark.parametrize("arch", ["modern", "gpt2"])
def test_surprisals_are_those_of_the_logits_window_by_window(arch: str) -> None:
    config = ModelConfig(arch, 1, 2, 16, 8, LETTERS.size)
    model = VerseModel(config, random_weights(config, 1))
    ids = np.random.default_rng(0).integers(0, LETTERS.size, 30).tolist()
    expected = []
    for start in range(0, 29, 8):
        window = ids[start : start + 9]
        z = all_logits(model, window[:-1], 8)
        expected += [np.log2(np.exp(z[i]).sum()) - z[i, token] / np.log(2) for i, token in enumerate(window[1:])]
    assert np.allclose(surprisals(model, ids), expected)
    assert len(expected) == 29
