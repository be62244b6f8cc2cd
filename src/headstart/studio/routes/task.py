"""The Task view: a task model's answers to labelled data, and labels that a person corrects."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from headstart.errors import HeadstartError
from headstart.folder import atomic
from headstart.output import output_file
from headstart.studio import corrections
from headstart.studio.folders import kind_of, small_json
from headstart.studio.frames import decode
from headstart.studio.state import Studio, StudioState, frame
from headstart.tasks.data.parts import DESCRIPTIONS, find_parts
from headstart.tasks.data.rows import format_of

router = APIRouter()

DEPTH, MOST_FILES = 3, 400
Places = Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=20_000)]


class DataFile(BaseModel):
    """A file that may hold labelled examples."""

    at: str
    bytes: int
    own: bool
    """Whether the model was fine-tuned on it."""
    scored: bool
    """Whether it is a file of the test part, on which the fine-tuning was scored."""


class TaskData(BaseModel):
    """What a task model can be asked about."""

    files: list[DataFile]
    seed: int
    tested: int
    """Examples that the fine-tuning has set apart from its data for a test; 0: it had a test file."""
    model: str | None
    """The model that was fine-tuned, where it lies in the studio's folders."""


class Answers(BaseModel):
    """Labelled examples for a model to answer."""

    at: str
    data: str
    part: Literal["all", "test", "train"] = "all"
    limit: int = Field(1000, ge=1, le=20_000)
    view: str = ""
    turn: int = 0


class Select(Answers):
    """Some of them."""

    places: Places | None = None
    word: str = Field("", max_length=200)


class OneExample(Answers):
    """One of them."""

    place: int = Field(ge=0)


class Correct(OneExample):
    """One of them, with another label."""

    value: Any


class TakeBack(BaseModel):
    """A correction that is to go."""

    data: str
    line: int


class CorrectionAnswer(BaseModel):
    """An example with another label."""

    line: int
    input: str
    was: str
    becomes: str
    value: object


class Corrections(BaseModel):
    """All corrections of a data file."""

    file: str
    """Where they are kept."""
    corrections: list[CorrectionAnswer]


class Corrected(BaseModel):
    """A new data file to write."""

    at: str
    data: str
    out: str = Field(min_length=1, max_length=200)
    """Relative to the studio's first folder."""


class CorrectedFile(BaseModel):
    """What was written."""

    at: str
    rows: int
    changed: int
    stale: int
    notes: list[str]


@router.get("/task/data")
def task_data(studio: StudioState, at: str) -> TaskData:
    """Data files in the studio's folders: first what the model was scored on, then what it learned from."""
    folder = studio.folders.find(at)
    run = folder if (folder / "run.json").exists() else folder.parent
    facts = small_json(run / "run.json")
    data, test, model = (
        studio.folders.named(facts.get(name), run / "run.json") for name in ("data", "test", "model")
    )
    own, scored = _parts(data)
    if facts.get("test") is not None:
        scored = [] if test is None else [test]
    apart = not scored and facts.get("test") is None
    found = [
        DataFile(
            at=studio.folders.address(path),
            bytes=path.stat().st_size,
            own=path in own,
            scored=path in scored,
        )
        for root in studio.folders.readable
        for path in _data_files(root)
    ]
    seed, tested = facts.get("seed"), small_json(run / "scores.json").get("test_examples")
    return TaskData(
        files=sorted(found, key=lambda one: (not one.scored, not one.own)),
        seed=seed if isinstance(seed, int) else 0,
        tested=tested if isinstance(tested, int) and apart else 0,
        model=None if model is None else studio.folders.address(model),
    )


@router.post("/task/answers")
async def answers(studio: StudioState, asked: Answers) -> Response:
    """All examples, scored as `headstart evaluate` does."""
    return await _ask(studio, "task_answers", asked)


@router.post("/task/selected")
async def selected(studio: StudioState, asked: Select) -> Response:
    """Some examples, and their score."""
    return await _ask(studio, "task_selected", asked, places=asked.places, word=asked.word)


@router.post("/task/example")
async def example(studio: StudioState, asked: OneExample) -> Response:
    """One example whole."""
    return await _ask(studio, "task_example", asked, place=asked.place)


@router.post("/task/influence")
async def influence(studio: StudioState, asked: OneExample) -> Response:
    """What each of its words is worth to the answer."""
    return await _ask(studio, "task_influence", asked, place=asked.place)


@router.get("/corrections")
def kept(studio: StudioState, data: str) -> Corrections:
    """The corrections of a data file."""
    return _kept(studio.folders.find(data))


@router.post("/corrections")
async def correct(studio: StudioState, asked: Correct) -> Corrections:
    """Give an example another label, in a file beside the data."""
    data = studio.folders.find(asked.data)
    studio.may_change(data)
    found, _ = decode(await _computed(studio, "task_correction", asked, place=asked.place, value=asked.value))
    one = corrections.Correction(**{name: found[name] for name in corrections.Correction.__annotations__})  # type: ignore[typeddict-item]
    corrections.keep(data, one["line"], one)
    return _kept(data)


@router.post("/corrections/take-back")
def take_back(studio: StudioState, asked: TakeBack) -> Corrections:
    """Let an example have the label of the data again."""
    data = studio.folders.find(asked.data)
    studio.may_change(data)
    corrections.keep(data, asked.line, None)
    return _kept(data)


@router.post("/corrections/export")
async def write(studio: StudioState, asked: Corrected) -> CorrectedFile:
    """Write a new data file, as JSON lines, with the corrected labels."""
    studio.may_change()
    data, root = studio.folders.find(asked.data), studio.folders.roots[0]
    out = (root / asked.out).resolve()
    if not out.is_relative_to(root) or out.suffix != ".jsonl":
        raise HeadstartError(f"{asked.out} is no name in the studio's folder that ends in .jsonl; choose one")
    folder = studio.folders.find(asked.at)
    with output_file(out, inputs=[data]) as place:
        computed = await studio.worker.ask(
            "task_corrected", folder, data=data, corrections=corrections.read(data)
        )
        fields, tensors = decode(computed)
        with atomic(place) as made:
            made.write_bytes(tensors["content"].tobytes())
    return CorrectedFile(
        at=studio.folders.address(out), rows=fields["rows"], changed=fields["changed"], stale=fields["stale"],
        notes=fields["notes"],
    )  # fmt: skip


async def _ask(studio: Studio, look: str, asked: Answers, **more: Any) -> Response:
    return frame(await _computed(studio, look, asked, **more))


async def _computed(studio: Studio, look: str, asked: Answers, **more: Any) -> bytes:
    folder, data = studio.folders.find(asked.at), studio.folders.find(asked.data)
    account = task_data(studio, asked.at) if asked.part != "all" else None
    given = {"data": data, "part": asked.part, "limit": asked.limit}
    if account is not None:
        given |= {"seed": account.seed, "tested": account.tested}
    return await studio.worker.ask(look, folder, asked.view, asked.turn, asked=given, **more)


def _kept(data: Path) -> Corrections:
    found = [CorrectionAnswer(**one) for one in corrections.read(data)]
    return Corrections(file=corrections.place_of(data).name, corrections=found)


def _parts(data: Path | None) -> tuple[list[Path], list[Path]]:
    """The files that a fine-tuning on `data` has learned from, and those that it was scored on where nobody
    named others (see `load_task`); none: a part was set apart for that."""
    try:
        tasks = {} if data is None else find_parts(data)
    except HeadstartError:  # a folder that holds other files by now
        tasks = {}
    if len(tasks) != 1:
        return [], []
    (parts,) = tasks.values()
    learned = parts.get("train") or next(iter(parts.values()))
    scored = parts.get("test") or parts.get("validation") or []
    return learned, [] if scored == learned else scored


def _data_files(root: Path) -> Iterator[Path]:
    """Files that may hold labelled data, and not those of runs, models and corpora."""
    waiting, found = [(root, 0)], 0
    while waiting and found < MOST_FILES:
        folder, depth = waiting.pop(0)
        try:
            inside = sorted(os.scandir(folder), key=lambda one: one.name)
        except OSError:
            continue
        for entry in inside:
            path = Path(entry.path)
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            if entry.is_dir():
                if depth < DEPTH and kind_of(path) is None:
                    waiting.append((path, depth + 1))
            elif format_of(path) not in (None, "text") and path.name not in DESCRIPTIONS:
                found += 1
                yield path
