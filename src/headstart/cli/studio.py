"""`headstart studio`: the models, runs and corpora of some folders in the browser."""

import socket
import webbrowser
from pathlib import Path
from typing import Annotated

import typer


def studio(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders that hold runs, models, corpora; the first may be written to."),
    ] = None,
    port: Annotated[int, typer.Option(help="Where to listen; 0: any free port.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Look only: steer no run, start no job.")
    ] = False,
    memory: Annotated[float, typer.Option(help="Gigabytes of models that are held at once.", min=0.1)] = 4.0,
) -> None:
    """Look at models, runs and corpora in the browser, live, on this machine alone.

    The printed address holds a token: whoever has it may look, and steer your runs.
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
