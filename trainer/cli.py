"""The `trainer` command: one function a command, no logic. What is heavy is imported where it is used."""

from __future__ import annotations

import io
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from trainer.config import (
    DEFAULT_MINUTES,
    DEFAULT_VOCAB_SIZE,
    DEVICES,
    OPTIMIZERS,
    PRECISIONS,
    PRESETS,
    TOKENIZERS,
)
from trainer.errors import Interrupted, TrainerError
from trainer.verse.config import ARCHITECTURES
from trainer.verse.errors import VerseError

STOPPED = 130  # the exit code of a program that Ctrl-C ended
OUT_OF_MEMORY = "MemoryError|OutOfMemory|allocate memory|out of memory"  # Python's, and torch's for each device
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=SETTINGS)
@click.version_option(package_name="verse-arena", prog_name="trainer")
def cli() -> None:
    """Train a small language model from scratch, and let it write verse.

    \b
    Example, from nothing to a verse:
      trainer train --minutes 2 --out runs/mine
      trainer generate --ckpt runs/mine --prompt "The moon" --seed 7
    """


@cli.group()
def corpus() -> None:
    """The texts to learn from.

    \b
    Example:
      trainer corpus list
    """


@corpus.command("list")
def corpus_list() -> None:
    """List the corpora that go by a name. Any UTF-8 text file will do as well.

    \b
    Example:
      trainer corpus list
    """
    from trainer.corpus import listing

    click.echo(listing())


@corpus.command("fetch")
@click.argument("name")
def corpus_fetch(name: str) -> None:
    """Fetch a corpus from its public home, check it, and keep it in your cache folder.

    \b
    Example:
      trainer corpus fetch shakespeare
    """
    from trainer.corpus import fetch

    click.echo(f"{name} is in {fetch(name)}")


@cli.command()
@click.option("--corpus", metavar="NAME|PATH", help="A known name, or a text file.  [default: folio]")
@click.option(
    "--preset", type=click.Choice([*PRESETS, "auto"]), help="Size of the model.  [default: auto, by device and time]"
)
@click.option("--arch", type=click.Choice(ARCHITECTURES), help="Architecture.  [default: modern]")
@click.option(
    "--tokenizer", type=click.Choice(TOKENIZERS), help="Tokens: characters, or pieces of words.  [default: char]"
)
@click.option(
    "--vocab-size", type=int, metavar="N", help=f"Tokens of a bpe tokenizer.  [default: {DEFAULT_VOCAB_SIZE}]"
)
@click.option(
    "--minutes", type=float, help=f"Time for all of it, start and end included.  [default: {DEFAULT_MINUTES:g}]"
)
@click.option("--steps", type=int, help="Updates, instead of minutes.")
@click.option("--device", type=click.Choice(["auto", *DEVICES]), help="Where to train.  [default: auto]")
@click.option("--batch-size", type=int, help="Sequences a step.  [default: by device and time]")
@click.option("--block-size", type=int, help="Tokens of context.  [default: by preset and time]")
@click.option("--short-context", type=int, help="Tokens of context in the first half, 0: as later.  [default: by time]")
@click.option("--optimizer", type=click.Choice(OPTIMIZERS), help="How weights move.  [default: muon]")
@click.option("--learning-rate", type=float, help="The highest, after the warm-up.  [default: by optimizer and time]")
@click.option(
    "--weight-decay",
    type=float,
    help="Of matrices, times the learning rate, each step.  [default: by preset]",
)
@click.option("--dropout", type=float, help="Share of activations dropped.  [default: by preset]")
@click.option(
    "--precision", type=click.Choice(PRECISIONS), help="Of the large products.  [default: what is faster here]"
)
@click.option(
    "--early-stop/--no-early-stop",
    default=None,
    help="End when three evaluations in a row are too far above the best to come back.  "
    "[default: it ends, unless a plan is repeated]",
)
@click.option("--n-layer", type=int, help="Blocks.  [default: by preset]")
@click.option("--n-head", type=int, help="Attention heads of a block.  [default: by preset]")
@click.option("--n-embd", type=int, help="Width.  [default: by preset]")
@click.option("--seed", type=int, help="Of the initial weights and the order of the data.  [default: 1337]")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="RUN", help="Folder of the run.  [default: a fresh one in runs/]"
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on with a run, by its written plan and settings.",
)
@click.option(
    "--plan",
    type=click.Path(path_type=Path),
    metavar="RUN|FILE",
    help="Repeat the plan of a run, with the run's settings where none are given; or a plan.json alone.",
)
def train(**options: Any) -> None:
    """Train a model from scratch.

    A run is a folder: the best and the last checkpoint, the losses, samples, the loss curve as a picture. Ctrl-C saves.

    \b
    Examples:
      trainer train --minutes 2
      trainer train --corpus my.txt --preset small --arch gpt2 --steps 2000 --out runs/mine
      trainer train --resume runs/mine
      torchrun --no-python --nproc-per-node 2 trainer train --preset large --minutes 60
    """
    started = time.monotonic()
    from trainer.device import wait_politely

    wait_politely()
    from trainer.options import start

    start(options, started)


def recipe_options(*, many: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A checkpoint, and what it is asked to write: shared by every command that wants a verse, or many."""
    temperatures = ("0.6", "0.8", "1.0") if many else "0.8"
    options = [
        click.option(
            "--ckpt",
            type=click.Path(path_type=Path),
            required=True,
            metavar="RUN|FILE",
            help="A run's folder (its best checkpoint) or a checkpoint file.",
        ),
        click.option(
            "--prompt",
            multiple=many,
            default=("",) if many else "",
            help=f"Text to go on from{'; may be repeated' if many else ''}.  [default: a line feed]",
        ),
        click.option(
            "--temperature",
            multiple=many,
            default=temperatures,
            show_default=True,
            help=f"0 (greedy) to 2, two decimals{'; may be repeated' if many else ''}.",
        ),
        click.option("--top-k", type=int, default=0, show_default=True, help="Candidates of a choice, 0: all."),
        click.option(
            "--seed",
            type=int,
            default=0,
            show_default=True,
            help=f"{'The first; ' if many else ''}0 to 4,294,967,295.",
        ),
        click.option("--tokens", type=int, help="Most tokens to write.  [default: 400, or what the model can]"),
        click.option("--lines", type=int, default=8, show_default=True, help="Lines to write, 0: until --tokens."),
    ]

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@cli.command()
@recipe_options()
def generate(ckpt: Path, prompt: str, temperature: str, top_k: int, seed: int, tokens: int | None, lines: int) -> None:
    """Let a checkpoint write a verse: the same one on every machine.

    \b
    Example:
      trainer generate --ckpt runs/mine --prompt "The moon" --temperature 0.8 --seed 7
    """
    from trainer.checkpoint import read_checkpoint
    from trainer.sampling import recipe_for, verse_with_progress
    from trainer.verse.recipe import hundredths

    checkpoint = read_checkpoint(ckpt)
    recipe = recipe_for(checkpoint, prompt, hundredths(temperature), seed, top_k, tokens, lines)
    written, text = verse_with_progress(checkpoint, recipe)
    click.echo(click.style(prompt, bold=True) + text)
    if not written.decided:
        click.echo("UNDECIDED: another machine may write another verse from this seed. Take another one.", err=True)


@cli.command()
@recipe_options(many=True)
@click.option("--count", type=int, default=64, show_default=True, help="Verses to write in all.")
@click.option("--best", type=int, default=5, show_default=True, help="Verses to print.")
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a page with all verses to choose from, instead of printing the best.",
)
def audition(
    ckpt: Path,
    prompt: tuple[str, ...],
    temperature: tuple[str, ...],
    top_k: int,
    seed: int,
    tokens: int | None,
    lines: int,
    count: int,
    best: int,
    html: Path | None,
) -> None:
    """Let a checkpoint write many verses, and choose.

    The verses are spread evenly over every prompt at every temperature. Dropped are those that could not be submitted,
    that were written twice, or that share a passage of 50 characters or more with the corpus. Ranked first is what says
    many words of the corpus and few of them twice, ends with a sentence, has all its lines and no passage of 32
    characters from the corpus. Each comes with the line that submits it.

    \b
    Examples:
      trainer audition --ckpt runs/mine
      trainer audition --ckpt runs/mine --prompt "The moon" --prompt "The sea" --count 128 --html verses.html
    """
    from trainer.submission.audition import hold
    from trainer.submission.candidates import Call
    from trainer.verse.recipe import hundredths

    call = Call(ckpt, prompt, tuple(map(hundredths, temperature)), top_k, count, seed, tokens, lines)
    click.echo(hold(call, best, html))


@cli.command()
@recipe_options()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Bundle to write.  [default: submissions/<its SHA-256>.verse]",
)
@click.option("--to", metavar="URL", help="The event to enter, by its address.")
@click.option("--name", help="The author, as the room will read it; with --to.")
@click.option(
    "--ticket-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with your secret.  [default: one that is made and kept for each event]",
)
@click.option("--no-wait", is_flag=True, help="Do not wait for the verdict.")
def submit(
    ckpt: Path,
    prompt: str,
    temperature: str,
    top_k: int,
    seed: int,
    tokens: int | None,
    lines: int,
    out: Path | None,
    to: str | None,
    name: str | None,
    ticket_file: Path | None,
    no_wait: bool,
) -> None:
    """Pack a verse with all it takes to write it again.

    With --to, enter it in an event. Whatever happens on the way, run the same command again: it goes on where it
    stopped, and enters nothing twice.

    \b
    Examples:
      trainer submit --ckpt runs/mine --prompt "The moon" --temperature 0.8 --seed 7
      trainer submit --ckpt runs/mine --seed 7 --to http://192.168.1.5:8000 --name "Ada"
    """
    from trainer.checkpoint import read_checkpoint
    from trainer.sampling import recipe_for
    from trainer.submission.http_client import Address
    from trainer.submission.submit import enter, keep, make_submission, report
    from trainer.verse.recipe import hundredths

    if (to is None) != (name is None) or (to is None and (ticket_file or no_wait)):
        raise click.UsageError("--to and --name go together; --ticket-file and --no-wait need them")
    address = Address.of(to) if to is not None else None
    checkpoint = read_checkpoint(ckpt)
    submission = make_submission(
        checkpoint, recipe_for(checkpoint, prompt, hundredths(temperature), seed, top_k, tokens, lines)
    )
    path = keep(submission, out)
    click.echo(report(submission, prompt, path))
    if address is not None and name is not None:
        enter(path, address, name, ticket_file, not no_wait, click.echo)


@cli.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE|RUN")
def info(path: Path) -> None:
    """Say what a run, a checkpoint or a bundle is.

    \b
    Example:
      trainer info runs/mine
    """
    from trainer.report.info import describe

    click.echo(describe(path))


@cli.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Picture to write.  [default: curve.png of a run, curves.png of several]",
)
def plot(runs: tuple[Path, ...], out: Path | None) -> None:
    """Draw the loss curve of a run, or of several over each other, as a picture; of one in the terminal, too.

    \b
    Examples:
      trainer plot runs/mine
      trainer plot runs/mine runs/yours --out both.png
    """
    from trainer.report.plot import draw

    picture = draw(runs, out)
    if len(runs) == 1 and sys.stdout.isatty():
        from trainer.report.terminal_plot import curve_of
        from trainer.runtime.run import Run

        click.echo(curve_of(Run(runs[0]), shutil.get_terminal_size().columns, sys.stdout.encoding))
    click.echo(f"drawn into {picture}")


def main() -> None:
    """What the console script calls: every error becomes one line that says what to do."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # no letter that a terminal does not know may end a run
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        fail("stopped", STOPPED)
    except Interrupted as error:
        fail(str(error), STOPPED)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "matplotlib", "tokenizers"):
            raise
        fail(f"this needs {error.name}, which is not installed: in a clone of the project, pip install '.[train]'")
    except (TrainerError, VerseError) as error:
        fail(str(error))
    except (MemoryError, RuntimeError) as error:
        if not re.search(OUT_OF_MEMORY, f"{type(error).__name__} {error}"):
            raise
        fail("there is not enough memory for this: give a smaller --batch-size or --preset, or end other programs")
    except UnicodeEncodeError:
        fail("a name here holds bytes that are no valid Unicode: give that file or folder another name")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))


def fail(message: str, code: int = 1) -> None:
    """End with one line on the error stream."""
    click.echo(f"Error: {message}" if code != STOPPED else message, err=True)
    sys.exit(code)
