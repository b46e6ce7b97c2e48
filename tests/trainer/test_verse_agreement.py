"""Over hundreds of verses of a trained checkpoint: the same tokens, however, in whatever company and wherever they are
computed. Gaps differ by rounding alone."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import trainer.verse.generate
import trainer.verse.replay
from tests.support.small_models import LETTERS, is_decided, make_recipe, random_weights
from tests.support.verse_agreement import (
    THREADS,
    Checkpoint,
    differences,
    fingerprint,
    openblas,
    recipes_of,
    summary,
    usable_kernels,
    written_elsewhere,
)
from trainer.verse.bundle import pack, parse_bundle
from trainer.verse.config import ModelConfig
from trainer.verse.generate import Written, regenerate
from trainer.verse.model import VerseModel
from trainer.verse.replay import replay
from trainer.verse.text import length_of, verse_text
from trainer.verse.threads import LARGE, BlasThreads

COUNT = 64  # the campaign writes ten thousand
FEW = 16  # where each verse takes long
CAMPAIGN = 10_000
SHARE = 400  # verses between two notes of what is done
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def model(trained: Checkpoint) -> VerseModel:
    return trained.model()


@pytest.fixture(scope="session")
def verses(trained: Checkpoint, model: VerseModel) -> list[Written]:
    """The verses as this process writes them, in batches: what all others are compared with."""
    return regenerate(model, trained.vocabulary, recipes_of(trained, 0, COUNT))


def same(ours: list[Written], theirs: list[Written]) -> bool:
    found = differences([summary(verse) for verse in ours], [summary(verse) for verse in theirs])
    assert [verse.ids for verse in ours] == [verse.ids for verse in theirs], found
    assert found == []
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.gaps, b.gaps, rtol=0, atol=1e-9)
    return True


def test_the_checkpoint_is_trained_and_its_verses_are_decided_and_of_every_kind(
    trained: Checkpoint, verses: list[Written]
) -> None:
    words = " ".join(verse_text(trained.vocabulary, verse.recipe, verse.ids) for verse in verses).split()
    corpus = set(trained.vocabulary.decode(trained.text).split())
    assert sum(word in corpus for word in words) > len(words) / 4, "many of its words stand in the corpus"
    assert len({verse.ids for verse in verses}) > COUNT / 2
    assert all(is_decided(verse) for verse in verses), "an undecided one is about one in ten thousand"
    assert {verse.recipe.temperature for verse in verses} >= {0, 1, 80, 200}
    assert {verse.recipe.top_k for verse in verses} >= {0, 1, trained.vocabulary.size}
    by_lines = [v for v in verses if v.recipe.lines and len(v.ids) < v.recipe.tokens]
    assert len(by_lines) > COUNT / 20
    assert all(length_of(trained.vocabulary, verse.recipe, verse.ids) == len(verse.ids) for verse in verses)


def test_a_verse_alone_is_the_verse_in_a_batch(trained: Checkpoint, model: VerseModel, verses: list[Written]) -> None:
    alone = [
        verse for recipe in recipes_of(trained, 0, COUNT) for verse in regenerate(model, trained.vocabulary, [recipe])
    ]
    assert same(verses, alone)


def test_the_order_and_the_company_of_recipes_change_nothing(
    trained: Checkpoint, model: VerseModel, verses: list[Written]
) -> None:
    order = list(range(COUNT))
    random.Random(5).shuffle(order)
    recipes = recipes_of(trained, 0, COUNT)
    shuffled = regenerate(model, trained.vocabulary, [recipes[i] for i in order] + recipes[:7])
    assert same([verses[i] for i in order] + verses[:7], shuffled)


@pytest.mark.parametrize("size", [1, 3, 64])
def test_batches_of_any_size_write_the_same(
    size: int, trained: Checkpoint, model: VerseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeds under one prompt, so that they do share a batch, and leave it one after the other as their lines end."""
    first = recipes_of(trained, 3, 1)[0]
    many = [type(first)(first.prompt_ids, 90, (0, 5)[seed % 2], seed, 40 + seed % 9, seed % 3) for seed in range(80)]
    whole = regenerate(model, trained.vocabulary, many)
    monkeypatch.setattr(trainer.verse.generate, "MAX_BATCH", size)
    assert same(whole, regenerate(model, trained.vocabulary, many))


def test_prompts_of_different_lengths_share_a_batch_if_none_waits_long_for_another(
    trained: Checkpoint, model: VerseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = recipes_of(trained, 3, 1)[0]
    prompt = trained.text[:100]
    lengths = [1, 100, 2, 33, 33, 34, 9, 99]
    tokens = [3, 40, 40, 40, 7, 40, 1, 40]  # two verses end before the longer prompts of their batch do
    recipes = [
        type(first)(prompt[:length], 90, 0, seed, count, 0)
        for seed, (length, count) in enumerate(zip(lengths, tokens, strict=True))
    ]
    alone = [verse for recipe in recipes for verse in regenerate(model, trained.vocabulary, [recipe])]
    sizes = []
    write_batch = trainer.verse.generate._write_batch

    def count_batch(model: VerseModel, vocabulary: Any, batch: Any, *rest: Any) -> list[Written]:
        sizes.append([len(recipe.prompt_ids) for recipe in batch])
        return write_batch(model, vocabulary, batch, *rest)

    monkeypatch.setattr(trainer.verse.generate, "_write_batch", count_batch)
    assert same(alone, regenerate(model, trained.vocabulary, recipes))
    assert sizes == [[1, 2, 9, 33, 33], [34], [99, 100]]


@pytest.mark.parametrize("piece", [1, 7, 255, 1000])
def test_the_pieces_in_which_a_prompt_is_read_change_nothing(
    piece: int, trained: Checkpoint, model: VerseModel, verses: list[Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.verse.generate, "PREFILL", piece)
    assert same(verses[:64], regenerate(model, trained.vocabulary, recipes_of(trained, 0, 64)))


@pytest.mark.parametrize("draft", [2, 5, 32])
def test_drafts_in_single_precision_decide_nothing(
    draft: int, trained: Checkpoint, model: VerseModel, verses: list[Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.verse.generate, "LARGE", 0)
    monkeypatch.setattr(trainer.verse.generate, "DRAFT", draft)
    some = [v for recipe in recipes_of(trained, 0, FEW) for v in regenerate(model, trained.vocabulary, [recipe])]
    assert same(verses[:FEW], some)


def test_a_large_model_writes_the_same_on_one_thread_and_on_two_alone_and_in_company(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So many weights that BLAS does share its work, and that a verse alone is drafted in single precision."""
    config = ModelConfig("modern", n_layer=6, n_head=4, n_embd=256, block_size=32, vocab_size=LETTERS.size)
    assert config.n_params > LARGE
    monkeypatch.setattr(BlasThreads, "adapt", lambda threads, rows: threads.use(all_threads=True))
    large = VerseModel(config, random_weights(config, seed=0, spread=0.05))
    recipes = [make_recipe(prompt_ids=(0, seed % 2), seed=seed, tokens=40) for seed in range(8)]
    written = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            written.append(regenerate(large, LETTERS, recipes))
            written.append([verse for recipe in recipes for verse in regenerate(large, LETTERS, [recipe])])
            assert all(replay(large, verse.recipe, verse.ids).verdict == "PASS" for verse in written[0])
    assert all(same(written[0], other) for other in written[1:])


def test_a_draft_that_is_always_wrong_costs_time_and_changes_nothing(
    trained: Checkpoint, verses: list[Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.verse.generate, "LARGE", 0)
    model = trained.model()
    flipped = {name: -weight if name == "lm_head.weight" else weight for name, weight in trained.weights.items()}
    monkeypatch.setattr(model, "_single", VerseModel(trained.config, flipped, np.float32))
    some = [v for recipe in recipes_of(trained, 0, FEW) for v in regenerate(model, trained.vocabulary, [recipe])]
    assert same(verses[:FEW], some)


@pytest.mark.parametrize("chunk", [1, 50, 256, 1000])
def test_every_verse_replays_and_its_certificate_agrees(
    chunk: int, model: VerseModel, verses: list[Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.verse.replay, "CHUNK", chunk)
    for verse in verses if chunk == 256 else verses[:FEW]:
        verdict = replay(model, verse.recipe, verse.ids)
        assert verdict.verdict == "PASS"
        assert verdict.certificate is not None
        assert verdict.certificate.agrees_with(verse.certificate)


def test_a_replay_sees_every_token_that_was_changed(
    trained: Checkpoint, model: VerseModel, verses: list[Written]
) -> None:
    chance = random.Random(1)
    for verse in verses[:100]:
        position = chance.randrange(len(verse.ids))
        other = chance.choice([token for token in range(trained.vocabulary.size) if token != verse.ids[position]])
        changed = [*verse.ids[:position], other, *verse.ids[position + 1 :]]
        verdict = replay(model, verse.recipe, changed)
        assert (verdict.verdict, verdict.position) == ("FAIL", position)
        assert (verdict.expected, verdict.got) == (verse.ids[position], other)


def test_verses_of_a_trained_checkpoint_travel_in_bundles(trained: Checkpoint, verses: list[Written]) -> None:
    for verse in verses[:10]:
        read = parse_bundle(pack(trained.config, trained.vocabulary, trained.weights, verse, {}))
        assert replay(VerseModel(trained.config, read.weights), read.claim.recipe, read.claim.ids).verdict == "PASS"


# --- other kernels, other threads: in other processes -----------------------------------------------------------------


@pytest.fixture(scope="session")
def folder(trained: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    trained.save(folder)
    return folder


def environments() -> dict[str, dict[str, str]]:
    """Every kernel this machine can run, and both numbers of threads."""
    if openblas() is None:
        return {}
    kernels = {name: {"OPENBLAS_CORETYPE": name} for name in usable_kernels()}
    threads = {f"{n} threads": {THREADS: str(n)} for n in (1, 2)}
    return kernels | threads


def check_elsewhere(
    folder: Path, first: int, count: int, ours: list[list[Any]], least: int
) -> dict[str, dict[str, Any]]:
    """Write the verses in every environment and compare. Returns what each said of itself."""
    facts = {}
    for name, environment in environments().items():
        there = written_elsewhere(folder, first, count, **environment)
        assert differences(ours, there.pop("verses")) == [], name
        assert set(there.pop("verdicts")) <= {"PASS", "UNDECIDED"}, name
        facts[name] = there
    kernels = [facts[name] for name in usable_kernels()]
    assert len({there["bits"] for there in kernels}) >= least, "the kernels do round differently"
    assert len({there["kernel"] for there in kernels}) >= least, "and each says so itself"
    assert [facts[f"{n} threads"]["threads"] for n in (1, 2)] == [1, 2]
    return facts


@pytest.mark.skipif(
    openblas() is None, reason="numpy brings another BLAS here, which cannot be asked for other kernels"
)
@pytest.mark.skipif(len(usable_kernels()) < 4, reason="this CPU runs fewer than four of the kernels")
def test_four_blas_kernels_and_both_numbers_of_threads_write_the_same_verses(
    folder: Path, verses: list[Written]
) -> None:
    facts = check_elsewhere(folder, 0, FEW, [summary(verse) for verse in verses[:FEW]], least=4)
    assert fingerprint()["bits"] in {there["bits"] for there in facts.values()}, "this process ran one of them"


@pytest.mark.campaign
@pytest.mark.skipif(
    openblas() is None, reason="numpy brings another BLAS here, which cannot be asked for other kernels"
)
def test_ten_thousand_verses_come_out_the_same_on_every_kernel(trained: Checkpoint, model: VerseModel) -> None:
    """The checkpoint of the first call is kept with what is done: campaign/agreement."""
    folder = Path(__file__).parents[2] / "campaign" / "agreement"
    notes = folder / "done.json"
    if not notes.exists():
        folder.mkdir(parents=True, exist_ok=True)
        trained.save(folder)
        notes.write_text(json.dumps({"verses": 0, "undecided": 0, "smallest_gap": 1e9, "kernels": {}}), "utf-8")
    kept = Checkpoint.load(folder)
    progress = json.loads(notes.read_text("utf-8"))
    while (first := progress["verses"]) < CAMPAIGN:
        count = min(SHARE, CAMPAIGN - first)
        batched = regenerate(kept.model(), kept.vocabulary, recipes_of(kept, first, count))
        ours = [summary(verse) for verse in batched]
        progress["kernels"] = check_elsewhere(folder, first, count, ours, least=min(4, len(usable_kernels())))
        progress["verses"] += count
        progress["undecided"] += sum(not decided for _, _, decided in ours)
        progress["smallest_gap"] = min(progress["smallest_gap"], *(gap for _, gap, _ in ours))
        notes.write_text(json.dumps(progress, indent=1), "utf-8")
