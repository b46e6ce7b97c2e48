"""A training run, from a text to a checkpoint: read it top to bottom."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path

from trainer.config import DEFAULT_MINUTES, TrainConfig
from trainer.dataset import Lesson, prepare
from trainer.errors import Interrupted
from trainer.loss import batch
from trainer.optim import update
from trainer.plan import Plan, read_plan, write_plan
from trainer.report.plot import draw_run
from trainer.report.progress_bar import Screen
from trainer.report.summary import closing, evaluation_line, how_to_go_on, opening
from trainer.runtime.budget import Budget, Clock, measure
from trainer.runtime.distributed import ALONE, Team
from trainer.runtime.run import Run, check_out, corpus_changed, new_run, read_config, record, write_config
from trainer.runtime.signals import ctrl_c
from trainer.runtime.state import begin, evaluate, mean_of_losses, save, seed_dropout, stop_early, write_sample
from trainer.schedule import context, learning_rate

SAVE_SECONDS = 300.0  # the most that a crash may cost, where evaluations are further apart


def train(
    config: TrainConfig,
    out: Path | None = None,
    plan: Plan | None = None,
    minutes: float = DEFAULT_MINUTES,
    started: float | None = None,
    clock: Clock = time.monotonic,
    team: Team = ALONE,
) -> Run:
    """Train a model from scratch.

    Args:
        config: what to train on what.
        out: the run's folder; None picks a fresh one in runs/.
        plan: how many steps. None: as many as fit into `minutes`, planned again where the clock disagrees.
        started: when the minutes began, by `clock`; None: now.
        team: the processes that train together.

    Raises:
        TrainerError, VerseError: what cannot be trained or submitted, before anything is written.
        Diverged: the loss is no number any more; the checkpoints before are kept.
        Interrupted: Ctrl-C.
    """
    started = clock() if started is None else started
    check_out(out)
    team.check(config)
    lesson = prepare(config)
    config = replace(config, corpus=lesson.corpus.source)  # found again from any folder
    budget = None
    if plan is None:
        budget = Budget(minutes, started, clock)
        plan = team.agree(budget.first_plan(measure(config, lesson, budget, team), team))
    run = team.agree(new_run(out, lesson.corpus.name, config.preset) if team.leads else Run(Path()))
    if team.leads:
        write_plan(run.plan, plan)
        write_config(run, config, lesson.corpus_record | {"marks": asdict(lesson.marks)})  # last: now it is a run
    return learn(run, config, lesson, plan, budget, clock, team)


def resume(folder: Path, moved: str | None = None, clock: Clock = time.monotonic, team: Team = ALONE) -> Run:
    """Go on with a run from its last checkpoint, by its written plan, as if it had never stopped.

    Args:
        folder: the run's.
        moved: where its corpus lies now; None: where it lay.

    Raises:
        TrainerError: the run is damaged, or its corpus has changed. And as `train`.
    """
    run = Run(folder)
    config, corpus = read_config(run)
    if moved is not None:
        config = replace(config, corpus=moved)
    plan = read_plan(run.plan)
    team.check(config)
    lesson = prepare(config)
    if lesson.corpus.sha256 != corpus["sha256"]:
        raise corpus_changed(lesson.corpus.name, folder)
    if moved is not None and team.leads:
        write_config(run, replace(config, corpus=lesson.corpus.source), corpus)
    return learn(run, config, lesson, plan, None, clock, team)


def learn(
    run: Run, config: TrainConfig, lesson: Lesson, plan: Plan, budget: Budget | None, clock: Clock, team: Team
) -> Run:
    """The loop: learn from a batch; now and then look at the losses and the clock, evaluate, write a sample, save."""
    at = begin(run, config, lesson, plan, team)
    if team.leads:
        print(opening(at, plan), flush=True)
    screen = Screen(plan.steps, at.step, clock, silent=not team.leads)
    began = saved = clock()
    try:
        with ctrl_c() as stop, screen:
            while not plan.ends_at(at.step):
                steps = plan.in_force(at.step).steps
                rate, length = learning_rate(at.step, steps, config), context(at.step, steps, config)
                x, y = batch(lesson.train, lesson.key, at.step, config.batch_size, config.block_size, length)
                seed_dropout(at)
                at.step += 1
                loss = update(at.parallel, at.optimizers, team.share(x), team.share(y), rate, config.grad_clip, at.step)
                at.losses.append(loss)
                now = clock()
                screen.step(plan.steps, budget.left(now) if budget else None)
                seconds = at.seconds_before + now - began

                val_loss = None
                look = plan.records_at(at.step)
                if look:
                    train_loss = mean_of_losses(at)
                    metrics = {"step": at.step, "context": length, "seconds": seconds, "learning_rate": rate}
                    metrics["train_loss"] = train_loss
                    if plan.evaluates_at(at.step):
                        val_loss, text = evaluate(at, length)
                        metrics["val_loss"] = val_loss
                        screen.say(evaluation_line(at, plan, train_loss, val_loss, text if screen.live else ""))
                        plan = follow(run, plan, stop_early(at, plan), team)
                    if team.leads:
                        record(run, metrics)
                    screen.losses(train_loss, at.best_val)
                    screen.verse(now, lambda: write_sample(at, at.step))

                stopping, saving = team.agree((stop.asked, now - saved > SAVE_SECONDS))
                if val_loss is not None or stopping or saving:
                    save(at, plan, seconds, val_loss)
                    saved = clock()
                if look and budget and not plan.ends_at(at.step) and plan.revisions[-1].at_step < at.step:
                    evaluating = 0.0 if val_loss is None else saved - now
                    plan = follow(run, plan, budget.revise(plan, at.step, now + evaluating, evaluating), team)
                if stopping and not plan.ends_at(at.step):
                    raise Interrupted(f"stopped after step {at.step:,}, and saved. {how_to_go_on(run)}")
    except KeyboardInterrupt:
        raise Interrupted(f"stopped at once; what was saved before is whole. {how_to_go_on(run)}") from None
    if team.leads:
        screen.say(closing(at, plan, screen.columns))
        draw_run(run)
    return run


def follow(run: Run, plan: Plan, revised: Plan, team: Team) -> Plan:
    """The plan as the leader revised it, if it did; written down before it takes effect."""
    revised = team.agree(revised)
    if revised != plan and team.leads:
        write_plan(run.plan, revised)
    return revised
