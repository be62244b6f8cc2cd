"""`headstart batch`: a file of requests, answered without a server."""

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.options import Replace


def batch(
    folder: Annotated[Path, typer.Argument(help="A model or run folder.")],
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON lines with custom_id, url (a route of serve) and body, as in OpenAI's batches."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Write the answers here, in the order of the requests.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME=FOLDER", help="A further model that requests may name."),
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")] = "float32",
    replace: Replace = False,
) -> None:
    """Answer a file of requests as the server does, many at a time.

    The same command resumes a batch that was stopped.
    """
    from headstart.errors import HeadstartError
    from headstart.output import output_file
    from headstart.training.machine import dtype_named

    try:
        from headstart.serving.app import Application
        from headstart.serving.batch_file import answer_batch, batch_settings
        from headstart.serving.model_store import named_folders
    except ModuleNotFoundError as error:
        raise HeadstartError(
            f"batch needs {error.name}; install it with pip install 'headstart[serve]'"
        ) from None

    folders = named_folders([folder], model or [])
    with output_file(out, inputs=[file, *folders.values()], replace=replace) as place:
        settings = batch_settings(str(dtype_named(precision)).removeprefix("torch."))
        counts = answer_batch(Application(folders, settings), file, place)
    earlier = f", {counts.kept:,} of them by an earlier call" if counts.kept else ""
    typer.echo(f"{counts.requests:,} requests answered{earlier}; {counts.failed:,} are errors: {out}")
