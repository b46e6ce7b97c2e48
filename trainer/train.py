"""A training run, from a text to a checkpoint: read it top to bottom."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from trainer.config import DEFAULT_MINUTES, TrainConfig
from trainer.errors import Interrupted, RunError
from trainer.interrupt import ctrl_c
from trainer.lesson import Lesson, prepare
from trainer.loss import batch
from trainer.optim import learning_rate, update
from trainer.pace import Budget, Clock, measure
from trainer.plan import Plan, read_plan, write_plan
from trainer.plot import draw_run
from trainer.progress import begin, evaluate, read_losses, save, seed_dropout
from trainer.run import Run, add_sample, check_out, new_run, read_config, record, write_config
from trainer.summary import closing, evaluation_line, how_to_go_on, opening

SAVE_SECONDS = 300.0  # the most that a crash may cost, where evaluations are further apart


def train(
    config: TrainConfig,
    out: Path | None = None,
    plan: Plan | None = None,
    minutes: float = DEFAULT_MINUTES,
    started: float | None = None,
    clock: Clock = time.monotonic,
) -> Run:
    """Train a model from scratch.

    Args:
        config: what to train on what.
        out: the run's folder; None picks a fresh one in runs/.
        plan: how many steps. None: as many as fit into `minutes`, planned again where the clock disagrees.
        started: when the minutes began, by `clock`; None: now.

    Raises:
        TrainerError, VerseError: what cannot be trained or submitted, before anything is written.
        Diverged: the loss is no number any more; the checkpoints before are kept.
        Interrupted: Ctrl-C.
    """
    started = clock() if started is None else started
    check_out(out)
    lesson = prepare(config)
    budget = None
    if plan is None:
        budget = Budget(minutes, started, clock)
        plan = budget.first_plan(measure(config, lesson, budget))
    run = new_run(out, lesson.corpus.name, config.preset)
    write_config(run, config, lesson.corpus_record | {"marks": asdict(lesson.marks)})
    write_plan(run.plan, plan)
    return learn(run, config, lesson, plan, budget, clock)


def resume(folder: Path, clock: Clock = time.monotonic) -> Run:
    """Go on with a run from its last checkpoint, by its written plan, as if it had never stopped.

    Raises:
        TrainerError: the run is damaged, or its corpus has changed. And as `train`.
    """
    run = Run(folder)
    config, corpus = read_config(run)
    plan = read_plan(run.plan)
    lesson = prepare(config)
    if lesson.corpus.sha256 != corpus["sha256"]:
        raise RunError(f"the corpus {lesson.corpus.name} has changed since {folder} began: put the old text back")
    return learn(run, config, lesson, plan, None, clock)


def learn(run: Run, config: TrainConfig, lesson: Lesson, plan: Plan, budget: Budget | None, clock: Clock) -> Run:
    """The loop: learn from a batch; now and then record, evaluate, write a sample, save, and look at the clock."""
    at = begin(run, config, lesson, plan)
    print(opening(at, plan), flush=True)
    began = saved = clock()
    bar = tqdm(total=plan.steps, initial=at.step, unit="step", disable=None, dynamic_ncols=True)
    try:
        with ctrl_c() as stop, bar:
            while not plan.ends_at(at.step):
                rate = learning_rate(at.step, plan.in_force(at.step).steps, config)
                x, y = batch(lesson.train, lesson.key, at.step, config.batch_size, config.block_size)
                seed_dropout(at)
                at.step += 1
                at.losses.append(update(at.model, at.optimizers, x, y, rate, config.grad_clip, at.step))
                bar.update()

                val_loss = None
                now = clock()
                seconds = at.seconds_before + now - began
                if plan.records_at(at.step):
                    losses = read_losses(at)
                    at.losses.clear()
                    train_loss = sum(losses) / len(losses)
                    bar.set_postfix(train=f"{train_loss:.3f}", best=f"{at.best_val:.3f}")
                    metrics = {"step": at.step, "seconds": seconds, "learning_rate": rate, "train_loss": train_loss}
                    if plan.evaluates_at(at.step):
                        val_loss, text = evaluate(at)
                        if val_loss < at.best_val:
                            at.best_step, at.best_val = at.step, val_loss
                        metrics["val_loss"] = val_loss
                        add_sample(run, at.step, val_loss, text)
                        tqdm.write(evaluation_line(at, plan, train_loss, val_loss, "" if bar.disable else text))
                        sys.stdout.flush()  # into a pipe, too, line by line
                    record(run, metrics)

                if val_loss is not None or stop.asked or now - saved > SAVE_SECONDS:
                    save(at, plan, seconds, val_loss)
                    saved = clock()
                if budget and val_loss is not None and not plan.ends_at(at.step):
                    plan = budget.revise(plan, at.step, now, saved)
                    write_plan(run.plan, plan)  # before it takes effect
                    bar.total = plan.steps
                if stop.asked and not plan.ends_at(at.step):
                    raise Interrupted(f"stopped after step {at.step:,}, and saved. {how_to_go_on(run)}")
    except KeyboardInterrupt:
        raise Interrupted(f"stopped at once; what was saved before is whole. {how_to_go_on(run)}") from None
    draw_run(run)
    print(closing(at, plan), flush=True)
    return run
