"""Options that several verbs take."""

from pathlib import Path
from typing import Annotated

import typer

Replace = Annotated[
    bool, typer.Option("--replace", help="Delete what is there already, having said what that is.")
]


def data_path(text: str) -> Path:
    """A path to labelled data, for options that also take `hf://datasets/...`; what is there is fetched."""
    if "hf://" not in text:
        return Path(text)
    from headstart.tasks.data.parts import local_data

    return local_data(text)
