"""A model as the verbs open it: any state of a run will do, and what it is not is said."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from headstart.interchange.model_folder import LoadedModel


def open_model(folder: Path, precision: str = "float32") -> "LoadedModel":
    """The model of a model folder, a run or a checkpoint; standard error says what of it is unfinished.

    Args:
        precision: auto, float32 or bfloat16.

    Raises:
        HeadstartError: see `load_any`.
    """
    from headstart.training.machine import dtype_named
    from headstart.training.restore import load_any

    loaded = load_any(folder, dtype_named(precision))
    if loaded.unfinished is not None:
        typer.echo(f"headstart: {folder} is not finished: this is {loaded.unfinished}", err=True)
    return loaded
