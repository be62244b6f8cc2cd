"""Options that several verbs take."""

from pathlib import Path
from typing import Annotated

import typer

Replace = Annotated[bool, typer.Option("--replace", help="Replace an existing output, after naming it.")]

RecipeFile = Annotated[
    Path | None,
    typer.Option("--recipe", help="A YAML file of settings, or the name of one that comes with headstart."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the cost of the run, and write nothing.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]


def data_path(text: str) -> Path:
    """A path to labelled data, for options that also take `hf://datasets/...`; what is there is fetched."""
    if "hf://" not in text:
        return Path(text)
    from headstart.tasks.data.parts import local_data

    return local_data(text)
