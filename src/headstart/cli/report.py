"""`headstart report`: write the report of a quickstart folder again."""

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.options import AsJSON


def report(
    folder: Annotated[Path, typer.Argument(help="The --out folder of a quickstart.")],
    as_json: AsJSON = False,
) -> None:
    """Collect the figures of a quickstart folder into report.json and report.html."""
    from headstart.quickstart.collect import collect
    from headstart.quickstart.report import write

    figures = collect(folder)
    write(figures, folder)
    typer.echo((folder / "report.json").read_text("utf-8") if as_json else f"{folder / 'report.html'}")
