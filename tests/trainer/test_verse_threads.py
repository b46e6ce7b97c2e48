"""The verse engine uses more than one BLAS thread only where that was just measured to be faster."""

from __future__ import annotations

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tests.support.small_models import LETTERS, make_recipe, random_weights
from trainer.verse.config import ModelConfig
from trainer.verse.generate import regenerate
from trainer.verse.model import VerseModel
from trainer.verse.threads import EVERY_SECONDS, LARGE, BlasThreads, find_libraries

LARGE_CONFIG = ModelConfig("modern", n_layer=6, n_head=4, n_embd=256, block_size=32, vocab_size=LETTERS.size)
SMALL_CONFIG = ModelConfig("modern", n_layer=2, n_head=4, n_embd=128, block_size=32, vocab_size=LETTERS.size)


@pytest.fixture(autouse=True)
def _libraries_of_now() -> None:
    """A test before may have loaded another BLAS library after they were looked for."""
    find_libraries.cache_clear()


def blas_threads() -> int:
    return max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")


class Machine:
    """Seconds in which a product takes half the time with several threads, or three times as long while it is busy."""

    def __init__(self) -> None:
        self.now, self.busy, self.looks = 0.0, False, 0

    def __call__(self) -> float:
        self.looks += 1
        several = blas_threads() > 1
        self.now += 0.0003 * ((3.0 if self.busy else 0.5) if several else 1.0)
        return self.now


def test_a_large_model_uses_all_threads_while_that_is_faster_and_no_longer() -> None:
    assert LARGE_CONFIG.n_params > LARGE
    machine = Machine()
    with threadpool_limits(2, user_api="blas"):
        with BlasThreads(LARGE_CONFIG, machine) as threads:
            assert blas_threads() == 1, "until it is measured"
            threads.adapt(1)
            assert blas_threads() == 2
            machine.busy = True
            threads.adapt(1)
            assert blas_threads() == 2, "measured a moment ago"
            machine.now += EVERY_SECONDS
            threads.adapt(64)
            assert blas_threads() == 1
            machine.busy = False
            machine.now += EVERY_SECONDS
            threads.adapt(1)
            assert blas_threads() == 2
        assert blas_threads() == 2, "as it was before"


def test_a_small_model_uses_one_thread_without_measuring() -> None:
    machine = Machine()
    with threadpool_limits(2, user_api="blas"), BlasThreads(SMALL_CONFIG, machine) as threads:
        threads.adapt(64)
        assert (blas_threads(), machine.looks) == (1, 0)


def test_writing_leaves_the_number_of_threads_as_it_was_even_after_an_error() -> None:
    model = VerseModel(SMALL_CONFIG, random_weights(SMALL_CONFIG, 1, 0.05))

    def stop(_: int) -> None:
        assert blas_threads() == 1
        raise InterruptedError

    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(InterruptedError):
            regenerate(model, LETTERS, [make_recipe()], progress=stop)
        assert blas_threads() == 2
