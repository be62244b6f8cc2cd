"""The command line: one module a verb. Heavy packages are imported when a verb runs, not before."""

import signal
import sys
from types import FrameType

import typer

from headstart import __version__
from headstart.cli.control import control
from headstart.cli.corpus import corpus
from headstart.cli.evaluate import evaluate
from headstart.cli.export import export
from headstart.cli.fill_mask import fill_mask
from headstart.cli.finetune import finetune
from headstart.cli.generate import generate
from headstart.cli.import_model import import_model
from headstart.cli.models import models
from headstart.cli.plan import plan
from headstart.cli.predict import predict
from headstart.cli.pretrain import pretrain
from headstart.cli.quickstart import quickstart
from headstart.cli.report import report
from headstart.cli.tokenizer import tokenizer
from headstart.errors import HeadstartError, Stopped, explain_os_error

USER_MISTAKE, STOPPED = 2, 130

app = typer.Typer(
    name="headstart",
    help="Train once on raw text, fine-tune for anything. Start with `headstart quickstart`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(quickstart)
app.add_typer(corpus, name="corpus")
app.add_typer(tokenizer, name="tokenizer")
app.add_typer(plan, name="plan")
app.command()(pretrain)
app.command()(control)
app.command()(finetune)
app.command()(evaluate)
app.command()(predict)
app.command()(generate)
app.command()(fill_mask)
app.command("import")(import_model)
app.command()(export)
app.command()(report)
app.command()(models)


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


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    raise Stopped(f"stopped by {signal.Signals(number).name}; start the same command again to go on")


def main() -> None:
    """Run the command line; a user's mistake is one sentence and exit code 2, never a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _raise_stopped)
    try:
        app()
    except HeadstartError as error:
        _complain(str(error), USER_MISTAKE)
    except Stopped as stopped:
        _complain(str(stopped), STOPPED)
    except BrokenPipeError:  # the reader of our output has gone
        sys.exit(STOPPED)
    except OSError as error:
        _complain(explain_os_error(error), USER_MISTAKE)


def _complain(sentence: str, code: int) -> None:
    print(f"headstart: {sentence}", file=sys.stderr)
    sys.exit(code)
