"""The training run: read it top to bottom, from the corpus to the checkpoint."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from trainer.config import DEFAULT_MINUTES, TrainConfig
from trainer.corpus import Corpus
from trainer.dataset import load_dataset
from trainer.errors import Interrupted, WriteError
from trainer.loss import get_batch, mean_loss
from trainer.plan import Plan, read_plan, write_plan
from trainer.report.plot import plot_run
from trainer.report.progress_bar import ProgressBar
from trainer.report.summary import (
    closing_message,
    evaluation_line,
    lost_message,
    opening_message,
    resume_hint,
    sleep_message,
)
from trainer.runtime.budget import Budget, measure_timing
from trainer.runtime.clock import RunClock
from trainer.runtime.compilation import can_compile, compile_again
from trainer.runtime.distributed import SINGLE_PROCESS, Ranks
from trainer.runtime.gradients import record_kernels
from trainer.runtime.run import (
    Run,
    append_metrics,
    check_out,
    corpus_changed,
    new_run,
    persist,
    read_config,
    unfinished,
    write_config,
)
from trainer.runtime.signals import defer_interrupt
from trainer.runtime.state import (
    TrainState,
    evaluate,
    sample_model,
    save_checkpoints,
    seed_dropout,
    start_state,
    stop_early,
    take_mean_loss,
)
from trainer.runtime.threads import ThreadMonitor, describe_threads
from trainer.schedule import context_length, learning_rate
from trainer.text import wrap

if TYPE_CHECKING:
    from trainer.submission.heartbeats import Heartbeats

SAVE_SECONDS = 300.0  # the most training that a crash may cost between two evaluations


def train(
    config: TrainConfig,
    out: Path | None = None,
    plan: Plan | None = None,
    minutes: float = DEFAULT_MINUTES,
    clock: RunClock | None = None,
    ranks: Ranks = SINGLE_PROCESS,
    max_threads: int = 1,
    may_compile: bool = False,
    heartbeats: Heartbeats | None = None,
    corpus: Corpus | None = None,
) -> Run:
    """Train a model from scratch.

    Args:
        config: What to train.
        out: The run's folder; None for a new one in runs/.
        plan: How many steps. None for as many as fit into `minutes`, revised if the clock disagrees.
        minutes: Time for all of it, if there is no plan.
        clock: Started when the minutes began; None to start one now.
        ranks: The processes that train together.
        max_threads: CPU threads that the run may change to, if one process trains on the CPU; 1 to change nothing.
        may_compile: Compile the model if the minutes are enough and that is faster. `config.compile` does it always.
        heartbeats: Tell an event how far the run is; None to tell nobody.
        corpus: The one that the config names; None to load it.

    Returns:
        The run's folder.

    Raises:
        TrainerError: The run is refused before anything is written, or its folder can no longer be written.
        VerseError: What it would train could not be submitted.
        Diverged: The loss is not finite; earlier checkpoints are kept.
        Interrupted: Ctrl-C was pressed.
    """
    clock = clock or RunClock()
    check_out(out)
    ranks.check_config(config)
    dataset = load_dataset(config, corpus)
    if ranks.is_main and dataset.corpus.notes:
        print(wrap("\n".join(dataset.corpus.notes)), flush=True)
    config = replace(config, corpus=dataset.corpus.source)  # absolute paths, valid in any folder
    budget = None
    if plan is None:
        budget = Budget(minutes, clock)
        timing = measure_timing(config, dataset, budget, ranks, may_compile)
        config = replace(config, compile=timing.compiled)
        plan = ranks.broadcast(budget.first_plan(timing, ranks))
    elif config.compile:
        config = replace(config, compile=can_compile(config, dataset))
    run = ranks.broadcast(new_run(out, dataset.corpus.name, config.preset) if ranks.is_main else Run(Path()))
    if ranks.is_main:
        write_plan(run.plan, plan)
        record = dataset.corpus_record | {"baselines": asdict(dataset.baselines)}
        write_config(run, config, record)  # last, since it makes the folder a run
    monitor = make_monitor(config, max_threads, clock, ranks)
    return run_loop(start_state(run, config, dataset, plan, ranks), plan, budget, monitor, clock, heartbeats)


def resume(
    folder: Path,
    corpus: str | None = None,
    further: Plan | None = None,
    minutes: float | None = None,
    clock: RunClock | None = None,
    ranks: Ranks = SINGLE_PROCESS,
    max_threads: int = 1,
    heartbeats: Heartbeats | None = None,
) -> Run:
    """Resume a run from its last checkpoint, by its written plan, as if it had never stopped; or add a round to it.

    A round continues from the last weights and optimizers' state of a finished run, with the schedules of a new one.

    Args:
        folder: The run's folder.
        corpus: Where its corpus is now; None if it has not moved.
        further: Plan of a further round; None for none, or for as many steps as fit into `minutes`.
        minutes: Time for a further round that has no plan yet.
        clock: Started when the minutes began; None to start one now.
        ranks: The processes that train together.
        max_threads: As for `train`; it counts in a further round.
        heartbeats: As for `train`.

    Returns:
        The run's folder.

    Raises:
        TrainerError: The run is damaged or unfinished, its corpus has changed, or its folder can no longer be written.
        Diverged: The loss is not finite; earlier checkpoints are kept.
        Interrupted: Ctrl-C was pressed.
    """
    clock = clock or RunClock()
    run = Run(folder)
    config, corpus_record = read_config(run)
    if corpus is not None:
        config = replace(config, corpus=corpus)
    plan = read_plan(run.plan)
    ranks.check_config(config)
    dataset = load_dataset(config)
    if dataset.corpus.sha256 != corpus_record["sha256"]:
        raise corpus_changed(dataset.corpus.name, folder)
    if corpus is not None and ranks.is_main:
        write_config(run, replace(config, corpus=dataset.corpus.source), corpus_record)
    state = start_state(run, config, dataset, plan, ranks)
    budget = monitor = None
    if (further is not None or minutes is not None) and not plan.ends_at(state.step):
        raise unfinished(run, state.step, plan.steps)
    if minutes is not None:
        budget = Budget(minutes, clock)
        further = ranks.broadcast(budget.first_plan(measure_timing(config, dataset, budget, ranks), ranks))
    if further is not None:
        plan = adopt_plan(run, plan, plan.with_round(further), ranks)
        monitor = make_monitor(config, max_threads, clock, ranks)
    return run_loop(state, plan, budget, monitor, clock, heartbeats)


def run_loop(
    state: TrainState,
    plan: Plan,
    budget: Budget | None,
    monitor: ThreadMonitor | None,
    clock: RunClock,
    heartbeats: Heartbeats | None = None,
    until: int | None = None,
) -> Run:
    """Train step by step; at planned steps record the loss, evaluate, sample, save and check the clock.

    Args:
        state: Where the run begins.
        plan: How many steps, and when to evaluate.
        budget: Revises the plan; None to follow the plan as it is.
        monitor: Changes the number of CPU threads; None to follow the plan.
        clock: Measures the run.
        heartbeats: Tell an event how far the run is; None to tell nobody.
        until: Stop after this update, and save it; None to follow the plan to its end.

    Returns:
        The run's folder.

    Raises:
        WriteError: The folder can no longer be written; earlier checkpoints are kept.
        Diverged: The loss is not finite; earlier checkpoints are kept.
        Interrupted: Ctrl-C was pressed.
    """
    run, config, dataset, ranks = state.run, state.config, state.dataset, state.ranks
    model: nn.Module = state.model
    if ranks.is_main:
        print(opening_message(state, plan), flush=True)
    if config.compile and not plan.ends_at(state.step):
        model = compile_again(state.model, config, dataset)  # takes time in a resumed run only

    def forward_backward(x: Tensor, y: Tensor) -> Tensor:
        model.zero_grad(set_to_none=True)
        loss = mean_loss(model, x, y)  # forward
        loss.backward()  # type: ignore[no-untyped-call]
        ranks.average_gradients(model)
        clip_grad_norm_(model.parameters(), config.grad_clip)
        return loss.detach()

    compute_gradients = record_kernels(forward_backward, model, config)
    progress = ProgressBar(plan.steps, state.step, clock.read, silent=not ranks.is_main)
    started = saved = clock.read()
    if heartbeats and ranks.is_main:
        heartbeats.start(run.path, run.last)
        heartbeats.beat(state.step, plan.steps, state.earlier_seconds, None, partial(sample_model, state))
    try:
        with defer_interrupt() as interrupt, progress:
            while not plan.ends_at(state.step) and state.step != until:
                done, steps = plan.in_round(state.step)  # of this round
                if done == 0:
                    state.val_losses.clear()  # a round is ended early by its own losses
                threads = plan.revision_at(state.step).threads or config.threads
                if threads != torch.get_num_threads():
                    torch.set_num_threads(threads)
                rate = learning_rate(done, steps, config)
                context = context_length(done, steps, config)
                x, y = get_batch(dataset.train, dataset.key, state.step, config.batch_size, config.block_size, context)
                x, y = ranks.shard(x), ranks.shard(y)  # (B, T): tokens, and the token after each
                seed_dropout(state)

                loss = compute_gradients(x, y)
                state.step += 1
                for optimizer in state.optimizers:
                    optimizer.step(rate, state.step)
                state.recent_losses.append(loss)

                now = clock.lap("step")
                if budget and (slept := clock.take_sleep()):
                    progress.print(heed_sleep(budget, slept, now))
                progress.update(until or plan.steps, budget.seconds_left(now) if budget else None)
                seconds = state.earlier_seconds + now - started

                val_loss = None
                recording = plan.records_at(state.step)
                if recording:
                    train_loss = take_mean_loss(state)
                    metrics = {"step": state.step, "context": context, "seconds": seconds, "learning_rate": rate}
                    metrics["train_loss"] = train_loss
                    if plan.evaluates_at(state.step):
                        val_loss, text = evaluate(state, context)
                        metrics["val_loss"] = val_loss
                        sample = text if progress.is_live else ""
                        progress.print(evaluation_line(state, plan, train_loss, val_loss, sample))
                        plan = adopt_plan(run, plan, stop_early(state, plan), ranks)
                    if ranks.is_main:
                        persist(run, append_metrics, run, metrics)
                    progress.show_losses(train_loss, state.best_val_loss)
                    progress.show_sample(now, lambda: sample_model(state, state.step))

                stopping, save_due = ranks.broadcast((interrupt.requested, now - saved > SAVE_SECONDS))
                if val_loss is not None or stopping or save_due or state.step == until:
                    save_checkpoints(state, plan, seconds, val_loss)
                    saved = clock.lap("save" if val_loss is None else "evaluation")
                if recording and heartbeats and ranks.is_main:
                    bits = None if val_loss is None else dataset.bits_per_character(val_loss)
                    heartbeats.beat(state.step, plan.steps, seconds, bits, partial(sample_model, state))
                if recording and budget and not plan.ends_at(state.step) and plan.revisions[-1].at_step < state.step:
                    eval_seconds = 0.0 if val_loss is None else saved - now
                    revised = budget.revise(plan, state.step, now + eval_seconds, eval_seconds)
                    plan = adopt_plan(run, plan, revised, ranks)
                if monitor and not plan.ends_at(state.step) and monitor.is_due(now, context, threads):
                    faster = monitor.compare(state.model, x, y, threads)  # for which nothing is compiled again
                    if faster != threads:
                        plan = adopt_plan(run, plan, plan.with_threads(state.step, faster), ranks)
                        progress.print(describe_threads(faster, monitor.most))
                if stopping and not plan.ends_at(state.step):
                    raise Interrupted(f"stopped after step {state.step:,}, and saved. {resume_hint(run)}")
        if ranks.is_main and until is None:
            progress.print(closing_message(state, plan, progress.columns))
            persist(run, plot_run, run)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped at once; earlier checkpoints are complete. {resume_hint(run)}") from None
    except WriteError as error:
        raise WriteError(lost_message(state, str(error))) from None
    finally:
        if heartbeats:
            heartbeats.close()
    return run


def heed_sleep(budget: Budget, slept: float, now: float) -> str:
    """Let the run end when it was to end, if enough of the time is left, and return what will happen.

    Args:
        budget: The run's budget; a shorter one makes it revise the plan.
        slept: Seconds that the computer slept.
        now: The run's clock.
    """
    is_kept = budget.keep_end(slept, now)
    return sleep_message(slept, datetime.now() + timedelta(seconds=budget.seconds_left(now)), is_kept)


def make_monitor(config: TrainConfig, max_threads: int, clock: RunClock, ranks: Ranks) -> ThreadMonitor | None:
    """Return a monitor of the number of threads; None where it does not change.

    Args:
        config: What is trained.
        max_threads: CPU threads that the run may use.
        clock: Measures the run.
        ranks: The processes that train together.
    """
    if max_threads == 1 or ranks.size > 1 or config.device != "cpu":
        return None
    return ThreadMonitor(max_threads, clock.read)


def adopt_plan(run: Run, plan: Plan, revised: Plan, ranks: Ranks) -> Plan:
    """Return the plan as the main process revised it; a new one is written before it takes effect.

    Args:
        run: The run's folder.
        plan: The plan so far.
        revised: This process's revision, or the same plan.
        ranks: The processes that train together.
    """
    revised = ranks.broadcast(revised)
    if revised != plan and ranks.is_main:
        persist(run, write_plan, run.plan, revised)
    return revised
