"""The run view: metrics, events as they come, captures, and the steering wheel."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, read_json
from headstart.studio.events import history, statistics_of, stream
from headstart.studio.export import Asked
from headstart.studio.frames import Looked, encode, quantised
from headstart.studio.state import Studio, StudioState, frame
from headstart.training.control import NUMBERS, send

router = APIRouter()


class Control(BaseModel):
    """What a run is asked to do at its next step."""

    at: str
    action: Literal[
        "pause", "resume", "step", "stop", "checkpoint", "capture", "scale_learning_rate", "set_learning_rate"
    ]
    number: float | None = Field(None, gt=0)


class Sent(BaseModel):
    """The command is in the run's control file."""

    sent: str


class Sample(BaseModel):
    """What a causal model wrote at a prompt, at a step."""

    step: int
    prompt: str
    text: str


class Kept(BaseModel):
    """What a run has kept to look at."""

    captures: list[int]
    samples: list[Sample]


@router.get("/metrics")
def metrics(studio: StudioState, at: str, points: Annotated[int, Query(ge=10, le=10_000)] = 2000) -> Response:
    """The steps as columns `[columns, buckets, 3]` (least, largest, mean), and all other events."""
    return frame(encode(*history(studio.run_folder(at), points)))


@router.get("/events")
async def events(
    studio: StudioState,
    at: str,
    after: str = "",
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """New events, as server-sent events."""
    run = studio.run_folder(at)
    return StreamingResponse(stream(run, last_event_id or after), media_type="text/event-stream")


@router.get("/kept")
def kept(studio: StudioState, at: str) -> Kept:
    """The steps of a run's captures, and its samples."""
    run = studio.run_folder(at)
    steps = sorted(int(p.name[5:]) for p in run.glob("captures/step-*") if p.name[5:].isdigit())
    samples = []
    for path in sorted(run.glob("samples/step-*.json")):
        found = read_json(path, JSONObject)
        samples += [
            Sample(step=int(found["step"]), prompt=str(one["prompt"]), text=str(one["text"]))
            for one in found.get("samples", [])
        ]
    return Kept(captures=steps, samples=samples)


@router.get("/capture")
def capture(studio: StudioState, at: str, step: int, row: Annotated[int, Query(ge=0)] = 0) -> Response:
    """One row of a captured batch: tokens, norms of the stream, attention, losses and answers."""
    folder = studio.run_folder(at) / "captures" / f"step-{step:06d}"
    if not folder.is_dir():
        raise HeadstartError(f"there is no capture of step {step}; ask the run for one with Capture")
    fields, tensors = _captured(folder, row)
    return frame(encode({**fields, "statistics": statistics_of(studio.run_folder(at), step)}, tensors))


@router.post("/control")
def control(studio: StudioState, asked: Control) -> Sent:
    """Steer a run."""
    run = studio.run_folder(asked.at)
    studio.may_change(run)
    name = NUMBERS.get(asked.action)
    values = {} if asked.number is None or name is None else {name: asked.number}
    send(run, asked.action, **values)
    return Sent(sent=asked.action)


def reach(studio: Studio, asked: Sequence[Asked]) -> list[Asked]:
    """Every captured step of the run that was shown last, its first row."""
    ats = [one.query["at"] for one in asked if one.path == "metrics" and "at" in one.query]
    if not ats:
        return []
    at = ats[-1]
    steps = kept(studio, at).captures
    return [
        Asked("folder", {"at": at}), Asked("metrics", {"at": at, "points": "2000"}),
        Asked("kept", {"at": at}),
        *(Asked("capture", {"at": at, "step": str(step), "row": "0"}) for step in steps),
    ]  # fmt: skip


def _captured(folder: Path, row: int) -> Looked:
    from safetensors.numpy import load_file

    facts = read_json(folder / "capture.json", JSONObject)
    found = load_file(folder / "tensors.safetensors")
    if "positions" not in found:  # an ELMo's words
        fields = {"words": facts["words"], "loss": facts["loss"]}
        return Looked(fields, {name: np.asarray(tensor, np.float32) for name, tensor in found.items()})
    ids = facts["ids"]
    if row >= len(ids):
        raise HeadstartError(f"this capture has {len(ids)} rows, counted from 0; there is no row {row}")
    length = len(ids[row])
    inside = (found["positions"] >= row * length) & (found["positions"] < (row + 1) * length)
    tensors: dict[str, np.ndarray] = {
        "places": (found["positions"][inside] - row * length).astype(np.int32),
        "loss": found["loss"][inside].astype(np.float32),
    }
    chosen = np.flatnonzero(inside)
    fields = {
        "step": int(folder.name[5:]),
        "rows": len(ids),
        "tokens": facts["tokens"][row],
        "targets": [facts["targets"][number] for number in chosen],
        "mean_loss": facts["loss"],
        "row_loss": float(tensors["loss"].mean()) if len(chosen) else None,
    }
    if "top" in facts:
        fields["top"] = [facts["top"][number] for number in chosen]
        tensors["top_logprobs"] = found["top_logprobs"][inside].astype(np.float32)
    if "source" in facts:
        fields["source"] = facts["source"][row]
    for name, tensor in found.items():
        if name.startswith("norm."):
            tensors[name] = tensor[row].astype(np.float32)
        elif name.startswith("attention."):
            tensors[name] = quantised(tensor[row])
    return Looked(fields, tensors)
