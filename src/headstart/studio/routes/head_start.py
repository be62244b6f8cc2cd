"""The Head start view: measured points of a quickstart or of `headstart head-start`, what pre-training cost,
and the courses of fits that are at work."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from fastapi import APIRouter
from pydantic import BaseModel

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, read_json
from headstart.recipe import read_yaml
from headstart.studio.export import Asked
from headstart.studio.folders import Absent, kind_of
from headstart.studio.state import Studio, StudioState
from headstart.tasks.finetuning.head_start_points import (
    ABOUT,
    FITS,
    POINTS,
    About,
    HeadStartPoint,
    pretraining_cost,
    read_points,
)
from headstart.training.metrics import read_metrics

router = APIRouter()

LABELLED = (".csv", ".tsv", ".jsonl", ".parquet", ".conll")
PACKED = ".gz"
FILES, DEPTH = 60, 2
LOSSES = 60  # points of a course


class Point(BaseModel):
    """One fit: a system on a task, with so many labels and one seed."""

    task: str
    metric: str
    labels: int
    system: str
    seed: int
    score: float
    n: int
    seconds: float
    step: int | None


class Paid(BaseModel):
    """What the model's pre-training has cost."""

    seconds: float
    core_seconds: float
    tokens: int
    steps: int


class HeadStart(BaseModel):
    """What a folder knows of a head start."""

    points: list[Point]
    damaged: int
    """Lines of the file that are no point."""
    fits: int | None
    """As many there will be; None: the folder does not say."""
    pretraining: Paid | None
    tokens_at: dict[str, int]
    """By state of the run, the tokens that it had read."""
    model: str | None
    """The pre-trained model, as an address; None: it lies in none of the studio's folders."""
    data: str | None
    """The labelled data, likewise."""


class Moment(BaseModel):
    """The mean loss since the moment before, after a step."""

    step: int
    seconds: float
    loss: float


class Look(BaseModel):
    """The score on some test examples, after a step."""

    step: int
    seconds: float
    score: float


class Course(BaseModel):
    """How a fit goes, or went."""

    name: str
    losses: list[Moment]
    looks: list[Look]
    metric: str | None
    asked: int | None
    """Test examples that are answered on the way."""
    ended: float | None
    """The score on all test examples."""


class Race(BaseModel):
    """Fits that are at work side by side."""

    courses: list[Course]
    scores: dict[str, float]
    """Of those that are done, by system."""


class Labelled(BaseModel):
    """A file or folder that may hold labelled data."""

    at: str
    name: str


@router.get("/head-start")
def head_start(studio: StudioState, at: str) -> HeadStart:
    """The points of a folder, and what its pre-training cost."""
    folder = studio.folders.find(at)
    kind = kind_of(folder)
    if kind not in ("quickstart", "head-start"):
        raise HeadstartError(f"{at} has no points of a head start; make some with `headstart head-start`")
    found = read_points(folder / POINTS)
    rows = [_point(point) for point in found.points]
    if kind == "quickstart":
        asked: JSONObject = (
            read_yaml(folder / "quickstart.yaml")[0] if (folder / "quickstart.yaml").exists() else {}
        )
        paid = pretraining_cost(folder / "encoder")
        return HeadStart(
            points=rows, damaged=found.damaged, fits=None, tokens_at={},
            pretraining=None if paid is None else Paid(**paid),
            model=_inside(studio, str(folder / "encoder"), folder),
            data=_inside(studio, asked.get("labels"), folder),
        )  # fmt: skip
    about = read_json(folder / ABOUT, About)
    return HeadStart(
        points=rows, damaged=found.damaged, fits=about["fits"], tokens_at=about["tokens_at"],
        pretraining=None if about["pretraining"] is None else Paid(**about["pretraining"]),
        model=_inside(studio, about["model"], folder), data=_inside(studio, about["data"], folder),
    )  # fmt: skip


@router.get("/head-start/race")
def race(studio: StudioState, at: str) -> Race:
    """How the fits of a folder go, as far as they were recorded; a job may not have made the folder yet."""
    try:
        folder = studio.folders.find(at)
    except Absent:
        return Race(courses=[], scores={})
    return Race(
        courses=[_course(path.parent) for path in sorted(folder.glob(f"{FITS}/*/metrics.jsonl"))],
        scores={point["system"]: point["score"] for point in read_points(folder / POINTS).points},
    )


@router.get("/labelled")
def labelled(studio: StudioState) -> list[Labelled]:
    """Files in the studio's folders that may hold labelled data; training parts, where parts are named."""
    found = []
    for root in studio.folders.readable:
        for path in _files(root):
            at = studio.folders.address(path)
            found.append(Labelled(at=at, name=at if root == studio.folders.roots[0] else path.name))
    return found[:FILES]


def reach(studio: Studio, asked: Sequence[Asked]) -> list[Asked]:
    """The race that was shown last, as it ended."""
    ats = [one.query["at"] for one in asked if one.path == "head-start/race" and "at" in one.query]
    return [Asked("head-start/race", {"at": ats[-1]})] if ats else []


def _point(point: HeadStartPoint) -> Point:
    return Point(
        task=point["task"], metric=point["metric"], labels=point["labels"], system=point["system"],
        seed=point["seed"], score=point["score"], n=point.get("n", 0), seconds=point["seconds"],
        step=point.get("step"),
    )  # fmt: skip


def _course(fit: Path) -> Course:
    events = read_metrics(fit)
    steps = [event for event in events if event["kind"] == "step" and "loss" in event]
    size = -(-len(steps) // LOSSES) or 1
    groups = [steps[first : first + size] for first in range(0, len(steps), size)]
    seen = [event for event in events if event["kind"] == "evaluation" and "score" in event]
    end = next((event for event in events if event["kind"] == "end"), None)
    return Course(
        name=fit.name,
        losses=[
            Moment(
                step=group[-1]["step"], seconds=group[-1]["seconds"],
                loss=sum(event["loss"] for event in group) / len(group),
            )
            for group in groups
        ],
        looks=[Look(step=one["step"], seconds=one["seconds"], score=one["score"]) for one in seen],
        metric=str(seen[0].get("metric")) if seen else None,
        asked=seen[0].get("targets") if seen else None,
        ended=None if end is None else end.get("score"),
    )  # fmt: skip


def _inside(studio: Studio, named: object, folder: Path) -> str | None:
    """The address of what a file of a folder names, where it lies in the studio's folders."""
    path = studio.folders.named(named, folder / ABOUT)
    return None if path is None else studio.folders.address(path)


def _files(root: Path, depth: int = 0) -> Iterator[Path]:
    """Files of the forms of labelled data; what headstart made itself is not looked into."""
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        if entry.is_dir():
            if depth < DEPTH and kind_of(path) is None:
                yield from _files(path, depth + 1)
        elif entry.name.removesuffix(PACKED).endswith(LABELLED) and ".test." not in entry.name:
            yield path
