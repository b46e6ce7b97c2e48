"""Batches, losses, the learning rate and the optimizer's memory."""

from __future__ import annotations

import math
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.small_models import random_weights
from tests.support.training_runs import TINY, text_file, train_step
from trainer.config import OPTIMIZERS, PRECISIONS
from trainer.errors import CheckpointError
from trainer.loss import EVAL_LOGITS, get_batch, mean_loss, validation_loss
from trainer.model import GPT, load_weights, new_model
from trainer.optim import (
    ADAMW_SCALE,
    EMBEDDING_SCALE,
    EPS,
    apply_polynomials,
    apply_polynomials_to_squares,
    load_state,
    make_optimizers,
    orthogonalize,
    state_of,
)
from trainer.schedule import context_length, context_stages, learning_rate, remaining_work, stage_costs, total_steps
from trainer.verse.config import ARCHITECTURES, ModelConfig

CONFIG = ModelConfig("modern", 1, 2, 16, 16, 11)


def model_with_weights() -> GPT:
    model = new_model(CONFIG, b"k")
    load_weights(model, ((name, weight.astype(np.float32)) for name, weight in random_weights(CONFIG, 1, 0.3).items()))
    return model


def test_a_batch_is_cut_from_the_corpus_with_what_follows_each_token() -> None:
    x, y = get_batch(torch.arange(1000), b"k", 7, 32, 16)
    assert x.shape == y.shape == (32, 16)
    assert torch.equal(x[:, 1:], x[:, :-1] + 1)
    assert torch.equal(y, x + 1)


@pytest.mark.parametrize(("length", "batch_size"), [(17, 3), (18, 1), (33, 2), (1000, 7), (1007, 100)])
def test_a_text_is_read_once_before_any_of_it_is_read_again(length: int, batch_size: int) -> None:
    ids = torch.arange(length)
    n_windows = max(1, (length - 1) // 16 - 1)
    rows = torch.cat([get_batch(ids, b"k", step, batch_size, 16)[0] for step in range(3 * n_windows // batch_size + 1)])
    for number in range(3):
        read = rows[number * n_windows : (number + 1) * n_windows]
        assert len(read.unique()) == read.numel()  # no window twice, and no two overlap
        assert (read[:, 0] % 16).unique().numel() == 1


def test_each_pass_cuts_the_text_elsewhere_and_in_another_order() -> None:
    ids = torch.arange(1000)
    starts = [get_batch(ids, b"k", step, 61, 16)[0][:, 0] for step in range(40)]  # a step a pass
    assert len({int(start[0] % 16) for start in starts}) > 10
    assert len({tuple(start.tolist()) for start in starts}) == 40
    assert max(int(start.max()) for start in starts) > 1000 - 2 * 16 - 1


def test_a_batch_depends_on_key_and_step_alone() -> None:
    ids = torch.arange(1000)
    first = get_batch(ids, b"k", 3, 20, 16)[0]
    assert not torch.equal(first, get_batch(ids, b"k", 4, 20, 16)[0])
    assert not torch.equal(first, get_batch(ids, b"l", 3, 20, 16)[0])
    assert torch.equal(first, get_batch(ids, b"k", 3, 20, 16)[0])


def test_a_short_context_cuts_the_same_sequences_in_pieces() -> None:
    ids = torch.arange(1000)
    x, y = get_batch(ids, b"k", 3, 5, 16)
    short_x, short_y = get_batch(ids, b"k", 3, 5, 16, 4)
    assert short_x.shape == (20, 4)
    assert torch.equal(short_x.flatten(), x.flatten())
    assert torch.equal(short_y.flatten(), y.flatten())


def test_the_context_doubles_in_each_half_of_the_rest_of_a_run_if_it_is_short_at_all() -> None:
    config = replace(TINY, block_size=16, short_context=4)
    assert [context_length(step, 16, config) for step in range(16)] == [4] * 8 + [8] * 4 + [16] * 4
    assert [context_length(step, 10, replace(config, short_context=8)) for step in range(10)] == [8] * 5 + [16] * 5
    assert [context_length(step, 10, TINY) for step in range(10)] == [16] * 10


@given(st.integers(0, 10**5), st.integers(1, 10**5), st.floats(0.1, 2.0), st.sampled_from([2, 4, 16, 48]))
def test_the_length_of_a_run_follows_from_the_work_that_is_left(
    step: int, more: int, short_step_ratio: float, short_context: int
) -> None:
    costs = stage_costs(replace(TINY, block_size=48, short_context=short_context), short_step_ratio)
    steps = step + more
    assert total_steps(remaining_work(step, steps, costs), step, costs) == pytest.approx(steps)
    assert remaining_work(step, steps) == more


@given(st.integers(1, 2000), st.sampled_from([2, 4, 16, 48]))
def test_the_work_of_a_run_is_the_sum_of_what_its_steps_cost(steps: int, short_context: int) -> None:
    config = replace(TINY, block_size=48, short_context=short_context)
    costs = stage_costs(config, 0.5)
    cost_of = {context: cost for (_, context), (_, cost) in zip(context_stages(config), costs, strict=True)}
    total = sum(cost_of[context_length(step, steps, config)] for step in range(steps))
    assert remaining_work(0, steps, costs) == pytest.approx(total, abs=len(costs))


@pytest.mark.parametrize("length", [2, 16, 17, 18, 33, 200])
def test_the_validation_loss_predicts_every_token_once(length: int) -> None:
    model = model_with_weights()
    ids = torch.from_numpy(np.random.default_rng(2).integers(0, 11, length))
    expected = []
    with torch.no_grad():
        for start in range(0, length - 1, 16):  # window by window, token by token
            x, y = ids[start : start + 16][: length - 1 - start], ids[start + 1 : start + 17]
            shares = model(x[None])[0].double().log_softmax(-1)
            expected += [-float(shares[i, token]) for i, token in enumerate(y)]
    assert len(expected) == length - 1
    assert validation_loss(model, ids, 16, 11) == pytest.approx(math.fsum(expected) / len(expected), rel=1e-6)


def test_the_validation_loss_does_not_depend_on_the_windows_evaluated_at_once() -> None:
    model = model_with_weights()
    ids = torch.from_numpy(np.random.default_rng(2).integers(0, 11, 999))
    one_by_one = validation_loss(model, ids, 16, vocab_size=EVAL_LOGITS)
    assert validation_loss(model, ids, 16, 11) == pytest.approx(one_by_one, rel=1e-6)


def test_the_validation_loss_drops_nothing_and_leaves_the_model_training() -> None:
    model = new_model(CONFIG, b"k", dropout=0.5)
    model.train()
    ids = torch.arange(40) % 11
    assert validation_loss(model, ids, 16, 11) == validation_loss(model, ids, 16, 11)
    assert model.training


def test_the_learning_rate_rises_stays_and_falls_to_nothing() -> None:
    config = replace(TINY, learning_rate=1.0, warmup_steps=100, decay_fraction=0.5)
    rates = [learning_rate(step, 2000, config) for step in range(2000)]
    assert rates[:100] == pytest.approx([(step + 1) / 100 for step in range(100)])
    assert set(rates[100:1000]) == {1.0}
    assert rates[1000:] == pytest.approx([(2000 - step) / 1000 for step in range(1000, 2000)])


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 50])
def test_a_short_run_warms_up_in_a_tenth_of_it(steps: int) -> None:
    config = replace(TINY, learning_rate=1.0)
    rates = [learning_rate(step, steps, config) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    assert rates.index(max(rates)) <= steps // 10


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_muon_moves_the_matrices_of_the_blocks_and_adamw_the_rest(arch: str) -> None:
    model = new_model(replace(CONFIG, arch=arch), b"k")
    optimizers = make_optimizers(model, replace(TINY, optimizer="muon", arch=arch))
    names = [{name.partition("/")[2] for name in optimizer.state} for optimizer in optimizers]
    assert names[0] == {f"h.0.{name}.weight" for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")}
    assert set().union(*names[1:]) == {name for name, _ in model.named_parameters()} - names[0]
    embeddings = {"wte.weight", "previous.1.weight", "previous.2.weight", "previous.3.weight"}
    assert (embeddings in names) == (arch == "modern")  # gpt2's embedding is its head, too


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_matrices_decay_and_vectors_do_not(optimizer: str) -> None:
    config = replace(TINY, optimizer=optimizer, weight_decay=0.5)
    model = model_with_weights()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for each in make_optimizers(model, config):
        each.step(0.1, 1)
    for name, parameter in model.named_parameters():
        scale = EMBEDDING_SCALE if name.startswith(("wte", "previous")) else ADAMW_SCALE
        scale = 1.0 if optimizer == "adamw" or name.startswith("h.") else scale
        left = 1.0 - 0.1 * 0.5 * scale if parameter.ndim == 2 else 1.0
        assert torch.allclose(parameter, before[name] * left, rtol=1e-6), name


def test_our_adamw_gives_the_weights_that_torch_s_adamw_gives() -> None:
    ours, theirs = model_with_weights(), model_with_weights()
    config = replace(TINY, optimizer="adamw", weight_decay=0.1)
    [adamw] = make_optimizers(ours, config)
    decay = [
        {"params": [p for p in theirs.parameters() if p.ndim == n], "weight_decay": w} for n, w in ((2, 0.1), (1, 0))
    ]
    peer = torch.optim.AdamW(decay, lr=1e-2, betas=(config.beta1, config.beta2), eps=EPS)
    for step in range(5):
        x, y = get_batch(torch.arange(1000) * 7 % 11, b"k", step, 4, 16)
        train_step(ours, [adamw], x, y, 1e-2, 1e9, step + 1)
        peer.zero_grad()
        mean_loss(theirs, x, y).backward()
        peer.step()
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_orthogonalize_brings_singular_values_near_one_and_keeps_the_directions() -> None:
    rng = np.random.default_rng(6)
    values = np.geomspace(0.01, 1.0, 12)
    matrices, exact = [], []
    for rows, columns in ((12, 12), (48, 12), (12, 36), (12, 12)):  # two of them go together
        u, v = (np.linalg.qr(rng.normal(size=(size, 12)))[0] for size in (rows, columns))
        matrices.append(torch.from_numpy((u * values) @ v.T))
        exact.append(u @ v.T)
    for found, target, matrix in zip(orthogonalize(matrices, torch.float64), exact, matrices, strict=True):
        assert found.shape == matrix.shape
        singular = torch.linalg.svdvals(found)
        assert 0.2 < singular.min() <= singular.max() < 1.9  # from 0.003 to 0.4 of the norm
        aligned = (found.numpy() * target).sum() / np.linalg.norm(found) / np.linalg.norm(target)
        assert aligned > 0.85


def test_a_matrix_of_zeros_stays_where_it_is() -> None:
    assert not orthogonalize([torch.zeros(3, 5)], torch.float32)[0].any()


def test_matrices_orthogonalized_together_are_those_orthogonalized_alone() -> None:
    matrices = [torch.from_numpy(np.random.default_rng(i).normal(size=(8, 8))) for i in range(3)]
    together = orthogonalize(matrices, torch.float64)
    for one, matrix in zip(together, matrices, strict=True):
        assert torch.allclose(one, orthogonalize([matrix], torch.float64)[0], atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 16, 64), (2, 16, 16), (1, 1, 4)])
def test_products_of_squares_give_the_same_directions_as_products_of_matrices(shape: tuple[int, ...]) -> None:
    x = torch.from_numpy(np.random.default_rng(8).normal(size=shape))
    x = x * torch.logspace(0, -4, shape[1], dtype=x.dtype)[:, None]  # singular values that differ by thousands
    x = x / x.norm(dim=(1, 2), keepdim=True)
    assert torch.allclose(apply_polynomials_to_squares(x), apply_polynomials(x), atol=1e-10)
    assert torch.allclose(apply_polynomials_to_squares(x.float()).double(), apply_polynomials(x), atol=2e-4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_hundred_updates_memorize_one_batch(precision: str, optimizer: str) -> None:
    model = new_model(CONFIG, b"k", precision=precision)
    optimizers = make_optimizers(model, replace(TINY, optimizer=optimizer, precision=precision))
    x, y = get_batch(torch.arange(1000) * 7 % 11, b"k", 0, 4, 16)
    losses = [float(train_step(model, optimizers, x, y, 1e-2, 1.0, step)) for step in range(1, 101)]
    assert losses[0] == pytest.approx(math.log(11), abs=1e-4)
    assert losses[-1] < 0.1


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_restored_from_its_state_continues_to_the_same_bits(kind: str) -> None:
    ids = torch.arange(1000) * 7 % 11
    config = replace(TINY, optimizer=kind)
    model, other = new_model(CONFIG, b"k"), new_model(CONFIG, b"other")
    optimizers, resumed = make_optimizers(model, config), make_optimizers(other, config)
    for step in range(3):
        train_step(model, optimizers, *get_batch(ids, b"k", step, 4, 16), 1e-2, 1.0, step + 1)
    load_weights(other, ((name, p.detach().numpy()) for name, p in model.named_parameters()))
    load_state(resumed, state_of(optimizers))
    for step in range(3, 6):
        train_step(model, optimizers, *get_batch(ids, b"k", step, 4, 16), 1e-2, 1.0, step + 1)
        train_step(other, resumed, *get_batch(ids, b"k", step, 4, 16), 1e-2, 1.0, step + 1)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_an_optimizer_state_that_does_not_fit_is_refused() -> None:
    optimizers = make_optimizers(new_model(CONFIG, b"k"), TINY)
    state = state_of(optimizers)
    with pytest.raises(CheckpointError, match=r"square/lm_head.weight is missing"):
        load_state(optimizers, {name: value for name, value in state.items() if name != "square/lm_head.weight"})
    with pytest.raises(CheckpointError, match="missing or has the wrong shape"):
        load_state(optimizers, state | {"mean/wte.weight": np.zeros((2, 2), np.float32)})
    with pytest.raises(CheckpointError, match="does not belong to this model"):
        load_state(optimizers, state | {"mean/more": np.zeros((2, 2), np.float32)})


@pytest.mark.slow
def test_training_loads_neither_torch_s_compiler_nor_what_only_events_need(tmp_path: Path) -> None:
    code = (
        "import sys; from trainer.cli import cli; cli.main(sys.argv[1:], standalone_mode=False);"
        "sys.exit(bool({'torch._dynamo', 'urllib3'} & set(sys.modules)))"  # more than a second, for nothing
    )
    size = ["--preset", "tiny", "--block-size", "16", "--batch-size", "2"]
    where = ["--corpus", text_file(tmp_path), "--out", tmp_path / "run"]
    subprocess.run([sys.executable, "-c", code, "train", *size, *where, "--minutes", "0.1"], check=True)


def test_no_garbage_is_collected_while_torch_is_imported_and_its_objects_are_left_out_for_good() -> None:
    code = (
        "import gc; passes = []; gc.callbacks.append(lambda phase, info: passes.append(info)); import numpy\n"
        "from trainer.device import load_torch; before = len(passes); load_torch(); print(len(passes) - before)\n"
        "import sys; print(gc.isenabled(), gc.get_freeze_count() > 100_000, 'torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["0", "True", "True", "True"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_memory_that_tensors_free_is_used_again_without_a_page_fault() -> None:
    code = (
        "import resource, torch; from trainer.device import keep_freed_memory; keep_freed_memory()\n"
        "def use(): return [torch.ones(2**22) for _ in range(3)] and None\n"  # 16 MiB each
        "[use() for _ in range(9)]; before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt; use()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    faults = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert int(faults) < 100  # of 12,288 pages
