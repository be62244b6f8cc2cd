"""`headstart control`: steer a run that is going on."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Action(StrEnum):
    """What a run can be asked to do."""

    pause = "pause"
    resume = "resume"
    step = "step"
    stop = "stop"
    checkpoint = "checkpoint"
    capture = "capture"
    scale_learning_rate = "scale_learning_rate"
    set_learning_rate = "set_learning_rate"


def control(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    action: Annotated[Action, typer.Argument(help="What the run does at its next step.")],
    number: Annotated[
        float | None, typer.Argument(help="The factor, or the new peak rate of the matrices.")
    ] = None,
) -> None:
    """Pause, resume or stop a run, make one step, save, capture a batch, change its learning rate.

    The run records every action in its metrics. If its rate was changed, the model card says so.
    """
    from headstart.training.control import NUMBERS, send

    name = NUMBERS.get(action.value, "number")
    send(run, action.value, **({} if number is None else {name: number}))
    typer.echo(f"{run}: {action.value} at the next step")
