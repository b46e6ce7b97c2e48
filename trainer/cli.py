"""The `trainer` command: one function per command, no logic. What is slow to import is imported where it is used."""

from __future__ import annotations

import io
import re
import shutil
import sys
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trainer.errors import Interrupted, SubmitError, TrainerError
from trainer.options import recipe_options, start_training, train_options
from trainer.verse.errors import VerseError
from trainer.verse.text import sanitize, sanitize_lines

if TYPE_CHECKING:
    from trainer.checks.retraining import Estimate
    from trainer.verse.vocabulary import Vocabulary

INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended
NOT_SUBMITTABLE = 3  # the exit status where this verse cannot be submitted, and another seed may give one that can
TOO_LONG = 4  # the exit status where a training would take long, and nobody could be asked
OUT_OF_MEMORY = "MemoryError|OutOfMemory|allocate memory|out of memory"  # Python's, and torch's for each device
CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=CONTEXT_SETTINGS)
@click.version_option(package_name="verse-arena", prog_name="trainer")
def cli() -> None:
    """Train a small language model from scratch, and write verse with it.

    \b
    Example, from nothing to a verse:
      trainer train --minutes 2 --out runs/mine
      trainer generate --ckpt runs/mine --prompt "The moon" --seed 7
    """


@cli.group()
def corpus() -> None:
    """List or download texts to train on.

    \b
    Example:
      trainer corpus list
    """


@corpus.command("list")
def corpus_list() -> None:
    """List the corpora that have a name. Any other text file, or a folder of them, can be used, too.

    \b
    Example:
      trainer corpus list
    """
    from trainer.corpus import list_corpora

    click.echo(list_corpora())


@corpus.command("fetch")
@click.argument("name")
def corpus_fetch(name: str) -> None:
    """Download a corpus, check its SHA-256, and keep it in your cache folder.

    \b
    Example:
      trainer corpus fetch shakespeare
    """
    from trainer.corpus import fetch_corpus

    click.echo(sanitize(f"{name} is in {fetch_corpus(name)}"))


@cli.command()
@train_options
def train(**options: Any) -> None:
    """Train a model from scratch.

    A run is a folder: the best and the last checkpoint, the losses, samples, and the loss curve as a picture. Ctrl-C
    saves the run before it stops.

    \b
    Examples:
      trainer train --minutes 2
      trainer train --corpus my.txt --preset small --arch gpt2 --steps 2000 --out runs/mine
      trainer train --resume runs/mine
      trainer train --resume runs/mine --minutes 5
      torchrun --no-python --nproc-per-node 2 trainer train --preset large --minutes 60
    """
    from trainer.runtime.clock import RunClock

    clock = RunClock()
    from trainer.device import load_torch

    load_torch()
    start_training(options, clock)


@cli.command()
@recipe_options()
def generate(
    ckpt: Path, prompt: str, near: bool, temperature: str, top_k: int, seed: int, tokens: int | None, lines: int
) -> None:
    """Write a verse with a checkpoint. The same options give the same verse on every machine.

    \b
    Example:
      trainer generate --ckpt runs/mine --prompt "The moon" --temperature 0.8 --seed 7
    """
    from trainer.checkpoint import read_checkpoint
    from trainer.sampling import make_recipe, verse_model, write_verses
    from trainer.verse.recipe import hundredths
    from trainer.verse.replay import replay
    from trainer.verse.text import verse_text

    checkpoint = read_checkpoint(ckpt)
    prompt = take_prompt(prompt, checkpoint.vocabulary, near)
    recipe = make_recipe(checkpoint, prompt, hundredths(temperature), seed, top_k, tokens, lines)
    model = verse_model(checkpoint)
    [written] = write_verses(model, checkpoint.vocabulary, [recipe], progress=True)
    text = verse_text(checkpoint.vocabulary, recipe, written.ids)
    click.echo(click.style(prompt, bold=True) + text)
    if replay(model, recipe, written.ids).verdict != "PASS":
        click.echo("UNDECIDED: another machine may write another verse from this seed. Use another seed.", err=True)


@cli.command()
@recipe_options(many=True)
@click.option("--count", type=int, default=64, show_default=True, help="Verses to write in all.")
@click.option("--best", type=int, default=5, show_default=True, help="Verses to print.")
@click.option("--to", metavar="URL", help="Address of the event that you will enter; its limits apply.")
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a page with all verses to choose from, instead of printing the best.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all verses as JSON, the best first.")
def audition(
    ckpt: Path,
    prompt: tuple[str, ...],
    near: bool,
    temperature: tuple[str, ...],
    top_k: int,
    seed: int,
    tokens: int | None,
    lines: int,
    count: int,
    best: int,
    to: str | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Write many verses with a checkpoint, and rank them for you to choose one.

    The verses are spread evenly over every prompt at every temperature. Verses are dropped if they cannot be submitted,
    if they are duplicates, or if they share a passage of 50 characters or more with the corpus. A verse ranks higher if
    it has many different words of the corpus, ends with a sentence, has all its lines, and has no passage of 32
    characters from the corpus. Each comes with the command that submits it.

    \b
    Examples:
      trainer audition --ckpt runs/mine
      trainer audition --ckpt runs/mine --prompt "The moon" --prompt "The sea" --count 128 --html verses.html
    """
    from trainer.submission.audition import run_audition
    from trainer.submission.candidates import AuditionRequest
    from trainer.submission.event import DEFAULT_LIMITS, fetch_event
    from trainer.submission.http_client import Address, EventClient
    from trainer.verse.recipe import hundredths

    if html is not None and as_json:
        raise click.UsageError("give --html or --json, not both")
    temperatures = tuple(map(hundredths, temperature))
    limits = DEFAULT_LIMITS
    if to is not None:
        with closing(EventClient(Address.parse(to), say=click.echo)) as client:
            limits = fetch_event(client).limits
        lines = min(lines, limits.lines)
    request = AuditionRequest(
        ckpt, prompt, temperatures, top_k, count, seed, tokens, lines, limits, near or html is not None
    )
    click.echo(run_audition(request, best, html, as_json=as_json))


@cli.command()
@recipe_options()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Bundle to write.  [default: submissions/<its SHA-256>.verse]",
)
@click.option("--to", metavar="URL", help="Address of the event to enter; its limits apply.")
@click.option("--name", help="Author's name, as the audience will read it; with --to.")
@click.option(
    "--ticket-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with your secret, made if it is missing; one for each person at this computer.  [default: one that is "
    "kept for each event]",
)
@click.option("--ticket", metavar="CODE", help="The code on your card, where the event takes tickets.")
@click.option(
    "--with",
    "others",
    multiple=True,
    metavar="CODE",
    help="The code on the card of another author, who then does not vote on the verse; may be repeated.",
)
@click.option("--replace", is_flag=True, help="Replace your verse although it was entered under another name.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the verdict.")
def submit(
    ckpt: Path,
    prompt: str,
    near: bool,
    temperature: str,
    top_k: int,
    seed: int,
    tokens: int | None,
    lines: int,
    out: Path | None,
    to: str | None,
    name: str | None,
    ticket_file: Path | None,
    ticket: str | None,
    others: tuple[str, ...],
    replace: bool,
    no_wait: bool,
) -> None:
    """Pack a verse into a bundle, with everything needed to write it again.

    With --to, enter it in an event. If the connection breaks, run the same command again: it resumes the upload, and
    enters nothing twice.

    \b
    Examples:
      trainer submit --ckpt runs/mine --prompt "The moon" --temperature 0.8 --seed 7
      trainer submit --ckpt runs/mine --seed 7 --to http://192.168.1.5:8000 --name "Ada"
    """
    from trainer.checkpoint import read_checkpoint
    from trainer.sampling import make_recipe
    from trainer.submission.credentials import check_admission, remember_address, secret_for, typed_ticket
    from trainer.submission.event import DEFAULT_LIMITS, fetch_event
    from trainer.submission.heartbeats import carry_heartbeats
    from trainer.submission.http_client import Address, EventClient
    from trainer.submission.submit import (
        closed_note,
        corpus_note,
        enter_event,
        make_submission,
        save_bundle,
        submission_message,
    )
    from trainer.verse.recipe import hundredths

    if (to is None) != (name is None) or (to is None and (ticket_file or ticket or others or replace or no_wait)):
        raise click.UsageError(
            "--to and --name go together; the options about tickets, --replace and --no-wait need them"
        )
    if ticket is not None and ticket_file is not None:
        raise click.UsageError("say either --ticket, your card's code, or --ticket-file, where your secret is kept")
    coauthors = [typed_ticket(code) for code in others]
    address = Address.parse(to) if to is not None else None
    checkpoint = read_checkpoint(ckpt)
    prompt = take_prompt(prompt, checkpoint.vocabulary, near)
    client, event, limits = None, None, DEFAULT_LIMITS
    if address is not None:
        client = EventClient(address, say=click.echo)
        click.get_current_context().call_on_close(client.close)
        event = fetch_event(client)  # it proves its key before it gets a secret
        if ticket is not None:
            secret = typed_ticket(ticket)
        else:
            secret = secret_for(event.receipt_key, ticket_file)
            if ticket_file is None and (known := remember_address(event.receipt_key, address.url)):
                click.echo(f"This is the event that you know from {sanitize(known[-1])}; your secret is the same.")
        client.use_secret(secret)
        check_admission(event.admission, secret)
        limits, lines = event.limits, min(lines, event.limits.lines)
        for note in (closed_note(event), corpus_note(checkpoint, event)):
            if note:
                click.echo(note)
    recipe = make_recipe(checkpoint, prompt, hundredths(temperature), seed, top_k, tokens, lines)
    submission = make_submission(checkpoint, recipe, limits)
    path = save_bundle(submission, out)
    click.echo(sanitize_lines(submission_message(submission, prompt, path)))
    if client is not None and event is not None and name is not None:
        enter_event(path, client, event, name, replace=replace, coauthors=coauthors, wait=not no_wait, say=click.echo)
        if carried := carry_heartbeats(ckpt, client):
            click.echo(f"{carried} heartbeats of this training were sent to the event, which did not see it live.")


@cli.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--corpus",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The text of the training, if it is none that comes along; all of its files, or their folder.",
)
@click.option("--yes", is_flag=True, help="Do not ask, however long it takes.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; messages go to the error stream.")
def retrain(bundle: Path, files: tuple[Path, ...], yes: bool, as_json: bool) -> None:
    """Train the model of a bundle again, from the plan in its record, and compare the two.

    Compared are the losses on the way, the loss on held-out text, the surprisal of the verse, and the weights: bit for
    bit on the same kind of processor with the same versions. The record names seed, nonce, settings and steps. It takes
    as long as the training took; if that is more than ten minutes here, you are asked first.

    The exit status is 0 if nothing disagrees, 1 if something does or it cannot be trained again, and 4 if it would take
    long and nobody could be asked.

    \b
    Examples:
      trainer retrain submissions/3f9a01c2.verse
      trainer retrain ada.verse --corpus sonnets.txt
    """
    from trainer.device import load_torch

    load_torch()
    from trainer.report.retraining import duration, json_report, report_lines
    from trainer.retrain import ASK_SECONDS, retrain_bundle
    from trainer.verse.bundle import read_bundle

    def accept(estimate: Estimate) -> bool:
        click.echo(f"Training it again takes about {duration(estimate.seconds)} here.", err=True)
        if yes or estimate.seconds <= ASK_SECONDS:
            return True
        return sys.stdin.isatty() and click.confirm("Train it?", err=True)

    with redirect_stdout(sys.stderr):
        estimate, comparisons = retrain_bundle(read_bundle(bundle), files, accept)
    if as_json:
        click.echo(json_report(estimate, comparisons))
    elif comparisons is not None:
        click.echo(sanitize_lines("\n".join(report_lines(comparisons))))
    if comparisons is None:
        fail("nothing was trained: with --yes it is trained without asking", TOO_LONG)
    elif any(one.verdict == "does not agree" for one in comparisons):
        sys.exit(1)


@cli.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE|RUN")
def info(path: Path) -> None:
    """Describe a run, a checkpoint or a bundle.

    \b
    Example:
      trainer info runs/mine
    """
    from trainer.report.info import describe

    click.echo(sanitize_lines(describe(path)))


@cli.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Picture to write.  [default: curve.png of a run, curves.png of several]",
)
def plot(runs: tuple[Path, ...], out: Path | None) -> None:
    """Draw the loss curves of one or several runs as a picture. One run is also drawn in the terminal.

    \b
    Examples:
      trainer plot runs/mine
      trainer plot runs/mine runs/yours --out both.png
    """
    from trainer.report.plot import plot_runs

    picture = plot_runs(runs, out)
    if len(runs) == 1 and sys.stdout.isatty():
        from trainer.report.terminal_plot import plot_run_as_text
        from trainer.runtime.run import Run

        click.echo(plot_run_as_text(Run(runs[0]), shutil.get_terminal_size().columns, sys.stdout.encoding))
    click.echo(sanitize(f"wrote {picture}"))


def take_prompt(prompt: str, vocabulary: Vocabulary, near: bool) -> str:
    """Return a prompt in characters that the model knows, and say if others were taken for some of it.

    Args:
        prompt: As it was typed.
        vocabulary: What the model knows.
        near: Whether others may be taken.

    Raises:
        TrainerError: The model does not know it.
    """
    from trainer.prompt import prepare_prompt
    from trainer.verse.characters import clean

    taken = prepare_prompt(prompt, vocabulary, near)
    if taken != clean(prompt).text:
        click.echo(f"The prompt was taken as “{sanitize(taken)}”, in characters that the model knows.", err=True)
    return taken


def main() -> None:
    """Run the command, and print every error as one line that says what to do."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a character that the terminal does not know must not end a run
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        vars(error)["message"] = sanitize_lines(error.message)  # it may name a file
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        fail("stopped", INTERRUPTED)
    except Interrupted as error:
        fail(str(error), INTERRUPTED)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "matplotlib", "tokenizers"):
            raise
        fail(f"this needs {error.name}, which is not installed: in a clone of the project, pip install '.[train]'")
    except SubmitError as error:
        fail(str(error), NOT_SUBMITTABLE)
    except (TrainerError, VerseError) as error:
        fail(str(error))
    except (MemoryError, RuntimeError) as error:
        if not re.search(OUT_OF_MEMORY, f"{type(error).__name__} {error}"):
            raise
        fail("there is not enough memory: give a smaller --batch-size or --preset, or close other programs")
    except UnicodeEncodeError:
        fail("a name contains bytes that are not valid Unicode: give that file or folder another name")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))


def fail(message: str, code: int = 1) -> None:
    """End with one line on the error stream."""
    message = sanitize_lines(message)
    click.echo(f"Error: {message}" if code != INTERRUPTED else message, err=True)
    sys.exit(code)
