"""The command line: one module a verb. Heavy packages are imported when a verb runs, not before."""

import os
import signal
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from headstart import __version__
from headstart.cli.batch import batch
from headstart.cli.control import control
from headstart.cli.corpus import corpus
from headstart.cli.data import data
from headstart.cli.distill import distill
from headstart.cli.duel import duel
from headstart.cli.evaluate import evaluate
from headstart.cli.export import export
from headstart.cli.fill_mask import fill_mask
from headstart.cli.finetune import finetune
from headstart.cli.generate import generate
from headstart.cli.head_start import head_start
from headstart.cli.import_model import import_model
from headstart.cli.lab import lab
from headstart.cli.models import models
from headstart.cli.plan import plan
from headstart.cli.predict import predict
from headstart.cli.pretrain import pretrain
from headstart.cli.quickstart import quickstart
from headstart.cli.report import report
from headstart.cli.serve import serve
from headstart.cli.settings import command_with_settings
from headstart.cli.studio import studio
from headstart.cli.tokenizer import tokenizer
from headstart.console import guard_streams
from headstart.errors import HeadstartError, Stopped, explain
from headstart.stopping import raise_stopped

USER_MISTAKE, STOPPED = 2, 130
OUTPUTS = ("--out", "--write", "--page", "--png", "--lab")
"""Options that name what a verb writes."""
GONE = (
    "the folder in which this command was started is gone; go to one that is there (cd) and start the same "
    "command again"
)

# The help lists the verbs in the order of a model's life.
VERBS = (
    *("quickstart", "report", "studio"),
    *("corpus", "tokenizer", "pretrain", "distill", "control", "data", "finetune", "head-start"),
    *("evaluate", "predict", "generate", "fill-mask", "serve", "batch", "import", "export"),
    *("models", "plan", "lab", "duel", "version"),
)


class _InOrder(TyperGroup):
    """All verbs in the order of `VERBS`. Their help breaks where the terminal ends, not the source line."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        _join_lines(self)

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.commands, key=VERBS.index)


def _join_lines(group: TyperGroup) -> None:
    """Make one line of every paragraph in the help of the commands below a group."""
    for command in group.commands.values():
        paragraphs = (command.help or "").split("\n\n")
        command.help = "\n\n".join(" ".join(one.split()) for one in paragraphs)
        if isinstance(command, TyperGroup):
            _join_lines(command)


app = typer.Typer(
    name="headstart",
    cls=_InOrder,
    help="Train once on raw text, fine-tune for anything. Start with `headstart quickstart`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
WHOLE, TRAIN, USE, KNOW = "From end to end", "Data and training", "Use a model", "Know more"
app.command(rich_help_panel=WHOLE)(quickstart)
app.command(rich_help_panel=WHOLE)(report)
app.add_typer(studio, name="studio", rich_help_panel=WHOLE)
app.add_typer(corpus, name="corpus", rich_help_panel=TRAIN)
app.add_typer(tokenizer, name="tokenizer", rich_help_panel=TRAIN)
app.command(cls=command_with_settings("pretrain"), rich_help_panel=TRAIN)(pretrain)
app.command(cls=command_with_settings("distill"), rich_help_panel=TRAIN)(distill)
app.command(rich_help_panel=TRAIN)(control)
app.add_typer(data, name="data", rich_help_panel=TRAIN)
app.command(cls=command_with_settings("finetune"), rich_help_panel=TRAIN)(finetune)
app.command("head-start", rich_help_panel=TRAIN)(head_start)
app.command(rich_help_panel=USE)(evaluate)
app.command(rich_help_panel=USE)(predict)
app.command(cls=command_with_settings("generate"), rich_help_panel=USE)(generate)
app.command(rich_help_panel=USE)(fill_mask)
app.command(rich_help_panel=USE)(serve)
app.command(rich_help_panel=USE)(batch)
app.command("import", rich_help_panel=USE)(import_model)
app.command(rich_help_panel=USE)(export)
app.command(rich_help_panel=KNOW)(models)
app.add_typer(plan, name="plan", rich_help_panel=KNOW)
app.add_typer(lab, name="lab", rich_help_panel=KNOW)
app.command(cls=command_with_settings("duel"), rich_help_panel=KNOW)(duel)


@app.command(rich_help_panel=KNOW)
def version() -> None:
    """Print the versions of headstart, Python and torch, for a bug report."""
    import platform
    from importlib.metadata import version as version_of

    typer.echo(f"headstart {__version__}, Python {platform.python_version()}, torch {version_of('torch')}")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"headstart {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line; a user's mistake is one sentence and exit code 2, never a traceback."""
    _open_closed_streams()
    guard_streams()
    _obey_signals()
    try:
        if _is_gone():
            raise HeadstartError(GONE)
        _refuse_nameless_outputs(sys.argv[1:])
        try:
            app()
        finally:
            _ignore_signals()
            sys.stdout.flush()
    except HeadstartError as error:
        _complain(GONE if _is_gone() else str(error), USER_MISTAKE)
    except Stopped as stopped:
        _complain(str(stopped), STOPPED)
    except BrokenPipeError:  # the reader of our output has gone
        _leave_standard_output()
        sys.exit(STOPPED)
    except BaseException as error:  # panics of native libraries are no Exception
        sentence = GONE if isinstance(error, Exception) and _is_gone() else explain(error)
        if sentence is None:
            raise
        _leave_standard_output()
        _complain(sentence, USER_MISTAKE)
    finally:
        _ignore_signals()


def _obey_signals() -> None:
    """Stop by a signal as by an error, so that what is there is saved. The end of the terminal counts as one,
    unless somebody wanted it to be ignored (nohup)."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, raise_stopped)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: os.kill(os.getpid(), signal.SIGTERM))


def _ignore_signals() -> None:
    """What was asked for is done, or is not: a signal while Python ends changes nothing of it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _refuse_nameless_outputs(given: list[str]) -> None:
    """An empty name, as of a variable that is not set, would stand for the folder in which one is.

    Raises:
        HeadstartError: an option for an output has one.
    """
    for option, value in pairwise([*given, "-"]):
        name, _, joined = option.partition("=")
        if name in OUTPUTS and not (joined if "=" in option else value):
            raise HeadstartError(f"{name} is followed by an empty name; name a file or a folder")


def _is_gone() -> bool:
    """Whether the working folder was deleted: then paths mean nothing, and libraries do not find parts."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _complain(sentence: str, code: int) -> None:
    with suppress(OSError):  # nobody is there any more to read it
        print(f"headstart: {sentence}", file=sys.stderr)
    sys.exit(code)


def _open_closed_streams() -> None:
    """Put something where a standard stream was closed, so that no other file gets its number. Standard input
    is empty then; what is printed cannot be written, and is said to be so."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w"))


def _leave_standard_output() -> None:
    """What is still to be printed cannot be; without this Python would try again while it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
