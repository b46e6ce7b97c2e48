"""Byte pair encoding: what is learned, what comes back, and what a run with it is told, refuses and records."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes

from tests.support.training_runs import PLAN, Clock, Killed, die, same_weights, text_file, tiny
from trainer import dataset as dataset
from trainer.checkpoint import read_checkpoint, write_checkpoint
from trainer.corpus import Corpus, load_corpus
from trainer.dataset import check_header, load_dataset
from trainer.errors import CheckpointError, CorpusError, OptionError, UnknownCharacter
from trainer.metrics import bits_per_character, recorded_tokens_per_character, tokens_per_character
from trainer.options import start_training
from trainer.plan import Plan, Revision
from trainer.report.info import describe
from trainer.report.plot import plot_runs
from trainer.runtime.clock import RunClock
from trainer.runtime.run import Run, read_config, read_metrics
from trainer.sampling import make_recipe, write_sample
from trainer.splits import PIECE_CHARACTERS
from trainer.tokenizer import BPETokenizer, tokenizer_for
from trainer.train import resume, train
from trainer.verse.config import MAX_VOCAB_SIZE
from trainer.verse.errors import VocabularyError
from trainer.verse.vocabulary import MAX_TOKEN_CHARACTERS, Vocabulary

STEADY = settings(derandomize=True, database=None)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
WORDS = st.lists(st.sampled_from(["a", "ab", "aba", "aab", "ba", "é", "\u200d", "🌙", "\n", " "])).map("".join)
FOLIO = load_corpus("folio")
LEARNED = BPETokenizer.of(FOLIO.text[:50_000], 410, FOLIO.symbols)


@STEADY
@given(st.text(FOLIO.symbols))
def test_any_text_of_known_characters_comes_back_as_it_was(text: str) -> None:
    assert LEARNED.decode(LEARNED.encode(text)) == text


@STEADY
@given(TEXT | WORDS, st.integers(1, 40), WORDS)
def test_tokens_learned_from_any_text_are_few_enough_and_all_different(text: str, merges: int, other: str) -> None:
    symbols = "".join(sorted({*text, *other, *"ab"}))
    tokenizer = BPETokenizer.of(text, len(symbols) + merges, symbols)
    assert len(symbols) <= tokenizer.size <= len(symbols) + merges
    assert len(set(tokenizer.vocabulary.tokens)) == tokenizer.size
    for each in (text, other):
        assert tokenizer.decode(tokenizer.encode(each)) == each


def test_every_token_is_whole_characters_so_that_whatever_is_written_is_text() -> None:
    tokenizer = BPETokenizer.of("日本語 — naïve 🌙🌙\n" * 9, 40)
    assert all(token in "日本語 — naïve 🌙🌙\n" for token in tokenizer.vocabulary.tokens)
    assert {"日本語", "🌙🌙"} <= {token.strip() for token in tokenizer.vocabulary.tokens}


def merge_by_hand(words: list[str], symbols: str, size: int) -> tuple[str, ...]:
    """The algorithm as the textbook has it: join the most frequent pair, everywhere, again and again."""
    pieces = [list(word) for word in words]
    tokens = list(symbols)
    while len(tokens) < size:
        pairs = Counter((a, b) for word in pieces for a, b in pairwise(word))
        [(pair, count)] = pairs.most_common(1)
        assert list(pairs.values()).count(count) == 1  # the example leaves no choice
        tokens.append("".join(pair))
        for word in pieces:
            at = 0
            while at < len(word) - 1:
                if (word[at], word[at + 1]) == pair:
                    word[at : at + 2] = ["".join(pair)]
                at += 1
    return tuple(tokens)


def test_the_merges_are_those_that_counting_by_hand_gives() -> None:
    text = "\n".join(["abc"] * 9 + ["bc"] * 4 + ["abd"] * 7 + ["xabd"])
    tokenizer = BPETokenizer.of(text, 9)
    assert tokenizer.vocabulary.tokens == merge_by_hand(text.split("\n"), "\nabcdx", 9)
    assert tokenizer.vocabulary.merges == ((1, 2), (6, 3), (6, 4))


def test_a_line_feed_is_a_word_and_a_space_belongs_to_the_next_word() -> None:
    spelled = [LEARNED.vocabulary.tokens[token] for token in LEARNED.encode(" the\n\n  the\n")]
    assert spelled == [" the", "\n", "\n", " ", " the", "\n"]
    assert [token for token in LEARNED.vocabulary.tokens if "\n" in token] == ["\n"]


def test_long_texts_are_encoded_in_pieces_as_if_they_were_one() -> None:
    text = FOLIO.text[: 40 * PIECE_CHARACTERS]
    alone = [LEARNED.encode(line + "\n") for line in text.split("\n")]
    assert np.array_equal(LEARNED.encode(text + "\n"), np.concatenate(alone))


def test_no_token_is_longer_than_a_vocabulary_allows() -> None:
    for character in "aä🌙":
        text = "\n" + character * 5000
        tokenizer = BPETokenizer.of(text, 1000)
        assert max(map(len, tokenizer.vocabulary.tokens)) == MAX_TOKEN_CHARACTERS
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_pair_that_occurs_once_becomes_no_token() -> None:
    assert BPETokenizer.of("on bone", 400).vocabulary.tokens == (*" beno", "on")
    assert BPETokenizer.of("", 400, "ab").size == 2
    with pytest.raises(VocabularyError, match="2 to 65,536 symbols, not 1"):
        BPETokenizer.of("aaaa", 400)


@pytest.mark.parametrize("merges", [[(2, 3), (3, 2), (5, 2), (2, 6)], [(2, 3), (2, 3)], [(1, 1)]])
def test_tokens_that_no_training_makes_are_decoded(merges: list[tuple[int, int]]) -> None:
    tokenizer = tokenizer_for(Vocabulary.bpe(" \nabü", merges))
    for text in ("", "aba ab\n\nbaba", "übab"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_checkpoint_s_tokens_encode_as_the_trained_ones_did() -> None:
    again = tokenizer_for(Vocabulary.from_dict(LEARNED.vocabulary.to_dict()))
    assert np.array_equal(again.encode(FOLIO.text), LEARNED.encode(FOLIO.text))


@pytest.mark.parametrize("character", ["Ü", "🌙", "\udcff"])
def test_the_first_unknown_character_is_named_with_its_place(character: str) -> None:
    named = rf"U\+{ord(character):04X}, character 3 of the prompt.*does not occur in the corpus"
    with pytest.raises(UnknownCharacter, match=named):
        LEARNED.encode(f"ab{character}{character}\x07")


def test_another_kind_of_tokenizer_is_refused() -> None:
    with pytest.raises(CheckpointError, match="char"):
        BPETokenizer(Vocabulary.chars("ab"))


def test_every_process_learns_the_same_merges_on_any_number_of_threads() -> None:
    code = """
import hashlib
from trainer.corpus import load_corpus
from trainer.tokenizer import BPETokenizer
tokenizer = BPETokenizer.of(load_corpus("folio").text[:300_000], 2000)
print(tokenizer.size, hashlib.sha256(repr(tokenizer.vocabulary.merges).encode()).hexdigest())
"""
    outputs = set()
    for seed, threads in (("1", "1"), ("2", "2"), ("3", "5")):
        environment = os.environ | {"PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads}
        outputs.add(
            subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout
        )
    assert len(outputs) == 1


# --- bits per character ---------------------------------------------------------------------------------------------


def test_bits_per_character_count_only_the_predicted_characters() -> None:
    vocabulary = Vocabulary.bpe("abcä", [(0, 1)])
    text = "ababcä"
    ids = tokenizer_for(vocabulary).encode(text)
    assert ids.tolist() == [4, 4, 2, 3]
    ratio = tokens_per_character(vocabulary, ids, text)
    assert ratio == 3 / 4  # "ab" is given, three tokens spell the other four characters
    assert bits_per_character(2.0, ratio) == pytest.approx(2.0 * 3 / 4 / math.log(2))


def test_a_character_tokenizer_has_one_token_per_character_even_without_a_record() -> None:
    tokenizer = tokenizer_for(Vocabulary.chars("\nab"))
    assert tokens_per_character(tokenizer.vocabulary, tokenizer.encode("abba\n"), "abba\n") == 1.0
    assert recorded_tokens_per_character({}, "char") == 1.0
    assert recorded_tokens_per_character({}, "bpe") is None
    assert recorded_tokens_per_character({"tokens_per_character": 0.25}, "bpe") == 0.25


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("bpe")
    return train(tiny(folder, tokenizer="bpe", vocab_size=300), folder / "run", PLAN)


def test_merges_are_learned_from_the_training_split_alone(tmp_path: Path) -> None:
    config = tiny(tmp_path, tokenizer="bpe", vocab_size=300)
    path = Path(config.corpus)
    text = path.read_text(encoding="utf-8")
    ours = load_dataset(config).tokenizer.vocabulary
    split = int(0.9 * len(text))
    path.write_text(text[:split] + text[split:][::-1], encoding="utf-8")
    assert load_dataset(config).tokenizer.vocabulary == ours
    assert ours == BPETokenizer.of(text[:split], 300, load_corpus(str(path)).symbols).vocabulary


def test_the_splits_are_encoded_apart_and_measured(whole: Run) -> None:
    config, record = read_config(whole)
    text = load_corpus(config.corpus)
    dataset = load_dataset(config)
    assert dataset.tokenizer.decode(dataset.train.numpy()) == text.text[: text.split]
    assert dataset.tokenizer.decode(dataset.val.numpy()) == text.text[text.split :]
    first = len(dataset.tokenizer.decode(dataset.val.numpy()[:1]))
    assert record["tokens_per_character"] == (len(dataset.val) - 1) / (len(text.text) - text.split - first)
    assert dataset.model_config.vocab_size == 300


def test_the_best_checkpoint_records_its_bits_per_character(whole: Run) -> None:
    best = read_checkpoint(whole.path)
    ratio = read_config(whole)[1]["tokens_per_character"]
    assert best.val_loss is not None
    bits = bits_per_character(best.val_loss, ratio)
    assert best.provenance["bits_per_character"] == pytest.approx(bits, abs=1e-4)
    assert best.provenance["corpus"]["tokens_per_character"] == best.corpus["tokens_per_character"] == ratio
    for path in (whole.path, whole.best):
        description = describe(path)
        assert f"validation loss {best.val_loss:.4f} ({bits:.4f} bits per character)" in description
        assert "bpe, 300 tokens" in description


def test_a_checkpoint_without_its_tokens_per_character_is_read(whole: Run, tmp_path: Path) -> None:
    best = read_checkpoint(whole.path)
    del best.corpus["tokens_per_character"]  # type: ignore[attr-defined]
    write_checkpoint(tmp_path / "old.safetensors", best)
    description = describe(tmp_path / "old.safetensors")
    assert f"validation loss {best.val_loss:.4f}\n" in description


def test_a_run_killed_and_resumed_learns_its_merges_again_and_ends_in_the_same_bits(whole: Run, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tiny(tmp_path, tokenizer="bpe", vocab_size=300), tmp_path / "run", PLAN, clock=Clock({9: die}))
    run = resume(tmp_path / "run")
    assert same_weights(run, whole)
    assert read_checkpoint(run.path).vocabulary == read_checkpoint(whole.path).vocabulary


def test_a_run_is_not_resumed_with_other_merges(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tiny(tmp_path, tokenizer="bpe", vocab_size=300), tmp_path / "run", PLAN, clock=Clock({9: die}))
    run = Run(tmp_path / "run")
    run.config.write_text(run.config.read_text().replace('"vocab_size": 300', '"vocab_size": 301'))
    with pytest.raises(CheckpointError, match="another model, tokenizer or corpus"):
        resume(run.path)


def test_a_short_corpus_gives_fewer_tokens_says_so_and_can_be_resumed_and_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tiny(tmp_path, tokenizer="bpe", vocab_size=60_000), tmp_path / "run", Plan((Revision(0, 2, 1),)))
    size = read_checkpoint(run.path).vocabulary.size
    assert len(load_corpus(str(tmp_path / "own.txt")).symbols) < size < 1000
    assert f"{size} tokens (not 60,000: no other pair of tokens occurs twice within words)" in capsys.readouterr().out
    resume(run.path)
    again = start_training({"plan": run.path, "out": tmp_path / "again", "device": "cpu"}, RunClock())
    assert same_weights(again, run)


def test_a_repeated_run_keeps_its_tokenizer_unless_another_is_given(whole: Run, tmp_path: Path) -> None:
    def repeated(**options: object) -> tuple[str, int]:
        out = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        config, _ = read_config(
            start_training({"plan": whole.path, "out": out, "device": "cpu", **options}, RunClock())
        )
        return config.tokenizer, config.vocab_size

    assert repeated() == ("bpe", 300)
    assert repeated(tokenizer="bpe") == ("bpe", 300)
    assert repeated(vocab_size=280) == ("bpe", 280)
    assert repeated(tokenizer="char") == ("char", 0)


def test_no_prompt_means_a_line_feed(whole: Run) -> None:
    best = read_checkpoint(whole.path)
    assert best.vocabulary.decode(make_recipe(best, "", 80, 1).prompt_ids) == "\n"


def test_a_model_that_has_learned_nothing_writes_text(tmp_path: Path) -> None:
    fresh = load_dataset(tiny(tmp_path, tokenizer="bpe", vocab_size=300))
    shapes = fresh.model_config.tensor_shapes().items()
    nothing = fresh.checkpoint({name: np.zeros(shape, np.float32) for name, shape in shapes})
    for seed in range(20):  # every token is as likely as every other
        sample = write_sample(nothing, seed)
        assert sample and set(sample) <= set(fresh.tokenizer.vocabulary.symbols)


def test_evaluations_and_the_summary_show_bits_per_character_and_name_tokens(
    whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny(tmp_path, tokenizer="bpe", vocab_size=300), tmp_path / "run", PLAN)
    output = capsys.readouterr().out
    baselines = read_config(whole)[1]["baselines"]
    assert f"token frequencies {baselines['unigram']:.2f}, token pairs {baselines['bigram']:.2f}." in output
    assert "letter" not in output
    best = read_checkpoint(whole.path)
    assert re.search(r"^step 12/12 .*validation \d\.\d{3} \(\d\.\d{3} bits per character\)", output, re.MULTILINE)
    assert f"({best.provenance['bits_per_character']:.3f} bits per character) at step {best.step}" in output


def test_runs_with_different_tokenizers_are_plotted_in_bits_per_character(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curves: list[tuple[float, ...]] = []
    labels: list[str] = []
    plot, label = Axes.plot, Axes.set_ylabel

    def watched_plot(axes: Axes, x: Any, y: Any, *rest: Any, **options: Any) -> Any:
        curves.append(y)
        return plot(axes, x, y, *rest, **options)

    def watched_label(axes: Axes, text: str, **options: Any) -> Any:
        labels.append(text)
        return label(axes, text, **options)

    monkeypatch.setattr(Axes, "plot", watched_plot)
    monkeypatch.setattr(Axes, "set_ylabel", watched_label)
    chars = train(tiny(tmp_path), tmp_path / "chars", PLAN)
    curves.clear()
    plot_runs([whole.path, chars.path], tmp_path / "both.png")
    assert labels[-1] == "loss, bits per character"
    ratio = read_config(whole)[1]["tokens_per_character"]
    for run, factor, losses in ((whole, ratio, curves[0]), (chars, 1.0, curves[2])):  # after each, its best point
        expected = [line["val_loss"] * factor / math.log(2) for line in read_metrics(run) if "val_loss" in line]
        assert losses == pytest.approx(expected)
    plot_runs([chars.path, chars.path], tmp_path / "same.png")
    assert labels[-1] == "loss, nats per token"


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"vocab_size": 300}, "vocab_size is for the tokenizer bpe"),
        ({"tokenizer": "bpe", "vocab_size": 2}, "vocab_size must be 3 to 65,536"),
        ({"tokenizer": "bpe", "vocab_size": 65_537}, "vocab_size must be 3 to 65,536"),
        ({"tokenizer": "words"}, "tokenizer must be one of char, bpe"),
    ],
)
def test_a_vocabulary_that_cannot_be_is_refused(changes: dict[str, object], says: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=says):
        tiny(tmp_path, **changes)


def test_a_header_holds_the_largest_vocabulary_of_an_alphabet() -> None:
    merges = ((65_535, 65_535),) * (MAX_VOCAB_SIZE - 4 * len(FOLIO.symbols))  # none is spelled longer
    check_header(Vocabulary("bpe", 4 * FOLIO.symbols, merges))


@pytest.mark.parametrize("block_size", [1, 16, 256])
@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_the_length_that_a_too_short_corpus_is_told_is_enough(kind: str, block_size: int, tmp_path: Path) -> None:
    config = tiny(tmp_path, tokenizer=kind, vocab_size=300 if kind == "bpe" else 0, block_size=block_size)
    text = Corpus("a", "a", "x")
    unit = "characters" if kind == "char" else "tokens"
    with pytest.raises(CorpusError, match=rf"a is too short: it has 1 {unit} to train on") as caught:
        dataset.check_length(text, 1, 1, config)
    needed = int(re.findall(r"at least ([0-9,]+) and 2\.", str(caught.value))[0].replace(",", ""))
    dataset.check_length(text, needed, 2, config)
    for short in ((needed - 1, 2), (needed, 1)):
        with pytest.raises(CorpusError, match="too short"):
            dataset.check_length(text, *short, config)


def test_a_text_long_enough_in_characters_may_be_too_short_in_tokens(tmp_path: Path) -> None:
    config = tiny(tmp_path, tokenizer="bpe", vocab_size=300, block_size=256)
    Path(config.corpus).write_text("to be or not to be\n" * 30)
    with pytest.raises(CorpusError, match="tokens to train on"):
        load_dataset(config)
    assert len(text_file(tmp_path).read_text()) == 3000
    load_dataset(config)
