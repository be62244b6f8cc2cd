"""`headstart studio`: the models, runs and corpora of some folders in the browser, or a view as one file."""

import socket
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from headstart.cli.options import Replace


class _OpensByDefault(TyperGroup):
    """`headstart studio FOLDER` opens the studio; `headstart studio export` is the only other verb."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, "--help", "-h"):
            args = ["open", *args]
        found: list[str] = super().parse_args(ctx, args)
        return found


studio = typer.Typer(
    cls=_OpensByDefault,
    help="Look at models, runs, corpora in the browser: `headstart studio FOLDER` (its options: `headstart "
    "studio open --help`); or export a view as a file.",
)


@studio.command("open")
def open_studio(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders that hold runs, models, corpora; the first may be written to."),
    ] = None,
    port: Annotated[int, typer.Option(help="Where to listen; 0: any free port.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Only look: control no run, start no job.")
    ] = False,
    memory: Annotated[float, typer.Option(help="Gigabytes of models in memory at once.", min=0.1)] = 4.0,
) -> None:
    """Look at models, runs and corpora in the browser, live, on this machine alone.

    The printed URL holds a token: whoever has it may look, and control your runs.
    """
    from headstart.errors import HeadstartError

    try:
        import uvicorn

        from headstart.studio.app import Options, create
    except ImportError as error:
        raise HeadstartError(f"the studio needs {error.name}: pip install 'headstart[studio]'") from None
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise HeadstartError(
            f"port {port} cannot be had ({error}); leave --port out to take a free one"
        ) from None
    roots = folders or [Path("runs") if Path("runs").is_dir() else Path()]
    number = listening.getsockname()[1]
    app = create(roots, number, Options(read_only, int(memory * 1e9)))
    address = f"http://127.0.0.1:{number}/?token={app.token}"
    typer.echo(f"headstart studio over {', '.join(map(str, roots))}: {address}")
    if browser:
        webbrowser.open(address)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run(sockets=[listening])


@studio.command()
def export(
    view: Annotated[str, typer.Argument(help="block, corpus, generation, masking, run or scaling.")],
    folder: Annotated[Path, typer.Argument(help="The folder to show: a run, a model, a corpus, a sweep.")],
    out: Annotated[Path, typer.Option("--out", help="The HTML file; it needs no network.")],
    may_replace: Replace = False,
) -> None:
    """Write a view of a folder as one HTML file that works offline, sliders included."""
    from headstart.errors import HeadstartError
    from headstart.output import output_file

    try:
        from headstart.studio.one_file import written
    except ImportError as error:
        raise HeadstartError(f"the studio needs {error.name}: pip install 'headstart[studio]'") from None
    with output_file(out, inputs=[folder], replace=may_replace) as place:
        written(view, folder, place)
    typer.echo(f"written: {out}")
