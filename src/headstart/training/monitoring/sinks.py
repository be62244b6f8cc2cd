"""Where a run's scalars go beside `metrics.jsonl`: TensorBoard, and services that one may have anyway.

A sink is never worth a run: one that fails is left out from then on, and the run says so.
"""

from pathlib import Path
from typing import Any, Protocol

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, read_json, write_json


class Sink(Protocol):
    """Takes numbers by name."""

    def write(self, scalars: dict[str, float], step: int) -> None:
        """Take the numbers of a step."""

    def close(self) -> None:
        """No more numbers come."""


class TensorBoard:
    """Event files in the run folder; what was told of steps behind `step` is void."""

    def __init__(self, run: Path, step: int) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(run), purge_step=step + 1)

    def write(self, scalars: dict[str, float], step: int) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class WandB:
    """Weights & Biases, in the mode that its environment variables ask for."""

    def __init__(self, run: Path, step: int) -> None:
        import wandb

        self._run: Any = wandb.init(
            project="headstart", name=run.name, id=_identity(run), dir=str(run), resume="allow"
        )

    def write(self, scalars: dict[str, float], step: int) -> None:
        self._run.log(scalars, step=step)

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """MLflow, at the tracking address that its environment variables name."""

    def __init__(self, run: Path, step: int) -> None:
        import mlflow

        self._mlflow: Any = mlflow
        mlflow.set_experiment("headstart")
        known = run / "mlflow.json"  # MLflow gives the names
        number = read_json(known, dict[str, str]).get("run_id") if known.exists() else None
        begun = mlflow.start_run(run_id=number, run_name=run.name)
        write_json(known, {"run_id": begun.info.run_id})

    def write(self, scalars: dict[str, float], step: int) -> None:
        self._mlflow.log_metrics(scalars, step=step)

    def close(self) -> None:
        self._mlflow.end_run()


class Trackio:
    """trackio, on this machine unless its environment variables say otherwise."""

    def __init__(self, run: Path, step: int) -> None:
        import trackio

        self._trackio: Any = trackio
        trackio.init(project="headstart", name=f"{run.name}-{_identity(run)}", resume="allow")

    def write(self, scalars: dict[str, float], step: int) -> None:
        self._trackio.log(scalars, step=step)

    def close(self) -> None:
        self._trackio.finish()


SINKS: dict[str, type[Sink]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
    "trackio": Trackio,
}


def _identity(run: Path) -> str:
    """What a service knows the run by, so that one that goes on is no new one."""
    return str(read_json(run / "run.json", JSONObject).get("id", run.name))


def open_sink(name: str, run: Path, step: int) -> Sink:
    """The sink of that name.

    Raises:
        HeadstartError: its package is not installed.
    """
    try:
        return SINKS[name](run, step)  # type: ignore[call-arg]
    except ImportError as error:
        package = error.name or name
        raise HeadstartError(
            f"sinks: {name} is not installed; pip install {package}, or leave it out"
        ) from None
